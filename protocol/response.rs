//! Reads a `FromFunction` without copying a payload.
//!
//! What comes in: the body of an answer. What goes out: a [`Response`] whose arguments and values are slices of that body,
//! so whoever keeps one keeps the body. Arguments stay encoded `TypedValue`s, fields that we do not know included. They are
//! checked all the same: what is handed on is sound, and a broken message is the fault of its sender, not of its receiver.
//! An empty body, or one with neither arm, is success without effects, as upstream reads it.

mod read;

use bytes::Bytes;

use crate::wire::Fault;

/// The most entries an answer may hold, effects or missing values: an entry of two bytes on the wire takes a hundred in
/// memory. Upstream knows no such limit; no honest answer that fits into its default body limit of 32 MiB comes near.
pub const ENTRIES_MAX: usize = 1_000_000;

/// An answer of a function.
#[derive(Debug, Clone, PartialEq)]
pub enum Response {
    /// The batch ran; these are its effects.
    Completed(InvocationResponse),
    /// The function needs states that the request did not carry.
    Incomplete(Vec<PersistedValueSpec>),
}

/// The answer is not a `FromFunction`. The source names the field and what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the answer is not a `FromFunction` message")]
pub struct InvalidResponse(#[source] Fault);

/// Decodes an answer.
///
/// Follows protobuf where an encoder would not go: the last arm wins, a field that occurs twice is replaced or, if it is a
/// message, merged, unknown fields are passed over.
///
/// # Errors
/// [`InvalidResponse`] when the bytes are not a protobuf message of this shape, or it has more than [`ENTRIES_MAX`] entries.
pub fn decode(body: Bytes) -> Result<Response, InvalidResponse> {
    read::response(&body).map_err(InvalidResponse)
}

/// `FromFunction.InvocationResponse`: the effects of a batch, in the order in which the function asked for them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct InvocationResponse {
    /// State values written and deleted.
    pub state_mutations: Vec<PersistedValueMutation>,
    /// Messages to other functions.
    pub outgoing_messages: Vec<OutgoingMessage>,
    /// Messages to be delivered later, and cancellations of such.
    pub delayed_invocations: Vec<DelayedInvocation>,
    /// Records for egresses.
    pub outgoing_egresses: Vec<EgressMessage>,
}

/// `FromFunction.PersistedValueMutation`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PersistedValueMutation {
    /// `DELETE` = 0, `MODIFY` = 1; anything else breaks the protocol.
    pub mutation_type: i32,
    /// The registered name.
    pub state_name: String,
    /// The new value.
    pub state_value: Option<TypedValue>,
}

/// [`PersistedValueMutation::mutation_type`]: remove the value.
pub const MUTATION_DELETE: i32 = 0;
/// [`PersistedValueMutation::mutation_type`]: write the value.
pub const MUTATION_MODIFY: i32 = 1;

/// `FromFunction.Invocation`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OutgoingMessage {
    /// The receiver.
    pub target: Option<WireAddress>,
    /// The argument, an encoded `TypedValue`.
    pub argument: Option<Bytes>,
}

/// `FromFunction.DelayedInvocation`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DelayedInvocation {
    /// Milliseconds from the moment the answer is applied.
    pub delay_in_ms: i64,
    /// The receiver.
    pub target: Option<WireAddress>,
    /// The argument, an encoded `TypedValue`.
    pub argument: Option<Bytes>,
    /// True: cancel what carries the token; all other fields are ignored.
    pub is_cancellation_request: bool,
    /// Names the message for a later cancellation; empty means no token.
    pub cancellation_token: String,
}

/// `FromFunction.EgressMessage`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EgressMessage {
    /// First part of the egress id.
    pub egress_namespace: String,
    /// Second part of the egress id.
    pub egress_type: String,
    /// The record.
    pub argument: Option<TypedValue>,
}

/// `FromFunction.PersistedValueSpec`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PersistedValueSpec {
    /// The name under which the function declared the state.
    pub state_name: String,
    /// When the value expires.
    pub expiration_spec: Option<ExpirationSpec>,
    /// The typename of the value; empty means `io.statefun.types/unset`.
    pub type_typename: String,
}

/// `FromFunction.ExpirationSpec`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ExpirationSpec {
    /// `NONE` = 0, `AFTER_WRITE` = 1, `AFTER_INVOKE` = 2; anything else reads as `NONE`.
    pub mode: i32,
    /// Milliseconds.
    pub expire_after_millis: i64,
}

/// [`ExpirationSpec::mode`]: the clock restarts on a write.
pub const EXPIRE_AFTER_WRITE: i32 = 1;
/// [`ExpirationSpec::mode`]: the clock restarts on a write and on each request that carries the value.
pub const EXPIRE_AFTER_INVOKE: i32 = 2;

/// `Address` as the wire spells it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WireAddress {
    /// Namespace of the function type.
    pub namespace: String,
    /// Name of the function type.
    pub r#type: String,
    /// Id of the instance.
    pub id: String,
}

/// `TypedValue` where the runtime itself looks at it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TypedValue {
    /// The typename of `value`.
    pub typename: String,
    /// Tells an empty value from none.
    pub has_value: bool,
    /// The bytes.
    pub value: Bytes,
}
