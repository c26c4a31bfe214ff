//! How work comes in: events of ingresses, and messages.
//!
//! An arrival for an address that is not in memory is taken in at once, under a sequence number of its own, and its state is
//! loaded behind it: the number, not the ledger, gives the order. While there is no room for its address it stays in memory
//! only until the ledger has it, and `recall.rs` brings it back.

use millpond_protocol::Address;

use crate::cells::Slot;
use crate::engine::Engine;
use crate::mailbox::Pending;
use crate::phase::Phase;
use crate::{Answer, Event, Invocation, Millis};

impl Engine {
    pub(crate) fn ingested(&mut self, event: Event) {
        if let Some(answer) = self.refusal(&event) {
            if let Some(receipt) = event.receipt {
                self.answer(receipt, answer);
            }
            return;
        }
        match event.idempotency.is_some() {
            true => self.ingested_with_key(event),
            false => self.take_in(event, self.now),
        }
    }

    /// Takes the event in for good; its receipt is answered with the checkpoint that holds it.
    pub(crate) fn take_in(&mut self, event: Event, event_time: Millis) {
        self.counters.ingested += 1;
        let mut busy = None;
        for (target, argument) in event.invocations {
            let invocation = Invocation { caller: None, argument, arrived: self.now, event_time };
            let slot = self.enqueue(target, invocation);
            if busy.is_none() && self.is_full(slot) {
                busy = Some(slot);
            }
        }
        match (event.receipt, busy) {
            (None, _) => {}
            (Some(receipt), None) => self.delta.wait(receipt, Answer::Durable),
            (Some(receipt), Some(slot)) => self.hold(slot, receipt),
        }
    }

    /// Queues an invocation behind all that its target has.
    pub(crate) fn enqueue(&mut self, target: Address, invocation: Invocation) -> Slot {
        let slot = self.touch(target);
        let sequence = self.next_sequence;
        self.next_sequence += 1;
        let pending = Pending { sequence, invocation, sealed: None };
        let bytes = pending.bytes();
        self.mark_dirty(slot, bytes);
        let cell = &mut self.cells[slot];
        cell.mailbox.push(pending, self.config.limits.mailbox_bytes);
        let (function, phase) = (cell.function, cell.phase);
        self.functions[function].metrics.input += 1;
        let backlog = self.functions.backlog(function);
        backlog.invocations += 1;
        backlog.bytes += bytes as u64;
        self.backlog_bytes += bytes as u64;
        if phase == Phase::Idle {
            self.ready(slot);
        } else {
            self.recount(slot);
        }
        slot
    }
}
