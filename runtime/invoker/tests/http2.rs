//! HTTP/2: known before, or chosen over TLS.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use millpond_engine::FailureKind;
use tokio::sync::{Barrier, mpsc};

use super::authority::{Authority, Wants};
use super::server::{Peer, Server, ok};
use super::{Dialect, EndpointTarget, call, invoker, nothing, once, target};
use crate::invoker::TlsTarget;

fn http2(url: &str) -> EndpointTarget {
    EndpointTarget { http2: true, ..target(url) }
}

fn success() -> Response<Full<Bytes>> {
    let answer = Response::builder().header("content-type", "application/octet-stream");
    answer.body(Full::new(Bytes::from_static(b"\xa2\x06\x00"))).expect("an answer")
}

/// Serves a connection of a test with hyper.
async fn serve<F>(peer: Peer, streams: u32, answer: impl Fn(Request<Incoming>) -> F + Clone + Send + 'static)
where
    F: Future<Output = Response<Full<Bytes>>> + Send + 'static,
{
    let service = service_fn(move |request| {
        let answer = answer(request);
        async move { Ok::<_, Infallible>(answer.await) }
    });
    let mut server = http2::Builder::new(TokioExecutor::new());
    server.max_concurrent_streams(streams);
    let _ = server.serve_connection(TokioIo::new(peer.stream), service).await;
}

/// The request as the other side sees it; on a plain URL nobody asks which version.
#[tokio::test]
async fn a_request_with_prior_knowledge() {
    let (sink, mut seen) = mpsc::unbounded_channel();
    let server = Server::start(move |peer| {
        let sink = sink.clone();
        serve(peer, 100, move |request| {
            let sink = sink.clone();
            async move {
                let (head, body) = request.into_parts();
                let body = body.collect().await.expect("a body").to_bytes();
                sink.send((head, body)).expect("the test waits");
                success()
            }
        })
    })
    .await;
    let reply = once(http2(&format!("{}/fn/{{function.name}}?a=%20b", server.url))).await;
    assert_eq!(reply, Ok(nothing()));
    let (head, body) = seen.recv().await.expect("a request");
    assert_eq!((head.method.as_str(), head.version), ("POST", http::Version::HTTP_2));
    assert_eq!(head.uri.to_string(), format!("{}/fn/user?a=%20b", server.url));
    let mut headers: Vec<_> = head.headers.iter().map(|(name, value)| format!("{name}: {value:?}")).collect();
    headers.sort();
    assert_eq!(
        headers,
        [
            "accept-encoding: \"gzip,deflate\"",
            "accept: \"application/octet-stream\"",
            "content-length: \"73\"",
            "content-type: \"application/octet-stream\"",
            "user-agent: \"statefun\"",
        ]
    );
    assert_eq!(body.len(), 73);
}

/// Calls share a connection as far as the server lets them; then a second one is opened.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_share_connections() {
    for (streams, connections) in [(100, 1), (10, 2)] {
        // Nobody is answered before all have asked.
        let all = Arc::new(Barrier::new(20));
        let first = Arc::new(AtomicUsize::new(0));
        let server = Server::start(move |peer| {
            let (all, first) = (Arc::clone(&all), Arc::clone(&first));
            serve(peer, streams, move |_| {
                let (all, first) = (Arc::clone(&all), Arc::clone(&first));
                async move {
                    // The first call is alone, so that the server's settings are known behind it.
                    if first.fetch_add(1, Ordering::SeqCst) > 0 {
                        all.wait().await;
                    }
                    success()
                }
            })
        })
        .await;
        let invoker = invoker(http2(&server.url));
        invoker.call(&call()).await.expect("an answer");
        let calls: Vec<_> = (0..20)
            .map(|_| {
                let invoker = invoker.clone();
                tokio::spawn(async move { invoker.call(&call()).await })
            })
            .collect();
        for call in calls {
            assert!(call.await.expect("no panic").is_ok());
        }
        assert_eq!(server.accepted(), connections, "{streams} streams");
        let metrics = &invoker.metrics()[0];
        assert_eq!((metrics.connections_open, metrics.connections_idle), (connections as u64, connections as u64));
    }
}

/// A call that ends early takes its stream back, and the connection stays.
#[tokio::test]
async fn a_dropped_call_leaves_the_connection() {
    let (asked, mut is_asked) = mpsc::unbounded_channel();
    let server = Server::start(move |peer| {
        let asked = asked.clone();
        serve(peer, 100, move |_| {
            let asked = asked.clone();
            async move {
                if asked.send(()).is_ok() {
                    std::future::pending::<()>().await;
                }
                success()
            }
        })
    })
    .await;
    let invoker = invoker(http2(&server.url));
    let call = call();
    tokio::select! {
        _ = invoker.call(&call) => panic!("the server never answers"),
        _ = is_asked.recv() => {}
    }
    drop(is_asked);
    assert!(invoker.call(&call).await.is_ok());
    assert_eq!(server.accepted(), 1);
}

