//! A checkpoint: the difference between two moments of the engine, made durable as one atomic step.
//!
//! What is in here is plain data: a ledger turns it into keys and bytes. What came and went between two checkpoints is in
//! neither. Within one checkpoint each key is written at most once, but for idempotency keys of a generation that the same
//! checkpoint forgets: so a ledger applies writes in their order.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use millpond_protocol::{Address, TypeName};

use crate::{FailureKind, LaneId, LaneName, Millis, Partition, Sequence, StateSpec};

/// One atomic step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// The engine's own variables behind this step.
    pub meta: Meta,
    /// Everything else that changed.
    pub writes: Vec<Write>,
}

/// The engine's own variables, part of every checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Meta {
    /// Number of the checkpoint: 1, 2, 3, … without a gap.
    pub checkpoint: u64,
    /// The highest time the engine has seen.
    pub time: Millis,
    /// The next sequence number to be given out.
    pub next_sequence: Sequence,
    /// The generation that new idempotency keys go to.
    pub idempotency_generation: u64,
    /// When that generation began.
    pub idempotency_began: Millis,
    /// Keys in that generation.
    pub idempotency_count: u64,
    /// Keys in the generation before.
    pub idempotency_count_before: u64,
}

/// One change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Write {
    /// A state value was written, or removed (`None`).
    State {
        /// Whose.
        address: Address,
        /// Its name.
        name: Arc<str>,
        /// What it is now.
        value: Option<StateValue>,
    },
    /// An invocation waits for its address, or is being run right now. Written once for a sequence number, ever.
    Pending {
        /// Its target.
        address: Address,
        /// Its place among those of the target.
        sequence: Sequence,
        /// The invocation.
        invocation: Invocation,
    },
    /// An invocation that an earlier checkpoint holds has run, or was taken out. Written once for a sequence number, ever.
    Finished {
        /// Its target.
        address: Address,
        /// Its place among those of the target.
        sequence: Sequence,
    },
    /// Whether the address is listed among those with pending invocations.
    Listed {
        /// Which one.
        address: Address,
        /// Listed or not.
        listed: bool,
    },
    /// Records for the outside, numbered from `first` on, which is where the lane stood. At most one for a lane, and with
    /// the lane's own [`Write::Lane`].
    Outbox {
        /// Their lane.
        lane: LaneId,
        /// Sequence number of the first one.
        first: u64,
        /// The records.
        records: Vec<Bytes>,
    },
    /// How far a lane has come: entries below `first` are gone, the next one gets `next`.
    Lane {
        /// Which one.
        lane: LaneId,
        /// The lowest sequence number still kept.
        first: u64,
        /// The next one to be given out.
        next: u64,
        /// `first` as the checkpoint before had it: entries from there up to `first` are to be removed.
        first_before: u64,
    },
    /// An event was taken in under this key.
    Idempotency {
        /// The generation it belongs to.
        generation: u64,
        /// The key.
        key: Box<str>,
        /// What is known of the event.
        entry: IdempotencyEntry,
    },
    /// All keys of this generation are forgotten.
    ForgetIdempotency {
        /// Which one.
        generation: u64,
    },
    /// A request went out that carried values whose clock restarts with each request (`AFTER_INVOKE`), or the address has
    /// no values any more (`None`).
    Accessed {
        /// Whose values.
        address: Address,
        /// When.
        time: Option<Millis>,
    },
    /// A message waits for its time. Written once for a sequence number, ever.
    Delayed {
        /// When it is due.
        due: Millis,
        /// Its place among those of one millisecond.
        sequence: Sequence,
        /// The message.
        message: DelayedMessage,
    },
    /// A delayed message that an earlier checkpoint holds was delivered or cancelled. Written once for a sequence number.
    DelayedGone {
        /// Id of its sender.
        id: Arc<str>,
        /// When it was due.
        due: Millis,
        /// Its place among those of one millisecond.
        sequence: Sequence,
    },
    /// Which delayed message a cancellation token stands for now.
    Token {
        /// Id of the senders who share it.
        id: Arc<str>,
        /// The token.
        token: Arc<str>,
        /// Due time and sequence number of the message; `None` when the token is free again.
        delayed: Option<(Millis, Sequence)>,
    },
    /// An address failed until it was parked, or is out of that (`None`).
    Failure {
        /// Which one.
        address: Address,
        /// Its failure.
        failure: Option<FailureRecord>,
    },
    /// How far a partition has come: every record below `next` was taken in, in this checkpoint or before.
    Position {
        /// The partition.
        partition: Arc<Partition>,
        /// The offset of the record that comes next.
        next: u64,
    },
    /// What a function type has waiting now.
    Backlog {
        /// The function type.
        function: TypeName,
        /// All of it, what is in flight included.
        backlog: Backlog,
    },
    /// A function type declared a state, anew or with another type or expiration.
    Spec {
        /// The function type.
        function: TypeName,
        /// The state.
        spec: StateSpec,
    },
}

