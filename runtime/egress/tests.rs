//! The egress reader over real sockets, with a fake engine and ledger behind it.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use millpond_engine::Answer;
use reqwest::{Client, Method, RequestBuilder, Response};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{EgressLimits, HttpEgress};
use crate::edge::ConnectionLimits;
use crate::edge::fake::{FakeNode, lanes, raw, served};
use crate::handle::Readiness;

async fn start(node: &FakeNode, change: impl FnOnce(&mut EgressLimits)) -> SocketAddr {
    let mut limits = EgressLimits::default();
    change(&mut limits);
    let egress = HttpEgress::new(node.handle.clone(), node.ledger(), &lanes(), limits);
    served(egress.into_service(), ConnectionLimits::default()).await
}

fn request(method: Method, address: SocketAddr, path: &str) -> RequestBuilder {
    Client::new().request(method, format!("http://{address}{path}"))
}

async fn get(address: SocketAddr, path: &str) -> Response {
    sent(request(Method::GET, address, path)).await
}

async fn sent(request: RequestBuilder) -> Response {
    let response = request.send().await.expect("an answer");
    assert_eq!(response.headers()["status"], response.status().as_str());
    response
}

/// Checks status and error code.
async fn expect_problem(response: Response, status: u16, code: &str) -> String {
    assert_eq!(response.status().as_u16(), status);
    let text = response.text().await.expect("a body");
    let body: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(body["code"], code, "{text}");
    text
}

async fn expect_record(response: Response, sequence: u64, payload: &str) {
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["sequence"], sequence.to_string().as_str());
    assert!(response.headers().get("content-type").is_none());
    assert_eq!(response.text().await.expect("a body"), payload);
}

/// A reader of server-sent events.
struct Events(Response, String);

impl Events {
    async fn open(request: RequestBuilder) -> Events {
        let response = sent(request.header("accept", "text/event-stream")).await;
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Events(response, String::new())
    }

    /// The next event or comment; `None` at the end of the stream.
    async fn next(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.1.find("\n\n") {
                let event = self.1[..end].to_owned();
                self.1.drain(..end + 2);
                return Some(event);
            }
            let piece = tokio::time::timeout(Duration::from_secs(5), self.0.chunk()).await.expect("in time");
            self.1.push_str(std::str::from_utf8(&piece.expect("a whole stream")?).expect("text"));
        }
    }
}

/// Taking gives the oldest record and removes it; 404 without a body when there is none, 405 for an unknown topic.
#[tokio::test]
async fn taking() {
    let node = FakeNode::start();
    let address = start(&node, |_| {}).await;
    node.publish(0, "Hi Ada");
    node.publish(0, "");
    node.publish(1, "quack");
    expect_record(get(address, "/greetings").await, 1, "Hi Ada").await;
    expect_record(sent(request(Method::POST, address, "/greetings?_=17")).await, 2, "").await;
    let empty = get(address, "/greetings").await;
    assert_eq!((empty.status().as_u16(), empty.content_length()), (404, Some(0)));
    expect_record(get(address, "/%C3%BC/%F0%9F%A6%86").await, 1, "quack").await;
    assert_eq!(get(address, "/%c3%bc%2F%F0%9F%A6%86").await.status(), 404);
    assert_eq!(node.world().freed, [1, 2, 1]);

    for path in ["/greeting", "/", "/greetings/", "/Greetings"] {
        let text = expect_problem(get(address, path).await, 405, "MP6004").await;
        assert!(text.contains("`greetings`"), "{text}");
    }
    expect_problem(get(address, "/%ff").await, 400, "MP6006").await;
}

/// `HEAD` says whether there is a record and leaves it where it is, and so does `OPTIONS`.
#[tokio::test]
async fn peeking() {
    let node = FakeNode::start();
    let address = start(&node, |_| {}).await;
    let head = || sent(request(Method::HEAD, address, "/greetings"));
    assert_eq!(head().await.status(), 404);
    node.publish(0, "Hi");
    let options = sent(request(Method::OPTIONS, address, "/greetings")).await;
    assert_eq!(
        (options.status().as_u16(), &options.headers()["allow"]),
        (204, &"GET, HEAD, DELETE, OPTIONS".parse().unwrap())
    );
    for _ in 0..2 {
        let response = head().await;
        assert_eq!((response.status().as_u16(), &response.headers()["sequence"] == "1"), (200, true));
    }
    expect_record(get(address, "/greetings").await, 1, "Hi").await;
    assert_eq!(head().await.status(), 404);
}

