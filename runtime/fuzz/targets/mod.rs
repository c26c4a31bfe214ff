//! The targets, by the part of Millpond that they hold. Each file ends with its part of the list.

#[cfg(feature = "runtime")]
pub mod answer;
#[cfg(feature = "runtime")]
pub mod config;
pub mod engine;
#[cfg(feature = "runtime")]
pub mod http;
#[cfg(feature = "runtime")]
pub mod ledger;
pub mod protocol;
mod wire;
