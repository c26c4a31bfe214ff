//! Every way in which an attempt can fail, with its kind and code.

use std::net::TcpListener;
use std::time::Duration;

use millpond_engine::{CallFailure, FailureKind, Reply};

use super::server::{Server, answer, ok};
use super::{EndpointTarget, call, invoker, once, target};

const OCTETS: &str = "content-type: application/octet-stream\r\n";

async fn failure_of(target: EndpointTarget) -> CallFailure {
    once(target).await.expect_err("a failure")
}

/// What a call makes of these bytes, after which the server closes.
async fn failure_after(bytes: impl Into<Vec<u8>>) -> CallFailure {
    let server = Server::answering_once(bytes).await;
    failure_of(target(&server.url)).await
}

fn assert_failure(failure: &CallFailure, kind: FailureKind, code: &str, words: &str) {
    assert_eq!((failure.kind, failure.code), (kind, code), "{failure:?}");
    assert!(failure.error.contains(words), "{words:?} in {failure:?}");
}

/// Statuses that something in front of a function gives are unreachable; what the function says itself is a rejection.
#[tokio::test]
async fn statuses() {
    for (status, kind, code) in [
        ("429 Too Many Requests", FailureKind::Unreachable, "MP4003"),
        ("502 Bad Gateway", FailureKind::Unreachable, "MP4003"),
        ("503 Service Unavailable", FailureKind::Unreachable, "MP4003"),
        ("504 Gateway Timeout", FailureKind::Unreachable, "MP4003"),
        ("400 Bad Request", FailureKind::Rejected, "MP4008"),
        ("401 Unauthorized", FailureKind::Unreachable, "MP4037"),
        ("403 Forbidden", FailureKind::Unreachable, "MP4037"),
        ("407 Proxy Authentication Required", FailureKind::Unreachable, "MP4037"),
        ("404 Not Found", FailureKind::Rejected, "MP4008"),
        ("408 Request Timeout", FailureKind::Rejected, "MP4008"),
        ("413 Content Too Large", FailureKind::Rejected, "MP4008"),
        ("415 Unsupported Media Type", FailureKind::Rejected, "MP4008"),
        ("500 Internal Server Error", FailureKind::Rejected, "MP4008"),
        ("501 Not Implemented", FailureKind::Rejected, "MP4008"),
        ("505 HTTP Version Not Supported", FailureKind::Rejected, "MP4008"),
        ("304 Not Modified", FailureKind::Rejected, "MP4008"),
        ("300 Multiple Choices", FailureKind::Rejected, "MP4008"),
        ("599 Whatever", FailureKind::Rejected, "MP4008"),
    ] {
        let server = Server::answering(answer(status, OCTETS, b"")).await;
        let failure = failure_of(target(&server.url)).await;
        assert_failure(&failure, kind, code, &format!("answered status {}", &status[..3]));
        assert_eq!(failure.retry_after_ms, None);
    }
}

/// A redirect is an answer, not a way.
#[tokio::test]
async fn redirects_are_not_followed() {
    for status in ["301", "302", "303", "307", "308"] {
        let elsewhere = Server::answering(ok(b"")).await;
        let location = format!("location: {}/there?secret=1\r\n", elsewhere.url);
        let server = Server::answering(answer(status, &(OCTETS.to_owned() + &location), b"")).await;
        let failure = failure_of(target(&server.url)).await;
        assert_failure(&failure, FailureKind::Rejected, "MP4012", &format!("{}/there`", elsewhere.url));
        assert_eq!(elsewhere.accepted(), 0);
    }
}

/// Any status of 200-299 is a success, with the one content type, also without a body.
#[tokio::test]
async fn successes() {
    for status in ["200", "201", "202", "206", "299"] {
        for content_type in [
            "content-type: application/octet-stream",
            "Content-Type: Application/Octet-Stream",
            "content-type:application/octet-stream  ",
            "content-type: text/plain, application/octet-stream",
            "content-type: text/plain\r\ncontent-type: application/octet-stream",
        ] {
            for body in [b"".as_slice(), b"\xa2\x06\x00"] {
                let server = Server::answering(answer(status, &format!("{content_type}\r\n"), body)).await;
                let reply = once(target(&server.url)).await.expect("an answer");
                assert_eq!(reply, Reply::Completed(Default::default()), "{status} {content_type}");
            }
        }
    }
    let server = Server::answering(format!("HTTP/1.1 204 No Content\r\n{OCTETS}\r\n")).await;
    assert!(once(target(&server.url)).await.is_ok());
}

