//! The publisher itself: its parts, and what happens to each input.
//!
//! What comes in: [`Input`]s with their time. What goes out: [`Output`]s, in order. Who owns the state: this struct, all of
//! it; every other file here is a part of it or an `impl` block about one idea.

use std::collections::VecDeque;

use crate::lineage::Lineage;
use crate::opening::Opening;
use crate::refusal::Refusals;
use crate::transaction::Transaction;
use crate::{Config, Input, Limits, Millis, Offset, Output, Sequence, Session};

/// The state machine. Its contract is the head of this crate.
#[derive(Debug)]
pub struct Publisher {
    pub(crate) ledger: u128,
    pub(crate) incarnation: u64,
    pub(crate) lineage: Lineage,
    pub(crate) accept_missing_cursor: bool,
    pub(crate) limits: Limits,
    /// The highest time seen.
    pub(crate) now: Millis,
    pub(crate) state: State,
    /// The producer now, or the last one.
    pub(crate) session: Session,
    /// Failures since the last commit.
    pub(crate) attempts: u32,
    /// Where the last cursor was found: where the next search begins.
    pub(crate) cursor_offset: Offset,
    /// The last search for it failed.
    pub(crate) unread: bool,
    /// The highest durable number, and the checkpoint that made it so.
    pub(crate) durable: Sequence,
    pub(crate) checkpoint: u64,
    /// The highest number that is known to be committed.
    pub(crate) confirmed: Sequence,
    pub(crate) refusals: Refusals,
    pub(crate) stopping: bool,
    pub(crate) outputs: VecDeque<Output>,
}

/// What the publisher waits for.
#[derive(Debug)]
pub(crate) enum State {
    /// For its lineage to be durable.
    Claiming,
    /// For a time, then it opens a producer.
    Resting { until: Millis },
    /// For a producer that knows where to go on.
    Opening(Opening),
    /// For something durable to publish.
    Idle,
    /// For records of the ledger.
    Fetching,
    /// For the reports or the commit of a transaction.
    Open(Transaction),
    /// For nothing, for good.
    Ended,
}

/// A publisher at a glance, for an operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct View {
    /// What it does.
    pub phase: Phase,
    /// The highest durable number.
    pub durable: Sequence,
    /// The highest confirmed number.
    pub confirmed: Sequence,
    /// Failures since the last commit.
    pub attempts: u32,
    /// Producers opened so far.
    pub sessions: u64,
}

/// What a publisher does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// It has no producer that may publish yet.
    Opening,
    /// It waits after a failure.
    Resting,
    /// It waits for records.
    Idle,
    /// It publishes.
    Publishing,
    /// It stopped, or may not publish.
    Ended,
}

impl Publisher {
    /// A publisher that goes on where the ledger says. Its first output claims its incarnation.
    ///
    /// # Panics
    /// More is confirmed than durable, or the incarnation was used before: the driver's ledger is broken.
    pub fn new(config: Config) -> Publisher {
        assert!(config.confirmed <= config.durable, "what is confirmed was durable");
        let used = config.lineage.iter().any(|start| start.id == config.incarnation);
        assert!(!used, "an incarnation is used once");
        let lineage = Lineage::new(config.lineage, config.incarnation, config.durable);
        let outputs = VecDeque::from([Output::Claim(lineage.starts())]);
        Publisher {
            ledger: config.ledger,
            incarnation: config.incarnation,
            lineage,
            accept_missing_cursor: config.accept_missing_cursor,
            limits: config.limits,
            now: 0,
            state: State::Claiming,
            session: Session(0),
            attempts: 0,
            cursor_offset: 0,
            unread: false,
            durable: config.durable,
            checkpoint: config.checkpoint,
            confirmed: config.confirmed,
            refusals: Refusals::new(config.refused),
            stopping: false,
            outputs,
        }
    }

    /// Takes one input in. Drain [`Publisher::poll`] before the next one.
    pub fn handle(&mut self, now: Millis, input: Input) {
        self.now = self.now.max(now);
        if matches!(self.state, State::Ended) {
            return;
        }
        match input {
            Input::Claimed => self.claimed(),
            Input::Durable { upto, checkpoint } => {
                self.durable = self.durable.max(upto);
                self.checkpoint = self.checkpoint.max(checkpoint);
            }
            Input::Recorded(sequence) => self.refusals.recorded(sequence),
            Input::Tick => {}
            Input::Stop => self.stopping = true,
            Input::Opened(session)
            | Input::EndOffset { session, .. }
            | Input::Cursor { session, .. }
            | Input::Fetched { session, .. }
            | Input::Delivered { session, .. }
            | Input::Committed(session)
            | Input::Failed { session, .. }
            | Input::Disturbed { session, .. } => {
                if session == self.session {
                    self.answered(input);
                }
            }
        }
        self.proceed();
    }

    /// Something about the producer of now. In a state that does not wait for it, it has no effect.
    fn answered(&mut self, input: Input) {
        match input {
            Input::Opened(_) => self.opened(),
            Input::EndOffset { offset, .. } => self.measured(offset),
            Input::Cursor { found, .. } => self.found(found),
            Input::Fetched { records, .. } => self.fetched(records),
            Input::Delivered { item, delivery, .. } => self.delivered(item, delivery),
            Input::Committed(_) => self.committed(),
            Input::Failed { failure, .. } => self.failed(failure),
            Input::Disturbed { error, .. } => self.disturbed(error),
            _ => {}
        }
    }

    /// Goes as far as it can without an answer.
    fn proceed(&mut self) {
        match self.state {
            State::Claiming | State::Resting { .. } | State::Idle if self.stopping => self.stop(),
            State::Resting { until } if until <= self.now => self.open(),
            State::Idle => self.fetch(),
            _ => {}
        }
    }

    fn stop(&mut self) {
        if matches!(self.state, State::Idle) {
            self.outputs.push_back(Output::Close(self.session));
        }
        self.outputs.push_back(Output::Stopped);
        self.state = State::Ended;
    }

    /// The next thing to be done; `None` when the publisher waits.
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When the publisher wants an [`Input::Tick`] if nothing else happens before.
    pub fn wake_at(&self) -> Option<Millis> {
        match self.state {
            State::Resting { until } => Some(until),
            _ => None,
        }
    }

    /// What an operator sees.
    pub fn view(&self) -> View {
        let phase = match self.state {
            State::Claiming | State::Opening(_) => Phase::Opening,
            State::Resting { .. } => Phase::Resting,
            State::Idle => Phase::Idle,
            State::Fetching | State::Open(_) => Phase::Publishing,
            State::Ended => Phase::Ended,
        };
        View {
            phase,
            durable: self.durable,
            confirmed: self.confirmed,
            attempts: self.attempts,
            sessions: self.session.0,
        }
    }
}
