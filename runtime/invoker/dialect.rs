//! The two transports of upstream, as far as the wire shows which one it is.
//!
//! `async` is upstream's Netty client, `okhttp` the library of that name. They differ in what they send, in how they compare
//! a content type, and in what they limit: okhttp watches every pause, async only the whole. Both are HTTP over our own
//! connections here; this file is what remains of the difference.

use std::time::Duration;

use http::header::{ACCEPT, ACCEPT_ENCODING, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HOST, USER_AGENT};
use http::{HeaderMap, HeaderValue};

use super::coding;

/// The one content type.
pub(super) const OCTET_STREAM: &str = "application/octet-stream";

/// Which transport an endpoint has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// `io.statefun.transports.v1/async`.
    Async,
    /// `io.statefun.transports.v1/okhttp`.
    OkHttp {
        /// `timeouts.read`: the longest time in which nothing comes.
        read: Duration,
        /// `timeouts.write`: the longest time in which nothing can be sent.
        write: Duration,
    },
}

impl Dialect {
    /// What every request over HTTP/1.1 carries, in upstream's order; each puts its own length in place of the zero.
    pub(super) fn headers(self, host: HeaderValue) -> HeaderMap {
        let mut headers = HeaderMap::with_capacity(8);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(OCTET_STREAM));
        match self {
            Dialect::Async => {
                headers.insert(ACCEPT, HeaderValue::from_static(OCTET_STREAM));
                headers.insert(ACCEPT_ENCODING, HeaderValue::from_static(coding::OFFERED));
                headers.insert(CONNECTION, HeaderValue::from_static("keep-alive"));
                headers.insert(USER_AGENT, HeaderValue::from_static("statefun"));
                headers.insert(HOST, host);
                headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
            }
            Dialect::OkHttp { .. } => {
                headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
                headers.insert(HOST, host);
                headers.insert(CONNECTION, HeaderValue::from_static("Keep-Alive"));
                headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
                // As upstream's: what lets its requests pass lets these pass.
                headers.insert(USER_AGENT, HeaderValue::from_static("okhttp/3.14.6"));
            }
        }
        headers
    }

    /// Whether a port stands in the host header. Upstream's Netty client leaves out 80 and 443 whatever the scheme.
    pub(super) fn shows_port(self, port: u16, https: bool) -> bool {
        match self {
            Dialect::Async => !matches!(port, 80 | 443),
            Dialect::OkHttp { .. } => port != if https { 443 } else { 80 },
        }
    }

    /// Whether an answer has the one content type. async: one element of the list, whatever its case; a parameter makes it
    /// another value. okhttp: the last header, letter by letter.
    pub(super) fn is_octet_stream(self, headers: &HeaderMap) -> bool {
        let mut values = headers.get_all(CONTENT_TYPE).iter();
        match self {
            Dialect::Async => values
                .flat_map(|value| value.as_bytes().split(|b| *b == b','))
                .any(|element| element.trim_ascii().eq_ignore_ascii_case(OCTET_STREAM.as_bytes())),
            Dialect::OkHttp { .. } => values.next_back().is_some_and(|value| value == OCTET_STREAM),
        }
    }
}
