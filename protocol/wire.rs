//! A cursor over the fields of a protobuf message.
//!
//! What comes in: bytes from outside. What goes out: keys and values in order, as slices of those bytes, or the first
//! [`Fault`]. It accepts what the generated types accept: a field number that it is asked to skip may hold anything well
//! formed, a known one of another wire type is a fault, and groups nest [`DEPTH_MAX`] deep, messages included.

use std::fmt;

use prost::encoding::{WireType, decode_key, decode_varint};

/// How deep messages and unknown groups may nest, counted from the outermost message; protobuf's usual limit.
const DEPTH_MAX: u32 = 100;

/// A message that is being read.
pub(crate) struct Message<'a> {
    rest: &'a [u8],
    depth_left: u32,
}

/// Number and wire type of a field.
pub(crate) type Key = (u32, WireType);

impl<'a> Message<'a> {
    /// The outermost message.
    pub(crate) fn outermost(bytes: &'a [u8]) -> Message<'a> {
        Message { rest: bytes, depth_left: DEPTH_MAX }
    }

    /// The bytes that are still to be read.
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// The key of the next field; `None` at the end of the message.
    pub(crate) fn next(&mut self) -> Result<Option<Key>, Fault> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        decode_key(&mut self.rest).map(Some).map_err(|_| Fault::new("has a field key that is not protobuf"))
    }

    pub(crate) fn varint(&mut self, wire_type: WireType) -> Result<u64, Fault> {
        expect(WireType::Varint, wire_type)?;
        self.raw_varint()
    }

    pub(crate) fn bytes(&mut self, wire_type: WireType) -> Result<&'a [u8], Fault> {
        expect(WireType::LengthDelimited, wire_type)?;
        let len = self.raw_varint()?;
        self.take(len)
    }

    pub(crate) fn text(&mut self, wire_type: WireType) -> Result<&'a str, Fault> {
        std::str::from_utf8(self.bytes(wire_type)?).map_err(|_| Fault::new("is not UTF-8"))
    }

    pub(crate) fn message(&mut self, wire_type: WireType) -> Result<Message<'a>, Fault> {
        let rest = self.bytes(wire_type)?;
        let depth_left = self.depth_left.checked_sub(1).ok_or(Fault::new(TOO_DEEP))?;
        Ok(Message { rest, depth_left })
    }

    /// Passes over a field that the reader does not know.
    pub(crate) fn skip(&mut self, key: Key) -> Result<(), Fault> {
        self.skip_at(key, self.depth_left).map_err(|fault| fault.within(&format!("field {}", key.0)))
    }

    fn skip_at(&mut self, (number, wire_type): Key, depth_left: u32) -> Result<(), Fault> {
        let inner = depth_left.checked_sub(1).ok_or(Fault::new(TOO_DEEP))?;
        match wire_type {
            WireType::Varint => self.raw_varint().map(drop),
            WireType::SixtyFourBit => self.take(8).map(drop),
            WireType::ThirtyTwoBit => self.take(4).map(drop),
            WireType::LengthDelimited => self.bytes(wire_type).map(drop),
            WireType::StartGroup => loop {
                match self.next()?.ok_or(Fault::new(CUT_SHORT))? {
                    (end, WireType::EndGroup) if end == number => return Ok(()),
                    key => self.skip_at(key, inner)?,
                }
            },
            WireType::EndGroup => Err(Fault::new("ends a group that was not begun")),
        }
    }

    fn raw_varint(&mut self) -> Result<u64, Fault> {
        decode_varint(&mut self.rest).map_err(|_| Fault::new("is cut short, or a number is over 64 bits"))
    }

    fn take(&mut self, len: u64) -> Result<&'a [u8], Fault> {
        let (taken, rest) =
            usize::try_from(len).ok().and_then(|len| self.rest.split_at_checked(len)).ok_or(Fault::new(CUT_SHORT))?;
        self.rest = rest;
        Ok(taken)
    }
}

const CUT_SHORT: &str = "is cut short";
const TOO_DEEP: &str = "nests too deep";

fn expect(expected: WireType, actual: WireType) -> Result<(), Fault> {
    if expected == actual { Ok(()) } else { Err(Fault::new("has the wrong wire type")) }
}

/// Where the bytes stop being the message they should be, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) struct Fault {
    path: String,
    reason: &'static str,
}

impl Fault {
    pub(crate) const fn new(reason: &'static str) -> Fault {
        Fault { path: String::new(), reason }
    }

    fn within(mut self, field: &str) -> Fault {
        let separator = if self.path.is_empty() { "" } else { "." };
        self.path = format!("{field}{separator}{}", self.path);
        self
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.path.as_str() {
            "" => write!(f, "the message {}", self.reason),
            path => write!(f, "`{path}` {}", self.reason),
        }
    }
}

/// Names the field in which a fault was found, from the inside out.
pub(crate) trait At: Sized {
    /// The fault is in this field.
    fn at(self, field: &'static str) -> Self;
    /// The fault is in this entry of a repeated field.
    fn at_entry(self, field: &'static str, index: usize) -> Self;
}

impl<T> At for Result<T, Fault> {
    fn at(self, field: &'static str) -> Self {
        self.map_err(|fault| fault.within(field))
    }

    fn at_entry(self, field: &'static str, index: usize) -> Self {
        self.map_err(|fault| fault.within(&format!("{field}[{index}]")))
    }
}
