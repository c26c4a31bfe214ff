//! What goes over the wire.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::http::header::CONTENT_TYPE;
use axum::routing::post;
use millpond_engine::{Call, Effects, Mutation, Reply};
use millpond_protocol::{Address, TypeName, request};

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

/// A server in chunks, with an extension and a trailer, byte after byte; one that only ends; one that says "go on" first.
#[tokio::test]
async fn answers_come_in_every_framing() {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/octet-stream\r\n";
    let chunks = b"transfer-encoding: chunked\r\n\r\n1;x=y\r\n\xa2\r\n2\r\n\x06\x00\r\n0\r\nx: y\r\n\r\n";
    let old = b"HTTP/1.0 200 OK\r\ncontent-type: application/octet-stream\r\n\r\n\xa2\x06\x00".as_slice();
    for answer in [
        bytes(&[head.as_bytes(), chunks]),
        bytes(&[old]),
        bytes(&[b"HTTP/1.1 100 Continue\r\n\r\n", &ok(b"\xa2\x06\x00")]),
    ] {
        let server = Server::start(move |mut peer| {
            let answer = answer.clone();
            async move {
                peer.request().await;
                for byte in answer.chunks(1) {
                    peer.write(byte).await;
                    tokio::task::yield_now().await;
                }
            }
        })
        .await;
        assert_eq!(once(target(&server.url)).await, Ok(Reply::Completed(Effects::default())));
    }
}

/// A field of a protobuf message.
fn field(number: u8, content: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    prost::encoding::encode_varint(u64::from(number) << 3 | 2, &mut out);
    prost::encoding::encode_varint(content.len() as u64, &mut out);
    [out, content.to_vec()].concat()
}

/// An answer that sends a request's body back, as the argument of a message.
fn echo(body: &[u8]) -> Vec<u8> {
    let target = [field(1, b"example"), field(2, b"echo"), field(3, b"1")].concat();
    let message = field(2, &[field(1, &target), field(2, body)].concat());
    let mut out = b"\xa2\x06".to_vec();
    prost::encoding::encode_varint(message.len() as u64, &mut out);
    [out, message].concat()
}

/// An ordinary web framework that echoes.
async fn echo_server() -> String {
    let app = Router::new()
        .route("/fn", post(|body: Bytes| async move { ([(CONTENT_TYPE, "application/octet-stream")], echo(&body)) }))
        .layer(axum::extract::DefaultBodyLimit::disable());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}/fn", listener.local_addr().expect("an address"));
    tokio::spawn(async move { axum::serve(listener, app).await });
    url
}

fn call_with(id: usize, argument: &[u8]) -> Call {
    let target = Address::new(TypeName::new("greeter.fns", "user"), id.to_string());
    let argument = request::typed_value("io.statefun.types/string", argument);
    Call { target, states: Vec::new(), invocations: vec![(None, argument)], ..call() }
}

fn assert_echo(call: &Call, reply: Reply) {
    let Reply::Completed(effects) = reply else { panic!("an answer with effects") };
    let invocation = request::Invocation { caller: None, argument: &call.invocations[0].1 };
    assert!(effects.messages[0].argument == request::encode(&call.target, &[], &[invocation]), "another body");
}

/// A hundred calls at once: each gets its own answer.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_hundred_calls_in_parallel() {
    let invoker = invoker(target(&echo_server().await));
    let calls: Vec<_> = (0..100)
        .map(|id| {
            let invoker = invoker.clone();
            tokio::spawn(async move {
                for round in 0..20 {
                    let call = call_with(id, format!("{id} {round}").as_bytes());
                    let reply = invoker.call(&call).await.expect("an answer");
                    assert_echo(&call, reply);
                }
            })
        })
        .collect();
    for call in calls {
        call.await.expect("no panic");
    }
    let metrics = &invoker.metrics()[0];
    assert_eq!((metrics.attempts, metrics.latency.count()), (2_000, 2_000));
    assert!(metrics.connections_open <= 100, "{metrics:?}");
}

/// Bodies that do not fit into any socket buffer, both ways.
#[tokio::test]
async fn large_bodies() {
    let invoker = invoker(target(&echo_server().await));
    let call = call_with(1, &vec![b'x'; 8 << 20]);
    for _ in 0..2 {
        assert_echo(&call, invoker.call(&call).await.expect("an answer"));
    }
    assert_eq!(invoker.metrics()[0].connections_open, 1);
}
