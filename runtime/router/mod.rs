//! From what an ingress read to whom it is for. Pure: text and bytes in, addresses and typed values out.

mod endpoints;
mod http;
mod kafka;

pub use endpoints::Endpoints;
pub use http::{PathError, ValueTypeError, target, value_type};
pub use kafka::{Defect, KafkaRecord, Routed, TopicRoute};
