//! The messages as prost generates them from `proto/`, one module per package.
//!
//! For SDKs, simulated functions and tests. They forget fields that they do not know; the runtime's own path, which must
//! not, is [`request`](crate::request) and [`response`](crate::response).

/// `io.statefun.sdk.reqreply`: calls and answers.
pub mod reqreply {
    include!(concat!(env!("OUT_DIR"), "/io.statefun.sdk.reqreply.rs"));
}

/// `io.statefun.sdk.egress`: records for Kafka and Kinesis.
pub mod egress {
    include!(concat!(env!("OUT_DIR"), "/io.statefun.sdk.egress.rs"));
}

/// `io.statefun.sdk.types`: the wrappers of the simple types.
pub mod types {
    include!(concat!(env!("OUT_DIR"), "/io.statefun.sdk.types.rs"));
}
