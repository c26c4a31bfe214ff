//! Headers that an endpoint wants with every request.

use std::path::Path;
use std::time::Duration;

use http::{HeaderName, HeaderValue};
use tokio::sync::mpsc;

use super::authority::write;
use super::server::{Server, answer, ok};
use super::{EndpointTarget, call, invoker, once, target};
use crate::credentials::header::HeaderSource;

fn header(name: &'static str, value: &'static str, file: Option<&Path>) -> HeaderSource {
    HeaderSource {
        name: HeaderName::from_static(name),
        value: HeaderValue::from_static(value),
        file: file.map(Path::to_owned),
    }
}

/// They come with every request, and a token that was renewed is the one that is sent from then on.
#[tokio::test]
async fn values_from_the_module_and_from_files() {
    let folder = tempfile::tempdir().expect("a folder");
    let token = write(folder.path(), "token", "one\n");
    let (sink, mut heads) = mpsc::unbounded_channel();
    let server = Server::start(move |mut peer| {
        let sink = sink.clone();
        async move {
            while let Some(request) = peer.request().await {
                sink.send(request.head).expect("the test waits");
                peer.write(&ok(b"")).await;
            }
        }
    })
    .await;
    let headers = vec![
        header("x-tenant", "acme", None),
        header("user-agent", "ours", None),
        header("authorization", "Bearer ", Some(&token)),
    ];
    let invoker = invoker(EndpointTarget { headers, ..target(&server.url) });
    invoker.call(&call()).await.expect("an answer");
    let head = heads.recv().await.expect("a request");
    for line in ["x-tenant: acme", "user-agent: ours", "authorization: Bearer one"] {
        assert!(head.contains(&format!("\r\n{line}\r\n")), "{head}");
    }
    assert!(!head.contains("statefun"), "{head}");

    // What cannot be sent leaves the old value.
    write(folder.path(), "token", "broken\nin two");
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    invoker.call(&call()).await.expect("an answer");
    assert!(heads.recv().await.expect("a request").contains("authorization: Bearer one\r\n"));

    // As Kubernetes does it: another file under the same name.
    let renewed = write(folder.path(), "renewed", "two");
    std::fs::rename(renewed, &token).expect("a file can be renamed");
    loop {
        invoker.call(&call()).await.expect("an answer");
        if heads.recv().await.expect("a request").contains("authorization: Bearer two\r\n") {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(server.accepted(), 1, "no connection was closed for it");
}

/// No failure tells a secret, not even one that the function repeats... it only shows what the function said itself.
#[tokio::test]
async fn secrets_are_not_told() {
    let source = header("authorization", "Bearer secret", None);
    let value = source.read().expect("a value");
    assert!(!format!("{value:?}").contains("secret"));
    let server = Server::answering(answer("401 Unauthorized", "", b"who are you?")).await;
    let failure = once(EndpointTarget { headers: vec![source], ..target(&server.url) }).await.expect_err("a failure");
    assert!(!format!("{failure:?}").contains("secret"), "{failure:?}");
}

/// A file that gives no value refuses the start.
#[tokio::test]
async fn files_without_a_value() {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, content, words) in [
        ("empty", " \n", "it is empty"),
        ("lines", "one\ntwo", "it holds a line break"),
        ("large", &"x".repeat(20_000), "it is larger than 16384 bytes"),
    ] {
        let file = write(folder.path(), name, content);
        let headers = vec![header("authorization", "Bearer ", Some(&file))];
        let endpoints = vec![EndpointTarget { headers, ..target("http://h") }];
        let made = crate::invoker::Invoker::new(endpoints, Default::default(), std::sync::Arc::new(super::OneEgress));
        let why = made.err().expect("a refusal").why;
        assert!(why.contains(words) && why.contains(&file.display().to_string()), "{why}");
    }
}
