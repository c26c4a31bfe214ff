//! How a Kafka egress stands: what its thread says of it, for `/metrics` and the admin API. The thread writes, others read, and
//! nobody waits for anything.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use millpond_engine::LaneName;
use millpond_protocol::TypeName;

use crate::config::model::DeliverySemantic;
use crate::measures::{Distribution, Histogram};

/// Everything that is known of one egress.
#[derive(Debug)]
pub struct KafkaStanding {
    /// The egress.
    pub id: TypeName,
    /// Its lane.
    pub lane: LaneName,
    semantic: &'static str,
    now: Mutex<Now>,
    records: AtomicU64,
    bytes: AtomicU64,
    restarts: AtomicU64,
    refused: AtomicU64,
    kept: AtomicU64,
    transactions_us: Histogram,
    visible_us: Histogram,
}

/// What changes all the time.
#[derive(Debug)]
struct Now {
    state: State,
    error: Option<Trouble>,
    durable: u64,
    published: u64,
    ages: Ages,
}

/// What it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It has no producer that may publish yet.
    Opening,
    /// It waits for records.
    Idle,
    /// It publishes.
    Publishing,
    /// Something failed, and is tried again.
    HeldUp,
    /// It ended, or may not publish.
    Stopped,
}

impl State {
    /// In a word.
    pub fn name(self) -> &'static str {
        match self {
            State::Opening => "opening",
            State::Idle => "idle",
            State::Publishing => "publishing",
            State::HeldUp => "held-up",
            State::Stopped => "stopped",
        }
    }
}

/// Why nothing gets through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// The page that explains it.
    pub code: &'static str,
    /// What was the matter the last time.
    pub error: String,
    /// When that began.
    pub since: Instant,
}

/// How an egress stands at one moment.
#[derive(Debug, Clone)]
pub struct KafkaView {
    /// `exactly-once`, `at-least-once` or `none`.
    pub semantic: &'static str,
    /// What it does.
    pub state: State,
    /// Why nothing gets through, while that is so.
    pub error: Option<Trouble>,
    /// Records that wait.
    pub waiting: u64,
    /// How long the first of them has waited here; nothing when none does.
    pub age: Duration,
    /// Everything up to this one is published.
    pub published: u64,
    /// Records published, as far as this process saw it.
    pub records: u64,
    /// Bytes of their keys, values and headers.
    pub bytes: u64,
    /// Producers that were given up.
    pub restarts: u64,
    /// Records that the broker refused since the start.
    pub refused: u64,
    /// Refused records that the ledger keeps.
    pub kept: u64,
    /// How long transactions took, in microseconds.
    pub transactions_us: Distribution,
    /// From durable to published, record by record, in microseconds.
    pub visible_us: Distribution,
}

impl KafkaStanding {
    /// At the start, with what the ledger says: the highest number in the outbox, the highest one that is published, and how many
    /// refused records are kept.
    pub(super) fn new(
        id: TypeName,
        lane: LaneName,
        semantic: DeliverySemantic,
        (durable, published): (u64, u64),
        kept: u64,
    ) -> KafkaStanding {
        let mut now = Now { state: State::Opening, error: None, durable, published, ages: Ages::default() };
        if durable > published {
            now.ages.durable(durable, Instant::now());
        }
        KafkaStanding {
            id,
            lane,
            semantic: match semantic {
                DeliverySemantic::ExactlyOnce { .. } => "exactly-once",
                DeliverySemantic::AtLeastOnce => "at-least-once",
                DeliverySemantic::None => "none",
            },
            now: Mutex::new(now),
            records: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            restarts: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            kept: AtomicU64::new(kept),
            transactions_us: Histogram::of_durations(),
            visible_us: Histogram::of_durations(),
        }
    }

    /// One of an egress that published three of five records.
    #[cfg(test)]
    pub(crate) fn for_tests(id: TypeName, lane: LaneName, kept: u64) -> KafkaStanding {
        KafkaStanding::new(id, lane, DeliverySemantic::AtLeastOnce, (5, 3), kept)
    }

    /// Nothing gets through.
    #[cfg(test)]
    pub(crate) fn in_trouble_for_tests(&self, code: &'static str, error: &str) {
        self.trouble(code, error);
    }

    /// How it stands.
    pub fn view(&self) -> KafkaView {
        let now = self.now();
        let (state, error) = match now.error {
            Some(_) if now.state != State::Stopped => (State::HeldUp, now.error.clone()),
            _ => (now.state, now.error.clone()),
        };
        KafkaView {
            semantic: self.semantic,
            state,
            error,
            waiting: now.durable.saturating_sub(now.published),
            age: now.ages.oldest().map(|since| since.elapsed()).unwrap_or_default(),
            published: now.published,
            records: self.records.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
            restarts: self.restarts.load(Ordering::Relaxed),
            refused: self.refused.load(Ordering::Relaxed),
            kept: self.kept.load(Ordering::Relaxed),
            transactions_us: self.transactions_us.read(),
            visible_us: self.visible_us.read(),
        }
    }

