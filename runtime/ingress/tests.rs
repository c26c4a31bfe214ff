//! The ingress over real sockets, with a fake engine behind it.

use std::net::SocketAddr;
use std::time::Duration;

use axum::body::Bytes;
use millpond_engine::{Answer, Limits};
use reqwest::{Client, Method, RequestBuilder, Response};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{HttpIngress, IngressLimits};
use crate::edge::fake::{FakeNode, endpoints, raw, served};
use crate::edge::{BodyLimits, ConnectionLimits};
use crate::handle::Readiness;

const PATH: &str = "/com.example.fns/greeter/Ada";
const TYPED: (&str, &str) = ("content-type", "application/vnd.example.types/Visit");

async fn start(node: &FakeNode, change: impl FnOnce(&mut IngressLimits)) -> SocketAddr {
    let mut limits = IngressLimits::new(&Limits::default());
    change(&mut limits);
    let ingress = HttpIngress::new(node.handle.clone(), &endpoints(), limits);
    served(ingress.into_service(), ConnectionLimits::default()).await
}

fn put(address: SocketAddr, path: &str) -> RequestBuilder {
    Client::new().put(format!("http://{address}{path}")).header(TYPED.0, TYPED.1)
}

async fn sent(request: RequestBuilder) -> Response {
    request.send().await.expect("an answer")
}

/// Checks status, `Status` header and error code.
async fn expect(response: Response, status: u16, code: &str) -> String {
    assert_eq!(response.status().as_u16(), status);
    assert_eq!(response.headers()["status"], status.to_string().as_str());
    let text = response.text().await.expect("a body");
    if code.is_empty() {
        assert_eq!(text, "");
    } else {
        let body: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(body["code"], code, "{text}");
        assert!(body["hint"].is_string(), "{text}");
    }
    text
}

/// A request becomes one event: target from the path, argument with its type and body, no caller; answered when durable.
#[tokio::test]
async fn an_event_is_taken_in() {
    let node = FakeNode::start();
    let address = start(&node, |_| {}).await;
    for (path, id) in [
        ("/com.example.fns/greeter/Ada", "Ada"),
        ("/com.example.fns/greeter/Ada//", "Ada"),
        ("/com.example.fns/greeter/%F0%9F%A6%86%20%2F%25", "🦆 /%"),
        ("/com%2Eexample.fns/greete%72/%00?query=ignored", "\0"),
    ] {
        expect(sent(put(address, path).body("Hi")).await, 200, "").await;
        let event = node.world().events.pop().expect("an event");
        assert!(event.idempotency.is_none() && event.receipt.is_none());
        let [(target, argument)] = &event.invocations[..] else { panic!("one target") };
        assert_eq!(target.to_string(), format!("com.example.fns/greeter/{id}"));
        assert_eq!(argument, &Bytes::from_static(b"\x0a\x13example.types/Visit\x10\x01\x1a\x02Hi"));
    }
}

/// Any method, any content type but none, and a body of any bytes are taken, as upstream.
#[tokio::test]
async fn methods_and_types() {
    let node = FakeNode::start();
    let address = start(&node, |_| {}).await;
    let url = format!("http://{address}{PATH}");
    for method in [Method::PUT, Method::POST, Method::GET, Method::PATCH, Method::DELETE] {
        let request = Client::new().request(method, &url).header("content-type", "text/plain").body(&b"\xff\0"[..]);
        expect(sent(request).await, 200, "").await;
        let event = node.world().events.pop().expect("an event");
        assert_eq!(event.invocations[0].1, &b"\x0a\x18io.statefun.types/string\x10\x01\x1a\x02\xff\0"[..]);
    }
    expect(sent(Client::new().put(&url).body("Hi")).await, 415, "MP1003").await;
    expect(sent(Client::new().put(&url).header("content-type", "application/vnd.")).await, 200, "").await;
    assert_eq!(node.world().events.pop().expect("an event").invocations[0].1, &b"\x10\x01"[..]);
    assert!(node.world().events.is_empty());
}

