//! What can go wrong with one attempt, and which of the two kinds it is.
//!
//! The rule: *unreachable* when nobody judged the message, *rejected* when the function did, or answered what cannot be
//! used. The engine never drops a message that only was unreachable, so what is in doubt is unreachable.

use std::error::Error as StdError;
use std::fmt::Write as _;
use std::io;

use millpond_engine::{CallFailure, FailureKind, Millis};

use super::codes;
use super::coding::CodingError;
use super::socket::Shown;
use super::tls;
use super::trust::Refusal;

/// Why an attempt brought no body that could be looked into.
#[derive(Debug, thiserror::Error)]
pub(super) enum CallError {
    #[error("no connection")]
    Connect(#[source] Box<dyn StdError + Send + Sync>),
    #[error("the host's name has no address")]
    Resolve(#[source] Box<dyn StdError + Send + Sync>),
    #[error("no connection within `connect`, {limit_ms} ms: still {doing}")]
    ConnectTimeout { limit_ms: u128, doing: &'static str },
    #[error("all {size} connections of `pool_size` were busy for `connect`, {waited_ms} ms")]
    NoSlot { size: usize, waited_ms: u128 },
    #[error("no answer in time")]
    Deadline,
    #[error("the connection ended before the answer was complete")]
    Broken(#[source] hyper::Error),
    #[error("the answer is not {version}")]
    NotHttp { version: Version, source: hyper::Error },
    #[error("the connection went away before anybody looked at the request")]
    Unseen(#[source] hyper::Error),
    #[error("nothing came for `timeouts.read`, {0} ms")]
    ReadTimeout(u128),
    #[error("nothing could be sent for `timeouts.write`, {0} ms")]
    WriteTimeout(u128),
    #[error(transparent)]
    Certificate(Refusal),
    #[error("the endpoint does not accept our certificate, or wants one: alert `{0}`")]
    ClientRefused(String),
    #[error("the endpoint asked for a client certificate and ended the connection without a word: {}", shown_words(*shown))]
    TurnedAway { shown: Shown, source: Box<dyn StdError + Send + Sync> },
    #[error("the endpoint does not speak TLS, and the URL begins with `https`")]
    NotTls(#[source] io::Error),
    #[error("the endpoint speaks TLS, and the URL begins with `http`")]
    SpeaksTls(#[source] hyper::Error),
    #[error("the TLS handshake failed")]
    Handshake(#[source] io::Error),
    #[error("answered status {status}{said}")]
    Unavailable { status: u16, said: Said, retry_after_ms: Option<Millis> },
    #[error("answered status {status}, which is about credentials{said}")]
    Unauthorized { status: u16, said: Said },
    #[error("answered status {status}{said}")]
    Status { status: u16, said: Said, retry_after_ms: Option<Millis> },
    #[error("answered status {status}, a redirect to `{location}`, which is not followed")]
    Redirect { status: u16, location: String },
    #[error("answered with content type `{content_type}` where `application/octet-stream` is needed{said}")]
    ContentType { content_type: String, said: Said },
    #[error("answered with no content type where `application/octet-stream` is needed{0}")]
    NoContentType(Said),
    #[error("the answer is larger than `payload_max_bytes`, {0} bytes")]
    TooLarge(usize),
    #[error("the answer's content coding cannot be undone")]
    Coding(#[source] CodingError),
}

/// What was to be spoken on a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Version {
    Http1,
    Http2,
}

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Version::Http1 => "HTTP/1",
            Version::Http2 => "HTTP/2",
        })
    }
}

fn shown_words(shown: Shown) -> &'static str {
    match shown {
        Shown::Ours => "it was shown the one of `client_cert`",
        Shown::Nothing => "there is no `client_cert` to show",
    }
}

/// The beginning of an error answer's text, on one line; empty when there was none.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Said(pub(super) String);

impl std::fmt::Display for Said {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.0.is_empty() { Ok(()) } else { write!(f, ": {}", self.0) }
    }
}

impl CallError {
    pub(super) fn code(&self) -> &'static str {
        match self {
            CallError::Connect(_) => codes::CONNECT,
            CallError::Resolve(_) => codes::RESOLVE,
            CallError::ConnectTimeout { .. } => codes::CONNECT_TIMEOUT,
            CallError::NoSlot { .. } => codes::NO_SLOT,
            CallError::Deadline => codes::DEADLINE,
            CallError::Broken(_) | CallError::Unseen(_) => codes::BROKEN,
            CallError::NotHttp { .. } | CallError::SpeaksTls(_) => codes::NOT_HTTP,
            CallError::ReadTimeout(_) | CallError::WriteTimeout(_) => codes::PAUSE,
            CallError::Certificate(Refusal::Untrusted { .. } | Refusal::Unusable { .. } | Refusal::NoKey) => {
                codes::UNTRUSTED
            }
            CallError::Certificate(Refusal::Expired { .. } | Refusal::NotYet { .. } | Refusal::Never { .. }) => {
                codes::EXPIRED
            }
            CallError::Certificate(Refusal::OtherHost { .. }) => codes::OTHER_HOST,
            CallError::ClientRefused(_) | CallError::TurnedAway { .. } => codes::CLIENT_REFUSED,
            CallError::NotTls(_) => codes::NOT_TLS,
            CallError::Handshake(_) => codes::HANDSHAKE,
            CallError::Unavailable { .. } => codes::UNAVAILABLE,
            CallError::Unauthorized { .. } => codes::UNAUTHORIZED,
            CallError::Status { .. } => codes::STATUS,
            CallError::Redirect { .. } => codes::REDIRECT,
            CallError::ContentType { .. } | CallError::NoContentType(_) => codes::CONTENT_TYPE,
            CallError::TooLarge(_) => codes::TOO_LARGE,
            CallError::Coding(_) => codes::CODING,
        }
    }

    pub(super) fn kind(&self) -> FailureKind {
        match self {
            CallError::Connect(_)
            | CallError::Resolve(_)
            | CallError::ConnectTimeout { .. }
            | CallError::NoSlot { .. }
            | CallError::Deadline
            | CallError::Broken(_)
            | CallError::Unseen(_)
            | CallError::NotHttp { .. }
            | CallError::ReadTimeout(_)
            | CallError::WriteTimeout(_)
            | CallError::Certificate(_)
            | CallError::ClientRefused(_)
            | CallError::TurnedAway { .. }
            | CallError::NotTls(_)
            | CallError::SpeaksTls(_)
            | CallError::Handshake(_)
            // A token that has run out says nothing about the message that it came with.
            | CallError::Unauthorized { .. }
            | CallError::Unavailable { .. } => FailureKind::Unreachable,
            CallError::Status { .. }
            | CallError::Redirect { .. }
            | CallError::ContentType { .. }
            | CallError::NoContentType(_)
            | CallError::TooLarge(_)
            | CallError::Coding(_) => FailureKind::Rejected,
        }
    }

    /// What the engine is told. `at` names the endpoint and the function type: this text goes to logs.
    pub(super) fn into_failure(self, at: &str) -> CallFailure {
        let retry_after_ms = match &self {
            CallError::Unavailable { retry_after_ms, .. } | CallError::Status { retry_after_ms, .. } => *retry_after_ms,
            _ => None,
        };
        CallFailure {
            kind: self.kind(),
            code: self.code(),
            error: format!("{at}: {}", chain(&self)).into(),
            retry_after_ms,
        }
    }
}

/// An error and its causes on one line. A cause that only repeats what was said is left out.
pub(super) fn chain(error: &(dyn StdError + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let words = cause.to_string();
        if !text.contains(&words) {
            let _ = write!(text, ": {words}");
        }
        source = cause.source();
    }
    text
}

/// Tells a connection that ended from bytes that are not HTTP, from a certificate that was refused after the handshake, and
/// from a stream that nobody looked at.
pub(super) fn classify(error: hyper::Error, version: Version) -> CallError {
    let mut damaged = error.is_parse();
    let mut source = StdError::source(&error);
    while let Some(cause) = source {
        if let Some(io) = cause.downcast_ref::<io::Error>() {
            // TLS 1.3 judges a client's certificate behind the handshake.
            if let Some(refused) = tls::tls_error(io).and_then(tls::refused) {
                return refused;
            }
            damaged |= matches!(io.kind(), io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput);
        }
        if let Some(http2) = cause.downcast_ref::<h2::Error>() {
            if is_unseen(http2) {
                return CallError::Unseen(error);
            }
            damaged |= !http2.is_remote() && !http2.is_io();
        }
        source = cause.source();
    }
    if damaged { CallError::NotHttp { version, source: error } } else { CallError::Broken(error) }
}

/// A stream that the server refused, or that it named as one that it will not look at because it goes away.
fn is_unseen(error: &h2::Error) -> bool {
    let reason = error.reason();
    error.is_remote()
        && (reason == Some(h2::Reason::REFUSED_STREAM) || error.is_go_away() && reason == Some(h2::Reason::NO_ERROR))
}
