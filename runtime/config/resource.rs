//! Locations as upstream writes them: a path, or a `file:` URL.
//!
//! In: the text of an argument or field. Out: a path on this machine.

use std::path::PathBuf;

use percent_encoding::percent_decode_str;

/// Why a location is not a path on this machine.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidLocation {
    /// Nothing was written.
    #[error("it is empty")]
    Empty,
    /// `classpath:`, which only exists inside a JVM.
    #[error("there is no class path here; write the path of the file")]
    ClassPath,
    /// A `file:` URL with a host in it.
    #[error("a `file:` URL with a host names a file of another machine")]
    Host,
    /// Another scheme.
    #[error("only paths and `file:` URLs can be read")]
    Scheme,
}

/// The path that a location names.
///
/// # Errors
/// [`InvalidLocation`] for what is not a path on this machine.
pub fn path(location: &str) -> Result<PathBuf, InvalidLocation> {
    if location.is_empty() {
        return Err(InvalidLocation::Empty);
    }
    let Some((scheme, rest)) = location.split_once(':').filter(|(scheme, _)| is_scheme(scheme)) else {
        return Ok(PathBuf::from(location));
    };
    match scheme.to_ascii_lowercase().as_str() {
        "file" => file_url(rest),
        "classpath" => Err(InvalidLocation::ClassPath),
        _ => Err(InvalidLocation::Scheme),
    }
}

fn file_url(rest: &str) -> Result<PathBuf, InvalidLocation> {
    let path = match rest.strip_prefix("//") {
        None => rest,
        Some(authority) => {
            let slash = authority.find('/').unwrap_or(authority.len());
            let (host, path) = authority.split_at(slash);
            if !host.is_empty() && !host.eq_ignore_ascii_case("localhost") {
                return Err(InvalidLocation::Host);
            }
            path
        }
    };
    if path.is_empty() {
        return Err(InvalidLocation::Empty);
    }
    Ok(PathBuf::from(percent_decode_str(path).decode_utf8_lossy().into_owned()))
}

/// Two letters at least: one letter would be a drive of another system.
fn is_scheme(text: &str) -> bool {
    text.len() > 1
        && text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"+.-".contains(&b))
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::{InvalidLocation, path};

    /// Paths, `file:` URLs in all their spellings, and what is refused.
    #[test]
    fn locations() {
        for (location, expected) in [
            ("module.yaml", Ok("module.yaml")),
            ("/etc/module.yaml", Ok("/etc/module.yaml")),
            ("~/module.yaml", Ok("~/module.yaml")),
            ("a b%20c", Ok("a b%20c")),
            ("./with:colon", Ok("./with:colon")),
            ("file:/x/a%20b.yaml", Ok("/x/a b.yaml")),
            ("file:///x", Ok("/x")),
            ("FILE://localhost/x", Ok("/x")),
            ("file:module.yaml", Ok("module.yaml")),
            ("file://server/x", Err(InvalidLocation::Host)),
            ("file:", Err(InvalidLocation::Empty)),
            ("", Err(InvalidLocation::Empty)),
            ("classpath:module.yaml", Err(InvalidLocation::ClassPath)),
            ("https://example.com/module.yaml", Err(InvalidLocation::Scheme)),
        ] {
            assert_eq!(path(location), expected.map(PathBuf::from), "{location}");
        }
    }
}
