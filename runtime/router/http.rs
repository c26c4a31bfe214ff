//! Reads the target and the value type of a playground request: `PUT /<namespace>/<function name>/<id>`.
//!
//! The path is split first and each part decoded then, so that an escaped `/` can be part of an id. Upstream's web server
//! decodes first but leaves `%2F` as it stands; all other ids read alike. A `;` is an ordinary character here; upstream's
//! server takes what follows one for a parameter and drops it.

use millpond_protocol::types::STRING;
use millpond_protocol::{Address, TypeName};

use crate::edge::{InvalidEscape, decode};

/// What a `Content-Type` starts with that names a value type.
const VALUE_TYPE_PREFIX: &str = "application/vnd.";

/// The path names no address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// It has fewer or more than three parts.
    #[error("the path has {0} parts, not 3")]
    Parts(usize),
    /// A part cannot be decoded.
    #[error("the {part} of the path cannot be read: {source}")]
    Part {
        /// Which one.
        part: &'static str,
        /// Why.
        source: InvalidEscape,
    },
}

/// Reads the address from a path as it was sent. As upstream: three parts, where trailing slashes are dropped and empty
/// parts before the last are kept.
///
/// # Errors
/// [`PathError`] when there are not exactly three, or one is not percent-encoded UTF-8.
pub fn target(path: &str) -> Result<Address, PathError> {
    let path = path.strip_prefix('/').unwrap_or(path).trim_end_matches('/');
    let parts: Vec<&str> = path.split('/').collect();
    let [namespace, name, id] = parts[..] else {
        return Err(PathError::Parts(if path.is_empty() { 0 } else { parts.len() }));
    };
    let part = |part, text| decode(text).map_err(|source| PathError::Part { part, source });
    let function = TypeName::new(&part("namespace", namespace)?, &part("function name", name)?);
    Ok(Address::new(function, &*part("id", id)?))
}

/// The value type of a request is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ValueTypeError {
    /// There is no `Content-Type`. Upstream answers 500 to that.
    #[error("the request has no content type")]
    Missing,
    /// The typename is not UTF-8.
    #[error("the content type is not UTF-8 text")]
    NotUtf8,
}

/// Reads the value type from the `Content-Type` headers: what follows `application/vnd.` in the first one that starts so,
/// parameters included; `io.statefun.types/string` for all others.
///
/// # Errors
/// [`ValueTypeError`] when there is none.
pub fn value_type<'h>(content_types: impl IntoIterator<Item = &'h [u8]>) -> Result<&'h str, ValueTypeError> {
    let mut found = Err(ValueTypeError::Missing);
    for content_type in content_types {
        if let Some(value_type) = content_type.strip_prefix(VALUE_TYPE_PREFIX.as_bytes()) {
            return std::str::from_utf8(value_type).map_err(|_| ValueTypeError::NotUtf8);
        }
        found = Ok(STRING);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::{PathError, ValueTypeError, target, value_type};

    /// The path rules, row by row.
    #[test]
    fn paths() {
        for (path, expected) in [
            ("/a/b/c", Ok(("a", "b", "c"))),
            ("/a/b/c/", Ok(("a", "b", "c"))),
            ("/a/b/c///", Ok(("a", "b", "c"))),
            ("/a//c", Ok(("a", "", "c"))),
            ("//b/c", Ok(("", "b", "c"))),
            ("///c", Ok(("", "", "c"))),
            ("/a.b/c-d/e%2Ff", Ok(("a.b", "c-d", "e/f"))),
            ("/a/b/%20%C3%BC+;x=y", Ok(("a", "b", " ü+;x=y"))),
            ("/a/b/%2F", Ok(("a", "b", "/"))),
            ("/", Err(0)),
            ("", Err(0)),
            ("*", Err(1)),
            ("////", Err(0)),
            ("/a", Err(1)),
            ("/a/b", Err(2)),
            ("/a/b/", Err(2)),
            ("/a/b//d", Err(4)),
            ("/a/b/c/d", Err(4)),
        ] {
            let address = target(path);
            let parts = address.as_ref().map(|a| (a.function.namespace(), a.function.name(), &*a.id));
            assert_eq!(parts, expected.map_err(PathError::Parts).as_ref().copied(), "{path}");
        }
        assert!(matches!(target("/a/b/%ff"), Err(PathError::Part { part: "id", .. })));
        assert!(matches!(target("/%/b/c"), Err(PathError::Part { part: "namespace", .. })));
    }

    /// The value type rules, row by row.
    #[test]
    fn value_types() {
        let text = "io.statefun.types/string";
        for (content_types, expected) in [
            (&[][..], Err(ValueTypeError::Missing)),
            (&["application/vnd.greeter.types/UserLogin"], Ok("greeter.types/UserLogin")),
            (&["application/vnd.a/b; charset=utf-8"], Ok("a/b; charset=utf-8")),
            (&["application/vnd."], Ok("")),
            (&["application/vnd.plain"], Ok("plain")),
            (&["Application/Vnd.a/b"], Ok(text)),
            (&["application/x-www-form-urlencoded"], Ok(text)),
            (&[""], Ok(text)),
            (&["text/plain", "application/vnd.a/b", "application/vnd.c/d"], Ok("a/b")),
        ] {
            let bytes = content_types.iter().map(|content_type| content_type.as_bytes());
            assert_eq!(value_type(bytes), expected, "{content_types:?}");
        }
        assert_eq!(value_type([&b"application/vnd.\xff"[..]]), Err(ValueTypeError::NotUtf8));
    }
}
