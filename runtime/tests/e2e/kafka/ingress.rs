//! The promises of the ingress that are not about the way of a record: dead letters, partitions that stop, what is shown, broker
//! outages, and a stop while no broker answers.

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Headers as _, Message as _};
use rdkafka::{Offset, TopicPartitionList};
use reqwest::{Client, StatusCode};
use serde_json::{Value, json};

use super::broker::Broker;
use crate::functions::Functions;
use crate::http;
use crate::runtime::{Installation, Runtime};
use crate::wait::{DEADLINE, eventually};

/// One topic of the ingress.
struct Topic<'a> {
    name: &'a str,
    target: &'a str,
    /// More of its fields, each on a line with eight spaces before it.
    more: &'a str,
}

/// An application that reads these topics, with `more` in the spec of its ingress, and both kinds of egress.
fn module(functions: &str, broker: &Broker, topics: &[Topic<'_>], more: &str) -> String {
    let topic = |topic: &Topic<'_>| {
        let Topic { name, target, more } = topic;
        format!(
            "    - topic: {name}\n      valueType: com.example.types/Number\n      targets: [com.example.fns/{target}]\n{more}"
        )
    };
    format!(
        "kind: io.statefun.endpoints.v2/http
spec:
  functions: com.example.fns/*
  urlPathTemplate: {functions}
---
kind: io.statefun.kafka.v1/ingress
spec:
  id: com.example/in
  address: {address}
  consumerGroupId: {group}
  startupPosition: {{type: earliest}}
  topics:
{topics}{more}
---
kind: io.statefun.playground.v1/egress
spec:
  port: 0
  topics: [odd, numbers]
---
kind: io.statefun.kafka.v1/egress
spec:
  id: com.example/out
  address: {address}
  deliverySemantic: {{type: exactly-once, transactionTimeout: 1min}}
",
        address = broker.address(),
        group = topics[0].name,
        topics = topics.iter().map(topic).collect::<String>(),
    )
}

/// What the admin API says of the partitions, by topic and number, and of the ingress as a whole.
async fn shown(client: &Client, runtime: &Runtime) -> (BTreeMap<(String, u64), Value>, Value) {
    let url = format!("http://{}/v1/ingresses", runtime.field("admin"));
    let mut page: Value = client.get(url).send().await.expect("an answer").json().await.expect("JSON");
    let mut ingress = page["ingresses"][0].take();
    assert_eq!((&ingress["namespace"], &ingress["name"]), (&"com.example".into(), &"in".into()), "{ingress}");
    let Value::Array(partitions) = ingress["partitions"].take() else { panic!("{ingress}") };
    let name =
        |it: &Value| (it["topic"].as_str().expect("a topic").to_owned(), it["partition"].as_u64().expect("a number"));
    (partitions.into_iter().map(|it| (name(&it), it)).collect(), ingress)
}

async fn scrape(client: &Client, runtime: &Runtime) -> String {
    let answer = client.get(format!("http://{}/metrics", runtime.field("admin"))).send().await.expect("an answer");
    answer.text().await.expect("a body")
}

/// A metric of the ingress, with more labels than its name.
fn metric(scrape: &str, name: &str, labels: &str) -> Option<u64> {
    let comma = if labels.is_empty() { "" } else { "," };
    let series = format!("millpond_kafka_ingress_{name}{{ingress=\"com.example/in\"{comma}{labels}}} ");
    let value = scrape.lines().find_map(|line| line.strip_prefix(series.as_str()))?;
    Some(value.parse().expect("a number"))
}

async fn becomes(client: &Client, runtime: &Runtime, name: &str, labels: &str, expected: u64) {
    eventually(&format!("{name}{{{labels}}} to be {expected}"), async || {
        (metric(&scrape(client, runtime).await, name, labels) == Some(expected)).then_some(())
    })
    .await;
}

async fn until_log(runtime: &Runtime, words: &str) {
    eventually(words, async || runtime.log().contains(words).then_some(())).await;
}

/// A consumer of committed records, from the beginning of a topic's first partition.
fn reader(broker: &Broker, topic: &str) -> BaseConsumer {
    let mut config = broker.config();
    config.set("group.id", "letters").set("enable.auto.commit", "false").set("isolation.level", "read_committed");
    let consumer: BaseConsumer = config.create().expect("a client");
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(topic, 0, Offset::Beginning).expect("an offset");
    consumer.assign(&list).expect("a partition of a topic");
    consumer
}

/// So many records of a topic's first partition: key and value, and headers.
type Read = (Option<Vec<u8>>, Option<Vec<u8>>, Vec<(String, Option<Vec<u8>>)>);

fn read(consumer: &BaseConsumer, count: usize) -> Vec<Read> {
    let (mut found, deadline) = (Vec::new(), Instant::now() + DEADLINE);
    while found.len() < count {
        assert!(Instant::now() < deadline, "{} of {count} records are there", found.len());
        let Some(Ok(message)) = consumer.poll(Duration::from_millis(100)) else { continue };
        let headers = message.headers().map(|headers| {
            headers.iter().map(|header| (header.key.to_owned(), header.value.map(<[u8]>::to_vec))).collect()
        });
        let bytes = |bytes: Option<&[u8]>| bytes.map(<[u8]>::to_vec);
        found.push((bytes(message.key()), bytes(message.payload()), headers.unwrap_or_default()));
    }
    found
}

/// MP1021: with `dead-letter`, each record without key or value becomes one dead letter with all of its bytes, on a topic of the
/// playground and on one of Kafka, through kills; what is sound goes its way.
#[tokio::test(flavor = "multi_thread")]
async fn invalid_records_become_dead_letters() {
    const ODD: i64 = 300;
    let Some(broker) = Broker::shared() else { return };
    let Some(functions) = Functions::start_for_tests("kafka") else { return };
    let (first, second) = (broker.topics(1), broker.topics(1));
    let letters = |egress: &str, topic: &str| {
        format!(
            "      invalidRecordHandling:\n        type: dead-letter\n        deadLetter: {{egress: {egress}, topic: {topic}}}\n"
        )
    };
    let (here, there) = (letters("io.statefun.playground/egress", "odd"), letters("com.example/out", &second.counts));
    let topics = [
        Topic { name: &first.numbers, target: "counter", more: &here },
        Topic { name: &second.numbers, target: "counter", more: &there },
    ];
    let installation = Installation::new(&module(functions.url(), &broker, &topics, ""));
    let (sender, client) = (broker.sender(), http::client());
    let key = format!("k>{}", first.counts);
    let mut runtime = installation.start();
    for number in 0..ODD {
        for topic in [&first.numbers, &second.numbers] {
            let value = number.to_string();
            match number % 3 {
                0 => sender.send_bytes(topic, 0, None, Some(value.as_bytes()), &[]),
                1 => sender.send_bytes(
                    topic,
                    0,
                    Some(&[0xff, 1]),
                    None,
                    &[("a", None), ("b", Some(b"")), ("a", Some(b"x"))],
                ),
                _ => sender.send_bytes(topic, 0, Some(key.as_bytes()), Some(value.as_bytes()), &[]),
            }
        }
        if number % 60 == 59 {
            sender.flush();
            runtime.kill();
            runtime = installation.start();
        }
    }
    sender.flush();
    let sound = (ODD / 3) as usize;
    let counted = tokio::task::block_in_place(|| broker.read(&first.counts, 2 * sound));
    assert_eq!(counted[&key].len(), 2 * sound);

    let expected: Vec<i64> = (0..ODD).filter(|number| number % 3 != 2).collect();
    let kept = http::read_at_least(&client, &runtime, "odd", expected.len()).await;
    let published = tokio::task::block_in_place(|| read(&reader(&broker, &second.counts), expected.len()));
    let keys: Vec<Option<Vec<u8>>> = published.iter().map(|(key, ..)| key.clone()).collect();
    let published: Vec<String> =
        published.into_iter().map(|(_, value, _)| String::from_utf8(value.expect("a value")).expect("text")).collect();
    let kept: Vec<String> = kept.into_iter().map(|record| record.payload).collect();
    for (found, topic) in [(kept, &first.numbers), (published, &second.numbers)] {
        let letters: Vec<Value> = found.iter().map(|text| serde_json::from_str(text).expect("JSON")).collect();
        let offsets: Vec<i64> = letters.iter().map(|it| it["record"]["offset"].as_i64().expect("an offset")).collect();
        assert_eq!(offsets, expected, "each once, in order");
        for (letter, offset) in letters.iter().zip(&expected) {
            let record = &letter["record"];
            assert_eq!(
                (&letter["format"], &record["ingress"]),
                (&json!("millpond.dead-letter/1"), &json!("com.example/in"))
            );
            assert_eq!(
                (&record["topic"], &record["partition"], &letter["error"]["code"]),
                (&json!(topic), &json!(0), &json!("MP1021"))
            );
            assert!(record["timestamp"].as_i64().is_some_and(|time| time > 1_500_000_000_000), "{letter}");
            let (defect, key, value) = match offset % 3 {
                0 => ("NULL_KEY", Value::Null, json!(base64(&offset.to_string()))),
                _ => ("NULL_VALUE", json!("/wE="), Value::Null),
            };
            assert_eq!(
                (&letter["defect"], &record["key"], &record["value"]),
                (&json!(defect), &key, &value),
                "{letter}"
            );
            if offset % 3 == 1 {
                let headers =
                    json!([{"key": "a", "value": null}, {"key": "b", "value": ""}, {"key": "a", "value": "eA=="}]);
                assert_eq!(record["headers"], headers);
            }
        }
    }
    assert!(keys[1].as_deref().is_some_and(|key| key == "\u{fffd}\u{1}".as_bytes()), "{:?}", keys[1]);
    runtime.terminate();
}

/// The base64 of a few ASCII digits.
fn base64(text: &str) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(text)
}

/// MP1021, MP7025: a partition that stopped goes on behind the record that a person names, for good; no other record can be
/// named, and other partitions do not wait.
#[tokio::test(flavor = "multi_thread")]
async fn a_partition_that_stopped_goes_on() {
    let Some(broker) = Broker::shared() else { return };
    let Some(functions) = Functions::start_for_tests("kafka") else { return };
    let topics = broker.topics(2);
    let topic = Topic { name: &topics.numbers, target: "counter", more: "" };
    let fail = "  invalidRecordHandling: {type: fail}\n";
    let installation = Installation::new(&module(functions.url(), &broker, &[topic], fail));
    let (sender, client) = (broker.sender(), http::client());
    let key = format!("k>{}", topics.counts);
    let send = |partition: i32, key: Option<&str>, value: Option<&str>| {
        sender.send_bytes(&topics.numbers, partition, key.map(str::as_bytes), value.map(str::as_bytes), &[]);
    };
    send(0, Some(&key), Some("1"));
    send(0, Some(&key), None);
    send(0, None, Some("no key"));
    send(0, Some(&key), Some("2"));
    send(1, Some(&key), Some("7"));
    sender.flush();
    let runtime = installation.start();
    let partition = (topics.numbers.clone(), 0);
    let failed = async |runtime: &Runtime, offset: u64, defect: &str| {
        eventually("the partition to stop", async || {
            let (all, _) = shown(&client, runtime).await;
            let found = all.get(&partition).filter(|it| it["state"] == "failed" && it["offset"] == offset)?;
            assert!(found["defect"] == defect && found["since"].is_string(), "{found}");
            (found["next"] == offset && found["end"] == 4).then_some(())
        })
        .await;
    };
    failed(&runtime, 1, "NULL_VALUE").await;
    assert_eq!(tokio::task::block_in_place(|| broker.read(&topics.counts, 2))[&key].len(), 2, "the other one is read");
    becomes(&client, &runtime, "partitions", r#"state="failed""#, 1).await;
    becomes(&client, &runtime, "partitions", r#"state="running""#, 1).await;
    becomes(&client, &runtime, "lag", &format!(r#"topic="{}",partition="0""#, topics.numbers), 3).await;

    let skip = async |runtime: &Runtime, offset: u64| {
        let path = "v1/ingresses/com.example/in/skip";
        let query = format!("topic={}&partition=0&offset={offset}", topics.numbers);
        let url = format!("http://{}/{path}?{query}", runtime.field("admin"));
        let answer = client.post(url).send().await.expect("an answer");
        (answer.status(), answer.text().await.expect("a body"))
    };
    for other in [0, 2, 3] {
        let (status, body) = skip(&runtime, other).await;
        assert!(status == StatusCode::CONFLICT && body.contains("MP7025") && body.contains("offset=1"), "{body}");
    }
    assert_eq!(skip(&runtime, 1).await.0, StatusCode::OK);
    // What was answered is durable: the next start does not stop there again.
    runtime.kill();
    let runtime = installation.start();
    failed(&runtime, 2, "NULL_KEY").await;
    let admin = runtime.field("admin").to_owned();
    let command = tokio::task::block_in_place(|| {
        let arguments = ["ingress", "skip", "com.example/in", "--partition", "0", "--offset", "2", "--topic"];
        let mut command = Command::new(env!("CARGO_BIN_EXE_millpond"));
        command.args(arguments).args([&topics.numbers, "--admin", &admin]).output().expect("the binary can be started")
    });
    assert!(command.status.success(), "{}", String::from_utf8_lossy(&command.stderr));
    assert_eq!(tokio::task::block_in_place(|| broker.read(&topics.counts, 3))[&key].len(), 3);
    let (status, body) = skip(&runtime, 2).await;
    assert!(status == StatusCode::CONFLICT && body.contains("no partition"), "{body}");
    let (all, _) = shown(&client, &runtime).await;
    assert_eq!(all[&partition]["state"], "running");
    runtime.terminate();
}

/// Each metric of the ingress has the value that the records must give; a partition whose intake is paused says so.
#[tokio::test(flavor = "multi_thread")]
async fn metrics_say_what_was_read() {
    let Some(broker) = Broker::shared() else { return };
    let Some(functions) = Functions::start_for_tests("kafka") else { return };
    let topics = broker.topics(2);
    let topic = Topic { name: &topics.numbers, target: "odd", more: "" };
    let installation = Installation::new(&module(functions.url(), &broker, &[topic], ""));
    let (sender, client) = (broker.sender(), http::client());
    let key = format!("k>{}", topics.counts);
    for _ in 0..3 {
        sender.send_bytes(
            &topics.numbers,
            0,
            Some(key.as_bytes()),
            Some(b"12345"),
            &[("h", Some(b"xy")), ("null", None)],
        );
    }
    sender.send_bytes(&topics.numbers, 0, None, Some(b"x"), &[]);
    sender.send_bytes(&topics.numbers, 0, Some(b"key"), None, &[]);
    sender.send_bytes(&topics.numbers, 0, Some(b"key"), None, &[]);
    sender.send_bytes(
        &topics.numbers,
        1,
        Some(&[&[0xff], format!(">{}", topics.counts).as_bytes()].concat()),
        Some(b"1"),
        &[],
    );
    sender.flush();
    let runtime = installation.start();
    let of = |number: u32| format!(r#"topic="{}",partition="{number}""#, topics.numbers);
    becomes(&client, &runtime, "position", &of(0), 6).await;
    becomes(&client, &runtime, "position", &of(1), 1).await;
    becomes(&client, &runtime, "lag", &of(0), 0).await;
    becomes(&client, &runtime, "lag", &of(1), 0).await;
    let text = scrape(&client, &runtime).await;
    let with_headers = (key.len() + 5 + "h".len() + 2 + "null".len()) as u64;
    let topic = |more: &str| format!(r#"topic="{}"{more}"#, topics.numbers);
    for (name, labels, expected) in [
        ("records_total", of(0), 6),
        ("records_total", of(1), 1),
        ("bytes_total", of(0), 3 * with_headers + 1 + 3 + 3),
        ("bytes_total", of(1), topics.counts.len() as u64 + 2 + 1),
        ("invalid_records_total", topic(r#",defect="NULL_KEY",handling="skip""#), 1),
        ("invalid_records_total", topic(r#",defect="NULL_VALUE",handling="skip""#), 2),
        ("lossy_keys_total", topic(""), 1),
        ("partitions", r#"state="running""#.to_owned(), 2),
        ("partitions", r#"state="paused""#.to_owned(), 0),
        ("partitions", r#"state="held""#.to_owned(), 0),
        ("partitions", r#"state="failed""#.to_owned(), 0),
        ("away", String::new(), 0),
    ] {
        assert_eq!(metric(&text, name, &labels), Some(expected), "{name} {labels}\n{text}");
    }
    runtime.terminate();

    // No room on the disk: intake pauses, and the lag grows until there is room.
    let runtime = installation.start_with(&["--disk-free-intake", "100"]);
    becomes(&client, &runtime, "partitions", r#"state="paused""#, 2).await;
    for _ in 0..4 {
        sender.send_bytes(&topics.numbers, 1, Some(key.as_bytes()), Some(b"1"), &[]);
    }
    sender.flush();
    becomes(&client, &runtime, "lag", &of(1), 4).await;
    assert_eq!(metric(&scrape(&client, &runtime).await, "records_total", &of(1)), Some(0));
    runtime.terminate();
    let runtime = installation.start();
    becomes(&client, &runtime, "records_total", &of(1), 4).await;
    becomes(&client, &runtime, "lag", &of(1), 0).await;
    runtime.terminate();
}

/// A partition that is added later is read from its beginning, also when the ingress began at the end.
#[tokio::test(flavor = "multi_thread")]
async fn an_added_partition_is_read_from_its_beginning() {
    let Some(broker) = Broker::shared() else { return };
    let Some(functions) = Functions::start_for_tests("kafka") else { return };
    let topics = broker.topics(1);
    let topic = Topic { name: &topics.numbers, target: "counter", more: "" };
    let hasty = "  properties:\n    - flink.partition-discovery.interval-millis: 200\n    - metadata.max.age.ms: 200\n";
    let module = module(functions.url(), &broker, &[topic], hasty).replace("{type: earliest}", "{type: latest}");
    let installation = Installation::new(&module);
    let (sender, client) = (broker.sender(), http::client());
    let key = format!("k>{}", topics.counts);
    let send = |partition: i32, value: &str| {
        sender.send_bytes(&topics.numbers, partition, Some(key.as_bytes()), Some(value.as_bytes()), &[]);
    };
    send(0, "1");
    sender.flush();
    let runtime = installation.start();
    becomes(&client, &runtime, "position", &format!(r#"topic="{}",partition="0""#, topics.numbers), 1).await;
    runtime.terminate();
    // While nobody reads, and while somebody does.
    broker.grow(&topics.numbers, 2);
    let send_to_new = |partition: i32, value: &str| {
        // Who sends to a partition that it does not know yet is refused.
        let sender = broker.sender();
        sender.send_bytes(&topics.numbers, partition, Some(key.as_bytes()), Some(value.as_bytes()), &[]);
        sender.flush();
    };
    send_to_new(1, "2");
    let runtime = installation.start();
    assert_eq!(tokio::task::block_in_place(|| broker.read(&topics.counts, 1))[&key], ["1:2"]);
    broker.grow(&topics.numbers, 3);
    send_to_new(2, "3");
    assert_eq!(tokio::task::block_in_place(|| broker.read(&topics.counts, 2))[&key], ["1:2", "2:3"]);
    let (all, _) = shown(&client, &runtime).await;
    assert_eq!(all.len(), 3);
    runtime.terminate();
}

/// Headers go in and out as they are: null, empty, twice, and not UTF-8; without `forwardHeaders` none go in.
#[tokio::test(flavor = "multi_thread")]
async fn headers_go_both_ways() {
    let Some(broker) = Broker::shared() else { return };
    let Some(functions) = Functions::start_for_tests("kafka") else { return };
    let (with, without) = (broker.topics(1), broker.topics(1));
    let topics = [
        Topic { name: &with.numbers, target: "echo", more: "" },
        Topic { name: &without.numbers, target: "echo", more: "      forwardHeaders: false\n" },
    ];
    let installation = Installation::new(&module(functions.url(), &broker, &topics, "  forwardHeaders: true\n"));
    let headers: &[(&str, Option<&[u8]>)] = &[
        ("twice", Some(b"1")),
        ("null", None),
        ("empty", Some(b"")),
        ("twice", Some(b"\xff\0")),
        ("\u{fc}", Some(b"x")),
    ];
    let sender = broker.sender();
    for topics in [&with, &without] {
        let key = format!("k>{}", topics.counts);
        sender.send_bytes(&topics.numbers, 0, Some(key.as_bytes()), Some(b"value"), headers);
    }
    sender.flush();
    let runtime = installation.start();
    let owned: Vec<(String, Option<Vec<u8>>)> =
        headers.iter().map(|(key, value)| ((*key).to_owned(), value.map(<[u8]>::to_vec))).collect();
    for (topics, expected) in [(&with, owned), (&without, Vec::new())] {
        let found = tokio::task::block_in_place(|| read(&reader(&broker, &topics.counts), 1));
        assert_eq!((found[0].1.as_deref(), &found[0].2), (Some(&b"value"[..]), &expected));
    }
    runtime.terminate();
}

/// Tombstones and null keys under each policy: each time both kinds of defects, and what is sound before and behind them.
#[tokio::test(flavor = "multi_thread")]
async fn defects_under_each_policy() {
    let Some(broker) = Broker::shared() else { return };
    let Some(functions) = Functions::start_for_tests("kafka") else { return };
    let client = http::client();
    broker.make("none", 1);
    for (policy, sound, others) in [
        ("type: skip", 2, 0),
        ("type: skip, logLevel: error", 2, 0),
        // A record without a key goes to the function under the id `none`, which is its topic then.
        ("type: forward, target: com.example.fns/odd", 2, 1),
        ("type: dead-letter, deadLetter: {egress: io.statefun.playground/egress, topic: odd}", 2, 0),
        ("type: fail", 1, 0),
    ] {
        let topics = broker.topics(1);
        let topic = Topic { name: &topics.numbers, target: "counter", more: "" };
        let more = format!("  invalidRecordHandling: {{{policy}}}\n");
        let installation = Installation::new(&module(functions.url(), &broker, &[topic], &more));
        let (sender, key) = (broker.sender(), format!("k>{}", topics.counts));
        let send = |key: Option<&str>, value: Option<&str>| {
            sender.send_bytes(&topics.numbers, 0, key.map(str::as_bytes), value.map(str::as_bytes), &[]);
        };
        send(Some(&key), Some("1"));
        send(Some(&key), None);
        send(None, Some("2"));
        send(None, None);
        send(Some(&key), Some("3"));
        sender.flush();
        let runtime = installation.start();
        let mut found = tokio::task::block_in_place(|| broker.read(&topics.counts, sound + others));
        let mut of_key = found.remove(&key).expect("records of the key");
        of_key.retain(|value| !value.starts_with("odd:"));
        let expected: &[&str] = if sound == 2 { &["1:1", "2:3"] } else { &["1:1"] };
        assert_eq!(of_key, expected, "{policy}");
        let word = policy.trim_start_matches("type: ").split(',').next().expect("a word");
        let count = |defect: &str| format!(r#"topic="{}",defect="{defect}",handling="{word}""#, topics.numbers);
        let (nulls, tombstones) = if word == "fail" { (0, 1) } else { (2, 1) };
        becomes(&client, &runtime, "invalid_records_total", &count("NULL_KEY"), nulls).await;
        becomes(&client, &runtime, "invalid_records_total", &count("NULL_VALUE"), tombstones).await;
        if word == "dead-letter" {
            let letters = http::read_at_least(&client, &runtime, "odd", 3).await;
            let defect =
                |record: &http::Record| serde_json::from_str::<Value>(&record.payload).expect("JSON")["defect"].clone();
            assert_eq!(letters.iter().map(defect).collect::<Vec<_>>(), ["NULL_VALUE", "NULL_KEY", "NULL_KEY"]);
        }
        runtime.terminate();
    }
}

/// MP1020: an outage of the broker is said once when it begins and once when it is over; meanwhile it is shown, and nothing is
/// lost.
#[tokio::test(flavor = "multi_thread")]
async fn an_outage_is_a_short_story() {
    let Some(mut broker) = Broker::start() else { return };
    let Some(functions) = Functions::start_for_tests("kafka") else { return };
    let topics = broker.topics(2);
    let topic = Topic { name: &topics.numbers, target: "counter", more: "" };
    let installation = Installation::new(&module(functions.url(), &broker, &[topic], ""));
    let (client, key) = (http::client(), format!("k>{}", topics.counts));
    let send = |broker: &Broker, value: &str| {
        let sender = broker.sender();
        sender.send_bytes(&topics.numbers, 1, Some(key.as_bytes()), Some(value.as_bytes()), &[]);
        sender.flush();
    };
    send(&broker, "1");
    let runtime = installation.start();
    assert_eq!(tokio::task::block_in_place(|| broker.read(&topics.counts, 1))[&key], ["1:1"]);
    becomes(&client, &runtime, "lag", &format!(r#"topic="{}",partition="1""#, topics.numbers), 0).await;
    broker.signal("KILL");
    becomes(&client, &runtime, "away", "", 1).await;
    let (_, ingress) = shown(&client, &runtime).await;
    assert!(ingress["away"]["since"].is_string() && ingress["away"]["error"].is_string(), "{ingress}");
    until_log(&runtime, "MP1020").await;
    tokio::task::block_in_place(|| broker.start_again());
    becomes(&client, &runtime, "away", "", 0).await;
    send(&broker, "2");
    assert_eq!(tokio::task::block_in_place(|| broker.read(&topics.counts, 2))[&key], ["1:1", "2:2"]);
    let log = runtime.log();
    let told: Vec<&str> = log.lines().filter(|line| line.contains("ingress=com.example/in")).collect();
    let over = told.iter().filter(|line| line.contains("reading goes on")).count();
    // It is said again behind 20, 60 and 120 s, if it takes so long to start a broker here.
    assert!(over == 1 && (2..=5).contains(&told.len()), "{told:#?}");
    runtime.terminate();
}

/// A stop waits for no broker: while it is read, and when nothing was ever heard of one.
#[tokio::test(flavor = "multi_thread")]
async fn a_stop_waits_for_no_broker() {
    let Some(broker) = Broker::start() else { return };
    let Some(functions) = Functions::start_for_tests("kafka") else { return };
    let broker = Arc::new(broker);
    let topics = broker.topics(2);
    let topic = Topic { name: &topics.numbers, target: "counter", more: "" };
    let whole = module(functions.url(), &broker, &[topic], "");
    // Nothing but the ingress has to do with a broker.
    let alone = whole.rsplit_once("---\n").expect("several components").0;
    let (client, installation) = (http::client(), Installation::new(alone));
    let runtime = installation.start();
    becomes(&client, &runtime, "lag", &format!(r#"topic="{}",partition="1""#, topics.numbers), 0).await;
    broker.signal("STOP");
    let paused = Paused(&broker);
    // How long each took is said, and judged by whoever reads it.
    let stop = |runtime: Runtime, when: &str| {
        let began = Instant::now();
        runtime.terminate();
        crate::report(format_args!("stopped in {} ms, {when}", began.elapsed().as_millis()));
    };
    stop(runtime, "while it was read");
    let runtime = installation.start();
    tokio::time::sleep(Duration::from_secs(1)).await;
    stop(runtime, "before anything was read");
    let runtime = installation.start();
    until_log(&runtime, "MP1020").await;
    stop(runtime, "during an outage");
    drop(paused);
}

/// A broker that hears nothing, until this is gone.
struct Paused<'a>(&'a Broker);

impl Drop for Paused<'_> {
    fn drop(&mut self) {
        self.0.signal("CONT");
    }
}
