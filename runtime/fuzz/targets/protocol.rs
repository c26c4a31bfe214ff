//! The wire: answers, requests, values, names.

use std::error::Error;
use std::fmt;

use bytes::Bytes;
use millpond_protocol::proto::egress::{KafkaProducerRecord, KinesisEgressRecord};
use millpond_protocol::proto::reqreply::{self, FromFunction, ToFunction, from_function, to_function};
use millpond_protocol::request::{self, Invocation, State};
use millpond_protocol::response::{self, InvalidResponse};
use millpond_protocol::types::{self, SimpleValue};
use millpond_protocol::{Address, TypeName};
use prost::Message;

use super::wire;
use crate::choices::Choices;
use crate::{Target, corpus};

/// Bytes that an error about any input may have, with its causes.
const ERROR_BYTES_MAX: usize = 1000;

/// `FromFunction`: our reader and the generated one accept the same bytes and find the same in them, and what was found is
/// found again in what we write of it.
pub fn wire_answer(bytes: &[u8]) {
    let generated = FromFunction::decode(bytes);
    let found = match response::decode(Bytes::copy_from_slice(bytes)) {
        Ok(found) => found,
        Err(error) => return assert!(generated.is_err() && is_short(&error), "refused: {error:?}"),
    };
    let generated = generated.expect("the generated types read what we read");
    let again = wire::encode(&found);
    assert_eq!(response::decode(again.clone().into()).as_ref(), Ok::<_, &InvalidResponse>(&found));
    assert_eq!(comparable(FromFunction::decode(&again[..]).expect("it is read")), comparable(generated));
}

/// An answer without the difference between none and one without effects, and without the metadata that only arguments keep.
fn comparable(mut answer: FromFunction) -> FromFunction {
    use from_function::Response::InvocationResult;
    let response = answer.response.get_or_insert_with(|| InvocationResult(Default::default()));
    if let InvocationResult(result) = response {
        let states = result.state_mutations.iter_mut().filter_map(|mutation| mutation.state_value.as_mut());
        let records = result.outgoing_egresses.iter_mut().filter_map(|message| message.argument.as_mut());
        states.chain(records).for_each(|value| value.metadata.clear());
    }
    answer
}

fn is_short(error: &dyn Error) -> bool {
    let mut length = error.to_string().len();
    let mut cause = error.source();
    while let Some(error) = cause {
        length += error.to_string().len();
        cause = error.source();
    }
    length < ERROR_BYTES_MAX
}

/// `ToFunction`: a request says what went into it, and is written as the generated types write it.
pub fn wire_request(bytes: &[u8]) {
    let mut choices = Choices::new(bytes);
    let target = address(&mut choices);
    let states =
        choices.some(3, |choices| (choices.text(20), choices.maybe(|choices| (choices.text(20), choices.bytes(200)))));
    let invocations = choices.some(4, |choices| (choices.maybe(address), argument(choices)));
    let borrowed: Vec<State<'_>> = states
        .iter()
        .map(|(name, value)| State { name, value: value.as_ref().map(|(typename, value)| (typename.as_str(), value)) })
        .collect();
    let batch: Vec<Invocation<'_>> =
        invocations.iter().map(|(caller, argument)| Invocation { caller: caller.as_ref(), argument }).collect();
    let written = request::encode(&target, &borrowed, &batch);
    let value = |(typename, value): &(String, Bytes)| reqreply::TypedValue {
        typename: typename.clone(),
        has_value: true,
        value: value.clone(),
        metadata: Vec::new(),
    };
    let expected = ToFunction {
        request: Some(to_function::Request::Invocation(to_function::InvocationBatchRequest {
            target: Some(generated(&target)),
            state: states
                .iter()
                .map(|(name, state)| to_function::PersistedValue {
                    state_name: name.clone(),
                    state_value: state.as_ref().map(value),
                })
                .collect(),
            invocations: invocations
                .iter()
                .map(|(caller, argument)| to_function::Invocation {
                    caller: caller.as_ref().map(generated),
                    argument: Some(reqreply::TypedValue::decode(&argument[..]).expect("an argument is checked")),
                })
                .collect(),
        })),
    };
    assert_eq!(ToFunction::decode(&written[..]).as_ref(), Ok(&expected));
    // What a function reads of it, it could have written itself.
    assert!(written.len() >= expected.encoded_len(), "{} bytes", written.len());
    assert_eq!(ToFunction::decode(&expected.encode_to_vec()[..]), Ok(expected));
}

fn address(choices: &mut Choices<'_>) -> Address {
    Address::new(TypeName::new(&choices.text(20), &choices.text(20)), choices.text(200))
}

fn generated(address: &Address) -> reqreply::Address {
    reqreply::Address {
        namespace: address.function.namespace().to_owned(),
        r#type: address.function.name().to_owned(),
        id: address.id.to_string(),
    }
}

/// An encoded `TypedValue`: bytes as they are when they are one.
fn argument(choices: &mut Choices<'_>) -> Bytes {
    let raw = choices.bytes(200);
    if reqreply::TypedValue::decode(&raw[..]).is_ok() { raw } else { request::typed_value("a/b", &raw) }
}

