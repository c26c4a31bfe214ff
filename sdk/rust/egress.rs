//! Records for egresses: each kind of egress takes one form.

use bytes::Bytes;
use millpond_protocol::proto::egress::kafka_producer_record::Header;
use millpond_protocol::proto::egress::{KafkaProducerRecord, KinesisEgressRecord};
use millpond_protocol::types::{KAFKA_PRODUCER_RECORD, KINESIS_EGRESS_RECORD, PLAYGROUND_EGRESS_RECORD};
use prost::Message as _;
use serde::Serialize;

use crate::error::Error;
use crate::value::{IntoValue, TypedValue};

/// The one egress of kind `io.statefun.playground.v1/egress`.
///
/// ```
/// assert_eq!(millpond_sdk::PLAYGROUND_EGRESS, "io.statefun.playground/egress");
/// ```
pub const PLAYGROUND_EGRESS: &str = "io.statefun.playground/egress";

/// A record for an egress of kind `io.statefun.kafka.v1/egress`.
///
/// ```
/// use millpond_sdk::KafkaRecord;
///
/// # async fn function(context: &mut millpond_sdk::Context, _: millpond_sdk::Message) -> millpond_sdk::Result {
/// let alert = serde_json::json!({"account": "DE-7"}).to_string();
/// context.send_egress("example/kafka", KafkaRecord::new("alerts", alert).key("DE-7").header("version", "1"))?;
/// # Ok(()) }
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct KafkaRecord(KafkaProducerRecord);

impl KafkaRecord {
    /// A record without a key.
    ///
    /// ```
    /// let record = millpond_sdk::KafkaRecord::new("alerts", "some text, or bytes");
    /// # let _ = record;
    /// ```
    pub fn new(topic: impl Into<String>, value: impl Into<Bytes>) -> KafkaRecord {
        KafkaRecord(KafkaProducerRecord {
            key: String::new(),
            value_bytes: value.into(),
            topic: topic.into(),
            headers: Vec::new(),
        })
    }

    /// A record whose value is the bytes of a typed value: of a JSON type, for example, the JSON.
    ///
    /// ```
    /// let record = millpond_sdk::KafkaRecord::of("counts", &42)?;
    /// # let _ = record;
    /// # Ok::<(), millpond_sdk::Error>(())
    /// ```
    ///
    /// # Errors
    /// When the value cannot be written.
    pub fn of(topic: impl Into<String>, value: impl IntoValue) -> Result<KafkaRecord, Error> {
        Ok(KafkaRecord::new(topic, value.into_value()?.0.value))
    }

    /// A record whose value is JSON.
    ///
    /// ```
    /// let record = millpond_sdk::KafkaRecord::json("counts", &[1, 2, 3])?;
    /// # let _ = record;
    /// # Ok::<(), millpond_sdk::Error>(())
    /// ```
    ///
    /// # Errors
    /// When the value has no form in JSON.
    pub fn json(topic: impl Into<String>, value: &impl Serialize) -> Result<KafkaRecord, Error> {
        let json = serde_json::to_vec(value)
            .map_err(|error| Error::Unencodable { typename: KAFKA_PRODUCER_RECORD, source: error.into() })?;
        Ok(KafkaRecord::new(topic, json))
    }

    /// Gives the record a key. An empty one means none.
    ///
    /// ```
    /// let record = millpond_sdk::KafkaRecord::new("alerts", "text").key("DE-7");
    /// # let _ = record;
    /// ```
    #[must_use]
    pub fn key(mut self, key: impl Into<String>) -> KafkaRecord {
        self.0.key = key.into();
        self
    }

    /// Adds a header. Apache's own runtime writes none.
    ///
    /// ```
    /// let record = millpond_sdk::KafkaRecord::new("alerts", "text").header("version", "1");
    /// # let _ = record;
    /// ```
    #[must_use]
    pub fn header(mut self, key: impl Into<String>, value: impl Into<Bytes>) -> KafkaRecord {
        self.0.headers.push(Header { key: key.into(), value: value.into(), has_value: true });
        self
    }
}