/// Requests with a problem are told which, and nothing is taken in.
#[tokio::test]
async fn requests_with_a_problem() {
    let node = FakeNode::start();
    let address = start(&node, |_| {}).await;
    let long_id = format!("/com.example.fns/greeter/{}", "ü".repeat(513));
    let long_type = format!("/com.example.audit/{}/x", "n".repeat(240));
    for (path, status, code, words) in [
        ("/", 400, "MP1001", "0 parts, not 3"),
        ("/com.example.fns/greeter", 400, "MP1001", "2 parts, not 3"),
        ("/com.example.fns/greeter/", 400, "MP1001", "2 parts, not 3"),
        ("/com.example.fns/greeter/a/b", 400, "MP1001", "4 parts, not 3"),
        ("/com.example.fns/greeter/%ff", 400, "MP1002", "the id of the path cannot be read: it is not UTF-8"),
        ("/com.example.fns/greeter/%4", 400, "MP1002", "`%4` is not a percent escape"),
        (&long_id, 400, "MP1006", "the id has 1026 bytes, more than the limit of 1024"),
        (&long_type, 400, "MP1006", "the function type has 257 bytes, more than the limit of 256"),
        ("/com.example.fns/greter/Ada", 404, "MP1007", "did you mean `com.example.fns/greeter`?"),
        ("/org/nothing/x", 404, "MP1007", "declared endpoints: `com.example.fns/greeter`, `com.example.audit/*`"),
        ("/com.example.fns//x", 404, "MP1007", "no endpoint serves function type `com.example.fns/`"),
    ] {
        let text = expect(sent(put(address, path).body("Hi")).await, status, code).await;
        assert!(text.contains(words), "{path}: {text}");
    }
    let long = format!("application/vnd.a/{}", "t".repeat(255));
    let request = Client::new().put(format!("http://{address}{PATH}")).header("content-type", long);
    expect(sent(request).await, 400, "MP1006").await;
    expect(sent(put(address, PATH).header("idempotency-key", "k".repeat(256))).await, 400, "MP1008").await;
    expect(sent(put(address, PATH).header("idempotency-key", "")).await, 400, "MP1008").await;
    assert!(node.world().events.is_empty());
}

/// The largest id, typename and key are taken.
#[tokio::test]
async fn limits_are_inclusive() {
    let node = FakeNode::start();
    let address = start(&node, |_| {}).await;
    let path = format!("/com.example.audit/{}/{}", "n".repeat(256 - 17), "i".repeat(1024));
    expect(sent(put(address, &path).header("idempotency-key", "k".repeat(255))).await, 200, "").await;
}

/// A key that comes again gets the same answer, marked; for another event it is refused.
#[tokio::test]
async fn idempotency_keys() {
    let node = FakeNode::start();
    let address = start(&node, |_| {}).await;
    let visit = |body: &'static str| sent(put(address, PATH).header("Idempotency-Key", "visit-1").body(body));
    let first = visit("Hi").await;
    assert!(first.headers().get("idempotent-replayed").is_none());
    expect(first, 200, "").await;
    let again = visit("Hi").await;
    assert_eq!(again.headers()["idempotent-replayed"], "true");
    expect(again, 200, "").await;
    expect(visit("Ho").await, 422, "MP1009").await;
}

/// 200 leaves when the engine says that the event is durable, not before; a client that went away harms nobody.
#[tokio::test]
async fn answers_wait_for_durability() {
    let node = FakeNode::start();
    let address = start(&node, |_| {}).await;
    node.world().hold = true;
    let impatient = put(address, PATH).body("1").timeout(Duration::from_millis(200)).send().await;
    assert!(impatient.expect_err("no answer").is_timeout());
    node.until(|world| world.held.len() == 1).await;

    let patient = tokio::spawn(sent(put(address, PATH).body("2")));
    node.until(|world| world.held.len() == 2).await;
    assert!(!patient.is_finished());
    node.world().hold = false;
    node.release();
    expect(patient.await.expect("an answer"), 200, "").await;
    expect(sent(put(address, PATH).body("3")).await, 200, "").await;
    assert_eq!(node.world().events.len(), 3);
}

