//! Keys of the ledger and the records behind them.

use std::fmt;

use bytes::Bytes;
use millpond::ledger::keys::{self, Key, KeyBuffer};
use millpond::ledger::records::{
    AccessedRecord, BacklogRecord, ChainRecord, DelayedRecord, FailureOfAddress, IdempotencyRecord, LaneRecord,
    ListedRecord, MetaRecord, OutboxRecord, PendingRecord, SpecRecord, StateRecord, TokenRecord, decode, encode,
    encode_outbox, encode_pending, encode_state, outbox_ranges,
};
use millpond_engine::{
    Backlog, DelayedMessage, FailureRecord, IdempotencyEntry, Invocation, LaneName, Meta, StateValue,
};
use millpond_protocol::{Address, TypeName};
use prost::Message;

use crate::choices::Choices;
use crate::{Target, corpus};

/// A key: what is read is written in the same bytes, and the order and the prefixes that scans rely on hold for any bytes.
pub fn ledger_key(bytes: &[u8]) {
    assert!(keys::describe(bytes).len() <= 100 + bytes.len() * 4, "{}", keys::describe(bytes));
    let end = keys::end_of(bytes);
    assert!(end.is_empty() || end.as_slice() > bytes && !end.starts_with(bytes), "{end:?}");
    if let Some(key) = Key::parse(bytes) {
        assert_eq!(written(&key), bytes, "{key:?}");
        assert!(!keys::describe(bytes).starts_with("unknown"));
    }
    if let Some(length) = keys::address_part(bytes) {
        let again = [&bytes[..length], b"more"].concat();
        assert_eq!(keys::address_part(&again), Some(length), "what follows the address does not matter");
    }
}

fn written(key: &Key) -> Vec<u8> {
    let mut buffer = KeyBuffer::default();
    let key = match key {
        Key::State { address, name } => buffer.state(address, name),
        Key::Accessed(address) => buffer.accessed(address),
        Key::Failure(address) => buffer.failure(address),
        Key::Delayed { group, due, sequence } => {
            let group = buffer.delayed_in(*group);
            return [group, &due.to_be_bytes(), &sequence.to_be_bytes()].concat();
        }
        Key::Token { id, token } => buffer.token(id, token),
        Key::Listed(address) => buffer.listed(address),
        Key::Pending { address, sequence } => buffer.pending(address, *sequence),
        Key::Meta => keys::META,
        Key::Chain => keys::CHAIN,
        Key::Lane(lane) => buffer.lane(lane),
        Key::Outbox { lane, first } => buffer.outbox(lane, *first),
        Key::Idempotency { generation, key } => buffer.idempotency(*generation, key),
        Key::Spec { function, state } => buffer.spec(function, state),
        Key::Backlog(function) => buffer.backlog(function),
        Key::Position(partition) => buffer.position(partition),
        Key::Identity => keys::IDENTITY,
        Key::Lineage(lane) => buffer.lineage(lane),
        Key::Refused { lane, sequence } => buffer.refused(lane, *sequence),
    };
    key.to_vec()
}

/// A record of any kind: what is read is what the engine gets, and is read again from what we write of it.
pub fn ledger_record(bytes: &[u8]) {
    let mut into = Vec::new();
    if let Some(record) = survives::<StateRecord>(bytes) {
        let value = StateValue::from(record.clone());
        encode_state(&value, &mut into);
        assert_eq!(StateRecord::decode(&into[..]), Ok(record));
    }
    if let Some(record) = survives::<PendingRecord>(bytes) {
        let invocation = Invocation::from(record.clone());
        encode_pending(&invocation, &mut into);
        assert_eq!(PendingRecord::decode(&into[..]), Ok(record));
    }
    if let Some(record) = survives::<DelayedRecord>(bytes)
        && let Ok(message) = DelayedMessage::try_from(record.clone())
    {
        assert_eq!(DelayedRecord::from(&message), record);
    }
    if let Some(record) = survives::<IdempotencyRecord>(bytes)
        && let Ok(entry) = IdempotencyEntry::try_from(record.clone())
    {
        assert_eq!(IdempotencyRecord::from(&entry), record);
    }
    if let Some(record) = survives::<MetaRecord>(bytes) {
        assert_eq!(MetaRecord::from(&Meta::from(record.clone())), record);
    }
    if let Some(record) = survives::<SpecRecord>(bytes)
        && let Ok(spec) = record.clone().into_spec("state".into())
    {
        let again = SpecRecord::from(&spec);
        // A state that never expires does so after no time.
        assert_eq!(
            again,
            SpecRecord { expire_ms: if record.expire_mode == 0 { 0 } else { record.expire_ms }, ..record }
        );
    }
    if let Some(record) = survives::<FailureOfAddress>(bytes)
        && let Ok(failure) = FailureRecord::try_from(record.clone())
    {
        assert_eq!(FailureOfAddress::from(&failure), record);
    }
    if let Some(record) = survives::<BacklogRecord>(bytes) {
        assert_eq!(BacklogRecord::from(&Backlog::from(record.clone())), record);
    }
    survives::<AccessedRecord>(bytes);
    survives::<TokenRecord>(bytes);
    survives::<ListedRecord>(bytes);
    survives::<ChainRecord>(bytes);
    survives::<LaneRecord>(bytes);
}

