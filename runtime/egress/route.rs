//! Finds the lane of a record that a function sent. Pure.
//!
//! What comes in: an `EgressMessage` as the wire carried it. What goes out: the record in the egress's own form and its
//! lane, or why the answer that it came with is rejected. The JSON of a playground record is read as upstream reads it:
//! exactly the fields `topic` and `payload`, the last one of two with one name, numbers and booleans taken as their text.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use bytes::Bytes;
use millpond_engine::{EgressRecord, LaneId, LaneName, Rejection};
use millpond_protocol::TypeName;
use millpond_protocol::response::EgressMessage;
use millpond_protocol::types::PLAYGROUND_EGRESS_RECORD;
use serde::de::{self, Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::kafka;

/// The id of the playground egress, which upstream fixes.
pub const PLAYGROUND_EGRESS: (&str, &str) = ("io.statefun.playground", "egress");

/// An egress of the module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Egress {
    /// `io.statefun.playground.v1/egress`.
    Playground {
        /// The topics that functions may write to.
        topics: Vec<String>,
    },
    /// `io.statefun.kafka.v1/egress`: records name their topic themselves.
    Kafka {
        /// The id that the module gives it.
        id: TypeName,
    },
}

impl Egress {
    /// The id under which functions send to it.
    pub fn id(&self) -> TypeName {
        match self {
            Egress::Playground { .. } => TypeName::new(PLAYGROUND_EGRESS.0, PLAYGROUND_EGRESS.1),
            Egress::Kafka { id } => id.clone(),
        }
    }
}

/// The egresses of the module and their lanes.
#[derive(Debug, Clone)]
pub struct EgressTable {
    lanes: Vec<LaneName>,
    egresses: BTreeMap<TypeName, Route>,
}

#[derive(Debug, Clone)]
enum Route {
    Playground(BTreeMap<String, LaneId>),
    /// One lane for all topics, so that the records of one function stay in order.
    Kafka(LaneId),
}

impl EgressTable {
    /// The table of these egresses. A topic listed twice is one lane.
    pub fn new(egresses: &[Egress]) -> EgressTable {
        let mut table = EgressTable { lanes: Vec::new(), egresses: BTreeMap::new() };
        for egress in egresses {
            let mut lane = |part: &str| table.add_lane(LaneName { egress: egress.id(), part: part.to_owned() });
            let route = match egress {
                Egress::Playground { topics } => {
                    let topics: BTreeSet<&String> = topics.iter().collect();
                    Route::Playground(topics.into_iter().map(|topic| (topic.clone(), lane(topic))).collect())
                }
                Egress::Kafka { .. } => Route::Kafka(lane("")),
            };
            table.egresses.insert(egress.id(), route);
        }
        table
    }

    fn add_lane(&mut self, name: LaneName) -> LaneId {
        let id = u32::try_from(self.lanes.len()).expect("a module file is far too small for 2^32 lanes");
        self.lanes.push(name);
        LaneId(id)
    }

    /// The lanes; a [`LaneId`] is a place in here.
    pub fn lanes(&self) -> &[LaneName] {
        &self.lanes
    }

    /// The lane of a topic, where records go that no function sent.
    pub fn lane(&self, egress: &TypeName, topic: &str) -> Option<LaneId> {
        match self.egresses.get(egress)? {
            Route::Playground(topics) => topics.get(topic).copied(),
            Route::Kafka(lane) => Some(*lane),
        }
    }

    /// Finds the lane of a record.
    ///
    /// # Errors
    /// [`Rejection`] of the whole answer that the record came with.
    pub fn resolve(&self, message: &EgressMessage) -> Result<EgressRecord, Rejection> {
        let id = TypeName::new(&message.egress_namespace, &message.egress_type);
        let route = self.egresses.get(&id).ok_or_else(|| self.unknown_egress(&id))?;
        let topics = match route {
            Route::Playground(topics) => topics,
            Route::Kafka(lane) => return Ok(EgressRecord { lane: *lane, record: kafka::record::checked(message)? }),
        };
        let record = playground_record(message)?;
        let lane = topics.get(&record.topic).ok_or_else(|| unknown_topic(&record.topic, topics))?;
        Ok(EgressRecord { lane: *lane, record: Bytes::from(record.payload) })
    }

    fn unknown_egress(&self, id: &TypeName) -> Rejection {
        let known = listed(self.egresses.keys());
        Rejection::new(
            "MP6001",
            format!("no egress `{}` in the module; declared egresses: {known}", Short(&id.to_string())),
        )
    }
}

fn unknown_topic(topic: &str, topics: &BTreeMap<String, LaneId>) -> Rejection {
    let known = listed(topics.keys());
    Rejection::new("MP6003", format!("no topic `{}` in the playground egress; its topics: {known}", Short(topic)))
}

/// The names that an error lists at most.
const LISTED_MAX: usize = 16;