/// Over TLS the server chooses; without `http2` it is not asked, but for okhttp, which asks as upstream.
#[tokio::test]
async fn the_server_chooses_over_tls() {
    let (folder, authority) = (tempfile::tempdir().expect("a folder"), Authority::new("ours"));
    let file = authority.file(folder.path());
    for (offered, spoken) in [(false, false), (false, true), (true, false), (true, true)] {
        let wants = Wants { http2: spoken, ..Wants::default() };
        let config = authority.server(&["localhost"]).serve(wants);
        let server = Server::start_tls(config, move |mut peer| async move {
            if offered && spoken {
                return serve(peer, 100, |_| async { success() }).await;
            }
            while peer.request().await.is_some() {
                peer.write(&ok(b"\xa2\x06\x00")).await;
            }
        })
        .await;
        let tls = TlsTarget { trust_cacerts: Some(file.clone()), ..TlsTarget::default() };
        let invoker = invoker(EndpointTarget { http2: offered, tls, ..target(&server.url) });
        for _ in 0..3 {
            assert_eq!(invoker.call(&call()).await, Ok(nothing()), "{offered} {spoken}");
        }
        assert_eq!(server.accepted(), 1, "{offered} {spoken}");
    }
}

/// A server that goes away says which streams it will not look at: those are called again at once, on a new connection.
#[tokio::test]
async fn a_server_that_goes_away() {
    const SETTINGS: &[u8] = b"\0\0\0\x04\0\0\0\0\0";
    const SETTINGS_ACK: &[u8] = b"\0\0\0\x04\x01\0\0\0\0";
    // Status 200, the content type, and the end of stream 1.
    const ANSWER: &[u8] = b"\0\0\x1c\x01\x05\0\0\0\x01\x88\x0f\x10\x18application/octet-stream";
    // The last stream that was looked at is 1; no error.
    const GO_AWAY: &[u8] = b"\0\0\x08\x07\0\0\0\0\0\0\0\0\x01\0\0\0\0";
    let connections = Arc::new(AtomicUsize::new(0));
    let server = Server::start(move |mut peer| {
        let first = connections.fetch_add(1, Ordering::SeqCst) == 0;
        async move {
            peer.write(&[SETTINGS, SETTINGS_ACK].concat()).await;
            peer.until(b"Hi").await;
            peer.write(ANSWER).await;
            if first {
                peer.until(b"Hi").await;
                peer.write(GO_AWAY).await;
            }
            peer.closed().await;
        }
    })
    .await;
    let invoker = invoker(http2(&server.url));
    for _ in 0..2 {
        assert_eq!(invoker.call(&call()).await, Ok(nothing()));
    }
    assert_eq!(server.accepted(), 2);
}

/// What does not speak HTTP/2 is called so; what breaks off is unreachable.
#[tokio::test]
async fn servers_that_do_not_speak_it() {
    let speaks_one = ok(b"");
    for (bytes, code, words) in [
        (speaks_one.as_slice(), "MP4014", "the answer is not HTTP/2"),
        (b"SSH-2.0-OpenSSH_9.9\r\n", "MP4014", "the answer is not HTTP/2"),
        (b"", "MP4004", ""),
        (b"\0\0\0\x04\0\0\0\0\0", "MP4004", ""),
    ] {
        let bytes = bytes.to_vec();
        let server = Server::start(move |mut peer| {
            let bytes = bytes.clone();
            async move {
                peer.until(b"Hi").await;
                peer.write(&bytes).await;
            }
        })
        .await;
        let failure = once(http2(&server.url)).await.expect_err("a failure");
        assert_eq!((failure.kind, failure.code), (FailureKind::Unreachable, code), "{failure:?}");
        assert!(failure.error.contains(words), "{failure:?}");
    }
}

/// A pause ends a call of okhttp over HTTP/2 too; the connection is given up when it is old.
#[tokio::test]
async fn pauses_and_age() {
    let server = Server::start(|peer| serve(peer, 100, |_| std::future::pending())).await;
    let dialect = Dialect::OkHttp { read: Duration::from_millis(100), write: Duration::from_secs(60) };
    let failure = once(EndpointTarget { dialect, ..http2(&server.url) }).await.expect_err("a failure");
    assert_eq!(failure.code, "MP4036", "{failure:?}");

    let server = Server::start(|peer| serve(peer, 100, |_| async { success() })).await;
    let invoker = invoker(http2(&server.url));
    for connections in 1..=2 {
        invoker.call(&call()).await.expect("an answer");
        assert_eq!(server.accepted(), connections);
        for function in invoker.shared.functions() {
            function.pool.age(Duration::from_secs(60));
        }
    }
}
