//! The memory twin of the local ledger.
