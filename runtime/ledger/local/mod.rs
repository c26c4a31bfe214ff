//! The local ledger: one RocksDB, one synced write batch a checkpoint.
//!
//! What comes in: checkpoints from one thread, loads from any. What goes out: what was loaded. The data directory belongs to
//! it while it lives (`directory.rs`). A commit makes a batch (`batch.rs`), writes and syncs it, and only then counts it as
//! the last one; loads see whole checkpoints (`read.rs`) and never wait for a commit. `options.rs` says how RocksDB is set
//! up and what memory it takes.

mod batch;
mod books;
mod directory;
mod options;
mod read;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use millpond_engine::{
    Checkpoint, LaneName, Load, Loaded, MovedLane, Refused, Restored, StateSpec, Write, moved_lanes,
};
use millpond_protocol::TypeName;
use millpond_publisher::Incarnation;
use rocksdb::{DB, WriteBatch, WriteOptions};

use self::batch::{Batcher, Committed, move_lanes};
use self::directory::Directory;
use self::read::{View, families};
use super::keys::{self, KeyBuffer};
use super::records::{ChainRecord, corrupt};
use super::{Ledger, LedgerError, RefusedByEgress};

pub use self::directory::FORMAT;
pub use self::options::{MEMORY_BYTES, UNFLUSHED_BYTES};

/// A ledger in a directory of this machine.
pub struct LocalLedger {
    /// Held over a whole commit. Loads do not need it.
    writer: Mutex<Writer>,
    db: DB,
    /// Last, so that the lock outlives the open database.
    directory: Directory,
}

/// What commits need.
#[derive(Default)]
struct Writer {
    committed: Committed,
    batcher: Batcher,
    freed: KeyBuffer,
}

impl LocalLedger {
    /// Opens the ledger in a data directory, and makes both when there is none.
    ///
    /// # Errors
    /// [`LedgerError`] when another process has it open, its format is newer, or it cannot be read.
    pub fn open(data_dir: &Path) -> Result<LocalLedger, LedgerError> {
        let mut directory = Directory::open(data_dir)?;
        let db = options::open(&directory.data(), !directory.is_complete()).map_err(storage("opening the ledger"))?;
        let committed = committed(&View::of(&db))?;
        if !directory.is_complete() && committed.checkpoint > 0 {
            let source = std::io::Error::other("its file `FORMAT` is missing, though it holds data");
            return Err(LedgerError::Directory { path: data_dir.to_owned(), source });
        }
        directory.complete()?;
        let writer = Mutex::new(Writer { committed, ..Writer::default() });
        Ok(LocalLedger { writer, db, directory })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.directory.path()
    }
}

impl Ledger for LocalLedger {
    fn restore(&self) -> Result<Restored, LedgerError> {
        View::of(&self.db).restore()
    }

    fn commit(&self, checkpoint: &Checkpoint, lanes: &[LaneName]) -> Result<(), LedgerError> {
        // A panic in a commit leaves `committed` as it was: it changes only when everything is done.
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        writer.commit(&self.db, checkpoint, lanes)
    }

    fn load(&self, load: &Load) -> Result<Loaded, LedgerError> {
        View::of(&self.db).load(load)
    }

    fn outbox(
        &self,
        lane: &LaneName,
        after: u64,
        limit: usize,
        bytes: usize,
    ) -> Result<Vec<(u64, Bytes)>, LedgerError> {
        View::of(&self.db).outbox(lane, after, limit, bytes)
    }

    fn lane(&self, lane: &LaneName) -> Result<(u64, u64), LedgerError> {
        View::of(&self.db).lane(lane)
    }

    fn specs(&self) -> Result<Vec<(TypeName, StateSpec)>, LedgerError> {
        View::of(&self.db).specs()
    }

    fn identity(&self) -> Result<u128, LedgerError> {
        books::identity(&self.db)
    }

    fn lineage(&self, lane: &LaneName) -> Result<Vec<Incarnation>, LedgerError> {
        books::lineage(&self.db, lane)
    }

    fn claim(&self, lane: &LaneName, lineage: &[Incarnation]) -> Result<(), LedgerError> {
        books::claim(&self.db, lane, lineage)
    }

    fn refuse(&self, lane: &LaneName, refused: &RefusedByEgress) -> Result<(), LedgerError> {
        books::refuse(&self.db, lane, refused)
    }

    fn refused(&self, lane: &LaneName) -> Result<BTreeMap<u64, RefusedByEgress>, LedgerError> {
        books::refused(&self.db, lane)
    }
}

impl Writer {
    fn commit(&mut self, db: &DB, checkpoint: &Checkpoint, lanes: &[LaneName]) -> Result<(), LedgerError> {
        let found = checkpoint.meta.checkpoint;
        let expected = self.committed.checkpoint + 1;
        let again = found > 0 && found == self.committed.checkpoint;
        if found != expected && !again {
            return Err(Refused::OutOfOrder { found, expected }.into());
        }
        let (values, queues) = families(db);
        if again {
            let named = |write: &Write| match write {
                Write::Lane { lane, .. } | Write::Outbox { lane, .. } => (lane.0 as usize) < lanes.len(),
                _ => true,
            };
            if !checkpoint.writes.iter().all(named) {
                return Err(Refused::OutOfOrder { found, expected }.into());
            }
            let content = self.batcher.content(checkpoint, lanes, values, queues);
            let same = content.checksum == self.committed.content;
            return if same { Ok(()) } else { Err(Refused::OutOfOrder { found, expected }.into()) };
        }
        let moved = moved_lanes(checkpoint, lanes, &self.committed.lanes)?;
        let mut content = self.batcher.content(checkpoint, lanes, values, queues);
        for lane in moved.values() {
            self.free(db, &mut content.batch, lane)?;
        }
        let checksum = content.checksum;
        let batch = self.batcher.chain(content, found, &self.committed, queues);
        let mut synced = WriteOptions::default();
        synced.set_sync(true);
        db.write_opt(batch, &synced).map_err(storage("writing a checkpoint"))?;

        self.committed.chain = self.committed.next_chain(found, checksum);
        self.committed.content = checksum;
        self.committed.checkpoint = found;
        move_lanes(&mut self.committed.lanes, &moved);
        Ok(())
    }

    /// Deletes the stored records of a lane that lie wholly below its new first number.
    fn free(&mut self, db: &DB, batch: &mut WriteBatch, lane: &MovedLane<'_>) -> Result<(), LedgerError> {
        let ((first_before, next_before), (first, _)) = (lane.before, lane.after);
        if first == first_before {
            return Ok(());
        }
        let (_, queues) = families(db);
        let mut firsts = View::of(db).outbox_firsts(lane.name, first_before, first)?;
        // The one that begins last reaches beyond `first`, unless everything that was there is freed.
        if first < next_before {
            firsts.pop();
        }
        for freed in firsts {
            batch.single_delete_cf(queues, self.freed.outbox(lane.name, freed));
        }
        Ok(())
    }
}

fn committed(view: &View<'_>) -> Result<Committed, LedgerError> {
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

/// Puts what was being attempted to an error of the storage engine.
fn storage(doing: &'static str) -> impl FnOnce(rocksdb::Error) -> LedgerError {
    move |source| LedgerError::Storage { doing, source }
}
