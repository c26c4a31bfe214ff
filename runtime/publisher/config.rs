//! What a publisher is told at its start: where the ledger stands, and limits.

use std::collections::BTreeSet;

use crate::{Incarnation, Millis, Sequence};

/// Everything a publisher starts from. All but `incarnation`, `accept_missing_cursor` and `limits` is what the ledger holds.
#[derive(Debug, Clone)]
pub struct Config {
    /// Id of the ledger, chosen when its directory was made.
    pub ledger: u128,
    /// Id of this start, never used before.
    pub incarnation: u64,
    /// The starts before this one, oldest first, as the last durable `Claim` has them.
    pub lineage: Vec<Incarnation>,
    /// The highest number that is confirmed; 0 before the first one.
    pub confirmed: Sequence,
    /// The highest number in the outbox; 0 for one that never had a record.
    pub durable: Sequence,
    /// The last checkpoint.
    pub checkpoint: u64,
    /// Records above `confirmed` that have a dead letter.
    pub refused: BTreeSet<Sequence>,
    /// An operator's word: without a cursor, go on after what is confirmed. What was committed and not confirmed comes twice.
    pub accept_missing_cursor: bool,
    /// Bounds and times.
    pub limits: Limits,
}

/// Bounds and times.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Records in one transaction. Default 10000, a tenth of what the client queues.
    pub transaction_records: usize,
    /// Bytes of records in one transaction; one record always fits. Default 8 MiB.
    pub transaction_bytes: usize,
    /// How long a commit may take before its producer is in doubt. Default 2 s.
    pub commit_ms: Millis,
    /// Pause before the first new producer after a failure. Default 50 ms.
    pub backoff_ms_min: Millis,
    /// Longest pause before a new producer. Default 10 s.
    pub backoff_ms_max: Millis,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            transaction_records: 10_000,
            transaction_bytes: 8 << 20,
            commit_ms: 2_000,
            backoff_ms_min: 50,
            backoff_ms_max: 10_000,
        }
    }
}
