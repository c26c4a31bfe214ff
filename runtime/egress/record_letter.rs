//! A dead letter of a record that an ingress read and that cannot be a message: the same format as of a message that its
//! function rejects, with the record in place of target and argument. Pure.
//!
//! What comes in: the record, and what is wrong with it. What goes out: the record of the lane that the module names.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use millpond_engine::{EgressRecord, LaneId, Millis};
use millpond_protocol::TypeName;
use millpond_protocol::proto::egress::KafkaProducerRecord;
use prost::Message as _;
use serde::Serialize;

use super::dead_letter::{FORMAT, Failure, Header, Module, Runtime};
use crate::edge::{rfc3339, text};

/// A record that no function gets.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RecordLetter<'a> {
    /// The ingress that read it.
    pub(crate) ingress: &'a TypeName,
    /// Its topic.
    pub(crate) topic: &'a str,
    /// Its partition.
    pub(crate) partition: u32,
    /// Its offset.
    pub(crate) offset: u64,
    /// Its time, in milliseconds since 1970, if the broker knows.
    pub(crate) timestamp: Option<i64>,
    /// Its key.
    pub(crate) key: Option<&'a [u8]>,
    /// The type that the module gives the values of the topic.
    pub(crate) value_type: &'a str,
    /// Its value.
    pub(crate) value: Option<&'a [u8]>,
    /// Its headers, in order.
    pub(crate) headers: &'a [(&'a str, Option<&'a [u8]>)],
    /// What is wrong with it, as a name.
    pub(crate) defect: &'static str,
    /// The same in words.
    pub(crate) error: &'static str,
    /// When it was read.
    pub(crate) time: Millis,
}

/// Where the records of a topic go that cannot be messages.
#[derive(Debug, Clone)]
pub(crate) struct LetterRoute {
    /// The lane.
    pub(crate) lane: LaneId,
    /// The topic of a Kafka egress, whose records name it; `None` for the playground's, whose lanes are topics.
    pub(crate) topic: Option<String>,
    /// Digest of the module's files.
    pub(crate) module: String,
}

impl LetterRoute {
    /// The record of the lane.
    pub(crate) fn letter(&self, letter: &RecordLetter<'_>) -> EgressRecord {
        let json = self.json(letter, env!("CARGO_PKG_VERSION"));
        let record = match &self.topic {
            None => json,
            Some(topic) => {
                let key = String::from_utf8_lossy(letter.key.unwrap_or_default()).into_owned();
                let record = KafkaProducerRecord { key, value_bytes: json, topic: topic.clone(), headers: Vec::new() };
                record.encode_to_vec().into()
            }
        };
        EgressRecord { lane: self.lane, record }
    }

    fn json(&self, letter: &RecordLetter<'_>, version: &'static str) -> Bytes {
        let RecordLetter { topic, partition, offset, timestamp, .. } = *letter;
        let base64 = |bytes: &[u8]| STANDARD.encode(bytes);
        let letter = Letter {
            format: FORMAT,
            record: Source {
                ingress: letter.ingress.to_string(),
                topic,
                partition,
                offset,
                timestamp,
                key: letter.key.map(base64),
                value: letter.value.map(base64),
                text: letter.value.and_then(|value| text(letter.value_type, value)),
                headers: letter.headers.iter().map(|(key, value)| Header::new(key, *value)).collect(),
            },
            defect: letter.defect,
            arrived_at: rfc3339(letter.time),
            error: Failure { code: "MP1021", text: letter.error },
            decided_by: "policy",
            module: Module { digest: &self.module },
            runtime: Runtime { version },
        };
        serde_json::to_vec(&letter).expect("text and numbers are JSON").into()
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Letter<'a> {
    format: &'static str,
    record: Source<'a>,
    defect: &'static str,
    arrived_at: String,
    error: Failure<'a>,
    decided_by: &'static str,
    module: Module<'a>,
    runtime: Runtime,
}

/// The record itself, with all of its bytes, and where it is from.
#[derive(Serialize)]
struct Source<'a> {
    ingress: String,
    topic: &'a str,
    partition: u32,
    offset: u64,
    timestamp: Option<i64>,
    key: Option<String>,
    value: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    headers: Vec<Header>,
}