/// The comparison is of whole values, also when the body is empty.
#[tokio::test]
async fn other_content_types() {
    for (header, words) in [
        ("", "answered with no content type"),
        ("content-type: \r\n", "content type ``"),
        ("content-type: application/octet-stream; charset=utf-8\r\n", "`application/octet-stream; charset=utf-8`"),
        ("content-type: application/octet-streams\r\n", "`application/octet-streams`"),
        ("content-type: application/json\r\n", "`application/json`"),
        ("content-type: text/html\r\n", "`text/html`"),
    ] {
        for body in [b"".as_slice(), b"\xa2\x06\x00"] {
            let server = Server::answering(answer("200 OK", header, body)).await;
            let failure = failure_of(target(&server.url)).await;
            assert_failure(&failure, FailureKind::Rejected, "MP4009", words);
        }
    }
}

/// Nobody listens.
#[tokio::test]
async fn refused() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}/fn?code=secret", listener.local_addr().expect("an address"));
    drop(listener);
    let failure = failure_of(target(&url)).await;
    assert_failure(&failure, FailureKind::Unreachable, "MP4001", "no connection");
    let error = failure.error.to_lowercase();
    assert_eq!(error.matches("connection refused").count(), 1, "the cause is told once: {error}");
    assert!(error.starts_with("`greeter.fns/user` at `http://127.0.0.1:"), "{error}");
    assert!(!error.contains("secret"), "{error}");
}

/// A name without an address; `.invalid` is reserved for that.
#[tokio::test]
async fn unknown_host() {
    let failure = failure_of(target("http://millpond.invalid/fn")).await;
    assert_failure(&failure, FailureKind::Unreachable, "MP4002", "the host's name has no address");
}

/// A host that never completes the handshake: its queue of connections is full.
#[tokio::test]
async fn connect_timeout() {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
    socket.bind(&"127.0.0.1:0".parse::<std::net::SocketAddr>().expect("an address").into()).expect("a port");
    socket.listen(0).expect("a listener");
    let address = socket.local_addr().expect("an address").as_socket().expect("an IP address");
    let mut held = Vec::new();
    while let Ok(stream) = std::net::TcpStream::connect_timeout(&address, Duration::from_millis(200)) {
        held.push(stream);
    }
    let target = EndpointTarget { connect: Duration::from_millis(100), ..target(&format!("http://{address}")) };
    let failure = failure_of(target).await;
    assert_failure(&failure, FailureKind::Unreachable, "MP4006", "no connection within `connect`, 100 ms");
}

/// The attempt's time is up; the connection is closed, so that the answer cannot be taken for another one.
#[tokio::test]
async fn deadline() {
    let (closed, is_closed) = tokio::sync::oneshot::channel();
    let closed = std::sync::Mutex::new(Some(closed));
    let server = Server::start(move |mut peer| {
        let closed = closed.lock().expect("a test lock").take();
        async move {
            peer.request().await;
            peer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/octet-stream\r\ncontent-length: 3\r\n\r\n\xa2")
                .await;
            peer.closed().await;
            let _ = closed.expect("one connection").send(());
        }
    })
    .await;
    let invoker = invoker(target(&server.url));
    let mut slow = call();
    slow.timeout_ms = 100;
    let failure = invoker.call(&slow).await.expect_err("a failure");
    assert_failure(&failure, FailureKind::Unreachable, "MP4005", "no answer in time");
    is_closed.await.expect("the connection is closed");
    assert_eq!(invoker.metrics()[0].connections_open, 0);
}

/// All connections are busy for as long as `connect`.
#[tokio::test]
async fn no_free_connection() {
    let server = Server::start(|mut peer| async move { peer.closed().await }).await;
    let target =
        EndpointTarget { pool_size: 1, connect: Duration::from_millis(100), ..target(&format!("{}/fn", server.url)) };
    let invoker = invoker(target);
    let (first, second) = (call(), call());
    let failure = tokio::select! {
        biased;
        _ = invoker.call(&first) => panic!("the server never answers"),
        failure = invoker.call(&second) => failure.expect_err("a failure"),
    };
    let words = "all 1 connections of `pool_size` were busy for `connect`, 100 ms";
    assert_failure(&failure, FailureKind::Unreachable, "MP4007", words);
    assert_eq!(server.accepted(), 1);
}

/// The connection ends at any place before the end of the answer.
#[tokio::test]
async fn closed_too_early() {
    let whole = ok(b"\xa2\x06\x00");
    for cut in 0..whole.len() {
        let failure = failure_after(&whole[..cut]).await;
        assert_failure(
            &failure,
            FailureKind::Unreachable,
            "MP4004",
            "the connection ended before the answer was complete",
        );
    }
    let chunked = [
        format!("HTTP/1.1 200 OK\r\n{OCTETS}transfer-encoding: chunked\r\n\r\n").as_bytes(),
        b"3\r\n\xa2\x06\x00\r\n0\r\n\r\n",
    ]
    .concat();
    for cut in 0..chunked.len() {
        let failure = failure_after(&chunked[..cut]).await;
        assert_failure(
            &failure,
            FailureKind::Unreachable,
            "MP4004",
            "the connection ended before the answer was complete",
        );
    }
}

