//! One function type: its endpoint, the states it declared, and the gate before its first answer.

/// Counters and gauges of one function type, with upstream's names and meanings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FunctionMetrics {
    /// `in`: invocations delivered to it.
    pub input: u64,
    /// `outLocal`: messages it sent to functions.
    pub out_local: u64,
    /// `outEgress`: records it sent to egresses.
    pub out_egress: u64,
    /// `inflightAsyncOps`: calls in flight.
    pub in_flight: u64,
    /// `numBacklog`: invocations that wait.
    pub backlog: u64,
    /// `numBlockedAddress`: addresses with as many waiting invocations as `maxNumBatchRequests`.
    pub blocked: u64,
    /// `remoteInvocationFailures`: failed attempts.
    pub failures: u64,
    /// Addresses parked.
    pub parked: u64,
}