#[cfg(test)]
mod tests {
    use millpond_engine::LaneId;
    use millpond_protocol::TypeName;
    use millpond_protocol::proto::egress::KafkaProducerRecord;
    use prost::Message as _;

    use super::{LetterRoute, RecordLetter};

    fn route(topic: Option<&str>) -> LetterRoute {
        LetterRoute { lane: LaneId(3), topic: topic.map(str::to_owned), module: "9f86d081".to_owned() }
    }

    fn letter(ingress: &TypeName) -> RecordLetter<'_> {
        RecordLetter {
            ingress,
            topic: "visits",
            partition: 3,
            offset: 42,
            timestamp: Some(-1),
            key: None,
            value_type: "com.example/visit",
            value: Some(br#"{"city": "Turin"}"#),
            headers: &[("trace", Some(b"\xff")), ("none", None), ("trace", Some(b""))],
            defect: "NULL_KEY",
            error: "the ingress requires a UTF-8 key set for each record",
            time: 1_735_689_599_042,
        }
    }

    /// The format, byte for byte. A reader of version 1 reads every later record of version 1.
    #[test]
    fn version_1() {
        let ingress = TypeName::new("com.example", "in");
        let expected = concat!(
            r#"{"format":"millpond.dead-letter/1","#,
            r#""record":{"ingress":"com.example/in","topic":"visits","partition":3,"offset":42,"timestamp":-1,"#,
            r#""key":null,"value":"eyJjaXR5IjogIlR1cmluIn0=","text":"{\"city\": \"Turin\"}","#,
            r#""headers":[{"key":"trace","value":"/w=="},{"key":"none","value":null},{"key":"trace","value":""}]},"#,
            r#""defect":"NULL_KEY","arrivedAt":"2024-12-31T23:59:59.042Z","#,
            r#""error":{"code":"MP1021","text":"the ingress requires a UTF-8 key set for each record"},"#,
            r#""decidedBy":"policy","module":{"digest":"9f86d081"},"runtime":{"version":"0.1.0"}}"#,
        );
        let json = route(None).json(&letter(&ingress), "0.1.0");
        assert_eq!(String::from_utf8(json.to_vec()).expect("text"), expected);
    }

    /// MP1021: no key, an empty one and any other, no value and an empty one are told apart; nothing is left out.
    #[test]
    fn bytes_are_kept() {
        let ingress = TypeName::new("com.example", "in");
        for (key, value, expected) in [
            (None, None, r#""timestamp":null,"key":null,"value":null}"#),
            (Some(&b""[..]), Some(&b""[..]), r#""timestamp":null,"key":"","value":""}"#),
            (Some(&b"\xff"[..]), Some(&b"\0"[..]), r#""timestamp":null,"key":"/w==","value":"AA=="}"#),
        ] {
            let letter = RecordLetter { key, value, timestamp: None, headers: &[], ..letter(&ingress) };
            let record = route(None).letter(&letter);
            assert_eq!(record.lane, LaneId(3));
            let json = String::from_utf8(record.record.to_vec()).expect("text");
            assert!(json.contains(expected), "{json}");
        }
    }

    /// For a Kafka egress it is a record of the topic that the module names, with the key as text.
    #[test]
    fn to_kafka() {
        let ingress = TypeName::new("com.example", "in");
        for (key, expected) in [(None, ""), (Some(&b"Ada"[..]), "Ada"), (Some(b"A\xff"), "A\u{fffd}")] {
            let letter = RecordLetter { key, ..letter(&ingress) };
            let record = KafkaProducerRecord::decode(route(Some("odd")).letter(&letter).record).expect("a record");
            assert_eq!((record.topic.as_str(), record.key.as_str()), ("odd", expected));
            assert!(record.value_bytes.starts_with(br#"{"format":"millpond.dead-letter/1","record":"#));
        }
    }
}
