//! The admin API over real sockets, with a fake engine and ledger behind it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use millpond_engine::{
    AddressView, Answer, CallView, DelayedMessage, Expiration, FailureKind, FailureView, FunctionMetrics, FunctionView,
    Invocation, InvocationView, Loaded, LoadedAddress, Metrics, Operation, StateSpec, StateValue, StateView,
};
use millpond_protocol::request::typed_value;
use millpond_protocol::types::SimpleValue;
use millpond_protocol::{Address, TypeName};
use reqwest::header::HeaderMap;
use reqwest::{Client, Method, RequestBuilder, Response};
use serde_json::{Value, json};

use super::{Access, Admin, EndpointName, Token};
use crate::edge::ConnectionLimits;
use crate::edge::fake::{FakeNode, endpoints, lanes, raw, served};
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

fn state(name: &str, (namespace, typename): (&str, &str), value: &'static [u8]) -> StateView {
    let typename = TypeName::new(namespace, typename);
    let value = StateValue { typename, value: value.into(), written: 1_735_689_599_042 };
    StateView { name: name.into(), value, expires: None }
}

/// A string as a function gets it.
fn string(text: &str) -> Bytes {
    typed_value("io.statefun.types/string", &SimpleValue::String(text.to_owned()).encode())
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
    for path in ["/healthz", "/readyz"] {
        let refused = request(Method::POST, address, path).send().await.expect("an answer");
        assert_eq!(expect_problem(refused, 405, "MP7016").await["allow"], "GET, HEAD");
        assert_eq!(request(Method::HEAD, address, "/healthz").send().await.expect("an answer").status(), 200);
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
            state("seen", ("io.statefun.types", "int"), b"\x0d\x02\0\0\0"),
            StateView {
                expires: Some(1_735_689_600_000),
                ..state("profile", ("com.example", "profile"), br#"{"age": 36}"#)
            },
            state("blob", ("com.example", "blob"), b"\xff"),
        ],
        mailbox: vec![
            InvocationView { sequence: 41, caller: None, argument: string("hello"), arrived: 0 },
            InvocationView { sequence: 44, caller: Some(greeter("ü/")), argument: "".into(), arrived: 1 },
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
    let message = |target: &str, token: Option<&str>| DelayedMessage {
        sender: greeter("ü/"),
        target: greeter(target),
        argument: string("later"),
        token: token.map(Into::into),
    };
    node.world().delayed = vec![
        (7, 3, message("a/ü 1", Some("tok"))),
        (8, 2, message("somebody else", None)),
        (9, 1, message("a/ü 1", None)),
    ];
    let response = get(address, "/v1/addresses/com.example.fns/greeter/a%2F%C3%BC%201").await;
    let page: Value = response.json().await.expect("JSON");
    let name = |id| json!({ "namespace": "com.example.fns", "name": "greeter", "id": id });
    let state = |name, typename, size, field: &str, value: Value| {
        let written = "2024-12-31T23:59:59.042Z";
        json!({ "name": name, "typename": typename, "size": size, "writtenAt": written, field: value })
    };
    let mut profile = state("profile", "com.example/profile", 11, "value", json!({ "age": 36 }));
    profile["expiresAt"] = "2025-01-01T00:00:00.000Z".into();
    let epoch = "1970-01-01T00:00:00.000Z";
    let later = json!({ "typename": "io.statefun.types/string", "size": 7, "value": "later" });
    let later = |due: &str, token: Option<&str>| {
        let mut later = later.clone();
        later["dueAt"] = format!("1970-01-01T00:00:00.00{due}Z").into();
        later["sender"] = name("ü/");
        if let Some(token) = token {
            later["token"] = token.into();
        }
        later
    };
    let expected = json!({
        "address": name("a/ü 1"),
        "source": "memory",
        "states": [
            state("seen", "io.statefun.types/int", 5, "value", json!(2)),
            profile,
            state("blob", "com.example/blob", 1, "base64", json!("/w==")),
        ],
        "waiting": 2,
        "first": 41,
        "mailbox": [
            {
                "sequence": 41, "arrivedAt": epoch,
                "typename": "io.statefun.types/string", "size": 7, "value": "hello",
            },
            {
                "sequence": 44, "arrivedAt": "1970-01-01T00:00:00.001Z", "caller": name("ü/"),
                "typename": "", "size": 0, "base64": "",
            },
        ],
        "delayed": { "count": 2, "complete": true, "messages": [later("7", Some("tok")), later("9", None)] },
        "call": { "batch": 3, "beganAt": epoch, "attempt": 1 },
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
    let states = vec![(Arc::from("seen"), state("seen", ("io.statefun.types", "int"), b"").value)];
    let seen =
        |expiration| StateSpec { name: "seen".into(), typename: TypeName::new("io.statefun.types", "int"), expiration };
    node.world().specs = vec![
        (TypeName::new("com.example.fns", "other"), seen(Expiration::AfterWrite(1))),
        (TypeName::new("com.example.fns", "greeter"), seen(Expiration::AfterInvoke(958))),
    ];
    let pending = vec![(1, Invocation { caller: None, argument: "".into(), arrived: 0, event_time: 0 })];
    for id in ["", "stored"] {
        let (states, pending) = (states.clone(), pending.clone());
        let loaded = Loaded::Address(LoadedAddress {
            address: greeter(id),
            states,
            pending,
            more: false,
            failure: None,
            listed: true,
            accessed: Some(1_735_689_600_042),
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
        assert_eq!(page["states"][0]["expiresAt"], "2025-01-01T00:00:01.000Z");
    }
    expect_problem(get(address, &format!("{base}/nobody")).await, 404, "MP7014").await;
    node.world().addresses.insert(greeter("untouched"), AddressView::default());
    expect_problem(get(address, &format!("{base}/untouched")).await, 404, "MP7014").await;
    let waits_only =
        DelayedMessage { sender: greeter("x"), target: greeter("waits only"), argument: string("later"), token: None };
    node.world().delayed = vec![(7, 1, waits_only)];
    let page: Value = get(address, &format!("{base}/waits%20only")).await.json().await.expect("JSON");
    assert_eq!(page["delayed"]["count"], 1);
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
    let view = AddressView { waiting: 1, first: Some(41), ..AddressView::default() };
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
    for path in ["/metrics", "/v1/functions", "/v1/addresses/a/b/c"] {
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
    let page = request(Method::GET, open, "/metrics").header("origin", "http://evil.example").send().await;
    expect_problem(page.expect("an answer"), 403, "MP7012").await;

    let closed = start(&node, Some("secret\n")).await;
    for path in ["/metrics", "/v1/functions", "/v1/addresses/a/b/c", "/nothing", "/healthz/", "/readyz/x"] {
        let refused = expect_problem(get(closed, path).await, 401, "MP7010").await;
        assert_eq!(refused["www-authenticate"], "Bearer");
    }
    let shown = request(Method::GET, closed, "/metrics").bearer_auth("secret").header("host", "node.example");
    assert_eq!(shown.send().await.expect("an answer").status(), 200);
    // Probes have no token, and come to whatever address the node has.
    for path in ["/healthz", "/readyz", "/healthz?x"] {
        assert_eq!(get(closed, path).await.status(), 200);
        let probe = request(Method::GET, closed, path).header("host", "10.1.2.3:8099").send().await;
        assert_eq!(probe.expect("an answer").status(), 200);
    }
}

/// Who shows the token for looking sees everything and changes nothing.
#[tokio::test]
async fn roles() {
    let node = FakeNode::start();
    let token = |text| Some(Token::new(text).expect("a token"));
    let access = Access::new("127.0.0.1:1".parse().expect("an address"), token("all")).with_read_token(token("look"));
    let admin = Admin::new(node.handle.clone(), node.ledger(), &lanes(), access);
    let address = served(admin.into_service(), ConnectionLimits::default()).await;
    let base = "/v1/addresses/com.example.fns/greeter";
    node.world().addresses.insert(greeter("a"), AddressView { waiting: 1, ..AddressView::default() });
    let ask = async |method: Method, path: &str, token: &str| {
        request(method, address, path).bearer_auth(token).send().await.expect("an answer")
    };
    for path in ["/metrics", "/v1/functions", &format!("{base}/a")] {
        for token in ["look", "all"] {
            assert_eq!(ask(Method::GET, path, token).await.status(), 200, "{path}");
        }
    }
    for path in ["a/resume", "a/skip?sequence=1", "a/dead-letter?sequence=1"] {
        let path = format!("{base}/{path}");
        expect_problem(ask(Method::POST, &path, "look").await, 403, "MP7022").await;
        assert!(node.world().operated.is_empty());
        assert!(ask(Method::POST, &path, "all").await.status().is_success());
        node.world().operated.clear();
    }
}

/// Function types come in parts, with who serves them and the states that they declared, or did before the start.
#[tokio::test]
async fn functions() {
    let node = FakeNode::start();
    let access = Access::new("127.0.0.1:1".parse().expect("an address"), None);
    let endpoints = endpoints().iter().map(|config| EndpointName::new(config, "http://me:secret@fn/x")).collect();
    let admin = Admin::new(node.handle.clone(), node.ledger(), &lanes(), access).with_endpoints(endpoints);
    let address = served(admin.into_service(), ConnectionLimits::default()).await;
    let spec = |name: &str, expiration| StateSpec {
        name: name.into(),
        typename: TypeName::new("io.statefun.types", "int"),
        expiration,
    };
    let view = |name: TypeName, endpoint, learned| FunctionView {
        name,
        endpoint,
        learned,
        specs: if learned { vec![spec("seen", Expiration::AfterWrite(5))] } else { Vec::new() },
        metrics: FunctionMetrics { backlog: 3, in_trouble: true, window: 1, ..FunctionMetrics::default() },
    };
    let odd = TypeName::new("com.example.audit", "a/b\n");
    node.world().functions = vec![
        view(greeter("").function, Some(0), true),
        view(odd.clone(), Some(1), false),
        view(TypeName::new("no", "body"), None, false),
    ];
    node.world().specs = vec![(odd, spec("old", Expiration::None))];
    let page: Value = get(address, "/v1/functions?limit=2").await.json().await.expect("JSON");
    let function = |namespace: &str, name: &str, endpoint: Value, learned, states: Value| {
        json!({
            "namespace": namespace, "name": name, "endpoint": endpoint, "learned": learned, "states": states,
            "pending": 3, "pendingBytes": 0, "running": 0, "callsInFlight": 0, "window": 1, "inTrouble": true,
            "parkedAddresses": 0, "blockedAddresses": 0, "invocations": 0, "failedAttempts": 0, "dropped": 0,
            "deadLetters": 0,
        })
    };
    let endpoint = |functions: &str| json!({ "functions": functions, "url": "http://fn/x" });
    let seen = json!([
        { "name": "seen", "typename": "io.statefun.types/int", "expiration": "afterWrite", "expireAfterMs": 5 }
    ]);
    let old = json!([{ "name": "old", "typename": "io.statefun.types/int", "expiration": "none" }]);
    let expected = json!({
        "functions": [
            function("com.example.fns", "greeter", endpoint("com.example.fns/greeter"), true, seen),
            function("com.example.audit", "a/b\n", endpoint("com.example.audit/*"), false, old),
        ],
        "next": 2,
    });
    assert_eq!(page, expected);
    let page: Value = get(address, "/v1/functions?from=2").await.json().await.expect("JSON");
    assert_eq!(page, json!({ "functions": [function("no", "body", Value::Null, false, json!([]))] }));
    let page: Value = get(address, "/v1/functions?from=18446744073709551615&limit=0").await.json().await.expect("JSON");
    assert_eq!(page, json!({ "functions": [] }));
    for query in ["from=x", "from=-1", "limit=", "from=1&from=2"] {
        expect_problem(get(address, &format!("/v1/functions?{query}")).await, 400, "MP7023").await;
    }
}

/// However large the values of an address are, its page is not.
#[tokio::test]
async fn a_large_address() {
    let node = FakeNode::start();
    let address = start(&node, None).await;
    let value: &'static [u8] = Box::leak(vec![b'x'; 60_000].into_boxed_slice());
    let states = (0..1_000).map(|number| state(&format!("s{number}"), ("a", "blob"), value)).collect();
    node.world().addresses.insert(greeter("large"), AddressView { states, ..AddressView::default() });
    let page = get(address, "/v1/addresses/com.example.fns/greeter/large").await.text().await.expect("a body");
    assert!(page.len() < 2 << 20, "{} bytes", page.len());
    let page: Value = serde_json::from_str(&page).expect("JSON");
    let last = &page["states"][999];
    assert_eq!((&last["size"], &last["base64"], &last["truncated"]), (&json!(60_000), &json!(""), &json!(true)));
}
