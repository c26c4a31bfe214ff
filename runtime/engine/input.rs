//! What the driver tells the engine.

use std::sync::Arc;

use bytes::Bytes;
use millpond_protocol::Address;

use crate::{CallFailure, CallId, LaneId, Loaded, Operation, Partition, Receipt, Record, Reply};

/// One thing that happened.
#[derive(Debug, Clone)]
pub enum Input {
    /// An ingress read an event.
    Ingested(Event),
    /// An ingress read a record of a partition. One that was taken in before has no effect.
    Read(Record),
    /// An ingress begins to read a partition, or goes on in another place than before.
    Positioned {
        /// The partition.
        partition: Arc<Partition>,
        /// The offset of the record that comes first.
        next: u64,
    },
    /// An ingress comes again with a record that was held back, or with the next one that is still there.
    Resumed {
        /// The partition.
        partition: Arc<Partition>,
        /// The offset of the record that was held back.
        offset: u64,
    },
    /// The ledger gave what an [`Output::Load`](crate::Output::Load) asked for.
    Loaded(Loaded),
    /// A function answered. An answer to a call that is not in flight (late, repeated) has no effect.
    Reply {
        /// The call that was answered.
        call: CallId,
        /// The decoded answer.
        reply: Reply,
    },
    /// An attempt to call a function brought no usable answer.
    CallFailed {
        /// The call that failed.
        call: CallId,
        /// What went wrong.
        failure: CallFailure,
    },
    /// Outbox entries up to and including `upto` left for good: published, taken or freed by a reader.
    Freed {
        /// Their lane.
        lane: LaneId,
        /// The highest sequence number that left; one that is not there yet is read as the highest there is.
        upto: u64,
        /// Answered when the removal is durable.
        receipt: Option<Receipt>,
    },
    /// The ledger synced the checkpoint of this number.
    Durable(u64),
    /// Time passed.
    Tick,
    /// Take nothing in any more and make everything durable; ends in [`Output::Stopped`](crate::Output::Stopped).
    Stop,
    /// A person wants something done about an address.
    Operate {
        /// Which one.
        address: Address,
        /// What.
        operation: Operation,
        /// Answered when it cannot be done, or is: one that takes an invocation out when that is durable, `Resume` when it
        /// is arranged.
        receipt: Receipt,
    },
}

/// An event that an ingress read, with its targets.
#[derive(Debug, Clone)]
pub struct Event {
    /// Target and argument (an encoded `TypedValue`) of each invocation, in the order of the module's targets.
    pub invocations: Vec<(Address, Bytes)>,
    /// Answered when the event is durable.
    pub receipt: Option<Receipt>,
    /// Makes a repetition of this event harmless.
    pub idempotency: Option<IdempotencyKey>,
}

/// The key under which a producer may send an event again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyKey {
    /// The producer's words.
    pub key: Box<str>,
    /// Digest of target and argument: the same key with another one is a mistake that the producer is told of.
    pub fingerprint: [u8; 16],
}
