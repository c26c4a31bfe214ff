//! Typed values: a Rust type, its typename, and how it becomes bytes.
//!
//! A type says both once, in `impl Value`; messages, states and egress records then take and give that type. The six simple
//! types, `String` and numbers among them, are there. Everything else is JSON, protobuf, or a format of its own.

use std::sync::Arc;

use bytes::Bytes;
use millpond_protocol::proto::reqreply;
use millpond_protocol::types::{self, SimpleValue};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{BoxError, Error};

/// A Rust type that travels: in messages, as state, to an egress.
///
/// ```
/// use millpond_sdk::{Json, TypedValue, Value};
///
/// #[derive(serde::Serialize, serde::Deserialize)]
/// struct Visit {
///     city: String,
/// }
///
/// impl Value for Visit {
///     const TYPENAME: &str = "example.types/Visit";
///     type Format = Json;
/// }
///
/// let value = TypedValue::of(&Visit { city: "Turin".into() })?;
/// assert_eq!(value.typename(), "example.types/Visit");
/// assert_eq!(value.bytes(), &br#"{"city":"Turin"}"#[..]);
/// # Ok::<(), millpond_sdk::Error>(())
/// ```
pub trait Value: Sized + Send {
    /// The name under which everybody knows the type, as `namespace/name`.
    const TYPENAME: &'static str;
    /// How it becomes bytes: [`Json`], [`Protobuf`], or a [`Format`] of yours.
    type Format: Format<Self>;
}

/// A way to write and read values of type `T`.
///
/// ```
/// use bytes::Bytes;
/// use millpond_sdk::{BoxError, Format, TypedValue, Value};
///
/// struct Celsius(u8);
/// struct OneByte;
///
/// impl Format<Celsius> for OneByte {
///     fn encode(value: &Celsius) -> Result<Bytes, BoxError> {
///         Ok(Bytes::copy_from_slice(&[value.0]))
///     }
///     fn decode(bytes: &Bytes) -> Result<Celsius, BoxError> {
///         Ok(Celsius(*bytes.first().ok_or("a temperature has one byte")?))
///     }
/// }
///
/// impl Value for Celsius {
///     const TYPENAME: &str = "weather.types/celsius";
///     type Format = OneByte;
/// }
///
/// assert_eq!(TypedValue::of(&Celsius(21))?.bytes(), &[21u8][..]);
/// # Ok::<(), millpond_sdk::Error>(())
/// ```
pub trait Format<T> {
    /// Writes a value.
    ///
    /// # Errors
    /// When the value has no form in this format.
    fn encode(value: &T) -> Result<Bytes, BoxError>;

    /// Reads a value. The bytes are shared with the request: a clone of them, or of a part of them, copies nothing.
    ///
    /// # Errors
    /// When the bytes are no such value.
    fn decode(bytes: &Bytes) -> Result<T, BoxError>;
}

/// JSON by serde, for every type that derives `Serialize` and `Deserialize`: see [`Value`].
#[derive(Debug)]
pub enum Json {}

impl<T: Serialize + DeserializeOwned> Format<T> for Json {
    fn encode(value: &T) -> Result<Bytes, BoxError> {
        Ok(serde_json::to_vec(value)?.into())
    }
    fn decode(bytes: &Bytes) -> Result<T, BoxError> {
        Ok(serde_json::from_slice(bytes)?)
    }
}

/// Protobuf by prost. By convention, the typename is `type.googleapis.com/` and the full name of the message.
///
/// ```
/// use millpond_sdk::{Protobuf, TypedValue, Value};
///
/// #[derive(prost::Message)]
/// struct Login {
///     #[prost(string, tag = "1")]
///     user: String,
/// }
///
/// impl Value for Login {
///     const TYPENAME: &str = "type.googleapis.com/example.Login";
///     type Format = Protobuf;
/// }
///
/// let value = TypedValue::of(&Login { user: "Ada".into() })?;
/// assert_eq!(value.decode::<Login>()?.user, "Ada");
/// # Ok::<(), millpond_sdk::Error>(())
/// ```
#[derive(Debug)]
pub enum Protobuf {}

