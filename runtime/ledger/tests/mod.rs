//! Tests of all ledgers (`conformance.rs`, `random.rs`), and of what only the local one has.

mod conformance;
mod crash;
mod damage;
mod directory;
mod measure;
mod random;
pub mod words;
