//! Which file an error of RocksDB is about.
//!
//! RocksDB says it in words, in some place of them, or only by number. Whoever has to bring a file back, or to look at a
//! disk, needs its name.

use std::path::{Path, PathBuf};

use rocksdb::{Error, ErrorKind};

use super::current_log::log_file;
use super::log;
use crate::ledger::LedgerError;

/// Names the file, if the error says that one is missing or not what it was.
pub fn named(error: LedgerError, data: &Path) -> LedgerError {
    match error {
        LedgerError::Storage { doing, source } => match source.kind() == ErrorKind::Corruption || is_missing(&source) {
            true => of(&source, data),
            false => LedgerError::Storage { doing, source },
        },
        other => other,
    }
}

/// The same for what RocksDB says when it opens the data: what does not fit together is damage too.
pub fn opening(source: Error, data: &Path) -> LedgerError {
    match source.kind() {
        ErrorKind::InvalidArgument => of(&source, data),
        _ => named(LedgerError::Storage { doing: "opening the ledger", source }, data),
    }
}

fn is_missing(source: &Error) -> bool {
    source.kind() == ErrorKind::IOError && source.to_string().contains("No such file or directory")
}

fn of(source: &Error, data: &Path) -> LedgerError {
    let said = source.to_string();
    let what = if is_missing(source) { "it is missing".to_owned() } else { said.clone() };
    LedgerError::Damaged { file: file(&said, data), what }
}

/// The file that the words are about; the folder when they do not say.
fn file(said: &str, data: &Path) -> PathBuf {
    // RocksDB says at the end that the manifest may be corrupted, whatever is.
    let about = said.rfind("The file ").filter(|_| said.contains("may be corrupted")).map_or(said, |end| &said[..end]);
    let folder = data.display().to_string();
    let blames_manifest = !about.contains(&folder);
    let about = if blames_manifest { said } else { about };
    let name = about.rfind(&folder).map(|at| &about[at + folder.len()..]);
    let name = name.and_then(|name| name.split([':', ' ', ',', '\'']).next()).unwrap_or_default();
    match name.trim_start_matches('/') {
        "" if said.contains("CURRENT file") => data.join("CURRENT"),
        // It is sound, so it is a file that it names, and RocksDB does not say which.
        manifest if blames_manifest && manifest.starts_with("MANIFEST-") && log::is_sound(&data.join(manifest)) => {
            data.to_owned()
        }
        "" => number_of_log(said).map_or_else(|| data.to_owned(), |number| log_file(data, number)),
        // The ending of another time: RocksDB looks for that when the file is not there.
        name => data.join(name.strip_suffix(".ldb").map_or_else(|| name.to_owned(), |number| format!("{number}.sst"))),
    }
}

/// A log that is not as the manifest has it is named by its number.
fn number_of_log(said: &str) -> Option<u64> {
    let (_, behind) = said.split_once("log number: ")?;
    behind.split(|character: char| !character.is_ascii_digit()).next()?.parse().ok()
}
