//! Every record counts once, and is seen once, through kills of the runtime and of the broker.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::broker::Broker;
use super::{Counting, EARLIEST};

const KEYS: usize = 60;

/// Ten kills of the runtime while records come in.
#[tokio::test(flavor = "multi_thread")]
async fn records_count_once_through_kills() {
    let _turn = crate::HEAVY.lock().await;
    let Some(counting) = Counting::new(Broker::shared(), EARLIEST) else { return };
    let each = 60;
    let sent = send_slowly(&counting, each, Duration::from_millis(2));
    let mut random = fastrand();
    for _ in 0..10 {
        let runtime = counting.installation.start();
        tokio::time::sleep(Duration::from_millis(50 + random(1200))).await;
        runtime.kill();
    }
    // Some die before they serve.
    for _ in 0..5 {
        counting.installation.start_and_kill(Duration::from_millis(random(300)));
    }
    let runtime = counting.installation.start();
    sent.await.expect("everything is sent");
    judge(&counting, each);
    let deadline = std::time::Instant::now() + crate::wait::DEADLINE;
    while counting.broker.committed(&counting.topics.numbers, &counting.topics.numbers, 4) < (KEYS * each) as i64 {
        assert!(std::time::Instant::now() < deadline, "the group never shows how far the ledger is");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    runtime.terminate();
}

/// The broker dies twice and is stopped once for a while, in the middle of it.
#[tokio::test(flavor = "multi_thread")]
async fn records_count_once_through_outages_of_the_broker() {
    let _turn = crate::HEAVY.lock().await;
    let Some(broker) = Broker::start() else { return };
    let Some(mut counting) = Counting::new(Some(Arc::new(broker)), EARLIEST) else { return };
    let each = 40;
    let runtime = counting.installation.start();
    let sent = send_slowly(&counting, each, Duration::from_millis(3));
    for signal in ["KILL", "STOP", "KILL"] {
        tokio::time::sleep(Duration::from_millis(1500)).await;
        counting.broker.signal(signal);
        tokio::time::sleep(Duration::from_millis(3000)).await;
        match signal {
            "STOP" => counting.broker.signal("CONT"),
            _ => Arc::get_mut(&mut counting.broker).expect("nobody else has it").start_again(),
        }
    }
    sent.await.expect("everything is sent");
    judge(&counting, each);
    runtime.terminate();
}

/// Sends the numbers 1 to `each` under every key, in turns.
fn send_slowly(counting: &Counting, each: usize, pause: Duration) -> tokio::task::JoinHandle<()> {
    let (sender, topic) = (counting.broker.sender(), counting.topics.numbers.clone());
    let count = AtomicUsize::new(0);
    tokio::task::spawn_blocking(move || {
        for number in 1..=each {
            for key in 0..KEYS {
                sender.send(&topic, &format!("{key}>{}", topic.replace("numbers", "counts")), &number.to_string());
                if count.fetch_add(1, Ordering::Relaxed).is_multiple_of(5) {
                    std::thread::sleep(pause);
                }
            }
        }
        sender.flush();
    })
}

/// Each key was counted from 1 on, without a gap or a double, in order.
fn judge(counting: &Counting, each: usize) {
    let found = tokio::task::block_in_place(|| counting.broker.read(&counting.topics.counts, KEYS * each));
    let expected: Vec<String> = (1..=each).map(|number| format!("{number}:{number}")).collect();
    let wrong: BTreeMap<&String, &Vec<String>> = found.iter().filter(|(_, counts)| **counts != expected).collect();
    assert!(wrong.is_empty() && found.len() == KEYS, "{} keys, of which are wrong: {wrong:?}", found.len());
}

/// Numbers below a bound, different in each run: the moments of the kills.
fn fastrand() -> impl FnMut(u64) -> u64 {
    let mut state = u64::from(std::process::id()).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    move |bound| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % bound
    }
}
