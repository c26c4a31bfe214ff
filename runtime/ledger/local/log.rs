//! The log, held against the chain before RocksDB replays it.
//!
//! What comes in: the log files of a closed database, and the last confirmed checkpoint. What goes out: what the last log
//! ends inside of, if it does; or an error that names the file and the place. Nothing is changed.
//!
//! RocksDB knows whether a record is what was written. It does not know whether a checkpoint between two others is missing,
//! nor which ones somebody was told of. Every checkpoint that a file holds has to follow the one before, in number and
//! checksum. A file may end inside a checkpoint, which was never confirmed then; if there is a later file, it goes on with that
//! checkpoint's number. What publishers keep (`books.rs`) stands between checkpoints and is passed over. The cost is that of
//! reading the log once, which `options.rs` bounds.
//!
//! The format is that of RocksDB (`db/log_format.h`): blocks of 32 KiB with records that do not cross them, each with a
//! masked CRC-32C, a length and a kind, all little endian.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use prost::Message;
use xxhash_rust::xxh3::xxh3_128;

use super::batch::{BATCH_HEAD, Committed};
use super::confirmed::Mark;
use super::current_log::logs;
use crate::ledger::LedgerError;
use crate::ledger::keys::{CHAIN, is_book_key};
use crate::ledger::records::ChainRecord;

/// The end of a log that belongs to no checkpoint.
#[derive(Debug, PartialEq, Eq)]
pub struct Cut {
    /// The log.
    pub file: PathBuf,
    /// Where the checkpoint begins that the file ends inside of.
    pub at: u64,
    /// Bytes from there to the end.
    pub bytes: u64,
}

/// Reads all logs. What the last one ends inside of is given.
///
/// # Errors
/// [`LedgerError::Damaged`] when a checkpoint is not what was written, or one is missing.
pub fn check(data: &Path, confirmed: Mark) -> Result<Option<Cut>, LedgerError> {
    let logs = logs(data).map_err(|source| LedgerError::directory(data, source))?;
    let (mut last, mut cut, mut batch) = (None, None, Vec::new());
    for (_, path) in logs {
        let mut log = Log::open(path)?;
        let mut first = true;
        cut = loop {
            let at = log.at;
            match log.next(&mut batch)? {
                // RocksDB's own, which keeps its numbering without a gap.
                Next::Batch if batch.len() <= BATCH_HEAD => {}
                // Its own checksum is all that it has, and nothing depends on its place.
                Next::Batch if is_book(&batch) => {}
                Next::Batch => {
                    last = Some(log.follow(at, &batch, last, confirmed, first)?);
                    first = false;
                }
                Next::End => break None,
                Next::Torn => break Some(Cut { at, bytes: log.length - at, file: log.path }),
            }
        };
    }
    Ok(cut)
}

/// The manifest, which is written in the form of a log, and where the entry begins that it ends inside of, if it does. After a
/// loss of power that is an entry that nothing depends on; `None` too when it cannot be read, which is for RocksDB to say.
pub fn torn_manifest(data: &Path) -> Option<(PathBuf, u64)> {
    let current = std::fs::read_to_string(data.join("CURRENT")).ok()?;
    let mut manifest = Log::open(data.join(current.trim_end())).ok()?;
    let mut entry = Vec::new();
    loop {
        let at = manifest.at;
        match manifest.next(&mut entry).ok()? {
            Next::Batch => {}
            Next::End => return None,
            Next::Torn => return Some((manifest.path, at)),
        }
    }
}

/// Whether all entries of a manifest are what was written.
pub fn is_sound(manifest: &Path) -> bool {
    let Ok(mut manifest) = Log::open(manifest.to_owned()) else { return false };
    let mut entry = Vec::new();
    loop {
        match manifest.next(&mut entry) {
            Ok(Next::Batch) => {}
            Ok(Next::End | Next::Torn) => return true,
            Err(_) => return false,
        }
    }
}

const BLOCK: u64 = 32 * 1024;
const HEAD: u64 = 7;

