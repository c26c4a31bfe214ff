//! A driver that keeps the contract, and looks whether the engine does.
//!
//! Bytes drive it: events, loads answered late from any moment that the contract allows, replies, failures, commits, stops,
//! crashes; beside them what the world may say at any time, such as answers to calls that are none. When they are used up
//! faults end, and all that can be done must be done in bounded time.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use millpond_engine::{
    Answer, Call, CallId, Checkpoint, Effects, Engine, EngineConfig, Expiration, Input, LaneId, Load, Loaded,
    LoadedAddress, MemoryLedger, Operation, Output, Receipt, Reply,
};
use millpond_protocol::Address;

use super::inputs;
use crate::choices::Choices;

/// The highest time before faults end: far beyond any calendar, with room for what is due a little later.
const TIME_MAX: u64 = u64::MAX - (1 << 40);

/// Steps within which all must be done once faults have ended.
const STEPS_MAX: usize = 20_000;

/// What is due later than this, once faults have ended, is not waited for.
const PATIENCE_MS: u64 = 10 * 60_000;

/// The engine keeps its promises to a driver that keeps its own.
pub fn engine_with_ledger(bytes: &[u8]) {
    let mut choices = Choices::new(bytes);
    let config = inputs::config(&mut choices);
    let has_twin = choices.one_in(8);
    let mut driver = Driver::start(config, MemoryLedger::default(), 1_000, has_twin);
    while !choices.is_empty() && !driver.stopped {
        driver.step(&mut choices);
    }
    driver.settle();
    driver.check_done();
}

struct Driver {
    config: EngineConfig,
    engine: Engine,
    /// An engine that is told the same, and must say the same.
    twin: Option<Engine>,
    ledger: MemoryLedger,
    /// The ledger when the engine was last told of it.
    told: MemoryLedger,
    now: u64,
    loads: Vec<(Load, Loaded)>,
    calls: BTreeMap<CallId, Call>,
    latest_call: CallId,
    /// The checkpoint that is on its way, and whether the ledger has it.
    checkpoint: Option<(Arc<Checkpoint>, bool)>,
    /// Numbers of the checkpoints that were sealed last, and told to be durable last.
    sealed: u64,
    durable: u64,
    /// Receipts that wait for an answer, and the checkpoint that was sealed last when they were given.
    receipts: BTreeMap<Receipt, u64>,
    next_receipt: u64,
    /// Receipts of people who wait: what they ask for may be done at once.
    operated: BTreeSet<Receipt>,
    /// Numbers the events without a key, so that their order can be seen.
    next_event: u64,
    /// The number of the last event that has run for sure, by address.
    ran: BTreeMap<Address, Vec<u8>>,
    /// A state that expires was declared.
    expires: bool,
    published: BTreeMap<LaneId, u64>,
    paused: bool,
    stopping: bool,
    stopped: bool,
}

impl Driver {
    fn start(config: EngineConfig, ledger: MemoryLedger, now: u64, has_twin: bool) -> Driver {
        let new = || Engine::new(config.clone(), &ledger.restore());
        let sealed = ledger.restore().meta.checkpoint;
        let mut driver = Driver {
            engine: new(),
            twin: has_twin.then(new),
            told: ledger.clone(),
            config,
            ledger,
            now,
            loads: Vec::new(),
            calls: BTreeMap::new(),
            latest_call: CallId(0),
            checkpoint: None,
            sealed,
            durable: sealed,
            receipts: BTreeMap::new(),
            next_receipt: 0,
            operated: BTreeSet::new(),
            next_event: 0,
            ran: BTreeMap::new(),
            expires: false,
            published: BTreeMap::new(),
            paused: false,
            stopping: false,
            stopped: false,
        };
        driver.carry_out();
        driver
    }

