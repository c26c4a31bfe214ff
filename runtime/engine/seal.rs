//! Checkpoints: what changed, when to seal it, and what its durability sets free.
//!
//! Order of effects: changes collect in the delta; a seal turns them into one immutable checkpoint; only when the ledger
//! says that it is durable do its producers get their answers and its records become visible. One checkpoint is on its way
//! at a time, so everything that arrives meanwhile shares the next sync.

use std::sync::Arc;

use crate::cells::Slot;
use crate::engine::Engine;
use crate::{Answer, Checkpoint, LaneId, Meta, Millis, Output, Receipt, Write};

/// Changes since the last seal.
#[derive(Debug)]
pub(crate) struct Delta {
    /// Number of the last sealed checkpoint.
    sealed: u64,
    /// Number of the last durable checkpoint.
    durable: u64,
    /// Cells with changes in the sealed checkpoint.
    sealed_cells: Vec<Slot>,
    /// Cells with changes, in the order in which they were changed first.
    cells: Vec<Slot>,
    /// Changes that belong to no cell.
    writes: Vec<Write>,
    bytes: usize,
    /// When the first of the changes came.
    since: Option<Millis>,
    /// Something waits for the next checkpoint.
    urgent: bool,
    /// Who is answered when the next checkpoint is durable.
    receipts: Vec<(Receipt, Answer)>,
    /// Who is answered when the sealed one is durable.
    sealed_receipts: Vec<(Receipt, Answer)>,
}

impl Delta {
    pub(crate) fn new(checkpoint: u64) -> Delta {
        Delta {
            sealed: checkpoint,
            durable: checkpoint,
            sealed_cells: Vec::new(),
            cells: Vec::new(),
            writes: Vec::new(),
            bytes: 0,
            since: None,
            urgent: false,
            receipts: Vec::new(),
            sealed_receipts: Vec::new(),
        }
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Number of the last durable checkpoint.
    pub(crate) fn durable(&self) -> u64 {
        self.durable
    }

    /// The number that changes made now will be sealed under.
    pub(crate) fn next_checkpoint(&self) -> u64 {
        self.sealed + 1
    }

    /// Counts a change of about so many bytes.
    pub(crate) fn changed(&mut self, bytes: usize, now: Millis) {
        self.bytes += bytes;
        self.since.get_or_insert(now);
    }

    /// Adds a change that belongs to no cell.
    pub(crate) fn write(&mut self, write: Write, now: Millis) {
        self.writes.push(write);
        self.changed(64, now);
    }

    /// Something waits for the next checkpoint.
    pub(crate) fn hurry(&mut self) {
        self.urgent = true;
    }

    /// Answers when the changes made so far are durable.
    pub(crate) fn wait(&mut self, receipt: Receipt, answer: Answer) {
        self.receipts.push((receipt, answer));
        self.urgent = true;
    }

    /// Answers when the checkpoint of that number is durable: the sealed one or the next.
    pub(crate) fn wait_for(&mut self, checkpoint: u64, receipt: Receipt, answer: Answer) {
        match checkpoint <= self.sealed {
            true => self.sealed_receipts.push((receipt, answer)),
            false => self.wait(receipt, answer),
        }
    }

    pub(crate) fn on_its_way(&self) -> bool {
        self.sealed > self.durable
    }

    fn is_empty(&self) -> bool {
        self.since.is_none() && self.receipts.is_empty()
    }
}

impl Engine {
    pub(crate) fn mark_dirty(&mut self, slot: Slot, bytes: usize) {
        self.delta.changed(bytes, self.now);
        let cell = &mut self.cells[slot];
        if !cell.dirty {
            cell.dirty = true;
            self.delta.cells.push(slot);
        }
    }

    /// When the changes are old enough to be sealed though nothing waits for them.
    pub(crate) fn seal_deadline(&self) -> Option<Millis> {
        let since = self.delta.since?;
        (!self.delta.on_its_way()).then(|| since.saturating_add(self.config.limits.checkpoint_age_ms))
    }

