//! `sasl.jaas.config`: Java's way to say a user's name and password. Pure.
//!
//! `MODULE required username="..." password="...";`, with values in quotes (backslash escapes) or bare.

use std::collections::BTreeMap;

/// The login module's class name without its package, and its options.
pub(super) fn parse(text: &str) -> Option<(String, BTreeMap<String, String>)> {
    let mut rest = text.trim();
    let class = word(&mut rest)?;
    let _flag = word(&mut rest)?;
    let mut options = BTreeMap::new();
    loop {
        rest = rest.trim_start();
        if rest.is_empty() || rest.starts_with(';') {
            let name = class.rsplit('.').next().unwrap_or(&class).to_owned();
            return Some((name, options));
        }
        let (key, value) = rest.split_once('=')?;
        rest = value.trim_start();
        let value = match rest.strip_prefix('"') {
            Some(quoted) => {
                let (value, behind) = unquote(quoted)?;
                rest = behind;
                value
            }
            None => word(&mut rest)?,
        };
        options.insert(key.trim().to_owned(), value);
    }
}

/// Up to white space or the end of the entry.
fn word(rest: &mut &str) -> Option<String> {
    *rest = rest.trim_start();
    let end = rest.find(|c: char| c.is_whitespace() || c == ';').unwrap_or(rest.len());
    let (word, behind) = rest.split_at(end);
    *rest = behind;
    (!word.is_empty()).then(|| word.to_owned())
}

fn unquote(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Some((value, &text[at + 1..])),
            '\\' => value.push(characters.next()?.1),
            other => value.push(other),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::parse;

    /// What Java's parser reads, and what it refuses.
    #[test]
    fn entries() {
        let plain =
            "org.apache.kafka.common.security.plain.PlainLoginModule required username=\"a b\" password=\"p\\\"=;\";";
        let (class, options) = parse(plain).expect("an entry");
        assert_eq!(
            (class.as_str(), options["username"].as_str(), options["password"].as_str()),
            ("PlainLoginModule", "a b", "p\"=;")
        );
        let (class, options) =
            parse(" x.ScramLoginModule  required\n username=ada\n password=s3cret ; ").expect("an entry");
        assert_eq!(
            (class.as_str(), options["username"].as_str(), options["password"].as_str()),
            ("ScramLoginModule", "ada", "s3cret")
        );
        for broken in ["", "a", "a required user", "a required user=\"x", "a required user=\"x\\"] {
            assert!(parse(broken).is_none(), "{broken}");
        }
    }
}
