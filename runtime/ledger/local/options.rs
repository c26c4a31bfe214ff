//! How RocksDB is set up for a ledger, and the memory it may take.
//!
//! Every setting here answers to something that was measured or that cost somebody data; what is not named keeps RocksDB's
//! default.

use std::path::Path;

use rocksdb::{
    BlockBasedIndexType, BlockBasedOptions, Cache, ColumnFamilyDescriptor, DB, DBCompressionType, DBRecoveryMode,
    Options, SliceTransform, WriteBufferManager,
};

use crate::ledger::keys;

/// State values.
pub const VALUES: &str = "values";

/// Pending invocations, the outbox, idempotency keys, and what the engine starts from.
pub const QUEUES: &str = "queues";

const MIB: usize = 1 << 20;

/// Memory that RocksDB takes: cached blocks, filters and indexes, and, charged to the same cache, what is not flushed yet.
/// Beside it stand only iterators in use and compaction buffers, a few MiB.
pub const MEMORY_BYTES: usize = 72 * MIB;

/// The part of [`MEMORY_BYTES`] that may be waiting to be flushed.
pub const UNFLUSHED_BYTES: usize = 36 * MIB;

/// Size at which one family's buffer is flushed. Finding the place of a key in a buffer is half of what a write costs, and
/// costs more the larger the buffer is; a smaller one than this makes compaction cost more than it saves.
const BUFFER_BYTES: usize = 12 * MIB;

/// Bounds the log that a start has to read again.
const WAL_BYTES: u64 = 128 * MIB as u64;

/// Opens the data, or makes them when `create` says so.
pub fn open(path: &Path, create: bool) -> Result<DB, rocksdb::Error> {
    // A log may end inside a record that was never confirmed. Damage before that refuses to open; the default would go on
    // from before the damage as if the rest had never been.
    open_with(path, create, DBRecoveryMode::TolerateCorruptedTailRecords)
}

/// Opens damaged data, with another idea of what to make of the log.
pub fn open_as(path: &Path, mode: DBRecoveryMode) -> Result<DB, rocksdb::Error> {
    open_with(path, true, mode)
}

/// Makes a database of all files that can be read, of whatever checkpoint each is. What cannot be read goes to the folder
/// `lost`.
pub fn repair(path: &Path) -> Result<(), rocksdb::Error> {
    let mut options = family();
    options.create_if_missing(true);
    DB::repair(&options, path)
}

/// Opens the data to look at them: no file of data is made, changed or removed.
pub fn open_read_only(path: &Path) -> Result<DB, rocksdb::Error> {
    let (mut database, families) = set_up(false);
    database.set_wal_recovery_mode(DBRecoveryMode::TolerateCorruptedTailRecords);
    DB::open_cf_descriptors_read_only(&database, path, families, false)
}

fn open_with(path: &Path, create: bool, mode: DBRecoveryMode) -> Result<DB, rocksdb::Error> {
    let (mut database, families) = set_up(create);
    database.set_wal_recovery_mode(mode);
    DB::open_cf_descriptors(&database, path, families)
}

fn set_up(create: bool) -> (Options, [ColumnFamilyDescriptor; 2]) {
    let cache = Cache::new_lru_cache(MEMORY_BYTES);
    let unflushed = WriteBufferManager::new_write_buffer_manager_with_cache(UNFLUSHED_BYTES, false, cache.clone());
    let families =
        [ColumnFamilyDescriptor::new(VALUES, values(&cache)), ColumnFamilyDescriptor::new(QUEUES, queues(&cache))];
    (database(create, &unflushed), families)
}

fn database(create: bool, unflushed: &WriteBufferManager) -> Options {
    let mut options = Options::default();
    options.create_if_missing(create);
    options.create_missing_column_families(create);
    options.set_write_buffer_manager(unflushed);
    options.set_recycle_log_file_num(0);
    options.set_max_total_wal_size(WAL_BYTES);
    options.set_track_and_verify_wals_in_manifest(true);
    options.set_paranoid_checks(true);
    // There is one writer.
    options.set_allow_concurrent_memtable_write(false);
    options.set_max_background_jobs(2);
    options.set_max_open_files(512);
    // Written back steadily, not in one burst that a commit would wait for.
    options.set_bytes_per_sync(MIB as u64);
    options.set_avoid_unnecessary_blocking_io(true);
    // Its own log, `LOG` in its folder: at most 4 files of 2 MiB.
    options.set_max_log_file_size(2 * MIB);
    options.set_keep_log_file_num(4);
    options.set_stats_dump_period_sec(0);
    options.set_stats_persist_period_sec(0);
    options
}

fn family() -> Options {
    let mut options = Options::default();
    options.set_write_buffer_size(BUFFER_BYTES);
    options.set_max_write_buffer_number(3);
    // Few buffers reach the second level, so that it is rewritten seldom; files small enough to be rewritten in part.
    options.set_max_bytes_for_level_base(5 * BUFFER_BYTES as u64);
    options.set_target_file_size_base(16 * MIB as u64);
    options.set_compression_type(DBCompressionType::Lz4);
    options
}

fn table(cache: &Cache) -> BlockBasedOptions {
    let mut table = BlockBasedOptions::default();
    table.set_block_cache(cache);
    table.set_block_size(8 * 1024);
    table.set_bloom_filter(10.0, false);
    // Filters and indexes grow with the data: they stand in the cache in parts, not beside it as a whole.
    table.set_index_type(BlockBasedIndexType::TwoLevelIndexSearch);
    table.set_partition_filters(true);
    table.set_cache_index_and_filter_blocks(true);
    table.set_cache_index_and_filter_blocks_with_high_priority(true);
    table.set_pin_top_level_index_and_filter(true);
    table
}

fn values(cache: &Cache) -> Options {
    let mut options = family();
    // All reads ask for one address. A filter over addresses answers for one that was never seen without a block.
    let prefix = SliceTransform::create("millpond.address", address_of, Some(has_address));
    options.set_prefix_extractor(prefix);
    let mut table = table(cache);
    table.set_whole_key_filtering(false);
    options.set_block_based_table_factory(&table);
    options
}

fn queues(cache: &Cache) -> Options {
    let mut options = family();
    // What is deleted was mostly written a moment ago: files that are mostly deletions are compacted soon.
    options.add_compact_on_deletion_collector_factory(1024, 512, 0.5);
    options.set_block_based_table_factory(&table(cache));
    options
}

fn address_of(key: &[u8]) -> &[u8] {
    keys::address_part(key).map_or(key, |length| &key[..length])
}

fn has_address(key: &[u8]) -> bool {
    keys::address_part(key).is_some()
}