/// Takers at one time get different records, each one once, and wait for their removals together.
#[tokio::test]
async fn concurrent_takers() {
    let node = FakeNode::start();
    let address = start(&node, |_| {}).await;
    for number in 1..=50 {
        node.publish(0, &number.to_string());
    }
    node.world().hold = true;
    let takers: Vec<_> = (0..60).map(|_| tokio::spawn(get(address, "/greetings"))).collect();
    node.until(|world| world.held.len() == 50).await;
    assert!(node.world().freed.is_sorted());
    assert!(takers.iter().filter(|taker| taker.is_finished()).count() <= 10);
    node.world().hold = false;
    node.release();
    let mut taken = BTreeSet::new();
    let mut empty = 0;
    for taker in takers {
        let response = taker.await.expect("an answer");
        if response.status() == 404 {
            empty += 1;
        } else {
            let sequence = response.headers()["sequence"].to_str().expect("text").to_owned();
            let payload = response.text().await.expect("a body");
            assert_eq!(sequence, payload);
            assert!(taken.insert(payload.parse::<u64>().expect("a number")));
        }
    }
    assert_eq!((taken, empty), ((1..=50).collect(), 10));
}

/// A record whose taker went away is gone, as documented; the next taker gets the next one.
#[tokio::test]
async fn a_taker_that_goes_away() {
    let node = FakeNode::start();
    let address = start(&node, |_| {}).await;
    node.publish(0, "lost");
    node.publish(0, "found");
    node.world().hold = true;
    let impatient = request(Method::GET, address, "/greetings").timeout(Duration::from_millis(200)).send().await;
    assert!(impatient.expect_err("no answer").is_timeout());
    node.world().hold = false;
    node.release();
    expect_record(get(address, "/greetings").await, 2, "found").await;
}

/// A record leaves only when its removal is durable; a node that stops keeps it.
#[tokio::test]
async fn taking_from_a_node_that_stops() {
    let node = FakeNode::start();
    let address = start(&node, |_| {}).await;
    node.publish(0, "1");
    node.publish(0, "2");
    node.world().answer = Some(Answer::Stopping);
    let response = get(address, "/greetings").await;
    assert_eq!(response.headers()["retry-after"], "1");
    expect_problem(response, 503, "MP6009").await;
    node.world().answer = None;
    node.world().drop_answers = true;
    expect_problem(get(address, "/greetings").await, 503, "MP6009").await;
    expect_problem(sent(request(Method::DELETE, address, "/greetings?upto=1")).await, 503, "MP6009").await;
}

/// Reading gives pages and removes nothing.
#[tokio::test]
async fn reading() {
    let node = FakeNode::start();
    let address = start(&node, |_| {}).await;
    for number in 1..=150 {
        node.publish(0, &format!("\"{number}\"\n"));
    }
    let row = |sequence: u64| json!({ "sequence": sequence, "payload": format!("\"{sequence}\"\n") });
    for (query, expected) in [
        ("after=0&limit=2", vec![row(1), row(2)]),
        ("limit=1&after=149", vec![row(150)]),
        ("after=149", vec![row(150)]),
        ("after=150", vec![]),
        ("after=18446744073709551615", vec![]),
        ("after=0", (1..=100).map(row).collect()),
        ("after=0&limit=10000", (1..=150).map(row).collect()),
    ] {
        let response = get(address, &format!("/greetings?{query}")).await;
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "application/json");
        assert_eq!(response.headers()["first-sequence"], "1");
        assert_eq!(response.json::<Vec<Value>>().await.expect("JSON"), expected, "{query}");
    }
    assert!(node.world().freed.is_empty());
}

