//! Reads `vectors/` and builds messages from the readable twins.

use std::path::Path;

use bytes::Bytes;
use millpond_protocol::proto::reqreply;
use millpond_protocol::response;
use millpond_protocol::{Address, TypeName};
use prost::Message;
use serde_json::Value;

/// The vectors of a file.
pub fn load(file: &str) -> Vec<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors").join(file);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

pub fn name(vector: &Value) -> &str {
    vector["name"].as_str().expect("a vector has a name")
}

/// Hex bytes and 'quoted' text, one string or several; none when absent.
pub fn bytes(value: &Value) -> Bytes {
    let mut out = Vec::new();
    for line in entries(value) {
        let line = line.as_str().expect("bytes are strings");
        for (index, part) in line.split('\'').enumerate() {
            if index % 2 == 1 {
                out.extend_from_slice(part.as_bytes());
            } else {
                out.extend(part.split_whitespace().map(|byte| u8::from_str_radix(byte, 16).expect("hex")));
            }
        }
    }
    out.into()
}

/// A list, or one value without the list around it; empty when absent.
pub fn entries(value: &Value) -> &[Value] {
    match value {
        Value::Null => &[],
        Value::Array(entries) => entries,
        one => std::slice::from_ref(one),
    }
}

/// A string, "" when absent, as everywhere in proto3.
pub fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn flag(value: &Value) -> bool {
    value.as_bool().unwrap_or_default()
}

fn number(value: &Value) -> i64 {
    value.as_i64().unwrap_or_default()
}

fn optional<T>(value: &Value, read: impl Fn(&Value) -> T) -> Option<T> {
    (!value.is_null()).then(|| read(value))
}

fn list<T>(value: &Value, read: impl Fn(&Value) -> T) -> Vec<T> {
    entries(value).iter().map(read).collect()
}

/// A `TypedValue` on the wire: the fields that every SDK knows, then those that the twin has as they stand.
pub fn encoded_typed_value(twin: &Value) -> Bytes {
    let known = reqreply::TypedValue {
        typename: text(&twin["typename"]),
        has_value: flag(&twin["has_value"]),
        value: bytes(&twin["value"]),
        metadata: Vec::new(),
    };
    let mut encoded = known.encode_to_vec();
    encoded.extend_from_slice(&bytes(&twin["unknown"]));
    encoded.into()
}

pub fn address(twin: &Value) -> Address {
    let function = TypeName::new(&text(&twin["namespace"]), &text(&twin["type"]));
    Address::new(function, text(&twin["id"]))
}

/// The twin of a `FromFunction` as [`response::decode`] must read it.
pub fn response(twin: &Value) -> response::Response {
    let incomplete = &twin["incomplete_invocation_context"];
    if !incomplete.is_null() {
        return response::Response::Incomplete(list(&incomplete["missing_values"], spec));
    }
    let result = &twin["invocation_result"];
    response::Response::Completed(response::InvocationResponse {
        state_mutations: list(&result["state_mutations"], |twin| response::PersistedValueMutation {
            mutation_type: match twin["mutation_type"].as_str() {
                None => response::MUTATION_DELETE,
                Some("MODIFY") => response::MUTATION_MODIFY,
                Some(other) => panic!("unknown mutation {other}"),
            },
            state_name: text(&twin["state_name"]),
            state_value: optional(&twin["state_value"], typed_value),
        }),
        outgoing_messages: list(&result["outgoing_messages"], |twin| response::OutgoingMessage {
            target: optional(&twin["target"], wire_address),
            argument: optional(&twin["argument"], encoded_typed_value),
        }),
        delayed_invocations: list(&result["delayed_invocations"], |twin| response::DelayedInvocation {
            delay_in_ms: number(&twin["delay_in_ms"]),
            target: optional(&twin["target"], wire_address),
            argument: optional(&twin["argument"], encoded_typed_value),
            is_cancellation_request: flag(&twin["is_cancellation_request"]),
            cancellation_token: text(&twin["cancellation_token"]),
        }),
        outgoing_egresses: list(&result["outgoing_egresses"], |twin| response::EgressMessage {
            egress_namespace: text(&twin["egress_namespace"]),
            egress_type: text(&twin["egress_type"]),
            argument: optional(&twin["argument"], typed_value),
        }),
    })
}

fn spec(twin: &Value) -> response::PersistedValueSpec {
    response::PersistedValueSpec {
        state_name: text(&twin["state_name"]),
        expiration_spec: optional(&twin["expiration_spec"], |twin| response::ExpirationSpec {
            mode: match twin["mode"].as_str() {
                None => 0,
                Some("AFTER_WRITE") => response::EXPIRE_AFTER_WRITE,
                Some("AFTER_INVOKE") => response::EXPIRE_AFTER_INVOKE,
                Some(other) => panic!("unknown expiry {other}"),
            },
            expire_after_millis: number(&twin["expire_after_millis"]),
        }),
        type_typename: text(&twin["type_typename"]),
    }
}

fn typed_value(twin: &Value) -> response::TypedValue {
    response::TypedValue {
        typename: text(&twin["typename"]),
        has_value: flag(&twin["has_value"]),
        value: bytes(&twin["value"]),
    }
}

fn wire_address(twin: &Value) -> response::WireAddress {
    response::WireAddress { namespace: text(&twin["namespace"]), r#type: text(&twin["type"]), id: text(&twin["id"]) }
}
