//! Where records go, and what each semantic promises of them.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use super::broker::{Broker, Topics};
use super::{Counting, EARLIEST, EXACTLY_ONCE, module};
use crate::functions::Functions;
use crate::runtime::Installation;

const NONE: &str = "  deliverySemantic:\n    type: none\n";
const AT_LEAST_ONCE: &str = "  deliverySemantic:\n    type: at-least-once\n";

/// Keys as people have them, in 1 to 4 bytes a character, short and long.
fn keys() -> impl Iterator<Item = String> {
    (0..1000).map(|number| match number % 5 {
        0 => format!("{number}"),
        1 => format!("Zo\u{eb}-{number}-\u{fc}\u{df}"),
        2 => format!("\u{6771}\u{4eac}-{number}"),
        3 => format!("\u{1f986}{number} with spaces, \"quotes\" and \u{0}"),
        _ => format!("{number}-{}", "long ".repeat(60)),
    })
}

/// Records land in the partition where Kafka's own Java client puts those of their key; every semantic brings them there.
#[tokio::test(flavor = "multi_thread")]
async fn records_land_where_java_puts_them() {
    let Some(broker) = Broker::shared() else { return };
    let Some(functions) = Functions::start_for_tests("kafka") else { return };
    let Topics { numbers, counts } = broker.topics(12);
    let lines = keys().enumerate().fold(String::new(), |mut lines, (number, key)| {
        let _ = writeln!(lines, "{key}>{counts}={number}");
        lines
    });
    tokio::task::block_in_place(|| broker.send_with_java(&numbers, &lines));
    let java = tokio::task::block_in_place(|| broker.places(&numbers, 1000));
    assert_eq!(java.len(), 1000);
    let partitions: std::collections::BTreeSet<_> = java.values().collect();
    assert_eq!(partitions.len(), 12, "they say something about every partition");
    for (semantic, before) in [("", 0), (AT_LEAST_ONCE, 1000), (NONE, 2000), (EXACTLY_ONCE, 3000)] {
        let topics = Topics { numbers: numbers.clone(), counts: counts.clone() };
        let installation = Installation::new(&module(&functions, &broker, &topics, EARLIEST, semantic));
        let runtime = installation.start();
        let ours = tokio::task::block_in_place(|| broker.places(&counts, before + 1000));
        assert_eq!(ours, java, "{semantic}");
        runtime.terminate();
    }
}

/// A record without a key has none on the topic either, and an empty key is none, as in StateFun; such records are in many
/// partitions, as Java's client spreads them.
#[tokio::test(flavor = "multi_thread")]
async fn records_without_a_key_are_spread() {
    let Some(broker) = Broker::shared() else { return };
    let Some(functions) = Functions::start_for_tests("kafka") else { return };
    for semantic in [NONE, AT_LEAST_ONCE, EXACTLY_ONCE] {
        let topics = broker.topics(4);
        let installation = Installation::new(&module(&functions, &broker, &topics, EARLIEST, semantic));
        let sender = broker.sender();
        for number in 0..200 {
            let kind = if number % 2 == 0 { "keyless" } else { "empty" };
            sender.send(&topics.numbers, &format!("{kind}-{number}>{}", topics.counts), &number.to_string());
        }
        sender.flush();
        let runtime = installation.start();
        let found = tokio::task::block_in_place(|| broker.placed(&topics.counts, 200));
        assert!(found.iter().all(|(key, _)| key.is_none()), "{semantic}: {found:?}");
        let partitions: std::collections::BTreeSet<_> = found.iter().map(|(_, partition)| partition).collect();
        assert_eq!(partitions.len(), 4, "{semantic}");
        runtime.terminate();
    }
}

/// `at-least-once`: after kills of the runtime and of the broker each record is there, and those of a key came in order,
/// though some came again.
#[tokio::test(flavor = "multi_thread")]
async fn at_least_once_loses_nothing() {
    const KEYS: usize = 20;
    const EACH: u64 = 100;
    let _turn = crate::HEAVY.lock().await;
    let Some(broker) = Broker::start() else { return };
    let Some(mut counting) = Counting::new(Some(std::sync::Arc::new(broker)), EARLIEST) else { return };
    let text = module(&counting.functions, &counting.broker, &counting.topics, EARLIEST, AT_LEAST_ONCE);
    counting.installation.rewrite(&text);
    for part in 0..4 {
        let numbers = part * EACH / 4 + 1..=(part + 1) * EACH / 4;
        let runtime = counting.installation.start();
        for key in 0..KEYS {
            counting.send(&counting.key(&key.to_string()), numbers.clone());
        }
        if part == 2 {
            counting.broker.signal("KILL");
            runtime.kill();
            std::sync::Arc::get_mut(&mut counting.broker).expect("nobody else has it").start_again();
        } else {
            tokio::time::sleep(Duration::from_millis(150 * part)).await;
            runtime.kill();
        }
    }
    let runtime = counting.installation.start();
    let expected: Vec<String> = (1..=EACH).map(|number| format!("{number}:{number}")).collect();
    let found = crate::wait::eventually("every record", async || {
        let found = tokio::task::block_in_place(|| counting.broker.read(&counting.topics.counts, 0));
        let all = |found: &BTreeMap<String, Vec<String>>| {
            found.len() == KEYS && found.values().all(|those| expected.iter().all(|one| those.contains(one)))
        };
        all(&found).then_some(found)
    })
    .await;
    for (key, those) in &found {
        let mut first: Vec<&String> = Vec::new();
        for one in those {
            if !first.contains(&one) {
                first.push(one);
            }
        }
        assert!(first.into_iter().eq(&expected), "{key}: {those:?}");
    }
    let records: usize = found.values().map(Vec::len).sum();
    crate::report(format_args!("at-least-once: {records} records, {} of them again", records - KEYS * EACH as usize));
    runtime.terminate();
}
