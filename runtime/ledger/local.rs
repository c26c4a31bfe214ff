//! The local ledger: one RocksDB, one synced write batch a checkpoint.
