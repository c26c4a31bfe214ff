//! What an ingress shows of itself: written by its thread, read by the admin API and `/metrics`, and nothing waits for anything.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use millpond_engine::{Millis, Partition};

use crate::router::Defect;

/// Everything that one ingress shows.
#[derive(Debug, Default)]
pub(crate) struct Board {
    /// Partitions, in the order in which they were found.
    partitions: Mutex<Vec<Arc<PartitionBoard>>>,
    topics: BTreeMap<String, TopicBoard>,
    away: Mutex<Option<Away>>,
}

/// What is counted of a topic.
#[derive(Debug)]
pub(crate) struct TopicBoard {
    /// What becomes of its invalid records, in the word of the module.
    pub(crate) handling: &'static str,
    null_keys: AtomicU64,
    null_values: AtomicU64,
    lossy_keys: AtomicU64,
}

/// What is known of a partition.
#[derive(Debug)]
pub(crate) struct PartitionBoard {
    pub(crate) partition: Arc<Partition>,
    records: AtomicU64,
    bytes: AtomicU64,
    position: AtomicU64,
    end: AtomicU64,
    standing: Mutex<Standing>,
}

/// What happens in a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It is read.
    Running,
    /// A function type has no room for this record.
    Held {
        /// Its offset.
        offset: u64,
        /// Since when.
        since: Millis,
    },
    /// It stopped at this record, which is no message.
    Failed {
        /// Its offset.
        offset: u64,
        /// What is wrong with it.
        defect: Defect,
        /// Since when.
        since: Millis,
    },
}

/// The cluster does not give what the ingress wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Away {
    /// Since when.
    pub(crate) since: Millis,
    /// What it said last.
    pub(crate) error: String,
}

/// No number yet.
const UNKNOWN: u64 = u64::MAX;

