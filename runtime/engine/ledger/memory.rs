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

use super::accept::{Lanes, NEW_LANE, Refused, moved_lanes};
use crate::Lives;
use crate::{
    Backlog, Checkpoint, DelayedMessage, FailureRecord, IdempotencyEntry, Invocation, LaneName, Load, Loaded,
    LoadedAddress, Millis, Partition, Place, Restored, Sequence, StateSpec, StateValue, Write,
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
    backlogs: BTreeMap<TypeName, Backlog>,
    positions: BTreeMap<Partition, u64>,
}

/// One address.
#[derive(Debug, Clone, Default)]
struct Cell {
    states: BTreeMap<Arc<str>, StateValue>,
    pending: BTreeMap<Sequence, Invocation>,
    listed: bool,
    accessed: Option<Millis>,
    failure: Option<FailureRecord>,
}

impl Cell {
    fn is_empty(&self) -> bool {
        self.states.is_empty()
            && self.pending.is_empty()
            && !self.listed
            && self.accessed.is_none()
            && self.failure.is_none()
    }
}

impl Cell {
    /// Invocations from a number on, and whether there are more than `bytes` allow; one always fits.
    fn page(&self, from: Sequence, bytes: usize) -> (Vec<(Sequence, Invocation)>, bool) {
        let mut left = bytes;
        let mut page = Vec::new();
        for (sequence, invocation) in self.pending.range(from..) {
            if invocation.bytes() > left && !page.is_empty() {
                return (page, true);
            }
            left = left.saturating_sub(invocation.bytes());
            page.push((*sequence, invocation.clone()));
        }
        (page, false)
    }
}

impl MemoryLedger {
    /// What the last checkpoint says of the engine's own variables.
    pub fn restore(&self) -> Restored {
        let meta = self.last.as_ref().map(|last| last.meta.clone()).unwrap_or_default();
        let (lanes, backlogs, positions) = (self.lanes.clone(), self.backlogs.clone(), self.positions.clone());
        Restored { meta, lanes, backlogs, positions }
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
            Write::Accessed { address, time } => self.change(address, |cell| cell.accessed = *time),
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
            Write::Failure { address, failure } => self.change(address, |cell| cell.failure.clone_from(failure)),
            Write::Position { partition, next } => {
                self.positions.insert(Partition::clone(partition), *next);
            }
            Write::Backlog { function, backlog } if backlog.is_empty() => {
                self.backlogs.remove(function);
            }
            Write::Backlog { function, backlog } => {
                self.backlogs.insert(function.clone(), *backlog);
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
            Load::Address { address, bytes } => self.address(address, *bytes),
            Load::Mailbox { address, from, bytes } => self.mailbox(address, *from, *bytes),
            Load::Pending { page, after, limit } => self.listed(*page, after.as_ref(), *limit),
            Load::Delayed { after, limit } => self.delayed(*after, *limit),
            Load::Expired { after, rows, now, lives } => self.expired(after.as_ref(), *rows, *now, lives),
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

    fn address(&self, address: &Address, bytes: usize) -> Loaded {
        let cell = self.cells.get(&Place::new(address.clone())).cloned().unwrap_or_default();
        let accessed = cell.accessed.filter(|_| !cell.states.is_empty());
        let (pending, more) = cell.page(0, bytes);
        Loaded::Address(LoadedAddress {
            address: address.clone(),
            states: cell.states.into_iter().collect(),
            pending,
            more,
            // Only what waits can be parked.
            failure: cell.failure.filter(|_| cell.listed),
            listed: cell.listed,
            accessed,
        })
    }

    fn mailbox(&self, address: &Address, from: Sequence, bytes: usize) -> Loaded {
        let page = self.cells.get(&Place::new(address.clone())).map(|cell| cell.page(from, bytes));
        let (pending, more) = page.unwrap_or_default();
        Loaded::Mailbox { address: address.clone(), from, pending, more }
    }

    fn expired(&self, after: Option<&Address>, rows: usize, now: Millis, lives: &Lives) -> Loaded {
        let behind = after.map_or(Bound::Unbounded, |after| Bound::Excluded(Place::new(after.clone())));
        let (mut over, mut alive, mut last, mut seen) = (Vec::new(), false, None, 0);
        let cells = self.cells.range((behind, Bound::Unbounded));
        for (place, cell) in cells.filter(|(_, cell)| !cell.states.is_empty()) {
            if seen >= rows && last.is_some() {
                return Loaded::Expired { over, alive, next: last };
            }
            let address = place.address();
            seen += cell.states.len();
            let life = |name: &Arc<str>| {
                let named = lives.iter().find(|(function, state, _)| *function == address.function && state == name);
                named.map(|(_, _, life)| *life)
            };
            let mortal = cell.states.iter().filter_map(|(name, value)| Some((life(name)?, value)));
            let (gone, living): (Vec<_>, Vec<_>) =
                mortal.partition(|(life, value)| life.is_over(value.written, cell.accessed, now));
            alive |= !living.is_empty();
            if !gone.is_empty() {
                over.push(address.clone());
            }
            last = Some(address.clone());
        }
        Loaded::Expired { over, alive, next: None }
    }

    fn delayed(&self, after: (Millis, Sequence), limit: usize) -> Loaded {
        let mut rows = self.delayed.range((Bound::Excluded(after), Bound::Unbounded));
        let messages = rows.by_ref().take(limit).map(|(due, message)| (due.0, due.1, message.clone())).collect();
        Loaded::Delayed { after, messages, more: rows.next().is_some() }
    }

    /// Failures of addresses that are kept.
    pub fn failures(&self) -> usize {
        self.cells.values().filter(|cell| cell.failure.is_some()).count()
    }

    /// Stamps of access that are kept.
    pub fn stamps(&self) -> usize {
        self.cells.values().filter(|cell| cell.accessed.is_some()).count()
    }

    /// What function types have waiting.
    pub fn backlogs(&self) -> &BTreeMap<TypeName, Backlog> {
        &self.backlogs
    }

    /// Delayed messages that wait, and tokens that stand for one.
    pub fn waiting(&self) -> (usize, usize) {
        (self.delayed.len(), self.tokens.len())
    }

    fn listed(&self, page: u64, after: Option<&Address>, limit: usize) -> Loaded {
        let behind = after.map_or(Bound::Unbounded, |after| Bound::Excluded(Place::new(after.clone())));
        let mut listed = self.cells.range((behind, Bound::Unbounded)).filter(|(_, cell)| cell.listed);
        let addresses = listed.by_ref().take(limit).map(|(place, _)| place.address().clone()).collect();
        Loaded::Pending { page, addresses, more: listed.next().is_some() }
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

    /// Delayed messages that ids of one key group sent, in the order of their time, behind a place.
    pub fn delayed_of(
        &self,
        group: u16,
        after: (Millis, Sequence),
        limit: usize,
    ) -> Vec<(Millis, Sequence, DelayedMessage)> {
        let behind = self.delayed.range((Bound::Excluded(after), Bound::Unbounded));
        let of_group = behind.filter(|(_, message)| crate::key_group(&message.sender.id) == group);
        of_group.take(limit).map(|((due, sequence), message)| (*due, *sequence, message.clone())).collect()
    }

    /// All state specs that were learned, by function type and name.
    pub fn specs(&self) -> Vec<(TypeName, StateSpec)> {
        self.specs.iter().map(|((function, _), spec)| (function.clone(), spec.clone())).collect()
    }
}
