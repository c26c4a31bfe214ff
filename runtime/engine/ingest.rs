//! How work comes in: events of ingresses, messages, and what the ledger gives of an address.
//!
//! An arrival for an address that is not in memory is taken in at once, under a sequence number of its own, and its state is
//! loaded behind it: the number, not the ledger, gives the order. While there is no room for its address it stays in memory
//! only until the ledger has it, and `spill.rs` brings it back.

use millpond_protocol::Address;

use crate::cells::Slot;
use crate::engine::Engine;
use crate::failure::Failure;
use crate::load::LoadedAddress;
use crate::mailbox::Pending;
use crate::phase::Phase;
use crate::{Answer, Event, FailureKind, Invocation, Load, Sequence};

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
            false => self.take_in(event),
        }
    }

    /// Takes the event in for good; its receipt is answered with the checkpoint that holds it.
    pub(crate) fn take_in(&mut self, event: Event) {
        self.counters.ingested += 1;
        let mut busy = None;
        for (target, argument) in event.invocations {
            let invocation = Invocation { caller: None, argument, arrived: self.now };
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

    /// The cell of an address. If it is not in memory its state is asked for, or, when there is no room, later.
    fn touch(&mut self, address: Address) -> Slot {
        if let Some(slot) = self.cells.find(&address) {
            return slot;
        }
        let function = self.functions.enter(&address.function, &self.config.endpoints);
        let room = self.admits(function);
        let slot = self.cells.insert(address, function);
        match room {
            true => self.start_loading(slot),
            false => self.left_behind(function),
        }
        slot
    }

    /// The cell of an address, loaded or being loaded.
    pub(crate) fn touch_loaded(&mut self, address: Address) -> Slot {
        let slot = self.touch(address);
        if self.cells[slot].phase == Phase::Away {
            self.start_loading(slot);
        }
        slot
    }

    /// Asks for all of an address.
    pub(crate) fn start_loading(&mut self, slot: Slot) {
        let cell = &mut self.cells[slot];
        cell.mailbox.await_load();
        let (address, bytes) = (cell.address.clone(), self.config.limits.mailbox_page_bytes());
        self.enter(slot, Phase::Loading);
        self.load(Load::Address { address, bytes });
    }

    pub(crate) fn address_loaded(&mut self, loaded: LoadedAddress) {
        let Some(slot) = self.cells.find(&loaded.address) else { return };
        let durable = self.delta.durable();
        let cell = &mut self.cells[slot];
        if cell.phase != Phase::Loading {
            return;
        }
        if std::mem::take(&mut cell.recalled) {
            self.recalling -= 1;
        }
        cell.load_states(loaded.states);
        cell.mailbox.join(loaded.pending, loaded.more, durable);
        cell.listed |= loaded.listed;
        cell.accessed = loaded.accessed;
        let next = loaded.failure.as_ref().map(|failure| failure.next);
        cell.failure = loaded.failure.map(Failure::restored);
        match next {
            Some(next) => self.parked_before(slot, next),
            None => self.go_on(slot),
        }
        if self.cells[slot].phase == Phase::Idle {
            self.remove_expired(slot);
        }
        if next.is_some() {
            self.goes_to_sleep(slot);
        }
    }

    /// More invocations of an address.
    pub(crate) fn mailbox_loaded(
        &mut self,
        address: &Address,
        from: Sequence,
        pending: Vec<(Sequence, Invocation)>,
        more: bool,
    ) {
        let Some(slot) = self.cells.find(address) else { return };
        let durable = self.delta.durable();
        let cell = &mut self.cells[slot];
        if cell.phase == Phase::Loading || !cell.mailbox.awaits(from) {
            return;
        }
        cell.mailbox.join(pending, more, durable);
        match self.cells[slot].phase {
            Phase::Refilling => self.go_on(slot),
            _ => self.recount(slot),
        }
    }

    /// The cell has nothing to wait for any more: it gets its turn, reads on, or has nothing to do.
    pub(crate) fn go_on(&mut self, slot: Slot) {
        let mailbox = &self.cells[slot].mailbox;
        if mailbox.is_empty() {
            self.enter(slot, Phase::Idle);
        } else if mailbox.head().is_empty() {
            self.enter(slot, Phase::Refilling);
            self.read_on(slot);
        } else {
            self.ready(slot);
        }
    }

    /// Reads more invocations of an address, when there is room for them.
    pub(crate) fn read_on(&mut self, slot: Slot) {
        let cell = &mut self.cells[slot];
        let bytes = self.config.limits.mailbox_page_bytes();
        if let Some(from) = cell.mailbox.read_on(bytes) {
            let address = cell.address.clone();
            self.load(Load::Mailbox { address, from, bytes });
        }
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
}
