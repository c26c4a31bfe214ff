//! Back pressure: who has to wait when there is too much.
//!
//! Three kinds, from the narrowest to the widest. The producer of an event for a busy address waits for its answer until a
//! request of that address is over (`maxNumBatchRequests`); nobody else feels it. An event for a function type that has as
//! much waiting as it may is refused, and may come again. Intake as a whole pauses when memory, a lane or the next
//! checkpoint is full. Messages between functions never wait: two that wait for each other would wait for ever.
//!
//! Upstream stops all intake of the task for each of them (`BackPressureValve`).

use millpond_protocol::Address;

use crate::cells::Slot;
use crate::config::relaxed;
use crate::engine::Engine;
use crate::functions::FunctionId;
use crate::phase::Phase;
use crate::{Answer, Event, Output, Receipt};

impl Engine {
    /// Why an event is not taken in.
    pub(crate) fn refusal(&self, event: &Event) -> Option<Answer> {
        if self.stopping {
            return Some(Answer::Stopping);
        }
        let limits = &self.config.limits;
        // As long as all together have less than one may have, nobody has to be asked.
        if self.backlog_bytes < limits.backlog_bytes && self.functions.named_by_messages() < limits.function_types {
            return None;
        }
        let no_room = |target: &Address| match self.functions.find(&target.function) {
            Some(function) => self.functions[function].backlog.bytes >= limits.backlog_bytes,
            None => self.functions.named_by_messages() >= limits.function_types,
        };
        event.invocations.iter().any(|(target, _)| no_room(target)).then_some(Answer::Full)
    }

    /// Whether an address has as many invocations waiting as its endpoint's `maxNumBatchRequests` says. It counts while
    /// the address is being worked on; behind a failure waiting would be in vain.
    pub(crate) fn is_full(&self, slot: Slot) -> bool {
        let cell = &self.cells[slot];
        let endpoint = self.functions[cell.function].endpoint.and_then(|place| self.config.endpoints.get(place));
        let Some(limit) = endpoint.and_then(|endpoint| endpoint.max_num_batch_requests) else { return false };
        let (running, works) = match cell.phase {
            Phase::InFlight(_) => (cell.batch, true),
            phase => (0, phase == Phase::Runnable),
        };
        let trouble = self.functions[cell.function].window.in_trouble();
        works && !trouble && cell.failure.is_none() && cell.mailbox.in_memory() - running >= limit as usize
    }

    /// The answer to a producer waits until a request of an address is over, whatever comes of that: back pressure that
    /// nobody else feels.
    /// Upstream stops all intake of the task instead.
    pub(crate) fn hold(&mut self, slot: Slot, receipt: Receipt) {
        self.held.entry(slot).or_default().push(receipt);
    }

    /// Producers that waited for an address go on, with the next checkpoint.
    pub(crate) fn release(&mut self, slot: Slot) {
        for receipt in self.held.remove(&slot).unwrap_or_default() {
            self.delta.wait(receipt, Answer::Durable);
        }
    }

    /// Producers that wait for addresses of a function type go on: it is in trouble, so that waiting would be in vain.
    pub(crate) fn release_type(&mut self, function: FunctionId) {
        let slots: Vec<Slot> =
            self.held.keys().copied().filter(|slot| self.cells[*slot].function == function).collect();
        for slot in slots {
            self.release(slot);
        }
    }

    /// All producers that wait for an address go on.
    pub(crate) fn release_all(&mut self) {
        for receipt in std::mem::take(&mut self.held).into_values().flatten() {
            self.delta.wait(receipt, Answer::Durable);
        }
    }

    /// Ingresses pause when invocations, a lane or the changes of the next checkpoint outgrow their limits, and go on when
    /// a quarter of the room is free again.
    pub(crate) fn apply_back_pressure(&mut self) {
        if self.stopped {
            return;
        }
        let limits = &self.config.limits;
        let room = |limit: usize| if self.paused { relaxed(limit) } else { limit };
        let lanes_full = self.lanes.iter().any(|lane| lane.waiting() > room(limits.lane_records as usize) as u64);
        let full = self.pending_bytes + self.idempotency.looking_bytes() > room(limits.pending_bytes)
            || self.delta.bytes() > room(limits.delta_bytes())
            || lanes_full;
        if full != self.paused {
            self.paused = full;
            self.outputs.push_back(if full { Output::Pause } else { Output::Resume });
        }
    }
}
