//! Words in which the tests are written: addresses, values, and a hand that seals checkpoints.

use std::sync::Arc;

use bytes::Bytes;
use millpond_engine::{
    Checkpoint, IdempotencyEntry, Invocation, LaneId, LaneName, Load, Loaded, LoadedAddress, Meta, Sequence,
    StateValue, Write,
};
use millpond_protocol::{Address, TypeName};
use tempfile::TempDir;

use crate::ledger::{Ledger, LedgerError, LocalLedger, SharedMemoryLedger};

/// A ledger under test, and its death and return.
pub trait Subject {
    fn ledger(&self) -> &dyn Ledger;
    fn reopen(&mut self);
}

#[derive(Default)]
pub struct Memory(SharedMemoryLedger);

impl Subject for Memory {
    fn ledger(&self) -> &dyn Ledger {
        &self.0
    }

    fn reopen(&mut self) {}
}

pub struct Local {
    ledger: Option<LocalLedger>,
    directory: TempDir,
}

impl Default for Local {
    fn default() -> Local {
        let directory = tempfile::tempdir().expect("a directory");
        let ledger = LocalLedger::open(&directory.path().join("ledger")).expect("a new ledger");
        Local { ledger: Some(ledger), directory }
    }
}

impl Subject for Local {
    fn ledger(&self) -> &dyn Ledger {
        self.ledger.as_ref().expect("it is open")
    }

    fn reopen(&mut self) {
        self.ledger = None;
        let ledger = LocalLedger::open(&self.directory.path().join("ledger")).expect("the ledger that was there");
        self.ledger = Some(ledger);
    }
}

pub fn typename(namespace: &str, name: &str) -> TypeName {
    TypeName::new(namespace, name)
}

pub fn address(id: &str) -> Address {
    Address::new(typename("com.example", "counter"), id)
}

pub fn lane(part: &str) -> LaneName {
    LaneName { egress: typename("com.example", "out"), part: part.to_owned() }
}

pub fn value(bytes: impl AsRef<[u8]>) -> StateValue {
    StateValue {
        typename: typename("io.statefun.types", "string"),
        value: Bytes::copy_from_slice(bytes.as_ref()),
        written: 1_700_000_000_123,
    }
}

pub fn invocation(argument: impl AsRef<[u8]>) -> Invocation {
    Invocation {
        caller: None,
        argument: Bytes::copy_from_slice(argument.as_ref()),
        arrived: 1_700_000_000_456,
        event_time: 1_700_000_000_456,
    }
}

pub fn entry(seed: u8) -> IdempotencyEntry {
    IdempotencyEntry { fingerprint: [seed; 16], time: 1_700_000_000_789 }
}

pub fn state(address: &Address, name: &str, value: Option<StateValue>) -> Write {
    Write::State { address: address.clone(), name: name.into(), value }
}

pub fn pending(address: &Address, sequence: Sequence, argument: &str) -> Write {
    Write::Pending { address: address.clone(), sequence, invocation: invocation(argument) }
}

pub fn finished(address: &Address, sequence: Sequence) -> Write {
    Write::Finished { address: address.clone(), sequence }
}

pub fn listed(address: &Address, listed: bool) -> Write {
    Write::Listed { address: address.clone(), listed }
}

pub fn idempotency(generation: u64, key: &str, seed: u8) -> Write {
    Write::Idempotency { generation, key: key.into(), entry: entry(seed) }
}

/// Seals checkpoints as an engine would: numbers without a gap, lanes that go on where they stood.
#[derive(Debug, Clone)]
pub struct Hand {
    pub lanes: Vec<LaneName>,
    /// First and next of each lane.
    pub stand: Vec<(u64, u64)>,
    pub number: u64,
}

impl Hand {
    pub fn new() -> Hand {
        Hand::with_lanes(vec![lane("")])
    }

    pub fn with_lanes(lanes: Vec<LaneName>) -> Hand {
        let stand = vec![(1, 1); lanes.len()];
        Hand { lanes, stand, number: 0 }
    }

