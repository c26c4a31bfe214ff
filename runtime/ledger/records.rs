//! What stands behind the keys: protobuf messages, so that fields can be added and older versions read newer records.
//!
//! Fields are never renumbered and never reused. `written` stands first in a state value, so that a compaction filter finds
//! it without reading on. Bytes that do not decode are [`LedgerError::Corrupt`], with the key for people to read.
//!
//! The three that a checkpoint has by the thousand are written by hand, straight from the engine's values: filling a
//! message would take several allocations each. Tests hold the two ways against each other.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use millpond_engine::{
    Backlog, DelayedMessage, Expiration, FailureKind, FailureRecord, IdempotencyEntry, Invocation, Meta, StateSpec,
    StateValue,
};
use millpond_protocol::{Address, TypeName};
use prost::Message;

use super::{LedgerError, keys};

/// A state value.
#[derive(Clone, PartialEq, Message)]
pub struct StateRecord {
    /// When it was written, in milliseconds since the Unix epoch.
    #[prost(uint64, tag = "1")]
    pub written: u64,
    /// Namespace of the typename it was written under.
    #[prost(string, tag = "2")]
    pub namespace: String,
    /// Name of that typename.
    #[prost(string, tag = "3")]
    pub name: String,
    /// The bytes.
    #[prost(bytes = "bytes", tag = "4")]
    pub value: Bytes,
}

impl From<StateRecord> for StateValue {
    fn from(record: StateRecord) -> StateValue {
        StateValue {
            typename: TypeName::new(&record.namespace, &record.name),
            value: record.value,
            written: record.written,
        }
    }
}

/// A pending invocation.
#[derive(Clone, PartialEq, Message)]
pub struct PendingRecord {
    /// When it arrived, in milliseconds since the Unix epoch.
    #[prost(uint64, tag = "1")]
    pub arrived: u64,
    /// Who sent it; absent for what came from an ingress.
    #[prost(message, optional, tag = "2")]
    pub caller: Option<AddressRecord>,
    /// The argument, an encoded `TypedValue`.
    #[prost(bytes = "bytes", tag = "3")]
    pub argument: Bytes,
}

impl From<PendingRecord> for Invocation {
    fn from(record: PendingRecord) -> Invocation {
        Invocation { caller: record.caller.map(Address::from), argument: record.argument, arrived: record.arrived }
    }
}

/// An address.
#[derive(Clone, PartialEq, Message)]
pub struct AddressRecord {
    /// Namespace of the function type.
    #[prost(string, tag = "1")]
    pub namespace: String,
    /// Name of the function type.
    #[prost(string, tag = "2")]
    pub name: String,
    /// The id.
    #[prost(string, tag = "3")]
    pub id: String,
}

impl From<&Address> for AddressRecord {
    fn from(address: &Address) -> AddressRecord {
        AddressRecord {
            namespace: address.function.namespace().to_owned(),
            name: address.function.name().to_owned(),
            id: address.id.to_string(),
        }
    }
}

impl From<AddressRecord> for Address {
    fn from(record: AddressRecord) -> Address {
        Address::new(TypeName::new(&record.namespace, &record.name), record.id)
    }
}

/// When a request carried the values of an address last.
#[derive(Clone, PartialEq, Message)]
pub struct AccessedRecord {
    /// In milliseconds since the Unix epoch.
    #[prost(uint64, tag = "1")]
    pub time: u64,
}

/// The failure that an address is parked with.
#[derive(Clone, PartialEq, Message)]
pub struct FailureOfAddress {
    /// 1 unreachable, 2 rejected, 3 no endpoint.
    #[prost(uint32, tag = "1")]
    pub kind: u32,
    /// Its code.
    #[prost(string, tag = "2")]
    pub code: String,
    /// What went wrong last.
    #[prost(string, tag = "3")]
    pub error: String,
    /// Attempts made.
    #[prost(uint32, tag = "4")]
    pub attempts: u32,
    /// When the first one failed.
    #[prost(uint64, tag = "5")]
    pub since: u64,
    /// When it was parked last.
    #[prost(uint64, tag = "6")]
    pub parked: u64,
    /// When it is tried next; the highest number is when something wakes it.
    #[prost(uint64, tag = "7")]
    pub next: u64,
}

