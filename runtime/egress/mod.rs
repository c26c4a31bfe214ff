//! Egresses: they give out what the ledger has confirmed, and nothing else.
//!
//! [`EgressTable`] finds the lane of a record that a function sent, [`HttpEgress`] lets people read lanes over HTTP.

#[doc(hidden)]
pub mod follow;
mod http;
mod page;
#[doc(hidden)]
pub mod query;
mod route;
mod topic;

pub use http::{EgressLimits, HttpEgress};
pub use route::{Egress, EgressTable, PLAYGROUND_EGRESS};

#[cfg(test)]
mod tests;
