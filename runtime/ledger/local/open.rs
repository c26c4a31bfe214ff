//! A start: everything that can be known about a ledger without reading all of it, before anybody relies on it.
//!
//! What comes in: a directory that this process owns. What goes out: an open ledger of the newest format, or the first thing
//! that is not as it was left. In order: older formats are brought up; the log is held against the chain; RocksDB replays
//! the log; every file of data is there in its full length; the last checkpoint is not before the last confirmed one.
//! The cost is that of the log and of a look at each file, not of the data: their blocks have checksums of their own, which
//! are held against them when they are read.

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::AtomicU64;

use rocksdb::DB;
use tracing::{info, warn};

use super::batch::{Batcher, Committed};
use super::confirmed::{self, Confirmed, Mark};
use super::current_log::{CurrentLog, log_file};
use super::directory::{Directory, FORMAT};
use super::read::View;
use super::{LocalLedger, Writer, damage, log, options, storage};
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
    let log = CurrentLog::new(directory.data());
    let writer = Writer { committed, confirmed, log, batcher: Batcher::default(), freed: KeyBuffer::default() };
    Ok(LocalLedger { writer: Mutex::new(writer), committed_bytes: AtomicU64::new(0), db, directory })
}

/// Opens the data and finds them whole, up to `confirmed` at least.
pub fn whole(directory: &Directory, confirmed: Mark) -> Result<(DB, Committed), LedgerError> {
    found_whole(directory, confirmed).map_err(|error| damage::named(error, &directory.data()))
}

fn found_whole(directory: &Directory, confirmed: Mark) -> Result<(DB, Committed), LedgerError> {
    let data = directory.data();
    // Looked at before RocksDB tidies up.
    let log = confirmed::log(directory.path()).map(|number| log_file(&data, number));
    let log = log.map(|file| (file.exists(), file));
    let cut = log::check(&data, confirmed)?;
    if let Some((file, at)) = log::torn_manifest(&data) {
        nothing_behind(file, at, &data, confirmed)?;
    }
    let db = options::open(&data, false).map_err(|error| damage::opening(error, &data))?;
    files_are_whole(&db, &data)?;
    let committed = committed(&View::of(&db))?;
    if committed.checkpoint < confirmed.checkpoint {
        let (path, found) = (directory.path().to_owned(), committed.checkpoint);
        return Err(LedgerError::Lost { path, found, confirmed: confirmed.checkpoint, log });
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

/// A manifest may end inside an entry that nothing depends on. Whether that is so is seen without changing anything: RocksDB
/// would remove the files that the manifest does not name any more.
fn nothing_behind(manifest: PathBuf, at: u64, data: &Path, confirmed: Mark) -> Result<(), LedgerError> {
    let looked = options::open_read_only(data).map_err(|error| damage::opening(error, data));
    let (found, confirmed) = match looked.and_then(|db| committed(&View::of(&db))) {
        Ok(found) => (found.checkpoint, confirmed.checkpoint),
        Err(error) if error.is_loss() => {
            let what = format!("it ends inside the entry at byte {at}, and without that {error}");
            return Err(LedgerError::Damaged { file: manifest, what });
        }
        Err(error) => return Err(error),
    };
    if found >= confirmed {
        return Ok(());
    }
    let what = format!(
        "it ends inside the entry at byte {at}, and without that the last checkpoint is {found} of {confirmed}"
    );
    Err(LedgerError::Damaged { file: manifest, what })
}

/// Makes an empty ledger. The format is named last, so that a start that is interrupted here is done again.
fn make(directory: &mut Directory) -> Result<(), LedgerError> {
    let unusable = |source| LedgerError::directory(directory.path(), source);
    let without_format = || LedgerError::Incomplete {
        path: directory.path().to_owned(),
        what: "its file `FORMAT` is missing, though it holds data".to_owned(),
    };
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
    made.map_err(|source| LedgerError::directory(directory.path(), source))
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
            Err(source) => return Err(LedgerError::directory(&path, source)),
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
