//! The engine itself: its parts, and what happens to each input.
//!
//! What comes in: [`Input`]s with their time. What goes out: [`Output`]s, in order. Who owns the state: this struct, all of
//! it; every other file here is a part of it or an `impl` block about one idea.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use foldhash::fast::FixedState;

use crate::cells::{Cells, Slot};
use crate::delayed::Delayed;
use crate::functions::{FunctionId, Functions};
use crate::idempotency::Idempotency;
use crate::lane::Lane;
use crate::position::Positions;
use crate::recall::Recall;
use crate::seal::Delta;
use crate::sweep::Sweep;
use crate::timers::{Timer, TimerKey};
use crate::tokens::Tokens;
use crate::{
    Answer, CallId, EndpointConfig, EngineConfig, Input, Load, Loaded, Millis, Notice, Operation, Output, Receipt,
    Restored, Sequence,
};

/// The state machine. Its contract is the head of this crate.
pub struct Engine {
    pub(crate) config: EngineConfig,
    /// The highest time seen.
    pub(crate) now: Millis,
    /// The highest time that was known at the start.
    pub(crate) started: Millis,
    pub(crate) next_sequence: Sequence,
    pub(crate) next_call: u64,
    pub(crate) cells: Cells,
    pub(crate) functions: Functions,
    pub(crate) lanes: Vec<Lane>,
    pub(crate) positions: Positions,
    pub(crate) idempotency: Idempotency,
    pub(crate) delayed: Delayed,
    pub(crate) tokens: Tokens,
    pub(crate) delta: Delta,
    pub(crate) recall: Recall,
    /// Function types with parked addresses in the ledger only, and when they are looked at again.
    pub(crate) asleep: BTreeSet<(Millis, FunctionId)>,
    /// Parked addresses may have become durable since they were asked to make room.
    pub(crate) may_make_room: bool,
    pub(crate) sweep: Sweep,
    /// Addresses that passes and walks load.
    pub(crate) recalling: usize,
    /// Calls in flight and the address each one is for.
    pub(crate) calls: HashMap<CallId, Slot, FixedState>,
    /// Function types that may have a call to make.
    pub(crate) offers: VecDeque<FunctionId>,
    /// When to look at an address or a function type again; the number keeps equal times apart, in order.
    pub(crate) timers: BTreeMap<TimerKey, Timer>,
    pub(crate) next_timer: u64,
    /// Function types with addresses that are parked because their endpoint could not be reached, by endpoint.
    pub(crate) unreachable: Vec<BTreeSet<FunctionId>>,
    /// Producers whose answer waits until a request of an address is over.
    pub(crate) held: BTreeMap<Slot, Vec<Receipt>>,
    /// What people want done about addresses that are being loaded or called, and who waits for that.
    pub(crate) operations: BTreeMap<Slot, VecDeque<(Operation, Receipt)>>,
    /// Those of them that entered a phase since.
    pub(crate) operable: VecDeque<Slot>,
    /// Bytes of all invocations that have not run.
    pub(crate) backlog_bytes: u64,
    /// Bytes of invocations in memory.
    pub(crate) pending_bytes: usize,
    /// Bytes of addresses in memory that wait for anything but an arrival or an answer.
    pub(crate) waiting_bytes: usize,
    /// Those of the addresses that probe for others.
    pub(crate) probing_bytes: usize,
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
            started: restored.meta.time,
            next_sequence: restored.meta.next_sequence,
            next_call: 0,
            cells: Cells::new(hash.clone()),
            functions: Functions::new(hash.clone()),
            lanes,
            positions: Positions::new(&restored.positions),
            idempotency: Idempotency::new(&restored.meta),
            delayed: Delayed::new(),
            tokens: Tokens::default(),
            delta: Delta::new(restored.meta.checkpoint),
            recall: Recall::new(),
            asleep: BTreeSet::new(),
            may_make_room: true,
            sweep: Sweep::default(),
            recalling: 0,
            probing_bytes: 0,
            calls: HashMap::with_hasher(hash),
            offers: VecDeque::new(),
            timers: BTreeMap::new(),
            next_timer: 0,
            unreachable: vec![BTreeSet::new(); config.endpoints.len()],
            held: BTreeMap::new(),
            operations: BTreeMap::new(),
            operable: VecDeque::new(),
            backlog_bytes: restored.backlogs.values().map(|backlog| backlog.bytes).sum(),
            pending_bytes: 0,
            waiting_bytes: 0,
            paused: false,
            stopping: false,
            stopped: false,
            counters: Counters::default(),
            outputs: VecDeque::new(),
            config,
        };
        engine.functions.name(&engine.config.endpoints);
        for (function, backlog) in &restored.backlogs {
            engine.functions.restore(function, *backlog, &engine.config.endpoints);
        }
        engine.bring_back();
        engine.deliver_delayed();
        engine
    }

    /// Takes one input in. Drain [`Engine::poll`] before the next one.
    pub fn handle(&mut self, now: Millis, input: Input) {
        if self.stopped {
            return;
        }
        self.now = self.now.max(now);
        match input {
            Input::Ingested(event) => self.ingested(event),
            Input::Read(record) => self.read(record),
            Input::Resumed { partition, offset } => self.resumed(&partition, offset),
            Input::Positioned { partition, next } => self.positioned(&partition, next),
            Input::Loaded(loaded) => self.loaded(loaded),
            Input::Reply { call, reply } => self.replied(call, reply),
            Input::CallFailed { call, failure } => self.call_failed(call, failure),
            Input::Freed { lane, upto, receipt } => self.freed(lane, upto, receipt),
            Input::Durable(checkpoint) => self.durable(checkpoint),
            Input::Tick => {}
            Input::Stop => self.stop(),
            Input::Operate { address, operation, receipt } => self.operate(&address, operation, receipt),
        }
        self.fire_timers();
        self.run_operations();
        self.bring_back();
        self.deliver_delayed();
        self.dispatch();
        self.continue_sweep();
        self.seal_if_due();
        self.cells.evict(self.config.limits.cache_bytes, self.delta.durable());
        self.apply_back_pressure();
        debug_assert!(self.operable.is_empty(), "a person waits for an address that went on");
    }

    /// The next thing to be done; `None` when the engine waits.
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When the engine wants an [`Input::Tick`] if nothing else happens before.
    pub fn wake_at(&self) -> Option<Millis> {
        if self.stopped {
            return None;
        }
        let timer = self.timers.keys().next().map(|(due, _)| *due).filter(|due| *due < Millis::MAX);
        let delayed = self.may_deliver().then(|| self.delayed.next()).flatten();
        [timer, delayed, self.seal_deadline(), self.sweep_due()].into_iter().flatten().min()
    }

    /// The highest time seen.
    pub fn now(&self) -> Millis {
        self.now
    }

    fn stop(&mut self) {
        self.stopping = true;
        self.stop_looking();
        self.stop_operating();
        self.release_all();
    }

    fn loaded(&mut self, loaded: Loaded) {
        match loaded {
            Loaded::Address(loaded) => self.address_loaded(loaded),
            Loaded::Mailbox { address, from, pending, more } => self.mailbox_loaded(&address, from, pending, more),
            Loaded::Pending { page, addresses, more } => self.pending_loaded(page, addresses, more),
            Loaded::Delayed { after, messages, more } => self.delayed_loaded(after, messages, more),
            Loaded::Expired { over, alive, next } => self.expired_loaded(over, alive, next),
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

    pub(crate) fn endpoint_of(&self, slot: Slot) -> Option<&EndpointConfig> {
        let endpoint = self.functions[self.cells[slot].function].endpoint?;
        self.config.endpoints.get(endpoint)
    }
}
