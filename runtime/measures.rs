//! What the drivers measure of themselves. Many threads write, `/metrics` reads; nothing waits for anything.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;

/// Upper bounds of durations, in microseconds.
const DURATION_BOUNDS_US: &[u64] = &[
    100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000,
    10_000_000,
];

/// Upper bounds of sizes, in bytes: powers of four from 256 B to 64 MiB.
const SIZE_BOUNDS: &[u64] =
    &[256, 1 << 10, 4 << 10, 16 << 10, 64 << 10, 256 << 10, 1 << 20, 4 << 20, 16 << 20, 64 << 20];

/// What one node measures.
#[derive(Debug)]
pub struct Measures {
    /// How long commits took that made a checkpoint durable, in microseconds.
    pub commits_us: Histogram,
    /// Bytes of these checkpoints.
    pub checkpoint_bytes: Histogram,
    /// How long reads of the ledger took that the engine asked for, in microseconds.
    pub loads_us: Histogram,
    listeners: Mutex<BTreeMap<&'static str, Arc<Listener>>>,
}

impl Default for Measures {
    fn default() -> Measures {
        Measures {
            commits_us: Histogram::new(DURATION_BOUNDS_US),
            checkpoint_bytes: Histogram::new(SIZE_BOUNDS),
            loads_us: Histogram::new(DURATION_BOUNDS_US),
            listeners: Mutex::default(),
        }
    }
}

impl Measures {
    /// Counts the requests of a service under the name of its listener.
    pub fn count(&self, listener: &'static str, service: axum::Router) -> axum::Router {
        let counters = Arc::<Listener>::default();
        let mut listeners = self.listeners.lock().unwrap_or_else(PoisonError::into_inner);
        listeners.insert(listener, Arc::clone(&counters));
        service.layer(from_fn_with_state(counters, counted))
    }

    /// What was counted so far, by listener: requests under way, and those that were answered, by status.
    pub fn listeners(&self) -> Vec<(&'static str, u64, BTreeMap<u16, u64>)> {
        let listeners = self.listeners.lock().unwrap_or_else(PoisonError::into_inner);
        let read = |(name, listener): (&&'static str, &Arc<Listener>)| {
            let answered = listener.answered.lock().unwrap_or_else(PoisonError::into_inner).clone();
            (*name, listener.under_way.load(Ordering::Relaxed), answered)
        };
        listeners.iter().map(read).collect()
    }
}

/// The requests of one listener.
#[derive(Debug, Default)]
struct Listener {
    under_way: AtomicU64,
    answered: Mutex<BTreeMap<u16, u64>>,
}

async fn counted(State(listener): State<Arc<Listener>>, request: Request, next: Next) -> Response {
    let under_way = UnderWay::new(&listener);
    let response = next.run(request).await;
    drop(under_way);
    let mut answered = listener.answered.lock().unwrap_or_else(PoisonError::into_inner);
    *answered.entry(response.status().as_u16()).or_default() += 1;
    drop(answered);
    response
}

/// One request; it may end without an answer, when its client goes away.
struct UnderWay<'a>(&'a Listener);

impl UnderWay<'_> {
    fn new(listener: &Listener) -> UnderWay<'_> {
        listener.under_way.fetch_add(1, Ordering::Relaxed);
        UnderWay(listener)
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Counts values by size.
#[derive(Debug)]
pub struct Histogram {
    bounds: &'static [u64],
    /// One for each bound, and one for what is above all.
    buckets: Box<[AtomicU64]>,
    sum: AtomicU64,
}

/// A histogram as it was at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Distribution {
    /// Upper bounds of the buckets but the last one.
    pub bounds: &'static [u64],
    /// How many fell into each bucket, not counting those below it.
    pub buckets: Vec<u64>,
    /// The sum of all values.
    pub sum: u64,
}

impl Histogram {
    /// Counts durations, in microseconds.
    pub(crate) fn of_durations() -> Histogram {
        Histogram::new(DURATION_BOUNDS_US)
    }

    fn new(bounds: &'static [u64]) -> Histogram {
        Histogram { bounds, buckets: (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect(), sum: AtomicU64::new(0) }
    }

    /// Counts a value.
    pub fn add(&self, value: u64) {
        self.add_times(value, 1);
    }

    fn add_times(&self, value: u64, times: u64) {
        let bucket = self.bounds.partition_point(|bound| *bound < value);
        self.buckets[bucket].fetch_add(times, Ordering::Relaxed);
        self.sum.fetch_add(value.saturating_mul(times), Ordering::Relaxed);
    }

    /// Counts a duration, in microseconds.
    pub fn add_duration(&self, duration: Duration) {
        self.add(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX));
    }

    /// Counts a duration as often as this, in microseconds.
    pub(crate) fn add_duration_times(&self, duration: Duration, times: u64) {
        self.add_times(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX), times);
    }

    /// What was counted so far.
    pub fn read(&self) -> Distribution {
        Distribution {
            bounds: self.bounds,
            buckets: self.buckets.iter().map(|bucket| bucket.load(Ordering::Relaxed)).collect(),
            sum: self.sum.load(Ordering::Relaxed),
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::routing::get;
    use http::StatusCode;

    use super::{Histogram, Measures};

    /// A value falls into the first bucket whose bound it does not exceed.
    #[test]
    fn buckets() {
        let histogram = Histogram::new(&[10, 100]);
        for value in [0, 10, 11, 100, 101, 1_000] {
            histogram.add(value);
        }
        let read = histogram.read();
        assert_eq!((read.buckets, read.sum), (vec![2, 2, 2], 1_222));
    }

    /// Each request is counted once, by what was answered.
    #[tokio::test]
    async fn requests() {
        let measures = Measures::default();
        let service =
            Router::new().route("/", get(|| async {})).route("/tea", get(|| async { StatusCode::IM_A_TEAPOT }));
        let service = measures.count("admin", service);
        let address = crate::edge::fake::served(service, crate::edge::ConnectionLimits::default()).await;
        for path in ["", "tea", "tea", "nothing"] {
            reqwest::get(format!("http://{address}/{path}")).await.expect("an answer");
        }
        assert_eq!(measures.listeners(), [("admin", 0, [(200, 1), (404, 1), (418, 2)].into())]);
    }
}
