//! States: what a function declares of them, where it is bound.

use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use millpond_protocol::proto::reqreply::from_function::expiration_spec::ExpireMode;
use millpond_protocol::proto::reqreply::from_function::{ExpirationSpec, PersistedValueSpec};

use crate::value::Value;

/// A state of a function: its name, its type, and when its values expire. Write each once, as a constant.
///
/// ```
/// use std::time::Duration;
/// use millpond_sdk::ValueSpec;
///
/// const VISITS: ValueSpec<i32> = ValueSpec::new("visits");
/// const BASKET: ValueSpec<String> = ValueSpec::new("basket").expire_after_write(Duration::from_secs(3600));
/// assert_eq!(BASKET.name(), "basket");
/// # let _ = VISITS;
/// ```
pub struct ValueSpec<T> {
    name: &'static str,
    expiration: Expiration,
    value: PhantomData<fn() -> T>,
}

/// When a value expires.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expiration {
    Never,
    AfterWrite(Duration),
    AfterInvoke(Duration),
}

impl<T> ValueSpec<T> {
    /// A state that lives until it is removed.
    ///
    /// A name is a letter or `_`, then letters, digits and `_`. In a constant, another name does not compile:
    ///
    /// ```compile_fail
    /// const VISITS: millpond_sdk::ValueSpec<i32> = millpond_sdk::ValueSpec::new("how many?");
    /// # let _ = VISITS;
    /// ```
    ///
    /// # Panics
    /// When the name is not such a name.
    pub const fn new(name: &'static str) -> ValueSpec<T> {
        assert!(is_name(name.as_bytes()), "a state name is a letter or `_`, then letters, digits and `_`");
        ValueSpec { name, expiration: Expiration::Never, value: PhantomData }
    }

    /// A value expires when it was not written for so long. At least a millisecond.
    ///
    /// ```
    /// use std::time::Duration;
    /// # use millpond_sdk::ValueSpec;
    /// const SEEN: ValueSpec<bool> = ValueSpec::new("seen").expire_after_write(Duration::from_secs(60));
    /// # let _ = SEEN;
    /// ```
    ///
    /// # Panics
    /// When the time is under a millisecond, which no runtime accepts.
    #[must_use]
    pub const fn expire_after_write(mut self, time: Duration) -> ValueSpec<T> {
        assert!(time.as_millis() > 0, "a value lives at least a millisecond");
        self.expiration = Expiration::AfterWrite(time);
        self
    }

    /// A value expires when the function was not called, and the value not written, for so long. At least a millisecond.
    ///
    /// ```
    /// use std::time::Duration;
    /// # use millpond_sdk::ValueSpec;
    /// const SESSION: ValueSpec<String> = ValueSpec::new("session").expire_after_call(Duration::from_secs(1800));
    /// # let _ = SESSION;
    /// ```
    ///
    /// # Panics
    /// When the time is under a millisecond, which no runtime accepts.
    #[must_use]
    pub const fn expire_after_call(mut self, time: Duration) -> ValueSpec<T> {
        assert!(time.as_millis() > 0, "a value lives at least a millisecond");
        self.expiration = Expiration::AfterInvoke(time);
        self
    }

    /// Its name.
    ///
    /// ```
    /// assert_eq!(millpond_sdk::ValueSpec::<i32>::new("visits").name(), "visits");
    /// ```
    pub const fn name(&self) -> &'static str {
        self.name
    }
}

const fn is_name(name: &[u8]) -> bool {
    let mut at = 0;
    while at < name.len() {
        let letter = name[at].is_ascii_alphabetic() || name[at] == b'_';
        if !letter && (at == 0 || !name[at].is_ascii_digit()) {
            return false;
        }
        at += 1;
    }
    !name.is_empty()
}

// A spec is a name and a duration, whatever `T` is; derives would ask `T` for the same.
impl<T> Clone for ValueSpec<T> {
    fn clone(&self) -> ValueSpec<T> {
        *self
    }
}

impl<T> Copy for ValueSpec<T> {}

impl<T> fmt::Debug for ValueSpec<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ValueSpec").field("name", &self.name).field("expiration", &self.expiration).finish()
    }
}

/// A spec without its Rust type: what the runtime is told.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Declared {
    pub(crate) name: &'static str,
    pub(crate) typename: &'static str,
    expiration: Expiration,
}

impl Declared {
    pub(crate) fn to_wire(self) -> PersistedValueSpec {
        let (mode, time) = match self.expiration {
            Expiration::Never => (None, Duration::ZERO),
            Expiration::AfterWrite(time) => (Some(ExpireMode::AfterWrite), time),
            Expiration::AfterInvoke(time) => (Some(ExpireMode::AfterInvoke), time),
        };
        let expire_after_millis = i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
        PersistedValueSpec {
            state_name: self.name.to_owned(),
            expiration_spec: mode.map(|mode| ExpirationSpec { mode: mode.into(), expire_after_millis }),
            type_typename: self.typename.to_owned(),
        }
    }
}

/// The states of a function: `()` for none, a [`ValueSpec`], or a tuple of them.
///
/// ```
/// use millpond_sdk::{Context, Functions, Message, ValueSpec};
///
/// const COUNT: ValueSpec<i64> = ValueSpec::new("count");
/// const NAME: ValueSpec<String> = ValueSpec::new("name");
///
/// async fn ignore(_: &mut Context, _: Message) {}
///
/// Functions::new()
///     .bind("example/none", (), ignore)
///     .bind("example/one", COUNT, ignore)
///     .bind("example/two", (COUNT, NAME), ignore);
/// ```
pub trait ValueSpecs {
    #[doc(hidden)]
    fn declare(self, into: &mut Vec<Sealed>);
}

/// Keeps the list of what can be a spec in this crate.
#[doc(hidden)]
#[derive(Debug)]
pub struct Sealed(pub(crate) Declared);

impl<T: Value> ValueSpecs for ValueSpec<T> {
    fn declare(self, into: &mut Vec<Sealed>) {
        into.push(Sealed(Declared { name: self.name, typename: T::TYPENAME, expiration: self.expiration }));
    }
}

impl ValueSpecs for () {
    fn declare(self, _: &mut Vec<Sealed>) {}
}

macro_rules! tuples {
    ($($first:ident $($rest:ident)*)?) => {
        $(
            #[allow(non_snake_case)]
            impl<$first: ValueSpecs, $($rest: ValueSpecs),*> ValueSpecs for ($first, $($rest,)*) {
                fn declare(self, into: &mut Vec<Sealed>) {
                    let ($first, $($rest,)*) = self;
                    $first.declare(into);
                    $($rest.declare(into);)*
                }
            }
            tuples!($($rest)*);
        )?
    };
}

tuples!(A B C D E F G H I J K L);
