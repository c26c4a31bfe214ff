//! What the engine is told at its start: endpoints, lanes and limits.

use std::fmt;

use millpond_protocol::TypeName;

use crate::{DeadLetterRoute, Millis};

/// Everything that does not change while an engine lives.
#[derive(Debug, Clone)]
pub struct EngineConfig {
    /// The HTTP endpoints of the module files.
    pub endpoints: Vec<EndpointConfig>,
    /// The lanes of all egresses; a [`LaneId`](crate::LaneId) is a place in here.
    pub lanes: Vec<LaneName>,
    /// Limits on memory and work.
    pub limits: Limits,
    /// Seeds the hash of the address table, so that producers cannot choose ids that collide.
    pub hash_seed: u64,
}

/// What the engine must know of an endpoint.
#[derive(Debug, Clone)]
pub struct EndpointConfig {
    /// The function types it serves.
    pub functions: FunctionPattern,
    /// `maxNumBatchRequests`: invocations of one address that may wait before its producers wait; `None` is unlimited.
    pub max_num_batch_requests: Option<u32>,
    /// Calls of one function type in flight at most: what the transport carries at a time (`pool_size`).
    pub calls_max: usize,
    /// `call`: the budget of a request with all its attempts, in milliseconds.
    pub call_ms: Millis,
    /// `failurePolicy` (ours): what happens to an invocation that is rejected until the budget is used up.
    pub failure_policy: FailurePolicy,
    /// `deadLetter` (ours): where dead letters go; `None` keeps what [`FailurePolicy::DeadLetter`] would send there.
    pub dead_letters: Option<DeadLetterRoute>,
}

/// What happens to the one invocation that a function rejects for good. Upstream fails the whole job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FailurePolicy {
    /// It stays, and its address waits with all that comes behind.
    #[default]
    Park,
    /// It is dropped.
    Drop,
    /// It goes to the endpoint's dead letters.
    DeadLetter,
}

/// `namespace/name` or `namespace/*`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FunctionPattern {
    /// Exactly one function type.
    Exact(TypeName),
    /// Every function type of a namespace that no exact pattern names.
    Namespace(String),
}

impl fmt::Display for FunctionPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FunctionPattern::Exact(function) => fmt::Display::fmt(function, f),
            FunctionPattern::Namespace(namespace) => write!(f, "{namespace}/*"),
        }
    }
}

/// The durable name of a lane: egress id, and the part of it (a playground topic) that has an order of its own.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LaneName {
    /// The egress.
    pub egress: TypeName,
    /// The part of it; empty when the egress has one order for all.
    pub part: String,
}

/// Bounds. Each one pauses, refuses or lets something leave memory; none drops an invocation.
#[derive(Debug, Clone)]
pub struct Limits {
    /// `statefun.async.max-per-task`: calls in flight. Default 32768, as upstream.
    pub calls_in_flight: usize,
    /// Bytes of invocations in memory, and of events whose key is being looked up, at which ingresses pause. Default
    /// 256 MiB.
    pub pending_bytes: usize,
    /// Bytes of idle addresses kept in memory. Default 64 MiB.
    pub cache_bytes: usize,
    /// Bytes of changes at which a checkpoint is sealed though nothing waits for it. Default 8 MiB.
    pub checkpoint_bytes: usize,
    /// Age of changes at which a checkpoint is sealed though nothing waits for it. Default 1000 ms.
    pub checkpoint_age_ms: Millis,
    /// Bytes of arguments in one request; one invocation always fits. Default 16 MiB.
    pub batch_bytes: usize,
    /// Incomplete answers in a row to one batch. Default 10.
    pub incomplete_rounds: u32,
    /// Bytes of an id. Default 1024.
    pub id_bytes: usize,
    /// Bytes of a typename, namespace and name together. Default 256.
    pub typename_bytes: usize,
    /// Bytes of a state's name. Default 256.
    pub state_name_bytes: usize,
    /// Bytes of one state value. Default 16 MiB.
    pub value_bytes: usize,
    /// Bytes of one argument. Default 16 MiB.
    pub argument_bytes: usize,
    /// Records that wait in one lane before ingresses pause. Default 1048576, as upstream's playground queue.
    pub lane_records: u64,
    /// How long an idempotency key is remembered. Default 24 h.
    pub idempotency_ms: Millis,
    /// Idempotency keys remembered at most. Default 2000000.
    pub idempotency_keys: u64,
    /// Time between two attempts to reach a parked address. Default 60 s.
    pub parked_ms: Millis,
    /// Pause between two walks through the ledger that remove values which are over though their address is not called any
    /// more. Default 10 min.
    pub expiry_ms: Millis,
    /// Delayed messages in memory, due soonest; the others are in the ledger. Default 16384.
    pub delayed_window: usize,
    /// Bytes of a cancellation token. Default 1024.
    pub token_bytes: usize,
    /// Addresses that are brought back from the ledger at a time, at least one. Default 256.
    pub recall_window: usize,
    /// Bytes of addresses that wait for anything but an arrival or an answer, with their invocations, beyond which those in
    /// line and the parked leave memory until there is room. Default 64 MiB.
    pub waiting_bytes: usize,
    /// Bytes of invocations of one address in memory; the rest is in the ledger. Default 1 MiB.
    pub mailbox_bytes: usize,
    /// Bytes of invocations that one function type may have waiting before no event for it is taken in. Messages between
    /// functions are. Default 8 GiB.
    pub backlog_bytes: u64,
    /// Function types that events and answers may name, beside those of the module. Default 10000.
    pub function_types: usize,
    /// Function types with metrics of their own, those that were met first; the others are added up. Default 1000.
    pub measured_types: usize,
}

/// Shares of a limit that several files go by.
impl Limits {
    /// Changes of the next checkpoint at which ingresses pause: the disk is behind.
    pub(crate) fn delta_bytes(&self) -> usize {
        self.checkpoint_bytes * 8
    }

    /// One page of a mailbox that is read from the ledger: there is room beside the other half.
    pub(crate) fn mailbox_page_bytes(&self) -> usize {
        self.mailbox_bytes / 2
    }

    /// What one function type may use of the memory for addresses that wait: others have room beside it.
    pub(crate) fn waiting_bytes_of_a_type(&self) -> usize {
        self.waiting_bytes / 2
    }
}

/// What is left of a limit when things go on that stopped at it; not all of it, so that they do not stop at once again.
pub(crate) fn relaxed(limit: usize) -> usize {
    limit / 4 * 3
}

impl Default for Limits {
    fn default() -> Limits {
        const MIB: usize = 1 << 20;
        Limits {
            calls_in_flight: 32_768,
            pending_bytes: 256 * MIB,
            cache_bytes: 64 * MIB,
            checkpoint_bytes: 8 * MIB,
            checkpoint_age_ms: 1_000,
            batch_bytes: 16 * MIB,
            incomplete_rounds: 10,
            id_bytes: 1024,
            typename_bytes: 256,
            state_name_bytes: 256,
            value_bytes: 16 * MIB,
            argument_bytes: 16 * MIB,
            lane_records: 1 << 20,
            idempotency_ms: 24 * 60 * 60 * 1000,
            idempotency_keys: 2_000_000,
            parked_ms: 60_000,
            expiry_ms: 10 * 60 * 1000,
            delayed_window: 16_384,
            token_bytes: 1024,
            recall_window: 256,
            waiting_bytes: 64 * MIB,
            mailbox_bytes: MIB,
            backlog_bytes: 8 << 30,
            function_types: 10_000,
            measured_types: 1_000,
        }
    }
}