    /// A refused record was removed from the ledger.
    pub fn discarded(&self) {
        let _ = self.kept.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |kept| kept.checked_sub(1));
    }

    /// Everything up to this one is durable.
    pub(super) fn durable(&self, upto: u64) {
        let mut now = self.now();
        if upto > now.durable {
            now.durable = upto;
            // What a cursor says may be ahead of what this process was told.
            if upto > now.published {
                now.ages.durable(upto, Instant::now());
            }
        }
    }

    /// Everything up to this one is published.
    pub(super) fn published(&self, upto: u64) {
        let at = Instant::now();
        let mut now = self.now();
        let mut before = now.published;
        now.published = now.published.max(upto);
        for (upto, since) in now.ages.published(upto) {
            let count = upto.saturating_sub(before);
            self.visible_us.add_duration_times(at.duration_since(since), count);
            before = before.max(upto);
        }
    }

    /// So much was published.
    pub(super) fn sent(&self, records: u64, bytes: u64) {
        self.records.fetch_add(records, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// A transaction was committed.
    pub(super) fn transaction(&self, took: Duration) {
        self.transactions_us.add_duration(took);
    }

    /// A producer was given up.
    pub(super) fn restart(&self) {
        self.restarts.fetch_add(1, Ordering::Relaxed);
    }

    /// A record was refused for good; it is kept in the ledger, or it is not.
    pub(super) fn refused(&self, kept: bool) {
        self.refused.fetch_add(1, Ordering::Relaxed);
        self.kept.fetch_add(u64::from(kept), Ordering::Relaxed);
    }

    /// What it does now.
    pub(super) fn state(&self, state: State) {
        self.now().state = state;
    }

    /// Nothing gets through.
    pub(super) fn trouble(&self, code: &'static str, error: &str) {
        let mut now = self.now();
        let since = now.error.as_ref().map_or_else(Instant::now, |trouble| trouble.since);
        now.error = Some(Trouble { code, error: error.to_owned(), since });
    }

    /// It does again.
    pub(super) fn well(&self) {
        self.now().error = None;
    }

    fn now(&self) -> MutexGuard<'_, Now> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// When records became durable, as far as they wait. When many wait it is known less exactly, and never too late.
#[derive(Debug, Default)]
struct Ages(VecDeque<(u64, Instant)>);

impl Ages {
    /// Moments that are remembered.
    const MOST: usize = 1024;

    fn durable(&mut self, upto: u64, at: Instant) {
        if self.0.len() >= Ages::MOST {
            // Of two neighbours the records of the later one count as old as those of the earlier one.
            let both = |pair: &[(u64, Instant)]| (pair[pair.len() - 1].0, pair[0].1);
            self.0 = self.0.make_contiguous().chunks(2).map(both).collect();
        }
        self.0.push_back((upto, at));
    }

    /// Takes out what is published: up to which record, and since when that waited.
    fn published(&mut self, upto: u64) -> Vec<(u64, Instant)> {
        let mut out = Vec::new();
        while let Some((last, since)) = self.0.front().copied().filter(|(last, _)| *last <= upto) {
            out.push((last, since));
            self.0.pop_front();
        }
        // A part of those that became durable together.
        if let Some((_, since)) = self.0.front() {
            out.push((upto, *since));
        }
        out
    }

    fn oldest(&self) -> Option<Instant> {
        self.0.front().map(|(_, since)| *since)
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use millpond_engine::LaneName;
    use millpond_protocol::TypeName;

    use super::{Ages, KafkaStanding, State};
    use crate::config::model::DeliverySemantic;

    fn standing(durable: u64, published: u64) -> KafkaStanding {
        let id = TypeName::new("a", "b");
        let lane = LaneName { egress: id.clone(), part: String::new() };
        KafkaStanding::new(id, lane, DeliverySemantic::AtLeastOnce, (durable, published), 3)
    }

    /// Each record is counted once, with the time that it waited, and the oldest that waits gives the age.
    #[test]
    fn records_and_ages() {
        let standing = standing(10, 4);
        assert_eq!((standing.view().waiting, standing.view().published), (6, 4));
        assert!(standing.view().age > Duration::ZERO);
        standing.durable(12);
        standing.published(7);
        standing.published(7);
        assert_eq!(standing.view().visible_us.buckets.iter().sum::<u64>(), 3);
        standing.published(12);
        let view = standing.view();
        assert_eq!((view.waiting, view.age, view.visible_us.buckets.iter().sum::<u64>()), (0, Duration::ZERO, 8));
        // Another cursor may know of more than this process was told.
        standing.published(20);
        standing.durable(15);
        standing.durable(22);
        assert_eq!((standing.view().waiting, standing.view().visible_us.buckets.iter().sum::<u64>()), (2, 8));
    }

    /// Trouble shows with the moment at which it began, until something gets through.
    #[test]
    fn trouble() {
        let standing = standing(1, 0);
        standing.state(State::Publishing);
        standing.trouble("MP6030", "one");
        let began = standing.view().error.expect("there is some").since;
        standing.trouble("MP6032", "two");
        let view = standing.view();
        let trouble = view.error.expect("there is some");
        assert_eq!((view.state.name(), trouble.code, trouble.since), ("held-up", "MP6032", began));
        standing.well();
        assert_eq!((standing.view().state, standing.view().error), (State::Publishing, None));
        for left in [2, 1, 0, 0] {
            standing.discarded();
            assert_eq!(standing.view().kept, left);
        }
    }

    /// However many moments there are, few are remembered, and no record counts as younger than it is.
    #[test]
    fn moments_are_bounded() {
        let (mut ages, began) = (Ages::default(), Instant::now());
        for number in 1..=100_000 {
            ages.durable(number, began + Duration::from_millis(number));
            assert!(ages.0.len() <= Ages::MOST);
        }
        assert_eq!(ages.oldest(), Some(began + Duration::from_millis(1)));
        for (upto, since) in ages.published(100_000) {
            assert!(since <= began + Duration::from_millis(upto));
        }
        assert_eq!(ages.oldest(), None);
    }
}
