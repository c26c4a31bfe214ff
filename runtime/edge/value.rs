//! Shows the bytes of a value: as what they are when that is known, as the start of their base64 otherwise.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use millpond_protocol::types::{SimpleValue, describe};
use serde::Serialize;
use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};

/// Bytes of a value that is shown whole.
const WHOLE_BYTES_MAX: usize = 64 << 10;
/// Bytes of a longer or unknown value that are shown.
const PREVIEW_BYTES: usize = 1024;

/// A value as JSON; one of the two fields is there.
#[derive(Debug, Serialize)]
pub struct Shown {
    /// A simple value, or JSON as it is stored.
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<Box<RawValue>>,
    /// The first bytes of everything else.
    #[serde(skip_serializing_if = "Option::is_none")]
    base64: Option<String>,
    /// True when these are not all bytes.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    truncated: bool,
}

impl Shown {
    /// So many of these bytes are shown, at most.
    pub(crate) fn bytes(bytes: &[u8]) -> usize {
        if bytes.len() <= WHOLE_BYTES_MAX { bytes.len() } else { PREVIEW_BYTES }
    }

    /// None of the bytes, for want of room.
    pub(crate) fn left_out() -> Shown {
        Shown { value: None, base64: Some(String::new()), truncated: true }
    }
}

/// Shows a value of a type.
pub fn shown(typename: &str, bytes: &[u8]) -> Shown {
    if bytes.len() <= WHOLE_BYTES_MAX
        && let Some(value) = known(typename, bytes)
    {
        return Shown { value: Some(value), base64: None, truncated: false };
    }
    let preview = &bytes[..bytes.len().min(PREVIEW_BYTES)];
    Shown { value: None, base64: Some(STANDARD.encode(preview)), truncated: preview.len() < bytes.len() }
}

/// The text of a string, or of JSON, unless it is too long to be shown whole.
pub(crate) fn text(typename: &str, bytes: &[u8]) -> Option<String> {
    if bytes.len() > WHOLE_BYTES_MAX {
        return None;
    }
    match describe(typename, bytes) {
        Some(SimpleValue::String(text)) => Some(text),
        Some(_) => None,
        None => {
            json(bytes)?;
            String::from_utf8(bytes.to_vec()).ok()
        }
    }
}

fn known(typename: &str, bytes: &[u8]) -> Option<Box<RawValue>> {
    match describe(typename, bytes) {
        Some(value) => to_raw_value(&simple(&value)).ok(),
        None => json(bytes),
    }
}

/// Only what looks like JSON on purpose: a lone number may be anything.
fn json(bytes: &[u8]) -> Option<Box<RawValue>> {
    let first = bytes.trim_ascii_start().first()?;
    b"{[\"".contains(first).then(|| serde_json::from_slice(bytes).ok()).flatten()
}

/// Numbers that JSON has no word for become text.
fn simple(value: &SimpleValue) -> Value {
    match value {
        SimpleValue::Bool(value) => (*value).into(),
        SimpleValue::Int(value) => (*value).into(),
        SimpleValue::Long(value) => (*value).into(),
        SimpleValue::Double(number) if number.is_finite() => (*number).into(),
        // By way of its shortest text: 0.1, not what that is as a double.
        SimpleValue::Float(number) if number.is_finite() => {
            serde_json::from_str(&value.to_string()).unwrap_or_default()
        }
        SimpleValue::Float(_) | SimpleValue::Double(_) => value.to_string().into(),
        SimpleValue::String(text) => text.as_str().into(),
    }
}

#[cfg(test)]
mod tests {
    use millpond_protocol::types::SimpleValue;

    use super::{shown, text};

    fn json(typename: &str, bytes: &[u8]) -> String {
        serde_json::to_string(&shown(typename, bytes)).expect("JSON")
    }

    /// Simple values and JSON are shown as what they are, all else as bytes.
    #[test]
    fn values() {
        for (value, expected) in [
            (SimpleValue::Bool(true), r#"{"value":true}"#),
            (SimpleValue::Int(0), r#"{"value":0}"#),
            (SimpleValue::Long(i64::MIN), r#"{"value":-9223372036854775808}"#),
            (SimpleValue::Float(0.1), r#"{"value":0.1}"#),
            (SimpleValue::Double(1.0), r#"{"value":1.0}"#),
            (SimpleValue::Double(f64::NEG_INFINITY), r#"{"value":"-inf"}"#),
            (SimpleValue::Float(f32::NAN), r#"{"value":"NaN"}"#),
            (SimpleValue::String("\"ü\n".to_owned()), r#"{"value":"\"ü\n"}"#),
        ] {
            assert_eq!(json(value.typename(), &value.encode()), expected);
        }
        for (bytes, expected) in [
            (&br#" {"seen": 1.50, "seen": 2}"#[..], r#"{"value":{"seen": 1.50, "seen": 2}}"#),
            (b"[1]\n", r#"{"value":[1]}"#),
            (b"17", r#"{"base64":"MTc="}"#),
            (b"{torn", r#"{"base64":"e3Rvcm4="}"#),
            (b"", r#"{"base64":""}"#),
            (b"\xff\0", r#"{"base64":"/wA="}"#),
        ] {
            assert_eq!(json("com.example/state", bytes), expected);
        }
        assert_eq!(json("io.statefun.types/int", b"\x08\x01"), r#"{"base64":"CAE="}"#);
    }

    /// Only strings and JSON have a text.
    #[test]
    fn texts() {
        for (typename, bytes, expected) in [
            ("io.statefun.types/string", &SimpleValue::String("ü\n".to_owned()).encode()[..], Some("ü\n")),
            ("io.statefun.types/string", b"\xff", None),
            ("io.statefun.types/int", b"", None),
            ("com.example/order", br#" {"price": 1.50}"#, Some(r#" {"price": 1.50}"#)),
            ("com.example/order", b"{torn", None),
            ("com.example/order", b"plain", None),
            ("com.example/order", b"", None),
        ] {
            assert_eq!(text(typename, bytes).as_deref(), expected, "{typename} {bytes:?}");
        }
        let large = SimpleValue::String("x".repeat(1 << 20));
        assert_eq!(text(large.typename(), &large.encode()), None);
    }

    /// A large value does not make a large answer.
    #[test]
    fn previews() {
        let large = SimpleValue::String("x".repeat(1 << 20));
        let shown = json(large.typename(), &large.encode());
        assert!(shown.len() < 2000 && shown.ends_with(r#""truncated":true}"#), "{shown}");
    }
}
