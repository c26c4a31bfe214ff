//! What the publisher asks the driver to do.

use std::sync::Arc;

use bytes::Bytes;

use crate::{CursorUnreadable, FailureKind, Incarnation, Millis, Offset, Sequence, Session};

/// One thing to be done. The head of the crate says how each is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Make this the durable lineage.
    Claim(Vec<Incarnation>),
    /// A new producer.
    Open(Session),
    /// Drop the producer. Its transaction stays open; the next producer has it aborted.
    Close(Session),
    /// Where does the cursor topic end?
    EndOffset {
        /// Who asks.
        session: Session,
        /// Seen by whom.
        isolation: Isolation,
    },
    /// What is the last cursor record?
    ReadCursor {
        /// Who asks.
        session: Session,
        /// The offset to begin at; the beginning of the topic when that is later.
        from: Offset,
        /// The offset to end before.
        upto: Offset,
        /// Seen by whom.
        isolation: Isolation,
    },
    /// Read the outbox.
    Fetch {
        /// Who asks.
        session: Session,
        /// Records above this one,
        after: Sequence,
        /// up to this one,
        upto: Sequence,
        /// so many at most
        records: usize,
        /// and, beyond the first, so many bytes.
        bytes: usize,
    },
    /// Begin a transaction.
    Begin(Session),
    /// Send a record.
    Send {
        /// Whose.
        session: Session,
        /// Its number.
        sequence: Sequence,
        /// The record as the outbox has it.
        record: Bytes,
    },
    /// Send the cursor record.
    SendCursor {
        /// Whose.
        session: Session,
        /// Its value.
        cursor: Bytes,
    },
    /// Commit the transaction.
    Commit(Session),
    /// Records up to and including this one are published for good: the engine's `Freed`.
    Confirm {
        /// The highest of them.
        upto: Sequence,
    },
    /// The broker refuses this record for good: the dead-letter route takes it.
    Refused {
        /// Its number.
        sequence: Sequence,
        /// The broker's words.
        error: Arc<str>,
    },
    /// Something a person may want to read in the log.
    Notice(Notice),
    /// Nothing may be published from this directory: the process stops and says so.
    Halt(Halt),
    /// Nothing is open; nothing comes any more.
    Stopped,
}

/// `isolation.level` of a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Isolation {
    /// `read_uncommitted`: the end of a partition is the end of its log.
    Uncommitted,
    /// `read_committed`: the end of a partition is below the first open transaction.
    Committed,
}

/// Why nothing may be published from this directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Halt {
    /// The cursor was written by a start that this ledger does not know: another copy of the directory has published.
    Unknown {
        /// That start.
        incarnation: u64,
    },
    /// The cursor is ahead of what the outbox held then: this is an older state of the directory.
    Ahead {
        /// The cursor.
        cursor: Sequence,
        /// The most that its writer can have published.
        outbox: Sequence,
    },
    /// Records are confirmed, but the cursor topic has no cursor.
    Missing {
        /// The highest confirmed one.
        confirmed: Sequence,
    },
    /// There is a cursor, but it cannot be read.
    Unreadable(CursorUnreadable),
    /// The cursor under our key is that of another ledger.
    Foreign {
        /// That ledger.
        ledger: u128,
    },
}

impl Halt {
    /// Its code.
    pub fn code(&self) -> &'static str {
        match self {
            Halt::Unknown { .. } | Halt::Ahead { .. } => "MP6020",
            Halt::Missing { .. } => "MP6021",
            Halt::Unreadable(_) | Halt::Foreign { .. } => "MP6022",
        }
    }
}

impl std::fmt::Display for Halt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Halt::Unknown { incarnation } => {
                write!(f, "ledger is a stale copy: start {incarnation:016x}, which it does not know, has published")
            }
            Halt::Ahead { cursor, outbox } => {
                write!(f, "ledger is a stale copy: record {cursor} is published, its outbox ended at {outbox}")
            }
            Halt::Missing { confirmed } => {
                write!(f, "cursor topic has no cursor, though records up to {confirmed} are confirmed")
            }
            Halt::Unreadable(cause) => write!(f, "cursor cannot be read: {cause}"),
            Halt::Foreign { ledger } => write!(f, "cursor belongs to ledger {ledger:032x}"),
        }
    }
}

/// Something a person may want to read in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// A producer is in doubt: a new one is opened.
    Doubt {
        /// Failures since the last commit.
        attempt: u32,
        /// Milliseconds until the new one.
        next_ms: Millis,
        /// What kind of failure it was; `None` for an event, a slow commit or a refused record.
        kind: Option<FailureKind>,
        /// What happened.
        error: Arc<str>,
    },
    /// A producer is ready behind this record.
    Ready {
        /// The last one that is published.
        published: Sequence,
    },
    /// There was no cursor, and an operator let that pass.
    CursorAccepted {
        /// Publishing goes on behind this record.
        confirmed: Sequence,
    },
}
