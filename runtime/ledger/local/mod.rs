//! The local ledger: one RocksDB, one synced write batch a checkpoint.
//!
//! What comes in: checkpoints from one thread, loads from any. What goes out: what was loaded. The data directory belongs to
//! it while it lives (`directory.rs`). A commit makes a batch (`batch.rs`), writes and syncs it, marks it as confirmed
//! (`confirmed.rs`), and only then counts it as the last one; loads see whole checkpoints (`read.rs`) and never wait for a
//! commit. A start (`open.rs`) holds the log (`log.rs`) and the files against what was confirmed, and goes on only when
//! nothing is missing; `loss.rs` is the one way past that. `options.rs` says how RocksDB is set up and what memory it takes.

mod batch;
mod books;
mod confirmed;
mod current_log;
mod damage;
mod directory;
mod log;
mod loss;
mod measure;
mod open;
mod options;
mod read;

#[cfg(test)]
mod tests;

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use millpond_engine::{
    Checkpoint, DelayedMessage, LaneName, Load, Loaded, Millis, MovedLane, Refused, Restored, Sequence, StateSpec,
    Write, moved_lanes,
};
use millpond_protocol::TypeName;
use millpond_publisher::Incarnation;
use rocksdb::{DB, WriteBatch, WriteOptions};

use self::batch::{Batcher, Committed, move_lanes};
use self::confirmed::{Confirmed, Mark};
use self::current_log::CurrentLog;
use self::directory::Directory;
use self::read::{View, families};
use super::keys::KeyBuffer;
use super::{Ledger, LedgerError, LedgerMeasures, RefusedByEgress};

pub use self::directory::FORMAT;
pub use self::options::{MEMORY_BYTES, UNFLUSHED_BYTES};

/// The file that says which application a directory belongs to.
const APPLICATION_FILE: &str = "APPLICATION";

/// A ledger in a directory of this machine.
pub struct LocalLedger {
    /// Held over every write: RocksDB puts what threads write at the same time into one record of its log, and a checkpoint
    /// has to stand there by itself (`log.rs`). Loads do not need it.
    writer: Mutex<Writer>,
    /// By commits since it was opened.
    committed_bytes: AtomicU64,
    db: DB,
    /// Last, so that the lock outlives the open database.
    directory: Directory,
}

/// What commits need.
struct Writer {
    committed: Committed,
    confirmed: Confirmed,
    log: CurrentLog,
    batcher: Batcher,
    freed: KeyBuffer,
}

impl LocalLedger {
    /// Opens the ledger in a data directory, and makes both when there is none.
    ///
    /// # Errors
    /// [`LedgerError`] when another process has it open, its format is newer, it cannot be read, or anything that was
    /// confirmed is missing from it.
    pub fn open(data_dir: &Path) -> Result<LocalLedger, LedgerError> {
        open::open(Directory::open(data_dir)?)
    }

    /// Opens a ledger of which a part is damaged or missing, with what is left of it. What was given up is in the log. A
    /// ledger that is whole is opened as it is.
    ///
    /// # Errors
    /// [`LedgerError`] when it cannot be opened for another reason, or nothing can be made of what is left.
    pub fn open_accepting_data_loss(data_dir: &Path) -> Result<LocalLedger, LedgerError> {
        let mut directory = Directory::open(data_dir)?;
        loss::accept(&mut directory)?;
        open::open(directory)
    }

    /// What is kept of the application; `None` before its first start.
    ///
    /// # Errors
    /// [`LedgerError::Directory`] when it cannot be read.
    pub fn application(&self) -> Result<Option<String>, LedgerError> {
        self.directory.read(APPLICATION_FILE)
    }

    /// Keeps this of the application, durably.
    ///
    /// # Errors
    /// [`LedgerError::Directory`] when it cannot be written.
    pub fn keep_application(&self, text: &str) -> Result<(), LedgerError> {
        self.directory.write(APPLICATION_FILE, text)
    }

    /// A panic in a commit leaves `committed` as it was: it changes only when everything is done.
    fn writer(&self) -> MutexGuard<'_, Writer> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Reads; an error that is about a file names it.
    fn read<T>(&self, read: impl FnOnce(&View<'_>) -> Result<T, LedgerError>) -> Result<T, LedgerError> {
        self.named(read(&View::of(&self.db)))
    }

    fn named<T>(&self, result: Result<T, LedgerError>) -> Result<T, LedgerError> {
        result.map_err(|error| damage::named(error, &self.directory.data()))
    }
}

impl Ledger for LocalLedger {
    fn restore(&self) -> Result<Restored, LedgerError> {
        self.read(|view| view.restore())
    }

