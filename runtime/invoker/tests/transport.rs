//! What goes over the wire, and over which connections.

use std::sync::{Arc, Mutex};

use millpond_engine::{Effects, Mutation, Reply};

use super::server::{Server, ok};
use super::{bytes, call, invoker, once, target};

/// `seen` := 1, as an SDK writes it.
const SET_SEEN: &[u8] = b"\xa2\x06\x2c\x0a\x2a\x08\x01\x12\x04seen\x1a\x20\x0a\x15io.statefun.types/int\x10\x01\x1a\x05\x0d\x01\x00\x00\x00";

/// The request of the wire format's worked example, head and body, byte for byte.
#[tokio::test]
async fn a_request_is_byte_for_byte_what_upstream_sends() {
    let seen = Arc::new(Mutex::new(None));
    let sink = Arc::clone(&seen);
    let server = Server::start(move |mut peer| {
        let sink = Arc::clone(&sink);
        async move {
            let request = peer.request().await;
            *sink.lock().expect("a test lock") = request;
            peer.write(&ok(b"")).await;
        }
    })
    .await;
    once(target(&format!("{}/fn/{{function.name}}?a=%20b#frag", server.url))).await.expect("an answer");
    let request = seen.lock().expect("a test lock").take().expect("a request");
    let host = server.url.strip_prefix("http://").expect("http");
    assert_eq!(
        request.head,
        format!(
            "POST /fn/user?a=%20b HTTP/1.1\r\n\
             content-type: application/octet-stream\r\n\
             accept: application/octet-stream\r\n\
             accept-encoding: gzip,deflate\r\n\
             connection: keep-alive\r\n\
             user-agent: statefun\r\n\
             host: {host}\r\n\
             content-length: 73\r\n\r\n"
        )
    );
    assert_eq!(
        request.body,
        bytes(&[
            b"\xa2\x06\x46\x0a\x16\x0a\x0bgreeter.fns\x12\x04user\x1a\x011",
            b"\x12\x06\x0a\x04seen",
            b"\x1a\x24\x12\x22\x0a\x18io.statefun.types/string\x10\x01\x1a\x04\x0a\x02Hi",
        ])
    );
}

/// The effects of an answer come back.
#[tokio::test]
async fn an_answer_is_decoded() {
    let server = Server::answering(ok(SET_SEEN)).await;
    let reply = once(target(&server.url)).await.expect("an answer");
    let value = bytes(&[b"\x0d\x01\x00\x00\x00"]);
    let mutation = Mutation::Modify { name: "seen".to_owned(), typename: "io.statefun.types/int".to_owned(), value };
    assert_eq!(reply, Reply::Completed(Effects { mutations: vec![mutation], ..Effects::default() }));
}

/// One connection carries call after call.
#[tokio::test]
async fn a_connection_is_used_again() {
    let server = Server::answering(ok(b"")).await;
    let invoker = invoker(target(&server.url));
    for _ in 0..20 {
        invoker.call(&call()).await.expect("an answer");
    }
    assert_eq!(server.accepted(), 1);
}