fn locked<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Board {
    /// For these topics, each with what becomes of its invalid records.
    pub(crate) fn new(topics: impl IntoIterator<Item = (String, &'static str)>) -> Board {
        let topic = |(name, handling)| {
            let counts = TopicBoard {
                handling,
                null_keys: AtomicU64::new(0),
                null_values: AtomicU64::new(0),
                lossy_keys: AtomicU64::new(0),
            };
            (name, counts)
        };
        Board { topics: topics.into_iter().map(topic).collect(), ..Board::default() }
    }

    /// A partition was found. Where the ledger has it, if it does.
    pub(crate) fn add(&self, partition: &Arc<Partition>, position: Option<u64>) -> Arc<PartitionBoard> {
        let board = Arc::new(PartitionBoard {
            partition: Arc::clone(partition),
            records: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            position: AtomicU64::new(position.unwrap_or(UNKNOWN)),
            end: AtomicU64::new(UNKNOWN),
            standing: Mutex::new(Standing::Running),
        });
        locked(&self.partitions).push(Arc::clone(&board));
        board
    }

    /// Partitions, in the order in which they were found.
    pub(crate) fn partitions(&self) -> Vec<Arc<PartitionBoard>> {
        locked(&self.partitions).clone()
    }

    /// What is counted of each topic.
    pub(crate) fn topics(&self) -> &BTreeMap<String, TopicBoard> {
        &self.topics
    }

    pub(crate) fn set_away(&self, away: Option<Away>) {
        *locked(&self.away) = away;
    }

    pub(crate) fn away(&self) -> Option<Away> {
        locked(&self.away).clone()
    }

    /// A record of this topic is no message.
    pub(crate) fn invalid(&self, topic: &str, defect: Defect) {
        if let Some(counts) = self.topics.get(topic) {
            counts.of(defect).fetch_add(1, Ordering::Relaxed);
        }
    }

    /// A key of this topic was not UTF-8.
    pub(crate) fn lossy_key(&self, topic: &str) {
        if let Some(counts) = self.topics.get(topic) {
            counts.lossy_keys.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl TopicBoard {
    fn of(&self, defect: Defect) -> &AtomicU64 {
        match defect {
            Defect::NullKey => &self.null_keys,
            Defect::NullValue => &self.null_values,
        }
    }

    /// Records with this defect.
    pub(crate) fn invalid(&self, defect: Defect) -> u64 {
        self.of(defect).load(Ordering::Relaxed)
    }

    /// Records whose key was not UTF-8.
    pub(crate) fn lossy_keys(&self) -> u64 {
        self.lossy_keys.load(Ordering::Relaxed)
    }
}

impl PartitionBoard {
    /// A record was handed over.
    pub(crate) fn count(&self, bytes: usize) {
        self.records.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Records that were handed over, and their bytes.
    pub(crate) fn counted(&self) -> (u64, u64) {
        (self.records.load(Ordering::Relaxed), self.bytes.load(Ordering::Relaxed))
    }

    /// The ledger has everything below this offset.
    pub(crate) fn set_position(&self, next: u64) {
        self.position.store(next, Ordering::Relaxed);
        let mut standing = locked(&self.standing);
        if matches!(*standing, Standing::Held { offset, .. } if next > offset) {
            *standing = Standing::Running;
        }
    }

    /// Offset of the record that comes next, as the ledger has it.
    pub(crate) fn position(&self) -> Option<u64> {
        Some(self.position.load(Ordering::Relaxed)).filter(|next| *next != UNKNOWN)
    }

    /// The offset behind the last record that there was, when somebody looked.
    pub(crate) fn set_end(&self, end: u64) {
        self.end.store(end, Ordering::Relaxed);
    }

    pub(crate) fn end(&self) -> Option<u64> {
        Some(self.end.load(Ordering::Relaxed)).filter(|end| *end != UNKNOWN)
    }

    /// Records between the two, once both are known.
    pub(crate) fn lag(&self) -> Option<u64> {
        Some(self.end()?.saturating_sub(self.position()?))
    }

    pub(crate) fn set_standing(&self, standing: Standing) {
        *locked(&self.standing) = standing;
    }

    /// It waits at this record, since now unless it did before.
    pub(crate) fn held(&self, offset: u64, now: Millis) {
        let mut standing = locked(&self.standing);
        let since = match *standing {
            Standing::Held { offset: before, since } if before == offset => since,
            _ => now,
        };
        *standing = Standing::Held { offset, since };
    }

    pub(crate) fn standing(&self) -> Standing {
        *locked(&self.standing)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use millpond_engine::Partition;
    use millpond_protocol::TypeName;

    use super::{Board, Standing};
    use crate::router::Defect;

    /// Lag needs both numbers; a record that is held keeps its time over the attempts, until the ledger has it.
    #[test]
    fn a_partition() {
        let board = Board::new([("t".to_owned(), "skip")]);
        let partition = Partition { ingress: TypeName::new("a", "in"), topic: "t".into(), number: 1 };
        let shown = board.add(&Arc::new(partition), None);
        shown.set_end(12);
        assert_eq!((shown.position(), shown.end(), shown.lag()), (None, Some(12), None));
        shown.set_position(5);
        assert_eq!(shown.lag(), Some(7));
        shown.held(5, 100);
        shown.held(5, 200);
        assert_eq!(shown.standing(), Standing::Held { offset: 5, since: 100 });
        shown.set_position(5);
        assert_eq!(shown.standing(), Standing::Held { offset: 5, since: 100 });
        shown.set_position(6);
        assert_eq!(shown.standing(), Standing::Running);
        shown.held(6, 300);
        shown.held(7, 400);
        assert_eq!(shown.standing(), Standing::Held { offset: 7, since: 400 });
        // The end was looked at before these records were there.
        shown.set_position(14);
        assert_eq!(shown.lag(), Some(0));
    }

    /// Defects are counted apart, and only for topics that there are.
    #[test]
    fn a_topic() {
        let board = Board::new([("t".to_owned(), "fail")]);
        board.invalid("t", Defect::NullKey);
        board.invalid("t", Defect::NullValue);
        board.invalid("t", Defect::NullValue);
        board.invalid("other", Defect::NullKey);
        board.lossy_key("t");
        let counts = &board.topics()["t"];
        let found = (counts.invalid(Defect::NullKey), counts.invalid(Defect::NullValue), counts.lossy_keys());
        assert_eq!((found, counts.handling), ((1, 2, 1), "fail"));
    }
}
