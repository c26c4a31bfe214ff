//! How far ingresses have come in the partitions that they read.
//!
//! What comes in: records of partitions, each with its offset, in the order of a partition; and where reading begins. What
//! goes out: with a checkpoint, the offset behind the last record that was taken in. A record and the offset behind it are in
//! the same checkpoint, so after a crash an ingress goes on exactly where its records are not in the ledger yet. So are the
//! dead letters that an ingress makes of a record that cannot be a message.
//!
//! A record whose function type has as much waiting as it may is *held back*: the ingress is told to come with it again later,
//! and what it read behind it is not looked at until then. So the order of a partition is kept, and other partitions go on.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use millpond_protocol::{Address, TypeName};

use crate::engine::Engine;
use crate::{EgressRecord, Event, Millis, Output, Write};

/// A partition of something that an ingress reads.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Partition {
    /// The id of the ingress.
    pub ingress: TypeName,
    /// The topic.
    pub topic: Box<str>,
    /// Its number in the topic.
    pub number: u32,
}

/// A record of a partition, with its targets.
#[derive(Debug, Clone)]
pub struct Record {
    /// Where it is from.
    pub partition: Arc<Partition>,
    /// Its place there. Those of one partition come in order; numbers may be missing.
    pub offset: u64,
    /// Target and argument (an encoded `TypedValue`) of each invocation, in the order of the module's targets; none when
    /// there is nothing to do for it.
    pub invocations: Vec<(Address, Bytes)>,
    /// Its timestamp, if it has one: what latency is counted from, and nothing else.
    pub timestamp: Option<Millis>,
    /// Records for lanes, which exist: what the ingress makes of it that no function gets.
    pub letters: Vec<EgressRecord>,
}

/// How far each partition has come.
#[derive(Debug, Default)]
pub(crate) struct Positions {
    known: BTreeMap<Arc<Partition>, Position>,
    /// Partitions that moved since the last seal.
    moved: Vec<Arc<Partition>>,
}

#[derive(Debug, Default)]
struct Position {
    /// The offset of the next record.
    next: u64,
    /// It is in `moved`.
    moved: bool,
    /// The record that was held back.
    held: Option<u64>,
}

impl Positions {
    pub(crate) fn new(restored: &BTreeMap<Partition, u64>) -> Positions {
        let known = |(partition, next): (&Partition, &u64)| {
            (Arc::new(partition.clone()), Position { next: *next, ..Position::default() })
        };
        Positions { known: restored.iter().map(known).collect(), moved: Vec::new() }
    }

    /// The next offset of a partition; true when it changed.
    fn go_to(&mut self, partition: &Arc<Partition>, next: u64) -> bool {
        let position = match self.known.get_mut(partition) {
            Some(position) if position.next == next => return false,
            Some(position) => position,
            None => self.known.entry(Arc::clone(partition)).or_default(),
        };
        position.next = next;
        if !position.moved {
            position.moved = true;
            self.moved.push(Arc::clone(partition));
        }
        true
    }

    /// What moved since the last seal.
    pub(crate) fn seal(&mut self, writes: &mut Vec<Write>) {
        for partition in self.moved.drain(..) {
            let position = self.known.get_mut(&partition).expect("what moved is known");
            position.moved = false;
            writes.push(Write::Position { partition, next: position.next });
        }
    }
}

impl Engine {
    /// An ingress begins to read a partition at this offset: also one below where it was, when what was there is gone.
    pub(crate) fn positioned(&mut self, partition: &Arc<Partition>, next: u64) {
        if self.stopping {
            return;
        }
        if let Some(position) = self.positions.known.get_mut(partition) {
            position.held = None;
        }
        if self.positions.go_to(partition, next) {
            self.delta.changed(BYTES, self.now);
        }
    }

    /// What comes now begins with the record that was held back, unless that is gone by now.
    pub(crate) fn resumed(&mut self, partition: &Arc<Partition>, offset: u64) {
        if let Some(position) = self.positions.known.get_mut(partition) {
            position.held.take_if(|held| *held == offset);
        }
    }

    /// Takes a record in, once.
    pub(crate) fn read(&mut self, record: Record) {
        let Record { partition, offset, invocations, timestamp, letters } = record;
        if let Some(position) = self.positions.known.get(&partition) {
            let passed_over = position.held.is_some_and(|held| offset > held);
            if offset < position.next || passed_over {
                return;
            }
        }
        let event = Event { invocations, receipt: None, idempotency: None };
        if self.refusal(&event).is_some() {
            // An engine that is stopping has no word for anybody: the next one reads the record again.
            if !self.stopping {
                self.hold_back(partition, offset);
            }
            return;
        }
        self.positions.go_to(&partition, offset + 1);
        if let Some(position) = self.positions.known.get_mut(&partition) {
            position.held = None;
        }
        self.delta.changed(BYTES, self.now);
        let event_time = timestamp.unwrap_or(self.now);
        if !letters.is_empty() {
            self.delta.hurry();
        }
        for letter in letters {
            self.delta.changed(letter.record.len(), self.now);
            self.lanes[letter.lane.0 as usize].push(letter.record, event_time);
        }
        self.take_in(event, event_time);
    }

    fn hold_back(&mut self, partition: Arc<Partition>, offset: u64) {
        // A partition without a position of its own gets one with its first record, taken in or not.
        if !self.positions.known.contains_key(&partition) {
            self.positions.go_to(&partition, offset);
            self.delta.changed(BYTES, self.now);
        }
        let position = self.positions.known.get_mut(&partition).expect("it was put there above");
        position.held = Some(offset);
        self.outputs.push_back(Output::HeldBack { partition, offset });
    }
}

/// What a position counts for in a checkpoint.
const BYTES: usize = 32;