/// `TypedValue`: what is read can be written and read again, and every value that we write is read as it was.
pub fn typed_value(bytes: &[u8]) {
    survives::<reqreply::TypedValue>(bytes);
    let mut choices = Choices::new(bytes);
    let (typename, value) = (choices.text(255), choices.rest());
    let written = request::typed_value(&typename, value);
    let read = reqreply::TypedValue::decode(&written[..]).expect("we write what can be read");
    assert!(read.has_value && read.metadata.is_empty());
    assert_eq!((read.typename.as_str(), &read.value[..]), (typename.as_str(), value));
}

/// The six simple types: a value that is read is written in bytes that are read as the same value.
pub fn simple_value(bytes: &[u8]) {
    const TYPES: [&str; 7] =
        [types::BOOL, types::INT, types::FLOAT, types::LONG, types::DOUBLE, types::STRING, types::UNSET];
    for typename in TYPES {
        let value = match SimpleValue::decode(typename, bytes) {
            None => {
                assert_eq!(typename, types::UNSET);
                continue;
            }
            Some(Err(error)) => {
                assert!(is_short(&error) && types::describe(typename, bytes).is_none());
                continue;
            }
            Some(Ok(value)) => value,
        };
        assert_eq!(value.typename(), typename);
        assert!(value.to_string().len() <= 400 + bytes.len());
        let written = value.encode();
        assert!(written.len() <= bytes.len().max(11), "{value:?}");
        // By their bytes: a number that is none is not equal to itself.
        let again = types::describe(typename, &written).expect("we write what can be read");
        assert_eq!(again.encode(), written, "{value:?}");
    }
}

/// Records of the Kafka and Kinesis egress.
pub fn egress_records(bytes: &[u8]) {
    survives::<KafkaProducerRecord>(bytes);
    survives::<KinesisEgressRecord>(bytes);
}

fn survives<M: Message + Default + PartialEq + fmt::Debug>(bytes: &[u8]) {
    if let Ok(message) = M::decode(bytes) {
        let written = message.encode_to_vec();
        assert!(written.len() <= bytes.len(), "{message:?}");
        assert_eq!(M::decode(&written[..]), Ok(message));
    }
}

/// `namespace/name`: accepted is what Java's `split` cuts into two, and a name that is shown is read as the same.
pub fn typename(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let mut parts: Vec<&str> = text.split('/').collect();
    while parts.len() > 1 && parts.last().is_some_and(|last| last.is_empty()) {
        parts.pop();
    }
    match TypeName::parse(text) {
        Ok(name) => {
            assert_eq!(parts, [name.namespace(), name.name()]);
            assert_eq!(TypeName::parse(&name.to_string()), Ok(name));
        }
        Err(_) => assert_ne!(parts.len(), 2, "{text:?}"),
    }
}

/// Keys of the fields of an answer, and places where its messages nest.
const KEYS: &[&[u8]] = &[
    b"\xa2\x06",
    b"\xaa\x06",
    b"\x0a",
    b"\x12",
    b"\x1a",
    b"\x22",
    b"\x08",
    b"\x10",
    b"\x50",
    b"\x5a",
    b"\x0b\x0c",
    b"\xff\xff\xff\xff\x0f",
    b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
    b"\x0a\x00",
    b"a/b",
];

/// The list.
pub const TARGETS: &[Target] = &[
    Target { name: "wire_answer", run: wire_answer, corpus: answers, words: KEYS },
    Target { name: "wire_request", run: wire_request, corpus: corpus::decisions, words: KEYS },
    Target { name: "typed_value", run: typed_value, corpus: values, words: KEYS },
    Target { name: "simple_value", run: simple_value, corpus: || corpus::vectors("types.json"), words: KEYS },
    Target { name: "egress_records", run: egress_records, corpus: || corpus::vectors("egress.json"), words: KEYS },
    Target { name: "typename", run: typename, corpus: names, words: &[b"/", b"//", "é".as_bytes()] },
];

/// The golden answers; those of the specification among its requests.
pub(super) fn answers() -> Vec<Vec<u8>> {
    let mut answers = corpus::vectors_where("answers.json", "name", |_| true);
    answers.extend(corpus::vectors_where("spec.json", "message", |message| message == "FromFunction"));
    answers
}

fn values() -> Vec<Vec<u8>> {
    let requests = corpus::vectors("requests.json");
    let batches = requests.iter().filter_map(|bytes| match ToFunction::decode(&bytes[..]).ok()?.request? {
        to_function::Request::Invocation(batch) => Some(batch),
    });
    let arguments = batches.flat_map(|batch| batch.invocations).filter_map(|invocation| invocation.argument);
    arguments.map(|argument| argument.encode_to_vec()).collect()
}

fn names() -> Vec<Vec<u8>> {
    corpus::texts(&[
        "com.example.fns/greeter",
        "a/b/",
        "/b",
        "a",
        "a/",
        "//",
        "a//b",
        "a/b/c",
        "",
        "io.statefun.types/int",
    ])
}
