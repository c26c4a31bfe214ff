//! Functions behind real sockets, in every way in which they can be served.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use millpond_protocol::proto::reqreply::from_function::Response as Answer;
use millpond_protocol::proto::reqreply::{FromFunction, ToFunction};
use millpond_protocol::{Address, TypeName, request};
use millpond_sdk::{Context, Functions, Message, Result};
use prost::Message as _;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::{mpsc, oneshot};

/// Sends back what it gets; text `fail` fails.
async fn echo(context: &mut Context, message: Message) -> Result {
    if message.is::<String>() && message.value::<String>()? == "fail" {
        Err("as you said")?;
    }
    let me = context.address();
    Ok(context.send(me, message)?)
}

fn functions() -> Functions {
    Functions::new().bind("example/echo", (), echo)
}

/// The body of a call with one text.
fn call(function: &str, text: &str) -> Bytes {
    let target = Address::new(TypeName::parse(function).expect("a typename"), "1");
    let value = millpond_sdk::TypedValue::of(&text.to_owned()).expect("a text");
    let argument = request::typed_value(value.typename(), value.bytes());
    request::encode(&target, &[], &[request::Invocation { caller: None, argument: &argument }])
}

fn post(body: Bytes) -> Request<Full<Bytes>> {
    Request::post("http://functions/any/path")
        .header("content-type", "application/octet-stream")
        .body(Full::new(body))
        .expect("a request")
}

async fn http1(stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static, request: Request<Full<Bytes>>) -> Reply {
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.expect("http/1");
    tokio::spawn(connection);
    Reply::of(sender.send_request(request).await.expect("an answer")).await
}

async fn http2(stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static, request: Request<Full<Bytes>>) -> Reply {
    let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await;
    let (mut sender, connection) = handshake.expect("http/2");
    tokio::spawn(connection);
    Reply::of(sender.send_request(request).await.expect("an answer")).await
}

struct Reply {
    head: http::response::Parts,
    body: Bytes,
}

impl Reply {
    async fn of(response: Response<hyper::body::Incoming>) -> Reply {
        let (head, body) = response.into_parts();
        Reply { head, body: body.collect().await.expect("a body").to_bytes() }
    }

    fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("text")
    }

    /// It is an answer to `call`.
    fn is_echo_of(&self, text: &str) {
        assert_eq!(self.head.status, StatusCode::OK, "{}", self.text());
        assert_eq!(self.head.headers["content-type"], "application/octet-stream");
        let answer = FromFunction::decode(self.body.clone()).expect("a `FromFunction`");
        let Some(Answer::InvocationResult(effects)) = answer.response else { panic!("not a result") };
        let argument = effects.outgoing_messages[0].argument.clone().expect("an argument");
        assert_eq!(&argument.value[2..], text.as_bytes());
    }
}

/// A server on a free port, and how to stop it.
async fn served(functions: Functions) -> (std::net::SocketAddr, oneshot::Sender<()>, tokio::task::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    let (stop, stopped) = oneshot::channel();
    let server = millpond_sdk::serve(listener, functions).with_graceful_shutdown(async {
        let _ = stopped.await;
    });
    let server = tokio::spawn(async move { server.await.expect("a server ends without an error") });
    (address, stop, server)
}

/// Promise: one port speaks HTTP/1.1 and HTTP/2.
#[tokio::test]
async fn tcp_speaks_both_versions() {
    let (address, _stop, _server) = served(functions()).await;
    let connect = async || TcpStream::connect(address).await.expect("a connection");
    http1(connect().await, post(call("example/echo", "hi"))).await.is_echo_of("hi");
    http2(connect().await, post(call("example/echo", "hi"))).await.is_echo_of("hi");
}

/// Promise: so does a unix socket.
#[tokio::test]
async fn unix_sockets_speak_both_versions() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("functions.sock");
    let listener = UnixListener::bind(&path).expect("a socket");
    tokio::spawn(millpond_sdk::serve(listener, functions()).into_future());
    let connect = async || UnixStream::connect(&path).await.expect("a connection");
    http1(connect().await, post(call("example/echo", "hi"))).await.is_echo_of("hi");
    http2(connect().await, post(call("example/echo", "hi"))).await.is_echo_of("hi");
}