/// A state value as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateValue {
    /// The typename it was written under.
    pub typename: TypeName,
    /// The bytes.
    pub value: Bytes,
    /// When it was written.
    pub written: Millis,
}

/// An invocation as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invocation {
    /// Who sent it; `None` for what came from an ingress.
    pub caller: Option<Address>,
    /// The argument, an encoded `TypedValue`.
    pub argument: Bytes,
    /// When it arrived.
    pub arrived: Millis,
    /// When the event behind it happened, over all functions between: the timestamp of its record, else its arrival.
    pub event_time: Millis,
}

/// The failure of a parked address as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailureRecord {
    /// Its kind.
    pub kind: FailureKind,
    /// Its code.
    pub code: Cow<'static, str>,
    /// What went wrong last.
    pub error: Arc<str>,
    /// Attempts made.
    pub attempts: u32,
    /// When the first one failed.
    pub since: Millis,
    /// When it was parked last.
    pub parked: Millis,
    /// When it is tried next; [`Millis::MAX`] is when something wakes it.
    pub next: Millis,
}

/// What one function type has waiting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Backlog {
    /// Invocations that have not run.
    pub invocations: u64,
    /// Their bytes, with a flat sum for what surrounds each.
    pub bytes: u64,
    /// Addresses that are parked, or were and have not been answered since.
    pub parked: u64,
}

impl Backlog {
    /// True when nothing waits.
    pub fn is_empty(&self) -> bool {
        *self == Backlog::default()
    }
}

impl Invocation {
    /// What it is counted with: its bytes and a flat sum for what surrounds them.
    pub fn bytes(&self) -> usize {
        const AROUND: usize = 96;
        AROUND + self.caller.as_ref().map_or(0, |caller| caller.id.len()) + self.argument.len()
    }
}

/// A message that waits for its time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DelayedMessage {
    /// Who sent it: the caller when it is delivered.
    pub sender: Address,
    /// The receiver.
    pub target: Address,
    /// The argument, an encoded `TypedValue`.
    pub argument: Bytes,
    /// The token that cancels it.
    pub token: Option<Arc<str>>,
}

/// What is kept under an idempotency key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IdempotencyEntry {
    /// Digest of the event.
    pub fingerprint: [u8; 16],
    /// When it was taken in.
    pub time: Millis,
}

/// What an engine starts from: the last durable checkpoint's variables. All else is loaded on demand.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Restored {
    /// The variables.
    pub meta: Meta,
    /// Lanes by name: the lowest sequence number still kept, and the next one to be given out.
    pub lanes: BTreeMap<LaneName, (u64, u64)>,
    /// What function types have waiting; one that has nothing may be missing.
    pub backlogs: BTreeMap<TypeName, Backlog>,
    /// The offset that comes next, of every partition that was ever read.
    pub positions: BTreeMap<Partition, u64>,
}
