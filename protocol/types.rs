//! The simple types, and the typenames that mean something to the runtime.
//!
//! What comes in: a typename and the bytes of a value. What goes out: the value, or the other way round. The bytes are
//! those of a protobuf wrapper with one field, so a default (`false`, 0, "") has zero bytes. Everything else is opaque to
//! the runtime.

use std::fmt;

use bytes::Bytes;
use prost::{DecodeError, Message};

use crate::proto::types::{BooleanWrapper, DoubleWrapper, FloatWrapper, IntWrapper, LongWrapper, StringWrapper};

/// Typename of [`SimpleValue::Bool`].
pub const BOOL: &str = "io.statefun.types/bool";
/// Typename of [`SimpleValue::Int`].
pub const INT: &str = "io.statefun.types/int";
/// Typename of [`SimpleValue::Float`].
pub const FLOAT: &str = "io.statefun.types/float";
/// Typename of [`SimpleValue::Long`].
pub const LONG: &str = "io.statefun.types/long";
/// Typename of [`SimpleValue::Double`].
pub const DOUBLE: &str = "io.statefun.types/double";
/// Typename of [`SimpleValue::String`].
pub const STRING: &str = "io.statefun.types/string";
/// Stands in for the typename of a state that was declared without one.
pub const UNSET: &str = "io.statefun.types/unset";

/// What a Kafka egress takes: a [`KafkaProducerRecord`](crate::proto::egress::KafkaProducerRecord).
pub const KAFKA_PRODUCER_RECORD: &str = "type.googleapis.com/io.statefun.sdk.egress.KafkaProducerRecord";
/// What a Kinesis egress takes: a [`KinesisEgressRecord`](crate::proto::egress::KinesisEgressRecord).
pub const KINESIS_EGRESS_RECORD: &str = "type.googleapis.com/io.statefun.sdk.egress.KinesisEgressRecord";
/// What the playground's egress takes: JSON with `topic` and `payload`.
pub const PLAYGROUND_EGRESS_RECORD: &str = "io.statefun.playground/EgressRecord";

/// A value of one of the six simple types.
#[derive(Debug, Clone, PartialEq)]
pub enum SimpleValue {
    /// `io.statefun.types/bool`.
    Bool(bool),
    /// `io.statefun.types/int`.
    Int(i32),
    /// `io.statefun.types/float`.
    Float(f32),
    /// `io.statefun.types/long`.
    Long(i64),
    /// `io.statefun.types/double`.
    Double(f64),
    /// `io.statefun.types/string`.
    String(String),
}

impl SimpleValue {
    /// The typename under which the value travels.
    pub fn typename(&self) -> &'static str {
        match self {
            SimpleValue::Bool(_) => BOOL,
            SimpleValue::Int(_) => INT,
            SimpleValue::Float(_) => FLOAT,
            SimpleValue::Long(_) => LONG,
            SimpleValue::Double(_) => DOUBLE,
            SimpleValue::String(_) => STRING,
        }
    }

    /// The bytes of the value, what belongs into the `value` of a `TypedValue`.
    pub fn encode(&self) -> Bytes {
        let bytes = match self {
            SimpleValue::Bool(value) => BooleanWrapper { value: *value }.encode_to_vec(),
            SimpleValue::Int(value) => IntWrapper { value: *value }.encode_to_vec(),
            SimpleValue::Float(value) => FloatWrapper { value: *value }.encode_to_vec(),
            SimpleValue::Long(value) => LongWrapper { value: *value }.encode_to_vec(),
            SimpleValue::Double(value) => DoubleWrapper { value: *value }.encode_to_vec(),
            SimpleValue::String(value) => StringWrapper { value: value.clone() }.encode_to_vec(),
        };
        bytes.into()
    }

    /// Reads a value of a type; `None` when the typename is not that of a simple type.
    ///
    /// # Errors
    /// [`InvalidValue`] when the bytes are not a value of the type.
    pub fn decode(typename: &str, bytes: &[u8]) -> Option<Result<SimpleValue, InvalidValue>> {
        let value = match typename {
            BOOL => BooleanWrapper::decode(bytes).map(|wrapper| SimpleValue::Bool(wrapper.value)),
            INT => IntWrapper::decode(bytes).map(|wrapper| SimpleValue::Int(wrapper.value)),
            FLOAT => FloatWrapper::decode(bytes).map(|wrapper| SimpleValue::Float(wrapper.value)),
            LONG => LongWrapper::decode(bytes).map(|wrapper| SimpleValue::Long(wrapper.value)),
            DOUBLE => DoubleWrapper::decode(bytes).map(|wrapper| SimpleValue::Double(wrapper.value)),
            STRING => StringWrapper::decode(bytes).map(|wrapper| SimpleValue::String(wrapper.value)),
            _ => return None,
        };
        Some(value.map_err(|source| InvalidValue { typename: typename.to_owned(), source }))
    }
}