/// Promise: it is an axum route.
#[tokio::test]
async fn axum_routes_to_it() {
    let app = axum::Router::new().route_service("/any/path", functions());
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(axum::serve(listener, app).into_future());
    let stream = TcpStream::connect(address).await.expect("a connection");
    http1(stream, post(call("example/echo", "hi"))).await.is_echo_of("hi");
}

/// Promise: it is a hyper service.
#[tokio::test]
async fn hyper_serves_it() {
    let (client, server) = tokio::io::duplex(1 << 16);
    tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(server), functions()));
    http1(client, post(call("example/echo", "hi"))).await.is_echo_of("hi");
}

/// Promise: each refusal has the status of upstream's Go SDK, and says why.
#[tokio::test]
async fn refusals_have_their_status() {
    let (address, _stop, _server) = served(functions().request_bytes_max(1000)).await;
    let send = async |request| http1(TcpStream::connect(address).await.expect("a connection"), request).await;
    let with = |change: fn(&mut Request<Full<Bytes>>)| {
        let mut request = post(call("example/echo", "hi"));
        change(&mut request);
        request
    };
    for (request, status, text) in [
        (with(|r| *r.method_mut() = Method::PUT), 405, "a function is called with POST"),
        (
            with(|r| r.headers_mut().insert("content-type", "text/plain".parse().expect("a value")).map_or((), drop)),
            415,
            "the content type of a call is `application/octet-stream`",
        ),
        (post(Bytes::new()), 400, "a call has a body"),
        (post(Bytes::from(vec![0; 1001])), 413, "the request has more than 1000 bytes"),
        (post(call("example/other", "hi")), 500, "no function is bound as `example/other`; bound are: example/echo"),
        (post(call("example/echo", "fail")), 500, "`example/echo` failed at message 1 of its batch: as you said"),
    ] {
        let reply = send(request).await;
        assert_eq!((reply.head.status.as_u16(), reply.text()), (status, text));
    }
    let garbage = send(post(Bytes::from_static(b"garbage"))).await;
    assert_eq!(garbage.head.status, 500);
    assert!(garbage.text().starts_with("the request is not a `ToFunction` message: "), "{}", garbage.text());
    // What upstream's runtimes leave out or add does no harm.
    send(with(|r| drop(r.headers_mut().remove("content-type")))).await.is_echo_of("hi");
    let nothing = send(post(ToFunction::default().encode_to_vec().into())).await;
    assert_eq!(nothing.head.status, 400, "a message without any field has no bytes");
}

/// Promise: a stop takes no new connection, and lets a call that has begun end.
#[tokio::test]
async fn a_graceful_stop_waits_for_calls() {
    struct Slow(mpsc::Sender<oneshot::Sender<()>>);
    impl millpond_sdk::Function for Slow {
        async fn call(&self, context: &mut Context, message: Message) -> Result {
            let (go_on, told) = oneshot::channel();
            self.0.send(go_on).await?;
            told.await?;
            echo(context, message).await
        }
    }
    let (begun, mut calls) = mpsc::channel(1);
    let (address, stop, server) = served(Functions::new().bind("example/slow", (), Slow(begun))).await;
    let stream = TcpStream::connect(address).await.expect("a connection");
    let reply = tokio::spawn(http1(stream, post(call("example/slow", "hi"))));
    let go_on = calls.recv().await.expect("the call has begun");
    stop.send(()).expect("the server runs");
    // Nobody listens any more as soon as the server has seen it.
    tokio::time::timeout(Duration::from_secs(60), async {
        while TcpStream::connect(address).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await
    .expect("the listener closes");
    assert!(!server.is_finished());
    go_on.send(()).expect("the call waits");
    reply.await.expect("a reply").is_echo_of("hi");
    server.await.expect("the server ends");
}
