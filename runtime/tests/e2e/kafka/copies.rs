//! Copies of a data folder: one publishes, the other is stopped.

use std::time::Instant;

use super::broker::Broker;
use super::{Counting, EARLIEST};
use crate::wait::eventually;

/// `1:1` and so on: each number was counted once, in order.
fn exact(last: u64) -> Vec<String> {
    (1..=last).map(|number| format!("{number}:{number}")).collect()
}

/// An application that published twenty records and was stopped.
fn stopped_behind_twenty() -> Option<Counting> {
    let counting = Counting::new(Broker::shared(), EARLIEST)?;
    let key = counting.key("k");
    counting.send(&key, 1..=20);
    let runtime = counting.installation.start();
    assert_eq!(counting.counted(&key, 20), exact(20));
    runtime.terminate();
    Some(counting)
}

/// MP6020: a copy that is started beside the one that publishes is stopped, whichever of the two is the original; the one
/// that publishes was shut out for a moment, and goes on by itself.
#[tokio::test(flavor = "multi_thread")]
async fn copy_beside_the_one_that_publishes_is_stopped() {
    for copy_publishes in [false, true] {
        let Some(counting) = stopped_behind_twenty() else { return };
        let (key, copy) = (counting.key("k"), counting.installation.copy());
        let (first, second) =
            if copy_publishes { (&copy, &counting.installation) } else { (&counting.installation, &copy) };
        let publishes = first.start();
        counting.send(&key, 21..=40);
        assert_eq!(counting.counted(&key, 40), exact(40));
        let began = Instant::now();
        let output = second.refused("127.0.0.1:0");
        crate::report(format_args!("copies: the stale one was stopped after {} ms", began.elapsed().as_millis()));
        let words = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(3), "{words}");
        assert!(words.contains("error[MP6020]: egress `com.example/out`: ledger is a stale copy"), "{words}");
        counting.send(&key, 41..=60);
        assert_eq!(counting.counted(&key, 60), exact(60));
        // Once stopped, it stays so.
        assert_eq!(second.refused("127.0.0.1:0").status.code(), Some(3));
        counting.send(&key, 61..=80);
        assert_eq!(counting.counted(&key, 80), exact(80));
        publishes.terminate();
    }
}

/// MP6020: two copies that were both started before either published. One of them does, the other one stops.
#[tokio::test(flavor = "multi_thread")]
async fn of_two_copies_that_start_together_one_goes_on() {
    let Some(counting) = stopped_behind_twenty() else { return };
    let (key, copy) = (counting.key("k"), counting.installation.copy());
    let mut both = vec![counting.installation.start(), copy.start()];
    counting.send(&key, 21..=40);
    let began = Instant::now();
    let stopped = eventually("one of two copies to stop", async || {
        let at = both.iter_mut().position(crate::runtime::Runtime::has_ended)?;
        Some(both.remove(at))
    })
    .await;
    crate::report(format_args!("copies: one of two was stopped after {} ms", began.elapsed().as_millis()));
    let (code, log) = stopped.ended();
    assert_eq!(code, Some(3), "{log}");
    assert!(log.contains("error[MP6020]"), "{log}");
    assert_eq!(counting.counted(&key, 40), exact(40));
    counting.send(&key, 41..=60);
    assert_eq!(counting.counted(&key, 60), exact(60));
    both.remove(0).terminate();
}

/// MP6020: a directory from before the last published record is refused, and publishes nothing.
#[tokio::test(flavor = "multi_thread")]
async fn directory_that_was_restored_is_refused() {
    let Some(counting) = stopped_behind_twenty() else { return };
    let (key, before) = (counting.key("k"), counting.installation.copy());
    let runtime = counting.installation.start();
    counting.send(&key, 21..=40);
    assert_eq!(counting.counted(&key, 40), exact(40));
    runtime.terminate();
    let output = before.refused("127.0.0.1:0");
    let words = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{words}");
    assert!(words.contains("error[MP6020]: egress `com.example/out`: ledger is a stale copy"), "{words}");
    assert_eq!(counting.counted(&key, 40), exact(40));
}
