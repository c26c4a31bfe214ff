//! What the Kafka ingress and the Kafka egress share: the client's settings, and what a client says.
//!
//! Modules name properties as Kafka's Java client does, because upstream hands them to it. [`Settings`] turns them into
//! librdkafka's, or says why not.

pub(crate) mod aside;
mod certificates;
mod check;
mod client;
mod jaas;
mod properties;
mod providers;
pub(crate) mod rights;
mod stores;

pub(crate) use aside::{LOOK, Leave};
pub(crate) use check::findings;
pub(crate) use client::{Client, Events, describe};
pub(crate) use properties::{Finding, Role, Settings};

#[cfg(test)]
mod tests;
