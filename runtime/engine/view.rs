//! What people see of the engine: one address, and the metrics.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use millpond_protocol::{Address, TypeName};

use crate::{FailureKind, Millis, Sequence, StateSpec, StateValue};

/// One address as it is in memory.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AddressView {
    /// State values, those of undeclared states included.
    pub states: Vec<StateView>,
    /// The first invocations in line, those of the call in flight included.
    pub mailbox: Vec<InvocationView>,
    /// Invocations that wait, the running batch not counted.
    pub waiting: usize,
    /// True when more of them wait in the ledger.
    pub more: bool,
    /// Number of the invocation that is first in line, or in the call in flight.
    pub first: Option<Sequence>,
    /// The call in flight.
    pub call: Option<CallView>,
    /// The failure it is in.
    pub failure: Option<FailureView>,
}

/// A state value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateView {
    /// Its name.
    pub name: Arc<str>,
    /// The value.
    pub value: StateValue,
    /// When it is over, if it ever is, as its function declared it.
    pub expires: Option<Millis>,
}

/// An invocation that has not run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvocationView {
    /// Its number.
    pub sequence: Sequence,
    /// Who sent it; `None` for what came from an ingress.
    pub caller: Option<Address>,
    /// The argument, an encoded `TypedValue`.
    pub argument: Bytes,
    /// When it arrived.
    pub arrived: Millis,
}

/// One function type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FunctionView {
    /// Its name.
    pub name: TypeName,
    /// The endpoint that serves it, its place in [`EngineConfig::endpoints`](crate::EngineConfig).
    pub endpoint: Option<usize>,
    /// True when it answered since the start: then its states are those that it declares now.
    pub learned: bool,
    /// The states that it declared since the start, by name.
    pub specs: Vec<StateSpec>,
    /// Its counters and gauges.
    pub metrics: FunctionMetrics,
}

/// A call in flight.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallView {
    /// Invocations in it.
    pub batch: usize,
    /// When it began.
    pub began: Millis,
    /// Attempts made before it.
    pub attempt: u32,
}

/// A failure that an address is in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailureView {
    /// Its kind.
    pub kind: FailureKind,
    /// Its code.
    pub code: Cow<'static, str>,
    /// What went wrong last.
    pub error: Arc<str>,
    /// Attempts made.
    pub attempts: u32,
    /// When the first attempt failed.
    pub since: Millis,
    /// When the next one is due.
    pub next: Option<Millis>,
    /// True when it is parked: the budget of the call is used up, or there is nobody to call.
    pub parked: bool,
}

/// Counters and gauges of the engine.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Metrics {
    /// By function type, the first [`Limits::measured_types`](crate::Limits) of them.
    pub functions: BTreeMap<TypeName, FunctionMetrics>,
    /// Those of all others together.
    pub other_functions: FunctionMetrics,
    /// Function types that are known.
    pub function_types: usize,
    /// Addresses in memory.
    pub addresses: usize,
    /// Addresses parked, in memory and in the ledger.
    pub parked: u64,
    /// Bytes of addresses in memory that wait for anything but an arrival or an answer.
    pub waiting_bytes: usize,
    /// Bytes of invocations in memory.
    pub pending_bytes: usize,
    /// Bytes of idle addresses in memory.
    pub cache_bytes: usize,
    /// Delayed messages in memory.
    pub delayed: usize,
    /// Calls in flight.
    pub calls_in_flight: usize,
    /// Checkpoints sealed since the start.
    pub checkpoints: u64,
    /// Writes in them.
    pub checkpoint_writes: u64,
    /// Events taken in since the start.
    pub ingested: u64,
    /// Events that were repetitions.
    pub repeated: u64,
    /// Idempotency keys forgotten before their time.
    pub keys_forgotten: u64,
    /// True while ingresses are paused.
    pub paused: bool,
    /// Records waiting, by lane.
    pub lane_records: Vec<u64>,
    /// Records that each lane has had since the application began.
    pub lane_totals: Vec<u64>,
}

/// Counters and gauges of one function type, with upstream's names and meanings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FunctionMetrics {
    /// `in`: invocations that arrived for it, and answers to its requests but the first one, as upstream counts it.
    pub input: u64,
    /// Invocations that have run, for good.
    pub finished: u64,
    /// `outLocal`: messages it sent to functions.
    pub out_local: u64,
    /// `outEgress`: records it sent to egresses.
    pub out_egress: u64,
    /// Calls in flight.
    pub in_flight: u64,
    /// `inflightAsyncOps`: the same without the first requests since the start, which upstream waits for.
    pub in_flight_async: u64,
    /// Invocations in them.
    pub running: u64,
    /// Calls that may be in flight now.
    pub window: u64,
    /// Nothing but failures came lately: one call at a time, with pauses.
    pub in_trouble: bool,
    /// Addresses in memory that stand in line for a call.
    pub in_line: u64,
    /// Those that failed and stand in line behind the others.
    pub retrying: u64,
    /// `numBlockedAddress`: addresses at `maxNumBatchRequests`, whose producers wait.
    pub blocked: u64,
    /// Invocations that have not run, in memory and in the ledger; without `running`, upstream's `numBacklog`.
    pub backlog: u64,
    /// Their bytes.
    pub backlog_bytes: u64,
    /// `remoteInvocationFailures`: failed attempts.
    pub failures: u64,
    /// Addresses parked.
    pub parked: u64,
    /// Invocations given up and dropped, by policy or by a person.
    pub dropped: u64,
    /// Invocations given up and kept as dead letters.
    pub dead_letters: u64,
}
