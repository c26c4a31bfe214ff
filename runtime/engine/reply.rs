//! A function's answer, decoded and checked as far as that needs no knowledge of the engine's state.

use std::sync::Arc;

use bytes::Bytes;
use millpond_protocol::{Address, TypeName};

use crate::{LaneId, Millis};

/// What a function answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// The batch ran.
    Completed(Effects),
    /// The function needs states that the request did not carry.
    Incomplete(Vec<StateSpec>),
}

/// The effects of a batch, each list in the order in which the function asked.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Effects {
    /// Messages to functions.
    pub messages: Vec<Message>,
    /// Messages to be delivered later, and cancellations of such.
    pub delayed: Vec<DelayedEffect>,
    /// Records for egresses.
    pub egress: Vec<EgressRecord>,
    /// State changes.
    pub mutations: Vec<Mutation>,
}

/// A message to a function.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// The receiver.
    pub target: Address,
    /// The argument, an encoded `TypedValue`.
    pub argument: Bytes,
}

/// A message for later, or the end of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DelayedEffect {
    /// Deliver this later.
    Send {
        /// Milliseconds from the moment at which the answer is applied; a negative number breaks the protocol.
        delay_ms: i64,
        /// The message.
        message: Message,
        /// Names it for a cancellation, among the delayed messages of all senders with this id; empty means no name.
        token: String,
    },
    /// Do not deliver what carries this token, if it was not delivered yet.
    Cancel {
        /// The token; an empty one breaks the protocol.
        token: String,
    },
}

/// A record for the outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EgressRecord {
    /// Where it goes.
    pub lane: LaneId,
    /// The record in the egress's own form.
    pub record: Bytes,
}

/// A state change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mutation {
    /// Remove the value.
    Delete {
        /// The state.
        name: String,
    },
    /// Write the value.
    Modify {
        /// The state.
        name: String,
        /// The typename the function gave; it must be the registered one.
        typename: String,
        /// The bytes.
        value: Bytes,
    },
}

/// A state that a function type declared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateSpec {
    /// Its name.
    pub name: Arc<str>,
    /// The typename of its values.
    pub typename: TypeName,
    /// When its values expire.
    pub expiration: Expiration,
}

/// When a state value expires.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Expiration {
    /// Never.
    #[default]
    None,
    /// So many milliseconds after it was written.
    AfterWrite(Millis),
    /// So many milliseconds after it was written or sent with a request.
    AfterInvoke(Millis),
}

/// An answer that breaks a rule: none of its effects apply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    /// Its code.
    pub code: &'static str,
    /// What is wrong with it.
    pub error: Arc<str>,
}

impl Rejection {
    /// A rejection with its words.
    pub fn new(code: &'static str, error: impl Into<Arc<str>>) -> Rejection {
        Rejection { code, error: error.into() }
    }
}
