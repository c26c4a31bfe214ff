//! Receivers of messages.

use millpond_protocol::{Address, TypeName};

use crate::error::Error;

/// Whom a message is for: an [`Address`], or a function type and an id.
///
/// ```
/// use millpond_sdk::IntoAddress;
///
/// let ada = ("example/greeter", "Ada").into_address()?;
/// assert_eq!(ada.function.name(), "greeter");
/// assert_eq!(&*ada.id, "Ada");
/// # Ok::<(), millpond_sdk::Error>(())
/// ```
pub trait IntoAddress {
    /// The address.
    ///
    /// # Errors
    /// [`Error::InvalidName`] when the function type is not `<namespace>/<name>`.
    fn into_address(self) -> Result<Address, Error>;
}

impl IntoAddress for Address {
    fn into_address(self) -> Result<Address, Error> {
        Ok(self)
    }
}

impl IntoAddress for &Address {
    fn into_address(self) -> Result<Address, Error> {
        Ok(self.clone())
    }
}

impl<Id: AsRef<str>> IntoAddress for (&str, Id) {
    fn into_address(self) -> Result<Address, Error> {
        Ok(Address::new(TypeName::parse(self.0)?, self.1.as_ref()))
    }
}

impl<Id: AsRef<str>> IntoAddress for (&TypeName, Id) {
    fn into_address(self) -> Result<Address, Error> {
        Ok(Address::new(self.0.clone(), self.1.as_ref()))
    }
}
