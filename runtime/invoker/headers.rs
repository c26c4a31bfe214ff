//! The headers that an endpoint wants with every request.
//!
//! In: names with where their values are from. Out: headers, marked as sensitive, so that neither a log nor HTTP/2's
//! compression shows them. Files are read again when they change (`watch.rs`); what cannot be used leaves the old value.

use std::path::Path;
use std::sync::{PoisonError, RwLock};

use http::HeaderMap;

use crate::credentials::header::HeaderSource;

/// The headers of one endpoint.
#[derive(Debug)]
pub(super) struct Headers {
    sources: Vec<HeaderSource>,
    current: RwLock<HeaderMap>,
}

impl Headers {
    /// Reads them; `None` when there are none.
    pub(super) fn new(sources: Vec<HeaderSource>) -> Result<Option<Headers>, String> {
        if sources.is_empty() {
            return Ok(None);
        }
        let current = RwLock::new(read(&sources)?);
        Ok(Some(Headers { sources, current }))
    }

    /// Reads the files again.
    pub(super) fn read_again(&self) -> Result<(), String> {
        let headers = read(&self.sources)?;
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = headers;
        Ok(())
    }

    /// Adds them to a request; one of its own with the same name is replaced.
    pub(super) fn add_to(&self, headers: &mut HeaderMap) {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        for (name, value) in current.iter() {
            headers.insert(name.clone(), value.clone());
        }
    }
}

fn read(sources: &[HeaderSource]) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::with_capacity(sources.len());
    for source in sources {
        let value = source.read().map_err(|e| {
            let file = source.file.as_deref().unwrap_or(Path::new("")).display();
            format!("value of header `{}` in file `{file}`: {e}", source.name)
        })?;
        headers.insert(source.name.clone(), value);
    }
    Ok(headers)
}
