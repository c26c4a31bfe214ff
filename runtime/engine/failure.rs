//! Failed calls: what the driver reports, and what the engine makes of it.
//!
//! A failure belongs to one address. Attempts follow upstream's schedule (`NettyRequest`: 4, 8, 16 … ms within the budget
//! `call`). When the budget is used up the address is parked: it keeps its invocations, in order, and tries again by itself;
//! one of those parked on an endpoint tries every second, and the first answer wakes them all. A batch that was rejected is
//! cut first: its invocations are sent one by one, because SDKs fail a whole batch for one of them.

use std::sync::Arc;

use crate::cell::{Failure, Phase, Slot};
use crate::engine::Engine;
use crate::{CallId, Millis, Notice};

/// Why an attempt brought no usable answer. The invoker classifies, the engine decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallFailure {
    /// Which of the two kinds it is.
    pub kind: FailureKind,
    /// Its code, `MP4nnn`.
    pub code: &'static str,
    /// What went wrong, with the endpoint's address and the cause.
    pub error: Arc<str>,
    /// `Retry-After` of the answer, in milliseconds.
    pub retry_after_ms: Option<Millis>,
}

/// Two kinds of failure are kept apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FailureKind {
    /// Nobody judged the message: refused, reset, timed out, TLS, 429, 502-504.
    Unreachable,
    /// The message was judged: another status, an answer that cannot be decoded or breaks a rule.
    Rejected,
    /// No endpoint of the module serves the function type.
    NoEndpoint,
}

/// Pause before the one address that probes an endpoint is tried again.
const PROBE_MS: Millis = 1_000;

/// Longest pause between two attempts within the budget.
const BACKOFF_MS_MAX: Millis = 60_000;

impl Engine {
    pub(crate) fn call_failed(&mut self, call: CallId, failure: CallFailure) {
        if self.stopping || self.awaits_tokens(call) {
            return;
        }
        let Some(slot) = self.end_call(call) else { return };
        debug_assert!(self.cells[slot].waits_for(call));
        self.functions[self.cells[slot].function].metrics.failures += 1;
        self.pass_gate(slot);
        let cell = &mut self.cells[slot];
        if failure.kind == FailureKind::Rejected && cell.batch > 1 {
            cell.one_by_one = cell.batch;
            cell.batch = 0;
            cell.attempts = 0;
            cell.incomplete_rounds = 0;
            return self.make_runnable(slot);
        }
        let judged_first = failure.kind == FailureKind::Rejected
            && cell.failure.as_ref().is_some_and(|before| before.kind == FailureKind::Unreachable);
        if judged_first {
            // The budget that was spent on reaching the endpoint says nothing about the message.
            cell.attempts = 0;
            cell.began = self.now;
        }
        cell.attempts += 1;
        self.fail(slot, failure.kind, failure.code, failure.error);
        self.try_later(slot, failure.retry_after_ms.unwrap_or(0));
        self.run_operations(slot);
    }

    /// Records a failure of an address.
    pub(crate) fn fail(&mut self, slot: Slot, kind: FailureKind, code: &'static str, error: Arc<str>) {
        let now = self.now;
        let cell = &mut self.cells[slot];
        let failure = cell.failure.get_or_insert_with(|| Failure {
            kind,
            code,
            error: error.clone(),
            since: now,
            attempts: 0,
            parked: false,
        });
        failure.kind = kind;
        failure.code = code;
        failure.error = error;
        failure.attempts += 1;
    }

