//! Ledgers: they make a checkpoint durable, atomically, and give state back on demand.
//!
//! What comes in: [`Checkpoint`]s, in the order of their numbers, and [`Load`]s at any time. What goes out: what was loaded,
//! and records of the outbox. Who owns the state: the ledger, once [`Ledger::commit`] has returned. Order of effects: a
//! commit returns when its bytes are synced; nothing that can be seen outside may happen before.

mod by_hand;
mod key;
pub mod keys;
pub mod local;
pub mod memory;
pub mod records;
mod watched;

#[cfg(test)]
mod tests;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use millpond_engine::{
    Checkpoint, DelayedMessage, LaneName, Load, Loaded, Millis, Refused, Restored, Sequence, StateSpec,
};
use millpond_protocol::TypeName;
use millpond_publisher::Incarnation;

pub use local::LocalLedger;
pub use memory::SharedMemoryLedger;
pub use watched::Watched;

/// The durable half of the runtime. All methods block; drivers call them from threads of their own.
///
/// An implementation passes the suite in `tests/conformance.rs`.
pub trait Ledger: Send + Sync {
    /// What the last durable checkpoint says of the engine's own variables.
    ///
    /// # Errors
    /// [`LedgerError`] when it cannot be read.
    fn restore(&self) -> Result<Restored, LedgerError>;

    /// Makes one checkpoint durable: all of it or nothing, synced when this returns. Numbers come without a gap; the
    /// number committed last may come again after an error, with the same content, and has no second effect.
    ///
    /// `lanes` are the names behind the checkpoint's lane numbers.
    ///
    /// # Errors
    /// [`LedgerError::Refused`] when the checkpoint breaks a promise of the engine: nothing has changed, and a retry is of
    /// no use. Another [`LedgerError`] when the disk refuses: nothing of the checkpoint is visible then; a ledger that is
    /// opened afterwards has nothing of it or all of it.
    fn commit(&self, checkpoint: &Checkpoint, lanes: &[LaneName]) -> Result<(), LedgerError>;

    /// Reads what the engine asked for, from durable checkpoints only.
    ///
    /// # Errors
    /// [`LedgerError`] when it cannot be read.
    fn load(&self, load: &Load) -> Result<Loaded, LedgerError>;

    /// Reads durable records of a lane with sequence numbers above `after`, at most `limit` of them and, beyond the first,
    /// at most `bytes` bytes. Records that were freed are not given.
    ///
    /// # Errors
    /// [`LedgerError`] when they cannot be read.
    fn outbox(&self, lane: &LaneName, after: u64, limit: usize, bytes: usize)
    -> Result<Vec<(u64, Bytes)>, LedgerError>;

    /// Lowest sequence number still kept and the next one to be given out, as of the last durable checkpoint; `(1, 1)` for
    /// a lane that never had a record.
    ///
    /// # Errors
    /// [`LedgerError`] when they cannot be read.
    fn lane(&self, lane: &LaneName) -> Result<(u64, u64), LedgerError>;

    /// All state specs that functions ever declared here, by function type and name of the state.
    ///
    /// # Errors
    /// [`LedgerError`] when they cannot be read.
    fn specs(&self) -> Result<Vec<(TypeName, StateSpec)>, LedgerError>;

    /// The ledger's id, chosen when it is asked for first, and durable then. A copy has the same one.
    ///
    /// # Errors
    /// [`LedgerError`] when it cannot be read, or not be written.
    fn identity(&self) -> Result<u128, LedgerError>;

    /// The starts that published a lane, as the last [`Ledger::claim`] has them.
    ///
    /// # Errors
    /// [`LedgerError`] when they cannot be read.
    fn lineage(&self, lane: &LaneName) -> Result<Vec<Incarnation>, LedgerError>;

    /// Keeps the starts that published a lane; durable when this returns.
    ///
    /// # Errors
    /// [`LedgerError`] when the disk refuses.
    fn claim(&self, lane: &LaneName, lineage: &[Incarnation]) -> Result<(), LedgerError>;

