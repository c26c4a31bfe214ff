//! The admin API: is the node alive and ready, what do its counters say, how are its function types, what does an address
//! hold.
//!
//! What comes in: requests of people, probes and scrapers. What goes out: text and JSON. Who owns the state: engine and
//! ledger; nothing is changed from here, except that a parked address is tried at once, and that a message that an operator
//! names is taken out of its line.

mod access;
mod address;
mod delayed;
mod egresses;
mod functions;
mod http;
mod ingresses;
mod kafka_egress_metrics;
mod kafka_metrics;
#[doc(hidden)]
pub mod metrics;
mod process;
mod rates;

pub use access::{Access, EmptyToken, Role, Token};
pub use functions::EndpointName;
pub use http::Admin;
#[doc(hidden)]
pub use http::{Resource, resource};

#[cfg(test)]
mod tests;
