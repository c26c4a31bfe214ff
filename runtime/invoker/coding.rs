//! Content codings: what we offer in `accept-encoding`, we can undo.
//!
//! In: a body and its `content-encoding`. Out: the plain body, which is never larger than the limit, however small the
//! packed one was.

use std::io::Read;

use bytes::Bytes;
use flate2::read::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};
use http::HeaderMap;
use http::header::CONTENT_ENCODING;

/// The value of `accept-encoding`, as upstream sends it.
pub const OFFERED: &str = "gzip,deflate";

/// How a body is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Coding {
    /// Not at all.
    Identity,
    /// RFC 1952.
    Gzip,
    /// RFC 1950, or, as some servers have it, RFC 1951.
    Deflate,
}

/// Why a body cannot be unpacked.
#[derive(Debug, thiserror::Error)]
pub enum CodingError {
    #[error("content coding `{0}` was not offered")]
    Unknown(String),
    #[error("the packed body is damaged")]
    Damaged(#[source] std::io::Error),
}

/// What is wrong with an unpacked body.
#[derive(Debug)]
pub enum Unpack {
    /// It is larger than the limit.
    TooLarge,
    /// It is damaged.
    Damaged(CodingError),
}

impl Coding {
    /// Reads `content-encoding`. More than one coding on top of the other is not offered, so not understood.
    pub fn of(headers: &HeaderMap) -> Result<Coding, CodingError> {
        let mut coding = Coding::Identity;
        for value in headers.get_all(CONTENT_ENCODING) {
            let text = String::from_utf8_lossy(value.as_bytes());
            for name in text.split(',').map(str::trim).filter(|name| !name.is_empty()) {
                let next = match name.to_ascii_lowercase().as_str() {
                    "identity" => continue,
                    "gzip" | "x-gzip" => Coding::Gzip,
                    "deflate" | "x-deflate" => Coding::Deflate,
                    _ => return Err(CodingError::Unknown(name.chars().take(40).collect())),
                };
                if coding != Coding::Identity {
                    return Err(CodingError::Unknown(text.chars().take(40).collect()));
                }
                coding = next;
            }
        }
        Ok(coding)
    }

    /// Unpacks a body to at most `limit` bytes. An empty body stays empty.
    pub fn unpack(self, body: Bytes, limit: usize) -> Result<Bytes, Unpack> {
        if body.is_empty() {
            return Ok(body);
        }
        match self {
            Coding::Identity => Ok(body),
            Coding::Gzip => read(MultiGzDecoder::new(&body[..]), limit),
            Coding::Deflate if has_zlib_header(&body) => read(ZlibDecoder::new(&body[..]), limit),
            Coding::Deflate => read(DeflateDecoder::new(&body[..]), limit),
        }
    }
}

fn read(decoder: impl Read, limit: usize) -> Result<Bytes, Unpack> {
    let mut plain = Vec::new();
    // One byte more than allowed tells a body that fits from one that does not.
    let bound = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    decoder.take(bound).read_to_end(&mut plain).map_err(|e| Unpack::Damaged(CodingError::Damaged(e)))?;
    if plain.len() > limit { Err(Unpack::TooLarge) } else { Ok(plain.into()) }
}

/// RFC 1950: the method is 8 and the first two bytes are a multiple of 31.
fn has_zlib_header(body: &[u8]) -> bool {
    matches!(body, [cmf, flg, ..] if cmf & 0x0f == 8 && u16::from_be_bytes([*cmf, *flg]) % 31 == 0)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};

    use super::*;

    fn gzip(plain: &[u8]) -> Bytes {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(plain).expect("memory");
        encoder.finish().expect("memory").into()
    }

    fn headers(values: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(CONTENT_ENCODING, value.parse().expect("a header value"));
        }
        headers
    }

    /// Each coding that we offer comes back plain.
    #[test]
    fn offered_codings_are_undone() {
        let plain = b"an answer, an answer, an answer".as_slice();
        let mut zlib = ZlibEncoder::new(Vec::new(), Compression::default());
        zlib.write_all(plain).expect("memory");
        let mut raw = DeflateEncoder::new(Vec::new(), Compression::default());
        raw.write_all(plain).expect("memory");
        for (coding, body) in [
            (Coding::Identity, Bytes::from_static(plain)),
            (Coding::Gzip, gzip(plain)),
            (Coding::Deflate, zlib.finish().expect("memory").into()),
            (Coding::Deflate, raw.finish().expect("memory").into()),
        ] {
            assert_eq!(coding.unpack(body, 100).expect("a good body"), plain, "{coding:?}");
            assert_eq!(coding.unpack(Bytes::new(), 100).expect("empty"), "", "{coding:?}");
        }
    }

    /// A small body cannot become a large one.
    #[test]
    fn a_bomb_stops_at_the_limit() {
        let bomb = gzip(&vec![0; 10 << 20]);
        assert!(bomb.len() < 20_000);
        assert!(matches!(Coding::Gzip.unpack(bomb.clone(), 1000), Err(Unpack::TooLarge)));
        assert!(matches!(Coding::Gzip.unpack(bomb.clone(), (10 << 20) - 1), Err(Unpack::TooLarge)));
        assert_eq!(Coding::Gzip.unpack(bomb, 10 << 20).expect("it fits").len(), 10 << 20);
    }

    /// Damage is an error, never a shorter answer.
    #[test]
    fn damage_is_found() {
        let good = gzip(b"an answer");
        for body in [good.slice(..good.len() - 3), good.slice(..5), Bytes::from_static(b"plain text")] {
            assert!(matches!(Coding::Gzip.unpack(body, 100), Err(Unpack::Damaged(_))));
        }
        assert!(matches!(Coding::Deflate.unpack(Bytes::from_static(b"\xff\xff"), 100), Err(Unpack::Damaged(_))));
    }

    #[test]
    fn the_header_is_read_as_a_list() {
        for (values, expected) in [
            (&[][..], Some(Coding::Identity)),
            (&["identity"], Some(Coding::Identity)),
            (&["GZIP"], Some(Coding::Gzip)),
            (&["x-gzip"], Some(Coding::Gzip)),
            (&["deflate"], Some(Coding::Deflate)),
            (&["identity, gzip"], Some(Coding::Gzip)),
            (&["gzip, gzip"], None),
            (&["gzip", "deflate"], None),
            (&["br"], None),
        ] {
            assert_eq!(Coding::of(&headers(values)).ok(), expected, "{values:?}");
        }
    }
}
