//! What the engine asks the driver to do.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use millpond_protocol::{Address, TypeName};

use crate::{CallId, Checkpoint, DeadLetter, FailureKind, LaneId, Load, Millis, Partition, Receipt};

/// One thing to be done.
#[derive(Debug, Clone)]
pub enum Output {
    /// Read from the ledger, then say [`Input::Loaded`](crate::Input::Loaded), exactly once: an answer that comes again
    /// much later may be older than what is durable then, and nothing in it tells.
    Load(Load),
    /// Call a function, then say [`Input::Reply`](crate::Input::Reply) or
    /// [`Input::CallFailed`](crate::Input::CallFailed), exactly one of them.
    Call(Box<Call>),
    /// Make this durable, then say [`Input::Durable`](crate::Input::Durable). On an error: retry, in order, or stop.
    Checkpoint(Arc<Checkpoint>),
    /// Answer a producer or reader that waits.
    Answer {
        /// Who waits.
        receipt: Receipt,
        /// What it is told.
        answer: Answer,
    },
    /// Records of this lane are durable up to and including `upto`: they may be seen outside now.
    Publish {
        /// The lane.
        lane: LaneId,
        /// The highest durable sequence number.
        upto: u64,
        /// When the events behind the records that are new happened, in their order up to `upto`: for latency, and for
        /// nothing else.
        event_times: Vec<Millis>,
    },
    /// This record was not taken in, nor is what was read behind it: read on from it after a while. Other partitions go on.
    HeldBack {
        /// Its partition.
        partition: Arc<Partition>,
        /// Its offset.
        offset: u64,
    },
    /// Take no more events in.
    Pause,
    /// Take events in again.
    Resume,
    /// Something a person may want to read in the log.
    Notice(Notice),
    /// Everything is durable; nothing comes any more.
    Stopped,
}

/// What a producer or reader is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// It is durable.
    Durable,
    /// It was durable already: the key was used before for the same event.
    Repeated,
    /// The key was used before for another event. Nothing was taken in.
    KeyReused,
    /// The engine is stopping. Nothing was taken in.
    Stopping,
    /// A function type that the event names has as much waiting as it may, or is one more than may be known. Nothing was
    /// taken in: try later.
    Full,
    /// Another invocation is first in line, or none. Nothing was done.
    NotFirst,
    /// The endpoint has no place for dead letters. Nothing was done.
    NoRoute,
}

/// One attempt to call a function.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// Names this attempt.
    pub id: CallId,
    /// The endpoint that serves the target, its place in [`EngineConfig::endpoints`](crate::EngineConfig).
    pub endpoint: usize,
    /// Who is called.
    pub target: Address,
    /// All registered states, set or not; none on the first request to a function type after a start.
    pub states: Vec<CallState>,
    /// The batch: caller and argument (an encoded `TypedValue`), in arrival order.
    pub invocations: Vec<(Option<Address>, Bytes)>,
    /// What is left of the endpoint's `call` budget: the attempt may not take longer.
    pub timeout_ms: Millis,
    /// Attempts made before this one.
    pub attempt: u32,
}

/// A registered state as a request carries it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallState {
    /// The registered name.
    pub name: Arc<str>,
    /// The registered typename.
    pub typename: TypeName,
    /// The bytes; `None` when it is unset.
    pub value: Option<Bytes>,
}

/// Something a person may want to read in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// An attempt failed and will be repeated.
    Retrying {
        /// Who was called.
        address: Address,
        /// Attempts made so far.
        attempt: u32,
        /// Milliseconds until the next one.
        next_ms: Millis,
        /// Code of the failure.
        code: Cow<'static, str>,
        /// What went wrong.
        error: Arc<str>,
    },
    /// An address waits: its invocations are kept, and tried again later.
    Parked {
        /// Which one.
        address: Address,
        /// Why.
        kind: FailureKind,
        /// Code of the failure.
        code: Cow<'static, str>,
        /// What went wrong.
        error: Arc<str>,
    },
    /// An invocation was taken out of its queue without having run.
    GivenUp {
        /// The invocation, and why.
        letter: Box<DeadLetter>,
        /// The lane that keeps it; `None` when it was dropped.
        lane: Option<LaneId>,
    },
    /// A parked address was answered again.
    Recovered {
        /// Which one.
        address: Address,
    },
    /// Nothing but failures came from a function type for some time: it is called once at a time now, with pauses.
    InTrouble {
        /// Which one.
        function: TypeName,
        /// The kind of the last failure.
        kind: FailureKind,
        /// Its code.
        code: Cow<'static, str>,
        /// What went wrong.
        error: Arc<str>,
    },
    /// Such a function type answered.
    OutOfTrouble {
        /// Which one.
        function: TypeName,
    },
    /// Idempotency keys younger than their promised life were forgotten, because the store is full.
    KeysForgotten {
        /// At most so many.
        count: u64,
    },
}
