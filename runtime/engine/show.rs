//! What people see of the engine, made from its parts: addresses, function types, metrics (`view.rs` has their form).

use std::collections::BTreeMap;

use millpond_protocol::{Address, TypeName};

use crate::cell::{Cell, State};
use crate::engine::Engine;
use crate::function::Function;
use crate::functions::{FunctionId, Functions};
use crate::lane::Lane;
use crate::mailbox::Pending;
use crate::phase::Phase;
use crate::{
    AddressView, CallView, Expiration, FailureView, FunctionMetrics, FunctionView, Invocation, InvocationView, Metrics,
    Millis, StateView,
};

/// Invocations of a mailbox that are shown.
const SHOWN: usize = 32;

impl Engine {
    /// What is in memory of one address; `None` when nothing is, or while it is being loaded.
    pub fn view(&self, address: &Address) -> Option<AddressView> {
        let cell = &self.cells[self.cells.find(address)?];
        let specs = &self.functions[cell.function].specs;
        let mut view = cell.view()?;
        for state in &mut view.states {
            let expiration = specs.get(&state.name).map_or(Expiration::None, |spec| spec.expiration);
            state.expires = expiration.ends(state.value.written, cell.accessed);
        }
        view.states.retain(|state| state.expires.is_none_or(|end| end > self.now));
        Some(view)
    }

    /// Function types in the order in which they were met, from the place `from` on, and whether there are more.
    pub fn functions(&self, from: usize, most: usize) -> (Vec<FunctionView>, bool) {
        let views = self.functions.views(from, most, &self.blocked());
        let more = from.saturating_add(views.len()) < self.functions.len();
        (views, more)
    }

    /// Addresses whose producers wait, by function type.
    fn blocked(&self) -> BTreeMap<FunctionId, u64> {
        let mut blocked = BTreeMap::new();
        for slot in self.held.keys() {
            *blocked.entry(self.cells[*slot].function).or_insert(0) += 1;
        }
        blocked
    }

    /// Counters and gauges.
    pub fn metrics(&self) -> Metrics {
        let (functions, other_functions) = self.functions.metrics(self.config.limits.measured_types, &self.blocked());
        Metrics {
            functions,
            other_functions,
            function_types: self.functions.len(),
            addresses: self.cells.len(),
            parked: self.functions.iter().map(|(_, function)| function.backlog.parked).sum(),
            waiting_bytes: self.waiting_bytes,
            pending_bytes: self.pending_bytes,
            cache_bytes: self.cells.idle_bytes(),
            delayed: self.delayed.len(),
            calls_in_flight: self.calls.len(),
            checkpoints: self.counters.checkpoints,
            checkpoint_writes: self.counters.checkpoint_writes,
            ingested: self.counters.ingested,
            repeated: self.counters.repeated,
            keys_forgotten: self.idempotency.forgotten_early(),
            paused: self.paused,
            lane_records: self.lanes.iter().map(Lane::waiting).collect(),
            lane_totals: self.lanes.iter().map(Lane::total).collect(),
        }
    }

    /// True when a module's endpoint serves the function type.
    pub fn serves(&self, function: &TypeName) -> bool {
        crate::functions::find_endpoint(&self.config.endpoints, function).is_some()
    }
}

impl Cell {
    fn view(&self) -> Option<AddressView> {
        if matches!(self.phase, Phase::Loading | Phase::Away) {
            return None;
        }
        let in_flight = matches!(self.phase, Phase::InFlight(_));
        let first = self.mailbox.head().front().map(|pending| pending.sequence);
        let next = match self.phase {
            Phase::BackOff((due, _)) | Phase::Parked((due, _)) if due < Millis::MAX => Some(due),
            _ => None,
        };
        Some(AddressView {
            states: self.states.iter().filter_map(State::view).collect(),
            mailbox: self.mailbox.head().iter().take(SHOWN).map(Pending::view).collect(),
            waiting: self.mailbox.in_memory() - if in_flight { self.batch } else { 0 },
            more: self.mailbox.has_gap(),
            first,
            call: in_flight.then_some(CallView { batch: self.batch, began: self.began, attempt: self.attempts }),
            failure: self.failure.as_ref().map(|failure| FailureView {
                kind: failure.kind,
                code: failure.code.clone(),
                error: failure.error.clone(),
                attempts: failure.attempts,
                since: failure.since,
                next,
                parked: matches!(self.phase, Phase::Parked(_)),
            }),
        })
    }
}

impl State {
    fn view(&self) -> Option<StateView> {
        Some(StateView { name: self.name.clone(), value: self.value.clone()?, expires: None })
    }
}

impl Pending {
    fn view(&self) -> InvocationView {
        let Invocation { caller, argument, arrived, .. } = self.invocation.clone();
        InvocationView { sequence: self.sequence, caller, argument, arrived }
    }
}

impl Functions {
    /// The metrics of the first so many function types, and those of all others together. `blocked` is counted by the
    /// caller. Which types are first never changes, so no counter ever runs backwards.
    fn metrics(
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
    fn views(&self, from: usize, most: usize, blocked: &BTreeMap<FunctionId, u64>) -> Vec<FunctionView> {
        let view = |(id, function): (FunctionId, &Function)| FunctionView {
            name: function.name.clone(),
            endpoint: function.endpoint,
            learned: function.learned,
            specs: function.specs.values().cloned().collect(),
            metrics: FunctionMetrics { blocked: blocked.get(&id).copied().unwrap_or(0), ..function.measure() },
        };
        self.iter().skip(from).take(most).map(view).collect()
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
            in_trouble: self.window.in_trouble(),
            in_line: self.line.len() as u64,
            retrying: self.retries.len() as u64,
            backlog: self.backlog.invocations,
            backlog_bytes: self.backlog.bytes,
            parked: self.backlog.parked,
            ..self.metrics
        }
    }
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