impl IntoValue for KafkaRecord {
    fn into_value(self) -> Result<TypedValue, Error> {
        Ok(TypedValue::new(KAFKA_PRODUCER_RECORD, self.0.encode_to_vec()))
    }
}

/// A record for an egress of kind `io.statefun.kinesis.v1/egress`.
///
/// ```
/// use millpond_sdk::KinesisRecord;
///
/// # async fn function(context: &mut millpond_sdk::Context, _: millpond_sdk::Message) -> millpond_sdk::Result {
/// context.send_egress("example/kinesis", KinesisRecord::new("alerts", "DE-7", "some text"))?;
/// # Ok(()) }
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct KinesisRecord(KinesisEgressRecord);

impl KinesisRecord {
    /// A record; the hash of the partition key picks its shard.
    ///
    /// ```
    /// let record = millpond_sdk::KinesisRecord::new("alerts", "DE-7", vec![1, 2, 3]);
    /// # let _ = record;
    /// ```
    pub fn new(stream: impl Into<String>, partition_key: impl Into<String>, value: impl Into<Bytes>) -> KinesisRecord {
        KinesisRecord(KinesisEgressRecord {
            partition_key: partition_key.into(),
            value_bytes: value.into(),
            stream: stream.into(),
            explicit_hash_key: String::new(),
        })
    }

    /// Picks the shard by this number, in decimal, and not by the partition key.
    ///
    /// ```
    /// let record = millpond_sdk::KinesisRecord::new("alerts", "DE-7", "text").explicit_hash_key("0");
    /// # let _ = record;
    /// ```
    #[must_use]
    pub fn explicit_hash_key(mut self, key: impl Into<String>) -> KinesisRecord {
        self.0.explicit_hash_key = key.into();
        self
    }
}

impl IntoValue for KinesisRecord {
    fn into_value(self) -> Result<TypedValue, Error> {
        Ok(TypedValue::new(KINESIS_EGRESS_RECORD, self.0.encode_to_vec()))
    }
}

/// A record for the playground's egress, a topic that is read over HTTP. Its payload is text.
///
/// ```
/// use millpond_sdk::{PLAYGROUND_EGRESS, PlaygroundRecord};
///
/// # async fn function(context: &mut millpond_sdk::Context, _: millpond_sdk::Message) -> millpond_sdk::Result {
/// context.send_egress(PLAYGROUND_EGRESS, PlaygroundRecord::new("greetings", "Hello"))?;
/// # Ok(()) }
/// ```
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PlaygroundRecord {
    topic: String,
    payload: String,
}

impl PlaygroundRecord {
    /// A record.
    ///
    /// ```
    /// let record = millpond_sdk::PlaygroundRecord::new("greetings", format!("Hello {}", "Ada"));
    /// # let _ = record;
    /// ```
    pub fn new(topic: impl Into<String>, payload: impl Into<String>) -> PlaygroundRecord {
        PlaygroundRecord { topic: topic.into(), payload: payload.into() }
    }

    /// A record whose payload is JSON.
    ///
    /// ```
    /// let record = millpond_sdk::PlaygroundRecord::json("counts", &[1, 2, 3])?;
    /// # let _ = record;
    /// # Ok::<(), millpond_sdk::Error>(())
    /// ```
    ///
    /// # Errors
    /// When the value has no form in JSON.
    pub fn json(topic: impl Into<String>, value: &impl Serialize) -> Result<PlaygroundRecord, Error> {
        let payload = serde_json::to_string(value)
            .map_err(|error| Error::Unencodable { typename: PLAYGROUND_EGRESS_RECORD, source: error.into() })?;
        Ok(PlaygroundRecord::new(topic, payload))
    }
}

impl IntoValue for PlaygroundRecord {
    fn into_value(self) -> Result<TypedValue, Error> {
        let json = serde_json::to_vec(&self).expect("two strings have a form in JSON");
        Ok(TypedValue::new(PLAYGROUND_EGRESS_RECORD, json))
    }
}
