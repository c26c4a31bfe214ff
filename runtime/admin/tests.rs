//! The admin API over real sockets, with a fake engine and ledger behind it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use millpond_engine::{
    AddressView, Answer, CallView, FailureKind, FailureView, FunctionMetrics, Invocation, Loaded, LoadedAddress,
    Metrics, Operation, StateValue,
};
use millpond_protocol::{Address, TypeName};
use reqwest::header::HeaderMap;
use reqwest::{Client, Method, RequestBuilder, Response};
use serde_json::{Value, json};

use super::{Access, Admin, Token};
use crate::edge::ConnectionLimits;
use crate::edge::fake::{FakeNode, lanes, raw, served};
use crate::handle::Readiness;

async fn start(node: &FakeNode, token: Option<&str>) -> SocketAddr {
    let token = token.map(|token| Token::new(token).expect("a token"));
    let access = Access::new("127.0.0.1:1".parse().expect("an address"), token);
    let admin = Admin::new(node.handle.clone(), node.ledger(), &lanes(), access);
    served(admin.into_service(), ConnectionLimits::default()).await
}

fn request(method: Method, address: SocketAddr, path: &str) -> RequestBuilder {
    Client::new().request(method, format!("http://{address}{path}"))
}

async fn get(address: SocketAddr, path: &str) -> Response {
    request(Method::GET, address, path).send().await.expect("an answer")
}

/// Checks status and error code, and gives the headers.
async fn expect_problem(response: Response, status: u16, code: &str) -> HeaderMap {
    assert_eq!(response.status().as_u16(), status);
    let headers = response.headers().clone();
    let body: Value = response.json().await.expect("JSON");
    assert_eq!(body["code"], code, "{body}");
    assert!(body["error"].is_string() && body["hint"].is_string(), "{body}");
    headers
}

fn greeter(id: &str) -> Address {
    Address::new(TypeName::new("com.example.fns", "greeter"), id)
}

fn state(typename: (&str, &str), value: &'static [u8]) -> StateValue {
    StateValue { typename: TypeName::new(typename.0, typename.1), value: value.into(), written: 1_735_689_599_042 }
}

/// The process lives, whoever asks; it is ready when the node says so.
#[tokio::test]
async fn health_and_readiness() {
    let node = FakeNode::start();
    let address = start(&node, None).await;
    for (readiness, status, text) in [
        (Readiness::Ready, 200, "ready\n"),
        (Readiness::Starting, 503, "starting\n"),
        (Readiness::Stopping, 503, "stopping\n"),
        (Readiness::Failed("the disk is full".into()), 503, "failed: the disk is full\n"),
    ] {
        node.node.set_readiness(readiness);
        let response = get(address, "/readyz").await;
        assert_eq!(response.status().as_u16(), status);
        assert_eq!(response.text().await.expect("a body"), text);
        let alive = request(Method::GET, address, "/healthz").header("host", "any.example").send().await;
        assert_eq!(alive.expect("an answer").status(), 200);
    }
}

/// Metrics come from the engine, in the form that Prometheus reads.
#[tokio::test]
async fn metrics() {
    let node = FakeNode::start();
    let address = start(&node, None).await;
    let functions = FunctionMetrics { input: 3, ..FunctionMetrics::default() };
    node.world().metrics = Metrics {
        functions: [(TypeName::new("a", "b"), functions)].into(),
        lane_records: vec![1, 2, 3],
        ..Metrics::default()
    };
    let response = get(address, "/metrics").await;
    assert_eq!(response.headers()["content-type"], "text/plain; version=0.0.4; charset=utf-8");
    let text = response.text().await.expect("a body");
    assert!(text.contains("\nstatefun_function_in_total{namespace=\"a\",name=\"b\"} 3\n"), "{text}");
    assert!(text.contains("topic=\"ü/🦆\"} 2\n"), "{text}");
}