impl<T: prost::Message + Default> Format<T> for Protobuf {
    fn encode(value: &T) -> Result<Bytes, BoxError> {
        Ok(value.encode_to_vec().into())
    }
    fn decode(bytes: &Bytes) -> Result<T, BoxError> {
        Ok(T::decode(bytes.clone())?)
    }
}

/// The format of StateFun's simple types: a protobuf message with one field, so that a default has no bytes.
///
/// ```
/// use millpond_sdk::TypedValue;
///
/// let value = TypedValue::of(&42)?;
/// assert_eq!(value.typename(), "io.statefun.types/int");
/// assert_eq!(value.bytes(), &[0x0d, 42, 0, 0, 0][..]);
/// # Ok::<(), millpond_sdk::Error>(())
/// ```
#[derive(Debug)]
pub enum Simple {}

/// One simple type: the Rust type, its typename, its variant, and how to get in and out of it.
macro_rules! simple {
    ($rust:ty, $typename:expr, $variant:ident, $into:expr, $from:expr) => {
        impl Value for $rust {
            const TYPENAME: &'static str = $typename;
            type Format = Simple;
        }

        impl Format<$rust> for Simple {
            fn encode(value: &$rust) -> Result<Bytes, BoxError> {
                Ok(SimpleValue::$variant($into(value)).encode())
            }
            fn decode(bytes: &Bytes) -> Result<$rust, BoxError> {
                match SimpleValue::decode($typename, bytes).transpose()? {
                    Some(SimpleValue::$variant(value)) => Ok($from(value)),
                    _ => unreachable!("a simple type decodes to its own variant"),
                }
            }
        }
    };
}

simple!(bool, types::BOOL, Bool, |value: &bool| *value, |value| value);
simple!(i32, types::INT, Int, |value: &i32| *value, |value| value);
simple!(i64, types::LONG, Long, |value: &i64| *value, |value| value);
simple!(f32, types::FLOAT, Float, |value: &f32| *value, |value| value);
simple!(f64, types::DOUBLE, Double, |value: &f64| *value, |value| value);
simple!(String, types::STRING, String, String::clone, |value| value);
simple!(Arc<str>, types::STRING, String, |value: &Arc<str>| value.to_string(), Arc::from);

/// A value as it travels: typename and bytes. Cloning one copies no bytes of the value.
///
/// ```
/// use millpond_sdk::TypedValue;
///
/// let value = TypedValue::new("example.types/blob", "any bytes");
/// assert_eq!(value.bytes().len(), 9);
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct TypedValue(pub(crate) reqreply::TypedValue);

impl TypedValue {
    /// A value from a typename and its bytes, which are taken as they are.
    ///
    /// ```
    /// let value = millpond_sdk::TypedValue::new("example.types/blob", vec![1, 2, 3]);
    /// assert_eq!(value.typename(), "example.types/blob");
    /// ```
    pub fn new(typename: impl Into<String>, bytes: impl Into<Bytes>) -> TypedValue {
        TypedValue(reqreply::TypedValue {
            typename: typename.into(),
            has_value: true,
            value: bytes.into(),
            metadata: Vec::new(),
        })
    }

    /// Writes a value of a Rust type.
    ///
    /// ```
    /// let value = millpond_sdk::TypedValue::of(&true)?;
    /// assert_eq!(value.typename(), "io.statefun.types/bool");
    /// # Ok::<(), millpond_sdk::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Unencodable`] when its format cannot write it.
    pub fn of<T: Value>(value: &T) -> Result<TypedValue, Error> {
        let bytes = T::Format::encode(value).map_err(|source| Error::Unencodable { typename: T::TYPENAME, source })?;
        Ok(TypedValue::new(T::TYPENAME, bytes))
    }

