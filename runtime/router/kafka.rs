//! From a Kafka record to the invocations that it causes. Pure.
//!
//! The id of each target is the record's key as text, bytes that are not UTF-8 become U+FFFD, as upstream. The value goes
//! along as it is, under the type that the module gives the topic. A record without key or without value is invalid.

use bytes::{BufMut, Bytes, BytesMut};
use millpond_protocol::proto::reqreply::TypedValue;
use millpond_protocol::proto::reqreply::typed_value::Metadata;
use millpond_protocol::{Address, TypeName, request};
use prost::Message as _;

use crate::config::model::{InvalidRecords, KafkaTopic};

/// Where the records of one topic go.
#[derive(Debug, Clone)]
pub struct TopicRoute {
    /// The type that the module gives the values.
    pub value_type: String,
    targets: Vec<TypeName>,
    forward_headers: bool,
    /// What becomes of a record that cannot be a message.
    pub invalid: InvalidRecords,
}

/// A record as it was read.
#[derive(Debug, Clone, Copy)]
pub struct KafkaRecord<'a> {
    /// Its topic.
    pub topic: &'a str,
    /// Its partition.
    pub partition: u32,
    /// Its offset.
    pub offset: u64,
    /// Milliseconds since 1970, if the broker knows.
    pub timestamp: Option<i64>,
    /// Its key.
    pub key: Option<&'a [u8]>,
    /// Its value.
    pub value: Option<&'a [u8]>,
    /// Its headers, in order.
    pub headers: &'a [(&'a str, Option<&'a [u8]>)],
}

/// Why a record cannot be a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Defect {
    /// It has no key.
    NullKey,
    /// It has no value: a tombstone.
    NullValue,
}

impl Defect {
    /// Its name in logs, metrics and metadata.
    pub fn as_str(self) -> &'static str {
        match self {
            Defect::NullKey => "NULL_KEY",
            Defect::NullValue => "NULL_VALUE",
        }
    }

    /// What is the matter, in the words of the exception that upstream throws.
    pub fn words(self) -> &'static str {
        match self {
            Defect::NullKey => "the ingress requires a UTF-8 key set for each record",
            Defect::NullValue => "the ingress cannot process a tombstone (null value) record",
        }
    }
}

/// What a record causes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Routed {
    /// Invocations, in the order of the targets.
    Invocations {
        /// Target and argument.
        invocations: Vec<(Address, Bytes)>,
        /// Bytes of the key were not UTF-8 and were replaced.
        lossy_key: bool,
    },
    /// Nothing: it is invalid.
    Invalid(Defect),
}

/// What metadata keys begin with that tell where an invalid record is from.
const RESERVED: &str = "statefun.invalid/";

impl TopicRoute {
    /// The route of a topic of the module.
    pub fn new(topic: &KafkaTopic) -> TopicRoute {
        TopicRoute {
            value_type: topic.route.value_type.clone(),
            targets: topic.route.targets.iter().map(|target| target.function.clone()).collect(),
            forward_headers: topic.forward_headers,
            invalid: topic.invalid_records.clone(),
        }
    }

    /// What a record causes.
    pub fn route(&self, record: &KafkaRecord<'_>) -> Routed {
        let (Some(key), Some(value)) = (record.key, record.value) else {
            return Routed::Invalid(if record.key.is_none() { Defect::NullKey } else { Defect::NullValue });
        };
        let id = String::from_utf8_lossy(key);
        let lossy_key = matches!(id, std::borrow::Cow::Owned(_));
        let metadata = if self.forward_headers { headers(record) } else { Vec::new() };
        let argument = argument(&self.value_type, value, metadata);
        let invocation = |function: &TypeName| (Address::new(function.clone(), &*id), argument.clone());
        Routed::Invocations { invocations: self.targets.iter().map(invocation).collect(), lossy_key }
    }

    /// An invalid record as a message for a function: its bytes, and as metadata where it is from.
    pub fn forward(&self, target: &TypeName, record: &KafkaRecord<'_>, defect: Defect) -> (Address, Bytes) {
        let key = record.key.map(String::from_utf8_lossy);
        let id = key.as_deref().unwrap_or("none");
        let mut metadata = headers(record);
        metadata.retain(|header| !header.key.starts_with(RESERVED));
        let mut put = |name: &str, value: String| {
            let (key, value) = (format!("{RESERVED}{name}"), value.into_bytes().into());
            metadata.push(Metadata { key, value, has_value: true });
        };
        put("kafka.topic", record.topic.to_owned());
        put("kafka.partition", record.partition.to_string());
        put("kafka.offset", record.offset.to_string());
        if let Some(timestamp) = record.timestamp {
            put("kafka.timestamp", timestamp.to_string());
        }
        put("defect", defect.as_str().to_owned());
        put("error", defect.words().to_owned());
        if let Some(key) = &key {
            put("key", key.clone().into_owned());
        }
        let argument = argument(&self.value_type, record.value.unwrap_or_default(), metadata);
        (Address::new(target.clone(), id), argument)
    }
}

fn headers(record: &KafkaRecord<'_>) -> Vec<Metadata> {
    let header = |(key, value): &(&str, Option<&[u8]>)| Metadata {
        key: (*key).to_owned(),
        value: Bytes::copy_from_slice(value.unwrap_or_default()),
        has_value: value.is_some(),
    };
    record.headers.iter().map(header).collect()
}

