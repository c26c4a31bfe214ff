//! What the calls of one function type add up to. Written by every call, read by whoever shows it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use millpond_protocol::TypeName;

/// Upper bounds of the latency buckets in microseconds; one more bucket takes what is above.
pub const LATENCY_BOUNDS_US: [u64; 17] = [
    250,
    500,
    1_000,
    2_500,
    5_000,
    10_000,
    25_000,
    50_000,
    100_000,
    250_000,
    500_000,
    1_000_000,
    2_500_000,
    5_000_000,
    10_000_000,
    30_000_000,
    120_000_000,
];

/// The calls of one function type since it was first called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallMetrics {
    /// The function type.
    pub function: TypeName,
    /// Attempts begun.
    pub attempts: u64,
    /// Attempts that brought no usable answer, by code, in the order of the codes.
    pub failures: Vec<(&'static str, u64)>,
    /// How long attempts took that have ended, however they ended.
    pub latency: LatencyMetrics,
    /// Connections open now, busy and idle.
    pub connections_open: u64,
    /// Connections that are idle now.
    pub connections_idle: u64,
}

/// A histogram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LatencyMetrics {
    /// How many fell into each bucket of [`LATENCY_BOUNDS_US`] (not the ones below it), then those above all.
    pub buckets: [u64; LATENCY_BOUNDS_US.len() + 1],
    /// The sum of all.
    pub sum_us: u64,
}

impl LatencyMetrics {
    /// How many there are.
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }
}

/// The counters behind [`CallMetrics`].
#[derive(Debug, Default)]
pub(super) struct Counters {
    attempts: AtomicU64,
    buckets: [AtomicU64; LATENCY_BOUNDS_US.len() + 1],
    sum_us: AtomicU64,
    // Few codes, and failures are rare or slow: a list behind a lock is enough.
    failures: Mutex<Vec<(&'static str, u64)>>,
}

impl Counters {
    pub(super) fn begun(&self) {
        self.attempts.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn ended(&self, took: Duration) {
        let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let bucket = LATENCY_BOUNDS_US.partition_point(|bound| *bound < us);
        self.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        self.sum_us.fetch_add(us, Ordering::Relaxed);
    }

    pub(super) fn failed(&self, code: &'static str) {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        match failures.binary_search_by_key(&code, |(code, _)| code) {
            Ok(at) => failures[at].1 += 1,
            Err(at) => failures.insert(at, (code, 1)),
        }
    }

    pub(super) fn attempts(&self) -> u64 {
        self.attempts.load(Ordering::Relaxed)
    }

    pub(super) fn failures(&self) -> Vec<(&'static str, u64)> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn latency(&self) -> LatencyMetrics {
        LatencyMetrics {
            buckets: std::array::from_fn(|at| self.buckets[at].load(Ordering::Relaxed)),
            sum_us: self.sum_us.load(Ordering::Relaxed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_latency_falls_into_one_bucket() {
        let counters = Counters::default();
        for us in [0, 250, 251, 1_000_000, 120_000_000, 120_000_001, u64::MAX / 4] {
            counters.ended(Duration::from_micros(us));
        }
        let latency = counters.latency();
        assert_eq!(latency.buckets, [2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 2]);
        assert_eq!(latency.count(), 7);
    }

    #[test]
    fn failures_are_counted_by_code_and_sorted() {
        let counters = Counters::default();
        for code in ["MP4005", "MP4001", "MP4005", "MP6001"] {
            counters.failed(code);
        }
        assert_eq!(counters.failures(), [("MP4001", 1), ("MP4005", 2), ("MP6001", 1)]);
    }
}
