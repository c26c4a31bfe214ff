//! Ingresses: they read events and hand them to the engine. They decide nothing, and they can be paused.

mod http;
#[doc(hidden)]
pub mod idempotency;
pub(crate) mod kafka;

pub use http::{HttpIngress, IngressLimits};

#[cfg(test)]
mod tests;