/// A `TypedValue`: that of every message, with metadata behind it.
fn argument(typename: &str, value: &[u8], metadata: Vec<Metadata>) -> Bytes {
    let argument = request::typed_value(typename, value);
    if metadata.is_empty() {
        return argument;
    }
    let metadata = TypedValue { metadata, ..TypedValue::default() };
    let mut both = BytesMut::with_capacity(argument.len() + metadata.encoded_len());
    both.put_slice(&argument);
    both.put_slice(&metadata.encode_to_vec());
    both.freeze()
}

#[cfg(test)]
mod tests {
    use millpond_protocol::TypeName;
    use millpond_protocol::proto::reqreply::TypedValue;
    use prost::Message as _;

    use super::{Defect, KafkaRecord, Routed, TopicRoute};
    use crate::config::model::InvalidRecords;

    fn route(forward_headers: bool) -> TopicRoute {
        TopicRoute {
            value_type: "a/v".to_owned(),
            targets: vec![TypeName::new("a", "one"), TypeName::new("a", "two")],
            forward_headers,
            invalid: InvalidRecords::default(),
        }
    }

    const RECORD: KafkaRecord<'static> = KafkaRecord {
        topic: "t",
        partition: 3,
        offset: 42,
        timestamp: Some(7),
        key: Some(b"k"),
        value: Some(b"v"),
        headers: &[("h", Some(b"1")), ("h", None), ("e", Some(b"")), ("statefun.invalid/key", Some(b"forged"))],
    };

    fn invocations(routed: Routed) -> (Vec<(String, TypedValue)>, bool) {
        let Routed::Invocations { invocations, lossy_key } = routed else { panic!("{routed:?}") };
        let read = |(address, argument): (millpond_protocol::Address, bytes::Bytes)| {
            (address.to_string(), TypedValue::decode(argument).expect("a typed value"))
        };
        (invocations.into_iter().map(read).collect(), lossy_key)
    }

    /// One message for each target, with the value as it is; headers only where they are wanted, all of them in order.
    #[test]
    fn fan_out() {
        let (found, lossy) = invocations(route(false).route(&RECORD));
        assert_eq!(found.iter().map(|(address, _)| address.as_str()).collect::<Vec<_>>(), ["a/one/k", "a/two/k"]);
        assert!(!lossy);
        for (_, value) in &found {
            assert_eq!((value.typename.as_str(), value.has_value, &value.value[..]), ("a/v", true, &b"v"[..]));
            assert!(value.metadata.is_empty());
        }
        let (found, _) = invocations(route(true).route(&RECORD));
        let headers: Vec<_> =
            found[1].1.metadata.iter().map(|it| (it.key.as_str(), it.has_value, &it.value[..])).collect();
        let forged: (&str, bool, &[u8]) = ("statefun.invalid/key", true, b"forged");
        assert_eq!(headers, [("h", true, &b"1"[..]), ("h", false, b""), ("e", true, b""), forged]);
    }

    /// Keys: empty is an id, what is not UTF-8 is replaced, none is a defect; no value is one, an empty value is none.
    #[test]
    fn keys_and_values() {
        let of = |key: Option<&'static [u8]>, value: Option<&'static [u8]>| {
            route(false).route(&KafkaRecord { key, value, ..RECORD })
        };
        let id = |routed| {
            let (found, lossy) = invocations(routed);
            (found[0].0.clone(), lossy)
        };
        assert_eq!(id(of(Some(b""), Some(b""))), ("a/one/".to_owned(), false));
        assert_eq!(id(of(Some(b"a\xffb"), Some(b""))), ("a/one/a\u{fffd}b".to_owned(), true));
        assert_eq!(of(None, Some(b"v")), Routed::Invalid(Defect::NullKey));
        assert_eq!(of(None, None), Routed::Invalid(Defect::NullKey));
        assert_eq!(of(Some(b"k"), None), Routed::Invalid(Defect::NullValue));
    }

    /// MP1021: an invalid record that is forwarded says where it is from, and nobody can forge that.
    #[test]
    fn forwarded() {
        let record = KafkaRecord { value: None, ..RECORD };
        let (address, argument) = route(false).forward(&TypeName::new("a", "dead"), &record, Defect::NullValue);
        let value = TypedValue::decode(argument).expect("a typed value");
        assert_eq!((address.to_string(), value.typename.as_str()), ("a/dead/k".to_owned(), "a/v"));
        assert!(value.has_value && value.value.is_empty());
        let metadata: Vec<_> = value
            .metadata
            .iter()
            .map(|it| (it.key.as_str(), String::from_utf8_lossy(&it.value).into_owned()))
            .collect();
        let text = |key: &'static str, value: &str| (key, value.to_owned());
        assert_eq!(
            metadata[3..],
            [
                text("statefun.invalid/kafka.topic", "t"),
                text("statefun.invalid/kafka.partition", "3"),
                text("statefun.invalid/kafka.offset", "42"),
                text("statefun.invalid/kafka.timestamp", "7"),
                text("statefun.invalid/defect", "NULL_VALUE"),
                text("statefun.invalid/error", "the ingress cannot process a tombstone (null value) record"),
                text("statefun.invalid/key", "k"),
            ]
        );
        let without = KafkaRecord { key: None, timestamp: None, ..RECORD };
        let (address, _) = route(false).forward(&TypeName::new("a", "dead"), &without, Defect::NullKey);
        assert_eq!(address.to_string(), "a/dead/none");
    }
}
