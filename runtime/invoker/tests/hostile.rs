//! Servers that do what no server should.

use std::time::Duration;

use millpond_engine::FailureKind;

use super::server::{Server, answer, ok};
use super::{call, invoker, nothing, once, target};

/// One byte after the other, for ever, in the head and in the body: the time of the call is the limit.
#[tokio::test]
async fn a_server_that_drips() {
    let body = b"HTTP/1.1 200 OK\r\ncontent-type: application/octet-stream\r\ncontent-length: 1000000\r\n\r\n";
    for start in [b"HTTP/1.1 200 OK\r\nx-".as_slice(), body, b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 103 A\r\nx: "] {
        let server = Server::start(move |mut peer| async move {
            peer.request().await;
            peer.write(start).await;
            loop {
                peer.write(b"a").await;
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        })
        .await;
        let invoker = invoker(target(&server.url));
        let mut short = call();
        short.timeout_ms = 300;
        let failure = invoker.call(&short).await.expect_err("a failure");
        assert_eq!((failure.kind, failure.code), (FailureKind::Unreachable, "MP4005"), "{failure:?}");
        assert_eq!(invoker.metrics()[0].connections_open, 0);
    }
}

/// A head without end is cut off, whatever it consists of.
#[tokio::test]
async fn a_head_without_end() {
    for line in ["x".repeat(1 << 20), "a: b\r\n".repeat(10_000)] {
        let server = Server::start(move |mut peer| {
            let line = line.clone();
            async move {
                peer.request().await;
                peer.write(b"HTTP/1.1 200 OK\r\n").await;
                peer.write(line.as_bytes()).await;
                peer.closed().await;
            }
        })
        .await;
        let failure = once(target(&server.url)).await.expect_err("a failure");
        assert_eq!((failure.kind, failure.code), (FailureKind::Unreachable, "MP4014"), "{failure:?}");
    }
}

/// Answers before the answer are passed over; a change of protocol is not what was asked for.
#[tokio::test]
async fn informational_answers() {
    let early = b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n".repeat(20);
    let server = Server::answering([early, ok(b"")].concat()).await;
    assert_eq!(once(target(&server.url)).await, Ok(nothing()));
    let upgrade = b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: h2c\r\n\r\n".as_slice();
    let server = Server::answering_once(upgrade).await;
    assert!(once(target(&server.url)).await.is_err());
}

/// An answer may come before the request is all out; it counts, and the connection is not used again.
#[tokio::test]
async fn an_answer_before_the_end_of_the_request() {
    let mut large = call();
    let argument = vec![b'x'; 32 << 20];
    large.invocations = vec![(None, millpond_protocol::request::typed_value("a/b", &argument))];
    for (early, good) in [(ok(b""), true), (answer("413 Content Too Large", "", b"no"), false)] {
        let server = Server::start(move |mut peer| {
            let early = early.clone();
            async move {
                peer.write(&early).await;
                tokio::time::sleep(Duration::from_secs(60)).await;
            }
        })
        .await;
        let invoker = invoker(target(&server.url));
        let result = invoker.call(&large).await;
        assert_eq!(result.is_ok(), good, "{result:?}");
        assert!(good || result.is_err_and(|failure| failure.code == "MP4008"));
        assert_eq!(invoker.metrics()[0].connections_open, 0);
    }
}
