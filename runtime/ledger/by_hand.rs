//! The three records that a checkpoint has by the thousand, written straight from the engine's values: filling a message would
//! take several allocations each. Read back they are the messages of `records.rs`; tests hold the two ways against each other.

use std::ops::Range;

use bytes::Bytes;
use millpond_engine::{Invocation, StateValue};

use super::LedgerError;
use super::records::corrupt;

/// Writes the [`StateRecord`](super::records::StateRecord) of a value in place of what is in `into`.
pub fn encode_state(value: &StateValue, into: &mut Vec<u8>) {
    into.clear();
    put_number(into, 1, value.written);
    put_bytes(into, 2, value.typename.namespace().as_bytes());
    put_bytes(into, 3, value.typename.name().as_bytes());
    put_bytes(into, 4, &value.value);
}

/// Writes the [`PendingRecord`](super::records::PendingRecord) of an invocation in place of what is in `into`.
pub fn encode_pending(invocation: &Invocation, into: &mut Vec<u8>) {
    into.clear();
    put_number(into, 1, invocation.arrived);
    if let Some(caller) = &invocation.caller {
        let texts = [caller.function.namespace(), caller.function.name(), &caller.id];
        let length = |text: &str| 1 + varint_bytes(text.len() as u64) + text.len();
        into.push(2 << 3 | BYTES);
        put_varint(into, texts.iter().filter(|text| !text.is_empty()).map(|text| length(text) as u64).sum());
        for (field, text) in (1..).zip(texts) {
            put_bytes(into, field, text.as_bytes());
        }
    }
    put_bytes(into, 3, &invocation.argument);
}

/// Writes the [`OutboxRecord`](super::records::OutboxRecord) of these records in place of what is in `into`.
pub fn encode_outbox(records: &[Bytes], into: &mut Vec<u8>) {
    into.clear();
    for record in records {
        into.push(1 << 3 | BYTES);
        put_varint(into, record.len() as u64);
        into.extend_from_slice(record);
    }
}

/// The form of a field that has a length.
const BYTES: u8 = 2;

/// Puts a number, unless it is 0.
fn put_number(into: &mut Vec<u8>, field: u8, number: u64) {
    if number != 0 {
        into.push(field << 3);
        put_varint(into, number);
    }
}

/// Puts bytes, unless there are none.
fn put_bytes(into: &mut Vec<u8>, field: u8, bytes: &[u8]) {
    if !bytes.is_empty() {
        into.push(field << 3 | BYTES);
        put_varint(into, bytes.len() as u64);
        into.extend_from_slice(bytes);
    }
}

fn put_varint(into: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        into.push(number as u8 | 0x80);
        number >>= 7;
    }
    into.push(number as u8);
}

fn varint_bytes(number: u64) -> usize {
    (64 - (number | 1).leading_zeros() as usize).div_ceil(7)
}

/// Where the records in an encoded [`OutboxRecord`](super::records::OutboxRecord) are, so that a part of them can be copied without the rest.
///
/// # Errors
/// [`LedgerError::Corrupt`] when the bytes are no such record.
pub fn outbox_ranges(key: &[u8], bytes: &[u8]) -> Result<Vec<Range<usize>>, LedgerError> {
    const RECORD: u64 = 1 << 3 | 2;
    const FIELDS: Range<u64> = 1..1 << 29;
    let torn = || corrupt(key, "it ends inside a record");
    let mut ranges = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let tag = varint(bytes, &mut at).ok_or_else(torn)?;
        let field = tag >> 3;
        if !FIELDS.contains(&field) || field == RECORD >> 3 && tag != RECORD {
            return Err(corrupt(key, "it has a field of no known form"));
        }
        let length = match tag & 7 {
            0 => varint(bytes, &mut at).map(|_| 0),
            1 => Some(8),
            2 => varint(bytes, &mut at).and_then(|length| usize::try_from(length).ok()),
            5 => Some(4),
            _ => return Err(corrupt(key, "it has a field of no known form")),
        };
        let end = length.and_then(|length| at.checked_add(length)).filter(|end| *end <= bytes.len());
        let end = end.ok_or_else(torn)?;
        if tag == RECORD {
            ranges.push(at..end);
        }
        at = end;
    }
    Ok(ranges)
}

