//! Sequences of engine inputs. Bytes decide configuration, inputs, time and what the driver does with what it is asked for.
//!
//! [`engine_any_input`] says anything, also what no driver may say: none of it is a panic. [`engine_with_ledger`] is a
//! driver that keeps the contract around functions, producers, readers and operators that do not, with crashes; it holds
//! the engine to what it promises, and the ledger takes every checkpoint.

mod any_input;
mod inputs;
mod with_ledger;

pub use any_input::engine_any_input;
pub use with_ledger::engine_with_ledger;

use crate::{Target, corpus};

/// The list.
pub const TARGETS: &[Target] = &[
    Target { name: "engine_any_input", run: engine_any_input, corpus: corpus::decisions, words: &[] },
    Target { name: "engine_with_ledger", run: engine_with_ledger, corpus: corpus::decisions, words: &[] },
];
