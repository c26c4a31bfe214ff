//! What an address in memory waits for, and the only place where that changes.
//!
//! The picture is on the contract page (`lib.rs`). [`Engine::enter`] undoes what belongs to the phase that ends and does
//! what belongs to the one that begins, so that no caller can forget a part of it: its timer, its place among the parked or
//! the idle ones, what it is counted with, the producers that wait for it, and the persons.

use crate::cells::Slot;
use crate::engine::Engine;
use crate::timers::TimerKey;
use crate::{CallId, FailureKind};

/// What a cell is waiting for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Room in memory: only arrivals are here, until the ledger has them.
    Away,
    /// The ledger: its values and its first invocations are being loaded.
    Loading,
    /// Something to arrive.
    Idle,
    /// Its turn to be called.
    Runnable,
    /// The ledger: its next invocations are being read.
    Refilling,
    /// An answer.
    InFlight(CallId),
    /// The time of the next attempt.
    BackOff(TimerKey),
    /// A person, an endpoint that comes back, other hope, or the time of the next attempt.
    Parked(TimerKey),
}

impl Phase {
    /// The arrows of the picture.
    fn leads_to(self, next: Phase) -> bool {
        use Phase::{Away, BackOff, Idle, InFlight, Loading, Parked, Refilling, Runnable};
        match (self, next) {
            (Away, Loading) | (Idle, Runnable) => true,
            // The ledger's word decides. (That of a sound one never leads back to `Refilling`, nor from there to `Idle`.)
            (Loading | Refilling, Idle | Runnable | Refilling) => true,
            (Runnable, InFlight(_)) | (InFlight(_), BackOff(_)) => true,
            // What ran or was taken out is gone: what is left decides. A person takes out of the line, too.
            (Runnable | InFlight(_) | BackOff(_) | Parked(_), Idle | Runnable | Refilling) => true,
            // For want of an endpoint, for a failure that the ledger kept or a value of another type, too late, or failed.
            (Loading | Idle | Refilling | Runnable | InFlight(_) | Parked(_), Parked(_)) => true,
            _ => false,
        }
    }
}

impl Engine {
    /// An address enters a phase.
    pub(crate) fn enter(&mut self, slot: Slot, phase: Phase) {
        let before = self.cells[slot].phase;
        debug_assert!(before.leads_to(phase), "{before:?} leads to {phase:?}");
        self.quit(slot);
        self.cells[slot].phase = phase;
        if let Phase::Parked(timer) = phase {
            self.enter_parked(slot, timer);
        }
        self.recount(slot);
        if phase == Phase::Idle {
            self.cells.idle(slot);
        }
        // Producers wait while it stands in line and is called, and no longer.
        if !matches!(phase, Phase::InFlight(_)) {
            self.release(slot);
        }
        if !self.operations.is_empty() && self.operations.contains_key(&slot) {
            self.operable.push_back(slot);
        }
    }

    /// The address leaves memory.
    pub(crate) fn forget(&mut self, slot: Slot) {
        debug_assert!(!self.operations.contains_key(&slot));
        self.quit(slot);
        self.release(slot);
        let cell = &self.cells[slot];
        let function = &mut self.functions[cell.function];
        function.waiting_bytes -= cell.counted_waiting;
        self.waiting_bytes -= cell.counted_waiting;
        self.pending_bytes -= cell.counted_pending;
        self.cells.remove(slot);
    }

    /// Undoes what belongs to the phase of an address.
    fn quit(&mut self, slot: Slot) {
        let cell = &mut self.cells[slot];
        match cell.phase {
            Phase::Idle => self.cells.used(slot),
            Phase::BackOff(timer) => {
                self.timers.remove(&timer);
            }
            Phase::Parked(timer) => {
                cell.attempts = 0;
                cell.incomplete_rounds = 0;
                cell.one_attempt = false;
                let id = cell.function;
                self.functions[id].parked.remove(&timer);
                if self.functions[id].probe == Some(slot) {
                    self.set_probe(id, None);
                }
                self.timers.remove(&timer);
            }
            Phase::Runnable => {
                // Whom the dispatch calls, it took out of the line before.
                if std::mem::take(&mut cell.in_line) {
                    let function = &mut self.functions[cell.function];
                    function.line.retain(|waiting| *waiting != slot);
                    function.retries.retain(|waiting| *waiting != slot);
                }
            }
            Phase::Away | Phase::Loading | Phase::Refilling | Phase::InFlight(_) => {}
        }
    }

    fn enter_parked(&mut self, slot: Slot, timer: TimerKey) {
        let cell = &self.cells[slot];
        let id = cell.function;
        let function = &mut self.functions[id];
        function.parked.insert(timer);
        let unreachable = cell.failure.as_ref().is_some_and(|failure| failure.kind == FailureKind::Unreachable);
        if let Some(endpoint) = function.endpoint.filter(|_| unreachable) {
            self.unreachable[endpoint].insert(id);
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
