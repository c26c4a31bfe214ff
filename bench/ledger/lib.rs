//! Checkpoints as an engine seals them, for measurements of the ledger: a state value and an outbox record each invocation.

use bytes::Bytes;
use millpond_engine::{Checkpoint, Invocation, LaneId, LaneName, Meta, Sequence, StateValue, Write};
use millpond_protocol::{Address, TypeName};

const VALUE_BYTES: usize = 100;
const RECORD_BYTES: usize = 150;

/// What waits when a checkpoint is sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waiting {
    /// Nothing: each invocation comes and goes within one checkpoint.
    Nothing,
    /// Each invocation, in one checkpoint; its address is busy all the time.
    Invocations,
    /// Each invocation, in one checkpoint; its address is idle before and after.
    Addresses,
}

/// Makes checkpoints, one after the other.
#[derive(Debug)]
pub struct Workload {
    waiting: Waiting,
    size: usize,
    addresses: Vec<Address>,
    number: u64,
    next: usize,
    sequence: Sequence,
    record: u64,
    /// What the checkpoint before left waiting.
    before: Vec<(usize, Sequence)>,
    text: Bytes,
}

impl Workload {
    /// Checkpoints of so many invocations, at 10,000 addresses.
    pub fn new(waiting: Waiting, size: usize) -> Workload {
        let function = TypeName::new("com.example", "counter");
        Workload {
            waiting,
            size,
            addresses: (0..10_000).map(|number| Address::new(function.clone(), format!("user-{number}"))).collect(),
            number: 0,
            next: 0,
            sequence: 0,
            record: 1,
            before: Vec::new(),
            text: vec![b'v'; RECORD_BYTES].into(),
        }
    }

    /// The names of its lanes.
    pub fn lanes() -> Vec<LaneName> {
        vec![LaneName { egress: TypeName::new("com.example", "out"), part: String::new() }]
    }

    /// The next checkpoint.
    pub fn checkpoint(&mut self) -> Checkpoint {
        let (waits, lists) = (self.waiting != Waiting::Nothing, self.waiting == Waiting::Addresses);
        let mut writes = Vec::with_capacity(5 * self.size + 2);
        let mut now = Vec::new();
        for _ in 0..self.size {
            self.next = (self.next + 7_919) % self.addresses.len();
            self.sequence += 1;
            let (address, sequence) = (self.addresses[self.next].clone(), self.sequence);
            let value = StateValue {
                typename: TypeName::new("io.statefun.types", "string"),
                value: self.text.slice(..VALUE_BYTES),
                written: 1_700_000_000_000 + self.number,
            };
            writes.push(Write::State { address: address.clone(), name: "seen".into(), value: Some(value) });
            if waits {
                let invocation = Invocation {
                    caller: None,
                    argument: self.text.slice(..VALUE_BYTES),
                    arrived: self.number,
                    event_time: self.number,
                };
                writes.push(Write::Pending { address: address.clone(), sequence, invocation });
                now.push((self.next, sequence));
            }
            if lists {
                writes.push(Write::Listed { address, listed: true });
            }
        }
        for (place, sequence) in std::mem::replace(&mut self.before, now) {
            let address = self.addresses[place].clone();
            writes.push(Write::Finished { address: address.clone(), sequence });
            if lists {
                writes.push(Write::Listed { address, listed: false });
            }
        }
        let (lane, first, next) = (LaneId(0), self.record, self.record + self.size as u64);
        writes.push(Write::Outbox { lane, first, records: vec![self.text.clone(); self.size] });
        // What the checkpoint before published has left.
        let freed = first.saturating_sub(if self.number == 0 { 0 } else { self.size as u64 }).max(1);
        writes.push(Write::Lane { lane, first, next, first_before: freed });
        self.record = next;
        self.number += 1;
        let meta = Meta { checkpoint: self.number, next_sequence: self.sequence + 1, ..Meta::default() };
        Checkpoint { meta, writes }
    }
}
