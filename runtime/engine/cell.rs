//! One address in memory: what is known of it.
//!
//! What comes in: what the ledger loaded, what arrives, what an answer changed. What goes out: to `seal.rs`, what changed
//! since the last checkpoint.

use std::sync::Arc;

use millpond_protocol::Address;

use crate::failure::Failure;
use crate::functions::FunctionId;
use crate::mailbox::Mailbox;
use crate::phase::Phase;
use crate::{FailureRecord, Millis, Sequence, StateValue};

/// One address.
pub(crate) struct Cell {
    pub(crate) address: Address,
    pub(crate) function: FunctionId,
    pub(crate) phase: Phase,
    /// State values by name; few, so a list.
    pub(crate) states: Vec<State>,
    /// Everything that has not run; the first `batch` of them are being run.
    pub(crate) mailbox: Mailbox,
    /// Invocations of the batch in flight, or of the failed one that is sent again as it was.
    pub(crate) batch: usize,
    /// Invocations at the head that are sent one by one, because the batch they were in was rejected.
    pub(crate) one_by_one: usize,
    /// Incomplete answers in a row to this batch, since it was parked last.
    pub(crate) incomplete_rounds: u32,
    pub(crate) failure: Option<Failure>,
    /// The failure it was parked with began, ended or changed since the last seal.
    pub(crate) failure_dirty: bool,
    /// A pass or a walk loads it.
    pub(crate) recalled: bool,
    /// It was parked and is given one attempt only before it is parked again.
    pub(crate) one_attempt: bool,
    /// When the request in flight was made, its retries included.
    pub(crate) began: Millis,
    /// It stands in the line of its type.
    pub(crate) in_line: bool,
    /// When it got in line last.
    pub(crate) in_line_since: Millis,
    /// Attempts of this request that failed.
    pub(crate) attempts: u32,
    /// True when a sealed checkpoint or the ledger lists this address as one with pending invocations.
    pub(crate) listed: bool,
    /// When a request carried its values last, if one of them lives on with each request.
    pub(crate) accessed: Option<Millis>,
    /// That stamp changed since the last seal.
    pub(crate) accessed_dirty: bool,
    /// Sequence numbers that have run, and that a sealed checkpoint holds as pending.
    pub(crate) finished: Vec<Sequence>,
    /// Changed since the last seal.
    pub(crate) dirty: bool,
    /// The last checkpoint that holds a change of this cell.
    pub(crate) checkpoint: u64,
    /// Counts uses; tells a current entry of the idle queue from an outdated one.
    pub(crate) uses: u64,
    /// What it was counted with in the idle bytes; 0 while it has something to do.
    pub(crate) idle_bytes: usize,
    /// Bytes of its values.
    state_bytes: usize,
    /// What it was counted with in the waiting bytes.
    pub(crate) counted_waiting: usize,
    /// What it was counted with in the pending bytes.
    pub(crate) counted_pending: usize,
}

/// A state value in memory.
pub(crate) struct State {
    pub(crate) name: Arc<str>,
    pub(crate) value: Option<StateValue>,
    /// Changed since the last seal.
    pub(crate) dirty: bool,
}

impl Cell {
    pub(crate) fn new(address: Address, function: FunctionId) -> Cell {
        Cell {
            address,
            function,
            phase: Phase::Away,
            states: Vec::new(),
            mailbox: Mailbox::unknown(),
            batch: 0,
            one_by_one: 0,
            incomplete_rounds: 0,
            failure: None,
            failure_dirty: false,
            recalled: false,
            one_attempt: false,
            began: 0,
            in_line: false,
            in_line_since: 0,
            attempts: 0,
            listed: false,
            accessed: None,
            accessed_dirty: false,
            finished: Vec::new(),
            dirty: false,
            checkpoint: 0,
            uses: 0,
            idle_bytes: 0,
            state_bytes: 0,
            counted_waiting: 0,
            counted_pending: 0,
        }
    }

    pub(crate) fn state(&self, name: &str) -> Option<&StateValue> {
        self.states.iter().find(|state| &*state.name == name)?.value.as_ref()
    }

    /// Writes or removes a value.
    pub(crate) fn set_state(&mut self, name: &Arc<str>, value: Option<StateValue>) {
        let bytes = value_bytes(value.as_ref());
        match self.states.iter_mut().find(|state| state.name == *name) {
            Some(state) => {
                self.state_bytes -= value_bytes(state.value.as_ref());
                state.value = value;
                state.dirty = true;
            }
            None => self.states.push(State { name: name.clone(), value, dirty: true }),
        }
        self.state_bytes += bytes;
    }

    /// Takes in the values that the ledger held.
    pub(crate) fn load_states(&mut self, states: Vec<(Arc<str>, StateValue)>) {
        self.state_bytes = states.iter().map(|(_, value)| value_bytes(Some(value))).sum();
        self.states =
            states.into_iter().map(|(name, value)| State { name, value: Some(value), dirty: false }).collect();
    }

    /// Drops the places of values that are gone.
    pub(crate) fn forget_removed(&mut self) {
        self.states.retain(|state| state.value.is_some());
    }

    /// Gives back the room that its work took: most addresses are idle most of the time, and room is half of what they take.
    pub(crate) fn give_back_room(&mut self) {
        self.mailbox.give_back_room();
        self.states.shrink_to_fit();
        if self.finished.is_empty() {
            self.finished = Vec::new();
        }
    }

    /// What it is counted with, without its invocations: its bytes and a flat sum for what surrounds them, as measured.
    pub(crate) fn bytes(&self) -> usize {
        const AROUND: usize = 800;
        AROUND + self.address.id.len() + 96 * self.states.len() + self.state_bytes
    }

    /// The pending and the waiting bytes that it counts with.
    pub(crate) fn counts(&self) -> (usize, usize) {
        let pending = self.mailbox.bytes();
        match self.phase {
            Phase::Idle | Phase::InFlight(_) => (pending, 0),
            _ => (pending, self.bytes() + pending),
        }
    }

    /// What is kept of its failure, if it was parked.
    pub(crate) fn failure_record(&self) -> Option<FailureRecord> {
        let failure = self.failure.as_ref()?;
        let next = match self.phase {
            Phase::Parked((due, _)) => due,
            _ => 0,
        };
        Some(FailureRecord {
            kind: failure.kind,
            code: failure.code.clone(),
            error: failure.error.clone(),
            attempts: failure.attempts,
            since: failure.since,
            parked: failure.parked?,
            next,
        })
    }
}

fn value_bytes(value: Option<&StateValue>) -> usize {
    value.map_or(0, |value| value.value.len())
}
