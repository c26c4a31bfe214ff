//! One function type: its endpoint, the states it declared, its pace, and the addresses that wait for their turn.
//!
//! Specs are learned anew at every start: the first request to a function type carries no state, so the SDK answers with
//! all it declares, and a changed type or expiration is noticed. Until that answer its window is one call, and all other
//! addresses of the type wait in line; other types go on. Upstream stops the whole task instead (`RequestReplyFunction`,
//! first request).

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use millpond_protocol::TypeName;

use crate::cells::Slot;
use crate::timers::TimerKey;
use crate::window::Window;
use crate::{Backlog, Millis, Rejection, StateSpec};

/// A function type.
pub(crate) struct Function {
    pub(crate) name: TypeName,
    pub(crate) endpoint: Option<usize>,
    /// The states it declared since this start, by name.
    pub(crate) specs: BTreeMap<Arc<str>, StateSpec>,
    /// It answered since this start: requests carry its states.
    pub(crate) learned: bool,
    pub(crate) window: Window,
    /// Addresses with something to send, in the order in which they became so.
    pub(crate) line: VecDeque<Slot>,
    /// Those of them that failed last time: they come behind the others, so that they keep nobody waiting.
    pub(crate) retries: VecDeque<Slot>,
    /// Calls to the others since one of them had its turn.
    pub(crate) passed_by: u32,
    /// It stands among those that may have a call to make.
    pub(crate) offered: bool,
    /// Addresses that are parked, by the time of their next attempt; the keys of their timers.
    pub(crate) parked: BTreeSet<TimerKey>,
    /// The parked one that is tried more often than the others.
    pub(crate) probe: Option<Slot>,
    /// When those of its parked addresses are looked at again that are in the ledger only, if there are any.
    pub(crate) asleep: Option<Millis>,
    /// When all that was parked was woken last.
    pub(crate) woken: Millis,
    /// What it has in the ledger and in memory together.
    pub(crate) backlog: Backlog,
    /// Its backlog as the last seal had it.
    pub(crate) backlog_sealed: Backlog,
    /// Its backlog changed since the last seal, perhaps back again.
    pub(crate) backlog_dirty: bool,
    /// Bytes of its addresses that wait in memory.
    pub(crate) waiting_bytes: usize,
    pub(crate) metrics: FunctionMetrics,
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

impl FunctionMetrics {
    /// Adds those of another function type.
    pub(crate) fn add(&mut self, other: &FunctionMetrics) {
        let FunctionMetrics {
            input,
            finished,
            out_local,
            out_egress,
            in_flight,
            in_flight_async,
            running,
            window,
            in_trouble,
            in_line,
            retrying,
            blocked,
            backlog,
            backlog_bytes,
            failures,
            parked,
            dropped,
            dead_letters,
        } = other;
        self.input += input;
        self.finished += finished;
        self.out_local += out_local;
        self.out_egress += out_egress;
        self.in_flight += in_flight;
        self.in_flight_async += in_flight_async;
        self.running += running;
        self.window += window;
        self.in_trouble |= in_trouble;
        self.in_line += in_line;
        self.retrying += retrying;
        self.blocked += blocked;
        self.backlog += backlog;
        self.backlog_bytes += backlog_bytes;
        self.failures += failures;
        self.parked += parked;
        self.dropped += dropped;
        self.dead_letters += dead_letters;
    }
}

impl Function {
    pub(crate) fn new(name: TypeName, endpoint: Option<usize>, calls_max: usize) -> Function {
        Function {
            name,
            endpoint,
            specs: BTreeMap::new(),
            learned: false,
            window: Window::new(calls_max),
            line: VecDeque::new(),
            retries: VecDeque::new(),
            passed_by: 0,
            offered: false,
            parked: BTreeSet::new(),
            probe: None,
            asleep: None,
            woken: 0,
            backlog: Backlog::default(),
            backlog_sealed: Backlog::default(),
            backlog_dirty: false,
            waiting_bytes: 0,
            metrics: FunctionMetrics::default(),
        }
    }

    /// Its counters and gauges, but for what is counted elsewhere.
    pub(crate) fn measure(&self) -> FunctionMetrics {
        let in_flight = self.window.in_flight() as u64;
        FunctionMetrics {
            in_flight,
            in_flight_async: if self.learned { in_flight } else { 0 },
            window: self.window.size() as u64,
            in_trouble: self.window.in_trouble(),
            in_line: self.line.len() as u64,
            retrying: self.retries.len() as u64,
            backlog: self.backlog.invocations,
            backlog_bytes: self.backlog.bytes,
            parked: self.backlog.parked,
            ..self.metrics
        }
    }

    /// Whether somebody stands in line.
    pub(crate) fn has_work(&self) -> bool {
        !(self.line.is_empty() && self.retries.is_empty())
    }

    /// The next one in line. One that failed has a turn behind eight others, or when there is nobody else.
    pub(crate) fn next_in_line(&mut self) -> Option<Slot> {
        const OTHERS: u32 = 8;
        if (self.line.is_empty() || self.passed_by >= OTHERS)
            && let Some(slot) = self.retries.pop_front()
        {
            self.passed_by = 0;
            return Some(slot);
        }
        let slot = self.line.pop_front()?;
        self.passed_by += 1;
        Some(slot)
    }

    /// Takes in what the function declared.
    ///
    /// # Errors
    /// A [`Rejection`] when a state that is known, or declared further up in the list, comes with another type: answers of
    /// two versions of the function are in play. Nothing of the list is taken in then.
    pub(crate) fn register(&mut self, specs: &[StateSpec]) -> Result<Vec<StateSpec>, Rejection> {
        let mut new: BTreeMap<Arc<str>, StateSpec> = BTreeMap::new();
        for spec in specs {
            let known = self.specs.get(&spec.name).or_else(|| new.get(&spec.name));
            if let Some(known) = known.filter(|known| known.typename != spec.typename) {
                return Err(Rejection::new(
                    "MP3002",
                    format!(
                        "state `{}` is declared as `{}`, but was declared as `{}` before",
                        spec.name, spec.typename, known.typename
                    ),
                ));
            }
            if known.is_none() {
                new.insert(spec.name.clone(), spec.clone());
            }
        }
        self.specs.extend(new.clone());
        Ok(new.into_values().collect())
    }
}
