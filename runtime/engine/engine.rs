//! The engine itself: its parts, and what happens to each input.
//!
//! What comes in: [`Input`]s with their time. What goes out: [`Output`]s, in order. Who owns the state: this struct, all of
//! it; every other file here is a part of it or an `impl` block about one idea.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use foldhash::fast::FixedState;
use millpond_protocol::{Address, TypeName};

use crate::cell::{Cells, Slot};
use crate::delayed::Delayed;
use crate::function::Functions;
use crate::idempotency::Idempotency;
use crate::ingest::Restore;
use crate::lane::Lane;
use crate::seal::Delta;
use crate::tokens::Tokens;
use crate::{
    AddressView, Answer, CallId, EngineConfig, Expiration, Input, Load, Loaded, Metrics, Millis, Notice, Operation,
    Output, Receipt, Restored, Sequence,
};

/// The state machine. Its contract is the head of this crate.
pub struct Engine {
    pub(crate) config: EngineConfig,
    /// The highest time seen.
    pub(crate) now: Millis,
    pub(crate) next_sequence: Sequence,
    pub(crate) next_call: u64,
    pub(crate) cells: Cells,
    pub(crate) functions: Functions,
    pub(crate) lanes: Vec<Lane>,
    pub(crate) idempotency: Idempotency,
    pub(crate) delayed: Delayed,
    pub(crate) tokens: Tokens,
    pub(crate) delta: Delta,
    pub(crate) restore: Restore,
    /// Calls in flight and the address each one is for.
    pub(crate) calls: HashMap<CallId, Slot, FixedState>,
    /// Addresses with something to send, in the order in which they became so.
    pub(crate) runnable: VecDeque<Slot>,
    /// When to look at an address again; the number keeps equal times apart, in order.
    pub(crate) timers: BTreeMap<(Millis, u64), Slot>,
    pub(crate) next_timer: u64,
    /// Addresses parked because an endpoint could not be reached, by endpoint.
    pub(crate) unreachable: Vec<BTreeSet<Slot>>,
    /// The one of them that is tried more often, by endpoint.
    pub(crate) probes: Vec<Option<Slot>>,
    /// What people want done about addresses that are being loaded or called, and who waits for that.
    pub(crate) operations: BTreeMap<Slot, VecDeque<(Operation, Receipt)>>,
    /// Bytes of invocations in memory.
    pub(crate) pending_bytes: usize,
    pub(crate) paused: bool,
    pub(crate) stopping: bool,
    pub(crate) stopped: bool,
    pub(crate) counters: Counters,
    pub(crate) outputs: VecDeque<Output>,
}

/// What is counted beyond one function type.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) ingested: u64,
    pub(crate) repeated: u64,
    pub(crate) parked: usize,
    pub(crate) checkpoints: u64,
    pub(crate) checkpoint_writes: u64,
}

impl Engine {
    /// An engine that goes on from `restored`. Its first outputs ask the ledger for what was pending.
    pub fn new(config: EngineConfig, restored: &Restored) -> Engine {
        let hash = FixedState::with_seed(config.hash_seed);
        let lanes =
            config.lanes.iter().map(|name| Lane::new(restored.lanes.get(name).copied().unwrap_or((1, 1)))).collect();
        let mut engine = Engine {
            now: restored.meta.time,
            next_sequence: restored.meta.next_sequence,
            next_call: 0,
            cells: Cells::new(hash.clone()),
            functions: Functions::new(hash.clone()),
            lanes,
            idempotency: Idempotency::new(&restored.meta),
            delayed: Delayed::new(),
            tokens: Tokens::default(),
            delta: Delta::new(restored.meta.checkpoint),
            restore: Restore::default(),
            calls: HashMap::with_hasher(hash),
            runnable: VecDeque::new(),
            timers: BTreeMap::new(),
            next_timer: 0,
            unreachable: vec![BTreeSet::new(); config.endpoints.len()],
            probes: vec![None; config.endpoints.len()],
            operations: BTreeMap::new(),
            pending_bytes: 0,
            paused: false,
            stopping: false,
            stopped: false,
            counters: Counters::default(),
            outputs: VecDeque::new(),
            config,
        };
        engine.continue_restore();
        engine.deliver_delayed();
        engine
    }