    /// The process dies: what the ledger has not taken is gone, what it has is there although nobody was told.
    fn crash(&mut self) {
        let (config, ledger) = (self.config.clone(), std::mem::take(&mut self.ledger));
        let (next_event, expires) = (self.next_event, self.expires);
        *self = Driver::start(config, ledger, self.now, self.twin.is_some());
        (self.next_event, self.expires) = (next_event, expires);
    }

    fn step(&mut self, choices: &mut Choices<'_>) {
        match choices.below(32) {
            0..=6 => self.ingest(choices),
            7..=10 => self.load(choices),
            11..=16 => self.reply(choices),
            17 | 18 => self.fail(choices),
            19 => self.nonsense(choices),
            20 => self.free(choices),
            21..=23 => self.commit(),
            24..=26 => self.say_durable(),
            27 => self.now = self.now.saturating_add(u64::from(choices.byte()) * 16).min(TIME_MAX),
            28 => {
                self.now = match choices.below(4) {
                    // The clock of the machine was set, back or forth.
                    0 => choices.number().min(TIME_MAX),
                    _ => self.engine.wake_at().unwrap_or(self.now).min(TIME_MAX).max(self.now),
                };
                self.tell(Input::Tick);
            }
            29 => {
                let operation = inputs::operation(choices);
                self.operate(inputs::address(choices), operation);
            }
            30 if choices.one_in(8) => {
                self.stopping = true;
                self.tell(Input::Stop);
            }
            31 if choices.one_in(4) => self.crash(),
            _ => self.tell(Input::Tick),
        }
    }

    fn operate(&mut self, address: Address, operation: Operation) {
        let receipt = Receipt(self.next_receipt);
        self.next_receipt += 1;
        self.operated.insert(receipt);
        self.tell(Input::Operate { address, operation, receipt });
    }

    fn receipt(&mut self) -> Receipt {
        let receipt = Receipt(self.next_receipt);
        self.next_receipt += 1;
        self.receipts.insert(receipt, self.sealed);
        receipt
    }

    fn ingest(&mut self, choices: &mut Choices<'_>) {
        let mut event = inputs::event(choices);
        // An ingress that was told to pause does, but for what it has read already.
        if self.paused && !choices.one_in(8) {
            return;
        }
        if event.idempotency.is_none() {
            for (_, argument) in &mut event.invocations {
                *argument = [b"in order", &self.next_event.to_be_bytes()[..], argument].concat().into();
                self.next_event += 1;
            }
        }
        event.receipt = choices.maybe(|_| self.receipt());
        self.tell(Input::Ingested(event));
    }

    /// Answers a load: with what was durable when it was asked, or is now.
    fn load(&mut self, choices: &mut Choices<'_>) {
        if self.loads.is_empty() {
            return;
        }
        let (load, then) = self.loads.remove(choices.below(self.loads.len().min(256)));
        let loaded = if choices.below(2) == 0 { then } else { self.ledger.load(&load) };
        let again = choices.one_in(8).then(|| loaded.clone());
        self.tell(Input::Loaded(loaded));
        if let Some(loaded) = again {
            self.tell(Input::Loaded(loaded));
        }
    }

    fn pick(&mut self, choices: &mut Choices<'_>) -> Option<Call> {
        let place = choices.below(self.calls.len().clamp(1, 256));
        let id = *self.calls.keys().nth(place)?;
        self.calls.remove(&id)
    }

    fn reply(&mut self, choices: &mut Choices<'_>) {
        let Some(call) = self.pick(choices) else { return };
        let declares = call.states.is_empty() && choices.below(2) == 0;
        let reply = match declares || choices.one_in(16) {
            true => Reply::Incomplete(choices.some(3, inputs::spec)),
            false if choices.below(3) == 0 => Reply::Completed(Effects::default()),
            false => Reply::Completed(inputs::effects(choices)),
        };
        if let Reply::Incomplete(specs) = &reply {
            self.expires |= specs.iter().any(|spec| spec.expiration != Expiration::None);
        }
        self.answer(&call, reply);
    }

