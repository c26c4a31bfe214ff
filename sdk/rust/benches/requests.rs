//! How many requests a second one trivial function answers: in memory, and over HTTP on loopback.
//!
//! The function has one state, counts, and sends one record; each request has one message. Client and server share the
//! process and the machine, so the figure over HTTP is what both need together.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::Request;
use hyper_util::rt::TokioIo;
use millpond_protocol::types::SimpleValue;
use millpond_protocol::{Address, TypeName, request};
use millpond_sdk::{Context, Functions, Message, PLAYGROUND_EGRESS, PlaygroundRecord, Result, ValueSpec};
use tokio::net::{TcpListener, TcpStream};

const COUNT: ValueSpec<i64> = ValueSpec::new("count");
const TIME: Duration = Duration::from_secs(3);
const CONNECTIONS: usize = 32;

async fn count(context: &mut Context, _: Message) -> Result {
    let count = context.get(COUNT)?.unwrap_or(0) + 1;
    context.set(COUNT, &count)?;
    Ok(context.send_egress(PLAYGROUND_EGRESS, PlaygroundRecord::new("counts", count.to_string()))?)
}

fn call() -> Bytes {
    let target = Address::new(TypeName::new("example", "count"), "one");
    let value = SimpleValue::Long(41).encode();
    let states = [request::State { name: "count", value: Some(("io.statefun.types/long", &value)) }];
    let argument = request::typed_value("io.statefun.types/string", &SimpleValue::String("hi".into()).encode());
    request::encode(&target, &states, &[request::Invocation { caller: None, argument: &argument }])
}

async fn in_memory(functions: &Functions) -> f64 {
    let call = call();
    let start = Instant::now();
    let mut answered = 0u32;
    while start.elapsed() < TIME {
        for _ in 0..1000 {
            functions.handle(call.clone()).await.expect("an answer");
        }
        answered += 1000;
    }
    f64::from(answered) / start.elapsed().as_secs_f64()
}

async fn over_http(functions: &Functions) -> f64 {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(millpond_sdk::serve(listener, functions.clone()).into_future());
    let answered = Arc::new(AtomicU64::new(0));
    let start = Instant::now();
    let mut clients = tokio::task::JoinSet::new();
    for _ in 0..CONNECTIONS {
        let answered = answered.clone();
        clients.spawn(async move {
            let stream = TcpStream::connect(address).await.expect("a connection");
            stream.set_nodelay(true).expect("an open connection");
            let (mut sender, connection) =
                hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.expect("http/1");
            tokio::spawn(connection);
            let call = call();
            while start.elapsed() < TIME {
                let request = Request::post("/").body(Full::new(call.clone())).expect("a request");
                let response = sender.send_request(request).await.expect("an answer");
                response.into_body().collect().await.expect("a body");
                answered.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    while clients.join_next().await.is_some() {}
    answered.load(Ordering::Relaxed) as f64 / start.elapsed().as_secs_f64()
}

#[tokio::main]
#[allow(clippy::print_stdout)]
async fn main() {
    let functions = Functions::new().bind("example/count", COUNT, count);
    println!("in memory, one task:        {:>9.0} requests/s", in_memory(&functions).await);
    println!("HTTP/1.1, {CONNECTIONS} connections:   {:>9.0} requests/s", over_http(&functions).await);
}
