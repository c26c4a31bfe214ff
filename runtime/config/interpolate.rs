//! `${NAME}` in scalar values, only under `--interpolate-env`.
//!
//! In: the text of one scalar and a look-up. Out: the text with every `${NAME}` replaced. It works on scalars after YAML
//! was parsed, so a value can hold colons, quotes or line ends without changing the structure of the file. Without the
//! option `${NAME}` is literal, as upstream.
//!
//! Grammar: `${NAME}`; `${NAME:-text}` for a default when the variable is unset or empty; `$${` for a literal `${`.

/// Where variables come from; a function, so that tests need not change the process environment.
pub type Lookup<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Bytes a scalar may have after replacement.
const EXPANDED_BYTES_MAX: usize = 64 * 1024;

/// Why a scalar could not be expanded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The variable is not set and has no default.
    Unset(String),
    /// `${` is not followed by a name and `}`.
    Malformed(String),
    /// The result is too long.
    TooLong,
}

/// Replaces variables in a scalar.
pub(crate) fn expand(text: &str, lookup: Lookup<'_>) -> Result<String, Failure> {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        let (before, tail) = rest.split_at(at);
        let inside = &tail[2..];
        if let Some(literal) = before.strip_suffix('$') {
            out.push_str(literal);
            out.push_str("${");
            rest = inside;
            continue;
        }
        out.push_str(before);
        let malformed = || Failure::Malformed(tail.chars().take(40).collect());
        let end = inside.find('}').ok_or_else(malformed)?;
        let (name, default) = match inside[..end].split_once(":-") {
            Some((name, default)) => (name, Some(default)),
            None => (&inside[..end], None),
        };
        if !is_name(name) {
            return Err(malformed());
        }
        let value = match (lookup(name), default) {
            (Some(value), None) => value,
            (Some(value), Some(_)) if !value.is_empty() => value,
            (_, Some(default)) => default.to_owned(),
            (None, None) => return Err(Failure::Unset(name.to_owned())),
        };
        out.push_str(&value);
        if out.len() > EXPANDED_BYTES_MAX {
            return Err(Failure::TooLong);
        }
        rest = &inside[end + 1..];
    }
    out.push_str(rest);
    Ok(out)
}

fn is_name(text: &str) -> bool {
    !text.is_empty()
        && !text.starts_with(|c: char| c.is_ascii_digit())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

#[cfg(test)]
mod tests {
    use super::{Failure, expand};

    fn environment(name: &str) -> Option<String> {
        match name {
            "HOST" => Some("broker:9092".into()),
            "EMPTY" => Some(String::new()),
            "NESTED" => Some("${HOST}".into()),
            "LONG" => Some("x".repeat(40_000)),
            _ => None,
        }
    }

    /// The grammar, and that a value is never looked at again.
    #[test]
    fn grammar() {
        let malformed = |text: &str| Err(Failure::Malformed(text.into()));
        for (text, expected) in [
            ("plain", Ok("plain")),
            ("http://${HOST}/x", Ok("http://broker:9092/x")),
            ("${HOST}${HOST}", Ok("broker:9092broker:9092")),
            ("${NESTED}", Ok("${HOST}")),
            ("${EMPTY}", Ok("")),
            ("${EMPTY:-d}", Ok("d")),
            ("${MISSING:-}", Ok("")),
            ("${MISSING:-a:-b}", Ok("a:-b")),
            ("$${HOST}", Ok("${HOST}")),
            ("$HOST $ {function.name}", Ok("$HOST $ {function.name}")),
            ("${MISSING}", Err(Failure::Unset("MISSING".into()))),
            ("${LONG}${LONG}", Err(Failure::TooLong)),
            ("a ${", malformed("${")),
            ("${}", malformed("${}")),
            ("${function.name}", malformed("${function.name}")),
            ("${1A}", malformed("${1A}")),
        ] {
            let expanded = expand(text, &environment);
            assert_eq!(expanded, expected.map(str::to_owned), "{text}");
        }
    }
}
