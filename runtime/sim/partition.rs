//! A topic's partitions and whoever reads them: each event is a record at an offset, read in order, again after a crash from
//! the position that the ledger has, and now and then again without a reason.
//!
//! What comes in: the scenario's records. What goes out: `Read`, `Resumed` and `Positioned`. A reader learns late that a record was held
//! back; what it read meanwhile has no effect.

use std::collections::BTreeMap;
use std::sync::Arc;

use millpond_engine::{EgressRecord, Input, LaneId, Millis, Partition, Record, Restored};
use millpond_protocol::TypeName;

use crate::scenario::{Scenario, argument};

/// One reader for each partition.
#[derive(Debug, Default)]
pub(crate) struct Readers(Vec<Reader>);

#[derive(Debug)]
struct Reader {
    partition: Arc<Partition>,
    /// The offset from which it reads.
    next: u64,
    /// It was told to come again with a record, and does so then.
    held: Option<Millis>,
    /// It has to say where it reads before it reads.
    begins: bool,
}

/// The partition of this number.
pub(crate) fn partition(number: u32) -> Partition {
    Partition { ingress: TypeName::new("sim", "ingress"), topic: "events".into(), number }
}

impl Readers {
    /// Readers that go on where the ledger says.
    pub(crate) fn new(scenario: &Scenario, restored: &Restored) -> Readers {
        let reader = |number| {
            let partition = partition(number);
            let known = restored.positions.get(&partition).copied();
            Reader { partition: Arc::new(partition), next: known.unwrap_or(0), held: None, begins: known.is_none() }
        };
        Readers((0..scenario.partitions()).map(reader).collect())
    }

    /// What one of them does next: it reads a record, or says where it begins.
    pub(crate) fn step(&mut self, scenario: &Scenario, random: &mut fastrand::Rng, now: Millis) -> Option<Input> {
        let place = random.usize(0..self.0.len().max(1));
        let reader = self.0.get_mut(place)?;
        if reader.held.is_some_and(|until| now < until) {
            return None;
        }
        if reader.held.take().is_some() {
            return Some(Input::Resumed { partition: Arc::clone(&reader.partition), offset: reader.next });
        }
        if std::mem::take(&mut reader.begins) {
            return Some(Input::Positioned { partition: Arc::clone(&reader.partition), next: reader.next });
        }
        if random.u32(0..1000) < scenario.faults.reread {
            // A client that fetched twice. What it skipped ahead to, it never reads.
            reader.next -= random.u64(0..=reader.next);
        }
        let (offset, root) = scenario.record(reader.partition.number, reader.next)?;
        reader.next = offset + 1;
        let (letters, nodes): (Vec<u64>, Vec<u64>) =
            scenario.events[&root].iter().copied().partition(|node| scenario.letters.contains(node));
        let letter = |node| EgressRecord { lane: LaneId(scenario.dead_lane()), record: argument(node) };
        Some(Input::Read(Record {
            partition: Arc::clone(&reader.partition),
            offset,
            invocations: nodes.into_iter().map(|node| (scenario.target(node), argument(node))).collect(),
            letters: letters.into_iter().map(letter).collect(),
            timestamp: None,
        }))
    }

    /// It hears that a record was not taken in.
    pub(crate) fn hold(&mut self, partition: &Partition, offset: u64, until: Millis) {
        if let Some(reader) = self.0.get_mut(partition.number as usize) {
            reader.next = offset;
            reader.held = Some(until);
        }
    }

    /// True when all records were read.
    pub(crate) fn done(&self, scenario: &Scenario) -> bool {
        let done = |reader: &Reader| {
            reader.held.is_none() && !reader.begins && scenario.record(reader.partition.number, reader.next).is_none()
        };
        self.0.iter().all(done)
    }
}

/// At the end the ledger's positions are behind the last records.
pub(crate) fn judge(scenario: &Scenario, positions: &BTreeMap<Partition, u64>) -> Result<(), String> {
    for number in 0..scenario.partitions() {
        let end = scenario.end(number);
        let found = positions.get(&partition(number)).copied();
        if found.unwrap_or(0) != end {
            return Err(format!("partition {number} ends at {end}, its position is {found:?}"));
        }
    }
    Ok(())
}
