//! Failed calls: what the driver reports, and what the engine makes of it.
//!
//! A failure belongs to one address. Attempts follow upstream's schedule (`NettyRequest`: 4, 8, 16 … ms within the budget
//! `call`); when a whole function type fails, its window (`window.rs`) spaces them out. When the budget is used up the
//! address is parked: it keeps its invocations, in order, and is tried again, once each time. One of those that are parked
//! because of their endpoint, or with their whole type, is tried every second, and the first answer wakes the others. A
//! batch that was rejected is cut first: its invocations are sent one by one, because SDKs fail a whole batch for one.

use std::borrow::Cow;
use std::hash::BuildHasher;
use std::sync::Arc;

use crate::cell::{Failure, Phase, Slot};
use crate::engine::Engine;
use crate::function::FunctionId;
use crate::window::PAUSE_MS_MAX;
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

/// Pause before the one address that probes for others is tried again.
const PROBE_MS: Millis = PAUSE_MS_MAX;

/// Longest pause that a function may ask for.
const RETRY_AFTER_MS_MAX: Millis = 60 * 60 * 1000;

/// Longest pause between two attempts within the budget.
const BACKOFF_MS_MAX: Millis = 60_000;

/// Bytes of an error's text that are kept.
const ERROR_BYTES_MAX: usize = 1024;

/// What a timer is for.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Timer {
    /// An address is to be tried.
    Cell(Slot),
    /// A function type may make calls again, or look at its parked addresses.
    Function(FunctionId),
}

impl Engine {
    pub(crate) fn call_failed(&mut self, call: CallId, failure: CallFailure) {
        if self.stopping || self.awaits_tokens(call) {
            return;
        }
        let Some(slot) = self.end_call(call) else { return };
        debug_assert!(self.cells[slot].waits_for(call));
        let next_call = CallId(self.next_call);
        let function = &mut self.functions[self.cells[slot].function];
        function.metrics.failures += 1;
        let again = self.cells[slot].failure.is_some();
        function.window.failed(call, next_call, failure.kind, again, self.now);
        self.release(slot);
        let cell = &mut self.cells[slot];
        if failure.kind == FailureKind::Rejected && cell.batch > 1 {
            cell.one_by_one = cell.batch;
            cell.batch = 0;
            cell.attempts = 0;
            cell.incomplete_rounds = 0;
            self.make_runnable(slot);
            return self.run_operations(slot);
        }
        let judged_first =
            failure.kind == FailureKind::Rejected && cell.failure.as_ref().is_some_and(|before| before.rejections == 0);
        if judged_first {
            // The budget that was spent on reaching the endpoint says nothing about the message.
            cell.attempts = 0;
            cell.began = self.now;
            cell.one_attempt = false;
        }
        cell.attempts += 1;
        self.fail(slot, failure.kind, failure.code, failure.error);
        self.try_later(slot, failure.retry_after_ms.unwrap_or(0).min(RETRY_AFTER_MS_MAX));
        self.run_operations(slot);
    }

    /// Records a failure of an address.
    pub(crate) fn fail(&mut self, slot: Slot, kind: FailureKind, code: &'static str, error: Arc<str>) {
        let now = self.now;
        let error = shortened(error);
        let failure = self.cells[slot].failure.get_or_insert_with(|| Failure {
            kind,
            code: Cow::Borrowed(code),
            error: error.clone(),
            since: now,
            attempts: 0,
            rejections: 0,
            parked: None,
        });
        failure.kind = kind;
        failure.code = Cow::Borrowed(code);
        failure.error = error;
        failure.attempts = failure.attempts.saturating_add(1);
        failure.rejections += u32::from(kind == FailureKind::Rejected);
    }

    /// Forgets the failure of an address. Gives it back if the address was parked with it.
    pub(crate) fn end_failure(&mut self, slot: Slot) -> Option<Failure> {
        let cell = &mut self.cells[slot];
        cell.one_attempt = false;
        let failure = cell.failure.take().filter(|failure| failure.parked.is_some())?;
        cell.failure_dirty = true;
        let backlog = self.functions.backlog(cell.function);
        backlog.parked = backlog.parked.saturating_sub(1);
        self.mark_dirty(slot, 32);
        Some(failure)
    }