/// What the engine holds of an address is shown with its values, call and failure.
#[tokio::test]
async fn an_address_in_memory() {
    let node = FakeNode::start();
    let address = start(&node, None).await;
    let view = AddressView {
        states: vec![
            ("seen".into(), state(("io.statefun.types", "int"), b"\x0d\x02\0\0\0")),
            ("profile".into(), state(("com.example", "profile"), br#"{"age": 36}"#)),
            ("blob".into(), state(("com.example", "blob"), b"\xff")),
        ],
        waiting: 2,
        more: false,
        first: Some(41),
        call: Some(CallView { batch: 3, began: 0, attempt: 1 }),
        failure: Some(FailureView {
            kind: FailureKind::Unreachable,
            code: "MP4001".into(),
            error: "connection refused".into(),
            attempts: 1,
            since: 1000,
            next: Some(2000),
            parked: false,
        }),
    };
    node.world().addresses.insert(greeter("a/ü 1"), view);
    let response = get(address, "/v1/addresses/com.example.fns/greeter/a%2F%C3%BC%201").await;
    let page: Value = response.json().await.expect("JSON");
    let state = |name, typename, size, field: &str, value: Value| {
        let written = "2024-12-31T23:59:59.042Z";
        json!({ "name": name, "typename": typename, "size": size, "writtenAt": written, field: value })
    };
    let expected = json!({
        "address": { "namespace": "com.example.fns", "name": "greeter", "id": "a/ü 1" },
        "source": "memory",
        "states": [
            state("seen", "io.statefun.types/int", 5, "value", json!(2)),
            state("profile", "com.example/profile", 11, "value", json!({ "age": 36 })),
            state("blob", "com.example/blob", 1, "base64", json!("/w==")),
        ],
        "waiting": 2,
        "first": 41,
        "call": { "batch": 3, "beganAt": "1970-01-01T00:00:00.000Z", "attempt": 1 },
        "failure": {
            "kind": "unreachable", "code": "MP4001", "error": "connection refused", "attempts": 1,
            "since": "1970-01-01T00:00:01.000Z", "nextAt": "1970-01-01T00:00:02.000Z", "parked": false,
        },
    });
    assert_eq!(page, expected);
}

/// What is not in memory is read from the ledger; what is nowhere is a 404.
#[tokio::test]
async fn an_address_in_the_ledger() {
    let node = FakeNode::start();
    let address = start(&node, None).await;
    let states = vec![(Arc::from("seen"), state(("io.statefun.types", "int"), b""))];
    let pending = vec![(1, Invocation { caller: None, argument: "".into(), arrived: 0 })];
    for id in ["", "stored"] {
        let (states, pending) = (states.clone(), pending.clone());
        let loaded = Loaded::Address(LoadedAddress {
            address: greeter(id),
            states,
            pending,
            more: false,
            failure: None,
            listed: true,
            accessed: None,
        });
        node.world().stored.insert(greeter(id), loaded);
    }
    let base = "/v1/addresses/com.example.fns/greeter";
    for (path, id) in [
        (format!("{base}/stored"), "stored"),
        (format!("{base}?id=stored"), "stored"),
        (format!("{base}?x=1&id=%73tored"), "stored"),
        (format!("{base}?id="), ""),
        (format!("{base}?id"), ""),
        (format!("{base}/"), ""),
    ] {
        let page: Value = get(address, &path).await.json().await.expect("JSON");
        assert_eq!((&page["address"]["id"], &page["source"]), (&json!(id), &json!("ledger")), "{path}");
        assert_eq!((&page["waiting"], &page["first"], &page["states"][0]["value"]), (&json!(1), &json!(1), &json!(0)));
    }
    expect_problem(get(address, &format!("{base}/nobody")).await, 404, "MP7014").await;
    let untouched = AddressView { states: Vec::new(), waiting: 0, more: false, first: None, call: None, failure: None };
    node.world().addresses.insert(greeter("untouched"), untouched);
    expect_problem(get(address, &format!("{base}/untouched")).await, 404, "MP7014").await;
    node.break_ledger();
    expect_problem(get(address, &format!("{base}/stored")).await, 500, "MP7017").await;
}

/// A parked address is tried when someone says so.
#[tokio::test]
async fn resuming() {
    let node = FakeNode::start();
    let address = start(&node, None).await;
    for path in ["/a%2Fb/resume", "/resume?id=", "/resume/resume"] {
        let path = format!("/v1/addresses/com.example.fns/greeter{path}");
        let response = request(Method::POST, address, &path).send().await.expect("an answer");
        assert_eq!(response.status(), 202);
    }
    let expected = ["a/b", "", "resume"].map(|id| (greeter(id), Operation::Resume));
    assert_eq!(node.world().operated, expected);
    let refused = get(address, "/v1/addresses/com.example.fns/greeter/a/resume").await;
    assert_eq!(expect_problem(refused, 405, "MP7016").await["allow"], "POST");
    assert_eq!(node.world().operated.len(), 3);
    node.world().answer = Some(Answer::Stopping);
    let stopping = request(Method::POST, address, "/v1/addresses/a/b/c/resume").send().await.expect("an answer");
    expect_problem(stopping, 503, "MP7015").await;
}

/// An operator names the message that is to go; the answer waits until that is durable.
#[tokio::test]
async fn taking_a_message_out() {
    let node = FakeNode::start();
    let address = start(&node, None).await;
    let base = "/v1/addresses/com.example.fns/greeter";
    let post = |path: String| async move { request(Method::POST, address, &path).send().await.expect("an answer") };
    node.world().hold = true;
    let skipped = tokio::spawn(post(format!("{base}/a%2Fb/skip?sequence=41")));
    node.until(|world| world.held.len() == 1).await;
    assert!(!skipped.is_finished());
    node.world().hold = false;
    node.release();
    assert_eq!(skipped.await.expect("an answer").status(), 200);
    assert_eq!(post(format!("{base}/dead-letter?sequence=42&id=")).await.status(), 200);
    assert_eq!(post(format!("{base}/skip/dead-letter?sequence=0")).await.status(), 200);
    let expected = [
        (greeter("a/b"), Operation::Skip(41)),
        (greeter(""), Operation::DeadLetter(42)),
        (greeter("skip"), Operation::DeadLetter(0)),
    ];
    assert_eq!(node.world().operated, expected);
    let refused = get(address, &format!("{base}/a/skip?sequence=1")).await;
    assert_eq!(expect_problem(refused, 405, "MP7016").await["allow"], "POST");
}

/// What cannot be taken out is a problem, which names the message that can, if it is known.
#[tokio::test]
async fn messages_that_cannot_be_taken_out() {
    let node = FakeNode::start();
    let access = Access::new("127.0.0.1:1".parse().expect("an address"), None);
    let admin = Admin::new(node.handle.clone(), node.ledger(), &lanes(), access);
    let admin = admin.with_call_patience(Duration::from_millis(100));
    let address = served(admin.into_service(), ConnectionLimits::default()).await;
    let view = AddressView { states: Vec::new(), waiting: 1, more: false, first: Some(41), call: None, failure: None };
    node.world().addresses.insert(greeter("waits"), view.clone());
    node.world().addresses.insert(greeter("idle"), AddressView { first: None, ..view });
    let hint = async |path: &str, status: u16, code: &str| {
        let path = format!("/v1/addresses/com.example.fns/greeter/{path}");
        let response = request(Method::POST, address, &path).send().await.expect("an answer");
        assert_eq!(response.status().as_u16(), status, "{path}");
        let body: Value = response.json().await.expect("JSON");
        assert_eq!(body["code"], code, "{body}");
        body["hint"].as_str().expect("a hint").to_owned()
    };
    for query in
        ["", "?", "?sequence", "?sequence=", "?sequence=x", "?sequence=-1", "?sequence=1&sequence=1", "?first=1"]
    {
        assert_eq!(hint(&format!("waits/skip{query}"), 400, "MP7020").await, "first in line is `sequence=41`");
    }
    assert_eq!(hint("idle/dead-letter", 400, "MP7020").await, "no message waits at this address");
    assert!(hint("elsewhere/skip", 400, "MP7020").await.starts_with("see `first` of the address"));
    assert!(node.world().operated.is_empty());

    node.world().answer = Some(Answer::NotFirst);
    assert_eq!(hint("waits/skip?sequence=40", 409, "MP7018").await, "first in line is `sequence=41`");
    node.world().answer = Some(Answer::NoRoute);
    assert!(hint("waits/dead-letter?sequence=41", 409, "MP7019").await.starts_with("add `deadLetter`"));
    node.world().answer = Some(Answer::Stopping);
    hint("waits/skip?sequence=41", 503, "MP7015").await;
    node.world().hold = true;
    hint("waits/skip?sequence=41", 504, "MP7021").await;
}

/// Paths and methods that there are not, and addresses that cannot be read, are told so.
#[tokio::test]
async fn requests_with_a_problem() {
    let node = FakeNode::start();
    let address = start(&node, None).await;
    for (path, status, code) in [
        ("/", 404, "MP7016"),
        ("/metrics/", 404, "MP7016"),
        ("/v1/addresses/a", 404, "MP7016"),
        ("/v1/addresses/a/b/c/d", 404, "MP7016"),
        ("/v1/addresses/a/b", 400, "MP7013"),
        ("/v1/addresses/a/b?id=1&id=2", 400, "MP7013"),
        ("/v1/addresses/a/b/%ff", 400, "MP7013"),
        ("/v1/addresses/%zz/b/c", 400, "MP7013"),
        ("/v1/addresses/a/b?id=%f", 400, "MP7013"),
    ] {
        expect_problem(get(address, path).await, status, code).await;
    }
    let refused = request(Method::DELETE, address, "/metrics").send().await.expect("an answer");
    assert_eq!(expect_problem(refused, 405, "MP7016").await["allow"], "GET, HEAD");
    for request in [
        &b"GET metrics HTTP/1.1\r\nhost: localhost\r\n\r\n"[..],
        b"OPTIONS * HTTP/1.1\r\nhost: localhost\r\n\r\n",
        b"\0",
    ] {
        let answer = raw(address, request).await;
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer}");
    }
}

/// An engine that is gone is told of, in time.
#[tokio::test]
async fn no_engine() {
    let (engine, _node) = crate::handle::EngineHandle::new(0, |_| Err(crate::handle::EngineGone));
    let access = Access::new("127.0.0.1:1".parse().expect("an address"), None);
    let admin = Admin::new(engine, FakeNode::start().ledger(), &[], access);
    let address = served(admin.into_service(), ConnectionLimits::default()).await;
    for path in ["/metrics", "/v1/addresses/a/b/c"] {
        expect_problem(get(address, path).await, 503, "MP7015").await;
    }
    let resumed = request(Method::POST, address, "/v1/addresses/a/b/c/resume").send().await.expect("an answer");
    expect_problem(resumed, 503, "MP7015").await;
    assert_eq!(get(address, "/healthz").await.status(), 200);
}

/// Names that are not ours and pages of other origins are refused; with a token, the token is needed.
#[tokio::test]
async fn access() {
    let node = FakeNode::start();
    let open = start(&node, None).await;
    assert_eq!(get(open, "/metrics").await.status(), 200);
    let rebound = request(Method::GET, open, "/metrics").header("host", "evil.example").send().await;
    expect_problem(rebound.expect("an answer"), 403, "MP7011").await;
    let page = request(Method::GET, open, "/readyz").header("origin", "http://evil.example").send().await;
    expect_problem(page.expect("an answer"), 403, "MP7012").await;

    let closed = start(&node, Some("secret\n")).await;
    for path in ["/metrics", "/readyz", "/v1/addresses/a/b/c", "/nothing"] {
        let refused = expect_problem(get(closed, path).await, 401, "MP7010").await;
        assert_eq!(refused["www-authenticate"], "Bearer");
    }
    let shown = request(Method::GET, closed, "/metrics").bearer_auth("secret").header("host", "node.example");
    assert_eq!(shown.send().await.expect("an answer").status(), 200);
    assert_eq!(get(closed, "/healthz").await.status(), 200);
}
