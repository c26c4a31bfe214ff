//! Parked addresses that are in the ledger only: when their function type looks at them again.
//!
//! One time for each type. The more are parked the longer each waits, and whatever wakes the parked ones of a type wakes
//! these with them: they are then brought back like others that were left behind (`recall.rs`).

use crate::Millis;
use crate::cells::Slot;
use crate::engine::Engine;
use crate::functions::FunctionId;
use crate::phase::Phase;
use crate::timers::Timer;

/// Pause for each parked address of a type, between two looks at those that are in the ledger only.
const PARKED_PACE_MS: u64 = 20;

impl Engine {
    /// Parked addresses of a function type that are in the ledger only are looked at again.
    pub(crate) fn wake_sleepers(&mut self, function: FunctionId) {
        if let Some(due) = self.functions[function].asleep.take() {
            self.asleep.remove(&(due, function));
            self.left_behind(function);
        }
    }

    /// Some of a function type's parked addresses are in the ledger only, and are looked at again then.
    pub(crate) fn falls_asleep(&mut self, id: FunctionId, due: Millis) {
        let function = &mut self.functions[id];
        // Without an endpoint they stay there until a start knows one.
        if function.endpoint.is_none() {
            return;
        }
        // The more are parked, the longer each waits: what cannot be helped by trying is not tried all the time.
        let all = function.backlog.parked.saturating_mul(PARKED_PACE_MS);
        let due = due.max(self.now.saturating_add(all.max(1)));
        if function.asleep.is_some_and(|earlier| earlier <= due) {
            return;
        }
        if let Some(later) = function.asleep.replace(due) {
            self.asleep.remove(&(later, id));
        }
        self.asleep.insert((due, id));
        self.set_timer(due, Timer::Function(id));
    }

    /// Parked addresses in the ledger only whose time has come are left behind like others.
    pub(crate) fn sleepers_due(&mut self) {
        while let Some((due, function)) = self.asleep.first().copied()
            && due <= self.now
        {
            self.asleep.pop_first();
            self.functions[function].asleep = None;
            self.left_behind(function);
        }
    }

    /// A parked address leaves memory until its time comes, if it may.
    pub(crate) fn goes_to_sleep(&mut self, slot: Slot) {
        let cell = &self.cells[slot];
        let (function, phase) = (cell.function, cell.phase);
        if let Phase::Parked((due, _)) = phase
            && self.may_leave(slot)
        {
            self.falls_asleep(function, due);
            self.forget(slot);
        }
    }
}
