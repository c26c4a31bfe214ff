//! Answers that nobody honest would send: bounded work, no panic, and a fault that names its place.

use std::error::Error;

use bytes::Bytes;
use millpond_protocol::proto::reqreply;
use millpond_protocol::response::{self, ENTRIES_MAX, InvalidResponse, Response};
use prost::Message;

use crate::properties::{group, nest};

/// Field numbers that lead to each message of an answer.
pub const PLACES: [(&str, &[u32]); 11] = [
    ("the answer", &[]),
    ("result", &[100]),
    ("mutation", &[100, 1]),
    ("state value", &[100, 1, 3]),
    ("message", &[100, 2]),
    ("target", &[100, 2, 1]),
    ("argument", &[100, 2, 2]),
    ("metadata", &[100, 3, 3, 4]),
    ("egress record", &[100, 4, 3]),
    ("missing value", &[101, 1]),
    ("expiration", &[101, 1, 2]),
];

/// Groups nest as deep as in the generated types, in every message; so what passes can be read by those who get it.
#[test]
fn nesting_is_limited_where_the_generated_types_limit_it() {
    for (place, path) in PLACES {
        let mut accepted = 0;
        for depth in 80..110 {
            let groups = (0..depth).fold(Vec::new(), |inner, _| group(999, &inner));
            let body = Bytes::from(nest(path, &groups));
            let generated = reqreply::FromFunction::decode(body.clone()).is_ok();
            assert_eq!(response::decode(body).is_ok(), generated, "{place}, {depth} deep");
            accepted += usize::from(generated);
        }
        assert!((10..25).contains(&accepted), "{place}: the limit lies among the depths tried");
    }
}

/// A megabyte of opened groups costs neither stack nor time.
#[test]
fn endless_nesting_is_refused() {
    for (place, path) in PLACES {
        let body = nest(path, &[0x0b].repeat(1 << 20));
        assert!(response::decode(body.into()).is_err(), "{place}");
    }
}

/// A length is believed only as far as there are bytes, whatever it says.
#[test]
fn huge_lengths_are_refused() {
    for (place, path) in PLACES {
        for number in (1..=4).chain([10, 11, 100, 101, 999]) {
            for len in [1, 127, 1 << 31, u64::from(u32::MAX), 1 << 63, u64::MAX] {
                let mut torn = Vec::new();
                prost::encoding::encode_key(number, prost::encoding::WireType::LengthDelimited, &mut torn);
                prost::encoding::encode_varint(len, &mut torn);
                // Once with right lengths around the torn field, once torn off at the end of the body.
                assert!(response::decode(nest(path, &torn).into()).is_err(), "{place}, {number}, {len}");
                let mut body = nest(path, &[&torn[..], &[0; 200]].concat());
                body.truncate(body.len() - 200);
                assert!(response::decode(body.into()).is_err(), "{place}, {number}, {len}, torn off");
            }
        }
    }
}

/// A recorded answer, torn anywhere, is judged as the generated types judge it.
#[test]
fn torn_answers_are_judged_as_generated() {
    for vector in crate::vectors::load("answers.json") {
        let body = crate::vectors::bytes(&vector["bytes"]);
        for len in 0..body.len() {
            let generated = reqreply::FromFunction::decode(body.slice(..len)).is_ok();
            assert_eq!(response::decode(body.slice(..len)).is_ok(), generated);
        }
    }
}

/// Two bytes on the wire are a hundred in memory, so entries are counted, over all lists and both arms.
#[test]
fn entries_are_limited() {
    let most = nest(&[100], &[0x12, 0x00].repeat(ENTRIES_MAX));
    let Ok(Response::Completed(result)) = response::decode(most.into()) else {
        panic!("as many as are allowed");
    };
    assert_eq!(result.outgoing_messages.len(), ENTRIES_MAX);

    let half = ENTRIES_MAX / 2;
    let results = nest(&[100], &[[0x0a, 0x00].repeat(half), vec![0x22, 0x00]].concat());
    let missing = nest(&[101], &[0x0a, 0x00].repeat(half));
    assert!(response::decode(results.clone().into()).is_ok());
    let fault = fault(response::decode([results, missing].concat().into()));
    assert_eq!(fault, "`incomplete_invocation_context.missing_values` has more entries than one answer may hold");
}

