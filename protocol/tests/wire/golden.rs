//! Recorded and specified bytes, byte for byte.

use bytes::Bytes;
use millpond_protocol::proto::{egress, reqreply};
use millpond_protocol::request::{self, Invocation, State};
use millpond_protocol::response::{self, Response};
use millpond_protocol::types::{self, SimpleValue};
use millpond_protocol::{Address, TypeName};
use prost::Message;
use serde_json::Value;

use crate::vectors::{address, bytes, encoded_typed_value, entries, load, name, response as expected_response, text};

/// Vectors with fields that the generated types do not know, and so forget.
const WITH_FOREIGN_FIELDS: [&str; 2] = ["unknown fields", "forwarded"];

/// Our encoder writes what the SDK's own classes write. Its inputs come from the readable twin.
#[test]
fn requests_are_written_as_recorded() {
    let vectors = load("requests.json");
    assert!(vectors.len() >= 20, "only {} requests", vectors.len());
    for vector in &vectors {
        assert_eq!(encode_twin(&vector["twin"]), bytes(&vector["bytes"]), "{}", name(vector));
    }
}

/// The same for the requests that the recorded answers answer; here the inputs are read with the generated types.
#[test]
fn answered_requests_are_written_as_recorded() {
    for vector in load("answers.json") {
        if WITH_FOREIGN_FIELDS.contains(&name(&vector)) {
            continue;
        }
        let recorded = bytes(&vector["request"]);
        let message = reqreply::ToFunction::decode(recorded.clone()).expect("a recorded request is valid");
        assert_eq!(encode_generated(&message), recorded, "{}", name(&vector));
    }
}

/// Our reader finds in an answer what the SDK says is in it.
#[test]
fn answers_are_read_as_recorded() {
    let vectors = load("answers.json");
    assert!(vectors.len() >= 20, "only {} answers", vectors.len());
    for vector in &vectors {
        let read = response::decode(bytes(&vector["bytes"]));
        let read = read.unwrap_or_else(|error| panic!("{}: {error:?}", name(vector)));
        assert_eq!(read, expected_response(&vector["twin"]), "{}", name(vector));
    }
}

/// The generated types write back what they read, so our `.proto` files mean what upstream's mean.
#[test]
fn generated_types_write_back_what_they_read() {
    for vector in load("requests.json") {
        expect_same_bytes::<reqreply::ToFunction>(&vector);
    }
    for vector in load("answers.json") {
        expect_same_bytes::<reqreply::FromFunction>(&vector);
    }
    for vector in load("egress.json") {
        match vector["what"].as_str() {
            Some("io.statefun.sdk.egress.KafkaProducerRecord") => {
                expect_same_bytes::<egress::KafkaProducerRecord>(&vector);
            }
            Some("io.statefun.sdk.egress.KinesisEgressRecord") => {
                expect_same_bytes::<egress::KinesisEgressRecord>(&vector);
            }
            other => panic!("unknown record {other:?}"),
        }
    }
}

fn expect_same_bytes<M: Message + Default>(vector: &Value) {
    let recorded = bytes(&vector["bytes"]);
    let message = M::decode(recorded.clone()).unwrap_or_else(|error| panic!("{}: {error}", name(vector)));
    let same = message.encode_to_vec() == recorded;
    assert_eq!(same, !WITH_FOREIGN_FIELDS.contains(&name(vector)), "{}", name(vector));
}

/// An egress reads the fields where upstream puts them, a header's null and empty values apart.
#[test]
fn egress_records_are_read_as_recorded() {
    for vector in load("egress.json") {
        let twin = &vector["twin"];
        if text(&vector["what"]).ends_with("KafkaProducerRecord") {
            let record = egress::KafkaProducerRecord::decode(bytes(&vector["bytes"])).expect("a recorded record");
            assert_eq!(record.key, text(&twin["key"]));
            assert_eq!(record.value_bytes, bytes(&twin["value_bytes"]));
            assert_eq!(record.topic, text(&twin["topic"]));
            if !twin["unknown"].is_null() {
                let headers: Vec<_> = record
                    .headers
                    .iter()
                    .map(|header| (header.key.as_str(), &header.value[..], header.has_value))
                    .collect();
                assert_eq!(headers, [("trace", &[1, 2][..], true), ("empty", &[], true), ("null", &[], false)]);
            }
        } else {
            let record = egress::KinesisEgressRecord::decode(bytes(&vector["bytes"])).expect("a recorded record");
            assert_eq!(record.partition_key, text(&twin["partition_key"]));
            assert_eq!(record.value_bytes, bytes(&twin["value_bytes"]));
            assert_eq!(record.stream, text(&twin["stream"]));
            assert_eq!(record.explicit_hash_key, text(&twin["explicit_hash_key"]));
        }
    }
}

/// Records for an egress arrive under the typenames by which the egress knows them.
#[test]
fn egress_typenames_are_those_of_the_sdk() {
    for (vector, typename) in [
        ("kafka egress", types::KAFKA_PRODUCER_RECORD),
        ("kinesis egress", types::KINESIS_EGRESS_RECORD),
        ("playground egress", types::PLAYGROUND_EGRESS_RECORD),
    ] {
        let Response::Completed(result) = response::decode(answer(vector, "bytes")).expect("a recorded answer") else {
            panic!("{vector} is complete");
        };
        assert!(!result.outgoing_egresses.is_empty());
        for record in result.outgoing_egresses {
            assert_eq!(record.argument.expect("a record").typename, typename);
        }
    }
}