    fn answer(&mut self, call: &Call, reply: Reply) {
        // What has no effects cannot be refused.
        if reply == Reply::Completed(Effects::default())
            && let Some(last) = places(call).last()
        {
            self.ran.insert(call.target.clone(), last.to_vec());
        }
        self.tell(Input::Reply { call: call.id, reply });
    }

    fn fail(&mut self, choices: &mut Choices<'_>) {
        let Some(call) = self.pick(choices) else { return };
        self.tell(Input::CallFailed { call: call.id, failure: inputs::failure(choices) });
    }

    /// What has no effect: answers to calls that are over or never were, checkpoints that were durable long ago.
    fn nonsense(&mut self, choices: &mut Choices<'_>) {
        let call = match choices.below(2) {
            0 => CallId(choices.number()),
            _ => CallId(self.latest_call.0.saturating_sub(choices.below(8) as u64)),
        };
        if self.calls.contains_key(&call) {
            return;
        }
        let input = match choices.below(4) {
            0 => Input::Reply { call, reply: Reply::Completed(inputs::effects(choices)) },
            1 => Input::Reply { call, reply: Reply::Incomplete(choices.some(3, inputs::spec)) },
            2 => Input::CallFailed { call, failure: inputs::failure(choices) },
            _ => Input::Durable(self.durable.saturating_sub(choices.below(3) as u64)),
        };
        self.tell(input);
    }

    /// A reader frees what it saw, or names more than there is, or a lane that is none.
    fn free(&mut self, choices: &mut Choices<'_>) {
        let lane = LaneId(choices.below(3) as u32);
        let receipt = choices.maybe(|_| self.receipt());
        self.tell(Input::Freed { lane, upto: choices.number(), receipt });
    }

    fn commit(&mut self) {
        if let Some((checkpoint, is_there)) = &mut self.checkpoint {
            // A driver that does not know whether the last attempt was kept tries again.
            self.ledger.commit(checkpoint, &self.config.lanes).expect("the engine keeps its promises to a ledger");
            *is_there = true;
        }
    }

    fn say_durable(&mut self) {
        if let Some((checkpoint, _)) = self.checkpoint.take_if(|(_, is_there)| *is_there) {
            self.told = self.ledger.clone();
            self.durable = checkpoint.meta.checkpoint;
            self.tell(Input::Durable(checkpoint.meta.checkpoint));
        }
    }

    fn tell(&mut self, input: Input) {
        if let Some(twin) = &mut self.twin {
            twin.handle(self.now, input.clone());
        }
        self.engine.handle(self.now, input);
        self.carry_out();
        assert!(self.engine.wake_at().is_none_or(|due| due > self.engine.now()), "woken in the past");
        if self.stopping && self.checkpoint.is_none() {
            assert!(self.stopped, "the engine is told to stop, everything is durable, and it does not stop");
        }
    }

    fn carry_out(&mut self) {
        while let Some(output) = self.engine.poll() {
            if let Some(twin) = &mut self.twin {
                let same = twin.poll().map(|output| format!("{output:?}"));
                assert_eq!(same, Some(format!("{output:?}")), "the same inputs give the same outputs");
            }
            assert!(!self.stopped, "behind `Stopped` came {output:?}");
            match output {
                Output::Load(load) => {
                    let loaded = self.told.load(&load);
                    self.loads.push((load, loaded));
                }
                Output::Call(call) => self.called(*call),
                Output::Checkpoint(checkpoint) => {
                    assert!(self.checkpoint.is_none(), "two checkpoints are on their way");
                    self.sealed = checkpoint.meta.checkpoint;
                    self.checkpoint = Some((checkpoint, false));
                }
                Output::Answer { receipt, .. } if self.operated.remove(&receipt) => {}
                Output::Answer { receipt, answer } => {
                    let given = self.receipts.remove(&receipt).expect("a receipt is answered once");
                    assert!(answer != Answer::Durable || given < self.durable, "{receipt:?} is not durable");
                    assert!(self.stopping || answer != Answer::Stopping, "nobody stops");
                }
                Output::Publish { lane, upto, .. } => {
                    let (_, next) = self.told.lane(&self.config.lanes[lane.0 as usize]);
                    let before = self.published.insert(lane, upto);
                    assert!(before < Some(upto) && upto < next, "lane {lane:?}: {before:?}, {upto}, {next}");
                }
                Output::Pause | Output::Resume => {
                    let paused = matches!(output, Output::Pause);
                    assert_ne!(std::mem::replace(&mut self.paused, paused), paused, "{output:?} twice");
                }
                Output::HeldBack { .. } | Output::Notice(_) => {}
                Output::Stopped => {
                    assert!(self.stopping && self.checkpoint.is_none(), "not everything is durable");
                    self.stopped = true;
                }
            }
        }
        assert!(self.twin.as_mut().is_none_or(|twin| twin.poll().is_none()), "the twin has more to say");
    }