/// While intake is paused a request waits; it goes on with the resume, or is told to come again.
#[tokio::test]
async fn paused_intake() {
    let node = FakeNode::start();
    let address = start(&node, |limits| limits.pause = Duration::from_millis(300)).await;
    node.node.set_paused(true);
    let response = sent(put(address, PATH).body("1")).await;
    assert_eq!(response.headers()["retry-after"], "1");
    expect(response, 503, "MP1010").await;
    assert!(node.world().events.is_empty());

    let waiting = tokio::spawn(sent(put(address, PATH).body("2")));
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(node.world().events.is_empty());
    node.node.set_paused(false);
    expect(waiting.await.expect("an answer"), 200, "").await;
}

/// A node that is not ready, or has no room for one function type, takes nothing in and says so.
#[tokio::test]
async fn not_ready() {
    let node = FakeNode::start();
    let address = start(&node, |limits| limits.pause = Duration::from_secs(30)).await;
    for readiness in [Readiness::Starting, Readiness::Stopping, Readiness::Failed("disk".into())] {
        node.node.set_readiness(readiness);
        let response = sent(put(address, PATH).body("1")).await;
        assert_eq!(response.headers()["retry-after"], "1");
        expect(response, 503, "MP1011").await;
    }
    assert!(node.world().events.is_empty());

    node.node.set_readiness(Readiness::Ready);
    node.node.set_paused(true);
    let waiting = tokio::spawn(sent(put(address, PATH).body("2")));
    tokio::time::sleep(Duration::from_millis(100)).await;
    node.node.set_readiness(Readiness::Stopping);
    expect(waiting.await.expect("an answer"), 503, "MP1011").await;

    node.node.set_readiness(Readiness::Ready);
    node.node.set_paused(false);
    node.world().answer = Some(Answer::Stopping);
    expect(sent(put(address, PATH).body("3")).await, 503, "MP1011").await;
    node.world().answer = Some(Answer::Full);
    let full = sent(put(address, PATH).body("4")).await;
    assert_eq!(full.headers()["retry-after"], "1");
    expect(full, 503, "MP1015").await;
    node.world().answer = None;
    node.world().drop_answers = true;
    expect(sent(put(address, PATH).body("4")).await, 503, "MP1012").await;
}

/// An argument past its limit is refused, announced or not, and the client gets to read that.
#[tokio::test]
async fn large_bodies() {
    let node = FakeNode::start();
    let address = start(&node, |_| {}).await;
    let overhead = 2 + "example.types/Visit".len() + 2 + 5;
    let largest = vec![b'x'; (16 << 20) - overhead];
    expect(sent(put(address, PATH).body(largest)).await, 200, "").await;
    expect(sent(put(address, PATH).body(vec![b'x'; (16 << 20) - overhead + 1])).await, 413, "MP1005").await;
    expect(sent(put(address, PATH).body(vec![b'x'; 17 << 20])).await, 413, "MP1005").await;
    let pieces = (0..17).map(|_| Ok::<_, std::io::Error>(vec![b'x'; 1 << 20]));
    let streamed = reqwest::Body::wrap_stream(futures_util::stream::iter(pieces));
    expect(sent(put(address, PATH).body(streamed)).await, 413, "MP1005").await;
    // A client that asks first is spared the sending.
    let head = format!(
        "PUT {PATH} HTTP/1.1\r\nhost: x\r\ncontent-type: a\r\ncontent-length: 99999999\r\nexpect: 100-continue\r\n\r\n"
    );
    assert!(raw(address, head.as_bytes()).await.starts_with("HTTP/1.1 413 "));
    assert_eq!(node.world().events.len(), 1);
}

/// The memory for bodies is bounded and given back.
#[tokio::test]
async fn bodies_share_their_memory() {
    let node = FakeNode::start();
    let address = start(&node, |limits| limits.bodies_bytes = 1000).await;
    node.world().hold = true;
    let first = tokio::spawn(sent(put(address, PATH).body(vec![0; 600])));
    node.until(|world| world.held.len() == 1).await;
    expect(sent(put(address, PATH).body(vec![0; 600])).await, 503, "MP1013").await;
    node.world().hold = false;
    node.release();
    expect(first.await.expect("an answer"), 200, "").await;
    expect(sent(put(address, PATH).body(vec![0; 600])).await, 200, "").await;
}