    /// The next attempt comes after a pause that doubles, or, when the budget does not reach that far, after parking.
    fn try_later(&mut self, slot: Slot, at_least: Millis) {
        let cell = &self.cells[slot];
        let Some(endpoint) = self.functions[cell.function].endpoint else { return };
        let budget_end = cell.began.saturating_add(self.config.endpoints[endpoint].call_ms);
        let left = budget_end.saturating_sub(self.now);
        let doubled = 2u64.checked_shl(cell.attempts.min(32)).unwrap_or(BACKOFF_MS_MAX).min(BACKOFF_MS_MAX);
        if left <= 1 || at_least >= left {
            if cell.failure.as_ref().is_some_and(|failure| failure.kind == FailureKind::Rejected) && self.give_up(slot)
            {
                return;
            }
            let parked_ms = if self.becomes_probe(slot, endpoint) { PROBE_MS } else { self.config.limits.parked_ms };
            let due = self.now.saturating_add(parked_ms.max(at_least));
            return self.park(slot, Some(due));
        }
        let pause = doubled.min(left).max(at_least);
        let timer = self.set_timer(slot, self.now + pause);
        let cell = &mut self.cells[slot];
        cell.phase = Phase::BackOff(timer);
        if let Some(failure) = &cell.failure {
            let notice = Notice::Retrying {
                address: cell.address.clone(),
                attempt: cell.attempts,
                next_ms: pause,
                code: failure.code,
                error: failure.error.clone(),
            };
            self.notice(notice);
        }
    }

    /// One of the addresses that are parked on an endpoint is tried more often than the others, because its answer wakes
    /// them all. Without it a function that is merely too slow for all that came at once would be left alone for long.
    fn becomes_probe(&mut self, slot: Slot, endpoint: usize) -> bool {
        let unreachable =
            self.cells[slot].failure.as_ref().is_some_and(|failure| failure.kind == FailureKind::Unreachable);
        let probe = &mut self.probes[endpoint];
        if unreachable && probe.is_none() {
            *probe = Some(slot);
        }
        *probe == Some(slot)
    }

    /// Parks an address until `due`, or until something wakes it.
    pub(crate) fn park(&mut self, slot: Slot, due: Option<Millis>) {
        let timer = due.map(|due| self.set_timer(slot, due));
        self.brought_back(slot);
        self.counters.parked += 1;
        let cell = &mut self.cells[slot];
        cell.phase = Phase::Parked(timer);
        let function = &mut self.functions[cell.function];
        function.metrics.parked += 1;
        let Some(failure) = &mut cell.failure else { return };
        if failure.kind == FailureKind::Unreachable
            && let Some(endpoint) = function.endpoint
        {
            self.unreachable[endpoint].insert(slot);
        }
        if !std::mem::replace(&mut failure.parked, true) {
            let notice = Notice::Parked {
                address: cell.address.clone(),
                kind: failure.kind,
                code: failure.code,
                error: failure.error.clone(),
            };
            self.notice(notice);
        }
    }

    /// Gives a parked or backing-off address its turn, with a new budget if it was parked.
    pub(crate) fn wake(&mut self, slot: Slot) {
        if self.stop_waiting(slot) {
            self.ready(slot);
        }
    }

    /// Takes an address out of back-off or parking. False when it was in neither.
    pub(crate) fn stop_waiting(&mut self, slot: Slot) -> bool {
        let cell = &mut self.cells[slot];
        let timer = match cell.phase {
            Phase::BackOff(timer) => Some(timer),
            Phase::Parked(timer) => {
                cell.attempts = 0;
                cell.incomplete_rounds = 0;
                self.counters.parked -= 1;
                let function = &mut self.functions[cell.function];
                function.metrics.parked -= 1;
                if let Some(endpoint) = function.endpoint {
                    self.unreachable[endpoint].remove(&slot);
                    self.probes[endpoint].take_if(|probe| *probe == slot);
                }
                timer
            }
            _ => return false,
        };
        if let Some(timer) = timer {
            self.timers.remove(&timer);
        }
        true
    }

    /// An endpoint answered: whoever is parked because it could not be reached tries now.
    pub(crate) fn wake_unreachable(&mut self, endpoint: usize) {
        for slot in std::mem::take(&mut self.unreachable[endpoint]) {
            self.wake(slot);
        }
    }

    pub(crate) fn fire_timers(&mut self) {
        while let Some(entry) = self.timers.first_entry()
            && entry.key().0 <= self.now
        {
            let slot = entry.remove();
            self.wake(slot);
        }
    }

    fn set_timer(&mut self, slot: Slot, due: Millis) -> (Millis, u64) {
        let key = (due, self.next_timer);
        self.next_timer += 1;
        self.timers.insert(key, slot);
        key
    }
}
