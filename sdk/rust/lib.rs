#![doc = include_str!("README.md")]
//!
//! # Where things are
//!
//! [`Functions`] is the table that is served; [`Function`] is what can be bound in it; [`Context`] and [`Message`] are
//! what it is called with; [`Value`] and [`ValueSpec`] are types and states; [`testing`] is for tests.

mod address;
mod context;
mod egress;
mod error;
mod function;
mod functions;
mod message;
mod serve;
mod service;
mod spec;
pub mod testing;
mod value;

pub use address::IntoAddress;
pub use context::Context;
pub use egress::{KafkaRecord, KinesisRecord, PLAYGROUND_EGRESS, PlaygroundRecord};
pub use error::{BoxError, CallError, Error, Result};
pub use function::{Function, Outcome, with};
pub use functions::Functions;
pub use message::Message;
pub use millpond_protocol::{Address, TypeName};
pub use serve::{Listener, Serve, serve};
pub use spec::{ValueSpec, ValueSpecs};
pub use value::{Format, IntoValue, Json, Protobuf, Simple, TypedValue, Value};
