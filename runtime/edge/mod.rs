//! What the HTTP edges (ingress, egress reader, admin) share.
//!
//! What comes in: connections. What goes out: answers, each error in one shape ([`Problem`]), moments and values as people
//! read them. Who owns the state: nobody keeps any beyond a connection. All that a client can make grow (connections,
//! headers, bodies, time) has a limit here.

mod body;
mod complaint;
mod connection;
#[cfg(test)]
pub(crate) mod fake;
mod path;
mod problem;
mod serve;
#[cfg(test)]
mod tests;
#[doc(hidden)]
pub mod time;
#[doc(hidden)]
pub mod value;

pub use body::{BodyBudget, BodyError, BodyLimits, Granted};
pub use path::{InvalidEscape, decode};
pub use problem::Problem;
pub use serve::{ConnectionLimits, listen, serve};

pub(crate) use body::{announces_too_much, discard, read};
pub(crate) use complaint::Complaints;
pub(crate) use time::rfc3339;
pub(crate) use value::{Shown, shown, text};
