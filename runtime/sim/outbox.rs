//! The ledger as a publisher sees it: an outbox that grows, and what is kept beside it.
//!
//! What comes in: writes, in order. They can be read at once and are durable when they were synced; a crash keeps the first
//! few of those that were not. It owns both parts; a clone is a copy of the directory.

use std::collections::{BTreeSet, VecDeque};

use bytes::Bytes;
use millpond_publisher::{Config, Incarnation, Limits, Sequence};

/// One write.
#[derive(Debug, Clone)]
pub(crate) enum Write {
    Lineage(Vec<Incarnation>),
    Records(Vec<u64>),
    Confirmed(Sequence),
    Letter(Sequence),
}

/// What is durable.
#[derive(Debug, Clone, Default)]
pub(crate) struct Disk {
    /// All records that ever were, so that the oracle can tell. Those that are confirmed cannot be read any more.
    pub(crate) history: Vec<u64>,
    pub(crate) confirmed: Sequence,
    pub(crate) letters: BTreeSet<Sequence>,
    lineage: Vec<Incarnation>,
    pub(crate) checkpoint: u64,
}

/// Both parts.
#[derive(Debug, Clone, Default)]
pub(crate) struct Outbox {
    pub(crate) disk: Disk,
    unsynced: VecDeque<Write>,
}

impl Outbox {
    pub(crate) fn write(&mut self, write: Write) {
        self.unsynced.push_back(write);
    }

    /// How many writes are not synced.
    pub(crate) fn unsynced(&self) -> usize {
        self.unsynced.len()
    }

    /// Makes the first `count` writes durable, and gives them back.
    pub(crate) fn sync(&mut self, count: usize) -> Vec<Write> {
        let synced: Vec<Write> = self.unsynced.drain(..count.min(self.unsynced.len())).collect();
        for write in &synced {
            match write {
                Write::Lineage(lineage) => self.disk.lineage.clone_from(lineage),
                Write::Records(records) => self.disk.history.extend(records),
                Write::Confirmed(upto) => self.disk.confirmed = self.disk.confirmed.max(*upto),
                Write::Letter(sequence) => {
                    self.disk.letters.insert(*sequence);
                }
            }
        }
        self.disk.checkpoint += 1;
        synced
    }

    /// A crash, or a copy of the directory: of what is not synced, the first `count` writes are kept.
    pub(crate) fn crash(&mut self, count: usize) {
        self.sync(count);
        self.unsynced.clear();
    }

    /// Whether a dead letter of this number is written.
    pub(crate) fn has_letter(&self, number: Sequence) -> bool {
        let unsynced =
            || self.unsynced.iter().any(|write| matches!(write, Write::Letter(sequence) if *sequence == number));
        self.disk.letters.contains(&number) || unsynced()
    }

    /// Records above `after` up to `upto`, as the outbox of any ledger gives them; synced or not.
    pub(crate) fn fetch(
        &self,
        after: Sequence,
        upto: Sequence,
        records: usize,
        bytes: usize,
    ) -> Vec<(Sequence, Bytes)> {
        let unsynced = self.unsynced.iter().filter_map(|write| match write {
            Write::Records(records) => Some(records),
            _ => None,
        });
        let all = self.disk.history.iter().chain(unsynced.flatten());
        let wanted = (1..).zip(all).filter(|(sequence, _)| *sequence > after && *sequence <= upto);
        let fitting = records.min((bytes / 8).max(1));
        wanted
            .take(fitting)
            .map(|(sequence, record)| (sequence, Bytes::copy_from_slice(&record.to_be_bytes())))
            .collect()
    }

    /// What the next publisher is told.
    pub(crate) fn config(&self, incarnation: u64, accept_missing_cursor: bool, limits: Limits) -> Config {
        Config {
            ledger: 7,
            incarnation,
            lineage: self.disk.lineage.clone(),
            confirmed: self.disk.confirmed,
            durable: self.disk.history.len() as Sequence,
            checkpoint: self.disk.checkpoint,
            refused: self.disk.letters.range(self.disk.confirmed + 1..).copied().collect(),
            accept_missing_cursor,
            limits,
        }
    }
}
