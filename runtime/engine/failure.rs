//! Failed calls: what the driver reports, and what the engine makes of it.

use std::sync::Arc;

use crate::Millis;

/// Why an attempt brought no usable answer. The invoker classifies, the engine decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallFailure {
    /// Which of the two kinds it is.
    pub kind: FailureKind,
    /// Its code, `MP4nnn`.
    pub code: &'static str,
    /// What went wrong, with the endpoint's address and the cause.
    pub error: Arc<str>,
    /// `Retry-After` of the answer, in milliseconds.
    pub retry_after_ms: Option<Millis>,
}

/// Two kinds of failure are kept apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FailureKind {
    /// Nobody judged the message: refused, reset, timed out, TLS, 429, 502-504.
    Unreachable,
    /// The message was judged: another status, an answer that cannot be decoded or breaks a rule.
    Rejected,
    /// No endpoint of the module serves the function type.
    NoEndpoint,
}
