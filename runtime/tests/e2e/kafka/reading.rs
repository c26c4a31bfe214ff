//! Where reading begins, and what becomes of records that cannot be messages.

use std::time::Instant;

use super::broker::Broker;
use super::{Counting, EARLIEST, EXACTLY_ONCE, module};
use crate::functions::Functions;
use crate::wait::DEADLINE;

/// 2020-02-01 04:15:00 UTC.
const TIME: i64 = 1_580_530_500_000;

/// Each of the five startup positions; a restart goes on from the ledger, whatever the module says then.
#[tokio::test(flavor = "multi_thread")]
async fn reading_begins_where_the_module_says_once() {
    let Some(broker) = Broker::shared() else { return };
    for (start, first) in [
        ("type: earliest", 1),
        ("type: latest", 11),
        ("type: group-offsets", 6),
        ("type: specific-offsets\n    offsets:\n      - TOPIC/0: 4", 5),
        ("type: date\n    date: 2020-02-01 04:15:07.000 +0000", 7),
    ] {
        let Some(functions) = Functions::start_for_tests("kafka") else { return };
        let topics = broker.topics(1);
        let start = format!("  startupPosition:\n    {start}\n").replace("TOPIC", &topics.numbers);
        let counting = Counting::with(functions, broker.clone(), topics, &start);
        let (topic, key, sender) = (&counting.topics.numbers, counting.key("k"), broker.sender());
        (1..=10).for_each(|number| sender.send_at(topic, &key, &number.to_string(), TIME + number * 1000));
        sender.flush();
        broker.commit(topic, topic, 5);
        let runtime = counting.installation.start();
        // The group shows it when the place where reading begins is durable.
        shown(&counting, 10).await;
        counting.send(&key, 11..=11);
        let numbers =
            |last: u64| (first..=last).enumerate().map(|(at, number)| format!("{}:{number}", at + 1)).collect();
        let (found, expected): (_, Vec<String>) = (counting.counted(&key, 12 - first as usize), numbers(11));
        assert_eq!(found, expected, "{start}");
        shown(&counting, 11).await;
        runtime.kill();
        let again = module(&counting.functions, &broker, &counting.topics, EARLIEST, EXACTLY_ONCE);
        counting.installation.rewrite(&again);
        counting.send(&key, 12..=12);
        let runtime = counting.installation.start();
        let (found, expected): (_, Vec<String>) = (counting.counted(&key, 13 - first as usize), numbers(12));
        assert_eq!(found, expected, "{start}, again");
        runtime.terminate();
    }
}

/// Waits until the group shows so many records as read.
async fn shown(counting: &Counting, records: i64) {
    let topic = &counting.topics.numbers;
    let deadline = Instant::now() + DEADLINE;
    while counting.broker.committed(topic, topic, 1) < records {
        assert!(Instant::now() < deadline, "the group does not show {records} records");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

/// MP1021: records without key or value are skipped unless the module says otherwise; with `fail` their partition stops, and
/// goes on under another policy; with `forward` a function gets them.
#[tokio::test(flavor = "multi_thread")]
async fn records_that_are_no_messages() {
    let Some(broker) = Broker::shared() else { return };
    let Some(functions) = Functions::start_for_tests("kafka") else { return };
    let topics = broker.topics(1);
    let policy = |policy: &str| format!("{EARLIEST}  invalidRecordHandling:\n    {policy}\n");
    let counting = Counting::with(functions, broker.clone(), topics, &policy("type: fail"));
    let (topic, key, sender) = (&counting.topics.numbers, counting.key("k"), broker.sender());
    let odd = |number: &str| {
        sender.send_odd(topic, Some(&key), None);
        sender.send(topic, &key, number);
        sender.flush();
    };
    sender.send(topic, &key, "1");
    odd("2");
    let runtime = counting.installation.start();
    assert_eq!(counting.counted(&key, 1), ["1:1"]);
    until_log(&runtime, "partition stops at an invalid record").await;
    runtime.kill();
    let rewrite = |words: &str| {
        let policy = policy(words);
        counting.installation.rewrite(&module(&counting.functions, &broker, &counting.topics, &policy, EXACTLY_ONCE));
    };
    rewrite("type: skip\n    logLevel: error");
    sender.send_odd(topic, None, Some("no key"));
    let runtime = counting.installation.start();
    sender.send(topic, &key, "3");
    sender.flush();
    assert_eq!(counting.counted(&key, 3), ["1:1", "2:2", "3:3"]);
    assert!(runtime.log().contains("skipping invalid record"));
    runtime.terminate();
    rewrite("type: forward\n    target: com.example.fns/odd");
    let runtime = counting.installation.start();
    odd("4");
    let mut found = counting.counted(&key, 5);
    found.sort();
    assert_eq!(found, ["1:1", "2:2", "3:3", "4:4", "odd:com.example.types/Number"]);
    runtime.terminate();
}

async fn until_log(runtime: &crate::runtime::Runtime, words: &str) {
    crate::wait::eventually(words, async || runtime.log().contains(words).then_some(())).await;
}