fn listed(names: impl ExactSizeIterator<Item = impl fmt::Display>) -> String {
    let more = names.len().saturating_sub(LISTED_MAX);
    let mut listed: Vec<String> = names.take(LISTED_MAX).map(|name| format!("`{name}`")).collect();
    if more > 0 {
        listed.push(format!("{more} more"));
    }
    if listed.is_empty() { "none".to_owned() } else { listed.join(", ") }
}

/// What a function sent, cut to a length that an error message can bear.
pub(super) struct Short<'a>(pub(super) &'a str);

impl fmt::Display for Short<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const CHARS_MAX: usize = 128;
        match self.0.char_indices().nth(CHARS_MAX) {
            Some((end, _)) => write!(f, "{}…", &self.0[..end]),
            None => f.write_str(self.0),
        }
    }
}

fn playground_record(message: &EgressMessage) -> Result<PlaygroundRecord, Rejection> {
    let reject = |why: String| Rejection::new("MP6002", format!("the playground egress cannot take the record: {why}"));
    let value = message.argument.as_ref().ok_or_else(|| reject("it has no argument".to_owned()))?;
    if value.typename != PLAYGROUND_EGRESS_RECORD {
        let why = format!("its typename is `{}`, not `{PLAYGROUND_EGRESS_RECORD}`", Short(&value.typename));
        return Err(reject(why));
    }
    let json = value.value.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&value.value);
    // What follows the object is ignored, as upstream does: some SDKs end it with a line feed.
    PlaygroundRecord::deserialize(&mut serde_json::Deserializer::from_slice(json))
        .map_err(|error| reject(Short(&error.to_string()).to_string()))
}

/// `{"topic": "…", "payload": "…"}`.
#[derive(Debug)]
struct PlaygroundRecord {
    topic: String,
    payload: String,
}

impl<'de> Deserialize<'de> for PlaygroundRecord {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<PlaygroundRecord, D::Error> {
        deserializer.deserialize_map(RecordVisitor)
    }
}

struct RecordVisitor;

impl<'de> Visitor<'de> for RecordVisitor {
    type Value = PlaygroundRecord;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object with the text fields `topic` and `payload`")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<PlaygroundRecord, A::Error> {
        let (mut topic, mut payload) = (None, None);
        while let Some(field) = map.next_key::<String>()? {
            let slot = match field.as_str() {
                "topic" => &mut topic,
                "payload" => &mut payload,
                other => return Err(de::Error::unknown_field(other, &["topic", "payload"])),
            };
            let value = map.next_value::<&RawValue>()?.get();
            *slot = Some(text(value).ok_or_else(|| de::Error::custom(format!("field `{field}` is not text")))?);
        }
        Ok(PlaygroundRecord {
            topic: topic.ok_or_else(|| de::Error::missing_field("topic"))?,
            payload: payload.ok_or_else(|| de::Error::missing_field("payload"))?,
        })
    }
}

