//! Waiting for something to become true, with a deadline instead of a fixed pause.

use std::time::{Duration, Instant};

/// Generous: two loaded cores and a cold disk must never fail a test.
pub const DEADLINE: Duration = Duration::from_secs(120);

const BETWEEN_TRIES: Duration = Duration::from_millis(10);

/// Tries until there is a value; panics with `what` when the deadline has passed.
pub async fn eventually<T>(what: &str, mut attempt: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + DEADLINE;
    loop {
        if let Some(value) = attempt().await {
            return value;
        }
        assert!(Instant::now() < deadline, "waited {DEADLINE:?} in vain for {what}");
        tokio::time::sleep(BETWEEN_TRIES).await;
    }
}