/// Reads a record, writes it, and reads it again.
fn survives<R: Message + Default + Clone + PartialEq + fmt::Debug>(bytes: &[u8]) -> Option<R> {
    let record: R = decode(keys::META, bytes).ok()?;
    let mut written = vec![1, 2, 3];
    encode(&record, &mut written);
    assert!(written.len() <= bytes.len(), "{record:?}");
    assert_eq!(R::decode(&written[..]).as_ref(), Ok(&record));
    Some(record)
}

/// The records of an outbox: the quick reader finds what the message has, and refuses what is none.
pub fn ledger_outbox(bytes: &[u8]) {
    let found = outbox_ranges(keys::META, bytes);
    match (&found, OutboxRecord::decode(bytes)) {
        (Ok(ranges), Ok(message)) => {
            let records: Vec<Bytes> =
                ranges.iter().map(|range| Bytes::copy_from_slice(&bytes[range.clone()])).collect();
            assert_eq!(records, message.records);
            let mut written = Vec::new();
            encode_outbox(&records, &mut written);
            assert_eq!(OutboxRecord::decode(&written[..]), Ok(message));
        }
        (Err(_), Err(_)) => {}
        // No version of ours writes groups, and only the message passes over them.
        (Err(error), Ok(_)) => assert!(error.to_string().contains("no known form"), "{error}"),
        (Ok(ranges), Err(error)) => panic!("{ranges:?} in bytes that are no record: {error}"),
    }
}

/// The list.
pub const TARGETS: &[Target] = &[
    Target {
        name: "ledger_key",
        run: ledger_key,
        corpus: all_keys,
        words: &[b"\xff", b"\xff\0\0\0\x03", b"\xff\xff\xff\xff\xff", b"\xff\xff", b"\0", b"\xc3"],
    },
    Target { name: "ledger_record", run: ledger_record, corpus: all_records, words: FIELDS },
    Target { name: "ledger_outbox", run: ledger_outbox, corpus: outboxes, words: FIELDS },
];

const FIELDS: &[&[u8]] = &[
    b"\x08\x01",
    b"\x0a\x00",
    b"\x12\x01x",
    b"\x0b\x0c",
    b"\x0d\0\0\0\0",
    b"\x09\0\0\0\0\0\0\0\0",
    b"\x8a\x00",
    b"\x00",
    b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02",
];

fn addresses() -> Vec<Address> {
    let long = "x".repeat(300);
    [("com.example", "greeter", "Ann"), ("", "", ""), ("é", "f", &long)]
        .map(|(namespace, name, id)| Address::new(TypeName::new(namespace, name), id))
        .to_vec()
}

/// A key of each kind, with short texts, none and long ones.
fn all_keys() -> Vec<Vec<u8>> {
    let mut made = vec![keys::META.to_vec(), keys::CHAIN.to_vec()];
    let mut buffer = KeyBuffer::default();
    for address in addresses() {
        let lane = LaneName { egress: address.function.clone(), part: address.id.to_string() };
        made.push(buffer.state(&address, "seen").to_vec());
        made.push(buffer.accessed(&address).to_vec());
        made.push(buffer.listed(&address).to_vec());
        made.push(buffer.pending(&address, 7).to_vec());
        made.push(buffer.delayed(&address.id, 1 << 40, 7).to_vec());
        made.push(buffer.token(&address.id, "token").to_vec());
        made.push(buffer.lane(&lane).to_vec());
        made.push(buffer.outbox(&lane, 9).to_vec());
        made.push(buffer.idempotency(3, &address.id).to_vec());
        made.push(buffer.spec(&address.function, "seen").to_vec());
    }
    made
}

/// Records of each kind, as far as they have shapes of their own.
fn all_records() -> Vec<Vec<u8>> {
    let mut made: Vec<Vec<u8>> = Vec::new();
    let mut add = |record: Vec<u8>| made.push(record);
    for address in addresses() {
        let value =
            StateValue { typename: address.function.clone(), value: Bytes::from_static(b"value"), written: 1 << 40 };
        let mut into = Vec::new();
        encode_state(&value, &mut into);
        add(into.clone());
        let invocation =
            Invocation { caller: Some(address.clone()), argument: Bytes::from_static(b"a"), arrived: 5, event_time: 4 };
        encode_pending(&invocation, &mut into);
        add(into);
        let argument = Bytes::from_static(b"argument");
        let message =
            DelayedMessage { sender: address.clone(), target: address, argument, token: Some("token".into()) };
        add(DelayedRecord::from(&message).encode_to_vec());
    }
    let numbers = Meta { checkpoint: 1, time: 2, next_sequence: 300, idempotency_count: u64::MAX, ..Meta::default() };
    add(MetaRecord::from(&numbers).encode_to_vec());
    add(IdempotencyRecord::from(&IdempotencyEntry { fingerprint: [7; 16], time: 9 }).encode_to_vec());
    add(SpecRecord { namespace: "a".into(), name: "b".into(), expire_mode: 2, expire_ms: 60_000 }.encode_to_vec());
    add(ChainRecord { checkpoint: 3, content: vec![1; 8], content_bytes: 99, chain: vec![2; 8] }.encode_to_vec());
    made
}

fn outboxes() -> Vec<Vec<u8>> {
    let mut choices = corpus::decisions();
    choices.truncate(8);
    let outbox = |bytes: &Vec<u8>| {
        let records = Choices::new(bytes).some(6, |choices| choices.bytes(200));
        let mut into = Vec::new();
        encode_outbox(&records, &mut into);
        into
    };
    choices.iter().map(outbox).collect()
}
