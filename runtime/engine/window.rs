//! How many calls of one function type may be in flight, and when the next one may go out.
//!
//! The number grows while answers come and all of it is used, and halves when calls do not get through: a function that is
//! too slow for all that waits is asked for as much as it can do. When nothing but failures came for some rounds, the type
//! is *in trouble*: one call at a time goes out, with pauses between them that double up to a second. The first answer ends
//! that. A round is what was in flight together, so that one outage counts once, however many calls it hit.

use crate::{CallId, FailureKind, Millis};

/// Rounds without an answer behind which a function type is in trouble. Upstream's pauses between the attempts of one
/// request are longer than the ones in here, so a single address never feels them.
const TROUBLE: u32 = 4;

/// Longest pause between two calls while in trouble.
pub(crate) const PAUSE_MS_MAX: Millis = 1_000;

/// Calls in flight once a function type has answered.
const FIRST_SIZE: usize = 32;

/// The pace of one function type.
#[derive(Debug)]
pub(crate) struct Window {
    size: usize,
    in_flight: usize,
    /// Up to here the size doubles with each round, behind it it grows by one.
    threshold: usize,
    /// Answers since the size grew last.
    answers: usize,
    /// Rounds of failures since the last answer.
    rounds: u32,
    /// Failures of calls from this one on belong to the next round.
    next_round: CallId,
    /// No call before this moment.
    pause_until: Millis,
}

impl Window {
    /// One call, until the function type has answered.
    pub(crate) fn new() -> Window {
        Window {
            size: 1,
            in_flight: 0,
            threshold: usize::MAX,
            answers: 0,
            rounds: 0,
            next_round: CallId(0),
            pause_until: 0,
        }
    }

    /// Calls in flight.
    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// Calls that may be in flight.
    pub(crate) fn size(&self) -> usize {
        if self.in_trouble() { 1 } else { self.size }
    }

    /// True when nothing but failures came lately.
    pub(crate) fn in_trouble(&self) -> bool {
        self.rounds >= TROUBLE
    }

    /// Whether one more call may go out now; else, if only time keeps it back, when.
    pub(crate) fn may_call(&self, now: Millis) -> Result<(), Option<Millis>> {
        match self.in_flight < self.size() {
            true if now < self.pause_until => Err(Some(self.pause_until)),
            true => Ok(()),
            false => Err(None),
        }
    }

    /// A call went out.
    pub(crate) fn sent(&mut self) {
        self.in_flight += 1;
    }

    /// A call ended, however.
    pub(crate) fn ended(&mut self) {
        self.in_flight -= 1;
    }

    /// A call was answered; before it is told that it ended. True when that ended trouble.
    pub(crate) fn answered(&mut self) -> bool {
        let trouble = self.in_trouble();
        let used = self.in_flight >= self.size();
        self.rounds = 0;
        self.pause_until = 0;
        if self.size < FIRST_SIZE && self.threshold == usize::MAX {
            self.size = FIRST_SIZE;
        } else if used {
            self.answers += 1;
            if self.size < self.threshold || self.answers >= self.size {
                self.size += 1;
                self.answers = 0;
            }
        }
        trouble
    }

    /// A call failed; `next` is the next one that goes out.
    pub(crate) fn failed(&mut self, call: CallId, next: CallId, kind: FailureKind, now: Millis) {
        if call < self.next_round {
            return;
        }
        self.next_round = next;
        if kind == FailureKind::Unreachable {
            // In an outage the size says nothing about what the function can do: only the first round counts.
            if self.rounds == 0 {
                self.threshold = (self.size / 2).max(FIRST_SIZE / 4);
            }
            self.size = (self.size / 2).max(1);
        }
        self.rounds = self.rounds.saturating_add(1);
        if self.in_trouble() {
            let pause = 1u64.checked_shl(self.rounds).unwrap_or(PAUSE_MS_MAX).min(PAUSE_MS_MAX);
            self.pause_until = now.saturating_add(pause);
        }
    }

    /// Somebody at the same endpoint was answered: no reason to wait any longer.
    pub(crate) fn reopen(&mut self) {
        self.pause_until = 0;
    }
}
