//! Reads a `FromFunction` without copying a payload.
//!
//! What comes in: the body of an answer. What goes out: a [`Response`] whose arguments and values are slices of that body.
//! Arguments stay encoded `TypedValue`s, so fields that we do not know travel on. An empty body, or one with neither arm,
//! is success without effects, as upstream reads it.

use bytes::Bytes;
use prost::Message;

/// An answer of a function.
#[derive(Debug, Clone, PartialEq)]
pub enum Response {
    /// The batch ran; these are its effects.
    Completed(InvocationResponse),
    /// The function needs states that the request did not carry.
    Incomplete(Vec<PersistedValueSpec>),
}

/// The answer is not a `FromFunction`.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the answer is not a `FromFunction` message")]
pub struct InvalidResponse(#[source] prost::DecodeError);

/// Decodes an answer.
///
/// # Errors
/// [`InvalidResponse`] when the bytes are not a protobuf message of this shape.
pub fn decode(body: Bytes) -> Result<Response, InvalidResponse> {
    let message = FromFunction::decode(body).map_err(InvalidResponse)?;
    Ok(match (message.incomplete, message.result) {
        (Some(incomplete), None) => Response::Incomplete(incomplete.missing_values),
        (_, result) => Response::Completed(result.unwrap_or_default()),
    })
}

#[derive(Clone, PartialEq, Message)]
struct FromFunction {
    #[prost(message, optional, tag = "100")]
    result: Option<InvocationResponse>,
    #[prost(message, optional, tag = "101")]
    incomplete: Option<IncompleteInvocationContext>,
}

#[derive(Clone, PartialEq, Message)]
struct IncompleteInvocationContext {
    #[prost(message, repeated, tag = "1")]
    missing_values: Vec<PersistedValueSpec>,
}

/// `FromFunction.InvocationResponse`: the effects of a batch, in the order in which the function asked for them.
#[derive(Clone, PartialEq, Message)]
pub struct InvocationResponse {
    /// State values written and deleted.
    #[prost(message, repeated, tag = "1")]
    pub state_mutations: Vec<PersistedValueMutation>,
    /// Messages to other functions.
    #[prost(message, repeated, tag = "2")]
    pub outgoing_messages: Vec<OutgoingMessage>,
    /// Messages to be delivered later, and cancellations of such.
    #[prost(message, repeated, tag = "3")]
    pub delayed_invocations: Vec<DelayedInvocation>,
    /// Records for egresses.
    #[prost(message, repeated, tag = "4")]
    pub outgoing_egresses: Vec<EgressMessage>,
}

/// `FromFunction.PersistedValueMutation`.
#[derive(Clone, PartialEq, Message)]
pub struct PersistedValueMutation {
    /// `DELETE` = 0, `MODIFY` = 1; anything else breaks the protocol.
    #[prost(int32, tag = "1")]
    pub mutation_type: i32,
    /// The registered name.
    #[prost(string, tag = "2")]
    pub state_name: String,
    /// The new value.
    #[prost(message, optional, tag = "3")]
    pub state_value: Option<TypedValue>,
}

/// [`PersistedValueMutation::mutation_type`]: remove the value.
pub const MUTATION_DELETE: i32 = 0;
/// [`PersistedValueMutation::mutation_type`]: write the value.
pub const MUTATION_MODIFY: i32 = 1;

/// `FromFunction.Invocation`.
#[derive(Clone, PartialEq, Message)]
pub struct OutgoingMessage {
    /// The receiver.
    #[prost(message, optional, tag = "1")]
    pub target: Option<WireAddress>,
    /// The argument, an encoded `TypedValue`.
    #[prost(bytes = "bytes", optional, tag = "2")]
    pub argument: Option<Bytes>,
}

/// `FromFunction.DelayedInvocation`.
#[derive(Clone, PartialEq, Message)]
pub struct DelayedInvocation {
    /// Milliseconds from the moment the answer is applied.
    #[prost(int64, tag = "1")]
    pub delay_in_ms: i64,
    /// The receiver.
    #[prost(message, optional, tag = "2")]
    pub target: Option<WireAddress>,
    /// The argument, an encoded `TypedValue`.
    #[prost(bytes = "bytes", optional, tag = "3")]
    pub argument: Option<Bytes>,
    /// True: cancel what carries the token; all other fields are ignored.
    #[prost(bool, tag = "10")]
    pub is_cancellation_request: bool,
    /// Names the message for a later cancellation; empty means no token.
    #[prost(string, tag = "11")]
    pub cancellation_token: String,
}

/// `FromFunction.EgressMessage`.
#[derive(Clone, PartialEq, Message)]
pub struct EgressMessage {
    /// First part of the egress id.
    #[prost(string, tag = "1")]
    pub egress_namespace: String,
    /// Second part of the egress id.
    #[prost(string, tag = "2")]
    pub egress_type: String,
    /// The record.
    #[prost(message, optional, tag = "3")]
    pub argument: Option<TypedValue>,
}

/// `FromFunction.PersistedValueSpec`.
#[derive(Clone, PartialEq, Message)]
pub struct PersistedValueSpec {
    /// The name under which the function declared the state.
    #[prost(string, tag = "1")]
    pub state_name: String,
    /// When the value expires.
    #[prost(message, optional, tag = "2")]
    pub expiration_spec: Option<ExpirationSpec>,
    /// The typename of the value; empty means `io.statefun.types/unset`.
    #[prost(string, tag = "3")]
    pub type_typename: String,
}

/// `FromFunction.ExpirationSpec`.
#[derive(Clone, PartialEq, Message)]
pub struct ExpirationSpec {
    /// `NONE` = 0, `AFTER_WRITE` = 1, `AFTER_INVOKE` = 2; anything else reads as `NONE`.
    #[prost(int32, tag = "1")]
    pub mode: i32,
    /// Milliseconds.
    #[prost(int64, tag = "2")]
    pub expire_after_millis: i64,
}

/// [`ExpirationSpec::mode`]: the clock restarts on a write.
pub const EXPIRE_AFTER_WRITE: i32 = 1;
/// [`ExpirationSpec::mode`]: the clock restarts on a write and on each request that carries the value.
pub const EXPIRE_AFTER_INVOKE: i32 = 2;

/// `Address` as the wire spells it.
#[derive(Clone, PartialEq, Message)]
pub struct WireAddress {
    /// Namespace of the function type.
    #[prost(string, tag = "1")]
    pub namespace: String,
    /// Name of the function type.
    #[prost(string, tag = "2")]
    pub r#type: String,
    /// Id of the instance.
    #[prost(string, tag = "3")]
    pub id: String,
}

/// `TypedValue` where the runtime itself looks at it.
#[derive(Clone, PartialEq, Message)]
pub struct TypedValue {
    /// The typename of `value`.
    #[prost(string, tag = "1")]
    pub typename: String,
    /// Tells an empty value from none.
    #[prost(bool, tag = "2")]
    pub has_value: bool,
    /// The bytes.
    #[prost(bytes = "bytes", tag = "3")]
    pub value: Bytes,
}
