//! The ledger's semantics without a disk: what the local ledger must do, in ordered maps and nothing else.
//!
//! What comes in: checkpoints and loads, as for any ledger. What goes out: what a ledger would give. It owns its maps; a
//! clone is a copy of the disk at that moment. The simulator runs on it, and the conformance suite holds the local ledger
//! against it, so it lives here, where neither a file nor a storage engine can be reached.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use bytes::Bytes;
use millpond_protocol::{Address, TypeName};

use crate::accept::{Lanes, NEW_LANE, Refused, moved_lanes};
use crate::{
    Checkpoint, DelayedMessage, IdempotencyEntry, Invocation, LaneName, Load, Loaded, Millis, Place, Restored,
    Sequence, StateSpec, StateValue, Write,
};

/// Everything that is durable.
#[derive(Debug, Clone, Default)]
pub struct MemoryLedger {
    /// The last checkpoint, to know a repetition by.
    last: Option<Checkpoint>,
    lanes: Lanes,
    records: BTreeMap<LaneName, BTreeMap<u64, Bytes>>,
    cells: BTreeMap<Place, Cell>,
    idempotency: BTreeMap<(u64, Box<str>), IdempotencyEntry>,
    delayed: BTreeMap<(Millis, Sequence), DelayedMessage>,
    tokens: BTreeMap<(Arc<str>, Arc<str>), (Millis, Sequence)>,
    specs: BTreeMap<(TypeName, Arc<str>), StateSpec>,
}

/// One address.
#[derive(Debug, Clone, Default)]
struct Cell {
    states: BTreeMap<Arc<str>, StateValue>,
    pending: BTreeMap<Sequence, Invocation>,
    listed: bool,
    accessed: Option<Millis>,
}

impl Cell {
    fn is_empty(&self) -> bool {
        self.states.is_empty() && self.pending.is_empty() && !self.listed && self.accessed.is_none()
    }
}

impl MemoryLedger {
    /// What the last checkpoint says of the engine's own variables.
    pub fn restore(&self) -> Restored {
        let meta = self.last.as_ref().map(|last| last.meta.clone()).unwrap_or_default();
        Restored { meta, lanes: self.lanes.clone() }
    }

    /// Takes one checkpoint in. The number taken in last may come again with the same content and has no second effect.
    ///
    /// # Errors
    /// [`Refused`] when a promise of the engine is broken; nothing is changed then.
    pub fn commit(&mut self, checkpoint: &Checkpoint, lanes: &[LaneName]) -> Result<(), Refused> {
        if self.last.as_ref() == Some(checkpoint) {
            return Ok(());
        }
        let expected = self.last.as_ref().map_or(0, |last| last.meta.checkpoint) + 1;
        let found = checkpoint.meta.checkpoint;
        if found != expected {
            return Err(Refused::OutOfOrder { found, expected });
        }
        let moved = moved_lanes(checkpoint, lanes, &self.lanes)?;
        for moved in moved.values() {
            self.lanes.insert(moved.name.clone(), moved.after);
            let (first, _) = moved.after;
            let records = self.records.entry(moved.name.clone()).or_default();
            *records = records.split_off(&first);
        }
        for write in &checkpoint.writes {
            self.write(write, lanes);
        }
        self.last = Some(checkpoint.clone());
        Ok(())
    }

    fn write(&mut self, write: &Write, lanes: &[LaneName]) {
        match write {
            Write::State { address, name, value } => self.change(address, |cell| match value {
                Some(value) => {
                    cell.states.insert(name.clone(), value.clone());
                }
                None => {
                    cell.states.remove(name);
                }
            }),
            Write::Pending { address, sequence, invocation } => self.change(address, |cell| {
                cell.pending.insert(*sequence, invocation.clone());
            }),
            Write::Finished { address, sequence } => self.change(address, |cell| {
                cell.pending.remove(sequence);
            }),
            Write::Listed { address, listed } => self.change(address, |cell| cell.listed = *listed),
            Write::Outbox { lane, first, records } => {
                let kept = self.records.entry(lanes[lane.0 as usize].clone()).or_default();
                kept.extend((*first..).zip(records.iter().cloned()));
            }
            Write::Lane { .. } => {}
            Write::Idempotency { generation, key, entry } => {
                self.idempotency.insert((*generation, key.clone()), *entry);
            }
            Write::ForgetIdempotency { generation } => {
                self.idempotency.retain(|(kept, _), _| kept != generation);
            }
            Write::Accessed { address, time } => self.change(address, |cell| cell.accessed = Some(*time)),
            Write::Delayed { due, sequence, message } => {
                self.delayed.insert((*due, *sequence), message.clone());
            }
            Write::DelayedGone { due, sequence, .. } => {
                self.delayed.remove(&(*due, *sequence));
            }
            Write::Token { id, token, delayed: Some(delayed) } => {
                self.tokens.insert((id.clone(), token.clone()), *delayed);
            }
            Write::Token { id, token, delayed: None } => {
                self.tokens.remove(&(id.clone(), token.clone()));
            }
            Write::Spec { function, spec } => {
                self.specs.insert((function.clone(), spec.name.clone()), spec.clone());
            }
        }
    }