/// As a person reads it: a float always with a point or an exponent, a string as it is.
impl fmt::Display for SimpleValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SimpleValue::Bool(value) => write!(f, "{value}"),
            SimpleValue::Int(value) => write!(f, "{value}"),
            SimpleValue::Float(value) => write!(f, "{value:?}"),
            SimpleValue::Long(value) => write!(f, "{value}"),
            SimpleValue::Double(value) => write!(f, "{value:?}"),
            SimpleValue::String(value) => write!(f, "{value}"),
        }
    }
}

/// The bytes are not a value of the type they are said to be of.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the bytes are not a value of type `{typename}`")]
pub struct InvalidValue {
    /// The type.
    pub typename: String,
    #[source]
    source: DecodeError,
}

/// The value, if its type is simple and its bytes are sound: for views that show bytes otherwise.
pub fn describe(typename: &str, bytes: &[u8]) -> Option<SimpleValue> {
    SimpleValue::decode(typename, bytes)?.ok()
}

#[cfg(test)]
mod tests {
    use super::{SimpleValue, describe};

    /// A view shows what is sound and nothing else: an unknown type, foreign bytes and a torn value are not described.
    #[test]
    fn only_sound_values_of_simple_types_are_described() {
        assert_eq!(describe(super::INT, &[0x0d, 0x2a, 0, 0, 0]), Some(SimpleValue::Int(42)));
        assert_eq!(describe(super::INT, &[]), Some(SimpleValue::Int(0)));
        assert_eq!(describe(super::INT, &[0x0d, 0x2a, 0]), None, "torn");
        assert_eq!(describe(super::INT, &[0x08, 0x2a]), None, "a varint is not an int");
        assert_eq!(describe(super::STRING, &[0x0a, 0x01, 0xff]), None, "not UTF-8");
        assert_eq!(describe("com.example/user", b"{}"), None, "not a simple type");
        assert_eq!(describe(super::UNSET, &[]), None, "not a simple type");
    }

    /// A value decodes to itself, and a default has no bytes.
    #[test]
    fn values_survive_and_defaults_are_empty() {
        for (value, empty) in [
            (SimpleValue::Bool(false), true),
            (SimpleValue::Bool(true), false),
            (SimpleValue::Int(i32::MIN), false),
            (SimpleValue::Float(0.0), true),
            (SimpleValue::Float(f32::MIN_POSITIVE), false),
            (SimpleValue::Long(0), true),
            (SimpleValue::Long(i64::MAX), false),
            (SimpleValue::Double(f64::INFINITY), false),
            (SimpleValue::String(String::new()), true),
            (SimpleValue::String("ä\0".into()), false),
        ] {
            let bytes = value.encode();
            assert_eq!(bytes.is_empty(), empty, "{value:?}");
            assert_eq!(describe(value.typename(), &bytes), Some(value));
        }
    }

    /// Whoever reads a view can tell a float from a whole number.
    #[test]
    fn floats_are_shown_as_floats() {
        assert_eq!(SimpleValue::Double(1.0).to_string(), "1.0");
        assert_eq!(SimpleValue::Long(1).to_string(), "1");
        assert_eq!(SimpleValue::String("a b".into()).to_string(), "a b");
    }
}
