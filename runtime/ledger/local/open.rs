//! A start: everything that can be known about a ledger without reading all of it, before anybody relies on it.
//!
//! What comes in: a directory that this process owns. What goes out: an open ledger of the newest format, or the first thing
//! that is not as it was left. In order: older formats are brought up; the log is held against the chain; RocksDB replays
//! the log; every file of data is there in its full length; the last checkpoint is not before the last confirmed one.
//! The cost is that of the log and of a look at each file, not of the data: their blocks have checksums of their own, which
//! are held against them when they are read.

use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::AtomicU64;

use rocksdb::DB;
use tracing::{info, warn};

use super::batch::{Batcher, Committed};
use super::confirmed::{Confirmed, Mark};
use super::directory::{Directory, FORMAT};
use super::read::View;
use super::{LocalLedger, Writer, log, options, storage};
use crate::ledger::LedgerError;
use crate::ledger::keys::{self, KeyBuffer};
use crate::ledger::records::{ChainRecord, corrupt};

/// Opens the ledger in a directory, and makes it when the directory is new.
pub fn open(mut directory: Directory) -> Result<LocalLedger, LedgerError> {
    match directory.format() {
        None => make(&mut directory)?,
        Some(format) => upgrade(&mut directory, format)?,
    }
    let (confirmed, mark) = Confirmed::open(directory.path())?;
    let (db, committed) = whole(&directory, mark)?;
    let writer = Writer { committed, confirmed, batcher: Batcher::default(), freed: KeyBuffer::default() };
    Ok(LocalLedger { writer: Mutex::new(writer), committed_bytes: AtomicU64::new(0), db, directory })
}

/// Opens the data and finds them whole, up to `confirmed` at least.
pub fn whole(directory: &Directory, confirmed: Mark) -> Result<(DB, Committed), LedgerError> {
    let data = directory.data();
    let cut = log::check(&data, confirmed)?;
    let db = options::open(&data, false).map_err(|error| opening(error, &data))?;
    files_are_whole(&db, &data)?;
    let committed = committed(&View::of(&db))?;
    if committed.checkpoint < confirmed.checkpoint {
        let (path, found) = (directory.path().to_owned(), committed.checkpoint);
        return Err(LedgerError::Lost { path, found, confirmed: confirmed.checkpoint });
    }
    if committed.checkpoint == confirmed.checkpoint && committed.chain != confirmed.chain {
        return Err(corrupt(keys::CHAIN, "it is of another checkpoint than the one that was confirmed"));
    }
    if let Some(cut) = cut {
        let log::Cut { file, at, bytes } = cut;
        let file = file.display();
        warn!(%file, at, bytes, "the log ended inside a checkpoint that nobody was told of, it was cut off");
    }
    Ok((db, committed))
}

/// Makes an empty ledger. The format is named last, so that a start that is interrupted here is done again.
fn make(directory: &mut Directory) -> Result<(), LedgerError> {
    let unusable = |source| LedgerError::Directory { path: directory.path().to_owned(), source };
    let without_format = || unusable(std::io::Error::other("its file `FORMAT` is missing, though it holds data"));
    if Confirmed::open(directory.path()).is_ok_and(|(_, mark)| mark.checkpoint > 0) {
        return Err(without_format());
    }
    let db = options::open(&directory.data(), true).map_err(storage("making the ledger"))?;
    if committed(&View::of(&db))?.checkpoint > 0 {
        return Err(without_format());
    }
    Confirmed::create(directory.path(), Mark::default()).map_err(unusable)?;
    directory.set_format(FORMAT)
}

/// Brings a ledger from an older format to the newest one, format by format. A step that is interrupted is done again: the
/// format is named when it is over.
fn upgrade(directory: &mut Directory, mut format: u32) -> Result<(), LedgerError> {
    while format < FORMAT {
        match format {
            1 => mark_what_is_there(directory)?,
            _ => unreachable!("the directory names a format from 1 on"),
        }
        directory.set_format(format + 1)?;
        info!(from = format, to = format + 1, "ledger upgraded");
        format += 1;
    }
    Ok(())
}

/// Format 1 had no mark of its last confirmed checkpoint: what is there counts as confirmed.
fn mark_what_is_there(directory: &Directory) -> Result<(), LedgerError> {
    let (_, committed) = whole(directory, Mark::default())?;
    let mark = Mark { checkpoint: committed.checkpoint, chain: committed.chain };
    let made = Confirmed::create(directory.path(), mark);
    made.map_err(|source| LedgerError::Directory { path: directory.path().to_owned(), source })
}

/// What RocksDB says of files that are missing or not what they were is an error of that file.
pub fn opening(source: rocksdb::Error, data: &Path) -> LedgerError {
    let (said, kind) = (source.to_string(), source.kind());
    let missing = kind == rocksdb::ErrorKind::IOError && said.contains("No such file or directory");
    if !missing && kind != rocksdb::ErrorKind::Corruption && kind != rocksdb::ErrorKind::InvalidArgument {
        return LedgerError::Storage { doing: "opening the ledger", source };
    }
    let folder = data.display().to_string();
    // RocksDB says at the end that the manifest may be corrupted, whatever is.
    let about =
        said.rfind("The file ").filter(|_| said.contains("may be corrupted")).map_or(&*said, |end| &said[..end]);
    let about = if about.contains(&folder) { about } else { &said };
    let name = about.rfind(&folder).map(|at| &about[at + folder.len()..]);
    let name = name.and_then(|name| name.split([':', ' ', ',', '\'']).next()).unwrap_or_default();
    let what = if missing { "it is missing".to_owned() } else { said.clone() };
    LedgerError::Damaged { file: data.join(name.trim_start_matches('/')), what }
}

/// RocksDB looks at a file when it reads from it. A file that is missing or too short is found here, at the start.
pub fn files_are_whole(db: &DB, data: &Path) -> Result<(), LedgerError> {
    let files = || db.live_files().map_err(storage("listing the files of the ledger"));
    let damaged = |file, what: String| Err(LedgerError::Damaged { file, what });
    for file in files()? {
        let path = data.join(file.name.trim_start_matches('/'));
        match path.metadata() {
            Ok(found) if found.len() == file.size as u64 => {}
            Ok(found) => return damaged(path, format!("it has {} bytes of {}", found.len(), file.size)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                // Compaction may have replaced it since it was listed.
                if files()?.iter().any(|now| now.name == file.name) {
                    return damaged(path, "it is missing".into());
                }
            }
            Err(source) => return Err(LedgerError::Directory { path, source }),
        }
    }
    Ok(())
}

/// The last checkpoint that the data are of.
pub fn committed(view: &View<'_>) -> Result<Committed, LedgerError> {
    let restored = view.restore()?;
    let Some(chain) = view.chain()? else {
        return match restored.meta.checkpoint {
            0 => Ok(Committed::default()),
            _ => Err(corrupt(keys::CHAIN, "it is missing")),
        };
    };
    if chain.checkpoint != restored.meta.checkpoint {
        return Err(corrupt(keys::CHAIN, "it is of another checkpoint than the variables of the engine"));
    }
    let ChainRecord { checkpoint, content, chain, .. } = chain;
    let checksum = |bytes: Vec<u8>| {
        let bytes = bytes.try_into().map_err(|_| corrupt(keys::CHAIN, "a checksum is not 16 bytes"));
        bytes.map(u128::from_be_bytes)
    };
    Ok(Committed { checkpoint, content: checksum(content)?, chain: checksum(chain)?, lanes: restored.lanes })
}
