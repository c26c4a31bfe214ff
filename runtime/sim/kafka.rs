//! A model of Kafka's brokers, with the first transaction protocol.
//!
//! What comes in: requests, whenever the world lets them arrive, late and repeated ones included. What goes out: an answer
//! to each. It owns the logs of the partitions and what the coordinator knows of each transactional id. As in Kafka:
//!
//! - All transactions of a producer share its epoch. So an `End` that arrives late ends whatever is open then (KIP-890).
//! - `Initialise` raises the epoch. When a transaction is open it is aborted first, and the caller is told to come again.
//! - A transaction that is open for too long is aborted; its epoch is raised, which its producer learns as a fence.
//! - An end is decided at once and written to the partitions as markers one by one; until the last one is written, the
//!   producer is told to come again. Only an abort for a fence or a time-out carries a raised epoch to the partitions.
//! - A partition takes what comes with an epoch that is not lower than the last one it saw, whether the coordinator knows
//!   of it or not; brokers from 3.6 on ask the coordinator. What comes late so opens a transaction that nobody ends.
//! - A repeated batch is recognised by its number, and answered as the first one was.
//! - Readers of committed data see nothing behind the first record of an open transaction.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use millpond_publisher::{Isolation, Millis};

/// A transactional id, which is its producer id, too.
pub(crate) type Producer = u32;

/// What a client asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Request {
    Initialise,
    AddPartition(usize),
    Produce { partition: usize, batch: u32, values: Vec<Bytes> },
    Commit,
}

/// What it is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Done; after `Initialise` with this epoch.
    Done(u32),
    /// The transaction before is still being ended: come again.
    Concurrent,
    /// The epoch is not the last one.
    Fenced,
    /// Never: a record of the batch is refused for good.
    Refused,
    /// Not in this state.
    Invalid,
}

#[derive(Debug)]
pub(crate) struct Kafka {
    partitions: Vec<Partition>,
    coordinator: BTreeMap<Producer, Transactional>,
    /// Brokers ask the coordinator whether a partition is part of the open transaction.
    verification: bool,
    transaction_timeout_ms: Millis,
}

#[derive(Debug, Default)]
struct Partition {
    log: Vec<Entry>,
    producers: BTreeMap<Producer, Known>,
}

#[derive(Debug)]
struct Entry {
    producer: Producer,
    /// `None` for a marker.
    value: Option<Bytes>,
    /// Whether its transaction was committed; `None` while it is open.
    committed: Option<bool>,
}

/// What a partition knows of a producer.
#[derive(Debug, Default)]
struct Known {
    epoch: u32,
    /// Number of the next batch.
    next: u32,
    /// Where its open transaction began.
    open: Option<usize>,
}

/// What the coordinator knows of a transactional id.
#[derive(Debug)]
struct Transactional {
    epoch: u32,
    state: State,
    partitions: BTreeSet<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Empty,
    Ongoing {
        since: Millis,
    },
    /// Decided; markers are being written.
    Prepared {
        commit: bool,
    },
    Complete {
        commit: bool,
    },
}

impl Kafka {
    pub(crate) fn new(partitions: usize, verification: bool, transaction_timeout_ms: Millis) -> Kafka {
        Kafka {
            partitions: (0..partitions).map(|_| Partition::default()).collect(),
            coordinator: BTreeMap::new(),
            verification,
            transaction_timeout_ms,
        }
    }

    /// A request arrives. `refused` tells a value that no broker takes.
    pub(crate) fn serve(
        &mut self,
        now: Millis,
        producer: Producer,
        epoch: u32,
        request: &Request,
        refused: impl Fn(&Bytes) -> bool,
    ) -> Answer {
        let known = self.coordinator.entry(producer).or_insert(Transactional {
            epoch: 0,
            state: State::Empty,
            partitions: BTreeSet::new(),
        });
        match request {
            Request::Initialise => known.initialise(),
            Request::Produce { partition, batch, values } => {
                let open = matches!(known.state, State::Ongoing { .. }) && known.partitions.contains(partition);
                let verified = !self.verification || open && known.epoch == epoch;
                self.partitions[*partition].produce(producer, epoch, *batch, values, verified, refused)
            }
            _ if epoch != known.epoch => Answer::Fenced,
            Request::AddPartition(partition) => known.add(now, *partition),
            Request::Commit => known.commit(),
        }
    }

    /// Aborts what is open for too long; true when there was something.
    pub(crate) fn expire(&mut self, now: Millis) -> bool {
        let timeout = self.transaction_timeout_ms;
        let mut expired = false;
        for known in self.coordinator.values_mut() {
            if matches!(known.state, State::Ongoing { since } if now.saturating_sub(since) > timeout) {
                known.abort();
                expired = true;
            }
        }
        expired
    }

    /// Writes one marker, or ends a transaction whose markers are all written; true while there is more to do.
    pub(crate) fn write_marker(&mut self) -> bool {
        let prepared = self.coordinator.iter_mut().find_map(|(producer, known)| match known.state {
            State::Prepared { commit } => Some((*producer, known, commit)),
            _ => None,
        });
        let Some((producer, known, commit)) = prepared else { return false };
        match known.partitions.pop_first() {
            Some(partition) => self.partitions[partition].mark(producer, known.epoch, commit),
            None => known.state = State::Complete { commit },
        }
        true
    }

