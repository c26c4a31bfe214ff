//! A checkpoint becomes one write batch: content, freed records, chain, in this order.
//!
//! What comes in: a checkpoint, and the committed state behind it. What goes out: the batch, ready to be written and synced.
//! `Committed` is changed by the caller, after the write.
//!
//! The *content* is the checkpoint's writes in the order of their keys; it depends on the checkpoint alone, so a repetition has the same bytes and is known by their checksum. The
//! chain record stands last in each batch: `chain = checksum(chain before, number, checksum of the content)`. It says how
//! many bytes the content has, so that the log can be held against it, and a checkpoint that is missing between two others
//! is seen.

use std::collections::BTreeMap;
use std::ops::Range;

use millpond_engine::{Checkpoint, LaneId, LaneName, Lanes, MovedLane, Write};
use rocksdb::{ColumnFamily, WriteBatch};
use xxhash_rust::xxh3::{Xxh3, xxh3_128};

use crate::ledger::keys::{self, KeyBuffer, end_of};
use crate::ledger::records::{
    AccessedRecord, BacklogRecord, ChainRecord, DelayedRecord, FailureOfAddress, IdempotencyRecord, LaneRecord,
    ListedRecord, MetaRecord, PositionRecord, SpecRecord, TokenRecord, encode, encode_outbox, encode_pending,
    encode_state,
};

/// What the last checkpoint left.
#[derive(Debug, Clone, Default)]
pub struct Committed {
    /// Its number; 0 before the first.
    pub checkpoint: u64,
    /// Checksum of its content.
    pub content: u128,
    /// The chain up to it.
    pub chain: u128,
    /// All lanes.
    pub lanes: Lanes,
}

impl Committed {
    /// The chain one checkpoint further.
    pub fn next_chain(&self, number: u64, content: u128) -> u128 {
        let mut hash = Xxh3::new();
        hash.update(&self.chain.to_be_bytes());
        hash.update(&number.to_be_bytes());
        hash.update(&content.to_be_bytes());
        hash.digest128()
    }
}

/// Bytes in front of a batch's first record: RocksDB's sequence number and a count.
pub const BATCH_HEAD: usize = 12;

/// Makes batches, one at a time, in memory that is used again.
#[derive(Debug, Default)]
pub struct Batcher {
    key: KeyBuffer,
    value: Vec<u8>,
    /// The keys of all writes of a checkpoint.
    keys: Vec<u8>,
    order: Vec<Entry>,
    /// Bytes of the last batch: the next one is likely to be about as large.
    bytes: usize,
}

/// One write on its way into a batch.
#[derive(Debug)]
struct Entry {
    family: Family,
    /// The first bytes of the key, which mostly decide the order.
    head: u64,
    /// Where the key is in [`Batcher::keys`].
    key: Range<usize>,
    /// Where the write is in the checkpoint.
    write: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Family {
    Values,
    Queues,
}

/// The batch with the content of a checkpoint.
pub struct Content {
    /// The batch.
    pub batch: WriteBatch,
    /// Checksum of the content.
    pub checksum: u128,
    bytes: usize,
}

impl Batcher {
    /// The content of a checkpoint, in the order of keys.
    pub fn content(
        &mut self,
        checkpoint: &Checkpoint,
        lanes: &[LaneName],
        values: &ColumnFamily,
        queues: &ColumnFamily,
    ) -> Content {
        self.sort(&checkpoint.writes, lanes);
        let mut batch = WriteBatch::with_capacity_bytes(self.bytes + self.bytes / 4);
        for entry in &self.order {
            let family = if entry.family == Family::Values { values } else { queues };
            put(&mut batch, family, &self.keys[entry.key.clone()], &checkpoint.writes[entry.write], &mut self.value);
        }
        encode(&MetaRecord::from(&checkpoint.meta), &mut self.value);
        batch.put_cf(queues, keys::META, &self.value);
        let content = &batch.data()[BATCH_HEAD..];
        let (checksum, bytes) = (xxh3_128(content), content.len());
        self.bytes = bytes;
        Content { batch, checksum, bytes }
    }

    /// Ends a batch with the chain.
    pub fn chain(&mut self, content: Content, number: u64, committed: &Committed, queues: &ColumnFamily) -> WriteBatch {
        let record = ChainRecord {
            checkpoint: number,
            content: content.checksum.to_be_bytes().to_vec(),
            content_bytes: content.bytes as u64,
            chain: committed.next_chain(number, content.checksum).to_be_bytes().to_vec(),
        };
        let mut batch = content.batch;
        encode(&record, &mut self.value);
        batch.put_cf(queues, keys::CHAIN, &self.value);
        batch
    }

