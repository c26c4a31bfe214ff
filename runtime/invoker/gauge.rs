//! Counts what is open, by counting what is alive.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// How many [`Open`]s there are.
#[derive(Debug, Clone, Default)]
pub(super) struct Gauge(Arc<AtomicU64>);

/// One of them.
#[derive(Debug)]
pub(super) struct Open(Gauge);

impl Gauge {
    pub(super) fn open(&self) -> Open {
        self.0.fetch_add(1, Ordering::Relaxed);
        Open(self.clone())
    }

    pub(super) fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}