    fn commit(&self, checkpoint: &Checkpoint, lanes: &[LaneName]) -> Result<(), LedgerError> {
        let mut writer = self.writer();
        let bytes = self.named(writer.commit(&self.db, checkpoint, lanes))?;
        self.committed_bytes.fetch_add(bytes, Ordering::Relaxed);
        Ok(())
    }

    fn load(&self, load: &Load) -> Result<Loaded, LedgerError> {
        self.read(|view| view.load(load))
    }

    fn outbox(
        &self,
        lane: &LaneName,
        after: u64,
        limit: usize,
        bytes: usize,
    ) -> Result<Vec<(u64, Bytes)>, LedgerError> {
        self.read(|view| view.outbox(lane, after, limit, bytes))
    }

    fn lane(&self, lane: &LaneName) -> Result<(u64, u64), LedgerError> {
        self.read(|view| view.lane(lane))
    }

    fn specs(&self) -> Result<Vec<(TypeName, StateSpec)>, LedgerError> {
        self.read(|view| view.specs())
    }

    fn identity(&self) -> Result<u128, LedgerError> {
        let _writer = self.writer();
        self.named(books::identity(&self.db))
    }

    fn lineage(&self, lane: &LaneName) -> Result<Vec<Incarnation>, LedgerError> {
        self.named(books::lineage(&self.db, lane))
    }

    fn claim(&self, lane: &LaneName, lineage: &[Incarnation]) -> Result<(), LedgerError> {
        let _writer = self.writer();
        self.named(books::claim(&self.db, lane, lineage))
    }

    fn refuse(&self, lane: &LaneName, refused: &RefusedByEgress) -> Result<(), LedgerError> {
        let _writer = self.writer();
        self.named(books::refuse(&self.db, lane, refused))
    }

    fn refused(
        &self,
        lane: &LaneName,
        after: u64,
        limit: usize,
        bytes: usize,
    ) -> Result<Vec<RefusedByEgress>, LedgerError> {
        self.named(View::of(&self.db).refused(lane, after, limit, bytes))
    }

    fn refused_count(&self, lane: &LaneName) -> Result<u64, LedgerError> {
        self.named(View::of(&self.db).refused_count(lane))
    }

    fn discard(&self, lane: &LaneName, sequence: u64) -> Result<bool, LedgerError> {
        let _writer = self.writer();
        self.named(books::discard(&self.db, lane, sequence))
    }

    fn delayed(
        &self,
        group: u16,
        after: (Millis, Sequence),
        limit: usize,
    ) -> Result<Vec<(Millis, Sequence, DelayedMessage)>, LedgerError> {
        self.read(|view| view.delayed_of(group, after, limit))
    }

    fn committed_bytes(&self) -> u64 {
        self.committed_bytes.load(Ordering::Relaxed)
    }

    fn measures(&self) -> LedgerMeasures {
        measure::measure(&self.db, &self.directory)
    }
}

impl Writer {
    /// Gives the bytes that were written.
    fn commit(&mut self, db: &DB, checkpoint: &Checkpoint, lanes: &[LaneName]) -> Result<u64, LedgerError> {
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
            return if same { Ok(0) } else { Err(Refused::OutOfOrder { found, expected }.into()) };
        }
        let moved = moved_lanes(checkpoint, lanes, &self.committed.lanes)?;
        let mut content = self.batcher.content(checkpoint, lanes, values, queues);
        for lane in moved.values() {
            self.free(db, &mut content.batch, lane)?;
        }
        let checksum = content.checksum;
        let batch = self.batcher.chain(content, found, &self.committed, queues);
        let bytes = batch.size_in_bytes() as u64;
        let mut synced = WriteOptions::default();
        synced.set_sync(true);
        db.write_opt(batch, &synced).map_err(storage("writing a checkpoint"))?;

        self.committed.chain = self.committed.next_chain(found, checksum);
        self.committed.content = checksum;
        self.committed.checkpoint = found;
        if let Some(log) = self.log.changed() {
            self.confirmed.goes_to(log);
        }
        self.confirmed.mark(Mark { checkpoint: found, chain: self.committed.chain });
        move_lanes(&mut self.committed.lanes, &moved);
        Ok(bytes)
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

/// Puts what was being attempted to an error of the storage engine.
fn storage(doing: &'static str) -> impl FnOnce(rocksdb::Error) -> LedgerError {
    move |source| LedgerError::Storage { doing, source }
}
