//! The lineage: which starts wrote to this outbox, and what each of them found in it.
//!
//! A cursor counts only where its writer is one of our own starts, and only up to what the outbox held when the start behind
//! it began: what was added later is not what that writer published. An older state of a directory, or a copy, fails one of
//! the two, now and at every later start, however much was added meanwhile. The ledger holds a claim before it holds
//! anything else of that start, so no record is ever counted to an earlier one.

use crate::cursor::Cursor;
use crate::{Halt, Sequence};

/// One start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Incarnation {
    /// Its id.
    pub id: u64,
    /// The highest number in the outbox when it began.
    pub after: Sequence,
}

/// Our starts, oldest first; the last one is this one. There is always that one.
#[derive(Debug)]
pub(crate) struct Lineage {
    starts: Vec<Incarnation>,
    /// The highest number that this start put into a cursor.
    attempted: Sequence,
}

impl Lineage {
    pub(crate) fn new(mut starts: Vec<Incarnation>, id: u64, after: Sequence) -> Lineage {
        starts.push(Incarnation { id, after });
        Lineage { starts, attempted: 0 }
    }

    pub(crate) fn starts(&self) -> Vec<Incarnation> {
        self.starts.clone()
    }

    /// This start is about to claim records up to `sequence`.
    pub(crate) fn attempt(&mut self, sequence: Sequence) {
        self.attempted = self.attempted.max(sequence);
    }

    /// Whether we may go on from this cursor. Then the starts before its writer are forgotten, because no cursor of theirs
    /// can come any more; true when there were some.
    pub(crate) fn judge(&mut self, cursor: &Cursor) -> Result<bool, Halt> {
        let writer = self.starts.iter().rposition(|start| start.id == cursor.incarnation);
        let Some(writer) = writer else { return Err(Halt::Unknown { incarnation: cursor.incarnation }) };
        let outbox = self.starts.get(writer + 1).map_or(self.attempted, |next| next.after);
        if cursor.sequence > outbox {
            return Err(Halt::Ahead { cursor: cursor.sequence, outbox });
        }
        self.starts.drain(..writer);
        Ok(writer > 0)
    }
}
