//! The mark: the last checkpoint that was confirmed, in a file of its own beside the log.
//!
//! What comes in: the number and the chain of each checkpoint whose commit is about to return. What goes out, at the next
//! start: the highest of them. The log alone cannot say it: a log whose confirmed end was cut off, or that was removed,
//! looks as after a crash.
//!
//! Order of effects: the checkpoint is synced, then the mark is written, then the commit returns. The mark itself is not
//! synced with each checkpoint: the kernel keeps it when the process dies, and writes it to the disk now and then. After a
//! loss of power it may be behind what was confirmed, and is never ahead of it. So a ledger that ends before its mark has
//! lost something, without exception. Two places take turns, so that a mark that was torn leaves the one before. A third
//! place names the log that the marks are of.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::xxh3_64;

use super::directory::write_file;
use crate::ledger::LedgerError;

/// Its name in the data directory.
pub const CONFIRMED_FILE: &str = "confirmed";

/// Each mark is in a sector of its own.
const PLACES: [u64; 2] = [0, 512];

/// number (u64) chain (u128) checksum of both (u64), big endian.
const MARK_BYTES: usize = 32;

/// Where the number of the log stands that the last marks are of, behind both.
const LOG_PLACE: u64 = 1024;

/// number (u64) checksum of it (u64), big endian.
const LOG_BYTES: usize = 16;

/// A confirmed checkpoint.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mark {
    /// Its number; 0 before the first.
    pub checkpoint: u64,
    /// The chain up to it.
    pub chain: u128,
}

/// The log that the last confirmed checkpoint went to, if that was noted. It helps to say what is missing, and decides
/// nothing.
pub fn log(directory: &Path) -> Option<u64> {
    let mut bytes = [0; LOG_BYTES];
    File::open(directory.join(CONFIRMED_FILE)).and_then(|file| file.read_exact_at(&mut bytes, LOG_PLACE)).ok()?;
    let number = u64::from_be_bytes(bytes[..8].try_into().ok()?);
    (encode_log(number) == bytes).then_some(number)
}

/// The file with the marks of an open ledger.
#[derive(Debug)]
pub struct Confirmed {
    file: File,
    /// Which place the next mark takes.
    next: usize,
}

impl Confirmed {
    /// Makes the file, or replaces it, with one mark. It is durable when this returns.
    pub fn create(directory: &Path, mark: Mark) -> io::Result<()> {
        let mut bytes = vec![0; PLACES[1] as usize + MARK_BYTES];
        for place in PLACES {
            bytes[place as usize..][..MARK_BYTES].copy_from_slice(&encode(mark));
        }
        write_file(directory, CONFIRMED_FILE, &bytes)
    }

    /// Opens the file, with the newest mark in it.
    ///
    /// # Errors
    /// [`LedgerError::Damaged`] when it is missing or holds no mark.
    pub fn open(directory: &Path) -> Result<(Confirmed, Mark), LedgerError> {
        let path = directory.join(CONFIRMED_FILE);
        let file = match OpenOptions::new().read(true).write(true).open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(damaged(path, "it is missing")),
            Err(source) => return Err(LedgerError::directory(&path, source)),
        };
        let read = |place: u64| {
            let mut bytes = [0; MARK_BYTES];
            file.read_exact_at(&mut bytes, place).ok().and_then(|()| decode(&bytes))
        };
        let marks = PLACES.map(read);
        let newest = marks.iter().flatten().max().copied().ok_or_else(|| damaged(path, "it holds no mark"))?;
        let next = usize::from(marks[0] == Some(newest));
        Ok((Confirmed { file, next }, newest))
    }

    /// Notes the log that the checkpoints go to that are marked from now on.
    pub fn goes_to(&mut self, log: u64) {
        // Without it there is a word less in a message.
        let _ = self.file.write_all_at(&encode_log(log), LOG_PLACE);
    }

    /// Marks a checkpoint. A mark that cannot be written does no harm: the one before is behind, as after a loss of power.
    pub fn mark(&mut self, mark: Mark) {
        if self.file.write_all_at(&encode(mark), PLACES[self.next]).is_ok() {
            self.next = 1 - self.next;
        }
    }
}

impl Drop for Confirmed {
    /// An orderly end leaves the last mark on the disk.
    fn drop(&mut self) {
        let _ = self.file.sync_data();
    }
}

fn damaged(file: PathBuf, what: &str) -> LedgerError {
    LedgerError::Damaged { file, what: what.to_owned() }
}

fn encode_log(number: u64) -> [u8; LOG_BYTES] {
    let mut bytes = [0; LOG_BYTES];
    bytes[..8].copy_from_slice(&number.to_be_bytes());
    bytes[8..].copy_from_slice(&xxh3_64(&number.to_be_bytes()).to_be_bytes());
    bytes
}

fn encode(mark: Mark) -> [u8; MARK_BYTES] {
    let mut bytes = [0; MARK_BYTES];
    bytes[..8].copy_from_slice(&mark.checkpoint.to_be_bytes());
    bytes[8..24].copy_from_slice(&mark.chain.to_be_bytes());
    let checksum = xxh3_64(&bytes[..24]);
    bytes[24..].copy_from_slice(&checksum.to_be_bytes());
    bytes
}

fn decode(bytes: &[u8; MARK_BYTES]) -> Option<Mark> {
    let (mark, checksum) = bytes.split_at(24);
    if checksum != xxh3_64(mark).to_be_bytes() {
        return None;
    }
    let checkpoint = u64::from_be_bytes(mark[..8].try_into().ok()?);
    Some(Mark { checkpoint, chain: u128::from_be_bytes(mark[8..].try_into().ok()?) })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A mark that was torn while it was written leaves the one before; a file without any is damaged.
    #[test]
    fn a_torn_mark_leaves_the_one_before() {
        let directory = tempfile::tempdir().expect("a directory");
        Confirmed::create(directory.path(), Mark::default()).expect("it is made");
        for checkpoint in 1..=5 {
            let (mut confirmed, last) = Confirmed::open(directory.path()).expect("it is whole");
            assert_eq!(last.checkpoint, checkpoint - 1);
            confirmed.mark(Mark { checkpoint, chain: u128::from(checkpoint) << 100 });
        }
        let (confirmed, last) = Confirmed::open(directory.path()).expect("it is whole");
        assert_eq!(last, Mark { checkpoint: 5, chain: 5 << 100 });
        let newest = PLACES[1 - confirmed.next];
        confirmed.file.write_all_at(b"torn", newest + 20).expect("it is ours");
        drop(confirmed);
        let (confirmed, last) = Confirmed::open(directory.path()).expect("one is whole");
        assert_eq!(last.checkpoint, 4);
        confirmed.file.set_len(10).expect("it is ours");
        drop(confirmed);
        let error = Confirmed::open(directory.path()).expect_err("no mark is left");
        assert_eq!(error.code(), "MP5005");
        assert!(error.to_string().contains("confirmed` is damaged: it holds no mark"), "{error}");
    }
}