fn varint(bytes: &[u8], at: &mut usize) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let byte = *bytes.get(*at)?;
        *at += 1;
        // The tenth byte has room for one bit.
        if shift == 63 && byte > 1 {
            return None;
        }
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use millpond_protocol::{Address, TypeName};
    use proptest::prelude::*;
    use prost::Message;

    use super::*;
    use crate::ledger::records::{AddressRecord, OutboxRecord, PendingRecord, StateRecord};

    proptest! {
        /// The ranges of an outbox record are its records, unknown fields of a later version notwithstanding.
        #[test]
        fn outbox_ranges_are_the_records(
            records in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..20),
        ) {
            let records: Vec<Bytes> = records.into_iter().map(Bytes::from).collect();
            let mut bytes = OutboxRecord { records: records.clone() }.encode_to_vec();
            bytes.extend([2 << 3, 0x96, 1]); // a number
            bytes.extend([3 << 3 | 2, 2, 7, 7]); // bytes
            bytes.extend([4 << 3 | 1, 1, 2, 3, 4, 5, 6, 7, 8]); // eight bytes
            bytes.extend([5 << 3 | 5, 1, 2, 3, 4]); // four bytes
            let read: Vec<Bytes> = outbox_ranges(b"", &bytes)?
                .into_iter()
                .map(|range| Bytes::copy_from_slice(&bytes[range]))
                .collect();
            prop_assert_eq!(read, records);
        }

        /// What is written by hand is what the message would have written.
        #[test]
        fn hands_write_as_messages_do(
            time: u64, texts in prop::array::uniform3("\\PC{0,9}|x{120,140}"), called: bool,
            bytes in prop::collection::vec(any::<u8>(), 0..300),
        ) {
            let bytes = Bytes::from(bytes);
            let [namespace, name, id] = texts;
            let mut written = vec![1, 2, 3];
            let typename = TypeName::new(&namespace, &name);
            encode_state(&StateValue { typename: typename.clone(), value: bytes.clone(), written: time }, &mut written);
            let record = StateRecord {
                written: time, namespace: namespace.clone(), name: name.clone(), value: bytes.clone(),
            };
            prop_assert_eq!(&written, &record.encode_to_vec());

            let caller = called.then(|| Address::new(typename, id.as_str()));
            encode_pending(&Invocation { caller, argument: bytes.clone(), arrived: time }, &mut written);
            let caller = called.then_some(AddressRecord { namespace, name, id });
            let record = PendingRecord { arrived: time, caller, argument: bytes.clone() };
            prop_assert_eq!(&written, &record.encode_to_vec());

            let records = vec![bytes, Bytes::new(), Bytes::from_static(b"x")];
            encode_outbox(&records, &mut written);
            prop_assert_eq!(&written, &OutboxRecord { records }.encode_to_vec());
        }

        /// Damaged bytes are an error or records, never a panic.
        #[test]
        fn damaged_outbox_records_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            let _ = outbox_ranges(b"", &bytes);
        }
    }

    /// What is no message is no outbox record: no field 0 and none beyond 2^29, no records that are numbers, no number of
    /// more than 64 bits.
    #[test]
    fn outbox_records_are_messages() {
        const MOST: [u8; 9] = [0xff; 9];
        for (bytes, sound) in [
            (&[1 << 3 | 2, 1, 7][..], true),
            (&[2 << 3, 7], true),
            (&[2], false),
            (&[1 << 3, 7], false),
            (&[1 << 3 | 5, 7, 7, 7, 7], false),
            (&[&[2 << 3], &MOST[..], &[1]].concat(), true),
            (&[&[2 << 3], &MOST[..], &[2]].concat(), false),
            (&[0xf8, 0xff, 0xff, 0xff, 0x0f, 1], true),
            (&[0xf8, 0xff, 0xff, 0xff, 0x1f, 1], false),
        ] {
            assert_eq!(OutboxRecord::decode(bytes).is_ok(), sound, "{bytes:x?}");
            assert_eq!(outbox_ranges(b"", bytes).is_ok(), sound, "{bytes:x?}");
        }
    }
}