impl From<&FailureRecord> for FailureOfAddress {
    fn from(failure: &FailureRecord) -> FailureOfAddress {
        FailureOfAddress {
            kind: match failure.kind {
                FailureKind::Unreachable => 1,
                FailureKind::Rejected => 2,
                FailureKind::NoEndpoint => 3,
            },
            code: failure.code.to_string(),
            error: failure.error.to_string(),
            attempts: failure.attempts,
            since: failure.since,
            parked: failure.parked,
            next: failure.next,
        }
    }
}

impl TryFrom<FailureOfAddress> for FailureRecord {
    type Error = &'static str;

    fn try_from(record: FailureOfAddress) -> Result<FailureRecord, Self::Error> {
        Ok(FailureRecord {
            kind: match record.kind {
                1 => FailureKind::Unreachable,
                2 => FailureKind::Rejected,
                3 => FailureKind::NoEndpoint,
                _ => return Err("kind of failure is none that is known"),
            },
            code: record.code.into(),
            error: record.error.into(),
            attempts: record.attempts,
            since: record.since,
            parked: record.parked,
            next: record.next,
        })
    }
}

/// What a function type has waiting.
#[derive(Clone, PartialEq, Message)]
pub struct BacklogRecord {
    /// Invocations that have not run.
    #[prost(uint64, tag = "1")]
    pub invocations: u64,
    /// Their bytes.
    #[prost(uint64, tag = "2")]
    pub bytes: u64,
    /// Addresses that are parked.
    #[prost(uint64, tag = "3")]
    pub parked: u64,
}

impl From<&Backlog> for BacklogRecord {
    fn from(backlog: &Backlog) -> BacklogRecord {
        BacklogRecord { invocations: backlog.invocations, bytes: backlog.bytes, parked: backlog.parked }
    }
}

impl From<BacklogRecord> for Backlog {
    fn from(record: BacklogRecord) -> Backlog {
        Backlog { invocations: record.invocations, bytes: record.bytes, parked: record.parked }
    }
}

/// A message that waits for its time.
#[derive(Clone, PartialEq, Message)]
pub struct DelayedRecord {
    /// Who sent it.
    #[prost(message, optional, tag = "1")]
    pub sender: Option<AddressRecord>,
    /// The receiver.
    #[prost(message, optional, tag = "2")]
    pub target: Option<AddressRecord>,
    /// The argument, an encoded `TypedValue`.
    #[prost(bytes = "bytes", tag = "3")]
    pub argument: Bytes,
    /// The token that cancels it; empty means none.
    #[prost(string, tag = "4")]
    pub token: String,
}

impl From<&DelayedMessage> for DelayedRecord {
    fn from(message: &DelayedMessage) -> DelayedRecord {
        DelayedRecord {
            sender: Some(AddressRecord::from(&message.sender)),
            target: Some(AddressRecord::from(&message.target)),
            argument: message.argument.clone(),
            token: message.token.as_deref().unwrap_or_default().to_owned(),
        }
    }
}

impl TryFrom<DelayedRecord> for DelayedMessage {
    type Error = &'static str;

    fn try_from(record: DelayedRecord) -> Result<DelayedMessage, Self::Error> {
        Ok(DelayedMessage {
            sender: record.sender.ok_or("its sender is missing")?.into(),
            target: record.target.ok_or("its target is missing")?.into(),
            argument: record.argument,
            token: (!record.token.is_empty()).then(|| record.token.into()),
        })
    }
}

/// The message that a cancellation token stands for.
#[derive(Clone, PartialEq, Message)]
pub struct TokenRecord {
    /// When it is due.
    #[prost(uint64, tag = "1")]
    pub due: u64,
    /// Its place among those of one millisecond.
    #[prost(uint64, tag = "2")]
    pub sequence: u64,
}

/// That an address has pending invocations. Says no more yet.
#[derive(Clone, PartialEq, Message)]
pub struct ListedRecord {}

