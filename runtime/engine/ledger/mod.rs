//! What ledgers share, and their twin in memory: drivers and the simulator keep checkpoints with it. The engine itself uses
//! only the order of addresses.
//!
//! `accept.rs` says which checkpoint a ledger takes, `place.rs` in which order it lists addresses, `memory.rs` is the ledger
//! that the others are held against.

mod accept;
mod memory;
mod place;

pub use accept::{Lanes, MovedLane, NEW_LANE, Refused, moved_lanes};
pub use memory::MemoryLedger;
pub use place::Place;