/// Kinds of records.
const ZERO: u8 = 0;
const FULL: u8 = 1;
const FIRST: u8 = 2;
const MIDDLE: u8 = 3;
const LAST: u8 = 4;
/// Kinds with this bit may be passed over by those who do not know them.
const OPTIONAL: u8 = 0x80;

/// A log that is being read.
struct Log {
    path: PathBuf,
    file: BufReader<File>,
    length: u64,
    at: u64,
}

/// What a log has next.
enum Next {
    Batch,
    End,
    /// The file ends before the batch does.
    Torn,
}

impl Log {
    fn open(path: PathBuf) -> Result<Log, LedgerError> {
        let opened = File::open(&path).and_then(|file| Ok((file.metadata()?.len(), file)));
        let (length, file) = opened.map_err(|source| LedgerError::directory(&path, source))?;
        Ok(Log { path, file: BufReader::with_capacity(BLOCK as usize, file), length, at: 0 })
    }

    /// Reads the next batch.
    fn next(&mut self, batch: &mut Vec<u8>) -> Result<Next, LedgerError> {
        batch.clear();
        let mut inside = false;
        loop {
            let block_left = BLOCK - self.at % BLOCK;
            if block_left < HEAD {
                // A head does not cross blocks: the rest is filled up.
                let mut fill = [0; HEAD as usize];
                let bytes = block_left.min(self.length - self.at) as usize;
                self.read(&mut fill[..bytes])?;
            }
            let left = self.length - self.at;
            if left == 0 && !inside {
                return Ok(Next::End);
            }
            if left < HEAD {
                return Ok(Next::Torn);
            }
            let place = self.at;
            let mut head = [0; HEAD as usize];
            self.read(&mut head)?;
            let [c0, c1, c2, c3, l0, l1, kind] = head;
            let bytes = u64::from(u16::from_le_bytes([l0, l1]));
            if kind == ZERO && bytes == 0 {
                // Room that was made and never written to. What was confirmed is not zero.
                return if !inside && self.rest_is_zero()? { Ok(Next::Torn) } else { self.damaged(place) };
            }
            let left_in_block = (BLOCK - place % BLOCK).min(self.length - place) - HEAD;
            if bytes > left_in_block {
                // Beyond the end of the file it was being written; beyond the end of its block it cannot have been.
                let at_the_end = self.length - place <= BLOCK - place % BLOCK;
                return if at_the_end { Ok(Next::Torn) } else { self.damaged(place) };
            }
            let start = batch.len();
            batch.resize(start + bytes as usize, 0);
            self.read(&mut batch[start..])?;
            let crc = crc32c::crc32c_append(crc32c::crc32c(&[kind]), &batch[start..]);
            if masked(crc) != u32::from_le_bytes([c0, c1, c2, c3]) {
                return self.damaged(place);
            }
            match kind {
                FULL if !inside => return Ok(Next::Batch),
                FIRST if !inside => inside = true,
                MIDDLE if inside => {}
                LAST if inside => return Ok(Next::Batch),
                optional if optional & OPTIONAL != 0 => batch.truncate(start),
                _ => return self.damaged(place),
            }
        }
    }

