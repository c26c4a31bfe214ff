//! One transaction: records of the outbox, and the cursor that says so.
//!
//! It is opened late, with its records in hand, and lives for one round trip or two. The cursor is a part of it: both are
//! seen, or neither. It is committed when every report is in, and confirmed when the commit was answered in time.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;

use crate::opening::Opening;
use crate::publisher::{Publisher, State};
use crate::{Cursor, Delivery, Item, Millis, Output, Sequence};

/// An open transaction.
#[derive(Debug)]
pub(crate) struct Transaction {
    /// The cursor's number: everything up to it is in here, has a dead letter, or was published before.
    pub(crate) upto: Sequence,
    /// Records in here.
    pub(crate) records: usize,
    /// What was sent and has no report yet.
    waiting: BTreeSet<Item>,
    /// Records that the broker refused.
    pub(crate) refused: Vec<(Sequence, Arc<str>)>,
    /// When the commit was asked for.
    committing: Option<Millis>,
}

impl Publisher {
    /// Asks for records, if there are any to be published.
    pub(crate) fn fetch(&mut self) {
        if self.confirmed >= self.durable || self.refusals.unrecorded() {
            return;
        }
        self.state = State::Fetching;
        self.outputs.push_back(Output::Fetch {
            session: self.session,
            after: self.confirmed,
            upto: self.durable,
            records: self.limits.transaction_records,
            bytes: self.limits.transaction_bytes,
        });
    }

    /// Begins a transaction with these records, or with as many of them as may go together.
    pub(crate) fn fetched(&mut self, records: Vec<(Sequence, Bytes)>) {
        if !matches!(self.state, State::Fetching) {
            return;
        }
        let session = self.session;
        self.outputs.push_back(Output::Begin(session));
        let mut waiting = BTreeSet::from([Item::Cursor]);
        let mut upto = self.confirmed;
        for (sequence, record) in records {
            assert_eq!(sequence, upto + 1, "the outbox has no gap");
            let alone = self.refusals.goes_alone(sequence);
            if alone && waiting.len() > 1 {
                break;
            }
            upto = sequence;
            if self.refusals.passed_over(sequence) {
                continue;
            }
            waiting.insert(Item::Record(sequence));
            self.outputs.push_back(Output::Send { session, sequence, record });
            if alone {
                break;
            }
        }
        assert!(upto > self.confirmed, "what is durable is in the outbox");
        self.lineage.attempt(upto);
        self.outputs.push_back(Output::SendCursor { session, cursor: self.cursor(upto) });
        let records = waiting.len() - 1;
        self.state = State::Open(Transaction { upto, records, waiting, refused: Vec::new(), committing: None });
    }

    /// The value of the cursor record that claims everything up to here.
    pub(crate) fn cursor(&self, sequence: Sequence) -> Bytes {
        let (ledger, incarnation, checkpoint) = (self.ledger, self.incarnation, self.checkpoint);
        Cursor { ledger, incarnation, sequence, checkpoint }.encode()
    }

    pub(crate) fn delivered(&mut self, item: Item, delivery: Delivery) {
        if matches!(self.state, State::Opening(Opening::Sweeping)) {
            return self.swept();
        }
        let State::Open(transaction) = &mut self.state else { return };
        if !transaction.waiting.remove(&item) {
            return;
        }
        match (item, delivery) {
            (_, Delivery::Done) => {}
            (Item::Record(sequence), Delivery::Refused { error }) => transaction.refused.push((sequence, error)),
            // Nobody but an operator can mend the cursor topic; until then it is tried again.
            (Item::Cursor, Delivery::Refused { error }) => return self.doubt(None, error),
            (_, Delivery::Failed(failure)) => return self.doubt(Some(failure.kind), failure.error),
        }
        if !transaction.waiting.is_empty() {
            return;
        }
        if transaction.refused.is_empty() {
            transaction.committing = Some(self.now);
            self.outputs.push_back(Output::Commit(self.session));
        } else {
            self.reopen(0, None, "the broker refuses a record".into());
        }
    }

    /// The commit was answered. One that took long may have been asked for twice, and the second one may still be on its way.
    pub(crate) fn committed(&mut self) {
        let State::Open(Transaction { upto, committing: Some(since), .. }) = self.state else { return };
        if self.now - since > self.limits.commit_ms {
            return self.doubt(None, "the commit took too long".into());
        }
        self.state = State::Idle;
        self.attempts = 0;
        self.confirm(upto);
    }

    /// Everything up to here is published for good.
    pub(crate) fn confirm(&mut self, upto: Sequence) {
        if upto > self.confirmed {
            self.confirmed = upto;
            self.refusals.confirmed(upto);
            self.outputs.push_back(Output::Confirm { upto });
        }
    }
}
