//! Records for a Kafka egress: what functions hand over, checked, and dead letters. Pure.

use std::sync::Arc;

use bytes::Bytes;
use millpond_engine::{DeadLetter, DeadLetterForm, Rejection};
use millpond_protocol::proto::egress::KafkaProducerRecord;
use millpond_protocol::response::EgressMessage;
use millpond_protocol::types::KAFKA_PRODUCER_RECORD;
use prost::Message as _;

use super::super::DeadLetterRecord;
use super::super::route::Short;

/// Characters of a topic's name at most, as brokers have it.
const TOPIC_MAX: usize = 249;

/// The record that a function sent, as the lane keeps it: its own bytes.
///
/// # Errors
/// [`Rejection`] of the answer that it came with.
pub(in crate::egress) fn checked(message: &EgressMessage) -> Result<Bytes, Rejection> {
    let reject = |why: String| Rejection::new("MP6010", format!("the Kafka egress cannot take the record: {why}"));
    let value = message.argument.as_ref().ok_or_else(|| reject("it has no argument".to_owned()))?;
    if value.typename != KAFKA_PRODUCER_RECORD {
        return Err(reject(format!("its typename is `{}`, not `{KAFKA_PRODUCER_RECORD}`", Short(&value.typename))));
    }
    let record = KafkaProducerRecord::decode(value.value.clone())
        .map_err(|error| reject(Short(&error.to_string()).to_string()))?;
    match topic_problem(&record.topic) {
        Some(problem) => Err(reject(format!("its topic `{}` {problem}", Short(&record.topic)))),
        None => Ok(value.value.clone()),
    }
}

/// What no broker would take, so that it is told to the function that sent it.
fn topic_problem(topic: &str) -> Option<&'static str> {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    match topic {
        "" => Some("is empty"),
        "." | ".." => Some("cannot be the name of a topic"),
        topic if topic.len() > TOPIC_MAX => Some("is longer than 249 characters"),
        topic if !topic.bytes().all(legal) => Some("has characters other than letters, digits, `.`, `_` and `-`"),
        _ => None,
    }
}

/// Dead letters as records of one topic: key is the id of the target, value is what a dead letter is everywhere.
#[derive(Debug)]
pub(crate) struct KafkaDeadLetter {
    pub(crate) topic: String,
    pub(crate) form: Arc<DeadLetterRecord>,
}

impl DeadLetterForm for KafkaDeadLetter {
    fn record(&self, letter: &DeadLetter) -> Bytes {
        let record = KafkaProducerRecord {
            key: letter.target.id.to_string(),
            value_bytes: self.form.record(letter),
            topic: self.topic.clone(),
            headers: Vec::new(),
        };
        record.encode_to_vec().into()
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use millpond_protocol::proto::egress::KafkaProducerRecord;
    use millpond_protocol::response::{EgressMessage, TypedValue};
    use millpond_protocol::types::KAFKA_PRODUCER_RECORD;
    use prost::Message as _;

    use super::checked;

    fn message(typename: &str, value: Bytes) -> EgressMessage {
        let argument = Some(TypedValue { typename: typename.to_owned(), has_value: true, value });
        EgressMessage { egress_namespace: "a".to_owned(), egress_type: "b".to_owned(), argument }
    }

    fn record(topic: &str) -> Bytes {
        let record = KafkaProducerRecord { key: "k".to_owned(), topic: topic.to_owned(), ..Default::default() };
        record.encode_to_vec().into()
    }

    /// MP6010: what upstream fails the job on is rejected, and nothing else; the bytes stay as they are.
    #[test]
    fn records() {
        let taken = record("a.b_c-D9");
        assert_eq!(checked(&message(KAFKA_PRODUCER_RECORD, taken.clone())).expect("it is taken"), taken);
        let long = "x".repeat(250);
        for (typename, value, words) in [
            ("a/b", record("t"), "its typename is `a/b`"),
            (KAFKA_PRODUCER_RECORD, Bytes::from_static(b"\xff\xff"), "cannot take the record"),
            (KAFKA_PRODUCER_RECORD, record(""), "is empty"),
            (KAFKA_PRODUCER_RECORD, record(".."), "cannot be the name of a topic"),
            (KAFKA_PRODUCER_RECORD, record("a b"), "has characters other than"),
            (KAFKA_PRODUCER_RECORD, record("ü"), "has characters other than"),
            (KAFKA_PRODUCER_RECORD, record(&long), "is longer than 249"),
        ] {
            let rejection = checked(&message(typename, value)).expect_err(words);
            assert_eq!(rejection.code, "MP6010");
            assert!(rejection.error.contains(words), "{}", rejection.error);
        }
        let mut none = message("", Bytes::new());
        none.argument = None;
        assert_eq!(checked(&none).expect_err("no argument").code, "MP6010");
    }
}
