//! What the okhttp transport does otherwise.

use std::time::Duration;

use millpond_engine::{CallFailure, FailureKind, Reply};

use super::server::{Server, answer, ok};
use super::{Dialect, EndpointTarget, call, invoker, nothing, once, target};

const LONG: Duration = Duration::from_secs(60);

fn okhttp(url: &str, read: Duration, write: Duration) -> EndpointTarget {
    EndpointTarget {
        dialect: Dialect::OkHttp { read, write },
        pool_ttl: Duration::ZERO,
        pool_idle: Some(LONG),
        pool_size: usize::MAX,
        ..target(url)
    }
}

fn assert_pause(result: Result<Reply, CallFailure>, words: &str) {
    let failure = result.expect_err("a failure");
    assert_eq!((failure.kind, failure.code), (FailureKind::Unreachable, "MP4036"), "{failure:?}");
    assert!(failure.error.contains(words), "{failure:?}");
}

/// The head of a request as okhttp sends it.
#[tokio::test]
async fn a_request_has_the_headers_of_okhttp() {
    let (sink, mut heads) = tokio::sync::mpsc::unbounded_channel();
    let server = Server::start(move |mut peer| {
        let sink = sink.clone();
        async move {
            sink.send(peer.request().await.expect("a request").head).expect("the test waits");
            peer.write(&ok(b"")).await;
        }
    })
    .await;
    once(okhttp(&format!("{}/fn?a=%20b#part", server.url), LONG, LONG)).await.expect("an answer");
    let host = server.url.strip_prefix("http://").expect("http");
    let expected = format!(
        "POST /fn?a=%20b HTTP/1.1\r\n\
         content-type: application/octet-stream\r\n\
         content-length: 73\r\n\
         host: {host}\r\n\
         connection: Keep-Alive\r\n\
         accept-encoding: gzip\r\n\
         user-agent: okhttp/3.14.6\r\n\r\n"
    );
    assert_eq!(heads.recv().await, Some(expected));
}

/// The content type is compared letter by letter, and the last header counts.
#[tokio::test]
async fn content_types() {
    for (headers, good) in [
        ("content-type: application/octet-stream\r\n", true),
        ("content-type: text/plain\r\ncontent-type: application/octet-stream\r\n", true),
        ("content-type: application/octet-stream\r\ncontent-type: text/plain\r\n", false),
        ("content-type: Application/Octet-Stream\r\n", false),
        ("content-type: text/plain, application/octet-stream\r\n", false),
        ("", false),
    ] {
        let server = Server::answering(answer("200 OK", headers, b"")).await;
        let result = once(okhttp(&server.url, LONG, LONG)).await;
        assert_eq!(result.is_ok(), good, "{headers:?}");
        assert!(good || result.is_err_and(|failure| failure.code == "MP4009"));
    }
}

/// Nothing comes: before the head, in it, or in the body.
#[tokio::test]
async fn a_pause_before_something_comes() {
    let whole = ok(b"\xa2\x06\x00");
    for sent in [0, 20, whole.len() - 1] {
        let part = whole[..sent].to_vec();
        let server = Server::start(move |mut peer| {
            let part = part.clone();
            async move {
                peer.request().await;
                peer.write(&part).await;
                peer.closed().await;
            }
        })
        .await;
        let invoker = invoker(okhttp(&server.url, Duration::from_millis(100), LONG));
        assert_pause(invoker.call(&call()).await, "nothing came for `timeouts.read`, 100 ms");
        assert_eq!(invoker.metrics()[0].connections_open, 0);
    }
}

/// Nothing can be sent: the other side does not read, and the buffers between are full.
#[tokio::test]
async fn a_pause_before_something_can_be_sent() {
    let server = Server::start(|peer| async move {
        tokio::time::sleep(LONG).await;
        drop(peer);
    })
    .await;
    let mut large = call();
    let argument = vec![b'x'; 32 << 20];
    large.invocations = vec![(None, millpond_protocol::request::typed_value("a/b", &argument))];
    let invoker = invoker(okhttp(&server.url, LONG, Duration::from_millis(200)));
    assert_pause(invoker.call(&large).await, "nothing could be sent for `timeouts.write`, 200 ms");
}

/// An answer that is slow and never pauses for long is waited for, longer than `timeouts.read` in all.
#[tokio::test]
async fn a_slow_answer_without_long_pauses() {
    let server = Server::start(|mut peer| async move {
        peer.request().await;
        for part in ok(b"\xa2\x06\x00").chunks(20) {
            peer.write(part).await;
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    })
    .await;
    let reply = once(okhttp(&server.url, Duration::from_secs(4), LONG)).await;
    assert_eq!(reply, Ok(nothing()));
}

/// Connections are kept for as long as they may lie idle, not for an age.
#[tokio::test]
async fn idle_connections_are_closed_after_a_while() {
    let server = Server::answering(ok(b"")).await;
    let invoker = invoker(okhttp(&server.url, LONG, LONG));
    for age in [Duration::from_secs(59), Duration::from_secs(59), Duration::from_secs(61)] {
        invoker.call(&call()).await.expect("an answer");
        assert_eq!(server.accepted(), 1);
        for function in invoker.shared.functions() {
            function.pool.age(age);
        }
    }
    invoker.call(&call()).await.expect("an answer");
    assert_eq!(server.accepted(), 2);
}
