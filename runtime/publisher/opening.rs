//! Start and doubt: a new producer, and where it goes on.
//!
//! The order is everything. `init_transactions` first: it ends every transaction of the producers before, so that the cursor
//! cannot move behind our back. Then the end offset, read uncommitted: a transaction of another egress that is open in the
//! cursor topic hides what lies above it from a reader of committed data, and must not hide it from us. Then the cursor, read
//! committed up to there: what an aborted transaction said does not count.
//!
//! A transaction that nobody ends (brokers before 3.6 can be left with one) would hold that reader back for ever. If it is
//! ours, the marker of our next transaction in that topic ends it. So behind a search that failed comes a sweep: a
//! transaction with nothing but a cursor, which is given up as any other one in doubt, and never committed.

use std::sync::Arc;

use bytes::Bytes;

use crate::publisher::{Publisher, State};
use crate::{Cursor, Failure, FailureKind, Halt, Isolation, Millis, Notice, Offset, Output, Session};

/// How far a producer has come.
#[derive(Debug)]
pub(crate) enum Opening {
    /// It waits for `init_transactions`.
    Initialising,
    /// For the report of a cursor that will be aborted.
    Sweeping,
    /// For the end offset.
    Measuring,
    /// For the cursor below this offset.
    Reading { upto: Offset },
}

impl Publisher {
    pub(crate) fn claimed(&mut self) {
        if matches!(self.state, State::Claiming) {
            self.state = State::Resting { until: self.now };
        }
    }

    pub(crate) fn open(&mut self) {
        self.session = Session(self.session.0 + 1);
        self.state = State::Opening(Opening::Initialising);
        self.outputs.push_back(Output::Open(self.session));
    }

    pub(crate) fn opened(&mut self) {
        if !matches!(self.state, State::Opening(Opening::Initialising)) {
            return;
        }
        let session = self.session;
        if std::mem::take(&mut self.unread) {
            self.state = State::Opening(Opening::Sweeping);
            self.outputs.push_back(Output::Begin(session));
            self.outputs.push_back(Output::SendCursor { session, cursor: self.cursor(self.confirmed) });
            return;
        }
        self.state = State::Opening(Opening::Measuring);
        self.outputs.push_back(Output::EndOffset { session, isolation: Isolation::Uncommitted });
    }

    /// The cursor that will be aborted is there, or not; the next producer has it aborted.
    pub(crate) fn swept(&mut self) {
        self.reopen(0, None, "an open transaction of ours may hold the cursor back".into());
    }

    pub(crate) fn measured(&mut self, upto: Offset) {
        if matches!(self.state, State::Opening(Opening::Measuring)) {
            self.read(upto);
        }
    }

    fn read(&mut self, upto: Offset) {
        self.state = State::Opening(Opening::Reading { upto });
        let (session, from) = (self.session, self.cursor_offset);
        if from >= upto {
            return self.found(None);
        }
        self.outputs.push_back(Output::ReadCursor { session, from, upto, isolation: Isolation::Committed });
    }

    pub(crate) fn found(&mut self, found: Option<(Offset, Bytes)>) {
        let State::Opening(Opening::Reading { upto }) = self.state else { return };
        if found.is_none() && self.cursor_offset > 0 {
            // Another topic of that name: what we remember of the old one means nothing here.
            self.cursor_offset = 0;
            return self.read(upto);
        }
        match self.go_on_from(found) {
            Ok(()) => {
                self.state = State::Idle;
                self.outputs.push_back(Output::Notice(Notice::Ready { published: self.confirmed }));
            }
            Err(halt) => {
                self.outputs.push_back(Output::Close(self.session));
                self.outputs.push_back(Output::Halt(halt));
                self.state = State::Ended;
            }
        }
    }

    /// Go on after max(cursor, confirmed), if that cursor is one of ours.
    fn go_on_from(&mut self, found: Option<(Offset, Bytes)>) -> Result<(), Halt> {
        let Some((offset, value)) = found else { return self.go_on_without() };
        let cursor = Cursor::decode(&value).map_err(Halt::Unreadable)?;
        if cursor.ledger != self.ledger {
            return Err(Halt::Foreign { ledger: cursor.ledger });
        }
        if self.lineage.judge(&cursor)? {
            self.outputs.push_back(Output::Claim(self.lineage.starts()));
        }
        self.cursor_offset = offset;
        self.confirm(cursor.sequence);
        Ok(())
    }

    fn go_on_without(&mut self) -> Result<(), Halt> {
        let confirmed = self.confirmed;
        if confirmed > 0 && !self.accept_missing_cursor {
            return Err(Halt::Missing { confirmed });
        }
        if confirmed > 0 {
            self.outputs.push_back(Output::Notice(Notice::CursorAccepted { confirmed }));
        }
        Ok(())
    }

    pub(crate) fn failed(&mut self, failure: Failure) {
        self.unread |= matches!(self.state, State::Opening(Opening::Reading { .. } | Opening::Sweeping));
        match self.state {
            State::Opening(_) | State::Idle | State::Fetching | State::Open(_) => {
                self.doubt(Some(failure.kind), failure.error);
            }
            State::Claiming | State::Resting { .. } | State::Ended => {}
        }
    }

    /// Outside a transaction nothing is on its way that could be carried out twice.
    pub(crate) fn disturbed(&mut self, error: Arc<str>) {
        if matches!(self.state, State::Open(_)) {
            self.doubt(None, error);
        }
    }

    /// Gives the producer up. Its transaction stays open: see the head of the crate.
    pub(crate) fn doubt(&mut self, kind: Option<FailureKind>, error: Arc<str>) {
        let pause = self.pause();
        self.attempts = self.attempts.saturating_add(1);
        self.reopen(pause, kind, error);
    }

    /// A new producer after a pause.
    pub(crate) fn reopen(&mut self, next_ms: Millis, kind: Option<FailureKind>, error: Arc<str>) {
        self.outputs.push_back(Output::Close(self.session));
        self.outputs.push_back(Output::Notice(Notice::Doubt { attempt: self.attempts, next_ms, kind, error }));
        let state = std::mem::replace(&mut self.state, State::Resting { until: self.now.saturating_add(next_ms) });
        if let State::Open(transaction) = state {
            self.refuse(transaction);
        }
    }

    /// Twice as long each time, between half of it and all of it: two copies of a directory must not keep step.
    fn pause(&self) -> Millis {
        let doubled = self.limits.backoff_ms_min.saturating_mul(1 << self.attempts.min(30));
        let pause = doubled.min(self.limits.backoff_ms_max);
        let dice = (self.incarnation ^ self.session.0).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        pause / 2 + dice % (pause / 2 + 1)
    }
}
