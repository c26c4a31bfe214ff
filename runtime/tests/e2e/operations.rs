//! The promises to whoever runs a node: every metric has the value that the work must give, and what is shown is what is.

use std::process::Command;
use std::time::Instant;

use reqwest::{Client, StatusCode};
use serde_json::{Value, json};

use crate::functions::Functions;
use crate::http::{self, Event};
use crate::runtime::{Installation, Runtime};
use crate::scrape::{Scrape, becomes};
use crate::wait::eventually;

fn order(number: u64, order: &Value) -> Event {
    Event {
        function: "example/metered",
        id: "Ada".to_owned(),
        value_type: "example.types/Order",
        value: order.to_string(),
        key: format!("order-{number}"),
    }
}

const METERED: &str = r#"namespace="example",name="metered""#;
const SINK: &str = r#"namespace="example",name="sink""#;
const KEEPER: &str = r#"namespace="example",name="keeper""#;

impl Scrape {
    /// What a metric of `example/metered` says.
    fn metered(&self, name: &str) -> f64 {
        self.value(&format!("statefun_function_{name}{{{METERED}}}"))
    }

    /// How many attempts to call it have ended.
    fn latencies(&self) -> f64 {
        self.metered("remote_invocation_latency_seconds_count")
    }
}

/// Waits until so many invocations have run for good, and nothing of them is under way any more.
async fn at_rest(client: &Client, runtime: &Runtime, invocations: f64) -> Scrape {
    eventually(&format!("{invocations} invocations to have run"), async || {
        let scrape = Scrape::of(client, runtime).await;
        let ran = scrape.value(&format!("millpond_function_invocations_total{{{METERED}}}"));
        assert!(ran <= invocations, "{ran} invocations ran, {invocations} were sent");
        (ran == invocations).then_some(scrape)
    })
    .await
}

async fn address(client: &Client, runtime: &Runtime, path: &str) -> Value {
    let url = format!("http://{}/v1/addresses/{path}", runtime.field("admin"));
    client.get(url).send().await.expect("an answer").json().await.expect("JSON")
}