/// A page is bounded in bytes, but never empty because of one large record.
#[tokio::test]
async fn pages_are_bounded_in_bytes() {
    let node = FakeNode::start();
    let address = start(&node, |limits| limits.page_bytes = 10).await;
    for payload in ["a".repeat(20).as_str(), "b", "c"] {
        node.publish(0, payload);
    }
    for (after, expected) in [(0, vec![1]), (1, vec![2, 3])] {
        let rows: Vec<Value> = get(address, &format!("/greetings?after={after}")).await.json().await.expect("JSON");
        let sequences: Vec<u64> = rows.iter().filter_map(|row| row["sequence"].as_u64()).collect();
        assert_eq!(sequences, expected);
    }
}

/// Freeing removes up to and including a number; reading from below goes on with what is kept and says so.
#[tokio::test]
async fn freeing() {
    let node = FakeNode::start();
    let address = start(&node, |_| {}).await;
    for number in 1..=5 {
        node.publish(0, &number.to_string());
    }
    let freed = sent(request(Method::DELETE, address, "/greetings?upto=3")).await;
    assert_eq!((freed.status().as_u16(), freed.content_length().unwrap_or(0)), (204, 0));
    let response = get(address, "/greetings?after=1&limit=1").await;
    assert_eq!(response.headers()["first-sequence"], "4");
    let rows: Vec<Value> = response.json().await.expect("JSON");
    assert_eq!(rows, [json!({ "sequence": 4, "payload": "4" })]);
    expect_record(get(address, "/greetings").await, 4, "4").await;
    assert_eq!(sent(request(Method::DELETE, address, "/greetings?upto=99")).await.status(), 204);
    assert_eq!(get(address, "/greetings").await.status(), 404);
    node.publish(0, "6");
    expect_record(get(address, "/greetings").await, 6, "6").await;
    expect_problem(sent(request(Method::DELETE, address, "/greetings")).await, 400, "MP6006").await;
}

/// Freeing is durable before its answer.
#[tokio::test]
async fn freeing_waits_for_durability() {
    let node = FakeNode::start();
    let address = start(&node, |_| {}).await;
    node.publish(0, "1");
    node.world().hold = true;
    let freed = tokio::spawn(sent(request(Method::DELETE, address, "/greetings?upto=1")));
    node.until(|world| world.held.len() == 1).await;
    assert!(!freed.is_finished());
    node.release();
    assert_eq!(freed.await.expect("an answer").status(), 204);
}

/// A reader that misspells what it wants takes nothing.
#[tokio::test]
async fn queries_with_a_problem() {
    let node = FakeNode::start();
    let address = start(&node, |_| {}).await;
    node.publish(0, "kept");
    for query in ["aftr=0", "after=x", "limit=5", "wait_ms=5", "upto=1", "after=0&limit=10001", "after=0&wait_ms=60001"]
    {
        expect_problem(get(address, &format!("/greetings?{query}")).await, 400, "MP6006").await;
    }
    let unnumbered = request(Method::GET, address, "/greetings").header("accept", "text/event-stream");
    expect_problem(sent(unnumbered.header("last-event-id", "x")).await, 400, "MP6006").await;
    assert!(node.world().freed.is_empty());
}

/// A reader that waits gets a record as soon as there is one, or an empty page.
#[tokio::test]
async fn waiting_for_a_page() {
    let node = FakeNode::start();
    let address = start(&node, |_| {}).await;
    let wait = |ms: u64| format!("/greetings?after=0&wait_ms={ms}");
    let began = Instant::now();
    let none: Vec<Value> = get(address, &wait(200)).await.json().await.expect("JSON");
    assert!(none.is_empty() && began.elapsed() >= Duration::from_millis(190));
    let path = wait(30_000);
    let waiting = tokio::spawn(async move { get(address, &path).await });
    tokio::time::sleep(Duration::from_millis(100)).await;
    node.publish(0, "Hi");
    let rows: Vec<Value> = waiting.await.expect("an answer").json().await.expect("JSON");
    assert_eq!(rows, [json!({ "sequence": 1, "payload": "Hi" })]);
    let path = "/other?after=0&wait_ms=30000";
    let waiting = tokio::spawn(get(address, path));
    tokio::time::sleep(Duration::from_millis(100)).await;
    node.node.set_readiness(Readiness::Stopping);
    assert!(waiting.await.expect("an answer").json::<Vec<Value>>().await.expect("JSON").is_empty());
}

