//! Moments at which the engine looks at an address or a function type again.
//!
//! One queue for all, by time; equal times keep the order in which they were set. [`Millis::MAX`] never comes: it keeps a place
//! for what only an event can wake.

use crate::Millis;
use crate::cells::Slot;
use crate::engine::Engine;
use crate::functions::FunctionId;
use crate::phase::Phase;

/// A timer: its time, and a number that keeps equal times apart, in order.
pub(crate) type TimerKey = (Millis, u64);

/// What a timer is for.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Timer {
    /// An address is to be tried.
    Cell(Slot),
    /// A function type may make calls again, or look at its parked addresses.
    Function(FunctionId),
}

impl Engine {
    pub(crate) fn fire_timers(&mut self) {
        while let Some(entry) = self.timers.first_entry()
            && entry.key().0 <= self.now
            && entry.key().0 < Millis::MAX
        {
            match entry.get() {
                Timer::Cell(slot) => {
                    let slot = *slot;
                    entry.remove();
                    let parked = matches!(self.cells[slot].phase, Phase::Parked(_));
                    self.go_on(slot);
                    self.cells[slot].one_attempt = parked;
                }
                Timer::Function(function) => {
                    let function = *function;
                    entry.remove();
                    self.offer(function);
                }
            }
        }
        self.sleepers_due();
    }

    pub(crate) fn set_timer(&mut self, due: Millis, timer: Timer) -> TimerKey {
        let key = (due, self.next_timer);
        self.next_timer += 1;
        self.timers.insert(key, timer);
        key
    }
}
