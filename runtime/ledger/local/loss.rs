//! `--accept-data-loss`: the one way past damage. A person has said that what is gone is given up.
//!
//! What comes in: a directory whose ledger does not open. What goes out: one that does, and lines of the log that say what
//! was given up. First the log is cut where the damage begins, so that what is left is what was at an earlier checkpoint:
//! nothing is half there, later checkpoints are gone. When that is not possible, because it is an older file that is
//! damaged, RocksDB gathers what can be read: then some addresses may have lost what they had, or go on from something
//! older. Files that it cannot read at all go to the folder `lost`; the rest of a log that was cut is gone.
//!
//! A ledger that is whole is left alone. So is one that does not open for another reason, such as a lock or a full disk.

use rocksdb::{DB, DBRecoveryMode, FlushOptions, ReadOptions, WriteOptions};
use tracing::{error, warn};

use super::batch::Committed;
use super::confirmed::{Confirmed, Mark};
use super::directory::Directory;
use super::read::{View, families};
use super::{damage, open, options, storage};
use crate::ledger::LedgerError;
use crate::ledger::keys;
use crate::ledger::records::{ChainRecord, encode};

/// Makes what is left of a damaged ledger whole.
pub fn accept(directory: &mut Directory) -> Result<(), LedgerError> {
    if directory.format().is_none() {
        return Ok(());
    }
    let marked = Confirmed::open(directory.path());
    let confirmed = marked.as_ref().map_or(Mark::default(), |(_, mark)| *mark);
    let readable = |(db, _): (DB, Committed)| blocks_are_whole(&db, directory);
    let found = match marked.and_then(|(_, mark)| open::whole(directory, mark)).and_then(readable) {
        Ok(()) => {
            warn!("`--accept-data-loss` was given, and the ledger is whole: nothing was lost");
            return Ok(());
        }
        Err(found) if !found.is_loss() => return Err(found),
        Err(found) => found,
    };
    error!(code = found.code(), error = %Causes(&found), "data loss accepted: the ledger goes on without what is damaged");
    let left = match cut(directory) {
        Ok(left) => left,
        Err(why) if why.is_loss() => {
            error!(error = %Causes(&why), "no earlier checkpoint is whole: what can be read is gathered");
            gather(directory)?
        }
        Err(why) => return Err(why),
    };
    let (last, gone) = (left.checkpoint, confirmed.checkpoint.saturating_sub(left.checkpoint));
    let at_least = if gone > 0 { gone.to_string() } else { "an unknown number".to_owned() };
    error!(last_checkpoint = last, checkpoints_lost = at_least, "data loss accepted: this is where the ledger goes on");
    let made = Confirmed::create(directory.path(), Mark { checkpoint: left.checkpoint, chain: left.chain });
    made.map_err(|source| LedgerError::directory(directory.path(), source))
}

/// What is left when the log ends where its damage begins.
fn cut(directory: &Directory) -> Result<Committed, LedgerError> {
    let data = directory.data();
    let db = options::open_as(&data, DBRecoveryMode::PointInTime).map_err(|error| damage::opening(error, &data))?;
    open::files_are_whole(&db, &data)?;
    blocks_are_whole(&db, directory)?;
    let committed = open::committed(&View::of(&db))?;
    settle(&db)?;
    Ok(committed)
}

/// Reads all of it: a start does not, and meets damage inside a file when it reads there.
fn blocks_are_whole(db: &DB, directory: &Directory) -> Result<(), LedgerError> {
    let (values, queues) = families(db);
    for family in [values, queues] {
        let mut options = ReadOptions::default();
        options.set_verify_checksums(true);
        options.fill_cache(false);
        let mut rows = db.raw_iterator_cf_opt(family, options);
        rows.seek_to_first();
        while rows.valid() {
            rows.next();
        }
        rows.status().map_err(|error| damage::opening(error, &directory.data()))?;
    }
    Ok(())
}

/// What is left when everything is taken that can be read.
fn gather(directory: &Directory) -> Result<Committed, LedgerError> {
    options::repair(&directory.data()).map_err(storage("gathering what can be read"))?;
    let mode = DBRecoveryMode::SkipAnyCorruptedRecord;
    let db = options::open_as(&directory.data(), mode).map_err(storage("opening what could be read"))?;
    let view = View::of(&db);
    let committed = match open::committed(&view) {
        Ok(committed) => committed,
        Err(_) => {
            let restored = view.restore()?;
            Committed { checkpoint: restored.meta.checkpoint, lanes: restored.lanes, ..Committed::default() }
        }
    };
    drop(view);
    // The chain begins anew. Not through the log: no checkpoint of the log is like this.
    let record = ChainRecord {
        checkpoint: committed.checkpoint,
        content: committed.content.to_be_bytes().to_vec(),
        content_bytes: 0,
        chain: committed.chain.to_be_bytes().to_vec(),
    };
    if committed.checkpoint > 0 {
        let (mut bytes, mut unlogged) = (Vec::new(), WriteOptions::default());
        encode(&record, &mut bytes);
        unlogged.disable_wal(true);
        let (_, queues) = families(&db);
        db.put_cf_opt(queues, keys::CHAIN, &bytes, &unlogged).map_err(storage("beginning a new chain"))?;
    }
    settle(&db)?;
    Ok(committed)
}

/// Brings all that is left into files, so that no log with damage in it is of use any more: RocksDB removes those.
fn settle(db: &DB) -> Result<(), LedgerError> {
    let (values, queues) = families(db);
    let mut waiting = FlushOptions::default();
    waiting.set_wait(true);
    db.flush_cfs_opt(&[values, queues], &waiting).map_err(storage("flushing what is left"))
}

/// An error with its causes in one line.
struct Causes<'a>(&'a LedgerError);

impl std::fmt::Display for Causes<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)?;
        let mut cause = std::error::Error::source(self.0);
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}
