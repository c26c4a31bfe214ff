//! One function type: its endpoint, the states it declared, its pace, and the addresses that wait for their turn.
//!
//! Specs are learned anew at every start: the first request to a function type carries no state, so the SDK answers with
//! all it declares, and a changed type or expiration is noticed. Until that answer its window is one call, and all other
//! addresses of the type wait in line; other types go on. Upstream stops the whole task instead (`RequestReplyFunction`,
//! first request).

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use foldhash::fast::FixedState;
use millpond_protocol::TypeName;

use crate::cell::Slot;
use crate::window::Window;
use crate::{Backlog, EndpointConfig, FunctionPattern, FunctionView, Millis, Rejection, StateSpec, Write};

/// The place of a function type in the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct FunctionId(u32);

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
    pub(crate) parked: BTreeSet<(Millis, u64)>,
    /// The parked one that is tried more often than the others.
    pub(crate) probe: Option<Slot>,
    /// When those of its parked addresses are looked at again that are in the ledger only, if there are any.
    pub(crate) asleep: Option<Millis>,
    /// When all that was parked was woken last.
    pub(crate) woken: Millis,
    /// What it has in the ledger and in memory together.
    pub(crate) backlog: Backlog,
    /// Its backlog as the last seal had it.
    backlog_sealed: Backlog,
    /// Its backlog changed since the last seal, perhaps back again.
    backlog_dirty: bool,
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
    /// 1 while nothing but failures comes: then there is one call at a time, with pauses.
    pub in_trouble: u64,
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
    fn add(&mut self, other: &FunctionMetrics) {
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
        self.in_trouble += in_trouble;
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
    /// Its counters and gauges, but for what is counted elsewhere.
    fn measure(&self) -> FunctionMetrics {
        let in_flight = self.window.in_flight() as u64;
        FunctionMetrics {
            in_flight,
            in_flight_async: if self.learned { in_flight } else { 0 },
            window: self.window.size() as u64,
            in_trouble: self.window.in_trouble().into(),
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
        self.passed_by += 1;
        if (self.line.is_empty() || self.passed_by > OTHERS)
            && let Some(slot) = self.retries.pop_front()
        {
            self.passed_by = 0;
            return Some(slot);
        }
        self.line.pop_front()
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

/// All function types seen so far.
pub(crate) struct Functions {
    list: Vec<Function>,
    index: HashMap<TypeName, FunctionId, FixedState>,
    /// Those whose backlog changed since the last seal.
    dirty: Vec<FunctionId>,
}

impl Functions {
    pub(crate) fn new(hash: FixedState) -> Functions {
        Functions { list: Vec::new(), index: HashMap::with_hasher(hash), dirty: Vec::new() }
    }

    /// The function type, entered at its first mention.
    pub(crate) fn enter(&mut self, name: &TypeName, endpoints: &[EndpointConfig]) -> FunctionId {
        if let Some(id) = self.index.get(name) {
            return *id;
        }
        let id = FunctionId(u32::try_from(self.list.len()).expect("function types are fewer than 2^32"));
        self.list.push(Function {
            name: name.clone(),
            endpoint: find_endpoint(endpoints, name),
            specs: BTreeMap::new(),
            learned: false,
            window: Window::new(find_endpoint(endpoints, name).map_or(1, |endpoint| endpoints[endpoint].calls_max)),
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
        });
        self.index.insert(name.clone(), id);
        id
    }

    /// The metrics of the first so many function types, and those of all others together. `blocked` is counted by the
    /// caller. Which types are first never changes, so no counter ever runs backwards.
    pub(crate) fn metrics(
        &self,
        most: usize,
        blocked: &BTreeMap<FunctionId, u64>,
    ) -> (BTreeMap<TypeName, FunctionMetrics>, FunctionMetrics) {
        let mut single = BTreeMap::new();
        let mut others = FunctionMetrics::default();
        for (id, function) in self.iter() {
            let metrics = FunctionMetrics { blocked: blocked.get(&id).copied().unwrap_or(0), ..function.measure() };
            match single.len() < most {
                true => _ = single.insert(function.name.clone(), metrics),
                false => others.add(&metrics),
            }
        }
        (single, others)
    }

    /// Function types in the order in which they were met, from the place `from` on.
    pub(crate) fn views(&self, from: usize, most: usize, blocked: &BTreeMap<FunctionId, u64>) -> Vec<FunctionView> {
        let view = |(id, function): (FunctionId, &Function)| FunctionView {
            name: function.name.clone(),
            endpoint: function.endpoint,
            learned: function.learned,
            specs: function.specs.values().cloned().collect(),
            metrics: FunctionMetrics { blocked: blocked.get(&id).copied().unwrap_or(0), ..function.measure() },
        };
        self.iter().skip(from).take(most).map(view).collect()
    }

    /// What a function type has waiting, to be changed.
    pub(crate) fn backlog(&mut self, id: FunctionId) -> &mut Backlog {
        let function = &mut self.list[id.0 as usize];
        if !std::mem::replace(&mut function.backlog_dirty, true) {
            self.dirty.push(id);
        }
        &mut function.backlog
    }

    /// What changed in the backlogs since the last seal.
    pub(crate) fn seal(&mut self, writes: &mut Vec<Write>) {
        for id in std::mem::take(&mut self.dirty) {
            let function = &mut self[id];
            function.backlog_dirty = false;
            if function.backlog != function.backlog_sealed {
                function.backlog_sealed = function.backlog;
                writes.push(Write::Backlog { function: function.name.clone(), backlog: function.backlog });
            }
        }
    }

    /// Takes up the backlog that the ledger has.
    pub(crate) fn restore(&mut self, name: &TypeName, backlog: Backlog, endpoints: &[EndpointConfig]) {
        let id = self.enter(name, endpoints);
        let function = &mut self[id];
        function.backlog = backlog;
        function.backlog_sealed = backlog;
    }

    pub(crate) fn len(&self) -> usize {
        self.list.len()
    }

    pub(crate) fn find(&self, name: &TypeName) -> Option<FunctionId> {
        self.index.get(name).copied()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (FunctionId, &Function)> {
        (0..).map(FunctionId).zip(&self.list)
    }
}

impl std::ops::Index<FunctionId> for Functions {
    type Output = Function;

    fn index(&self, id: FunctionId) -> &Function {
        &self.list[id.0 as usize]
    }
}

impl std::ops::IndexMut<FunctionId> for Functions {
    fn index_mut(&mut self, id: FunctionId) -> &mut Function {
        &mut self.list[id.0 as usize]
    }
}

/// The endpoint that serves a function type: an exact pattern before its namespace's; no hierarchy.
pub(crate) fn find_endpoint(endpoints: &[EndpointConfig], function: &TypeName) -> Option<usize> {
    let exact =
        |endpoint: &EndpointConfig| matches!(&endpoint.functions, FunctionPattern::Exact(name) if name == function);
    let namespace = |endpoint: &EndpointConfig| matches!(&endpoint.functions, FunctionPattern::Namespace(namespace) if namespace == function.namespace());
    endpoints.iter().position(exact).or_else(|| endpoints.iter().position(namespace))
}
