//! How many calls of one function type may be in flight, and when the next one may go out.
//!
//! The number grows while answers come and all of it is used, and halves when calls do not get through: a function that is
//! too slow for all that waits is asked for as much as it can do. When nothing but failures came for some rounds, the type
//! is *in trouble*: one call at a time goes out, with pauses between them that double, up to a second when nobody is reached
//! and to 50 ms when the function rejects. The first answer ends that. A round is what was in flight together, so that one
//! outage counts once, however many calls it hit.

use crate::{CallId, FailureKind, Millis};

/// Rounds without an answer behind which a function type is in trouble. Upstream's pauses between the attempts of one
/// request are longer than the ones in here, so a single address never feels them.
const TROUBLE: u32 = 4;

/// Longest pause between two calls while in trouble because nobody is reached.
pub(crate) const PAUSE_MS_MAX: Millis = 1_000;

/// The same while the function answers, and rejects: it lives, and others may be sound.
const REJECTED_PAUSE_MS_MAX: Millis = 50;

/// When the first call to a function type takes longer, a second one is tried beside it.
const LEARNING_MS: Millis = 1_000;

/// Calls in flight once a function type has answered.
const FIRST_SIZE: usize = 32;

/// The pace of one function type.
#[derive(Debug)]
pub(crate) struct Window {
    size: usize,
    /// It never grows beyond this.
    most: usize,
    in_flight: usize,
    /// When the last call went out.
    sent: Millis,
    /// It never was answered.
    learning: bool,
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
    pub(crate) fn new(most: usize) -> Window {
        Window {
            size: 1,
            most: most.max(1),
            in_flight: 0,
            sent: 0,
            learning: true,
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
        let waited = self.sent.saturating_add(LEARNING_MS);
        let impatient = self.learning && !self.in_trouble() && self.in_flight < FIRST_SIZE.min(self.most);
        match self.in_flight < self.size() || impatient && waited <= now {
            true if now < self.pause_until => Err(Some(self.pause_until)),
            true => Ok(()),
            false => Err(impatient.then_some(waited)),
        }
    }

    /// A call went out.
    pub(crate) fn sent(&mut self, now: Millis) {
        self.in_flight += 1;
        self.sent = now;
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
        if std::mem::take(&mut self.learning) {
            self.size = FIRST_SIZE.min(self.most);
        } else if used && self.size < self.most {
            self.answers += 1;
            if self.size < self.threshold || self.answers >= self.size {
                self.size += 1;
                self.answers = 0;
            }
        }
        trouble
    }

    /// A call failed; `next` is the next one that goes out. Of an address that failed before nothing new is learned when it
    /// is rejected again. True when that was the beginning of trouble.
    pub(crate) fn failed(&mut self, call: CallId, next: CallId, kind: FailureKind, again: bool, now: Millis) -> bool {
        let reached = kind != FailureKind::Unreachable;
        let trouble = self.in_trouble();
        if trouble {
            self.pause(reached, now);
        }
        if call < self.next_round || reached && again {
            return false;
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
            self.pause(reached, now);
        }
        self.in_trouble() && !trouble
    }

    fn pause(&mut self, reached: bool, now: Millis) {
        let most = if reached { REJECTED_PAUSE_MS_MAX } else { PAUSE_MS_MAX };
        let pause = 1u64.checked_shl(self.rounds).unwrap_or(most).min(most);
        self.pause_until = now.saturating_add(pause);
    }

    /// Somebody at the same endpoint was answered: no reason to wait any longer.
    pub(crate) fn reopen(&mut self) {
        self.pause_until = 0;
    }
}