    /// Holds a batch against the one before; gives what the next one is held against.
    fn follow(
        &self,
        at: u64,
        batch: &[u8],
        last: Option<Mark>,
        confirmed: Mark,
        first: bool,
    ) -> Result<Mark, LedgerError> {
        let wrong = |what: String| Err(LedgerError::Damaged { file: self.path.clone(), what });
        let Some(record) = chain_of(batch) else {
            return wrong(format!("no checkpoint begins at byte {at}"));
        };
        let number = record.checkpoint;
        let content = usize::try_from(record.content_bytes).ok().and_then(|bytes| batch[BATCH_HEAD..].get(..bytes));
        let content = content.map(xxh3_128).filter(|content| record.content == content.to_be_bytes());
        let chain = record.chain.as_slice().try_into().map(u128::from_be_bytes);
        let (Some(content), Ok(chain)) = (content, chain) else {
            return wrong(format!("checkpoint {number} at byte {at} is not what its checksum says"));
        };
        // Between two logs there may have been others: RocksDB removes those that are of no use, not always the oldest first,
        // and misses by itself any that is of use, in its full length.
        let gap = last.is_some_and(|last| first && number > last.checkpoint + 1);
        if let Some(last) = last.filter(|_| !gap) {
            if number != last.checkpoint + 1 {
                return wrong(format!("at byte {at} checkpoint {number} follows {}", last.checkpoint));
            }
            let before = Committed { chain: last.chain, ..Committed::default() };
            if chain != before.next_chain(number, content) {
                return wrong(format!("checkpoint {number} at byte {at} does not follow the one before it"));
            }
        }
        if number == confirmed.checkpoint && chain != confirmed.chain {
            return wrong(format!("checkpoint {number} at byte {at} is another one than was confirmed"));
        }
        Ok(Mark { checkpoint: number, chain })
    }

    fn read(&mut self, bytes: &mut [u8]) -> Result<(), LedgerError> {
        let read = self.file.read_exact(bytes);
        read.map_err(|source| LedgerError::directory(&self.path, source))?;
        self.at += bytes.len() as u64;
        Ok(())
    }

    fn rest_is_zero(&mut self) -> Result<bool, LedgerError> {
        let mut block = [0; HEAD as usize];
        while self.at < self.length {
            let bytes = (self.length - self.at).min(HEAD) as usize;
            self.read(&mut block[..bytes])?;
            if block[..bytes].iter().any(|byte| *byte != 0) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn damaged<T>(&self, at: u64) -> Result<T, LedgerError> {
        let what = format!("what stands at byte {at} is not what was written");
        Err(LedgerError::Damaged { file: self.path.clone(), what })
    }
}

/// How RocksDB writes a CRC, so that one over bytes that hold CRCs is no worse.
fn masked(crc: u32) -> u32 {
    crc.rotate_right(15).wrapping_add(0xa282_ead8)
}

/// Whether a batch is one write, or one removal, of what publishers keep: a count of one, the kind of operation, the family, and
/// the key with its length in front.
fn is_book(batch: &[u8]) -> bool {
    const REMOVAL_FROM_A_FAMILY: u8 = 4;
    const VALUE_OF_A_FAMILY: u8 = 5;
    let key = || {
        let (head, mut rest) = batch.split_at_checked(BATCH_HEAD)?;
        let count = head.last_chunk().map(|count| u32::from_le_bytes(*count))?;
        let (kind, behind) = rest.split_first()?;
        rest = behind;
        prost::decode_length_delimiter(&mut rest).ok()?;
        let length = prost::decode_length_delimiter(&mut rest).ok()?;
        (count == 1 && matches!(*kind, REMOVAL_FROM_A_FAMILY | VALUE_OF_A_FAMILY)).then(|| rest.get(..length)).flatten()
    };
    key().is_some_and(is_book_key)
}

/// The chain record that a batch ends with: behind its key, with its length in front.
fn chain_of(batch: &[u8]) -> Option<ChainRecord> {
    /// More than the record and its head ever have.
    const TAIL: usize = 128;
    let tail = &batch[batch.len().saturating_sub(TAIL).max(BATCH_HEAD.min(batch.len()))..];
    let key = [&[CHAIN.len() as u8], CHAIN].concat();
    // The key's bytes may stand inside a checksum too: only the one counts whose record ends where the batch does.
    let places = tail.windows(key.len()).enumerate().filter(|(_, bytes)| *bytes == key);
    places.filter_map(|(at, _)| ending(&tail[at + key.len()..])).next()
}

/// A chain record that fills these bytes to the end.
fn ending(mut bytes: &[u8]) -> Option<ChainRecord> {
    let length = prost::decode_length_delimiter(&mut bytes).ok()?;
    (length == bytes.len()).then(|| ChainRecord::decode(bytes).ok()).flatten()
}