/// A body that stalls, dribbles or ends early is given up.
#[tokio::test]
async fn slow_and_torn_bodies() {
    let node = FakeNode::start();
    let address = start(&node, |limits| {
        limits.body =
            BodyLimits { idle: Duration::from_millis(200), whole: Duration::from_millis(600), ..limits.body.clone() };
    })
    .await;
    let head = format!("PUT {PATH} HTTP/1.1\r\nhost: x\r\ncontent-type: a\r\ncontent-length: 100\r\n\r\n");
    let stalled = raw(address, format!("{head}12345").as_bytes()).await;
    assert!(stalled.starts_with("HTTP/1.1 408 ") && stalled.contains("MP1014"), "{stalled}");

    let mut dribbling = TcpStream::connect(address).await.expect("a connection");
    dribbling.write_all(head.as_bytes()).await.expect("sent");
    for _ in 0..9 {
        let _ = dribbling.write_all(b"1").await;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let mut answer = [0; 12];
    dribbling.read_exact(&mut answer).await.expect("an answer");
    assert_eq!(&answer, b"HTTP/1.1 408");

    let mut torn = TcpStream::connect(address).await.expect("a connection");
    torn.write_all(format!("{head}12345").as_bytes()).await.expect("sent");
    drop(torn);
    let garbled =
        format!("PUT {PATH} HTTP/1.1\r\nhost: x\r\ncontent-type: a\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n");
    let garbled = raw(address, garbled.as_bytes()).await;
    assert!(garbled.starts_with("HTTP/1.1 400 "), "{garbled}");
    assert!(node.world().events.is_empty());
    expect(sent(put(address, PATH).body("fine")).await, 200, "").await;
}

/// Whatever bytes arrive, the server answers an error or closes, and goes on.
#[tokio::test]
async fn garbage() {
    let node = FakeNode::start();
    let address = start(&node, |_| {}).await;
    let huge = format!("PUT /{} HTTP/1.1\r\n\r\n", "a".repeat(70_000));
    for request in [
        &b"\r\n\r\n"[..],
        b"\0\xff\xfe",
        b"GET\r\n\r\n",
        b"PUT  /a/b/c HTTP/1.1\r\n\r\n",
        b"PUT /a/b/c HTTP/9.9\r\n\r\n",
        b"PUT a/b/c HTTP/1.1\r\nhost: x\r\n\r\n",
        b"PUT /a/\xff/c HTTP/1.1\r\nhost: x\r\ncontent-type: a\r\n\r\n",
        b"OPTIONS * HTTP/1.1\r\nhost: x\r\n\r\n",
        b"CONNECT a:1 HTTP/1.1\r\nhost: x\r\n\r\n",
        b"PUT /a/b/c HTTP/1.1\r\ncontent-length: -1\r\n\r\n",
        b"PUT /a/b/c HTTP/1.1\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        huge.as_bytes(),
    ] {
        let answer = raw(address, request).await;
        assert!(
            answer.is_empty() || answer.starts_with("HTTP/1.1 4"),
            "{:?}: {answer}",
            String::from_utf8_lossy(request)
        );
    }
    assert!(node.world().events.is_empty());
    // The absolute form is what a client behind a proxy sends.
    let absolute = format!("PUT http://other{PATH} HTTP/1.1\r\nhost: x\r\ncontent-type: a\r\n\r\n");
    assert!(raw(address, absolute.as_bytes()).await.starts_with("HTTP/1.1 200 "));
}

/// Two requests on one connection, sent at once, are both answered, in order.
#[tokio::test]
async fn keep_alive() {
    let node = FakeNode::start();
    let address = start(&node, |_| {}).await;
    let request = |id| {
        format!(
            "PUT /com.example.fns/greeter/{id} HTTP/1.1\r\nhost: x\r\ncontent-type: a\r\ncontent-length: 1\r\n\r\nx"
        )
    };
    let answer = raw(address, format!("{}{}", request("1"), request("2")).as_bytes()).await;
    assert_eq!(answer.matches("HTTP/1.1 200 OK").count(), 2, "{answer}");
    let ids: Vec<_> = node.world().events.iter().map(|event| event.invocations[0].0.id.clone()).collect();
    assert_eq!(ids, ["1".into(), "2".into()]);
}
