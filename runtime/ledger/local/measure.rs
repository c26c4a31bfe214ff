//! What a local ledger takes of disk and memory, as its storage engine and the system say it.

use std::path::Path;

use rocksdb::{DB, properties};

use super::directory::Directory;
use super::read::families;
use crate::ledger::LedgerMeasures;

/// Asks both. What is not known is 0.
pub fn measure(db: &DB, directory: &Directory) -> LedgerMeasures {
    let (values, queues) = families(db);
    let property = |family, name| db.property_int_value_cf(family, name).ok().flatten().unwrap_or(0);
    let both = |name| property(values, name).saturating_add(property(queues, name));
    LedgerMeasures {
        disk_bytes: files_bytes(&directory.data()),
        disk_free_bytes: free_bytes(directory.path()),
        // One cache for both families; what is not flushed is charged to it.
        memory_bytes: property(values, properties::BLOCK_CACHE_USAGE),
        keys: both(properties::ESTIMATE_NUM_KEYS),
        compaction_pending_bytes: both(properties::ESTIMATE_PENDING_COMPACTION_BYTES),
        writes_stopped: both(properties::IS_WRITE_STOPPED) > 0,
    }
}

/// A file that goes away meanwhile counts nothing.
fn files_bytes(folder: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(folder) else { return 0 };
    entries.filter_map(|entry| entry.ok()?.metadata().ok()).map(|file| file.len()).sum()
}

fn free_bytes(folder: &Path) -> Option<u64> {
    let disk = rustix::fs::statvfs(folder).ok()?;
    Some(disk.f_bavail.saturating_mul(disk.f_frsize))
}
