//! A checkpoint becomes one write batch: content, freed records, chain, in this order.
//!
//! What comes in: a checkpoint, and the committed state behind it. What goes out: the batch, ready to be written and synced.
//! `Committed` is changed by the caller, after the write.
//!
//! The *content* depends on the checkpoint alone, so a repetition has the same bytes and is known by their checksum. The
//! chain record stands last in each batch: `chain = checksum(chain before, number, checksum of the content)`. It says how
//! many bytes the content has, so that the log can be held against it, and a checkpoint that is missing between two others
//! is seen.

use std::collections::BTreeMap;

use bytes::Bytes;
use millpond_engine::{Checkpoint, LaneId, LaneName, Lanes, MovedLane, Write};
use prost::Message;
use rocksdb::{ColumnFamily, WriteBatch};
use xxhash_rust::xxh3::{Xxh3, xxh3_128};

use crate::ledger::keys::{self, KeyBuffer, end_of};
use crate::ledger::records::{
    ChainRecord, IdempotencyRecord, LaneRecord, ListedRecord, MetaRecord, OutboxRecord, PendingRecord, SpecRecord,
    StateRecord,
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
const BATCH_HEAD: usize = 12;

/// Makes batches, one at a time, in memory that is used again.
#[derive(Debug, Default)]
pub struct Batcher {
    key: KeyBuffer,
    value: Vec<u8>,
    state: StateRecord,
    pending: PendingRecord,
    /// Bytes of the last batch: the next one is likely to be about as large.
    bytes: usize,
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
    /// The content of a checkpoint.
    pub fn content(
        &mut self,
        checkpoint: &Checkpoint,
        lanes: &[LaneName],
        values: &ColumnFamily,
        queues: &ColumnFamily,
    ) -> Content {
        let mut batch = WriteBatch::with_capacity_bytes(self.bytes + self.bytes / 4);
        for write in &checkpoint.writes {
            self.write(&mut batch, write, lanes, values, queues);
        }
        let meta = encoded(&mut self.value, &MetaRecord::from(&checkpoint.meta));
        batch.put_cf(queues, keys::META, meta);
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
        batch.put_cf(queues, keys::CHAIN, encoded(&mut self.value, &record));
        batch
    }

    fn write(
        &mut self,
        batch: &mut WriteBatch,
        write: &Write,
        lanes: &[LaneName],
        values: &ColumnFamily,
        queues: &ColumnFamily,
    ) {
        let name = |lane: &LaneId| &lanes[lane.0 as usize];
        match write {
            Write::State { address, name, value: Some(value) } => {
                self.state.set(value);
                let bytes = encoded(&mut self.value, &self.state);
                batch.put_cf(values, self.key.state(address, name), bytes);
                self.state.value = Bytes::new();
            }
            Write::State { address, name, value: None } => {
                batch.delete_cf(values, self.key.state(address, name));
            }
            Write::Pending { address, sequence, invocation } => {
                self.pending.set(invocation);
                let bytes = encoded(&mut self.value, &self.pending);
                batch.put_cf(queues, self.key.pending(address, *sequence), bytes);
                self.pending.argument = Bytes::new();
            }
            // Written once and ended once: a deletion that vanishes where it meets the one write.
            Write::Finished { address, sequence } => {
                batch.single_delete_cf(queues, self.key.pending(address, *sequence));
            }
            Write::Listed { address, listed: true } => {
                let bytes = encoded(&mut self.value, &ListedRecord {});
                batch.put_cf(queues, self.key.listed(address), bytes);
            }
            Write::Listed { address, listed: false } => batch.delete_cf(queues, self.key.listed(address)),
            Write::Outbox { records, .. } if records.is_empty() => {}
            Write::Outbox { lane, first, records } => {
                let bytes = encoded(&mut self.value, &OutboxRecord { records: records.clone() });
                batch.put_cf(queues, self.key.outbox(name(lane), *first), bytes);
            }
            Write::Lane { lane, first, next, .. } => {
                let bytes = encoded(&mut self.value, &LaneRecord { first: *first, next: *next });
                batch.put_cf(queues, self.key.lane(name(lane)), bytes);
            }
            Write::Idempotency { generation, key, entry } => {
                let bytes = encoded(&mut self.value, &IdempotencyRecord::from(entry));
                batch.put_cf(queues, self.key.idempotency(*generation, key), bytes);
            }
            Write::ForgetIdempotency { generation } => {
                let from = self.key.idempotency_in(*generation);
                batch.delete_range_cf(queues, from, &end_of(from));
            }
            Write::Spec { function, spec } => {
                let bytes = encoded(&mut self.value, &SpecRecord::from(spec));
                batch.put_cf(queues, self.key.spec(function, &spec.name), bytes);
            }
        }
    }
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

fn encoded<'a>(buffer: &'a mut Vec<u8>, record: &impl Message) -> &'a [u8] {
    buffer.clear();
    record.encode(buffer).expect("a vector grows");
    buffer
}
