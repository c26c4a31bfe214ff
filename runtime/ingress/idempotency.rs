//! The `Idempotency-Key` of a request, and the digest that ties it to its event.

use http::{HeaderMap, HeaderName};
use millpond_engine::IdempotencyKey;
use millpond_protocol::Address;
use sha2::{Digest, Sha256};

/// Names the event for its sender, so that sending it again is harmless.
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// Bytes of a key.
pub const KEY_BYTES_MAX: usize = 255;

/// A key that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    #[error("the request has {0} `Idempotency-Key` headers, not 1")]
    Several(usize),
    #[error("the `Idempotency-Key` is empty")]
    Empty,
    #[error("the `Idempotency-Key` has {0} bytes, more than {KEY_BYTES_MAX}")]
    TooLong(usize),
    #[error("the `Idempotency-Key` is not UTF-8 text")]
    NotUtf8,
}

/// Reads the key, if there is one. It is taken as it stands: quotes belong to it.
pub fn key(headers: &HeaderMap) -> Result<Option<Box<str>>, KeyError> {
    let several = headers.get_all(IDEMPOTENCY_KEY).iter().count();
    let Some(value) = headers.get(IDEMPOTENCY_KEY) else { return Ok(None) };
    let bytes = value.as_bytes();
    match bytes.len() {
        _ if several > 1 => Err(KeyError::Several(several)),
        0 => Err(KeyError::Empty),
        len if len > KEY_BYTES_MAX => Err(KeyError::TooLong(len)),
        _ => std::str::from_utf8(bytes).map(|key| Some(key.into())).map_err(|_| KeyError::NotUtf8),
    }
}

/// Ties a key to target, value type and value: the same key with another of them is a mistake of the sender.
pub fn guard(key: Box<str>, target: &Address, value_type: &str, value: &[u8]) -> IdempotencyKey {
    let mut digest = Sha256::new();
    let function = &target.function;
    for part in [function.namespace(), function.name(), &target.id, value_type] {
        // Lengths keep parts apart: `a` + `bc` is not `ab` + `c`.
        digest.update((part.len() as u64).to_le_bytes());
        digest.update(part);
    }
    digest.update(value);
    let mut fingerprint = [0; 16];
    fingerprint.copy_from_slice(&digest.finalize()[..16]);
    IdempotencyKey { key, fingerprint }
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue};
    use millpond_protocol::{Address, TypeName};

    use super::{KeyError, guard, key};

    fn headers(values: &[&[u8]]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append("idempotency-key", HeaderValue::from_bytes(value).expect("a header value"));
        }
        headers
    }

    /// A key has 1 to 255 bytes of text, and there is one at most.
    #[test]
    fn keys() {
        let longest = [b'k'; 255];
        let longer = [b'k'; 256];
        for (values, expected) in [
            (&[][..], Ok(None)),
            (&[&b"visit-1"[..]], Ok(Some("visit-1"))),
            (&[&b"\"quoted\""[..]], Ok(Some("\"quoted\""))),
            (&["é".as_bytes()], Ok(Some("é"))),
            (&[&longest[..]], Ok(Some(std::str::from_utf8(&longest).expect("ascii")))),
            (&[&longer[..]], Err(KeyError::TooLong(256))),
            (&[&b""[..]], Err(KeyError::Empty)),
            (&[&b"\xff"[..]], Err(KeyError::NotUtf8)),
            (&[&b"a"[..], b"a"], Err(KeyError::Several(2))),
        ] {
            assert_eq!(key(&headers(values)), expected.map(|key| key.map(Into::into)), "{values:?}");
        }
    }

    /// The digest changes with every part of the event, and with where one part ends and the next begins.
    #[test]
    fn fingerprints_tell_events_apart() {
        let print = |namespace, name, id, value_type, value: &[u8]| {
            let target = Address::new(TypeName::new(namespace, name), id);
            guard("key".into(), &target, value_type, value).fingerprint
        };
        let prints = [
            print("a", "b", "c", "t/t", b"v"),
            print("ab", "", "c", "t/t", b"v"),
            print("a", "bc", "", "t/t", b"v"),
            print("a", "b", "c", "t/", b"tv"),
            print("a", "b", "c", "t/t", b""),
        ];
        for (at, one) in prints.iter().enumerate() {
            assert!(!prints[at + 1..].contains(one), "{at}");
        }
        assert_eq!(prints[0], print("a", "b", "c", "t/t", b"v"));
    }
}
