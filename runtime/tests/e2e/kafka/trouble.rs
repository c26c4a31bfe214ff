//! What is not there yet, not there any more, or not taken.

use super::broker::Broker;
use super::{Counting, EARLIEST, EXACTLY_ONCE, module};
use crate::functions::Functions;
use crate::runtime::Runtime;
use crate::wait::eventually;

async fn until_log(runtime: &Runtime, words: &str) {
    eventually(words, async || runtime.log().contains(words).then_some(())).await;
}

/// MP1020, MP6030: topics that are not there are said and waited for; nothing is lost.
#[tokio::test(flavor = "multi_thread")]
async fn topics_that_are_not_there_are_waited_for() {
    let Some(broker) = Broker::shared() else { return };
    let Some(functions) = Functions::start_for_tests("kafka") else { return };
    let counting = Counting::with(functions, broker.clone(), Broker::names(), EARLIEST);
    let hasty = format!("{EXACTLY_ONCE}  properties:\n    - topic.metadata.propagation.max.ms: 1000\n");
    counting.installation.rewrite(&module(&counting.functions, &broker, &counting.topics, EARLIEST, &hasty));
    let runtime = counting.installation.start();
    until_log(&runtime, "MP1020").await;
    broker.make(&counting.topics.numbers, 1);
    let key = counting.key("k");
    counting.send(&key, 1..=3);
    until_log(&runtime, "MP6030").await;
    broker.make(&counting.topics.counts, 1);
    assert_eq!(counting.counted(&key, 3), ["1:1", "2:2", "3:3"]);
    runtime.terminate();
}

/// MP6031: a record that the broker never takes is kept in the ledger, and those behind it are published; over a kill, too.
#[tokio::test(flavor = "multi_thread")]
async fn refused_record_holds_nobody_up() {
    let Some(broker) = Broker::shared() else { return };
    let Some(functions) = Functions::start_for_tests("kafka") else { return };
    let topics = Broker::names();
    broker.make(&topics.numbers, 1);
    broker.make_with(&topics.counts, 1, &[("max.message.bytes", "2000")]);
    let counting = Counting::with(functions, broker, topics, EARLIEST);
    let (key, sender) = (counting.key("k"), counting.broker.sender());
    for value in ["1".to_owned(), format!("\"{}\"", "x".repeat(5_000)), "3".to_owned()] {
        sender.send(&counting.topics.numbers, &key, &value);
    }
    sender.flush();
    let runtime = counting.installation.start();
    assert_eq!(counting.counted(&key, 2), ["1:1", "3:3"]);
    assert!(runtime.log().contains("MP6031"), "it is said which one was refused");
    runtime.kill();
    counting.send(&key, 4..=4);
    let runtime = counting.installation.start();
    assert_eq!(counting.counted(&key, 3), ["1:1", "3:3", "4:4"]);
    runtime.terminate();
}

/// MP1022: a position whose records are gone is said, and reading goes on where the module says.
#[tokio::test(flavor = "multi_thread")]
async fn position_that_is_gone_is_said() {
    let Some(broker) = Broker::shared() else { return };
    let Some(functions) = Functions::start_for_tests("kafka") else { return };
    let topics = broker.topics(1);
    let counting =
        Counting::with(functions, broker.clone(), topics, &format!("{EARLIEST}  autoOffsetResetPosition: earliest\n"));
    let key = counting.key("k");
    counting.send(&key, 1..=10);
    let runtime = counting.installation.start();
    assert_eq!(counting.counted(&key, 10).len(), 10);
    runtime.terminate();
    counting.send(&key, 11..=20);
    broker.remove(&counting.topics.numbers, 15);
    let runtime = counting.installation.start();
    assert_eq!(counting.counted(&key, 15)[10..], ["11:16", "12:17", "13:18", "14:19", "15:20"]);
    assert!(runtime.log().contains("MP1022"), "it is said what is missing");
    runtime.terminate();
}