    /// Keeps a record that the egress of a lane refused for good; durable when this returns. The same number again is the
    /// same record.
    ///
    /// # Errors
    /// [`LedgerError`] when the disk refuses.
    fn refuse(&self, lane: &LaneName, refused: &RefusedByEgress) -> Result<(), LedgerError>;

    /// Records of a lane that its egress refused for good, those with numbers above `after`, at most `limit` of them and,
    /// beyond the first, at most `bytes` bytes.
    ///
    /// # Errors
    /// [`LedgerError`] when they cannot be read.
    fn refused(
        &self,
        lane: &LaneName,
        after: u64,
        limit: usize,
        bytes: usize,
    ) -> Result<Vec<RefusedByEgress>, LedgerError>;

    /// How many records of a lane its egress refused, those that were removed not counted.
    ///
    /// # Errors
    /// [`LedgerError`] when they cannot be read.
    fn refused_count(&self, lane: &LaneName) -> Result<u64, LedgerError>;

    /// Removes a record that the egress of a lane refused; durable when this returns. False when there is none of that number.
    ///
    /// # Errors
    /// [`LedgerError`] when it cannot be read, or the disk refuses.
    fn discard(&self, lane: &LaneName, sequence: u64) -> Result<bool, LedgerError>;

    /// Delayed messages that ids of one key group sent, in the order of their time, behind `after`, at most `limit` of
    /// them: due time, sequence number, message. Fewer than `limit` are the last ones.
    ///
    /// # Errors
    /// [`LedgerError`] when they cannot be read.
    fn delayed(
        &self,
        group: u16,
        after: (Millis, Sequence),
        limit: usize,
    ) -> Result<Vec<(Millis, Sequence, DelayedMessage)>, LedgerError>;

    /// Bytes of all checkpoints that were made durable since it was opened.
    fn committed_bytes(&self) -> u64 {
        0
    }

    /// What it takes of disk and memory.
    fn measures(&self) -> LedgerMeasures {
        LedgerMeasures::default()
    }
}

/// A record of a lane that its egress refused for good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedByEgress {
    /// Its number in the lane.
    pub sequence: u64,
    /// The record as the lane had it.
    pub record: Bytes,
    /// Why, in the words of whoever refused it.
    pub error: String,
}

/// What a ledger takes of disk and memory. A ledger that has neither takes nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LedgerMeasures {
    /// Bytes of its files.
    pub disk_bytes: u64,
    /// Bytes that are free on their disk, for this user.
    pub disk_free_bytes: Option<u64>,
    /// Memory of its storage engine: what is cached, and what is not flushed yet.
    pub memory_bytes: u64,
    /// About so many records.
    pub keys: u64,
    /// Bytes that are to be rewritten, so that reads stay quick.
    pub compaction_pending_bytes: u64,
    /// It takes no writes until some of that is done.
    pub writes_stopped: bool,
}