/// The engine's own variables.
#[derive(Clone, PartialEq, Message)]
pub struct MetaRecord {
    /// Number of the checkpoint.
    #[prost(uint64, tag = "1")]
    pub checkpoint: u64,
    /// The highest time seen.
    #[prost(uint64, tag = "2")]
    pub time: u64,
    /// The next sequence number.
    #[prost(uint64, tag = "3")]
    pub next_sequence: u64,
    /// The generation of idempotency keys.
    #[prost(uint64, tag = "4")]
    pub idempotency_generation: u64,
    /// When it began.
    #[prost(uint64, tag = "5")]
    pub idempotency_began: u64,
    /// Keys in it.
    #[prost(uint64, tag = "6")]
    pub idempotency_count: u64,
    /// Keys in the one before.
    #[prost(uint64, tag = "7")]
    pub idempotency_count_before: u64,
}

impl From<&Meta> for MetaRecord {
    fn from(meta: &Meta) -> MetaRecord {
        MetaRecord {
            checkpoint: meta.checkpoint,
            time: meta.time,
            next_sequence: meta.next_sequence,
            idempotency_generation: meta.idempotency_generation,
            idempotency_began: meta.idempotency_began,
            idempotency_count: meta.idempotency_count,
            idempotency_count_before: meta.idempotency_count_before,
        }
    }
}

impl From<MetaRecord> for Meta {
    fn from(record: MetaRecord) -> Meta {
        Meta {
            checkpoint: record.checkpoint,
            time: record.time,
            next_sequence: record.next_sequence,
            idempotency_generation: record.idempotency_generation,
            idempotency_began: record.idempotency_began,
            idempotency_count: record.idempotency_count,
            idempotency_count_before: record.idempotency_count_before,
        }
    }
}

/// Number and checksums of the last checkpoint; see `batch.rs`.
#[derive(Clone, PartialEq, Message)]
pub struct ChainRecord {
    /// Number of the checkpoint.
    #[prost(uint64, tag = "1")]
    pub checkpoint: u64,
    /// Checksum of its content.
    #[prost(bytes = "vec", tag = "2")]
    pub content: Vec<u8>,
    /// Bytes of the write batch, behind its head, that the content is.
    #[prost(uint64, tag = "3")]
    pub content_bytes: u64,
    /// Checksum of the chain before, the number and `content`.
    #[prost(bytes = "vec", tag = "4")]
    pub chain: Vec<u8>,
}

/// How far a lane has come.
#[derive(Clone, PartialEq, Message)]
pub struct LaneRecord {
    /// The lowest sequence number still kept.
    #[prost(uint64, tag = "1")]
    pub first: u64,
    /// The next one to be given out.
    #[prost(uint64, tag = "2")]
    pub next: u64,
}

/// The records that one checkpoint added to one lane.
#[derive(Clone, PartialEq, Message)]
pub struct OutboxRecord {
    /// The records, numbered from the number in the key on.
    #[prost(bytes = "bytes", repeated, tag = "1")]
    pub records: Vec<Bytes>,
}

/// How far a partition of an ingress has come.
#[derive(Clone, PartialEq, Message)]
pub struct PositionRecord {
    /// The offset of the next record.
    #[prost(uint64, tag = "1")]
    pub next: u64,
}

/// The id of the ledger.
#[derive(Clone, PartialEq, Message)]
pub struct IdentityRecord {
    /// 16 bytes.
    #[prost(bytes = "vec", tag = "1")]
    pub id: Vec<u8>,
}

/// The starts that published a lane.
#[derive(Clone, PartialEq, Message)]
pub struct LineageRecord {
    /// Oldest first.
    #[prost(message, repeated, tag = "1")]
    pub starts: Vec<StartRecord>,
}

/// One of them.
#[derive(Clone, PartialEq, Message)]
pub struct StartRecord {
    /// Its id.
    #[prost(fixed64, tag = "1")]
    pub id: u64,
    /// The highest number in the lane when it began.
    #[prost(uint64, tag = "2")]
    pub after: u64,
}

/// A record of a lane that its egress refused for good.
#[derive(Clone, PartialEq, Message)]
pub struct RefusedRecord {
    /// The record as the lane had it.
    #[prost(bytes = "bytes", tag = "1")]
    pub record: Bytes,
    /// Why, in the words of whoever refused it.
    #[prost(string, tag = "2")]
    pub error: String,
}

/// What is kept under an idempotency key.
#[derive(Clone, PartialEq, Message)]
pub struct IdempotencyRecord {
    /// Digest of the event, 16 bytes.
    #[prost(bytes = "vec", tag = "1")]
    pub fingerprint: Vec<u8>,
    /// When it was taken in, in milliseconds since the Unix epoch.
    #[prost(uint64, tag = "2")]
    pub time: u64,
}