    pub(crate) fn seal_if_due(&mut self) {
        if self.delta.on_its_way() || self.stopped {
            return;
        }
        if self.delta.is_empty() {
            if self.stopping {
                self.stopped = true;
                self.outputs.push_back(Output::Stopped);
            }
            return;
        }
        let old = self.seal_deadline().is_some_and(|deadline| self.now >= deadline);
        let large = self.delta.bytes >= self.config.limits.checkpoint_bytes;
        if self.delta.urgent || old || large || self.stopping {
            self.seal();
        }
    }

    fn seal(&mut self) {
        let number = self.delta.next_checkpoint();
        let mut writes = std::mem::take(&mut self.delta.writes);
        let cells = std::mem::take(&mut self.delta.cells);
        for slot in &cells {
            self.seal_cell(*slot, number, &mut writes);
            // Values that are gone took room until here.
            self.recount(*slot);
        }
        self.delta.sealed_cells = cells;
        self.functions.seal(&mut writes);
        for (place, lane) in self.lanes.iter_mut().enumerate() {
            lane.seal(LaneId(place as u32), &mut writes);
        }
        self.positions.seal(&mut writes);
        self.delayed.seal(&mut writes);
        self.tokens.seal(&mut writes);
        let mut meta =
            Meta { checkpoint: number, time: self.now, next_sequence: self.next_sequence, ..Meta::default() };
        self.idempotency.describe(&mut meta);
        self.counters.checkpoints += 1;
        self.counters.checkpoint_writes += writes.len() as u64;
        self.delta.sealed = number;
        self.delta.bytes = 0;
        self.delta.since = None;
        self.delta.urgent = false;
        self.delta.sealed_receipts = std::mem::take(&mut self.delta.receipts);
        self.outputs.push_back(Output::Checkpoint(Arc::new(Checkpoint { meta, writes })));
    }

    /// What changed in a cell. What came and went since the last seal is in no list, so it costs nothing here.
    fn seal_cell(&mut self, slot: Slot, number: u64, writes: &mut Vec<Write>) {
        let cell = &mut self.cells[slot];
        cell.dirty = false;
        cell.checkpoint = number;
        for state in cell.states.iter_mut().filter(|state| state.dirty) {
            state.dirty = false;
            writes.push(Write::State {
                address: cell.address.clone(),
                name: state.name.clone(),
                value: state.value.clone(),
            });
        }
        cell.forget_removed();
        if cell.states.is_empty() && cell.accessed.take().is_some() {
            cell.accessed_dirty = false;
            writes.push(Write::Accessed { address: cell.address.clone(), time: None });
        }
        if std::mem::take(&mut cell.accessed_dirty)
            && let Some(time) = cell.accessed
        {
            writes.push(Write::Accessed { address: cell.address.clone(), time: Some(time) });
        }
        if std::mem::take(&mut cell.failure_dirty) {
            writes.push(Write::Failure { address: cell.address.clone(), failure: cell.failure_record() });
        }
        for sequence in cell.finished.drain(..) {
            writes.push(Write::Finished { address: cell.address.clone(), sequence });
        }
        for pending in cell.mailbox.fresh() {
            pending.sealed = Some(number);
            writes.push(Write::Pending {
                address: cell.address.clone(),
                sequence: pending.sequence,
                invocation: pending.invocation.clone(),
            });
        }
        let has_pending = !cell.mailbox.is_empty();
        if has_pending != cell.listed {
            cell.listed = has_pending;
            writes.push(Write::Listed { address: cell.address.clone(), listed: has_pending });
        }
    }

    pub(crate) fn durable(&mut self, checkpoint: u64) {
        if checkpoint <= self.delta.durable || checkpoint > self.delta.sealed {
            return;
        }
        self.delta.durable = checkpoint;
        for (receipt, answer) in std::mem::take(&mut self.delta.sealed_receipts) {
            self.answer(receipt, answer);
        }
        for (place, lane) in self.lanes.iter_mut().enumerate() {
            if let Some((upto, event_times)) = lane.durable() {
                self.outputs.push_back(Output::Publish { lane: LaneId(place as u32), upto, event_times });
            }
        }
        self.idempotency.durable(checkpoint);
        self.delayed.durable(checkpoint);
        self.tokens.durable(checkpoint);
        let cells = std::mem::take(&mut self.delta.sealed_cells);
        self.settle(cells);
    }
}