    /// Brings the writes into the order of their keys. A batch in this order finds its places in RocksDB's tables in one
    /// sweep: sorting costs a fifth of what it saves.
    fn sort(&mut self, writes: &[Write], lanes: &[LaneName]) {
        self.keys.clear();
        self.order.clear();
        for (place, write) in writes.iter().enumerate() {
            let (family, key) = key_of(&mut self.key, write, lanes);
            let start = self.keys.len();
            self.keys.extend_from_slice(key);
            let head = key.first_chunk().map_or(0, |head| u64::from_be_bytes(*head));
            self.order.push(Entry { family, head, key: start..self.keys.len(), write: place });
        }
        let keys = &self.keys;
        self.order.sort_unstable_by(|a, b| {
            let heads = (a.family, a.head).cmp(&(b.family, b.head));
            heads.then_with(|| keys[a.key.clone()].cmp(&keys[b.key.clone()]))
        });
    }
}

/// Where a write goes.
fn key_of<'a>(buffer: &'a mut KeyBuffer, write: &Write, lanes: &[LaneName]) -> (Family, &'a [u8]) {
    let name = |lane: &LaneId| &lanes[lane.0 as usize];
    let key = match write {
        Write::State { address, name, .. } => return (Family::Values, buffer.state(address, name)),
        Write::Accessed { address, .. } => return (Family::Values, buffer.accessed(address)),
        Write::Failure { address, .. } => return (Family::Values, buffer.failure(address)),
        Write::Backlog { function, .. } => buffer.backlog(function),
        Write::Position { partition, .. } => buffer.position(partition),
        Write::Delayed { due, sequence, message } => buffer.delayed(&message.sender.id, *due, *sequence),
        Write::DelayedGone { id, due, sequence } => buffer.delayed(id, *due, *sequence),
        Write::Token { id, token, .. } => buffer.token(id, token),
        Write::Pending { address, sequence, .. } | Write::Finished { address, sequence } => {
            buffer.pending(address, *sequence)
        }
        Write::Listed { address, .. } => buffer.listed(address),
        Write::Outbox { lane, first, .. } => buffer.outbox(name(lane), *first),
        Write::Lane { lane, .. } => buffer.lane(name(lane)),
        Write::Idempotency { generation, key, .. } => buffer.idempotency(*generation, key),
        Write::ForgetIdempotency { generation } => buffer.idempotency_in(*generation),
        Write::Spec { function, spec } => buffer.spec(function, &spec.name),
    };
    (Family::Queues, key)
}

/// Puts a write into a batch.
fn put(batch: &mut WriteBatch, family: &ColumnFamily, key: &[u8], write: &Write, value: &mut Vec<u8>) {
    match write {
        Write::State { value: None, .. }
        | Write::Accessed { time: None, .. }
        | Write::Failure { failure: None, .. }
        | Write::Listed { listed: false, .. }
        | Write::Token { delayed: None, .. } => return batch.delete_cf(family, key),
        Write::Backlog { backlog, .. } if backlog.is_empty() => return batch.delete_cf(family, key),
        // Written once and ended once: a deletion that vanishes where it meets the one write.
        Write::Finished { .. } | Write::DelayedGone { .. } => return batch.single_delete_cf(family, key),
        Write::ForgetIdempotency { .. } => return batch.delete_range_cf(family, key, &end_of(key)),
        Write::Outbox { records, .. } if records.is_empty() => return,
        Write::Outbox { records, .. } => encode_outbox(records, value),
        Write::State { value: Some(state), .. } => encode_state(state, value),
        Write::Pending { invocation, .. } => encode_pending(invocation, value),
        Write::Accessed { time: Some(time), .. } => encode(&AccessedRecord { time: *time }, value),
        Write::Failure { failure: Some(failure), .. } => encode(&FailureOfAddress::from(failure), value),
        Write::Backlog { backlog, .. } => encode(&BacklogRecord::from(backlog), value),
        Write::Position { next, .. } => encode(&PositionRecord { next: *next }, value),
        Write::Delayed { message, .. } => encode(&DelayedRecord::from(message), value),
        Write::Token { delayed: Some((due, sequence)), .. } => {
            encode(&TokenRecord { due: *due, sequence: *sequence }, value);
        }
        Write::Listed { listed: true, .. } => encode(&ListedRecord {}, value),
        Write::Lane { first, next, .. } => encode(&LaneRecord { first: *first, next: *next }, value),
        Write::Idempotency { entry, .. } => encode(&IdempotencyRecord::from(entry), value),
        Write::Spec { spec, .. } => encode(&SpecRecord::from(spec), value),
    }
    batch.put_cf(family, key, value);
}

/// Moves lanes to where a checkpoint put them.
pub fn move_lanes(lanes: &mut Lanes, moved: &BTreeMap<LaneId, MovedLane<'_>>) {
    for moved in moved.values() {
        match lanes.get_mut(moved.name) {
            Some(stands) => *stands = moved.after,
            None => _ = lanes.insert(moved.name.clone(), moved.after),
        }
    }
}
