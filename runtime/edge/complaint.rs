//! What a client can bring about again and again is in the log once in a while, with how often it was left out.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// When something was last said, and how often it was kept back since.
#[derive(Debug, Default)]
pub(super) struct Complaint {
    said: Option<Instant>,
    suppressed: u64,
}

impl Complaint {
    /// Pause between two lines of the log.
    const EVERY: Duration = Duration::from_secs(10);

    /// How many lines were left out since the last one, when it is time for another.
    pub(super) fn due(&mut self, now: Instant) -> Option<u64> {
        if self.said.is_some_and(|said| now.duration_since(said) < Self::EVERY) {
            self.suppressed += 1;
            return None;
        }
        self.said = Some(now);
        Some(std::mem::take(&mut self.suppressed))
    }
}

/// The same for those who serve at the same time.
#[derive(Debug, Default)]
pub(crate) struct Complaints(Mutex<Complaint>);

impl Complaints {
    /// How many lines were left out since the last one, when it is time for another.
    pub(crate) fn due(&self) -> Option<u64> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).due(Instant::now())
    }
}
