//! What the driver tells the publisher.

use std::sync::Arc;

use bytes::Bytes;

use crate::{Offset, Sequence, Session};

/// One thing that happened.
#[derive(Debug, Clone)]
pub enum Input {
    /// The lineage of the last [`Output::Claim`](crate::Output::Claim) is durable.
    Claimed,
    /// Records up to and including `upto` are durable: the engine's `Publish`.
    Durable {
        /// The highest durable number.
        upto: Sequence,
        /// The checkpoint that made it so.
        checkpoint: u64,
    },
    /// `init_transactions` returned without an error.
    Opened(Session),
    /// The high watermark of the cursor topic.
    EndOffset {
        /// Who asked.
        session: Session,
        /// One more than the last offset.
        offset: Offset,
    },
    /// The last cursor record in the range that was asked for.
    Cursor {
        /// Who asked.
        session: Session,
        /// Its offset and value; `None` when there is none.
        found: Option<(Offset, Bytes)>,
    },
    /// Records of the outbox.
    Fetched {
        /// Who asked.
        session: Session,
        /// Numbers and records, without a gap, from the first one that was asked for.
        records: Vec<(Sequence, Bytes)>,
    },
    /// A delivery report, or an error that `send` returned at once.
    Delivered {
        /// Who sent.
        session: Session,
        /// What was sent.
        item: Item,
        /// What became of it.
        delivery: Delivery,
    },
    /// `commit_transaction` returned without an error.
    Committed(Session),
    /// A call, or the client as a whole, failed.
    Failed {
        /// Whose.
        session: Session,
        /// How.
        failure: Failure,
    },
    /// The client reported a transport or time-out event.
    Disturbed {
        /// Whose.
        session: Session,
        /// Its words.
        error: Arc<str>,
    },
    /// The dead letter of a refused record is durable.
    Recorded(Sequence),
    /// Time passed.
    Tick,
    /// End the open transaction and begin no other one; ends in [`Output::Stopped`](crate::Output::Stopped).
    Stop,
}

/// What was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Item {
    /// A record of the outbox.
    Record(Sequence),
    /// The cursor record.
    Cursor,
}

/// What became of something sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Delivery {
    /// It is in the log, as a part of the open transaction.
    Done,
    /// The broker will never take it: too large, invalid topic, invalid record.
    Refused {
        /// The broker's words.
        error: Arc<str>,
    },
    /// Nobody knows, or it would be taken another time.
    Failed(Failure),
}

/// Why something failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Which kind it is.
    pub kind: FailureKind,
    /// The client's words.
    pub error: Arc<str>,
}

/// Kinds of failure. All of them end in a new producer; a log tells them apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FailureKind {
    /// Another producer took the transactional id, or the coordinator ended a transaction that took too long.
    Fenced,
    /// The client cannot be used any more.
    Fatal,
    /// Anything else: time-outs, lost connections, errors that a new transaction may be spared.
    Transient,
}