/// The last arm wins; an arm that comes back starts anew, one that goes on is merged.
#[test]
fn the_last_arm_wins() {
    let result = nest(&[100, 2], &[]);
    let incomplete = nest(&[101, 1], &[]);
    let count = |arms: &[&Vec<u8>]| {
        let body: Vec<u8> = arms.iter().flat_map(|arm| arm.iter().copied()).collect();
        match response::decode(body.into()).expect("valid") {
            Response::Completed(result) => ("result", result.outgoing_messages.len()),
            Response::Incomplete(missing) => ("incomplete", missing.len()),
        }
    };
    assert_eq!(count(&[]), ("result", 0));
    assert_eq!(count(&[&result, &incomplete]), ("incomplete", 1));
    assert_eq!(count(&[&incomplete, &result]), ("result", 1));
    assert_eq!(count(&[&result, &result]), ("result", 2));
    assert_eq!(count(&[&incomplete, &incomplete]), ("incomplete", 2));
    assert_eq!(count(&[&result, &incomplete, &result]), ("result", 1));
}

/// An argument in two parts is one argument: what protobuf merges, we join.
#[test]
fn a_repeated_argument_is_merged() {
    let first = nest(&[1], b"a/b");
    let second = [&[0x10, 0x01][..], &nest(&[3], b"v")].concat();
    let message = [nest(&[2], &first), nest(&[2], &second)].concat();
    let Response::Completed(result) = response::decode(nest(&[100, 2], &message).into()).expect("valid") else {
        panic!("the answer is complete");
    };
    let argument = result.outgoing_messages[0].argument.clone().expect("an argument");
    assert_eq!(argument, [first, second].concat());
    let argument = reqreply::TypedValue::decode(argument).expect("valid");
    assert_eq!((argument.typename.as_str(), &argument.value[..], argument.has_value), ("a/b", &b"v"[..], true));
}

/// A present but empty argument is one; an absent one is none.
#[test]
fn an_empty_argument_is_not_an_absent_one() {
    let message = [nest(&[2], &nest(&[2], &[])), nest(&[2], &[])].concat();
    let Response::Completed(result) = response::decode(nest(&[100], &message).into()).expect("valid") else {
        panic!("the answer is complete");
    };
    assert_eq!(result.outgoing_messages[0].argument, Some(Bytes::new()));
    assert_eq!(result.outgoing_messages[1].argument, None);
}

/// An argument that its receiver could not read is refused where it comes from, and the fault says where.
#[test]
fn a_fault_names_its_field() {
    let not_text = nest(&[1], &[0xff]);
    for (path, inner, expected) in [
        (&[100, 2, 2][..], &not_text[..], "`invocation_result.outgoing_messages[0].argument.typename` is not UTF-8"),
        (&[100, 3, 3, 4], &not_text, "`invocation_result.delayed_invocations[0].argument.metadata.key` is not UTF-8"),
        (
            &[100, 1, 3],
            &[0x10],
            "`invocation_result.state_mutations[0].state_value.has_value` is cut short, or a number is over 64 bits",
        ),
        (
            &[100, 4, 3],
            &[0x18, 0x00],
            "`invocation_result.outgoing_egresses[0].argument.value` has the wrong wire type",
        ),
        (&[101, 1], &[0x3a, 0x05], "`incomplete_invocation_context.missing_values[0].field 7` is cut short"),
        (&[101], &[0x07], "`incomplete_invocation_context` has a field key that is not protobuf"),
        (&[], &[0x0f], "the message has a field key that is not protobuf"),
    ] {
        assert_eq!(fault(response::decode(nest(path, inner).into())), expected);
    }
}

/// Values and arguments lie in the body that was read: nothing is copied.
#[test]
fn payloads_are_not_copied() {
    let value = nest(&[3], &[7; 64]);
    let result = [nest(&[2, 2], &value), nest(&[1, 3], &value), nest(&[4, 3], &value)].concat();
    let body = Bytes::from(nest(&[100], &result));
    let range = body.as_ptr_range();
    let Response::Completed(result) = response::decode(body.clone()).expect("valid") else {
        panic!("the answer is complete");
    };
    let argument = result.outgoing_messages[0].argument.as_ref();
    let state = result.state_mutations[0].state_value.as_ref().map(|value| &value.value);
    let record = result.outgoing_egresses[0].argument.as_ref().map(|value| &value.value);
    for payload in [argument, state, record] {
        let payload = payload.expect("a payload");
        assert!(payload.len() >= 64 && range.contains(&payload.as_ptr()));
    }
}

fn fault(answer: Result<Response, InvalidResponse>) -> String {
    let error = answer.expect_err("the answer is not valid");
    assert_eq!(error.to_string(), "the answer is not a `FromFunction` message");
    error.source().expect("a cause").to_string()
}
