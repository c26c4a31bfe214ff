//! What can go wrong with one attempt, and which of the two kinds it is.
//!
//! The rule: *unreachable* when nobody judged the message, *rejected* when the function did, or answered what cannot be
//! used. The engine never drops a message that only was unreachable, so what is in doubt is unreachable.

use std::error::Error as StdError;
use std::fmt::Write as _;

use millpond_engine::{CallFailure, FailureKind, Millis};

use super::codes;
use super::coding::CodingError;

/// Why an attempt brought no body that could be looked into.
#[derive(Debug, thiserror::Error)]
pub(super) enum CallError {
    #[error("no connection")]
    Connect(#[source] Box<dyn StdError + Send + Sync>),
    #[error("the host's name has no address")]
    Resolve(#[source] Box<dyn StdError + Send + Sync>),
    #[error("no connection within `connect`, {0} ms")]
    ConnectTimeout(u128),
    #[error("all {size} connections of `pool_size` were busy for `connect`, {waited_ms} ms")]
    NoSlot { size: usize, waited_ms: u128 },
    #[error("no answer in time")]
    Deadline,
    #[error("the connection ended before the answer was complete")]
    Broken(#[source] hyper::Error),
    #[error("the answer is not HTTP/1")]
    NotHttp(#[source] hyper::Error),
    #[error("answered status {status}{said}")]
    Unavailable { status: u16, said: Said, retry_after_ms: Option<Millis> },
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
            CallError::ConnectTimeout(_) => codes::CONNECT_TIMEOUT,
            CallError::NoSlot { .. } => codes::NO_SLOT,
            CallError::Deadline => codes::DEADLINE,
            CallError::Broken(_) => codes::BROKEN,
            CallError::NotHttp(_) => codes::NOT_HTTP,
            CallError::Unavailable { .. } => codes::UNAVAILABLE,
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
            | CallError::ConnectTimeout(_)
            | CallError::NoSlot { .. }
            | CallError::Deadline
            | CallError::Broken(_)
            | CallError::NotHttp(_)
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
