//! Reads a file of a credential.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// The content of a regular file: what else a path may name could keep the reader waiting for ever.
///
/// # Errors
/// What the system says, or that it is no file or too large.
pub fn read(path: &Path, bytes_max: u64) -> io::Result<Vec<u8>> {
    let is_file = std::fs::metadata(path)?.is_file();
    if !is_file {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file"));
    }
    let mut content = Vec::new();
    File::open(path)?.take(bytes_max + 1).read_to_end(&mut content)?;
    if content.len() as u64 > bytes_max {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("it is larger than {bytes_max} bytes")));
    }
    Ok(content)
}