    fn called(&mut self, call: Call) {
        let limits = &self.config.limits;
        assert!(!self.stopping, "a call while stopping");
        assert!(call.id > self.latest_call || self.latest_call == CallId(0), "{:?} is used again", call.id);
        assert!(self.calls.values().all(|other| other.target != call.target), "two calls to {:?}", call.target);
        assert!(self.calls.len() < limits.calls_in_flight, "too many calls in flight");
        let endpoint = &self.config.endpoints[call.endpoint];
        assert!(call.timeout_ms <= endpoint.call_ms.max(1), "{} of {} ms", call.timeout_ms, endpoint.call_ms);
        assert_eq!(call.endpoint, usize::from(call.target.function.name() == "alone"));
        let bytes: usize = call.invocations.iter().map(|(_, argument)| argument.len()).sum();
        assert!(call.invocations.len() == 1 || bytes <= limits.batch_bytes, "a batch of {bytes} bytes");
        assert!(!call.invocations.is_empty(), "an empty batch");
        let names: BTreeSet<&str> = call.states.iter().map(|state| &*state.name).collect();
        assert_eq!(names.len(), call.states.len(), "a state twice");
        let ran = self.ran.get(&call.target).map(Vec::as_slice);
        assert!(ran.into_iter().chain(places(&call)).is_sorted_by(|a, b| a < b), "out of order");
        self.latest_call = call.id;
        self.calls.insert(call.id, call);
    }

    /// Faults have ended: whoever is called answers, the ledger works, operators resume what is parked for long, readers take
    /// all there is.
    fn settle(&mut self) {
        let mut end = self.engine.now().max(self.now).saturating_add(PATIENCE_MS);
        let (mut resumed, mut taken) = (false, false);
        for step in 0.. {
            assert!(step < STEPS_MAX, "there is no end of it");
            if self.stopped {
                return;
            } else if let Some((load, _)) = self.loads.pop() {
                let loaded = self.ledger.load(&load);
                self.tell(Input::Loaded(loaded));
            } else if let Some((_, call)) = self.calls.pop_first() {
                self.answer(&call, Reply::Completed(Effects::default()));
            } else if self.checkpoint.is_some() {
                self.commit();
                self.say_durable();
            } else if let Some(due) = self.engine.wake_at().filter(|due| *due <= end) {
                self.now = due;
                self.tell(Input::Tick);
            } else if !std::mem::replace(&mut resumed, true) {
                for address in inputs::addresses() {
                    let here = self.engine.view(&address).and_then(|view| view.failure?.next);
                    let next = here.or_else(|| self.stored(&address).failure.map(|failure| failure.next));
                    if next.is_some_and(|next| next > end) {
                        self.operate(address, Operation::Resume);
                    }
                }
                // What that sets going has time to become durable.
                end = end.saturating_add(PATIENCE_MS);
            } else if !std::mem::replace(&mut taken, true) {
                for lane in (0..self.config.lanes.len() as u32).map(LaneId) {
                    self.tell(Input::Freed { lane, upto: u64::MAX, receipt: None });
                }
            } else {
                return;
            }
        }
    }

