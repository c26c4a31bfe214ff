//! The address of one function instance: its function type and its id.

use std::fmt;
use std::sync::Arc;

use crate::TypeName;

/// Function type and id. Cloning one is two reference counts.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address {
    /// The function type.
    pub function: TypeName,
    /// The id; it may be empty.
    pub id: Arc<str>,
}

impl Address {
    /// An address from its parts.
    pub fn new(function: TypeName, id: impl Into<Arc<str>>) -> Address {
        Address { function, id: id.into() }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.function, self.id)
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
