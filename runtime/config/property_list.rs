//! `properties` and `clientConfigProperties`: a list of mappings with one key each.
//!
//! In: a node. Out: [`Properties`]. Only the first key of each element is read and a later one replaces an earlier one, as
//! upstream. Values are scalars, handed on as text.

use std::collections::BTreeMap;

use super::diagnostic::{Diagnostic, Reported};
use super::fields::Context;
use super::yaml::{Node, Value};
use crate::errors;

/// Client properties by name.
pub type Properties = BTreeMap<String, String>;

/// Reads a property list.
pub(crate) fn read(node: &Node, field: &str, cx: &mut Context<'_>) -> Result<Properties, Reported> {
    let mut properties = Properties::new();
    let mut failed = None;
    for element in elements(node, field, cx)? {
        match first_pair(element, field, cx) {
            Ok((key, value)) => {
                properties.insert(key.to_owned(), value_text(value, key, cx));
            }
            Err(reported) => failed = Some(reported),
        }
    }
    failed.map_or(Ok(properties), Err)
}

/// The elements of a list of single-key mappings. Upstream iterates whatever it finds: the values of a mapping too, and
/// nothing at all for a scalar.
pub(crate) fn elements<'n>(node: &'n Node, field: &str, cx: &mut Context<'_>) -> Result<Vec<&'n Node>, Reported> {
    match &node.value {
        Value::List(items) => Ok(items.iter().map(|item| &**item).collect()),
        Value::Map(entries) => Ok(entries.iter().map(|entry| &*entry.value).collect()),
        Value::Scalar(_) if node.is_null() => Err(cx.wrong_type(node, field, "a list")),
        Value::Scalar(_) => {
            let place = cx.place_of(node);
            let fact = format!("`{field}` is {} and read as an empty list", node.description());
            cx.add(Diagnostic::warning(errors::MP0040, fact).at(place, "ignored, as upstream does"));
            Ok(Vec::new())
        }
    }
}

/// The first key of an element with its value.
pub(crate) fn first_pair<'n>(
    element: &'n Node,
    field: &str,
    cx: &mut Context<'_>,
) -> Result<(&'n str, &'n Node), Reported> {
    let entries = match &element.value {
        Value::Map(entries) => entries.as_slice(),
        Value::Scalar(_) | Value::List(_) => &[],
    };
    let Some(first) = entries.first() else {
        let place = cx.place_of(element);
        let fact = format!("`{field}` has an element that is not a `key: value` pair");
        let finding = Diagnostic::error(errors::MP0039, fact).at(place, "expected `- key: value`");
        return Err(cx.add(finding));
    };
    if let Some(second) = entries.iter().find(|entry| entry.key != first.key) {
        let place = cx.place(&second.key_range);
        let fact = format!("`{}` has no effect, only the first key of an element is read", second.key);
        let finding = Diagnostic::warning(errors::MP0033, fact).at(place, "ignored, as upstream does");
        cx.add(finding.hint(format!("write `- {}: ...` as an element of its own", second.key)));
    }
    // A key that is given twice in one element: the last value counts, as for every mapping.
    let last = entries.iter().rev().find(|entry| entry.key == first.key).unwrap_or(first);
    Ok((&last.key, &last.value))
}

fn value_text(value: &Node, key: &str, cx: &mut Context<'_>) -> String {
    let place = cx.place_of(value);
    let (text, surprise) = match value.scalar() {
        Some(scalar) if value.is_null() => (scalar.to_text(), Some("the text `null`")),
        Some(scalar) => (scalar.to_text(), None),
        None => (String::new(), Some("empty text")),
    };
    if let Some(surprise) = surprise {
        let fact = format!("property `{key}` is {} and read as {surprise}", value.description());
        cx.add(Diagnostic::warning(errors::MP0040, fact).at(place, "as upstream does"));
    }
    text
}

/// Whether the value of a property is a secret, which is never shown.
pub(crate) fn is_secret(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    ["password", "secret", "jaas", "token", "credential", "ssl.key", "keystore.key", "basic.auth"]
        .iter()
        .any(|part| key.contains(part))
}

#[cfg(test)]
mod tests {
    use super::super::testing::read_value;
    use super::{Properties, is_secret, read};

    /// The table of property lists: what is read, and what is refused.
    #[test]
    fn grammar() {
        for (yaml, expected) in [
            ("- a: b", Ok("a=b")),
            ("- a: 9999\n- b: true\n- c: 3.10\n- d: '3.10'", Ok("a=9999 b=true c=3.1 d=3.10")),
            ("- a: yes\n- b: 010\n- c: 1_000", Ok("a=true b=8 c=1000")),
            ("- a: 1\n- a: 2", Ok("a=2")),
            ("- a: 1\n  b: 2", Ok("a=1")),
            ("- {a: 1, a: 2}", Ok("a=2")),
            ("- a:", Ok("a=null")),
            ("- a: [x]", Ok("a=")),
            ("[]", Ok("")),
            ("{}", Ok("")),
            ("{x: {a: 1}, y: {b: 2}}", Ok("a=1 b=2")),
            ("text", Ok("")),
            ("{a: 1}", Err("MP0039")),
            ("- a", Err("MP0039")),
            ("- {}", Err("MP0039")),
            ("- []", Err("MP0039")),
            ("-", Err("MP0039")),
            ("~", Err("MP0031")),
        ] {
            let shown = |properties: Properties| {
                let pairs: Vec<String> = properties.iter().map(|(key, value)| format!("{key}={value}")).collect();
                pairs.join(" ")
            };
            let (properties, codes) = read_value(yaml, |node, cx| read(node, "properties", cx));
            match expected {
                Ok(text) => assert_eq!(properties.ok().map(shown).as_deref(), Some(text), "{yaml}"),
                Err(code) => assert!(properties.is_err() && codes.contains(&code), "{yaml}: {codes:?}"),
            }
        }
    }

    /// What may not be printed.
    #[test]
    fn secrets() {
        for key in ["sasl.password", "sasl.jaas.config", "ssl.keystore.key", "SSL.KEY.PASSWORD", "client.secret"] {
            assert!(is_secret(key), "{key}");
        }
        assert!(!is_secret("bootstrap.servers") && !is_secret("enable.idempotence"));
    }
}