    /// True when no transaction of this producer is open or being ended.
    pub(crate) fn at_rest(&self, producer: Producer) -> bool {
        let state = self.coordinator.get(&producer).map(|known| known.state);
        matches!(state, None | Some(State::Empty | State::Complete { .. }))
    }

    /// Where a partition ends for a reader.
    pub(crate) fn end(&self, partition: usize, isolation: Isolation) -> usize {
        let partition = &self.partitions[partition];
        match isolation {
            Isolation::Uncommitted => partition.log.len(),
            Isolation::Committed => partition.stable(),
        }
    }

    /// Offset and value of each record of a producer that a reader gets.
    pub(crate) fn read(
        &self,
        partition: usize,
        producer: Producer,
        isolation: Isolation,
    ) -> impl DoubleEndedIterator<Item = (usize, &Bytes)> {
        let end = self.end(partition, isolation);
        let entries = self.partitions[partition].log[..end].iter().enumerate();
        entries.filter_map(move |(offset, entry)| {
            let seen =
                entry.producer == producer && (isolation == Isolation::Uncommitted || entry.committed == Some(true));
            entry.value.as_ref().filter(|_| seen).map(|value| (offset, value))
        })
    }

    /// The last committed record of a producer, whoever can see it yet.
    pub(crate) fn last_committed(&self, partition: usize, producer: Producer) -> Option<&Bytes> {
        let mut entries = self.partitions[partition].log.iter().rev();
        entries.find_map(|entry| {
            let ours = entry.producer == producer && entry.committed == Some(true);
            entry.value.as_ref().filter(|_| ours)
        })
    }

    /// A record is left behind that belongs to no transaction that the coordinator knows: nobody ends it. Brokers before 3.6
    /// could be brought to that.
    pub(crate) fn hang(&mut self, partition: usize, producer: Producer, value: Bytes) {
        let partition = &mut self.partitions[partition];
        let known = partition.producers.entry(producer).or_default();
        if known.open.is_none() {
            known.open = Some(partition.log.len());
            partition.log.push(Entry { producer, value: Some(value), committed: None });
        }
    }

    /// The topic is deleted, and made anew without its records.
    pub(crate) fn lose(&mut self, partition: usize) {
        self.partitions[partition] = Partition::default();
    }
}

impl Transactional {
    fn initialise(&mut self) -> Answer {
        match self.state {
            State::Ongoing { .. } => {
                self.abort();
                Answer::Concurrent
            }
            State::Prepared { .. } => Answer::Concurrent,
            State::Empty | State::Complete { .. } => {
                self.epoch += 1;
                self.state = State::Empty;
                Answer::Done(self.epoch)
            }
        }
    }

    /// An abort that the producer did not ask for: it is shut out.
    fn abort(&mut self) {
        self.epoch += 1;
        self.state = State::Prepared { commit: false };
    }

    fn add(&mut self, now: Millis, partition: usize) -> Answer {
        match self.state {
            State::Prepared { .. } => return Answer::Concurrent,
            State::Ongoing { .. } => {}
            State::Empty | State::Complete { .. } => self.state = State::Ongoing { since: now },
        }
        self.partitions.insert(partition);
        Answer::Done(self.epoch)
    }

    fn commit(&mut self) -> Answer {
        match self.state {
            State::Ongoing { .. } => {
                self.state = State::Prepared { commit: true };
                Answer::Done(self.epoch)
            }
            State::Prepared { commit: true } => Answer::Concurrent,
            State::Complete { commit: true } => Answer::Done(self.epoch),
            State::Empty | State::Prepared { .. } | State::Complete { .. } => Answer::Invalid,
        }
    }
}

impl Partition {
    fn produce(
        &mut self,
        producer: Producer,
        epoch: u32,
        batch: u32,
        values: &[Bytes],
        verified: bool,
        refused: impl Fn(&Bytes) -> bool,
    ) -> Answer {
        let known = self.producers.entry(producer).or_default();
        if epoch < known.epoch {
            return Answer::Fenced;
        }
        if epoch > known.epoch {
            (known.epoch, known.next) = (epoch, 0);
        }
        if batch < known.next {
            return Answer::Done(epoch);
        }
        if batch > known.next || known.open.is_none() && !verified {
            return Answer::Invalid;
        }
        if values.iter().any(refused) {
            return Answer::Refused;
        }
        known.next += 1;
        known.open.get_or_insert(self.log.len());
        let entry = |value: &Bytes| Entry { producer, value: Some(value.clone()), committed: None };
        self.log.extend(values.iter().map(entry));
        Answer::Done(epoch)
    }

    /// A marker decides everything of the producer that is undecided here.
    fn mark(&mut self, producer: Producer, epoch: u32, commit: bool) {
        let known = self.producers.entry(producer).or_default();
        if epoch > known.epoch {
            (known.epoch, known.next) = (epoch, 0);
        }
        if let Some(open) = known.open.take() {
            let undecided = self.log[open..].iter_mut().filter(|entry| entry.producer == producer);
            undecided.for_each(|entry| entry.committed = Some(commit));
        }
        self.log.push(Entry { producer, value: None, committed: Some(commit) });
    }

    /// The last stable offset.
    fn stable(&self) -> usize {
        self.producers.values().filter_map(|known| known.open).min().unwrap_or(self.log.len())
    }
}