impl From<&IdempotencyEntry> for IdempotencyRecord {
    fn from(entry: &IdempotencyEntry) -> IdempotencyRecord {
        IdempotencyRecord { fingerprint: entry.fingerprint.to_vec(), time: entry.time }
    }
}

impl TryFrom<IdempotencyRecord> for IdempotencyEntry {
    type Error = &'static str;

    fn try_from(record: IdempotencyRecord) -> Result<IdempotencyEntry, Self::Error> {
        let fingerprint = record.fingerprint.try_into().map_err(|_| "fingerprint is not 16 bytes")?;
        Ok(IdempotencyEntry { fingerprint, time: record.time })
    }
}

/// A state that a function type declared.
#[derive(Clone, PartialEq, Message)]
pub struct SpecRecord {
    /// Namespace of the typename of its values.
    #[prost(string, tag = "1")]
    pub namespace: String,
    /// Name of that typename.
    #[prost(string, tag = "2")]
    pub name: String,
    /// When its values expire: 0 never, 1 after write, 2 after invoke; the numbers of the protocol.
    #[prost(uint32, tag = "3")]
    pub expire_mode: u32,
    /// After so many milliseconds.
    #[prost(uint64, tag = "4")]
    pub expire_ms: u64,
}

impl From<&StateSpec> for SpecRecord {
    fn from(spec: &StateSpec) -> SpecRecord {
        let (expire_mode, expire_ms) = match spec.expiration {
            Expiration::None => (0, 0),
            Expiration::AfterWrite(ms) => (1, ms),
            Expiration::AfterInvoke(ms) => (2, ms),
        };
        SpecRecord {
            namespace: spec.typename.namespace().to_owned(),
            name: spec.typename.name().to_owned(),
            expire_mode,
            expire_ms,
        }
    }
}

impl SpecRecord {
    /// The spec of the state of this name.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn into_spec(self, name: Arc<str>) -> Result<StateSpec, &'static str> {
        let expiration = match self.expire_mode {
            0 => Expiration::None,
            1 => Expiration::AfterWrite(self.expire_ms),
            2 => Expiration::AfterInvoke(self.expire_ms),
            _ => return Err("expire mode is none that is known"),
        };
        Ok(StateSpec { name, typename: TypeName::new(&self.namespace, &self.name), expiration })
    }
}

/// Writes a record in place of what is in `into`.
pub fn encode(record: &impl Message, into: &mut Vec<u8>) {
    into.clear();
    record.encode(into).expect("a vector grows");
}

/// Writes the [`StateRecord`] of a value in place of what is in `into`.
pub fn encode_state(value: &StateValue, into: &mut Vec<u8>) {
    into.clear();
    put_number(into, 1, value.written);
    put_bytes(into, 2, value.typename.namespace().as_bytes());
    put_bytes(into, 3, value.typename.name().as_bytes());
    put_bytes(into, 4, &value.value);
}

/// Writes the [`PendingRecord`] of an invocation in place of what is in `into`.
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

/// Writes the [`OutboxRecord`] of these records in place of what is in `into`.
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

/// Reads a record.
///
/// # Errors
/// [`LedgerError::Corrupt`] when the bytes are no such record.
pub fn decode<R: Message + Default>(key: &[u8], bytes: &[u8]) -> Result<R, LedgerError> {
    R::decode(bytes).map_err(|error| corrupt(key, &error.to_string()))
}

/// A record that cannot be read, by its key and the reason.
pub fn corrupt(key: &[u8], why: &str) -> LedgerError {
    LedgerError::Corrupt(format!("{}: {why}", keys::describe(key)))
}

/// Where the records in an encoded [`OutboxRecord`] are, so that a part of them can be copied without the rest.
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
    use proptest::prelude::*;

    use super::*;

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

    /// An error names the record by what it is about.
    #[test]
    fn corruption_is_named_by_its_key() {
        let error = decode::<StateRecord>(keys::META, &[0xff]).expect_err("no record");
        assert!(error.to_string().contains("variables of the engine"), "{error}");
        assert_eq!(error.code(), "MP5005");
    }
}