/// A reset is no different.
#[tokio::test]
async fn reset() {
    let server = Server::start(|mut peer| async move {
        peer.request().await;
        let socket = socket2::SockRef::from(peer.stream.tcp());
        socket.set_linger(Some(Duration::ZERO)).expect("a socket option");
    })
    .await;
    assert_failure(&failure_of(target(&server.url)).await, FailureKind::Unreachable, "MP4004", "reset");
}

/// Something that does not speak HTTP/1 has judged nothing.
#[tokio::test]
async fn not_http() {
    for bytes in [
        b"SSH-2.0-OpenSSH_9.9\r\n".as_slice(),
        b"HTTP/1.1 abc OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nbad header\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-type: application/octet-stream\r\ncontent-length: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-type: application/octet-stream\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        b"\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
    ] {
        let failure = failure_after(bytes).await;
        assert_failure(&failure, FailureKind::Unreachable, "MP4014", "the answer is not HTTP/1");
    }
    // An alert says what it is.
    let failure = failure_after(b"\x15\x03\x03\x00\x02\x02\x46").await;
    assert_failure(
        &failure,
        FailureKind::Unreachable,
        "MP4014",
        "the endpoint speaks TLS, and the URL begins with `http`",
    );
}

/// Neither a declared length, nor chunks, nor a packed body get past `payload_max_bytes`; what just fits does.
#[tokio::test]
async fn too_large() {
    use flate2::{Compression, write::GzEncoder};
    use std::io::Write;

    let limited = |url: &str| EndpointTarget { payload_max_bytes: 3, ..target(url) };
    let chunked = |body: &str| format!("HTTP/1.1 200 OK\r\n{OCTETS}transfer-encoding: chunked\r\n\r\n{body}");
    let gzip = |plain: &[u8]| {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(plain).expect("memory");
        answer("200 OK", &format!("{OCTETS}content-encoding: gzip\r\n"), &encoder.finish().expect("memory"))
    };
    for (bytes, limit) in [
        (format!("HTTP/1.1 200 OK\r\n{OCTETS}content-length: 4\r\n\r\n").into_bytes(), 3),
        (format!("HTTP/1.1 200 OK\r\n{OCTETS}content-length: 4611686018427387904\r\n\r\n").into_bytes(), 3),
        (chunked("2\r\n\x12\x00\r\n2\r\n\x12\x00\r\n0\r\n\r\n").into_bytes(), 3),
        (gzip(&vec![0; 1 << 20]), 2_000),
    ] {
        let server = Server::start(move |mut peer| {
            let bytes = bytes.clone();
            async move {
                peer.request().await;
                peer.write(&bytes).await;
                // It says no more and does not close: the limit alone ends the attempt.
                peer.closed().await;
            }
        })
        .await;
        let failure = failure_of(EndpointTarget { payload_max_bytes: limit, ..target(&server.url) }).await;
        let words = format!("the answer is larger than `payload_max_bytes`, {limit} bytes");
        assert_failure(&failure, FailureKind::Rejected, "MP4011", &words);
    }
    for bytes in [ok(b"\xa2\x06\x00"), chunked("3\r\n\x12\x01\x00\r\n0\r\n\r\n").into_bytes()] {
        let server = Server::answering(bytes).await;
        assert!(once(limited(&server.url)).await.is_ok());
    }
}

/// What was offered is undone; what was not is refused, and so is damage.
#[tokio::test]
async fn content_codings() {
    let packed = |coding: &str, body: &[u8]| answer("200 OK", &format!("{OCTETS}content-encoding: {coding}\r\n"), body);
    // The empty result, packed with zlib's own tools.
    let gzip =
        b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\x03\x5b\xc4\xc6\x00\x00\x9a\xf7\xe7\x73\x03\x00\x00\x00".as_slice();
    let deflate = b"\x78\x9c\x5b\xc4\xc6\x00\x00\x01\xf5\x00\xa9".as_slice();
    for (coding, body) in [("gzip", gzip), ("x-gzip", gzip), ("deflate", deflate), ("identity", b"\xa2\x06\x00")] {
        let server = Server::answering(packed(coding, body)).await;
        assert!(once(target(&server.url)).await.is_ok(), "{coding}");
    }
    for (coding, body, words) in [
        ("br", b"\xa2\x06\x00".as_slice(), "content coding `br` was not offered"),
        ("gzip", b"\xa2\x06\x00", "the packed body is damaged"),
        ("gzip", &gzip[..20], "the packed body is damaged"),
        ("deflate", &deflate[..5], "the packed body is damaged"),
    ] {
        let server = Server::answering(packed(coding, body)).await;
        assert_failure(&failure_of(target(&server.url)).await, FailureKind::Rejected, "MP4013", words);
    }
}

