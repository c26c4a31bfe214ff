//! The StateFun remote-function protocol.
//!
//! What this is: the words both sides of a call share. [`typename`] and [`address`] name things, [`request`] writes a
//! `ToFunction`, [`response`] reads a `FromFunction`, [`types`] holds the six simple types, [`proto`] is generated from
//! our `.proto` files (upstream's names and field numbers, the fork's additions included).
//! Who uses what: the runtime calls [`request`] and [`response`], which take payloads as they are and keep fields that we do
//! not know; SDKs and tests use [`proto`]. `vectors/` holds bytes recorded from upstream that both must agree with.

pub mod address;
pub mod proto;
pub mod request;
pub mod response;
pub mod typename;
pub mod types;
mod wire;

pub use address::Address;
pub use typename::TypeName;
