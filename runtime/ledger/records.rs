//! What stands behind the keys: protobuf messages, so that fields can be added and older versions read newer records.
//!
//! Fields are never renumbered and never reused. `written` stands first in a state value, so that a compaction filter finds
//! it without reading on. Bytes that do not decode are [`LedgerError::Corrupt`], with the key for people to read.

use std::sync::Arc;

use bytes::Bytes;
use millpond_engine::{
    Backlog, DelayedMessage, Expiration, FailureKind, FailureRecord, IdempotencyEntry, Invocation, Meta, StateSpec,
    StateValue,
};
use millpond_protocol::{Address, TypeName};
use prost::Message;

pub use super::by_hand::{encode_outbox, encode_pending, encode_state, outbox_ranges};
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

#[cfg(test)]
mod tests {
    use super::*;

    /// An error names the record by what it is about.
    #[test]
    fn corruption_is_named_by_its_key() {
        let error = decode::<StateRecord>(keys::META, &[0xff]).expect_err("no record");
        assert!(error.to_string().contains("variables of the engine"), "{error}");
        assert_eq!(error.code(), "MP5005");
    }
}