    fn change(&mut self, address: &Address, change: impl FnOnce(&mut Cell)) {
        let place = Place::new(address.clone());
        let cell = self.cells.entry(place.clone()).or_default();
        change(cell);
        if cell.is_empty() {
            self.cells.remove(&place);
        }
    }

    /// What the engine asked for.
    pub fn load(&self, load: &Load) -> Loaded {
        match load {
            Load::Address(address) => self.address(address),
            Load::Pending { after, limit } => self.listed(after.as_ref(), *limit),
            Load::Delayed { after, limit } => self.delayed(*after, *limit),
            Load::Tokens { id, tokens, call } => {
                let behind = |token: &Arc<str>| Some((token.clone(), *self.tokens.get(&(id.clone(), token.clone()))?));
                Loaded::Tokens { call: *call, found: tokens.iter().filter_map(behind).collect() }
            }
            Load::Idempotency { key, generations } => {
                let mut found = generations.iter().map(|generation| (*generation, key.clone()));
                let found = found.find_map(|place| self.idempotency.get(&place).copied());
                Loaded::Idempotency { key: key.clone(), found }
            }
        }
    }

    fn address(&self, address: &Address) -> Loaded {
        let cell = self.cells.get(&Place::new(address.clone())).cloned().unwrap_or_default();
        let accessed = cell.accessed.filter(|_| !cell.states.is_empty());
        Loaded::Address {
            address: address.clone(),
            states: cell.states.into_iter().collect(),
            pending: cell.pending.into_iter().collect(),
            listed: cell.listed,
            accessed,
        }
    }

    fn delayed(&self, after: (Millis, Sequence), limit: usize) -> Loaded {
        let mut rows = self.delayed.range((Bound::Excluded(after), Bound::Unbounded));
        let messages = rows.by_ref().take(limit).map(|(due, message)| (due.0, due.1, message.clone())).collect();
        Loaded::Delayed { after, messages, more: rows.next().is_some() }
    }

    /// Delayed messages that wait, and tokens that stand for one.
    pub fn waiting(&self) -> (usize, usize) {
        (self.delayed.len(), self.tokens.len())
    }

    fn listed(&self, after: Option<&Address>, limit: usize) -> Loaded {
        let behind = after.map_or(Bound::Unbounded, |after| Bound::Excluded(Place::new(after.clone())));
        let mut listed = self.cells.range((behind, Bound::Unbounded)).filter(|(_, cell)| cell.listed);
        let addresses = listed.by_ref().take(limit).map(|(place, _)| place.address().clone()).collect();
        Loaded::Pending { addresses, more: listed.next().is_some() }
    }

    /// Records of a lane with sequence numbers above `after`, at most `limit` of them and, beyond the first, at most
    /// `bytes` bytes.
    pub fn outbox(&self, lane: &LaneName, after: u64, limit: usize, bytes: usize) -> Vec<(u64, Bytes)> {
        let mut left = bytes;
        let mut given = Vec::new();
        let records = self.records.get(lane).into_iter().flatten();
        for (sequence, record) in records.filter(|(sequence, _)| **sequence > after).take(limit) {
            if record.len() > left && !given.is_empty() {
                break;
            }
            left = left.saturating_sub(record.len());
            given.push((*sequence, record.clone()));
        }
        given
    }

    /// Lowest sequence number still kept and the next one to be given out; `(1, 1)` for a lane that never had a record.
    pub fn lane(&self, lane: &LaneName) -> (u64, u64) {
        self.lanes.get(lane).copied().unwrap_or(NEW_LANE)
    }

    /// All state specs that were learned, by function type and name.
    pub fn specs(&self) -> Vec<(TypeName, StateSpec)> {
        self.specs.iter().map(|((function, _), spec)| (function.clone(), spec.clone())).collect()
    }
}
