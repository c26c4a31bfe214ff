//! From the body of an answer to what the engine applies.

use bytes::Bytes;
use millpond::egress::{Egress, EgressTable, PLAYGROUND_EGRESS};
use millpond::invoker::answer;
use millpond_engine::{DelayedEffect, Expiration, Limits, Message, Mutation, Reply};
use millpond_protocol::response::{EgressMessage, TypedValue};
use millpond_protocol::types::PLAYGROUND_EGRESS_RECORD;

use crate::{Target, corpus};

/// Bytes of an error about an answer; it may name a state, whose name has a limit.
const ERROR_BYTES_MAX: usize = 2000;

/// Topics of the egress.
const TOPICS: [&str; 3] = ["greetings", "ü/🦆", ""];

/// An answer: what is let through keeps the limits, what is not says why in few words.
pub fn answer_effects(bytes: &[u8]) {
    let small = Limits {
        id_bytes: 2,
        typename_bytes: 24,
        state_name_bytes: 4,
        value_bytes: 3,
        argument_bytes: 30,
        ..Limits::default()
    };
    for limits in [&Limits::default(), &small] {
        match answer::decode(Bytes::copy_from_slice(bytes), limits, &table()) {
            Ok(Reply::Completed(effects)) => {
                let delayed = effects.delayed.iter().filter_map(|delayed| match delayed {
                    DelayedEffect::Send { message, .. } => Some(message),
                    DelayedEffect::Cancel { .. } => None,
                });
                assert!(effects.messages.iter().chain(delayed).all(|message| is_within(message, limits)));
                assert!(effects.egress.iter().all(|record| (record.lane.0 as usize) < TOPICS.len()));
                for mutation in &effects.mutations {
                    let (name, value) = match mutation {
                        Mutation::Delete { name } => (name, 0),
                        Mutation::Modify { name, value, .. } => (name, value.len()),
                    };
                    assert!(name.len() <= limits.state_name_bytes && value <= limits.value_bytes, "{mutation:?}");
                }
            }
            Ok(Reply::Incomplete(specs)) => {
                for spec in &specs {
                    let typename = spec.typename.namespace().len() + spec.typename.name().len();
                    assert!(
                        spec.name.len() <= limits.state_name_bytes && typename <= limits.typename_bytes,
                        "{spec:?}"
                    );
                    assert!(!matches!(spec.expiration, Expiration::AfterWrite(0) | Expiration::AfterInvoke(0)));
                }
            }
            Err(rejection) => assert!(rejection.error.len() < ERROR_BYTES_MAX, "{rejection:?}"),
        }
    }
}

fn is_within(message: &Message, limits: &Limits) -> bool {
    let function = &message.target.function;
    message.target.id.len() <= limits.id_bytes
        && function.namespace().len() + function.name().len() <= limits.typename_bytes
        && message.argument.len() <= limits.argument_bytes
}

/// The JSON of a playground record: what is taken is text for a topic of the module, and is taken again when it is written
/// in other words.
pub fn playground_record(bytes: &[u8]) {
    let table = table();
    let record = match table.resolve(&message(bytes)) {
        Ok(record) => record,
        Err(rejection) => return assert!(rejection.error.len() < ERROR_BYTES_MAX, "{rejection:?}"),
    };
    let topic = &table.lanes()[record.lane.0 as usize].part;
    let payload = std::str::from_utf8(&record.record).expect("payloads are text");
    assert!(TOPICS.contains(&topic.as_str()) && payload.len() <= bytes.len() * 3);
    let again = serde_json::json!({ "topic": topic, "payload": payload }).to_string();
    assert_eq!(table.resolve(&message(again.as_bytes())), Ok(record));
}

fn table() -> EgressTable {
    EgressTable::new(&[Egress::Playground { topics: TOPICS.map(str::to_owned).to_vec() }])
}

fn message(json: &[u8]) -> EgressMessage {
    let value = Bytes::copy_from_slice(json);
    EgressMessage {
        egress_namespace: PLAYGROUND_EGRESS.0.to_owned(),
        egress_type: PLAYGROUND_EGRESS.1.to_owned(),
        argument: Some(TypedValue { typename: PLAYGROUND_EGRESS_RECORD.to_owned(), has_value: true, value }),
    }
}

/// The list.
pub const TARGETS: &[Target] = &[
    Target {
        name: "answer_effects",
        run: answer_effects,
        corpus: super::protocol::answers,
        words: &[b"\xa2\x06", b"\x0a", b"\x12", b"\x1a", b"\x22", b"\x08\x01"],
    },
    Target {
        name: "playground_record",
        run: playground_record,
        corpus: records,
        words: &[
            b"\"",
            b"\\u",
            b"\\ud800",
            b"{",
            b"}",
            b"[",
            b",",
            b":",
            b"1e9",
            b"null",
            b"\xef\xbb\xbf",
            b"\"topic\"",
        ],
    },
];

fn records() -> Vec<Vec<u8>> {
    corpus::texts(&[
        r#"{"topic":"greetings","payload":"Hi"}"#,
        r#"{"topic":"\u00fc/\ud83e\udd86","payload":"\u0000"}"#,
        r#" {"payload" : 1.50, "topic" : "", "topic":"greetings"} and more"#,
        "\u{feff}{\"topic\":\"greetings\",\"payload\":true}\n",
        r#"{"topic":"other","payload":["x"]}"#,
    ])
}
