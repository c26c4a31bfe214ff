//! What publishers keep beside checkpoints: the ledger's id, the starts that published a lane, and the records that an egress
//! refused for good.
//!
//! Each is one synced write of its own, in front of or between checkpoints: no checkpoint depends on it, and the chain does
//! not cover it.

use millpond_engine::LaneName;
use millpond_publisher::Incarnation;
use rocksdb::{DB, WriteBatch, WriteOptions};

use super::read::{View, families};
use super::storage;
use crate::ledger::keys::{self, KeyBuffer};
use crate::ledger::records::{IdentityRecord, LineageRecord, RefusedRecord, StartRecord, corrupt, encode};
use crate::ledger::{LedgerError, RefusedByEgress};

/// The ledger's id; chosen now when it has none.
pub(super) fn identity(db: &DB) -> Result<u128, LedgerError> {
    if let Some(record) = View::of(db).record::<IdentityRecord>(keys::IDENTITY)? {
        let bytes: Result<[u8; 16], _> = record.id.try_into();
        return bytes.map(u128::from_be_bytes).map_err(|_| corrupt(keys::IDENTITY, "it is not 16 bytes"));
    }
    let mut id = [0; 16];
    getrandom::fill(&mut id).map_err(|error| LedgerError::Random(std::io::Error::other(error).into()))?;
    let mut value = Vec::new();
    encode(&IdentityRecord { id: id.to_vec() }, &mut value);
    put(db, keys::IDENTITY, &value, "writing the id of the ledger")?;
    Ok(u128::from_be_bytes(id))
}

pub(super) fn lineage(db: &DB, lane: &LaneName) -> Result<Vec<Incarnation>, LedgerError> {
    let mut key = KeyBuffer::default();
    let record: Option<LineageRecord> = View::of(db).record(key.lineage(lane))?;
    let starts = record.map(|record| record.starts).unwrap_or_default();
    Ok(starts.into_iter().map(|start| Incarnation { id: start.id, after: start.after }).collect())
}

pub(super) fn claim(db: &DB, lane: &LaneName, lineage: &[Incarnation]) -> Result<(), LedgerError> {
    let starts = lineage.iter().map(|start| StartRecord { id: start.id, after: start.after }).collect();
    let mut value = Vec::new();
    encode(&LineageRecord { starts }, &mut value);
    put(db, KeyBuffer::default().lineage(lane), &value, "claiming an outbox")
}

pub(super) fn refuse(db: &DB, lane: &LaneName, refused: &RefusedByEgress) -> Result<(), LedgerError> {
    let mut value = Vec::new();
    encode(&RefusedRecord { record: refused.record.clone(), error: refused.error.clone() }, &mut value);
    put(db, KeyBuffer::default().refused(lane, refused.sequence), &value, "keeping a refused record")
}

/// Removes a refused record; false when there is none of that number.
pub(super) fn discard(db: &DB, lane: &LaneName, sequence: u64) -> Result<bool, LedgerError> {
    let mut buffer = KeyBuffer::default();
    let key = buffer.refused(lane, sequence);
    if View::of(db).record::<RefusedRecord>(key)?.is_none() {
        return Ok(false);
    }
    let (_, queues) = families(db);
    let mut batch = WriteBatch::default();
    batch.delete_cf(queues, key);
    write(db, batch, "removing a refused record")?;
    Ok(true)
}

fn put(db: &DB, key: &[u8], value: &[u8], doing: &'static str) -> Result<(), LedgerError> {
    let (_, queues) = families(db);
    let mut batch = WriteBatch::default();
    batch.put_cf(queues, key, value);
    write(db, batch, doing)
}

fn write(db: &DB, batch: WriteBatch, doing: &'static str) -> Result<(), LedgerError> {
    let mut synced = WriteOptions::default();
    synced.set_sync(true);
    db.write_opt(batch, &synced).map_err(storage(doing))
}
