//! What a function is called with.

use bytes::Bytes;

use crate::error::Error;
use crate::value::{IntoValue, TypedValue, Value};

/// One message for the function: a typed value, perhaps with headers.
///
/// ```
/// use millpond_sdk::{Context, Message};
///
/// async fn either(_: &mut Context, message: Message) -> millpond_sdk::Result {
///     if message.is::<String>() {
///         let text: String = message.value()?;
///         println!("{text}");
///     } else {
///         println!("{} bytes of type {}", message.bytes().len(), message.typename());
///     }
///     Ok(())
/// }
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Message(pub(crate) TypedValue);

impl Message {
    /// Reads it as a Rust type, which it must be of.
    ///
    /// ```
    /// # use millpond_sdk::{Context, Message};
    /// async fn doubled(_: &mut Context, message: Message) -> millpond_sdk::Result {
    ///     let number: i32 = message.value()?;
    ///     println!("{}", number * 2);
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Errors
    /// When it is of another type, has no value, or its bytes are not of its type.
    pub fn value<T: Value>(&self) -> Result<T, Error> {
        self.0.decode()
    }

    /// Whether it is of this type.
    ///
    /// ```
    /// # fn number(message: &millpond_sdk::Message) -> bool {
    /// message.is::<i32>() || message.is::<i64>()
    /// # }
    /// ```
    pub fn is<T: Value>(&self) -> bool {
        self.0.is::<T>()
    }

    /// Its typename.
    ///
    /// ```
    /// # fn simple(message: &millpond_sdk::Message) -> bool {
    /// message.typename().starts_with("io.statefun.types/")
    /// # }
    /// ```
    pub fn typename(&self) -> &str {
        self.0.typename()
    }

    /// Its bytes, shared with the request.
    ///
    /// ```
    /// # fn length(message: &millpond_sdk::Message) -> usize {
    /// message.bytes().len()
    /// # }
    /// ```
    pub fn bytes(&self) -> &Bytes {
        self.0.bytes()
    }

    /// The first header of that name; `None` also for a header without a value.
    ///
    /// ```
    /// # fn trace(message: &millpond_sdk::Message) -> Option<&[u8]> {
    /// message.header("traceparent")
    /// # }
    /// ```
    pub fn header(&self, key: &str) -> Option<&[u8]> {
        self.headers().find(|(name, _)| *name == key)?.1
    }

    /// All headers, in order; keys may repeat, and a header may have no value.
    ///
    /// ```
    /// # fn names(message: &millpond_sdk::Message) -> Vec<&str> {
    /// message.headers().map(|(name, _)| name).collect()
    /// # }
    /// ```
    pub fn headers(&self) -> impl Iterator<Item = (&str, Option<&[u8]>)> {
        self.0.headers()
    }

    /// The value as it travels, to be kept.
    ///
    /// ```
    /// # fn keep(message: millpond_sdk::Message) -> millpond_sdk::TypedValue {
    /// message.into_inner()
    /// # }
    /// ```
    pub fn into_inner(self) -> TypedValue {
        self.0
    }
}

/// A message can be passed on as it is, headers included.
impl IntoValue for Message {
    fn into_value(self) -> Result<TypedValue, Error> {
        Ok(self.0)
    }
}

/// A message can be passed on as it is, headers included.
impl IntoValue for &Message {
    fn into_value(self) -> Result<TypedValue, Error> {
        Ok(self.0.clone())
    }
}