/// A follower gets what is there, then what comes, until the node stops; `Last-Event-ID` resumes.
#[tokio::test]
async fn following() {
    let node = FakeNode::start();
    let address = start(&node, |_| {}).await;
    for payload in ["one", "two\nlines", "three"] {
        node.publish(0, payload);
    }
    let follow = |path| request(Method::GET, address, path);
    let mut events = Events::open(follow("/greetings")).await;
    assert_eq!(events.next().await.as_deref(), Some(": following"));
    for expected in ["id: 1\ndata: one", "id: 2\ndata: two\ndata: lines", "id: 3\ndata: three"] {
        assert_eq!(events.next().await.as_deref(), Some(expected));
    }
    node.publish(1, "elsewhere");
    node.publish(0, "four");
    assert_eq!(events.next().await.as_deref(), Some("id: 4\ndata: four"));
    drop(events);

    for (request, expected) in [
        (follow("/greetings?after=3"), "id: 4\ndata: four"),
        (follow("/greetings").header("last-event-id", "2"), "id: 3\ndata: three"),
        (follow("/greetings?after=0").header("last-event-id", "3"), "id: 4\ndata: four"),
    ] {
        let mut events = Events::open(request).await;
        events.next().await;
        assert_eq!(events.next().await.as_deref(), Some(expected));
    }
    sent(request(Method::DELETE, address, "/greetings?upto=2")).await;
    let mut events = Events::open(follow("/greetings?after=1")).await;
    assert_eq!(events.0.headers()["first-sequence"], "3");
    events.next().await;
    assert_eq!(events.next().await.as_deref(), Some("id: 3\ndata: three"));
    assert_eq!(events.next().await.as_deref(), Some("id: 4\ndata: four"));
    node.node.set_readiness(Readiness::Stopping);
    assert_eq!(events.next().await, None);
}

/// A silent stream is kept alive by comments, and followers are bounded.
#[tokio::test]
async fn silent_streams() {
    let node = FakeNode::start();
    let address = start(&node, |limits| {
        limits.keep_alive = Duration::from_millis(50);
        limits.followers = 1;
    })
    .await;
    let mut events = Events::open(request(Method::GET, address, "/greetings?after=0")).await;
    events.next().await;
    for _ in 0..3 {
        assert_eq!(events.next().await.as_deref(), Some(": nothing new"));
    }
    expect_problem(get(address, "/greetings?after=0&wait_ms=10").await, 503, "MP6008").await;
    let second = request(Method::GET, address, "/other").header("accept", "text/event-stream");
    expect_problem(sent(second).await, 503, "MP6008").await;
    assert_eq!(get(address, "/greetings?after=0").await.status(), 200);
    drop(events);
    for _ in 0..100 {
        if get(address, "/greetings?after=0&wait_ms=1").await.status() == 200 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("the place of a follower that left stays taken");
}

/// A ledger that cannot be read is a 500, and nothing is taken.
#[tokio::test]
async fn a_broken_ledger() {
    let node = FakeNode::start();
    let address = start(&node, |_| {}).await;
    node.publish(0, "kept");
    node.break_ledger();
    expect_problem(get(address, "/greetings").await, 500, "MP6007").await;
    expect_problem(get(address, "/greetings?after=0").await, 500, "MP6007").await;
    assert!(node.world().freed.is_empty());
}

/// Whatever bytes arrive, nothing is taken and the server goes on.
#[tokio::test]
async fn garbage() {
    let node = FakeNode::start();
    let address = start(&node, |_| {}).await;
    node.publish(0, "kept");
    for request in [
        &b"GET greetings HTTP/1.1\r\nhost: x\r\n\r\n"[..],
        b"GET /greetings?after=%ff HTTP/1.1\r\nhost: x\r\n\r\n",
        b"GET /greetings?after=1;aftr HTTP/1.1\r\nhost: x\r\n\r\n",
        b"OPTIONS * HTTP/1.1\r\nhost: x\r\n\r\n",
        b"CONNECT greetings:80 HTTP/1.1\r\nhost: x\r\n\r\n",
        b"\x16\x03\x01\x02\x00",
    ] {
        let answer = raw(address, request).await;
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer}");
    }
    expect_record(get(address, "/greetings").await, 1, "kept").await;
}
