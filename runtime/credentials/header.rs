//! A header that an endpoint wants with every request: a token and the like, from the module, the environment or a file.

use std::path::PathBuf;

use http::{HeaderName, HeaderValue};

use super::file;

/// Bytes of a file with the value of a header. Servers refuse longer ones.
pub const VALUE_BYTES_MAX: u64 = 16 * 1024;

/// A header that is added to every request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeaderSource {
    /// Its name.
    pub name: HeaderName,
    /// Its value, or the part of it that stands before the content of a file.
    pub value: HeaderValue,
    /// A file with the rest of the value; white space around it does not count.
    pub file: Option<PathBuf>,
}

/// Why the content of a file is no value of a header.
#[derive(Debug, thiserror::Error)]
pub enum HeaderProblem {
    /// It cannot be read.
    #[error(transparent)]
    Read(#[from] std::io::Error),
    /// There is nothing in it.
    #[error("it is empty")]
    Empty,
    /// Line breaks or control characters in the middle.
    #[error("it holds a line break or another control character, which no header can have")]
    NotAValue,
}

impl HeaderSource {
    /// The value, read now.
    ///
    /// # Errors
    /// [`HeaderProblem`] when the file gives none.
    pub fn read(&self) -> Result<HeaderValue, HeaderProblem> {
        let mut value = match &self.file {
            None => self.value.clone(),
            Some(path) => from_file(self.value.as_bytes(), &file::read(path, VALUE_BYTES_MAX)?)?,
        };
        value.set_sensitive(true);
        Ok(value)
    }
}

/// A value made of a prefix and the content of a file.
///
/// # Errors
/// [`HeaderProblem`] when they are none.
pub fn from_file(prefix: &[u8], content: &[u8]) -> Result<HeaderValue, HeaderProblem> {
    let content = content.trim_ascii();
    if content.is_empty() {
        return Err(HeaderProblem::Empty);
    }
    HeaderValue::from_bytes(&[prefix, content].concat()).map_err(|_| HeaderProblem::NotAValue)
}