/// The text of a JSON value, if it is a text, a number or a boolean.
fn text(value: &str) -> Option<String> {
    match value.bytes().next()? {
        b'"' => serde_json::from_str(value).ok(),
        b'{' | b'[' | b'n' => None,
        _ => Some(value.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use millpond_engine::LaneId;
    use millpond_protocol::TypeName;
    use millpond_protocol::response::{EgressMessage, TypedValue};
    use proptest::prelude::*;

    use super::{Egress, EgressTable, PLAYGROUND_EGRESS_RECORD};

    fn table() -> EgressTable {
        let topics = ["greetings", "b", "greetings", "ü/🦆", ""].map(str::to_owned).to_vec();
        EgressTable::new(&[Egress::Playground { topics }])
    }

    fn message(typename: &str, json: &[u8]) -> EgressMessage {
        EgressMessage {
            egress_namespace: "io.statefun.playground".to_owned(),
            egress_type: "egress".to_owned(),
            argument: Some(TypedValue {
                typename: typename.to_owned(),
                has_value: true,
                value: Bytes::copy_from_slice(json),
            }),
        }
    }

    fn resolve(json: &str) -> Result<(String, String), (&'static str, String)> {
        let table = table();
        match table.resolve(&message(PLAYGROUND_EGRESS_RECORD, json.as_bytes())) {
            Ok(record) => {
                let topic = table.lanes()[record.lane.0 as usize].part.clone();
                Ok((topic, String::from_utf8(record.record.to_vec()).expect("payloads are text")))
            }
            Err(rejection) => Err((rejection.code, rejection.error.to_string())),
        }
    }

    /// One lane per topic, however often it is listed.
    #[test]
    fn lanes() {
        let table = table();
        let names: Vec<String> = table.lanes().iter().map(|lane| format!("{} {}", lane.egress, lane.part)).collect();
        let egress = "io.statefun.playground/egress";
        assert_eq!(names, ["", "b", "greetings", "ü/🦆"].map(|topic| format!("{egress} {topic}")));
        let playground = TypeName::new("io.statefun.playground", "egress");
        assert_eq!(table.lane(&playground, "greetings"), Some(LaneId(2)));
        assert_eq!(table.lane(&playground, "other"), None);
        assert_eq!(table.lane(&TypeName::new("a", "b"), "greetings"), None);
        assert!(EgressTable::new(&[]).lanes().is_empty());
    }

    /// What upstream takes, with the same meaning.
    #[test]
    fn records_that_are_taken() {
        for (json, topic, payload) in [
            (r#"{"topic":"greetings","payload":"Hi"}"#, "greetings", "Hi"),
            (" {\"payload\" : \"a\\nb\" , \"topic\" : \"b\"}\n", "b", "a\nb"),
            (r#"{"topic":"\u00fc/\ud83e\udd86","payload":"\u0000"}"#, "ü/🦆", "\0"),
            (r#"{"topic":"ü/🦆","payload":""}"#, "ü/🦆", ""),
            (r#"{"topic":"","payload":"to the topic without a name"}"#, "", "to the topic without a name"),
            (r#"{"topic":"x","topic":"b","payload":"1","payload":"2"}"#, "b", "2"),
            (r#"{"topic":"b","payload":1.50}"#, "b", "1.50"),
            (r#"{"topic":"b","payload":true}"#, "b", "true"),
            ("\u{feff}{\"topic\":\"b\",\"payload\":\"x\"}", "b", "x"),
            (r#"{"topic":"b","payload":"x"} and more"#, "b", "x"),
        ] {
            assert_eq!(resolve(json), Ok((topic.to_owned(), payload.to_owned())), "{json}");
        }
    }

    /// What upstream fails the job on is rejected, with a code and the reason.
    #[test]
    fn records_that_are_rejected() {
        for (json, code, words) in [
            (
                r#"{"topic":"other","payload":"x"}"#,
                "MP6003",
                "no topic `other` in the playground egress; its topics: ``, `b`, `greetings`",
            ),
            (r#"{"topic":"b"}"#, "MP6002", "missing field `payload`"),
            (r#"{"payload":"x"}"#, "MP6002", "missing field `topic`"),
            (r#"{"topic":"b","payload":null}"#, "MP6002", "field `payload` is not text"),
            (r#"{"topic":["b"],"payload":"x"}"#, "MP6002", "field `topic` is not text"),
            (r#"{"topic":"b","payload":{}}"#, "MP6002", "field `payload` is not text"),
            (r#"{"topic":"b","payload":"x","key":"k"}"#, "MP6002", "unknown field `key`"),
            (r#"{"topic":"b","payload":"x""#, "MP6002", "EOF"),
            (r#"{"topic":"b","payload":"\ud800"}"#, "MP6002", "not text"),
            (r#"["b","x"]"#, "MP6002", "expected a JSON object"),
            ("null", "MP6002", "expected a JSON object"),
            ("", "MP6002", "EOF"),
        ] {
            let (found, error) = resolve(json).expect_err(json);
            assert_eq!(found, code, "{json}");
            assert!(error.contains(words), "{json}: {error}");
        }
    }

    /// Unknown egresses and foreign typenames are named, together with what there is.
    #[test]
    fn unknown_names() {
        let table = table();
        let mut unknown = message(PLAYGROUND_EGRESS_RECORD, b"{}");
        unknown.egress_type = "egres".to_owned();
        let rejection = table.resolve(&unknown).expect_err("unknown");
        assert_eq!(rejection.code, "MP6001");
        let expected = "no egress `io.statefun.playground/egres` in the module; declared egresses: `io.statefun.playground/egress`";
        assert_eq!(&*rejection.error, expected);

        let rejection = table.resolve(&message("a/b", b"{}")).expect_err("a foreign typename");
        assert_eq!(rejection.code, "MP6002");
        assert!(rejection.error.contains("`a/b`"), "{}", rejection.error);

        let mut empty = message("", b"");
        empty.argument = None;
        assert_eq!(table.resolve(&empty).expect_err("no argument").code, "MP6002");
        let rejection = EgressTable::new(&[]).resolve(&empty).expect_err("no egress at all");
        assert!(rejection.error.ends_with("declared egresses: none"));
    }

    proptest! {
        /// No bytes of a function make this panic or write an endless message.
        #[test]
        fn any_bytes(json in proptest::collection::vec(any::<u8>(), 0..200), text in "\\PC*") {
            let table = table();
            let spelled = serde_json::json!({ "topic": text, "payload": text }).to_string();
            for value in [&json[..], spelled.as_bytes()] {
                if let Err(rejection) = table.resolve(&message(PLAYGROUND_EGRESS_RECORD, value)) {
                    prop_assert!(rejection.error.len() < 2000);
                }
            }
        }
    }
}