    /// Takes one input in. Drain [`Engine::poll`] before the next one.
    pub fn handle(&mut self, now: Millis, input: Input) {
        self.now = self.now.max(now);
        match input {
            Input::Ingested(event) => self.ingested(event),
            Input::Loaded(loaded) => self.loaded(loaded),
            Input::Reply { call, reply } => self.replied(call, reply),
            Input::CallFailed { call, failure } => self.call_failed(call, failure),
            Input::Freed { lane, upto, receipt } => self.freed(lane, upto, receipt),
            Input::Durable(checkpoint) => self.durable(checkpoint),
            Input::Tick => {}
            Input::Stop => self.stop(),
            Input::Operate { address, operation, receipt } => self.operate(&address, operation, receipt),
        }
        self.deliver_delayed();
        self.fire_timers();
        self.dispatch();
        self.continue_restore();
        self.seal_if_due();
        self.apply_back_pressure();
    }

    /// The next thing to be done; `None` when the engine waits.
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When the engine wants an [`Input::Tick`] if nothing else happens before.
    pub fn wake_at(&self) -> Option<Millis> {
        let timer = self.timers.keys().next().map(|(due, _)| *due);
        let delayed = self.may_deliver().then(|| self.delayed.next()).flatten();
        [timer, delayed, self.seal_deadline()].into_iter().flatten().min()
    }

    /// The highest time seen.
    pub fn now(&self) -> Millis {
        self.now
    }

    /// What is in memory of one address; `None` when nothing is, or while it is being loaded.
    pub fn view(&self, address: &Address) -> Option<AddressView> {
        let cell = &self.cells[self.cells.find(address)?];
        let specs = &self.functions[cell.function].specs;
        let mut view = cell.view()?;
        view.states.retain(|(name, value)| {
            let expiration = specs.get(name).map_or(Expiration::None, |spec| spec.expiration);
            !expiration.is_over(value.written, cell.accessed, self.now)
        });
        Some(view)
    }

    /// Counters and gauges.
    pub fn metrics(&self) -> Metrics {
        Metrics {
            functions: self.functions.metrics(),
            addresses: self.cells.len(),
            parked: self.counters.parked,
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
        }
    }

    /// True when a module's endpoint serves the function type.
    pub fn serves(&self, function: &TypeName) -> bool {
        crate::function::find_endpoint(&self.config.endpoints, function).is_some()
    }

    fn stop(&mut self) {
        self.stopping = true;
        self.stop_looking();
        self.stop_operating();
    }

    fn loaded(&mut self, loaded: Loaded) {
        match loaded {
            Loaded::Address { address, states, pending, listed, accessed } => {
                self.address_loaded(&address, states, pending, listed, accessed);
            }
            Loaded::Pending { addresses, more } => self.pending_loaded(addresses, more),
            Loaded::Delayed { after, messages, more } => self.delayed_loaded(after, messages, more),
            Loaded::Tokens { call, found } => self.tokens_loaded(call, &found),
            Loaded::Idempotency { key, found } => self.idempotency_loaded(&key, found),
        }
    }

    pub(crate) fn answer(&mut self, receipt: Receipt, answer: Answer) {
        self.outputs.push_back(Output::Answer { receipt, answer });
    }

    pub(crate) fn notice(&mut self, notice: Notice) {
        self.outputs.push_back(Output::Notice(notice));
    }

    pub(crate) fn load(&mut self, load: Load) {
        self.outputs.push_back(Output::Load(load));
    }

    /// Ingresses pause when invocations, a lane or the changes of the next checkpoint outgrow their limits, and go on when
    /// a quarter of the room is free again.
    fn apply_back_pressure(&mut self) {
        if self.stopped {
            return;
        }
        let limits = &self.config.limits;
        let room = |limit: usize| if self.paused { limit / 4 * 3 } else { limit };
        let lanes_full = self.lanes.iter().any(|lane| lane.waiting() > room(limits.lane_records as usize) as u64);
        let full = self.pending_bytes + self.idempotency.looking_bytes() > room(limits.pending_bytes)
            || self.delta.bytes() > room(limits.checkpoint_bytes * 8)
            || lanes_full;
        if full != self.paused {
            self.paused = full;
            self.outputs.push_back(if full { Output::Pause } else { Output::Resume });
        }
    }
}
