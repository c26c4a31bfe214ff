//! The drivers around the engine, and the `millpond` binary. `README.md` beside this file is the code map.

pub mod admin;
pub mod cli;
pub mod config;
mod credentials;
pub mod edge;
pub mod egress;
pub mod errors;
pub mod handle;
pub mod ingress;
pub mod invoker;
mod kafka;
pub mod ledger;
pub mod measures;
pub mod node;
pub mod router;
