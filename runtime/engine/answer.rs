//! A call ends with an answer: what it teaches is learned, what it asks for takes effect, and who waited for one goes on.

use crate::cell::Cell;
use crate::cells::Slot;
use crate::engine::Engine;
use crate::phase::Phase;
use crate::{CallFailure, CallId, Effects, FailureKind, Notice, Rejection, Reply};

impl Engine {
    pub(crate) fn replied(&mut self, call: CallId, reply: Reply) {
        if self.stopping || !self.calls.contains_key(&call) || self.awaits_tokens(call) {
            return;
        }
        match reply {
            Reply::Incomplete(specs) => match self.learn(call, &specs) {
                Err(rejection) => self.call_failed(call, rejected(rejection)),
                Ok(()) => {
                    if let Some(slot) = self.succeeded(call) {
                        self.make_runnable_first(slot);
                    }
                }
            },
            Reply::Completed(effects) => {
                let id = self.cells[self.calls[&call]].address.id.clone();
                if let Some(effects) = self.look_up_tokens(call, &id, effects) {
                    self.answered(call, effects);
                }
            }
        }
    }

    /// A batch ran, and everything is known that its answer needs.
    pub(crate) fn answered(&mut self, call: CallId, effects: Effects) {
        if self.stopping {
            return;
        }
        match self.check(call, &effects) {
            Err(rejection) => self.call_failed(call, rejected(rejection)),
            Ok(()) => {
                if let Some(slot) = self.succeeded(call) {
                    self.recovered(slot);
                    self.apply(slot, effects);
                }
            }
        }
    }

    /// A call was answered as it should be.
    fn succeeded(&mut self, call: CallId) -> Option<Slot> {
        let id = self.cells[*self.calls.get(&call)?].function;
        let function = &mut self.functions[id];
        // Upstream waits for the answer to the first request; all others come back as messages of their own.
        function.metrics.input += u64::from(std::mem::replace(&mut function.learned, true));
        let was_in_trouble = function.window.answered();
        let slot = self.end_call(call)?;
        if let Some(endpoint) = self.functions[id].endpoint {
            self.wake_unreachable(endpoint);
        }
        if was_in_trouble {
            let function = self.functions[id].name.clone();
            self.notice(Notice::OutOfTrouble { function });
            self.wake_type(id);
        }
        Some(slot)
    }

    /// Takes a call off the list of those in flight.
    pub(crate) fn end_call(&mut self, call: CallId) -> Option<Slot> {
        let slot = self.calls.remove(&call)?;
        let (function, batch) = (self.cells[slot].function, self.cells[slot].batch);
        self.functions[function].window.ended();
        self.functions[function].metrics.running -= batch as u64;
        self.offer(function);
        Some(slot)
    }
}

impl Cell {
    /// True when an answer may still come for it.
    pub(crate) fn waits_for(&self, call: CallId) -> bool {
        self.phase == Phase::InFlight(call)
    }
}

fn rejected(rejection: Rejection) -> CallFailure {
    CallFailure { kind: FailureKind::Rejected, code: rejection.code, error: rejection.error, retry_after_ms: None }
}
