//! Egresses: they give out what the ledger has confirmed, and nothing else.
//!
//! [`EgressTable`] finds the lane of a record that a function sent, [`DeadLetterRecord`] writes messages that no function
//! took, [`LetterRoute`] records that were no messages, [`HttpEgress`] lets people read lanes over HTTP.

mod dead_letter;
#[doc(hidden)]
pub mod follow;
mod http;
pub(crate) mod kafka;
mod page;
#[doc(hidden)]
pub mod query;
mod record_letter;
mod route;
mod topic;

pub use dead_letter::DeadLetterRecord;
pub(crate) use dead_letter::decided_by;
pub use http::{EgressLimits, HttpEgress};
pub(crate) use record_letter::{LetterRoute, RecordLetter};
pub use route::{Egress, EgressTable, PLAYGROUND_EGRESS};

#[cfg(test)]
mod tests;
