//! A dead letter as a record of the playground egress: one JSON object, described field by field in `docs/dead-letters.md`.
//!
//! What comes in: a message that was taken out of its queue without having run, and what is known of why. What goes out:
//! text. The same letter gives the same text, byte for byte. The first field names the format and its version: a field may
//! be added to a version, and what a field means does not change.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use millpond_engine::{DeadLetter, DeadLetterForm, DecidedBy};
use millpond_protocol::Address;
use millpond_protocol::proto::reqreply::TypedValue;
use millpond_protocol::proto::reqreply::typed_value::Metadata;
use prost::Message as _;
use serde::Serialize;

use crate::edge::{rfc3339, text};

/// Name and version of the format.
const FORMAT: &str = "millpond.dead-letter/1";

/// Writes dead letters.
#[derive(Debug)]
pub struct DeadLetterRecord {
    module: String,
    version: &'static str,
}

impl DeadLetterRecord {
    /// Letters of a module with this digest of its files, written by this version of the runtime.
    pub fn new(module: String) -> DeadLetterRecord {
        DeadLetterRecord { module, version: env!("CARGO_PKG_VERSION") }
    }
}

impl DeadLetterForm for DeadLetterRecord {
    fn record(&self, letter: &DeadLetter) -> Bytes {
        let invocation = &letter.invocation;
        let record = Record {
            format: FORMAT,
            target: Instance::from(&letter.target),
            caller: invocation.caller.as_ref().map(Instance::from),
            argument: Argument::from(&invocation.argument),
            sequence: letter.sequence,
            arrived_at: rfc3339(invocation.arrived),
            error: Failure { code: &letter.code, text: &letter.error },
            attempts: letter.attempts,
            first_failure_at: rfc3339(letter.first_failure),
            last_failure_at: rfc3339(letter.time),
            decided_by: decided_by(letter.decided_by),
            module: Module { digest: &self.module },
            runtime: Runtime { version: self.version },
        };
        serde_json::to_vec(&record).expect("text and numbers are JSON").into()
    }
}

/// Who gave a message up, in the word that record and log have for it.
pub(crate) fn decided_by(who: DecidedBy) -> &'static str {
    match who {
        DecidedBy::Policy => "policy",
        DecidedBy::Operator => "operator",
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Record<'a> {
    format: &'static str,
    target: Instance<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    caller: Option<Instance<'a>>,
    argument: Argument,
    sequence: u64,
    arrived_at: String,
    error: Failure<'a>,
    attempts: u32,
    first_failure_at: String,
    last_failure_at: String,
    decided_by: &'static str,
    module: Module<'a>,
    runtime: Runtime,
}

#[derive(Serialize)]
struct Instance<'a> {
    namespace: &'a str,
    name: &'a str,
    id: &'a str,
}

/// The message itself: what can be read of it, and all of its bytes.
#[derive(Serialize)]
struct Argument {
    typename: String,
    /// Base64; null when the message has no value, which is not an empty one.
    value: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    headers: Vec<Header>,
    /// Base64 of the `TypedValue` as it would have been sent, fields that nobody here knows included.
    encoded: String,
}

#[derive(Serialize)]
struct Header {
    key: String,
    value: Option<String>,
}

#[derive(Serialize)]
struct Failure<'a> {
    code: &'a str,
    text: &'a str,
}

#[derive(Serialize)]
struct Module<'a> {
    digest: &'a str,
}

#[derive(Serialize)]
struct Runtime {
    version: &'static str,
}

impl<'a> From<&'a Address> for Instance<'a> {
    fn from(address: &'a Address) -> Instance<'a> {
        Instance { namespace: address.function.namespace(), name: address.function.name(), id: &address.id }
    }
}

