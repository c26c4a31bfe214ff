//! Invocations that are taken out of their queue without having run: dropped, or kept as dead letters.
//!
//! What comes in: an address whose first invocation was rejected until its budget was used up, and whose endpoint has a
//! policy for that; or a person who names the invocation. What goes out: exactly that one, to nowhere or to a lane. The
//! dead letter and the end of its invocation belong to one checkpoint. What nobody judged is never touched by a policy.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use millpond_protocol::Address;

use crate::cells::Slot;
use crate::engine::Engine;
use crate::phase::Phase;
use crate::{FailurePolicy, Invocation, LaneId, Millis, Notice, Sequence};

/// An invocation that did not run, with what is known of why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// Its target.
    pub target: Address,
    /// Its place among those of the target.
    pub sequence: Sequence,
    /// The invocation itself.
    pub invocation: Invocation,
    /// Code of the last failure.
    pub code: Cow<'static, str>,
    /// What went wrong last.
    pub error: Arc<str>,
    /// Attempts made.
    pub attempts: u32,
    /// When the first attempt failed; when it was given up, if none did.
    pub first_failure: Millis,
    /// When it was given up.
    pub time: Millis,
    /// Who gave it up.
    pub decided_by: DecidedBy,
}

/// Who gave an invocation up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DecidedBy {
    /// The endpoint's policy.
    Policy,
    /// A person.
    Operator,
}

/// Where dead letters go.
#[derive(Debug, Clone)]
pub struct DeadLetterRoute {
    /// The lane.
    pub lane: LaneId,
    /// The form that its egress wants.
    pub form: Arc<dyn DeadLetterForm>,
}

/// Brings a dead letter into the form of its egress.
pub trait DeadLetterForm: fmt::Debug + Send + Sync {
    /// The record. The same letter gives the same record: the engine is deterministic.
    fn record(&self, letter: &DeadLetter) -> Bytes;
}

impl Engine {
    /// Takes the first invocation out, with the failure that it was in.
    pub(crate) fn take_out(&mut self, slot: Slot, route: Option<&DeadLetterRoute>, decided_by: DecidedBy) {
        let cell = &self.cells[slot];
        let Some(first) = cell.mailbox.head().front() else { return };
        let failure = cell.failure.as_ref();
        let letter = DeadLetter {
            target: cell.address.clone(),
            sequence: first.sequence,
            invocation: first.invocation.clone(),
            code: failure.map_or(Cow::Borrowed("MP3020"), |failure| failure.code.clone()),
            error: failure.map_or_else(|| "a person took it out".into(), |failure| failure.error.clone()),
            attempts: failure.map_or(0, |failure| failure.attempts),
            first_failure: failure.map_or(self.now, |failure| failure.since),
            time: self.now,
            decided_by,
        };
        self.end_failure(slot);
        let cell = &mut self.cells[slot];
        cell.batch = 0;
        cell.attempts = 0;
        cell.incomplete_rounds = 0;
        let metrics = &mut self.functions[cell.function].metrics;
        match route {
            Some(_) => metrics.dead_letters += 1,
            None => metrics.dropped += 1,
        }
        self.finish(slot, 1);
        if let Some(DeadLetterRoute { lane, form }) = route {
            let record = form.record(&letter);
            self.delta.changed(record.len(), self.now);
            self.delta.hurry();
            self.lanes[lane.0 as usize].push(record, letter.invocation.event_time);
        }
        let lane = route.map(|route| route.lane);
        self.notice(Notice::GivenUp { letter: Box::new(letter), lane });
    }

    /// What is left behind an invocation that was taken out gets its turn.
    pub(crate) fn go_on_behind(&mut self, slot: Slot) {
        self.go_on(slot);
        if self.cells[slot].phase == Phase::Idle {
            self.probe_again(self.cells[slot].function);
        }
    }

    /// The budget is used up and the last word was a rejection: what the policy does. False when it parks.
    pub(crate) fn give_up(&mut self, slot: Slot) -> bool {
        let Some(endpoint) = self.endpoint_of(slot) else { return false };
        let (policy, route) = (endpoint.failure_policy, endpoint.dead_letters.clone());
        match (policy, route) {
            (FailurePolicy::Drop, _) => self.take_out(slot, None, DecidedBy::Policy),
            (FailurePolicy::DeadLetter, Some(route)) => self.take_out(slot, Some(&route), DecidedBy::Policy),
            (FailurePolicy::DeadLetter, None) | (FailurePolicy::Park, _) => return false,
        }
        self.go_on_behind(slot);
        true
    }
}
