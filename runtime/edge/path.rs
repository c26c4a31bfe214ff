//! Percent-decoding of one part of a path or query.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

/// The text cannot be decoded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidEscape {
    /// A `%` is not followed by two hexadecimal digits.
    #[error("`{0}` is not a percent escape")]
    Escape(String),
    /// What the escapes spell is not text.
    #[error("it is not UTF-8 text once decoded")]
    NotUtf8,
}

/// Decodes the percent escapes of one part, after a path was split: an escaped `/` belongs to the part.
///
/// # Errors
/// [`InvalidEscape`] when an escape is malformed or the result is not UTF-8.
pub fn decode(part: &str) -> Result<Cow<'_, str>, InvalidEscape> {
    if let Some(escape) = malformed_escape(part) {
        return Err(InvalidEscape::Escape(escape));
    }
    percent_decode_str(part).decode_utf8().map_err(|_| InvalidEscape::NotUtf8)
}

fn malformed_escape(part: &str) -> Option<String> {
    part.match_indices('%')
        .map(|(at, _)| part[at..].chars().take(3).collect::<String>())
        .find(|escape| escape.len() != 3 || !escape[1..].bytes().all(|byte| byte.is_ascii_hexdigit()))
}

#[cfg(test)]
mod tests {
    use super::{InvalidEscape, decode};

    /// Escapes are decoded once, to UTF-8, or named when they are malformed.
    #[test]
    fn escapes() {
        for (part, expected) in [
            ("plain", Ok("plain")),
            ("", Ok("")),
            ("a%20b", Ok("a b")),
            ("a+b", Ok("a+b")),
            ("a%2Fb", Ok("a/b")),
            ("%2525", Ok("%25")),
            ("%C3%A9é", Ok("éé")),
            ("%F0%9F%A6%86", Ok("🦆")),
            ("%00", Ok("\0")),
            ("%", Err("%")),
            ("a%2", Err("%2")),
            ("%zz!", Err("%zz")),
            ("%aé", Err("%aé")),
            ("%é1", Err("%é1")),
        ] {
            let expected = expected.map(Into::into).map_err(|escape: &str| InvalidEscape::Escape(escape.to_owned()));
            assert_eq!(decode(part), expected, "{part}");
        }
        assert_eq!(decode("%ff"), Err(InvalidEscape::NotUtf8));
    }
}
