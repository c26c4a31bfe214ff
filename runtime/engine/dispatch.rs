//! Who is called next, and with what.
//!
//! Addresses get their turn in the order in which they got something to send. A call holds one of the slots in flight from
//! here to its answer or failure; an address that waits for its next attempt holds none. The batch is everything that waits,
//! as upstream sends it, bounded by bytes; a failed batch is sent again as it was.

use crate::cell::{Cell, Phase, Slot};
use crate::engine::Engine;
use crate::expiry;
use crate::function::{Function, Gate};
use crate::{Call, CallId, CallState, FailureKind, Output};

impl Engine {
    pub(crate) fn make_runnable(&mut self, slot: Slot) {
        self.cells[slot].phase = Phase::Runnable;
        self.runnable.push_back(slot);
    }

    /// Sends what may be sent.
    pub(crate) fn dispatch(&mut self) {
        while self.calls.len() < self.config.limits.calls_in_flight && !self.stopping {
            let Some(slot) = self.runnable.pop_front() else { return };
            let function = &mut self.functions[self.cells[slot].function];
            match function.gate {
                Gate::Learning(_) => {
                    function.waiting.push_back(slot);
                    self.cells[slot].phase = Phase::Gated;
                }
                Gate::Closed => {
                    function.gate = Gate::Learning(slot);
                    self.send(slot);
                }
                Gate::Open => self.send(slot),
            }
        }
    }

    /// Takes an address out of the line that it stands in.
    pub(crate) fn leave_line(&mut self, slot: Slot) {
        match self.cells[slot].phase {
            Phase::Runnable => self.runnable.retain(|waiting| *waiting != slot),
            Phase::Gated => {
                let function = self.cells[slot].function;
                self.functions[function].waiting.retain(|waiting| *waiting != slot);
            }
            _ => {}
        }
    }

    /// The function type answered: whoever waited for that gets a turn.
    pub(crate) fn open_gate(&mut self, slot: Slot) {
        let function = &mut self.functions[self.cells[slot].function];
        function.gate = Gate::Open;
        for slot in std::mem::take(&mut function.waiting) {
            self.make_runnable(slot);
        }
    }

    /// The first request failed: the next address in the line tries.
    pub(crate) fn pass_gate(&mut self, slot: Slot) {
        let function = &mut self.functions[self.cells[slot].function];
        if function.gate == Gate::Learning(slot) {
            function.gate = Gate::Closed;
            if let Some(next) = function.waiting.pop_front() {
                self.make_runnable(next);
            }
        }
    }

    fn send(&mut self, slot: Slot) {
        let cell = &mut self.cells[slot];
        let function = &mut self.functions[cell.function];
        let Some(endpoint) = function.endpoint else { unreachable!("only served function types become runnable") };
        // A repeated attempt carries what the first one did, and restarts no clock.
        let touched = cell.attempts == 0 && function.gate == Gate::Open && expiry::touch(cell, function, self.now);
        if touched {
            self.mark_dirty(slot, 32);
        }
        let cell = &mut self.cells[slot];
        let function = &mut self.functions[cell.function];
        let states = match states(cell, function) {
            Ok(states) => states,
            Err(error) => {
                self.fail(slot, FailureKind::Rejected, "MP3003", error.into());
                self.pass_gate(slot);
                let due = self.now.saturating_add(self.config.limits.parked_ms);
                return self.park(slot, Some(due));
            }
        };
        if cell.batch == 0 {
            cell.batch = batch(cell, self.config.limits.batch_bytes);
        }
        if cell.attempts == 0 {
            cell.began = self.now;
        }
        let budget_end = cell.began.saturating_add(self.config.endpoints[endpoint].call_ms);
        let id = CallId(self.next_call);
        self.next_call += 1;
        cell.phase = Phase::InFlight(id);
        function.metrics.in_flight += 1;
        function.metrics.input += if cell.attempts == 0 { cell.batch as u64 } else { 0 };
        let call = Call {
            id,
            endpoint,
            target: cell.address.clone(),
            states,
            invocations: cell
                .mailbox
                .iter()
                .take(cell.batch)
                .map(|pending| (pending.invocation.caller.clone(), pending.invocation.argument.clone()))
                .collect(),
            timeout_ms: budget_end.saturating_sub(self.now).max(1),
            attempt: cell.attempts,
        };
        self.calls.insert(id, slot);
        self.outputs.push_back(Output::Call(Box::new(call)));
    }
}

/// How many invocations go out together.
fn batch(cell: &Cell, bytes_max: usize) -> usize {
    if cell.one_by_one > 0 {
        return 1;
    }
    let mut bytes = 0;
    let fitting = cell.mailbox.iter().take_while(|pending| {
        bytes += pending.bytes();
        bytes <= bytes_max
    });
    fitting.count().max(1)
}

/// Every registered state with its value, if it has one; none on the first request after a start.
///
/// A value that was written under another type is never handed out (upstream hands old bytes to the new serializer, or
/// fails the job for ever): the address waits until the function declares the old type again.
fn states(cell: &Cell, function: &Function) -> Result<Vec<CallState>, String> {
    let mut states = Vec::with_capacity(function.specs.len());
    if function.gate != Gate::Open {
        return Ok(states);
    }
    for spec in function.specs.values() {
        let value = cell.state(&spec.name);
        if let Some(value) = value.filter(|value| value.typename != spec.typename) {
            return Err(format!(
                "state `{}` of `{}` is declared as `{}`, but holds a value of `{}`",
                spec.name, function.name, spec.typename, value.typename
            ));
        }
        states.push(CallState {
            name: spec.name.clone(),
            typename: spec.typename.clone(),
            value: value.map(|value| value.value.clone()),
        });
    }
    Ok(states)
}