    /// The next checkpoint, with these writes.
    pub fn seal(&mut self, writes: Vec<Write>) -> Checkpoint {
        self.number += 1;
        let meta = Meta {
            checkpoint: self.number,
            time: 1_700_000_000_000 + self.number,
            next_sequence: 10 * self.number,
            idempotency_generation: 2,
            idempotency_began: 3,
            idempotency_count: 4,
            idempotency_count_before: 5,
        };
        Checkpoint { meta, writes }
    }

    /// The next checkpoint, made durable.
    pub fn commit(&mut self, ledger: &dyn Ledger, writes: Vec<Write>) {
        let checkpoint = self.seal(writes);
        ledger.commit(&checkpoint, &self.lanes).expect("it is in order");
    }

    /// Adds records to a lane and frees all up to `freed`.
    pub fn publish(&mut self, lane: usize, records: &[&str], freed: u64) -> Vec<Write> {
        let (first_before, next_before) = self.stand[lane];
        let (first, next) = (first_before.max(freed + 1), next_before + records.len() as u64);
        self.stand[lane] = (first, next);
        let id = LaneId(lane as u32);
        let records = records.iter().map(|record| Bytes::copy_from_slice(record.as_bytes())).collect();
        vec![
            Write::Outbox { lane: id, first: next_before, records },
            Write::Lane { lane: id, first, next, first_before },
        ]
    }
}

/// What one address holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    pub states: Vec<(Arc<str>, StateValue)>,
    pub pending: Vec<(Sequence, Invocation)>,
    pub listed: bool,
}

impl Seen {
    pub fn is_nothing(&self) -> bool {
        self.states.is_empty() && self.pending.is_empty() && !self.listed
    }

    /// Its states in short: name and bytes.
    pub fn texts(&self) -> Vec<(&str, &[u8])> {
        self.states.iter().map(|(name, value)| (name.as_ref(), value.value.as_ref())).collect()
    }

    pub fn sequences(&self) -> Vec<Sequence> {
        self.pending.iter().map(|(sequence, _)| *sequence).collect()
    }
}

pub fn see(ledger: &dyn Ledger, address: &Address) -> Seen {
    match ledger.load(&Load::Address { address: address.clone(), bytes: usize::MAX }) {
        Ok(Loaded::Address(LoadedAddress { address: of, states, pending, listed, .. })) => {
            assert_eq!(&of, address);
            Seen { states, pending, listed }
        }
        other => panic!("{other:?}"),
    }
}

pub fn page(ledger: &dyn Ledger, after: Option<&Address>, limit: usize) -> (Vec<Address>, bool) {
    match ledger.load(&Load::Pending { page: 0, after: after.cloned(), limit }) {
        Ok(Loaded::Pending { addresses, more, .. }) => (addresses, more),
        other => panic!("{other:?}"),
    }
}

pub fn find(ledger: &dyn Ledger, key: &str, generations: [u64; 2]) -> Option<IdempotencyEntry> {
    match ledger.load(&Load::Idempotency { key: key.into(), generations }) {
        Ok(Loaded::Idempotency { key: of, found }) => {
            assert_eq!(&*of, key);
            found
        }
        other => panic!("{other:?}"),
    }
}

/// Records of a lane in short: number and text.
pub fn read(ledger: &dyn Ledger, lane: &LaneName, after: u64, limit: usize, bytes: usize) -> Vec<(u64, String)> {
    let records = ledger.outbox(lane, after, limit, bytes).expect("it can be read");
    let text = |record: Bytes| String::from_utf8(record.to_vec()).expect("it was text");
    records.into_iter().map(|(sequence, record)| (sequence, text(record))).collect()
}

pub fn read_all(ledger: &dyn Ledger, lane: &LaneName) -> Vec<(u64, String)> {
    read(ledger, lane, 0, usize::MAX, usize::MAX)
}

pub fn code(result: Result<(), LedgerError>) -> Option<&'static str> {
    result.err().map(|error| error.code())
}