/// Headers and unknown fields of an argument pass through us untouched: what the SDK forwarded, at once or delayed, makes
/// the very request from which the SDK took it.
#[test]
fn forwarded_arguments_keep_every_field() {
    let Response::Completed(result) = response::decode(answer("forwarded", "bytes")).expect("a recorded answer") else {
        panic!("the answer is complete");
    };
    let arguments = [&result.outgoing_messages[0].argument, &result.delayed_invocations[0].argument];
    let target = Address::new(TypeName::new("greeter.fns", "user"), "1");
    for argument in arguments {
        let argument = argument.as_ref().expect("an argument");
        let invocation = Invocation { caller: None, argument };
        assert_eq!(request::encode(&target, &[], &[invocation]), answer("forwarded", "request"));
    }
}

/// The worked examples of the specification, which were typed by hand: read, written, and built from their twins.
#[test]
fn worked_examples_of_the_specification() {
    for vector in load("spec.json") {
        let specified = bytes(&vector["bytes"]);
        if vector["message"] == "ToFunction" {
            assert_eq!(encode_twin(&vector["twin"]), specified, "{}", name(&vector));
            expect_same_bytes::<reqreply::ToFunction>(&vector);
        } else {
            let read = response::decode(specified).expect("an example is valid");
            assert_eq!(read, expected_response(&vector["twin"]), "{}", name(&vector));
            expect_same_bytes::<reqreply::FromFunction>(&vector);
        }
    }
}

/// Simple values have the bytes that the SDK gives them, and those of the specification's table.
#[test]
fn simple_values_have_the_recorded_bytes() {
    let vectors = [load("types.json"), load("spec-types.json")].concat();
    assert!(vectors.len() >= 50, "only {} values", vectors.len());
    for vector in vectors {
        let (typename, expected) = (text(&vector["typename"]), bytes(&vector["bytes"]));
        let value = simple_value(&typename, &vector["value"]);
        assert_eq!(value.typename(), typename);
        assert_eq!(value.encode(), expected, "{vector}");
        let described = types::describe(&typename, &expected).expect("a recorded value is sound");
        // Compared as text because NaN does not equal itself. The sign of a zero is lost on the wire.
        let shown = value.to_string();
        let shown = if shown == "-0.0" { "0.0" } else { &shown };
        assert_eq!(described.to_string(), shown, "{vector}");
    }
}

fn simple_value(typename: &str, readable: &Value) -> SimpleValue {
    let spelled = || text(readable);
    match typename {
        types::BOOL => SimpleValue::Bool(readable.as_bool().expect("a bool")),
        types::INT => SimpleValue::Int(i32::try_from(readable.as_i64().expect("an int")).expect("32 bits")),
        types::FLOAT => SimpleValue::Float(spelled().parse().expect("a float")),
        types::LONG => SimpleValue::Long(readable.as_i64().expect("a long")),
        types::DOUBLE => SimpleValue::Double(spelled().parse().expect("a double")),
        types::STRING => SimpleValue::String(spelled()),
        other => panic!("unknown type {other}"),
    }
}

fn answer(wanted: &str, field: &str) -> Bytes {
    let vectors = load("answers.json");
    let vector = vectors.iter().find(|vector| name(vector) == wanted);
    bytes(&vector.unwrap_or_else(|| panic!("no answer {wanted}"))[field])
}

fn encode_twin(twin: &Value) -> Bytes {
    let batch = &twin["invocation"];
    let states: Vec<_> = entries(&batch["state"])
        .iter()
        .map(|state| (text(&state["state_name"]), &state["state_value"]))
        .map(|(name, value)| {
            let set = !value.is_null();
            assert_eq!(set, value["has_value"] == true, "an unset state is absent");
            (name, set.then(|| (text(&value["typename"]), bytes(&value["value"]))))
        })
        .collect();
    let invocations: Vec<_> = entries(&batch["invocations"])
        .iter()
        .map(|twin| {
            let caller = &twin["caller"];
            ((!caller.is_null()).then(|| address(caller)), encoded_typed_value(&twin["argument"]))
        })
        .collect();
    encode(&address(&batch["target"]), &states, &invocations)
}

fn encode_generated(message: &reqreply::ToFunction) -> Bytes {
    let Some(reqreply::to_function::Request::Invocation(batch)) = &message.request else {
        panic!("a request asks for something");
    };
    let address = |address: &reqreply::Address| {
        Address::new(TypeName::new(&address.namespace, &address.r#type), address.id.as_str())
    };
    let states: Vec<_> = batch
        .state
        .iter()
        .map(|state| {
            let value = state.state_value.as_ref();
            (state.state_name.clone(), value.map(|value| (value.typename.clone(), value.value.clone())))
        })
        .collect();
    let invocations: Vec<_> = batch
        .invocations
        .iter()
        .map(|invocation| {
            let argument = invocation.argument.as_ref().expect("an argument is always there");
            (invocation.caller.as_ref().map(address), Bytes::from(argument.encode_to_vec()))
        })
        .collect();
    encode(&address(batch.target.as_ref().expect("a target")), &states, &invocations)
}

type OwnedState = (String, Option<(String, Bytes)>);

fn encode(target: &Address, states: &[OwnedState], invocations: &[(Option<Address>, Bytes)]) -> Bytes {
    let states: Vec<_> = states
        .iter()
        .map(|(name, value)| State { name, value: value.as_ref().map(|(typename, value)| (typename.as_str(), value)) })
        .collect();
    let invocations: Vec<_> =
        invocations.iter().map(|(caller, argument)| Invocation { caller: caller.as_ref(), argument }).collect();
    request::encode(target, &states, &invocations)
}