    /// Reads it as a Rust type.
    ///
    /// ```
    /// let value = millpond_sdk::TypedValue::of(&-7i64)?;
    /// assert_eq!(value.decode::<i64>()?, -7);
    /// # Ok::<(), millpond_sdk::Error>(())
    /// ```
    ///
    /// # Errors
    /// When it is of another type, has no value, or its bytes are not of its type.
    pub fn decode<T: Value>(&self) -> Result<T, Error> {
        if !self.is::<T>() {
            return Err(Error::WrongType { expected: T::TYPENAME, found: self.0.typename.clone() });
        }
        if !self.0.has_value {
            return Err(Error::NoValue(self.0.typename.clone()));
        }
        T::Format::decode(&self.0.value).map_err(|source| Error::Undecodable { typename: T::TYPENAME, source })
    }

    /// Whether it is of this type.
    ///
    /// ```
    /// assert!(millpond_sdk::TypedValue::of(&1.5)?.is::<f64>());
    /// # Ok::<(), millpond_sdk::Error>(())
    /// ```
    pub fn is<T: Value>(&self) -> bool {
        self.0.typename == T::TYPENAME
    }

    /// Its typename.
    ///
    /// ```
    /// assert_eq!(millpond_sdk::TypedValue::new("a/b", "").typename(), "a/b");
    /// ```
    pub fn typename(&self) -> &str {
        &self.0.typename
    }

    /// Its bytes.
    ///
    /// ```
    /// assert_eq!(millpond_sdk::TypedValue::new("a/b", "c").bytes(), "c");
    /// ```
    pub fn bytes(&self) -> &Bytes {
        &self.0.value
    }

    /// Adds a header that travels with the value: to the receiver's [`Message::header`](crate::Message::header), and
    /// from and to Kafka. Apache's own runtime and older SDKs ignore headers.
    ///
    /// ```
    /// use millpond_sdk::TypedValue;
    ///
    /// let value = TypedValue::of(&1)?.with_header("trace", "af3");
    /// assert_eq!(value.headers().next(), Some(("trace", Some(&b"af3"[..]))));
    /// # Ok::<(), millpond_sdk::Error>(())
    /// ```
    #[must_use]
    pub fn with_header(mut self, key: impl Into<String>, value: impl Into<Bytes>) -> TypedValue {
        self.0.metadata.push(reqreply::typed_value::Metadata { key: key.into(), value: value.into(), has_value: true });
        self
    }

    /// Its headers, in order; keys may repeat, and a header may have no value.
    ///
    /// ```
    /// assert_eq!(millpond_sdk::TypedValue::of(&1)?.headers().count(), 0);
    /// # Ok::<(), millpond_sdk::Error>(())
    /// ```
    pub fn headers(&self) -> impl Iterator<Item = (&str, Option<&[u8]>)> {
        self.0.metadata.iter().map(|header| (header.key.as_str(), header.has_value.then_some(&header.value[..])))
    }
}

/// What can be sent: a reference to any [`Value`], a text, a [`TypedValue`], a message to be passed on, or a record for
/// an egress.
///
/// ```
/// use millpond_sdk::{IntoValue, TypedValue};
///
/// assert_eq!("hi".into_value()?, (&String::from("hi")).into_value()?);
/// assert_eq!(TypedValue::of(&1)?, (&1).into_value()?);
/// # Ok::<(), millpond_sdk::Error>(())
/// ```
pub trait IntoValue {
    /// The value as it travels.
    ///
    /// # Errors
    /// [`Error::Unencodable`] when its format cannot write it.
    fn into_value(self) -> Result<TypedValue, Error>;
}

impl<T: Value> IntoValue for &T {
    fn into_value(self) -> Result<TypedValue, Error> {
        TypedValue::of(self)
    }
}

impl IntoValue for &str {
    fn into_value(self) -> Result<TypedValue, Error> {
        TypedValue::of(&self.to_owned())
    }
}

impl IntoValue for TypedValue {
    fn into_value(self) -> Result<TypedValue, Error> {
        Ok(self)
    }
}
