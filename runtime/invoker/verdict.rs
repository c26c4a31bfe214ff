//! Reads an answer: is it a success, and what is its body?
//!
//! A success is a status of 200-299 whose content type is `application/octet-stream`, as the transport compares it
//! (`dialect.rs`), without parameters; also when the body is empty. Redirects are not followed, which okhttp would do:
//! it would turn the call into a GET of something else.

use std::time::{Duration, SystemTime};

use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_TYPE, LOCATION};
use http::{HeaderMap, Response, StatusCode};
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};

use super::coding::{Coding, Unpack};
use super::dialect::Dialect;
use super::error::{CallError, Said, Version, classify};
use super::retry_after;

/// Bytes of an error answer that are read, so that its connection can be used again and its text be shown.
const ERROR_BODY_BYTES_MAX: usize = 16 * 1024;

/// How long they are waited for once the head has come.
const ERROR_BODY_WAIT: Duration = Duration::from_secs(1);

/// Characters of an error answer's text that are shown.
const SAID_CHARS_MAX: usize = 200;

/// The body of a good answer, or what is wrong with it.
pub(super) async fn read(
    answer: Response<Incoming>,
    dialect: Dialect,
    payload_max_bytes: usize,
) -> Result<Bytes, CallError> {
    let (head, body) = answer.into_parts();
    let coding = Coding::of(&head.headers);
    if !(head.status.is_success() && dialect.is_octet_stream(&head.headers)) {
        let text = error_text(body, coding.ok()).await;
        return Err(failure(head.status, &head.headers, said(&head.headers, &text)));
    }
    let coding = coding.map_err(CallError::Coding)?;
    if body.size_hint().lower() > payload_max_bytes as u64 {
        return Err(CallError::TooLarge(payload_max_bytes));
    }
    let version = if head.version == http::Version::HTTP_2 { Version::Http2 } else { Version::Http1 };
    match collect(body, payload_max_bytes, version).await? {
        Collected::TooLarge(_) => Err(CallError::TooLarge(payload_max_bytes)),
        Collected::Whole(body) => coding.unpack(body, payload_max_bytes).map_err(|e| match e {
            Unpack::TooLarge => CallError::TooLarge(payload_max_bytes),
            Unpack::Damaged(e) => CallError::Coding(e),
        }),
    }
}

fn failure(status: StatusCode, headers: &HeaderMap, said: Said) -> CallError {
    let retry_after_ms = retry_after::parse(headers, SystemTime::now());
    match status.as_u16() {
        429 | 502..=504 => CallError::Unavailable { status: status.as_u16(), said, retry_after_ms },
        200..=299 => match headers.get(CONTENT_TYPE) {
            Some(value) => CallError::ContentType { content_type: one_line(value.as_bytes()), said },
            None => CallError::NoContentType(said),
        },
        300..=399 if headers.contains_key(LOCATION) => CallError::Redirect {
            status: status.as_u16(),
            location: headers.get(LOCATION).map_or(String::new(), |value| without_query(value.as_bytes())),
        },
        _ => CallError::Status { status: status.as_u16(), said, retry_after_ms },
    }
}

/// The text of an error answer as far as it comes soon and is plain. The status is the news; a text that is slow, long or
/// cut off must not hide it.
async fn error_text(body: Incoming, coding: Option<Coding>) -> Bytes {
    match (tokio::time::timeout(ERROR_BODY_WAIT, collect(body, ERROR_BODY_BYTES_MAX, Version::Http1)).await, coding) {
        (Ok(Ok(Collected::Whole(body))), Some(coding)) => coding.unpack(body, ERROR_BODY_BYTES_MAX).unwrap_or_default(),
        (Ok(Ok(Collected::TooLarge(start))), Some(Coding::Identity)) => start,
        _ => Bytes::new(),
    }
}

enum Collected {
    Whole(Bytes),
    /// What was there when the limit was passed, cut to it.
    TooLarge(Bytes),
}

/// Collects a body in a buffer of its own size. hyper's chunks are parts of a read buffer that is much larger: an argument
/// or a state value cut out of one would keep all of it in memory, and hyper would have to make a new one for each call. The version is for
/// what an error is called.
async fn collect(mut body: Incoming, limit: usize, version: Version) -> Result<Collected, CallError> {
    /// What a declared length may reserve before its bytes have come.
    const RESERVE_MAX: u64 = 64 * 1024;
    let mut whole = BytesMut::with_capacity(body.size_hint().lower().min(RESERVE_MAX) as usize);
    while let Some(frame) = body.frame().await {
        let Ok(chunk) = frame.map_err(|e| classify(e, version))?.into_data() else { continue };
        let room = limit - whole.len();
        if chunk.len() > room {
            whole.extend_from_slice(&chunk[..room]);
            return Ok(Collected::TooLarge(whole.freeze()));
        }
        whole.extend_from_slice(&chunk);
    }
    Ok(Collected::Whole(whole.freeze()))
}

/// The beginning of an error answer's text: exceptions of the SDKs show there.
fn said(headers: &HeaderMap, body: &[u8]) -> Said {
    let content_type = headers.get(CONTENT_TYPE).map(|value| value.as_bytes().to_ascii_lowercase());
    let is_text =
        content_type.is_none_or(|value| value.starts_with(b"text/") || value.windows(4).any(|w| w == b"json"));
    Said(if is_text { one_line(body) } else { String::new() })
}

/// Text for a log: one line, no control characters, not long.
pub fn one_line(bytes: &[u8]) -> String {
    let bytes = &bytes[..bytes.len().min(SAID_CHARS_MAX * 8)];
    let text = String::from_utf8_lossy(bytes);
    let mut line = String::new();
    for word in text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty()) {
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    match line.char_indices().nth(SAID_CHARS_MAX) {
        Some((cut, _)) => format!("{}…", &line[..cut]),
        None => line,
    }
}

fn without_query(location: &[u8]) -> String {
    one_line(location.split(|b| matches!(b, b'?' | b'#')).next().unwrap_or_default())
}
