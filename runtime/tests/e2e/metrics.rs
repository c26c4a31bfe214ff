//! The promise: every metric that a node without Kafka has says what the work must give. Functions here succeed, are refused,
//! dropped, kept, parked, held and retried, all at once; then all of it stands still, and each metric has one right value.
//! The metrics of StateFun's own list are held against single steps in `operations.rs`.

use std::time::{Duration, Instant};

use reqwest::{Client, StatusCode};
use serde_json::{Value, json};

use crate::functions::Functions;
use crate::http::{self, Event};
use crate::runtime::{Installation, Runtime};
use crate::scrape::{Scrape, becomes};
use crate::wait::DEADLINE;

/// Function types that nobody has written, served by somebody who says so with 500; and one with one connection.
fn module(functions: &Functions) -> String {
    let url = functions.url();
    let endpoint = |functions: &str, more: &str| {
        format!(
            "---\nkind: io.statefun.endpoints.v2/http\nspec:\n  functions: {functions}\n  urlPathTemplate: {url}\n{more}"
        )
    };
    let brief = "  transport:\n    call: 1s\n    connect: 1s\n";
    [
        "kind: io.statefun.playground.v1/ingress\nspec:\n  port: 0\n---\n\
         kind: io.statefun.playground.v1/egress\nspec:\n  port: 0\n  topics: [out, letters]\n"
            .to_owned(),
        endpoint("example/*", ""),
        endpoint("drop/*", &format!("{brief}  failurePolicy: drop\n")),
        endpoint(
            "letters/*",
            &format!(
                "{brief}  failurePolicy: dead-letter\n  deadLetter:\n    egress: io.statefun.playground/egress\n    topic: letters\n"
            ),
        ),
        endpoint("park/*", brief),
        endpoint("trouble/*", brief),
        endpoint("narrow/*", "  transport:\n    call: 10min\n    pool_size: 1\n"),
    ]
    .concat()
}

async fn send(client: &Client, runtime: &Runtime, function: &'static str, id: &str, order: Value) {
    let event = Event {
        function,
        id: id.to_owned(),
        value_type: "example.types/Order",
        value: order.to_string(),
        key: format!("{function} {id}"),
    };
    http::accepted(client, runtime, &event).await;
}

