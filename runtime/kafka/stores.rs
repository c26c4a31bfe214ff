//! What kind of key or certificate store a file is, by its first bytes.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

/// Kinds of store that Java's client reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StoreKind {
    /// Text between lines of dashes.
    Pem,
    /// PKCS#12.
    Pkcs12,
    /// Java's own.
    Jks,
}

/// Looks into a file. Java reads PKCS#12 under the name of JKS, so what a property says of the type does not decide.
pub(super) fn kind(path: &Path) -> io::Result<StoreKind> {
    let mut head = Vec::new();
    File::open(path)?.take(4096).read_to_end(&mut head)?;
    Ok(match head.as_slice() {
        [0xfe, 0xed, 0xfe, 0xed, ..] | [0xce, 0xce, 0xce, 0xce, ..] => StoreKind::Jks,
        head if head.windows(10).any(|window| window == b"-----BEGIN") => StoreKind::Pem,
        _ => StoreKind::Pkcs12,
    })
}