/// What a ledger could not do.
#[derive(Debug, Clone, thiserror::Error)]
pub enum LedgerError {
    /// Another process has the directory open.
    #[error("ledger `{}` is open in another process{}", path.display(), pid.map(|pid| format!(" (pid {pid})")).unwrap_or_default())]
    InUse {
        /// The directory.
        path: PathBuf,
        /// The other process, when it said so.
        pid: Option<u32>,
    },
    /// The directory was written by a newer version.
    #[error("ledger `{}` has format {found}, this version reads formats up to {known}", path.display())]
    NewerFormat {
        /// The directory.
        path: PathBuf,
        /// The format it has.
        found: u32,
        /// The newest format that is known here.
        known: u32,
    },
    /// The directory cannot be used.
    #[error("ledger directory `{}` cannot be used", path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// Why.
        #[source]
        source: Arc<io::Error>,
    },
    /// A part of the directory is gone.
    #[error("ledger directory `{}` is not whole: {what}", path.display())]
    Incomplete {
        /// The directory.
        path: PathBuf,
        /// What is not there, or not what it was.
        what: String,
    },
    /// The storage engine failed.
    #[error("ledger storage failed while {doing}")]
    Storage {
        /// What was being attempted.
        doing: &'static str,
        /// Why.
        #[source]
        source: rocksdb::Error,
    },
    /// The system gives no random bytes.
    #[error("ledger needs random bytes for its id")]
    Random(#[source] Arc<io::Error>),
    /// A file of the ledger is not as it was left.
    #[error("ledger file `{}` is damaged: {what}", file.display())]
    Damaged {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// The ledger ends before what was confirmed.
    #[error("ledger `{}` ends at checkpoint {found}, though {confirmed} was confirmed{}", path.display(), held_by(log.as_ref()))]
    Lost {
        /// The directory.
        path: PathBuf,
        /// The last checkpoint that is there.
        found: u64,
        /// The last one that somebody was told of.
        confirmed: u64,
        /// Whether the log is there that held it, and its name, if that is known.
        log: Option<(bool, PathBuf)>,
    },
    /// A stored record cannot be read.
    #[error("a ledger record cannot be read: {0}")]
    Corrupt(String),
    /// A checkpoint was not taken: a broken promise of the engine.
    #[error(transparent)]
    Refused(#[from] Refused),
}

impl LedgerError {
    /// The directory, or a file of it, cannot be used.
    fn directory(path: &Path, source: io::Error) -> LedgerError {
        LedgerError::Directory { path: path.to_owned(), source: source.into() }
    }

    /// The page that explains it: `millpond explain CODE`.
    pub fn code(&self) -> &'static str {
        match self {
            LedgerError::Directory { .. } | LedgerError::Incomplete { .. } | LedgerError::Random(_) => "MP5001",
            LedgerError::InUse { .. } => "MP5002",
            LedgerError::NewerFormat { .. } => "MP5003",
            LedgerError::Storage { source, .. } if source.kind() == rocksdb::ErrorKind::Corruption => "MP5005",
            LedgerError::Storage { .. } => "MP5004",
            LedgerError::Corrupt(_) | LedgerError::Damaged { .. } => "MP5005",
            LedgerError::Lost { .. } => "MP5007",
            LedgerError::Refused(_) => "MP5006",
        }
    }

    /// True when something that was confirmed is gone or cannot be read.
    pub fn is_loss(&self) -> bool {
        ["MP5005", "MP5007"].contains(&self.code())
    }

    /// True when the ledger cannot be relied on from now on, so that nobody may go on with it: damage, a disk that does not
    /// read or write, a broken promise. False when only this process lacks something for a moment, such as a free file.
    pub fn is_final(&self) -> bool {
        match self {
            LedgerError::Storage { source, .. } => match source.kind() {
                rocksdb::ErrorKind::Corruption => true,
                rocksdb::ErrorKind::IOError => !lacks(source.as_ref()),
                _ => false,
            },
            LedgerError::Random(_) => false,
            _ => true,
        }
    }

    /// What to do about it, where that can be said in a line.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            LedgerError::InUse { .. } => {
                Some("stop that process, or start this one with `--data-dir` and another folder")
            }
            LedgerError::NewerFormat { .. } => {
                Some("start the newer version again, or go back to a copy from before it was started")
            }
            LedgerError::Directory { .. } => {
                Some("name a folder that this user may write, empty or made by Millpond, with `--data-dir`")
            }
            LedgerError::Incomplete { .. } => Some(
                "bring the whole directory back from a backup, or mount what belongs there; to begin without any state, remove all of it",
            ),
            _ if self.is_loss() => {
                Some("bring the whole directory back from a backup; `--accept-data-loss` goes on without what is lost")
            }
            LedgerError::Storage { .. } => {
                Some("see whether the disk is full or failing; nothing that was not durable was confirmed")
            }
            _ => None,
        }
    }
}

/// What became of the log that held the last confirmed checkpoint.
fn held_by(log: Option<&(bool, PathBuf)>) -> String {
    match log {
        Some((true, file)) => format!(": its log `{}` ends before that", file.display()),
        Some((false, file)) => format!(": its log `{}` is missing", file.display()),
        None => String::new(),
    }
}

/// Whether the system's words are about what a process may have, and not about the disk.
fn lacks(said: &str) -> bool {
    ["Too many open files", "Cannot allocate memory"].iter().any(|words| said.contains(words))
}
