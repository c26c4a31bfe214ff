//! Unix domain sockets, on every transport.

use std::time::Duration;

use millpond_engine::FailureKind;
use tokio::sync::mpsc;

use super::server::{Server, ok};
use super::{Dialect, EndpointTarget, call, invoker, once, target};

const DIALECTS: [Dialect; 2] =
    [Dialect::Async, Dialect::OkHttp { read: Duration::from_secs(60), write: Duration::from_secs(60) }];

/// The request line holds what stands behind the socket; the connection is used again; both schemes are the same.
#[tokio::test]
async fn functions_behind_a_socket() {
    for dialect in DIALECTS {
        let folder = tempfile::tempdir().expect("a folder");
        let (sink, mut heads) = mpsc::unbounded_channel();
        let server = Server::start_unix(&folder.path().join("fn.sock"), move |mut peer| {
            let sink = sink.clone();
            async move {
                while let Some(request) = peer.request().await {
                    sink.send(request.head).expect("the test waits");
                    peer.write(&ok(b"")).await;
                }
            }
        });
        for (scheme, path, line) in [
            ("http+unix", "", "POST / HTTP/1.1"),
            ("http+unix", "/hello", "POST /hello HTTP/1.1"),
            ("https+unix", "/{function.name}/x", "POST /user/x HTTP/1.1"),
        ] {
            let before = server.accepted();
            let url = server.url.replace("http+unix", scheme) + path;
            let invoker = invoker(EndpointTarget { dialect, ..target(&url) });
            for _ in 0..3 {
                invoker.call(&call()).await.expect("an answer");
                let head = heads.recv().await.expect("a request");
                assert_eq!(head.lines().next(), Some(line), "{url}");
                assert!(head.contains("\r\nhost: unused\r\n"), "{head}");
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            assert_eq!(server.accepted() - before, 1);
        }
    }
}

/// A socket that nobody listens on, or that is not there, is named.
#[tokio::test]
async fn a_socket_without_a_server() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("fn.sock");
    for (why, make) in [("no such file", false), ("connection refused", true)] {
        if make {
            drop(std::os::unix::net::UnixListener::bind(&path).expect("a socket"));
        }
        let failure = once(target(&format!("http+unix://{}/fn", path.display()))).await.expect_err("a failure");
        assert_eq!((failure.kind, failure.code), (FailureKind::Unreachable, "MP4001"), "{failure:?}");
        let error = failure.error.to_lowercase();
        let socket = format!("unix domain socket `{}`: {why}", path.display()).to_lowercase();
        assert!(error.contains(&socket), "{error}");
        assert!(error.starts_with("`greeter.fns/user` at `http+unix:///"), "{error}");
    }
}