    /// The next attempt comes after a pause that doubles, or, when the budget does not reach that far, after parking.
    fn try_later(&mut self, slot: Slot, at_least: Millis) {
        let cell = &self.cells[slot];
        let Some(endpoint) = self.functions[cell.function].endpoint else { return };
        let budget_end = cell.began.saturating_add(self.config.endpoints[endpoint].call_ms);
        let left = if cell.one_attempt { 0 } else { budget_end.saturating_sub(self.now) };
        if left <= 1 || at_least >= left {
            let rejected = cell.failure.as_ref().is_some_and(|failure| failure.kind == FailureKind::Rejected);
            // A message whose function asked for more time than is left is judged once more.
            if !(left <= 1 && rejected && self.give_up(slot)) {
                self.park_for_a_while(slot, at_least);
            }
            return;
        }
        let doubled = 2u64.checked_shl(cell.attempts.min(32)).unwrap_or(BACKOFF_MS_MAX).min(BACKOFF_MS_MAX);
        let pause = doubled.min(left).max(at_least);
        let timer = self.set_timer(self.now + pause, Timer::Cell(slot));
        let cell = &mut self.cells[slot];
        cell.phase = Phase::BackOff(timer);
        if let Some(failure) = &cell.failure {
            let notice = Notice::Retrying {
                address: cell.address.clone(),
                attempt: cell.attempts,
                next_ms: pause,
                code: failure.code.clone(),
                error: failure.error.clone(),
            };
            self.notice(notice);
        }
        self.recount(slot);
    }

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
        if failure.parked.replace(now).is_none() {
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
    fn wait_parked(&mut self, slot: Slot, due: Millis) {
        self.release(slot);
        let timer = self.set_timer(due, Timer::Cell(slot));
        let cell = &mut self.cells[slot];
        cell.phase = Phase::Parked(timer);
        let id = cell.function;
        let function = &mut self.functions[id];
        function.parked.insert(timer);
        let unreachable = cell.failure.as_ref().is_some_and(|failure| failure.kind == FailureKind::Unreachable);
        if let Some(endpoint) = function.endpoint.filter(|_| unreachable) {
            self.unreachable[endpoint].insert(id);
        }
        self.recount(slot);
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
            self.cells[slot].one_attempt = rejected;
            return self.go_on(slot);
        }
        self.wait_parked(slot, next);
    }

    /// Gives a parked or backing-off address its turn.
    pub(crate) fn wake(&mut self, slot: Slot) {
        if self.stop_waiting(slot) {
            self.go_on(slot);
        }
    }

    /// Takes an address out of back-off or parking. False when it was in neither.
    pub(crate) fn stop_waiting(&mut self, slot: Slot) -> bool {
        let cell = &mut self.cells[slot];
        match cell.phase {
            Phase::BackOff(timer) => {
                self.timers.remove(&timer);
                true
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
                true
            }
            _ => false,
        }
    }

    /// A function type answered again after nothing but failures: all that is parked with it is tried.
    pub(crate) fn wake_type(&mut self, function: FunctionId) {
        self.functions[function].woken = self.now;
        self.wake_sleepers(function);
        for slot in self.parked(function, usize::MAX) {
            let rejected =
                self.cells[slot].failure.as_ref().is_some_and(|failure| failure.kind == FailureKind::Rejected);
            self.stop_waiting(slot);
            self.cells[slot].one_attempt = rejected;
            self.go_on(slot);
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
            self.stop_waiting(slot);
            self.cells[slot].one_attempt = true;
            self.go_on(slot);
        }
    }

    /// The first so many parked addresses of a type, by the time of their next attempt.
    fn parked(&self, function: FunctionId, most: usize) -> Vec<Slot> {
        let slot = |key: &(Millis, u64)| match self.timers.get(key) {
            Some(Timer::Cell(slot)) => Some(*slot),
            _ => None,
        };
        self.functions[function].parked.iter().take(most).filter_map(slot).collect()
    }

    pub(crate) fn fire_timers(&mut self) {
        while let Some(entry) = self.timers.first_entry()
            && entry.key().0 <= self.now
            && entry.key().0 < Millis::MAX
        {
            match entry.get() {
                Timer::Cell(slot) => {
                    let slot = *slot;
                    let parked = matches!(self.cells[slot].phase, Phase::Parked(_));
                    self.stop_waiting(slot);
                    self.cells[slot].one_attempt = parked;
                    match parked {
                        true => self.go_on(slot),
                        false => self.make_runnable(slot),
                    }
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

    pub(crate) fn set_timer(&mut self, due: Millis, timer: Timer) -> (Millis, u64) {
        let key = (due, self.next_timer);
        self.next_timer += 1;
        self.timers.insert(key, timer);
        key
    }
}

/// An error's text, cut to what is kept of it.
fn shortened(error: Arc<str>) -> Arc<str> {
    if error.len() <= ERROR_BYTES_MAX {
        return error;
    }
    let end = (0..=ERROR_BYTES_MAX).rev().find(|end| error.is_char_boundary(*end));
    error[..end.unwrap_or(0)].into()
}
