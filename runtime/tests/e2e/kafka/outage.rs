//! A broker that is away: what is said, what is shown, how a stop ends, and that nothing is lost.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::broker::Broker;
use super::{Counting, EARLIEST, EXACTLY_ONCE, module};
use crate::functions::Functions;
use crate::runtime::Runtime;
use crate::wait::eventually;

const AT_LEAST_ONCE: &str = "  deliverySemantic:\n    type: at-least-once\n";

async fn get(runtime: &Runtime, path: &str) -> String {
    let url = format!("http://{}{path}", runtime.field("admin"));
    crate::http::client().get(url).send().await.expect("an answer").text().await.expect("a body")
}

/// What a metric of the egress says.
async fn metric(runtime: &Runtime, name: &str) -> f64 {
    let text = get(runtime, "/metrics").await;
    let series = format!("millpond_kafka_egress_{name}{{egress=\"com.example/out\"}} ");
    let value = text.lines().find_map(|line| line.strip_prefix(&series));
    value.unwrap_or_else(|| panic!("no {series} in\n{text}")).parse().expect("a number")
}

async fn egress(runtime: &Runtime) -> Value {
    let page: Value = serde_json::from_str(&get(runtime, "/v1/egresses").await).expect("JSON");
    page["egresses"][0].clone()
}

fn numbers(range: std::ops::RangeInclusive<u64>) -> Vec<String> {
    range.map(|number| format!("{number}:{number}")).collect()
}

/// An application on a broker of its own, with one partition each.
fn own(semantic: &str) -> Option<Counting> {
    let broker = Arc::new(Broker::start()?);
    let functions = Functions::start_for_tests("kafka")?;
    let topics = broker.topics(1);
    let text = module(&functions, &broker, &topics, EARLIEST, semantic);
    let counting = Counting::with(functions, broker, topics, EARLIEST);
    counting.installation.rewrite(&text);
    Some(counting)
}

/// Every metric has the value that the work must give, before, in and behind an outage; a handful of lines tell the story.
// Once in four runs, on a busy machine, nothing more was published in the 120 s behind the pause. Until it is known whether the
// ingress, the egress or the test's reader waits, this is run by name: `--ignored outage_is_told`.
#[ignore = "publishing did not always go on in time: to be found out"]
#[tokio::test(flavor = "multi_thread")]
async fn outage_is_told_and_shown() {
    let Some(counting) = own(EXACTLY_ONCE) else { return };
    let key = counting.key("k");
    let runtime = counting.installation.start();
    counting.send(&key, 1..=9);
    assert_eq!(counting.counted(&key, 9), numbers(1..=9));
    eventually("all to be confirmed", async || (metric(&runtime, "outbox_records").await == 0.0).then_some(())).await;
    // `1:1` under its key, nine times.
    let bytes = 9 * (key.len() + 3);
    for (name, expected) in [
        ("records_total", 9.0),
        ("bytes_total", bytes as f64),
        ("publish_duration_seconds_count", 9.0),
        ("outbox_age_seconds", 0.0),
        ("held_up", 0.0),
        ("refused_total", 0.0),
        ("refused_records", 0.0),
    ] {
        assert_eq!(metric(&runtime, name).await, expected, "{name}");
    }
    let transactions = metric(&runtime, "transaction_duration_seconds_count").await;
    assert!((1.0..=9.0).contains(&transactions), "{transactions}");
    let restarts = metric(&runtime, "producer_restarts_total").await;
    let egress_before = egress(&runtime).await;
    assert_eq!((&egress_before["publishedUpto"], &egress_before["waiting"]), (&9.into(), &0.into()), "{egress_before}");
    assert_eq!((&egress_before["semantic"], &egress_before["error"]), (&"exactly-once".into(), &Value::Null));

    // Ten more are read, and are there to be published, when the broker stops.
    let said = runtime.log().lines().count();
    counting.send(&key, 10..=19);
    counting.broker.signal("STOP");
    let outage = std::env::var("MILLPOND_OUTAGE_S").ok().and_then(|text| text.parse().ok()).unwrap_or(25);
    tokio::time::sleep(Duration::from_secs(outage)).await;
    counting.broker.signal("CONT");
    assert_eq!(counting.counted(&key, 19), numbers(1..=19));
    eventually("publishing to go on", async || (egress(&runtime).await["error"].is_null()).then_some(())).await;
    let log = runtime.log();
    let story: Vec<&str> = log.lines().skip(said).collect();
    crate::report(format_args!("{outage} s without a broker:\n{}", story.join("\n")));
    assert!(story.len() < 10, "under ten lines tell the story");
    assert_eq!(metric(&runtime, "records_total").await, 19.0);
    assert!(metric(&runtime, "producer_restarts_total").await >= restarts);
    runtime.terminate();
}