impl From<&Bytes> for Argument {
    fn from(encoded: &Bytes) -> Argument {
        // Arguments are checked when they come in. One that cannot be read nevertheless has all its bytes in `encoded`.
        let value = TypedValue::decode(encoded.clone()).unwrap_or_default();
        Argument {
            value: value.has_value.then(|| STANDARD.encode(&value.value)),
            text: value.has_value.then(|| text(&value.typename, &value.value)).flatten(),
            headers: value.metadata.into_iter().map(Header::from).collect(),
            typename: value.typename,
            encoded: STANDARD.encode(encoded),
        }
    }
}

impl From<Metadata> for Header {
    fn from(header: Metadata) -> Header {
        Header { key: header.key, value: header.has_value.then(|| STANDARD.encode(&header.value)) }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;
    use millpond_engine::{
        DeadLetter, DeadLetterForm, DeadLetterRoute, DecidedBy, EndpointConfig, Engine, EngineConfig, Event,
        FailurePolicy, FunctionPattern, Input, Invocation, LaneId, LaneName, Limits, MemoryLedger, Operation, Output,
        Receipt,
    };
    use millpond_protocol::{Address, TypeName, request};
    use serde_json::{Value, json};

    use super::DeadLetterRecord;

    const FORM: DeadLetterRecord = DeadLetterRecord { module: String::new(), version: "0.1.0" };

    fn address(id: &str) -> Address {
        Address::new(TypeName::new("com.example.fns", "greeter"), id)
    }

    fn letter(argument: Bytes) -> DeadLetter {
        DeadLetter {
            target: address("Ada \"ü\""),
            sequence: 37,
            invocation: Invocation {
                caller: None,
                argument,
                arrived: 1_735_689_599_042,
                event_time: 1_735_689_599_042,
            },
            code: "MP4008".into(),
            error: "status 500".into(),
            attempts: 4,
            first_failure: 1_735_689_600_000,
            time: 1_735_689_605_500,
            decided_by: DecidedBy::Policy,
        }
    }

    fn argument(encoded: Bytes) -> Value {
        let record: Value = serde_json::from_slice(&FORM.record(&letter(encoded))).expect("JSON");
        record["argument"].clone()
    }

    /// The format, byte for byte. A reader of version 1 reads every later record of version 1.
    #[test]
    fn version_1() {
        // Typename and value, a header with a value, one with null, and a field that nobody knows.
        let mut encoded = request::typed_value("com.example/visit", br#"{"city": "Turin"}"#).to_vec();
        encoded.extend(b"\x22\x0c\x0a\x05trace\x12\x01\xff\x18\x01\x22\x06\x0a\x04none\xfa\x3e\x03new");
        let mut letter = letter(encoded.into());
        letter.invocation.caller = Some(Address::new(TypeName::new("com.example.fns", "clerk"), ""));
        let form = DeadLetterRecord { module: "9f86d081".to_owned(), version: "0.1.0" };
        let expected = concat!(
            r#"{"format":"millpond.dead-letter/1","#,
            r#""target":{"namespace":"com.example.fns","name":"greeter","id":"Ada \"ü\""},"#,
            r#""caller":{"namespace":"com.example.fns","name":"clerk","id":""},"#,
            r#""argument":{"typename":"com.example/visit","value":"eyJjaXR5IjogIlR1cmluIn0=","#,
            r#""text":"{\"city\": \"Turin\"}","#,
            r#""headers":[{"key":"trace","value":"/w=="},{"key":"none","value":null}],"#,
            r#""encoded":"ChFjb20uZXhhbXBsZS92aXNpdBABGhF7ImNpdHkiOiAiVHVyaW4ifSIMCgV0cmFjZRIB/xgBIgYKBG5vbmX6PgNuZXc="},"#,
            r#""sequence":37,"arrivedAt":"2024-12-31T23:59:59.042Z","#,
            r#""error":{"code":"MP4008","text":"status 500"},"attempts":4,"#,
            r#""firstFailureAt":"2025-01-01T00:00:00.000Z","lastFailureAt":"2025-01-01T00:00:05.500Z","#,
            r#""decidedBy":"policy","module":{"digest":"9f86d081"},"runtime":{"version":"0.1.0"}}"#,
        );
        assert_eq!(String::from_utf8(form.record(&letter).to_vec()).expect("text"), expected);
    }

    /// Whatever an argument is, its bytes are all there; no value, an empty one and no sense at all are told apart.
    #[test]
    fn arguments() {
        for (encoded, expected) in [
            (Bytes::new(), json!({ "typename": "", "value": null, "encoded": "" })),
            (Bytes::from_static(b"\x0a\x01a"), json!({ "typename": "a", "value": null, "encoded": "CgFh" })),
            (request::typed_value("a/b", b""), json!({ "typename": "a/b", "value": "", "encoded": "CgNhL2IQAQ==" })),
            (Bytes::from_static(b"\xff"), json!({ "typename": "", "value": null, "encoded": "/w==" })),
            (
                request::typed_value("io.statefun.types/string", b"\x0a\x02Hi"),
                json!({
                    "typename": "io.statefun.types/string", "value": "CgJIaQ==", "text": "Hi",
                    "encoded": "Chhpby5zdGF0ZWZ1bi50eXBlcy9zdHJpbmcQARoECgJIaQ==",
                }),
            ),
        ] {
            assert_eq!(argument(encoded), expected);
        }
    }

    /// MP3020: what an operator takes out before its function rejected it says so, through the real engine.
    #[test]
    fn taken_out_without_a_failure() {
        let lane = LaneName { egress: TypeName::new("io.statefun.playground", "egress"), part: "dead".to_owned() };
        let endpoint = EndpointConfig {
            functions: FunctionPattern::Namespace("com.example.fns".to_owned()),
            max_num_batch_requests: None,
            calls_max: 1024,
            call_ms: 1000,
            failure_policy: FailurePolicy::Park,
            dead_letters: Some(DeadLetterRoute { lane: LaneId(0), form: Arc::new(FORM) }),
        };
        let config = EngineConfig {
            endpoints: vec![endpoint],
            lanes: vec![lane.clone()],
            limits: Limits::default(),
            hash_seed: 7,
        };
        let mut ledger = MemoryLedger::default();
        let mut engine = Engine::new(config, &ledger.restore());
        let event = |id: &str| {
            let invocations = vec![(address(id), request::typed_value("a/b", b"1"))];
            Input::Ingested(Event { invocations, receipt: None, idempotency: None })
        };
        // The first call to a function type goes out alone: the second address waits for it, and did not fail.
        let mut inputs = vec![event("first"), event("second")];
        let mut operated = false;
        while !inputs.is_empty() {
            engine.handle(1000, inputs.remove(0));
            while let Some(output) = engine.poll() {
                match output {
                    Output::Load(load) => inputs.push(Input::Loaded(ledger.load(&load))),
                    Output::Checkpoint(checkpoint) => {
                        ledger.commit(&checkpoint, std::slice::from_ref(&lane)).expect("it fits");
                        inputs.push(Input::Durable(checkpoint.meta.checkpoint));
                    }
                    _ => {}
                }
            }
            if inputs.is_empty() && !operated {
                operated = true;
                let first = engine.view(&address("second")).and_then(|view| view.first).expect("it waits");
                let (operation, receipt) = (Operation::DeadLetter(first), Receipt(1));
                inputs.push(Input::Operate { address: address("second"), operation, receipt });
            }
        }
        let records = ledger.outbox(&lane, 0, 10, 10_000);
        let record: Value = serde_json::from_slice(&records[0].1).expect("JSON");
        assert_eq!((&record["error"]["code"], &record["attempts"]), (&json!("MP3020"), &json!(0)));
        assert_eq!((&record["decidedBy"], &record["target"]["id"]), (&json!("operator"), &json!("second")));
    }
}