/// Upstream's metrics, one by one, with its meanings, while a function is called once, is held up, and fails.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_metric_says_what_was_done() {
    let Some(functions) = Functions::start_for_tests("metered") else {
        return;
    };
    let installation = Installation::new(&functions.module());
    let client = http::client();
    let began = Instant::now();
    let runtime = installation.start();

    // One order: two messages, one record, one delayed message. The answer to the first request is no message of its own.
    let first = order(1, &json!({ "send": 2, "records": 1, "later_ms": [10] }));
    http::accepted(&client, &runtime, &first).await;
    let scrape = at_rest(&client, &runtime, 1.0).await;
    for (name, expected) in [
        ("in_total", 1.0),
        ("out_local_total", 2.0),
        ("out_remote_total", 0.0),
        ("out_egress_total", 1.0),
        ("num_blocked_address", 0.0),
        ("inflight_async_ops", 0.0),
        ("num_backlog", 0.0),
        ("remote_invocation_failures_total", 0.0),
        ("remote_invocation_latency_seconds_count", 1.0),
    ] {
        assert_eq!(scrape.metered(name), expected, "{name}");
    }
    // Two addresses of another function got a message each; again the first answer is no message.
    becomes(&client, &runtime, &format!("statefun_function_in_total{{{SINK}}}"), 3.0).await;
    // The third one asked for its state first, and was called again with it.
    becomes(&client, &runtime, &format!("statefun_function_in_total{{{KEEPER}}}"), 2.0).await;
    // Rates are over 60 s, sampled every 5 s.
    for (name, growth) in [("in", 1.0), ("out_local", 2.0), ("out_remote", 0.0), ("out_egress", 1.0)] {
        let series = format!("statefun_function_{name}_rate{{{METERED}}}");
        becomes(&client, &runtime, &series, growth / 60.0).await;
    }

    // From here on each answer is a message too.
    http::accepted(&client, &runtime, &order(2, &json!({}))).await;
    assert_eq!(at_rest(&client, &runtime, 2.0).await.metered("in_total"), 3.0);

    // One call is held; two more messages wait, which is the limit: the producer of the second waits as well.
    http::accepted(&client, &runtime, &order(3, &json!({ "hold": true }))).await;
    becomes(&client, &runtime, &format!("statefun_function_inflight_async_ops{{{METERED}}}"), 1.0).await;
    let held_since = Instant::now();
    http::accepted(&client, &runtime, &order(4, &json!({ "later_ms": [3_600_000] }))).await;
    let (held, ingress) = (client.clone(), runtime.field("ingress").to_owned());
    let blocked = tokio::spawn(async move { http::put(&held, &ingress, &order(5, &json!({}))).await });
    becomes(&client, &runtime, &format!("statefun_function_num_blocked_address{{{METERED}}}"), 1.0).await;
    let scrape = Scrape::of(&client, &runtime).await;
    for (name, expected) in [("in_total", 6.0), ("inflight_async_ops", 1.0), ("num_backlog", 2.0)] {
        assert_eq!(scrape.metered(name), expected, "{name}");
    }
    for (series, expected) in [
        ("statefun_inflight_async_ops", 1.0),
        ("statefun_feedback_produced_total", 0.0),
        ("statefun_feedback_produced_rate", 0.0),
        (&format!("millpond_function_pending{{{METERED}}}"), 3.0),
        (&format!("millpond_function_running{{{METERED}}}"), 1.0),
        (r#"millpond_http_requests_under_way{listener="ingress"}"#, 1.0),
    ] {
        assert_eq!(scrape.value(series), expected, "{series}");
    }
    assert!(!blocked.is_finished());
    held_up(&client, &runtime).await;

    let held = held_since.elapsed().as_secs_f64();
    client.post(functions.url().replace("/statefun", "/open")).send().await.expect("an answer");
    assert_eq!(blocked.await.expect("no panic").expect("an answer").status(), StatusCode::OK);
    let scrape = at_rest(&client, &runtime, 5.0).await;
    // The two that waited went out together.
    assert_eq!((scrape.metered("in_total"), scrape.latencies()), (8.0, 4.0));
    // One call took as long as it was held at least, and none longer than the test.
    let sum = scrape.metered("remote_invocation_latency_seconds_sum");
    assert!(held <= sum && sum <= 4.0 * began.elapsed().as_secs_f64(), "{held} {sum}");
    let all = format!(r#"statefun_function_remote_invocation_latency_seconds_bucket{{{METERED},le="+Inf"}}"#);
    assert_eq!(scrape.value(&all), 4.0);
    for name in ["num_blocked_address", "inflight_async_ops", "num_backlog"] {
        assert_eq!(scrape.metered(name), 0.0, "{name}");
    }

    // One attempt fails: it is counted, timed, and made again.
    http::accepted(&client, &runtime, &order(6, &json!({ "fail_once": true }))).await;
    let scrape = at_rest(&client, &runtime, 6.0).await;
    assert_eq!((scrape.metered("in_total"), scrape.latencies()), (10.0, 6.0));
    assert_eq!(scrape.metered("remote_invocation_failures_total"), 1.0);
    assert_eq!(scrape.value(&format!(r#"millpond_call_failures_total{{{METERED},code="MP4008"}}"#)), 1.0);
    let series = format!("statefun_function_remote_invocation_failures_rate{{{METERED}}}");
    becomes(&client, &runtime, &series, 1.0 / 60.0).await;

    node(&client, &runtime).await;
    function_types(&runtime);
    runtime.terminate();
}

/// The held address shows its call, what waits, and nothing of it twice.
async fn held_up(client: &Client, runtime: &Runtime) {
    let page = address(client, runtime, "example/metered/Ada").await;
    assert_eq!((&page["source"], &page["waiting"], &page["call"]["batch"]), (&json!("memory"), &json!(2), &json!(1)));
    let mailbox = page["mailbox"].as_array().expect("a list");
    let values: Vec<&Value> = mailbox.iter().map(|waiting| &waiting["value"]).collect();
    assert_eq!(values, [&json!({ "hold": true }), &json!({ "later_ms": [3_600_000] }), &json!({})]);
    assert_eq!(page["first"], mailbox[0]["sequence"]);
}

/// What is measured of the node itself.
async fn node(client: &Client, runtime: &Runtime) {
    // The delayed message that is due in an hour is shown as soon as it is durable.
    let page = eventually("the delayed message to be durable", async || {
        let page = address(client, runtime, "example/metered/Ada").await;
        (page["delayed"]["count"] == 1).then_some(page)
    })
    .await;
    let later = &page["delayed"]["messages"][0];
    assert_eq!(
        (&later["value"], &later["token"], &later["sender"]["id"]),
        (&json!({}), &json!("never"), &json!("Ada"))
    );
    let page = address(client, runtime, "example/keeper/later").await;
    assert_eq!((&page["states"][0]["name"], &page["states"][0]["value"]), (&json!("orders"), &json!(1)));
    assert!(page["states"][0]["expiresAt"].is_string(), "{page}");

    let scrape = eventually("every checkpoint to be durable", async || {
        let scrape = Scrape::of(client, runtime).await;
        let sealed = scrape.value("millpond_checkpoints_total");
        (sealed == scrape.value("millpond_checkpoint_duration_seconds_count")).then_some(scrape)
    })
    .await;
    assert_eq!(scrape.value("millpond_checkpoint_bytes_count"), scrape.value("millpond_checkpoints_total"));
    for (series, expected) in [
        ("millpond_ready", 1.0),
        ("millpond_function_types", 3.0),
        ("millpond_events_ingested_total", 6.0),
        (r#"millpond_http_requests_total{listener="ingress",status="200"}"#, 6.0),
        (r#"millpond_egress_records{egress="io.statefun.playground/egress",topic="out"}"#, 1.0),
        (r#"millpond_egress_records_total{egress="io.statefun.playground/egress",topic="out"}"#, 1.0),
        ("millpond_delayed_messages", 1.0),
    ] {
        assert_eq!(scrape.value(series), expected, "{series}");
    }
    for series in [
        "millpond_checkpoint_bytes_sum",
        "millpond_ledger_disk_bytes",
        "millpond_ledger_disk_free_bytes",
        "millpond_ledger_load_duration_seconds_count",
        "process_resident_memory_bytes",
        "process_cpu_seconds_total",
        "process_open_fds",
        "process_start_time_seconds",
    ] {
        assert!(scrape.value(series) > 0.0, "{series}");
    }
}

/// `millpond functions` says the same.
fn function_types(runtime: &Runtime) {
    let millpond = |args: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_millpond"));
        let output = command.args(args).args(["--admin", runtime.field("admin")]).output();
        let output = output.expect("the binary can be started");
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).expect("text")
    };
    let listed: Value = serde_json::from_str(&millpond(&["functions", "--json"])).expect("JSON");
    let functions = listed.as_array().expect("a list");
    let keeper = functions.iter().find(|function| function["name"] == "keeper").expect("it is there");
    assert_eq!((&keeper["learned"], &keeper["pending"], &keeper["invocations"]), (&json!(true), &json!(0), &json!(1)));
    let states = json!([{
        "name": "orders", "typename": "io.statefun.types/int", "expiration": "afterWrite", "expireAfterMs": 3_600_000
    }]);
    assert_eq!(keeper["states"], states);
    let table = millpond(&["functions"]);
    assert!(table.lines().count() == 4 && table.contains("example/metered"), "{table}");
    assert_eq!(millpond(&["ready"]), "ready\n");
    assert!(millpond(&["metrics"]).contains("\nmillpond_ready 1\n"));
}

/// An application whose functions are nowhere: what is sent to it waits.
fn waiting(pattern: &str, topic: &str) -> String {
    format!(
        "kind: io.statefun.playground.v1/ingress\nspec:\n  port: 0\n---\n\
         kind: io.statefun.playground.v1/egress\nspec:\n  port: 0\n  topics: [{topic}]\n---\n\
         kind: io.statefun.endpoints.v2/http\nspec:\n  functions: {pattern}\n  urlPathTemplate: http://127.0.0.1:9\n"
    )
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("text")
}

/// A data directory knows whose it is, and says so to another one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_application_keeps_its_name() {
    let installation = Installation::new(&waiting("example/*", "out"));
    let runtime = installation.start_with(&["--app", "orders"]);
    assert_eq!(runtime.field("app"), "orders");
    runtime.kill();
    let other = installation.refused_with("127.0.0.1:0", &["--app", "payments"]);
    assert_eq!(other.status.code(), Some(1));
    let expected = format!(
        "error[MP7032]: `{}` belongs to application `orders`, and `--app` says `payments`\nhint: start it with `--app orders`",
        installation.data().display()
    );
    assert!(text(&other.stderr).contains(&expected), "{}", text(&other.stderr));
    let setting = ["-D", "statefun.flink-job-name=payments"];
    let other = installation.refused_with("127.0.0.1:0", &setting);
    assert!(text(&other.stderr).contains("and `statefun.flink-job-name` says `payments`"), "{}", text(&other.stderr));
    let runtime = installation.start();
    assert_eq!(runtime.field("app"), "orders", "it knows its name");
    runtime.terminate();

    let unnamed = Installation::new(&waiting("example/*", "out"));
    let runtime = unnamed.start();
    let made = runtime.field("app").to_owned();
    assert!(made.starts_with("millpond-"), "{made}");
    runtime.kill();
    assert_eq!(unnamed.start().field("app"), made);
    std::fs::write(unnamed.data().join("APPLICATION"), "torn").expect("a file");
    assert!(text(&unnamed.refused("127.0.0.1:0").stderr).contains("error[MP7032]"));
}

/// MP7034: a component that is gone is missed when there is work for it; with a word of the operator the work waits for it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn removed_components_are_missed() {
    let installation = Installation::new(&waiting("example/*", "out"));
    let client = http::client();
    let runtime = installation.start();
    for number in 1..=3 {
        http::accepted(&client, &runtime, &order(number, &json!({}))).await;
    }
    runtime.kill();
    let file = installation.data().join("APPLICATION");
    let kept = std::fs::read(&file).expect("it is there");
    std::fs::remove_file(&file).expect("it is ours");
    let refused = text(&installation.refused("127.0.0.1:0").stderr);
    assert!(refused.contains("error[MP7032]") && refused.contains("it is missing"), "{refused}");
    std::fs::write(&file, kept).expect("it is ours");

    installation.change_module(&waiting("example/other", "out"));
    let refused = installation.refused("127.0.0.1:0");
    assert_eq!(refused.status.code(), Some(1));
    let stderr = text(&refused.stderr);
    assert!(
        stderr.contains("error[MP7034]") && stderr.contains("function type `example/metered`: 3 invocations wait"),
        "{stderr}"
    );
    assert!(stderr.contains("`--allow-removed`"), "{stderr}");

    let runtime = installation.start_with(&["--allow-removed"]);
    assert!(runtime.log().contains("function type `example/metered`: 3 invocations wait"), "{}", runtime.log());
    runtime.kill();
    // That was the word; and what waits is there when the component comes back.
    installation.start().kill();
    installation.change_module(&waiting("example/*", "out"));
    let runtime = installation.start();
    let page = address(&client, &runtime, "example/metered/Ada").await;
    assert_eq!(page["mailbox"].as_array().map(Vec::len), Some(3), "{page}");
    runtime.terminate();
}
