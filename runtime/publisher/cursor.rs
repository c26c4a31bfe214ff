//! The cursor record: how far the outbox has come, written by the transaction that moves it.
//!
//! 41 bytes, numbers big-endian: format (1), ledger id (16), incarnation (8), sequence (8), checkpoint (8).

use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::Sequence;

/// Bytes of a cursor record's value.
pub const CURSOR_BYTES: usize = 41;

const FORMAT: u8 = 1;

/// How far an outbox has come, and who says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor {
    /// The ledger that the outbox belongs to.
    pub ledger: u128,
    /// The start that wrote it.
    pub incarnation: u64,
    /// Every record up to this one is published, or has a dead letter.
    pub sequence: Sequence,
    /// The last checkpoint that was known to be durable then. For people; nothing is decided by it.
    pub checkpoint: u64,
}

/// Why bytes are no cursor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CursorUnreadable {
    /// Written in a format that is not known here.
    Format(u8),
    /// So many bytes instead of [`CURSOR_BYTES`].
    Length(usize),
}

impl std::fmt::Display for CursorUnreadable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            CursorUnreadable::Format(format) => write!(f, "format {format} is not known, {FORMAT} is"),
            CursorUnreadable::Length(length) => write!(f, "{length} bytes long instead of {CURSOR_BYTES}"),
        }
    }
}

impl std::error::Error for CursorUnreadable {}

impl Cursor {
    /// The value of the record.
    pub fn encode(&self) -> Bytes {
        let mut bytes = BytesMut::with_capacity(CURSOR_BYTES);
        bytes.put_u8(FORMAT);
        bytes.put_u128(self.ledger);
        bytes.put_u64(self.incarnation);
        bytes.put_u64(self.sequence);
        bytes.put_u64(self.checkpoint);
        bytes.freeze()
    }

    /// Reads a value back.
    ///
    /// # Errors
    /// The bytes are no cursor of this format.
    pub fn decode(mut bytes: &[u8]) -> Result<Cursor, CursorUnreadable> {
        if let Some(format) = bytes.first().filter(|format| **format != FORMAT) {
            return Err(CursorUnreadable::Format(*format));
        }
        if bytes.len() != CURSOR_BYTES {
            return Err(CursorUnreadable::Length(bytes.len()));
        }
        bytes.advance(1);
        Ok(Cursor {
            ledger: bytes.get_u128(),
            incarnation: bytes.get_u64(),
            sequence: bytes.get_u64(),
            checkpoint: bytes.get_u64(),
        })
    }
}
