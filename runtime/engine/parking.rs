//! Parked addresses: their budget is used up, they keep their invocations in order, and are tried again.
//!
//! Each is tried once in a while. One of those that are parked because of their endpoint, or with their whole type, *probes*
//! for the others every second, and the first answer wakes them all. A rejected one that is answered after all wakes two
//! more of its type: if the function was mended, all follow soon. What a parked address failed with is in the ledger, so it
//! may leave memory (`spill.rs`) and come back with it.

use std::hash::BuildHasher;

use crate::cells::Slot;
use crate::engine::Engine;
use crate::functions::FunctionId;
use crate::phase::Phase;
use crate::timers::{Timer, TimerKey};
use crate::window::PAUSE_MS_MAX;
use crate::{FailureKind, Millis, Notice};

/// Pause before the one address that probes for others is tried again.
const PROBE_MS: Millis = PAUSE_MS_MAX;

impl Engine {
    /// Parks an address until its next attempt, which is soon for the one that probes for others.
    pub(crate) fn park_for_a_while(&mut self, slot: Slot, at_least: Millis) {
        let pause = match self.becomes_probe(slot) {
            true => PROBE_MS,
            false => self.parked_ms(slot),
        };
        self.park(slot, Some(self.now.saturating_add(pause.max(at_least).max(1))));
    }

    /// The pause of a parked address: up to a quarter shorter than the limit says, so that many do not come together.
    fn parked_ms(&self, slot: Slot) -> Millis {
        let limit = self.config.limits.parked_ms;
        let attempts = self.cells[slot].failure.as_ref().map_or(0, |failure| failure.attempts);
        let spread = self.calls.hasher().hash_one((&self.cells[slot].address, attempts));
        limit - spread % (limit / 4 + 1)
    }

    /// One of the addresses that are parked because of their endpoint, or with their whole type, is tried more often than
    /// the others, because its answer wakes them all.
    fn becomes_probe(&mut self, slot: Slot) -> bool {
        let cell = &self.cells[slot];
        let id = cell.function;
        let function = &self.functions[id];
        let unreachable = cell.failure.as_ref().is_some_and(|failure| failure.kind == FailureKind::Unreachable);
        if function.probe.is_none() && (unreachable || function.window.in_trouble()) {
            self.set_probe(id, Some(slot));
        }
        self.functions[id].probe == Some(slot)
    }

    /// Parks an address until `due`, or until something wakes it.
    pub(crate) fn park(&mut self, slot: Slot, due: Option<Millis>) {
        self.wait_parked(slot, due.unwrap_or(Millis::MAX));
        self.mark_dirty(slot, 128);
        let now = self.now;
        let cell = &mut self.cells[slot];
        cell.failure_dirty = true;
        let Some(failure) = &mut cell.failure else { return };
        if failure.is_parked(now) {
            self.functions.backlog(cell.function).parked += 1;
            let notice = Notice::Parked {
                address: cell.address.clone(),
                kind: failure.kind,
                code: failure.code.clone(),
                error: failure.error.clone(),
            };
            self.notice(notice);
        }
    }

    /// Lets an address wait among the parked ones of its type.
    pub(crate) fn wait_parked(&mut self, slot: Slot, due: Millis) {
        let timer = self.set_timer(due, Timer::Cell(slot));
        self.enter(slot, Phase::Parked(timer));
    }

    /// An address came back from the ledger with the failure that it was parked with.
    pub(crate) fn parked_before(&mut self, slot: Slot, next: Millis) {
        let cell = &self.cells[slot];
        let Some(failure) = &cell.failure else { return };
        if cell.mailbox.is_empty() {
            self.end_failure(slot);
            return self.go_on(slot);
        }
        // One that is rejected waits for its time, unless something happened that gives hope.
        let rejected = failure.kind == FailureKind::Rejected;
        let function = &self.functions[cell.function];
        let hope = failure.parked.unwrap_or(0) <= function.woken.max(self.started);
        if !rejected || next <= self.now || hope {
            self.go_on(slot);
            self.cells[slot].one_attempt = rejected;
            return;
        }
        self.wait_parked(slot, next);
    }

    /// Somebody takes over when nobody probes for those that are parked because their endpoint could not be reached.
    pub(crate) fn probe_again(&mut self, id: FunctionId) {
        if self.functions[id].probe.is_some() {
            return;
        }
        let unreachable = |slot: &Slot| {
            self.cells[*slot].failure.as_ref().is_some_and(|failure| failure.kind == FailureKind::Unreachable)
        };
        // A look at the first ones: with many parked, one of them is tried soon anyway.
        const LOOK: usize = 64;
        if let Some(slot) = self.parked(id, LOOK).into_iter().find(unreachable) {
            self.wake(slot);
        }
    }

    /// Gives a parked or backing-off address its turn.
    pub(crate) fn wake(&mut self, slot: Slot) {
        if matches!(self.cells[slot].phase, Phase::BackOff(_) | Phase::Parked(_)) {
            self.go_on(slot);
        }
    }

    /// A function type answered again after nothing but failures: all that is parked with it is tried.
    pub(crate) fn wake_type(&mut self, function: FunctionId) {
        self.functions[function].woken = self.now;
        self.wake_sleepers(function);
        for slot in self.parked(function, usize::MAX) {
            let rejected =
                self.cells[slot].failure.as_ref().is_some_and(|failure| failure.kind == FailureKind::Rejected);
            self.go_on(slot);
            self.cells[slot].one_attempt = rejected;
        }
    }

    /// An endpoint answered: whoever is parked because it could not be reached tries now.
    pub(crate) fn wake_unreachable(&mut self, endpoint: usize) {
        for function in std::mem::take(&mut self.unreachable[endpoint]) {
            self.functions[function].window.reopen();
            self.wake_sleepers(function);
            for slot in self.parked(function, usize::MAX) {
                let failure = self.cells[slot].failure.as_ref();
                if failure.is_some_and(|failure| failure.kind == FailureKind::Unreachable) {
                    self.wake(slot);
                }
            }
            self.offer(function);
        }
    }

    /// A rejected address of a type was answered after all: the function was mended, perhaps for others too.
    pub(crate) fn wake_some(&mut self, function: FunctionId) {
        for slot in self.parked(function, 2) {
            self.go_on(slot);
            self.cells[slot].one_attempt = true;
        }
    }

    /// The first so many parked addresses of a type, by the time of their next attempt.
    fn parked(&self, function: FunctionId, most: usize) -> Vec<Slot> {
        let slot = |key: &TimerKey| match self.timers.get(key) {
            Some(Timer::Cell(slot)) => Some(*slot),
            _ => None,
        };
        self.functions[function].parked.iter().take(most).filter_map(slot).collect()
    }
}
