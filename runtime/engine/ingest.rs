//! How work comes in: events of ingresses, and what was pending when the process stopped.
//!
//! An arrival for an address that is not in memory is taken in at once, under a sequence number of its own, and its state is
//! loaded behind it: the number, not the ledger, gives the order.

use std::sync::Arc;

use millpond_protocol::Address;

use crate::cell::{Pending, Phase, Slot};
use crate::engine::Engine;
use crate::{Answer, Event, FailureKind, Invocation, Load, Millis, Sequence, StateValue};

/// How far the addresses with pending invocations have been brought back.
#[derive(Debug, Default)]
pub(crate) struct Restore {
    after: Option<Address>,
    /// A page is on its way.
    asked: bool,
    done: bool,
    /// Addresses that a page brought and that still have to run what was pending.
    busy: usize,
}

impl Engine {
    pub(crate) fn ingested(&mut self, event: Event) {
        if self.stopping {
            if let Some(receipt) = event.receipt {
                self.answer(receipt, Answer::Stopping);
            }
            return;
        }
        match event.idempotency.is_some() {
            true => self.ingested_with_key(event),
            false => self.take_in(event),
        }
    }

    /// Takes the event in for good; its receipt is answered with the checkpoint that holds it.
    pub(crate) fn take_in(&mut self, event: Event) {
        self.counters.ingested += 1;
        for (target, argument) in event.invocations {
            let invocation = Invocation { caller: None, argument, arrived: self.now };
            self.enqueue(target, invocation);
        }
        if let Some(receipt) = event.receipt {
            self.delta.wait(receipt, Answer::Durable);
        }
    }

    /// Queues an invocation behind all that its target has.
    pub(crate) fn enqueue(&mut self, target: Address, invocation: Invocation) {
        let slot = self.touch(target);
        let sequence = self.next_sequence;
        self.next_sequence += 1;
        let pending = Pending { sequence, invocation, sealed: false };
        let bytes = pending.bytes();
        self.pending_bytes += bytes;
        self.mark_dirty(slot, bytes);
        let cell = &mut self.cells[slot];
        cell.mailbox.push_back(pending);
        let (function, phase) = (cell.function, cell.phase);
        self.functions[function].metrics.backlog += 1;
        if phase == Phase::Idle {
            self.cells.used(slot);
            self.ready(slot);
        }
    }

    /// The cell of an address; if it is not in memory its state is asked for.
    pub(crate) fn touch(&mut self, address: Address) -> Slot {
        if let Some(slot) = self.cells.find(&address) {
            return slot;
        }
        let function = self.functions.enter(&address.function, &self.config.endpoints);
        let slot = self.cells.insert(address.clone(), function);
        self.load(Load::Address(address));
        slot
    }

    pub(crate) fn address_loaded(
        &mut self,
        address: &Address,
        states: Vec<(Arc<str>, StateValue)>,
        pending: Vec<(Sequence, Invocation)>,
        listed: bool,
        accessed: Option<Millis>,
    ) {
        let Some(slot) = self.cells.find(address) else { return };
        let cell = &mut self.cells[slot];
        if cell.phase != Phase::Loading {
            return;
        }
        let before = cell.mailbox.len();
        self.pending_bytes += cell.absorb(states, pending);
        cell.listed |= listed;
        cell.accessed = accessed;
        let arrived = (cell.mailbox.len() - before) as u64;
        let (function, empty) = (cell.function, cell.mailbox.is_empty());
        self.functions[function].metrics.backlog += arrived;
        match empty {
            true => self.rest(slot),
            false => self.ready(slot),
        }
        self.run_operations(slot);
    }

    /// The cell has something to send: it gets its turn, or is parked when nobody serves its function type.
    pub(crate) fn ready(&mut self, slot: Slot) {
        let function = self.cells[slot].function;
        match self.functions[function].endpoint {
            Some(_) => self.make_runnable(slot),
            None => {
                let error = format!("no endpoint serves function type `{}`", self.cells[slot].address.function);
                self.fail(slot, FailureKind::NoEndpoint, "MP3001", error.into());
                self.park(slot, None);
            }
        }
    }

    /// The cell has nothing to do.
    pub(crate) fn rest(&mut self, slot: Slot) {
        self.brought_back(slot);
        self.cells[slot].phase = Phase::Idle;
        self.cells.idle(slot);
    }

    /// Asks for the next page of addresses with pending invocations, as long as there is room to work on them.
    pub(crate) fn continue_restore(&mut self) {
        let window = self.config.limits.restore_window;
        if self.restore.done || self.restore.asked || self.stopping || self.restore.busy > window {
            return;
        }
        self.restore.asked = true;
        let after = self.restore.after.clone();
        self.load(Load::Pending { after, limit: window });
    }

    pub(crate) fn pending_loaded(&mut self, addresses: Vec<Address>, more: bool) {
        self.restore.asked = false;
        self.restore.done = !more;
        self.restore.after = addresses.last().cloned();
        if addresses.is_empty() {
            self.restore.done = true;
        }
        for address in addresses {
            let slot = self.touch(address);
            let cell = &mut self.cells[slot];
            if cell.restored.is_none() && !matches!(cell.phase, Phase::Idle | Phase::Parked(_)) {
                cell.restored = Some(self.next_sequence);
                self.restore.busy += 1;
            }
        }
    }

    /// An address that a page brought has run, or is parked: it makes room for another one.
    pub(crate) fn brought_back(&mut self, slot: Slot) {
        if self.cells[slot].restored.take().is_some() {
            self.restore.busy -= 1;
        }
    }
}
