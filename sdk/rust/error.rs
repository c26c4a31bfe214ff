//! What can go wrong in a function, and in a call as a whole.

use std::error::Error as StdError;

use millpond_protocol::typename::InvalidTypeName;

/// Any error, as functions return it: whatever is behind a `?`.
pub type BoxError = Box<dyn StdError + Send + Sync + 'static>;

/// What a function returns. An error fails the whole batch: none of its effects happen, and the runtime tries again.
///
/// ```
/// async fn strict(_: &mut millpond_sdk::Context, message: millpond_sdk::Message) -> millpond_sdk::Result {
///     let text: String = message.value()?;
///     let _number: u64 = text.parse()?;
///     Ok(())
/// }
/// ```
pub type Result<T = (), E = BoxError> = std::result::Result<T, E>;

/// An operation of a [`Context`](crate::Context) or a [`Message`](crate::Message) that could not be done.
///
/// ```
/// use millpond_sdk::{Error, TypedValue};
///
/// let value = TypedValue::of(&7)?;
/// assert!(matches!(value.decode::<String>(), Err(Error::WrongType { .. })));
/// # Ok::<(), Error>(())
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The value is of another type than the one that was asked for.
    #[error("the value is of type `{found}`, not of type `{expected}`")]
    WrongType {
        /// The typename that was asked for.
        expected: &'static str,
        /// The typename that the value has.
        found: String,
    },
    /// The message has a type, but no value.
    #[error("the message of type `{0}` has no value")]
    NoValue(String),
    /// The bytes are not a value of their type.
    #[error("the bytes are not a value of type `{typename}`")]
    Undecodable {
        /// The type.
        typename: &'static str,
        /// What its format says.
        source: BoxError,
    },
    /// The value has no encoding in the format of its type.
    #[error("the value cannot be written as type `{typename}`")]
    Unencodable {
        /// The type.
        typename: &'static str,
        /// What its format says.
        source: BoxError,
    },
    /// The function was bound without this state.
    #[error("`{function}` was bound without state `{name}`; name its spec where the function is bound")]
    UndeclaredState {
        /// The function type.
        function: String,
        /// The state.
        name: &'static str,
    },
    /// The state was bound with another type.
    #[error("state `{name}` was bound with type `{declared}`, not `{used}`")]
    StateType {
        /// The state.
        name: &'static str,
        /// The typename it was bound with.
        declared: &'static str,
        /// The typename it was used with.
        used: &'static str,
    },
    /// The target or the egress is not named `<namespace>/<name>`.
    #[error("the receiver has no usable name")]
    InvalidName(#[from] InvalidTypeName),
    /// A cancellation token has no characters.
    #[error("a cancellation token must not be empty")]
    EmptyToken,
    /// The delay has more milliseconds than the protocol can carry.
    #[error("a delay of {0} s is longer than the protocol can carry")]
    DelayTooLong(u64),
}

/// A call that has no answer. Over HTTP it is a status of 500 with this text, as with the SDKs of StateFun.
///
/// ```
/// use millpond_sdk::{CallError, Functions};
///
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let answer = Functions::new().handle("not protobuf".into()).await;
/// assert!(matches!(answer, Err(CallError::InvalidRequest(_))));
/// # });
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CallError {
    /// The body is not a `ToFunction`.
    #[error("the request is not a `ToFunction` message")]
    InvalidRequest(#[source] prost::DecodeError),
    /// Nothing is bound under this name.
    #[error("no function is bound as `{function}`; bound are: {bound}")]
    UnknownFunction {
        /// The function type that was called.
        function: String,
        /// Those that are bound.
        bound: String,
    },
    /// The function returned an error.
    #[error("`{function}` failed at message {index} of its batch")]
    Failed {
        /// The function type.
        function: String,
        /// Which message of the batch, from 1.
        index: usize,
        /// What it returned.
        source: BoxError,
    },
    /// The function panicked.
    #[error("`{function}` panicked at message {index} of its batch: {text}")]
    Panicked {
        /// The function type.
        function: String,
        /// Which message of the batch, from 1.
        index: usize,
        /// What it said.
        text: String,
    },
}

/// An error and everything behind it, in one line.
pub(crate) fn chain(error: &dyn StdError) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        line.push_str(": ");
        line.push_str(&error.to_string());
        cause = error.source();
    }
    line
}