    fn check_done(&mut self) {
        assert!(self.receipts.is_empty(), "never answered: {:?}", self.receipts);
        assert!(self.operated.is_empty(), "never answered: {:?}", self.operated);
        if self.stopped {
            // What was going on is in the ledger, for the next start.
            self.crash();
            self.settle();
        }
        let metrics = self.engine.metrics();
        assert_eq!(metrics.calls_in_flight, 0);
        let waiting: usize = inputs::addresses().map(|address| self.check_address(&address)).sum();
        let backlog: u64 = metrics.functions.values().map(|function| function.backlog).sum();
        assert_eq!(backlog, waiting as u64, "{metrics:?}");
        assert!(waiting > 0 || metrics.pending_bytes == 0, "{metrics:?}");
        assert!(metrics.lane_records.iter().all(|waiting| *waiting == 0), "{:?}", metrics.lane_records);
        assert!(!metrics.paused || waiting > 0, "intake is paused for ever");
        assert_eq!(self.paused, metrics.paused);
        let (delayed, tokens) = self.ledger.waiting();
        assert!(tokens <= delayed, "{tokens} tokens for {delayed} messages");
        if waiting == 0
            && let Loaded::Delayed { messages, .. } = self.ledger.load(&Load::Delayed { after: (0, 0), limit: 1 })
        {
            assert!(messages.iter().all(|(due, ..)| *due > self.engine.now()), "never delivered: {messages:?}");
        }
        // A new start finds nothing more to do than this one did.
        let (served, calls) = (waiting == 0, self.latest_call);
        self.crash();
        let loads = std::mem::take(&mut self.loads);
        for (load, loaded) in loads {
            assert!(!served || !matches!(load, Load::Address { .. }), "{load:?} behind {calls:?}");
            self.tell(Input::Loaded(loaded));
        }
        assert!(!served || self.calls.is_empty() || self.ledger.waiting().0 > 0, "{:?}", self.calls);
    }

    /// All of an address, as the ledger has it.
    fn stored(&self, address: &Address) -> LoadedAddress {
        match self.ledger.load(&Load::Address { address: address.clone(), bytes: usize::MAX }) {
            Loaded::Address(loaded) => loaded,
            other => unreachable!("another answer than was asked for: {other:?}"),
        }
    }

    /// Nothing waits but for what nobody here will do, and the memory says what the ledger says. Gives how many wait.
    fn check_address(&self, address: &Address) -> usize {
        let LoadedAddress { states, pending, listed, failure, .. } = self.stored(address);
        assert_eq!(listed, !pending.is_empty(), "{address}");
        let view = self.engine.view(address);
        // A value that was written under another type than the declared one keeps its address waiting, too.
        let waits = !self.engine.serves(&address.function) || failure.as_ref().is_some_and(|it| it.code == "MP3003");
        assert!(pending.is_empty() || waits, "{address} waits for {failure:?}: {pending:?}");
        let Some(view) = view else { return pending.len() };
        let mut shown: Vec<_> = view.states.into_iter().map(|state| (state.name, state.value)).collect();
        shown.sort_by(|(a, _), (b, _)| a.cmp(b));
        assert!(
            view.mailbox.len() <= 32 && view.first == view.mailbox.first().map(|first| first.sequence),
            "{address}"
        );
        assert!(view.call.is_none() && (view.more || view.waiting == pending.len()), "{address}");
        assert!(self.expires || shown == states, "{address}: {shown:?} and {states:?}");
        // With expiration the ledger may have more: a value stays until the next call.
        for state in &shown {
            assert!(states.contains(state), "{address}: {state:?} is in memory and not in the ledger: {states:?}");
        }
        pending.len()
    }
}

/// The numbers of events in a call. Those with a key have none: they wait for their look-up.
fn places(call: &Call) -> impl Iterator<Item = &[u8]> {
    call.invocations.iter().filter_map(|(_, argument)| argument.strip_prefix(b"in order")?.get(..8))
}