fn of(metric: &str, function: &str, more: &str) -> String {
    let (namespace, name) = function.split_once('/').expect("a typename");
    format!(r#"{metric}{{namespace="{namespace}",name="{name}"{more}}}"#)
}

/// What a series must say.
#[derive(Debug, Clone, Copy)]
enum Says {
    Exactly(f64),
    /// From the first to the second.
    Between(f64, f64),
}

use Says::{Between, Exactly};

impl Says {
    fn holds(self, value: f64) -> bool {
        match self {
            Exactly(expected) => value == expected,
            Between(least, most) => least <= value && value <= most,
        }
    }
}

const SOME: Says = Between(1.0, f64::MAX);
/// Held against single steps elsewhere.
const ANY: Says = Between(0.0, f64::MAX);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_metric_has_its_value() {
    let Some(functions) = Functions::start_for_tests("metered") else { return };
    let installation = Installation::new(&module(&functions));
    let client = http::client();
    let began = std::time::SystemTime::now();
    let runtime = installation.start();
    work(&client, &runtime).await;

    let expected = expected(&installation, &runtime, began);
    let deadline = Instant::now() + DEADLINE;
    loop {
        let scrape = Scrape::of(&client, &runtime).await;
        let mut wrong: Vec<String> = Vec::new();
        for (series, says) in &expected {
            match scrape.find(series) {
                Some(value) if says.holds(value) => {}
                found => wrong.push(format!("{series} is {found:?}, {says:?} is right")),
            }
        }
        wrong.extend(related(&scrape));
        if wrong.is_empty() {
            nothing_is_left_out(&scrape, &expected);
            break;
        }
        assert!(Instant::now() < deadline, "{}\nin\n{}", wrong.join("\n"), scrape.0);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // Whoever is held may go.
    client.post(functions.url().replace("/statefun", "/open")).send().await.expect("an answer");
    becomes(&client, &runtime, &of("millpond_function_in_line", "narrow/gated", ""), 0.0).await;
    runtime.terminate();
}

/// All that is done, up to the point where nothing moves but what is tried again and again.
async fn work(client: &Client, runtime: &Runtime) {
    let order = json!({ "send": 1, "records": 2, "later_ms": [10, 3_600_000] });
    for _ in 0..2 {
        // The second one is a repetition.
        send(client, runtime, "example/metered", "Ada", order.clone()).await;
    }
    for function in ["drop/one", "letters/one", "park/one"] {
        send(client, runtime, function, "Ada", json!({})).await;
    }
    for id in 0..8 {
        send(client, runtime, "trouble/one", &id.to_string(), json!({})).await;
    }
    // One fails and is tried again; one is held, with the only connection; two stand in line behind it.
    let narrow = |metric| of(metric, "narrow/gated", "");
    send(client, runtime, "narrow/gated", "failing", json!({ "fail": true })).await;
    crate::wait::eventually("the failing one to have failed", async || {
        let failures =
            Scrape::of(client, runtime).await.find(&narrow("statefun_function_remote_invocation_failures_total"));
        failures.is_some_and(|failures| failures > 0.0).then_some(())
    })
    .await;
    send(client, runtime, "narrow/gated", "held", json!({ "hold": true })).await;
    becomes(client, runtime, &narrow("millpond_function_retrying"), 1.0).await;
    for id in ["first", "second"] {
        send(client, runtime, "narrow/gated", id, json!({})).await;
    }
    let url = format!("http://{}/out?after=0", runtime.field("egress"));
    assert_eq!(client.get(url).send().await.expect("an answer").status(), StatusCode::OK);
}

/// Every metric, with what the work above makes of it.
fn expected(installation: &Installation, runtime: &Runtime, began: std::time::SystemTime) -> Vec<(String, Says)> {
    let disk = rustix::fs::statvfs(installation.data()).expect("a file system");
    let disk_bytes = (disk.f_blocks * disk.f_frsize) as f64;
    let files = std::fs::read_dir(installation.data().join("rocksdb")).expect("a folder");
    let files_bytes: u64 = files.filter_map(|file| file.ok()?.metadata().ok()).map(|file| file.len()).sum();
    let began = began.duration_since(std::time::UNIX_EPOCH).expect("it is after 1970").as_secs_f64();
    let most_files: f64 = runtime.limits("Max open files").0.parse().unwrap_or(f64::MAX);
    let mut all: Vec<(String, Says)> = [
        (concat!(r#"millpond_build_info{version=""#, env!("CARGO_PKG_VERSION"), r#""}"#), Exactly(1.0)),
        ("millpond_ready", Exactly(1.0)),
        ("millpond_intake_paused", Exactly(0.0)),
        ("millpond_events_ingested_total", Exactly(16.0)),
        ("millpond_events_repeated_total", Exactly(1.0)),
        ("millpond_idempotency_keys_forgotten_total", Exactly(0.0)),
        ("millpond_function_types", Exactly(8.0)),
        // Those with work or a failure, and the idle ones.
        ("millpond_addresses", Exactly(18.0)),
        ("millpond_addresses_parked", Exactly(9.0)),
        ("millpond_waiting_bytes", SOME),
        ("millpond_cache_bytes", SOME),
        ("millpond_delayed_messages", Exactly(1.0)),
        ("millpond_calls_in_flight", Exactly(1.0)),
        ("statefun_inflight_async_ops", Exactly(0.0)),
        ("statefun_feedback_produced_total", Exactly(0.0)),
        ("statefun_feedback_produced_rate", Exactly(0.0)),
        // 16 events are durable, each in a checkpoint that changed something.
        ("millpond_checkpoints_total", SOME),
        ("millpond_checkpoint_writes_total", Between(16.0, f64::MAX)),
        ("millpond_checkpoint_duration_seconds_sum", Between(f64::MIN_POSITIVE, f64::MAX)),
        ("millpond_checkpoint_bytes_sum", SOME),
        ("millpond_ledger_load_duration_seconds_count", SOME),
        ("millpond_ledger_load_duration_seconds_sum", Between(f64::MIN_POSITIVE, f64::MAX)),
        ("millpond_ledger_disk_bytes", Between(files_bytes as f64, 2.0 * files_bytes as f64)),
        ("millpond_ledger_disk_free_bytes", Between(1.0, disk_bytes)),
        ("millpond_ledger_memory_bytes", Between(1.0, 72.0 * 1024.0 * 1024.0)),
        ("millpond_ledger_keys", SOME),
        ("millpond_ledger_compaction_pending_bytes", Exactly(0.0)),
        ("millpond_ledger_writes_stopped", Exactly(0.0)),
        ("millpond_disk_bytes", Exactly(disk_bytes)),
        ("millpond_disk_intake_stopped", Exactly(0.0)),
        ("millpond_disk_calls_stopped", Exactly(0.0)),
        (r#"millpond_egress_records{egress="io.statefun.playground/egress",topic="out"}"#, Exactly(2.0)),
        (r#"millpond_egress_records{egress="io.statefun.playground/egress",topic="letters"}"#, Exactly(1.0)),
        (r#"millpond_egress_records_total{egress="io.statefun.playground/egress",topic="out"}"#, Exactly(2.0)),
        (r#"millpond_egress_records_total{egress="io.statefun.playground/egress",topic="letters"}"#, Exactly(1.0)),
        (r#"millpond_http_requests_total{listener="ingress",status="200"}"#, Exactly(17.0)),
        (r#"millpond_http_requests_total{listener="egress",status="200"}"#, Exactly(1.0)),
        (r#"millpond_http_requests_total{listener="admin",status="200"}"#, SOME),
        (r#"millpond_http_requests_under_way{listener="ingress"}"#, Exactly(0.0)),
        (r#"millpond_http_requests_under_way{listener="egress"}"#, Exactly(0.0)),
        // The one that asks.
        (r#"millpond_http_requests_under_way{listener="admin"}"#, Exactly(1.0)),
        ("process_cpu_seconds_total", Between(f64::MIN_POSITIVE, f64::MAX)),
        ("process_resident_memory_bytes", Between(1e6, 1e10)),
        ("process_virtual_memory_bytes", Between(1e6, f64::MAX)),
        // The system counts from its own start, in whole seconds.
        ("process_start_time_seconds", Between(began - 5.0, began + 120.0)),
        // The engine's, two of the ledger, the disk's, and two that serve at least.
        ("process_threads", Between(6.0, 1000.0)),
        ("process_open_fds", Between(6.0, most_files)),
        ("process_max_fds", Exactly(most_files)),
    ]
    .map(|(series, says)| (series.to_owned(), says))
    .to_vec();
    // Of each function type: metered, drop, letters, park, trouble, narrow.
    let functions = ["example/metered", "drop/one", "letters/one", "park/one", "trouble/one", "narrow/gated"];
    for (metric, values) in [
        ("millpond_function_invocations_total", [1.0, 0.0, 0.0, 0.0, 0.0, 0.0]),
        ("millpond_function_calls_in_flight", [0.0, 0.0, 0.0, 0.0, 0.0, 1.0]),
        // The window is as wide as a type's first answer makes it, and as the pool is; in trouble it is one.
        ("millpond_function_window", [32.0, 1.0, 1.0, 1.0, 1.0, 1.0]),
        ("millpond_function_in_trouble", [0.0, 0.0, 0.0, 0.0, 1.0, 0.0]),
        ("millpond_function_pending", [0.0, 0.0, 0.0, 1.0, 8.0, 4.0]),
        ("millpond_function_parked_addresses", [0.0, 0.0, 0.0, 1.0, 8.0, 0.0]),
        ("millpond_function_dropped_total", [0.0, 1.0, 0.0, 0.0, 0.0, 0.0]),
        ("millpond_function_dead_letters_total", [0.0, 0.0, 1.0, 0.0, 0.0, 0.0]),
        ("millpond_function_in_line", [0.0, 0.0, 0.0, 0.0, 0.0, 2.0]),
        ("millpond_function_retrying", [0.0, 0.0, 0.0, 0.0, 0.0, 1.0]),
        ("millpond_function_running", [0.0, 0.0, 0.0, 0.0, 0.0, 1.0]),
        ("statefun_function_in_total", [1.0, 1.0, 1.0, 1.0, 8.0, 4.0]),
        ("statefun_function_out_local_total", [1.0, 0.0, 0.0, 0.0, 0.0, 0.0]),
        ("statefun_function_out_remote_total", [0.0; 6]),
        ("statefun_function_out_egress_total", [2.0, 0.0, 0.0, 0.0, 0.0, 0.0]),
        ("statefun_function_num_blocked_address", [0.0; 6]),
        ("statefun_function_inflight_async_ops", [0.0; 6]),
        ("statefun_function_num_backlog", [0.0, 0.0, 0.0, 1.0, 8.0, 3.0]),
        ("statefun_function_out_remote_rate", [0.0; 6]),
    ] {
        all.extend(functions.iter().zip(values).map(|(function, value)| (of(metric, function, ""), Exactly(value))));
    }
    for (metric, metered) in [
        ("statefun_function_remote_invocation_failures_total", Exactly(0.0)),
        ("statefun_function_in_rate", ANY),
        ("statefun_function_out_local_rate", ANY),
        ("statefun_function_out_egress_rate", ANY),
        ("statefun_function_remote_invocation_failures_rate", ANY),
        ("statefun_function_remote_invocation_latency_seconds_count", Exactly(1.0)),
        ("statefun_function_remote_invocation_latency_seconds_sum", Between(f64::MIN_POSITIVE, f64::MAX)),
    ] {
        all.push((of(metric, functions[0], ""), metered));
    }
    for function in &functions[1..] {
        all.push((of("statefun_function_remote_invocation_failures_total", function, ""), SOME));
        all.push((of("millpond_call_failures_total", function, r#",code="MP4008""#), SOME));
    }
    for (function, busy, idle) in [(functions[0], 0.0, 1.0), (functions[5], 1.0, 0.0)] {
        all.push((of("millpond_call_connections", function, r#",state="busy""#), Exactly(busy)));
        all.push((of("millpond_call_connections", function, r#",state="idle""#), Exactly(idle)));
    }
    all
}

/// What has to be the same in two places.
fn related(scrape: &Scrape) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut same = |what: &str, one: f64, other: f64| {
        if one != other {
            wrong.push(format!("{what}: {one} and {other}"));
        }
    };
    let checkpoints = scrape.value("millpond_checkpoints_total");
    same("checkpoints and their durations", checkpoints, scrape.value("millpond_checkpoint_duration_seconds_count"));
    same("checkpoints and their sizes", checkpoints, scrape.value("millpond_checkpoint_bytes_count"));
    // Nothing has left memory.
    let pending = scrape.value("millpond_pending_bytes");
    same("bytes that wait in memory and altogether", pending, scrape.sum("millpond_function_pending_bytes"));
    let failures = scrape.sum("statefun_function_remote_invocation_failures_total");
    same("failures of types and by code", failures, scrape.sum("millpond_call_failures_total"));
    let parked = scrape.sum("millpond_function_parked_addresses");
    same("parked addresses of all types", parked, scrape.value("millpond_addresses_parked"));
    if pending <= 0.0 {
        wrong.push(format!("{pending} bytes wait"));
    }
    wrong
}

/// A metric that has no value here would be one that nobody looks at.
fn nothing_is_left_out(scrape: &Scrape, expected: &[(String, Says)]) {
    const RELATED: [&str; 2] = ["millpond_pending_bytes", "millpond_function_pending_bytes"];
    let is_known = |metric: &str| {
        let begins = |series: &str| {
            let name = series.split('{').next().unwrap_or_default();
            name == metric || ["_count", "_sum"].iter().any(|part| name.strip_suffix(part) == Some(metric))
        };
        RELATED.contains(&metric) || expected.iter().any(|(series, _)| begins(series))
    };
    let unknown: Vec<&str> = scrape.metrics().into_iter().filter(|metric| !is_known(metric)).collect();
    assert!(unknown.is_empty(), "no test says what these must be: {unknown:?}");
}