/// The records wait, which is shown with their age, and the reason.
#[tokio::test(flavor = "multi_thread")]
async fn what_waits_is_shown() {
    let Some(broker) = Broker::shared() else { return };
    let Some(functions) = Functions::start_for_tests("kafka") else { return };
    let topics = Broker::names();
    broker.make(&topics.numbers, 1);
    let counting = Counting::with(functions, broker.clone(), topics, EARLIEST);
    let hasty = format!("{EXACTLY_ONCE}  properties:\n    - topic.metadata.propagation.max.ms: 1000\n");
    counting.installation.rewrite(&module(&counting.functions, &broker, &counting.topics, EARLIEST, &hasty));
    let key = counting.key("k");
    counting.send(&key, 1..=3);
    let runtime = counting.installation.start();
    let shown = eventually("the egress to be held up", async || {
        let shown = egress(&runtime).await;
        (shown["state"] == "held-up" && shown["waiting"] == 3).then_some(shown)
    })
    .await;
    let topic = format!("topic `{}`", counting.topics.counts);
    assert_eq!(shown["error"]["code"], "MP6030");
    assert!(shown["error"]["error"].as_str().is_some_and(|words| words.contains(&topic)), "{shown}");
    assert!(shown["waitingMs"].as_u64().is_some_and(|age| age > 0), "{shown}");
    assert_eq!((metric(&runtime, "outbox_records").await, metric(&runtime, "held_up").await), (3.0, 1.0));
    assert!(metric(&runtime, "outbox_age_seconds").await > 0.0);
    let named = |line: &str| line.contains("MP6030") && line.contains(&topic);
    assert!(runtime.log().lines().any(named), "the log names the topic\n{}", runtime.log());
    assert!(!runtime.log().contains("publishing goes on"), "nothing got through");
    broker.make(&counting.topics.counts, 1);
    assert_eq!(counting.counted(&key, 3), numbers(1..=3));
    eventually("the log to say so", async || runtime.log().contains("publishing goes on").then_some(())).await;
    runtime.terminate();
}

/// SIGTERM ends it soon whatever the broker does, and what was not published is published by the next start, once.
#[tokio::test(flavor = "multi_thread")]
async fn stop_does_not_wait_for_the_broker() {
    for semantic in [EXACTLY_ONCE, AT_LEAST_ONCE] {
        let Some(counting) = own(semantic) else { return };
        let key = counting.key("k");
        let mut sent = 0;
        let mut send = |count: u64| {
            counting.send(&key, sent + 1..=sent + count);
            sent += count;
        };
        // Right behind the pause, in the middle of calls, and long behind it; then a start that finds nobody.
        for pause_ms in [0, 300, 3_000] {
            let runtime = counting.installation.start();
            send(500);
            eventually("something to be published", async || {
                (metric(&runtime, "records_total").await > 0.0).then_some(())
            })
            .await;
            send(500);
            counting.broker.signal("STOP");
            tokio::time::sleep(Duration::from_millis(pause_ms)).await;
            stop(runtime, &format!("{pause_ms} ms behind the pause of the broker"));
            for later_ms in [0, 1_000] {
                let runtime = counting.installation.start();
                tokio::time::sleep(Duration::from_millis(later_ms)).await;
                stop(runtime, &format!("{later_ms} ms behind a start without a broker"));
            }
            counting.broker.signal("CONT");
        }
        let runtime = counting.installation.start();
        let found = counting.counted(&key, sent as usize);
        match semantic {
            EXACTLY_ONCE => assert_eq!(found, numbers(1..=sent)),
            _ => {
                let mut seen = found.clone();
                seen.sort_by_key(|text| text.split(':').next().and_then(|number| number.parse::<u64>().ok()));
                seen.dedup();
                assert_eq!(seen.len(), sent as usize, "each is there");
            }
        }
        runtime.terminate();
    }
}

fn stop(runtime: Runtime, when: &str) {
    let began = Instant::now();
    runtime.terminate();
    crate::report(format_args!("stopped in {} ms, {when}", began.elapsed().as_millis()));
}