/// What the decoder and the rules of `answer.rs` find keeps its code and gets the place.
#[tokio::test]
async fn broken_answers() {
    for (body, code, words) in [
        (b"\xff\xff\xff".as_slice(), "MP4010", "the answer is not a `FromFunction` message"),
        (b"\xa2\x06\x02\x12\x00", "MP4020", "an outgoing message has no target"),
        (b"\xa2\x06\x02\x22\x00", "MP6001", "unknown egress"),
    ] {
        let server = Server::answering(ok(body)).await;
        let failure = failure_of(target(&server.url)).await;
        assert_failure(&failure, FailureKind::Rejected, code, words);
        assert!(failure.error.starts_with("`greeter.fns/user` at `http://127.0.0.1:"), "{failure:?}");
    }
}

/// `Retry-After` comes along with a failure.
#[tokio::test]
async fn retry_after() {
    for (status, header, expected) in [
        ("503", "retry-after: 7\r\n", Some(7_000)),
        ("429", "Retry-After: 0\r\n", Some(0)),
        ("503", "retry-after: Fri, 31 Dec 1999 23:59:59 GMT\r\n", Some(0)),
        ("503", "retry-after: Tue, 31 Dec 2999 23:59:59 GMT\r\n", Some(300_000)),
        ("500", "retry-after: 2\r\n", Some(2_000)),
        ("503", "retry-after: soon\r\n", None),
    ] {
        let server = Server::answering(answer(status, header, b"")).await;
        assert_eq!(failure_of(target(&server.url)).await.retry_after_ms, expected, "{header:?}");
    }
}

/// The beginning of an error's text is shown on one line; what is no text is not.
#[tokio::test]
async fn what_an_error_answer_says() {
    let long = "ab ".repeat(500);
    let shown: String = long.chars().take(200).collect();
    for (header, body, said) in [
        ("content-type: text/plain\r\n", "Traceback:\r\n\t line 1\x1b[31m\n\n\0boom ", ": Traceback: line 1 [31m boom"),
        ("content-type: application/json\r\n", "{\"a\":\n 1}", ": {\"a\": 1}"),
        ("", "no type", ": no type"),
        ("content-type: text/plain\r\n", "", ""),
        ("content-type: text/plain\r\n", &long, &format!(": {shown}…")),
        ("content-type: application/octet-stream\r\n", "payload", ""),
        ("content-type: text/plain\r\ncontent-encoding: br\r\n", "packed", ""),
    ] {
        let server = Server::answering(answer("500", header, body.as_bytes())).await;
        let failure = failure_of(target(&server.url)).await;
        assert_eq!(*failure.error, *format!("`greeter.fns/user` at `{}/`: answered status 500{said}", server.url));
    }
}

/// An error whose text never ends is still that error.
#[tokio::test]
async fn an_error_with_an_endless_text() {
    let server = Server::start(|mut peer| async move {
        peer.request().await;
        peer.write(b"HTTP/1.1 500 Oh\r\ncontent-type: text/plain\r\ncontent-length: 100000\r\n\r\nendless").await;
        peer.closed().await;
    })
    .await;
    assert_failure(&failure_of(target(&server.url)).await, FailureKind::Rejected, "MP4008", "answered status 500");
}

/// The name of a function type comes from messages: one that would lead elsewhere is not called.
#[tokio::test]
async fn a_name_that_changes_the_url() {
    let server = Server::answering(ok(b"")).await;
    let invoker = invoker(target(&format!("{}/{{function.name}}?code=secret", server.url)));
    for name in ["../admin", "a?b", "", ".."] {
        let mut call = call();
        call.target.function = millpond_protocol::TypeName::new("greeter.fns", name);
        let failure = invoker.call(&call).await.expect_err("a failure");
        assert_failure(
            &failure,
            FailureKind::NoEndpoint,
            "MP4015",
            "the function's name would change the path of the URL",
        );
        assert!(!failure.error.contains("secret"), "{failure:?}");
    }
    assert_eq!(server.accepted(), 0);
}

/// Endpoints that can never be called are found at start.
#[tokio::test]
async fn endpoints_that_cannot_be_called() {
    for url in ["https://h!/fn", "http+unix:///a/fn", "http://h/{other}", "nonsense"] {
        let endpoints = vec![target("http://h/fn"), target(url)];
        let invalid =
            crate::invoker::Invoker::new(endpoints, Default::default(), std::sync::Arc::new(super::OneEgress));
        let invalid = invalid.err().expect("an invalid endpoint");
        assert_eq!((invalid.endpoint, invalid.url.as_str()), (1, url));
    }
    assert_eq!(crate::invoker::InvalidEndpoint::CODE, "MP4016");
}
