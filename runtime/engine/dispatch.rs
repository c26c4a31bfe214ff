//! Who is called next, and with what.
//!
//! Addresses of a function type get their turn in the order in which they got something to send, as far as the type's
//! window allows; function types take turns. A call holds one of the slots in flight from here to its answer or failure; an
//! address that waits for its next attempt holds none. The batch is everything that waits, as upstream sends it, bounded by
//! bytes; a failed batch is sent again as it was.

use crate::cell::Cell;
use crate::cells::Slot;
use crate::engine::Engine;
use crate::expiry;
use crate::failure::TYPE_CHANGED;
use crate::function::Function;
use crate::functions::FunctionId;
use crate::phase::Phase;
use crate::timers::Timer;
use crate::{Call, CallId, CallState, FailureKind, Output};

impl Engine {
    /// Gives an address a place in line; one that failed last time stands behind all others.
    pub(crate) fn make_runnable(&mut self, slot: Slot) {
        self.enter(slot, Phase::Runnable);
        let cell = &mut self.cells[slot];
        (cell.in_line, cell.in_line_since) = (true, self.now);
        let id = cell.function;
        let function = &mut self.functions[id];
        match cell.failure {
            Some(_) => function.retries.push_back(slot),
            None => function.line.push_back(slot),
        }
        self.offer(id);
    }

    /// The same for an address whose function asked for states: it goes on before the others.
    pub(crate) fn make_runnable_first(&mut self, slot: Slot) {
        self.enter(slot, Phase::Runnable);
        let cell = &mut self.cells[slot];
        (cell.in_line, cell.in_line_since) = (true, self.now);
        let function = cell.function;
        self.functions[function].line.push_front(slot);
        self.offer(function);
    }

    /// A function type may have a call to make.
    pub(crate) fn offer(&mut self, id: FunctionId) {
        let function = &mut self.functions[id];
        if !function.offered && function.has_work() {
            function.offered = true;
            self.offers.push_back(id);
        }
    }

    /// Sends what may be sent.
    pub(crate) fn dispatch(&mut self) {
        while self.calls.len() < self.config.limits.calls_in_flight && !self.stopping {
            let Some(id) = self.offers.pop_front() else { return };
            let function = &mut self.functions[id];
            function.offered = false;
            match function.window.may_call(self.now) {
                Ok(()) => {
                    if let Some(slot) = function.next_in_line() {
                        self.cells[slot].in_line = false;
                        self.send(slot);
                    }
                    self.offer(id);
                }
                Err(Some(later)) if function.has_work() => {
                    self.set_timer(later, Timer::Function(id));
                }
                Err(_) => {}
            }
        }
    }

    fn send(&mut self, slot: Slot) {
        let cell = &mut self.cells[slot];
        let function = &mut self.functions[cell.function];
        let Some(endpoint) = function.endpoint else { unreachable!("only served function types become runnable") };
        let call_ms = self.config.endpoints[endpoint].call_ms;
        let over = cell.attempts > 0 && self.now >= cell.began.saturating_add(call_ms);
        let unreachable = cell.failure.as_ref().is_some_and(|failure| failure.kind == FailureKind::Unreachable);
        if over && unreachable && self.now > cell.in_line_since {
            // It stood in line until its budget was over, because its function type does not answer.
            return self.park_for_a_while(slot, 0);
        }
        // A repeated attempt carries what the first one did, and restarts no clock.
        let fresh = cell.attempts == 0 && function.learned;
        let mut changed = fresh && expiry::remove(cell, function, self.now);
        let states = states(cell, function);
        changed |= fresh && states.is_ok() && expiry::stamp(cell, function, self.now);
        if changed {
            self.mark_dirty(slot, 32);
        }
        let states = match states {
            Ok(states) => states,
            Err(error) => {
                self.fail(slot, FailureKind::Rejected, TYPE_CHANGED, error.into());
                return self.park_for_a_while(slot, 0);
            }
        };
        let cell = &mut self.cells[slot];
        let function = &mut self.functions[cell.function];
        if cell.batch == 0 {
            cell.batch = batch(cell, self.config.limits.batch_bytes);
        }
        if cell.attempts == 0 {
            cell.began = self.now;
        }
        let budget_end = cell.began.saturating_add(call_ms);
        let id = CallId(self.next_call);
        self.next_call += 1;
        function.window.sent(self.now);
        function.metrics.running += cell.batch as u64;
        let call = Call {
            id,
            endpoint,
            target: cell.address.clone(),
            states,
            invocations: cell
                .mailbox
                .head()
                .iter()
                .take(cell.batch)
                .map(|pending| (pending.invocation.caller.clone(), pending.invocation.argument.clone()))
                .collect(),
            // The last attempt at a message that was rejected has the whole budget again: it is to be judged once more.
            timeout_ms: if over && !unreachable { call_ms } else { budget_end.saturating_sub(self.now) }.max(1),
            attempt: cell.attempts,
        };
        self.calls.insert(id, slot);
        self.outputs.push_back(Output::Call(Box::new(call)));
        self.enter(slot, Phase::InFlight(id));
        self.read_on(slot);
    }
}

impl Function {
    /// The next one in line. One that failed has a turn behind eight others, or when there is nobody else.
    fn next_in_line(&mut self) -> Option<Slot> {
        const OTHERS: u32 = 8;
        if (self.line.is_empty() || self.passed_by >= OTHERS)
            && let Some(slot) = self.retries.pop_front()
        {
            self.passed_by = 0;
            return Some(slot);
        }
        let slot = self.line.pop_front()?;
        self.passed_by += 1;
        Some(slot)
    }
}

/// How many invocations go out together.
fn batch(cell: &Cell, bytes_max: usize) -> usize {
    if cell.one_by_one > 0 {
        return 1;
    }
    let mut bytes = 0;
    let fitting = cell.mailbox.head().iter().take_while(|pending| {
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
    if !function.learned {
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
