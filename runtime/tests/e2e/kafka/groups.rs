//! What Kafka's own tool says of the consumer group.

use super::broker::Broker;
use super::{Counting, EARLIEST};
use crate::wait::eventually;

/// `kafka-consumer-groups --describe` shows the group with its true lag: while the node runs, while it takes nothing in,
/// and while it is stopped.
#[tokio::test(flavor = "multi_thread")]
async fn the_group_shows_its_true_lag() {
    let Some(counting) = Counting::new(Broker::shared(), EARLIEST) else { return };
    let key = counting.key("k");
    counting.send(&key, 1..=30);
    let runtime = counting.installation.start();
    assert_eq!(counting.counted(&key, 30).len(), 30);
    lag_becomes(&counting, 0).await;
    runtime.kill();
    counting.send(&key, 31..=50);
    lag_becomes(&counting, 20).await;
    // A disk without room: it runs, and takes nothing in.
    let runtime = counting.installation.start_with(&["--disk-free-intake", "100", "--disk-free-calls", "0"]);
    counting.send(&key, 51..=55);
    lag_becomes(&counting, 25).await;
    assert_eq!(counting.counted(&key, 30).len(), 30);
    runtime.terminate();
    lag_becomes(&counting, 25).await;
    let runtime = counting.installation.start();
    assert_eq!(counting.counted(&key, 55).len(), 55);
    lag_becomes(&counting, 0).await;
    runtime.terminate();
}

async fn lag_becomes(counting: &Counting, lag: u64) {
    eventually(&format!("a lag of {lag}"), async || (described(counting) == Some(lag)).then_some(())).await;
}

/// The sum of the column `LAG`; `None` while the tool shows a partition without one.
fn described(counting: &Counting) -> Option<u64> {
    let group = counting.topics.numbers.as_str();
    let said =
        tokio::task::block_in_place(|| counting.broker.tool(&["consumer-groups", "--describe", "--group", group]));
    let mut lines =
        said.lines().map(|line| line.split_whitespace().collect::<Vec<_>>()).filter(|line| !line.is_empty());
    let head = lines.next()?;
    let column = head.iter().position(|name| *name == "LAG")?;
    lines.map(|line| line.get(column)?.parse::<u64>().ok()).sum()
}
