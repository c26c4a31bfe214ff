//! `namespace/name`, the name of function types, values, ingresses, egresses and component kinds.
//!
//! Parsing follows upstream's `TypeName.parseFrom`: Java's `split("/")` into exactly two parts, trailing empty parts
//! dropped, so `a/b/` reads as `a/b` and `/b` has an empty namespace.

use std::fmt;
use std::sync::Arc;

/// A name in two parts. Cloning one is a reference count.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TypeName(Arc<Parts>);

#[derive(PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Parts {
    namespace: Box<str>,
    name: Box<str>,
}

/// The text is not `<namespace>/<name>`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not of the form `<namespace>/<name>`")]
pub struct InvalidTypeName(pub String);

impl TypeName {
    /// A name from its two parts, taken as they are: the wire may carry parts that no module file could spell, empty ones
    /// and ones with a slash. (The Python SDK splits at the last slash.) So names are equal when their parts are, as
    /// upstream compares them; two different ones may be displayed alike, and a displayed name is no key.
    pub fn new(namespace: &str, name: &str) -> TypeName {
        TypeName(Arc::new(Parts { namespace: namespace.into(), name: name.into() }))
    }

    /// Parses `namespace/name`.
    ///
    /// # Errors
    /// [`InvalidTypeName`] when the text does not split into exactly two parts.
    pub fn parse(text: &str) -> Result<TypeName, InvalidTypeName> {
        let (namespace, rest) = text.split_once('/').unwrap_or((text, ""));
        let name = rest.trim_end_matches('/');
        if name.is_empty() || name.contains('/') {
            return Err(InvalidTypeName(text.to_owned()));
        }
        Ok(TypeName::new(namespace, name))
    }

    /// The part before the slash.
    pub fn namespace(&self) -> &str {
        &self.0.namespace
    }

    /// The part behind the slash.
    pub fn name(&self) -> &str {
        &self.0.name
    }
}

impl fmt::Display for TypeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace(), self.name())
    }
}

impl fmt::Debug for TypeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::TypeName;

    /// The grammar table of the module format: what upstream accepts, we accept, with the same meaning.
    #[test]
    fn grammar_follows_java_split() {
        for (text, expected) in [
            ("a.b/c", Some(("a.b", "c"))),
            ("a/b/", Some(("a", "b"))),
            ("a/b//", Some(("a", "b"))),
            ("/b", Some(("", "b"))),
            ("a", None),
            ("a/", None),
            ("/", None),
            ("", None),
            ("a/b/c", None),
            ("a//b", None),
            ("//", None),
            ("//b", None),
            ("/b/", Some(("", "b"))),
            ("a/b/c/", None),
            ("é/\0 ", Some(("é", "\0 "))),
        ] {
            let parsed = TypeName::parse(text).ok();
            let parts = parsed.as_ref().map(|t| (t.namespace(), t.name()));
            assert_eq!(parts, expected, "{text:?}");
        }
    }

    /// Names from the wire are told apart by their parts, whatever they look like, and are never split anew.
    #[test]
    fn parts_from_the_wire_are_taken_as_they_are() {
        let left = TypeName::new("a/b", "c");
        let right = TypeName::new("a", "b/c");
        assert_eq!(left.to_string(), right.to_string());
        assert_ne!(left, right);
        let empty = TypeName::new("", "");
        assert_eq!((empty.namespace(), empty.name()), ("", ""));
        assert!(TypeName::parse(&empty.to_string()).is_err());
    }
}
