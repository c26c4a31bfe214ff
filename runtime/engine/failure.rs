//! Failed calls: what the driver reports, and what the engine makes of it.
//!
//! A failure belongs to one address. Attempts follow upstream's schedule (`NettyRequest`: 4, 8, 16 … ms within the budget
//! `call`); when a whole function type fails, its window (`window.rs`) spaces them out. When the budget is used up the
//! address is parked (`parking.rs`), or the policy takes what was rejected (`dead_letter.rs`). A batch that was rejected is
//! cut first: its invocations are sent one by one, because SDKs fail a whole batch for one.

use std::borrow::Cow;
use std::sync::Arc;

use crate::cells::Slot;
use crate::engine::Engine;
use crate::phase::Phase;
use crate::timers::Timer;
use crate::{CallId, FailureRecord, Millis, Notice};

/// Why an attempt brought no usable answer. The invoker classifies, the engine decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallFailure {
    /// Which kind it is: never [`FailureKind::NoEndpoint`], of which there is no call.
    pub kind: FailureKind,
    /// Its code, `MP4nnn`.
    pub code: &'static str,
    /// What went wrong, with the endpoint's address and the cause.
    pub error: Arc<str>,
    /// `Retry-After` of the answer, in milliseconds.
    pub retry_after_ms: Option<Millis>,
}

/// What a failure says of the messages: two kinds of failed calls, and one of no call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FailureKind {
    /// Nobody judged the message: refused, reset, timed out, TLS, 401, 403, 407, 429, 502-504.
    Unreachable,
    /// The message was judged: another status, an answer that cannot be decoded or breaks a rule.
    Rejected,
    /// No endpoint of the module serves the function type.
    NoEndpoint,
}

/// The failure a cell is in.
pub(crate) struct Failure {
    pub(crate) kind: FailureKind,
    pub(crate) code: Cow<'static, str>,
    pub(crate) error: Arc<str>,
    pub(crate) since: Millis,
    /// Attempts in all, over every budget.
    pub(crate) attempts: u32,
    /// The function rejected the messages, in this budget or in those before that ended with a rejection.
    pub(crate) judged: bool,
    /// When it was parked last, if it was.
    pub(crate) parked: Option<Millis>,
}

impl Failure {
    /// What the ledger kept of it.
    pub(crate) fn restored(record: FailureRecord) -> Failure {
        let FailureRecord { kind, code, error, attempts, since, parked, .. } = record;
        let mut failure = Failure { kind, code, error, since, attempts, judged: true, parked: None };
        failure.is_parked(parked);
        failure
    }

    /// Its address was parked: what is known of it from here on is what the ledger keeps, so that a restart changes nothing.
    /// True when it was not parked before.
    pub(crate) fn is_parked(&mut self, now: Millis) -> bool {
        // A value of another type is nobody's judgement of a message.
        self.judged &= self.kind == FailureKind::Rejected && self.code != TYPE_CHANGED;
        self.parked.replace(now).is_none()
    }
}

/// A stored value has another type than its function declares.
pub(crate) const TYPE_CHANGED: &str = "MP3003";

/// Longest pause that a function may ask for.
const RETRY_AFTER_MS_MAX: Millis = 60 * 60 * 1000;

/// Longest pause between two attempts within the budget.
const BACKOFF_MS_MAX: Millis = 60_000;

/// Bytes of an error's text that are kept.
const ERROR_BYTES_MAX: usize = 1024;

impl Engine {
    pub(crate) fn call_failed(&mut self, call: CallId, failure: CallFailure) {
        if self.stopping || self.awaits_tokens(call) {
            return;
        }
        let Some(slot) = self.end_call(call) else { return };
        debug_assert!(self.cells[slot].waits_for(call));
        let next_call = CallId(self.next_call);
        let id = self.cells[slot].function;
        let function = &mut self.functions[id];
        function.metrics.failures += 1;
        let again = self.cells[slot].failure.is_some();
        if function.window.failed(call, next_call, failure.kind, again, self.now) {
            let notice = Notice::InTrouble {
                function: function.name.clone(),
                kind: failure.kind,
                code: Cow::Borrowed(failure.code),
                error: failure.error.clone(),
            };
            self.notice(notice);
            self.release_type(id);
        }
        let cell = &mut self.cells[slot];
        if failure.kind == FailureKind::Rejected && cell.batch > 1 {
            cell.one_by_one = cell.batch;
            cell.batch = 0;
            cell.attempts = 0;
            cell.incomplete_rounds = 0;
            return self.make_runnable(slot);
        }
        let judged_first =
            failure.kind == FailureKind::Rejected && cell.failure.as_ref().is_some_and(|before| !before.judged);
        if judged_first {
            // The budget that was spent on reaching the endpoint says nothing about the message.
            cell.attempts = 0;
            cell.began = self.now;
            cell.one_attempt = false;
        }
        cell.attempts += 1;
        self.fail(slot, failure.kind, failure.code, failure.error);
        if let Some(of) = &mut self.cells[slot].failure {
            of.attempts = of.attempts.saturating_add(1);
            of.judged |= failure.kind == FailureKind::Rejected;
        }
        self.try_later(slot, failure.retry_after_ms.unwrap_or(0).min(RETRY_AFTER_MS_MAX));
        if failure.kind == FailureKind::Rejected {
            self.probe_again(id);
        }
    }

    /// Records why an address does not get on.
    pub(crate) fn fail(&mut self, slot: Slot, kind: FailureKind, code: &'static str, error: Arc<str>) {
        let now = self.now;
        let error = shortened(error);
        let failure = self.cells[slot].failure.get_or_insert_with(|| Failure {
            kind,
            code: Cow::Borrowed(code),
            error: error.clone(),
            since: now,
            attempts: 0,
            judged: false,
            parked: None,
        });
        failure.kind = kind;
        failure.code = Cow::Borrowed(code);
        failure.error = error;
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
        self.enter(slot, Phase::BackOff(timer));
        let cell = &self.cells[slot];
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
    }

    /// The address was answered: its failure is over.
    pub(crate) fn recovered(&mut self, slot: Slot) {
        let Some(failure) = self.end_failure(slot) else { return };
        let cell = &self.cells[slot];
        let (address, function) = (cell.address.clone(), cell.function);
        self.notice(Notice::Recovered { address });
        if failure.kind == FailureKind::Rejected {
            self.wake_some(function);
        }
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
