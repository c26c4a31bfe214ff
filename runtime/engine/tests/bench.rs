//! A scripted driver: the test says what happens, the bench keeps what the engine asked for.

use bytes::Bytes;
use millpond_engine::{
    Answer, Call, CallFailure, CallState, Checkpoint, Effects, EgressRecord, EndpointConfig, Engine, EngineConfig,
    Event, Expiration, FailureKind, FailurePolicy, FunctionPattern, IdempotencyKey, Input, LaneId, LaneName, Limits,
    MemoryLedger, Message, Mutation, Notice, Operation, Output, Receipt, Reply, StateSpec,
};
use millpond_protocol::{Address, TypeName};

/// The budget of a call on the bench's endpoint.
pub const CALL_MS: u64 = 1_000;

pub struct Bench {
    pub engine: Engine,
    pub ledger: MemoryLedger,
    pub config: EngineConfig,
    pub now: u64,
    /// Calls that nobody answered yet, in order.
    pub calls: Vec<Call>,
    /// Checkpoints that are not committed yet, in order.
    pub checkpoints: Vec<std::sync::Arc<Checkpoint>>,
    pub answers: Vec<(u64, Answer)>,
    pub published: Vec<(u32, u64)>,
    /// When the events behind what is published happened.
    pub event_times: Vec<u64>,
    pub notices: Vec<Notice>,
    pub paused: bool,
    /// Offsets of records that were held back.
    pub held_back: Vec<u64>,
    pub stopped: bool,
    /// Loads are answered at once, unless a test wants them late.
    pub loads_held: Option<Vec<millpond_engine::Load>>,
}

impl Bench {
    pub fn new() -> Bench {
        Bench::with(Limits::default())
    }

    pub fn with(limits: Limits) -> Bench {
        let endpoint = |functions| EndpointConfig {
            functions,
            max_num_batch_requests: None,
            calls_max: 1024,
            call_ms: CALL_MS,
            failure_policy: FailurePolicy::default(),
            dead_letters: None,
        };
        let egress = TypeName::new("out", "topics");
        let config = EngineConfig {
            endpoints: vec![
                endpoint(FunctionPattern::Namespace("ns".to_owned())),
                endpoint(FunctionPattern::Exact(TypeName::new("ns", "alone"))),
            ],
            lanes: ["a", "b"].map(|part| LaneName { egress: egress.clone(), part: part.to_owned() }).to_vec(),
            limits,
            hash_seed: 7,
        };
        Bench::restart(config, MemoryLedger::default(), 1_000)
    }

    /// A new engine over what the ledger has.
    pub fn restart(config: EngineConfig, ledger: MemoryLedger, now: u64) -> Bench {
        let engine = Engine::new(config.clone(), &ledger.restore());
        let mut bench = Bench {
            engine,
            ledger,
            config,
            now,
            calls: Vec::new(),
            checkpoints: Vec::new(),
            answers: Vec::new(),
            published: Vec::new(),
            event_times: Vec::new(),
            notices: Vec::new(),
            paused: false,
            held_back: Vec::new(),
            stopped: false,
            loads_held: None,
        };
        bench.carry_out();
        bench
    }

    /// The process dies: what was not committed is gone.
    pub fn crash(self) -> Bench {
        Bench::restart(self.config, self.ledger, self.now)
    }

    pub fn tell(&mut self, input: Input) {
        self.engine.handle(self.now, input);
        self.carry_out();
    }

    pub fn tick(&mut self, ms: u64) {
        self.now += ms;
        self.tell(Input::Tick);
    }

    fn carry_out(&mut self) {
        while let Some(output) = self.engine.poll() {
            assert!(!self.stopped, "behind `Stopped` came {output:?}");
            match output {
                Output::Load(load) => match &mut self.loads_held {
                    Some(held) => held.push(load),
                    None => {
                        let loaded = self.ledger.load(&load);
                        self.engine.handle(self.now, Input::Loaded(loaded));
                    }
                },
                Output::Call(call) => self.calls.push(*call),
                Output::Checkpoint(checkpoint) => self.checkpoints.push(checkpoint),
                Output::Answer { receipt, answer } => self.answers.push((receipt.0, answer)),
                Output::Publish { lane, upto, event_times } => {
                    self.published.push((lane.0, upto));
                    self.event_times.extend(event_times);
                }
                Output::Pause => self.paused = true,
                Output::Resume => self.paused = false,
                Output::HeldBack { offset, .. } => self.held_back.push(offset),
                Output::Notice(notice) => self.notices.push(notice),
                Output::Stopped => self.stopped = true,
            }
        }
    }

    pub fn release_loads(&mut self) {
        for load in self.loads_held.take().unwrap_or_default() {
            let loaded = self.ledger.load(&load);
            self.tell(Input::Loaded(loaded));
        }
    }

    /// A person wants something.
    pub fn operate(&mut self, address: &Address, operation: Operation, receipt: u64) {
        self.tell(Input::Operate { address: address.clone(), operation, receipt: Receipt(receipt) });
    }

    /// An event for one address.
    pub fn event(&mut self, target: &Address, argument: &str) {
        self.tell(Input::Ingested(event(target, argument)));
    }

    /// The oldest call that nobody answered.
    pub fn call(&mut self) -> Call {
        assert!(!self.calls.is_empty(), "the engine called nobody");
        self.calls.remove(0)
    }

    pub fn reply(&mut self, call: &Call, effects: Effects) {
        self.tell(Input::Reply { call: call.id, reply: Reply::Completed(effects) });
    }

    /// Answers the oldest call with these effects.
    pub fn complete(&mut self, effects: Effects) -> Call {
        let call = self.call();
        self.reply(&call, effects);
        call
    }

    pub fn incomplete(&mut self, specs: Vec<StateSpec>) -> Call {
        let call = self.call();
        self.tell(Input::Reply { call: call.id, reply: Reply::Incomplete(specs) });
        call
    }

    /// The oldest call fails.
    pub fn fail(&mut self, kind: FailureKind) -> Call {
        let call = self.call();
        self.fail_call(&call, kind, None);
        call
    }

    pub fn fail_call(&mut self, call: &Call, kind: FailureKind, retry_after_ms: Option<u64>) {
        let failure = CallFailure { kind, code: "MP4000", error: "scripted".into(), retry_after_ms };
        self.tell(Input::CallFailed { call: call.id, failure });
    }

    /// Lets `ns/f` learn that it has no state, so that gates are out of a test's way.
    pub fn open_gate(&mut self, function: &str) {
        self.event(&address(function, "gate"), "open");
        self.complete(Effects::default());
        self.commit();
    }

    /// Commits all that is sealed, and says so.
    pub fn commit(&mut self) {
        while !self.checkpoints.is_empty() {
            let checkpoint = self.checkpoints.remove(0);
            self.ledger.commit(&checkpoint, &self.config.lanes).expect("the engine keeps its promises to a ledger");
            self.tell(Input::Durable(checkpoint.meta.checkpoint));
        }
    }

    /// Lets all changes grow old enough, and commits them.
    pub fn settle(&mut self) {
        self.tick(self.config.limits.checkpoint_age_ms);
        self.commit();
    }

    /// Codes of the addresses that were parked so far.
    pub fn parked(&self) -> Vec<String> {
        let code = |notice: &Notice| match notice {
            Notice::Parked { code, .. } => Some(code.to_string()),
            _ => None,
        };
        self.notices.iter().filter_map(code).collect()
    }
}

pub fn address(function: &str, id: &str) -> Address {
    Address::new(TypeName::new("ns", function), id)
}

pub fn event(target: &Address, argument: &str) -> Event {
    Event {
        invocations: vec![(target.clone(), Bytes::copy_from_slice(argument.as_bytes()))],
        receipt: None,
        idempotency: None,
    }
}

pub fn waiting(receipt: u64, event: Event) -> Event {
    Event { receipt: Some(Receipt(receipt)), ..event }
}

pub fn keyed(key: &str, event: Event) -> Event {
    let mut fingerprint = [0; 16];
    let argument = &event.invocations[0].1;
    fingerprint[..argument.len()].copy_from_slice(argument);
    Event { idempotency: Some(IdempotencyKey { key: key.into(), fingerprint }), ..event }
}

/// The arguments of a call, as text.
pub fn arguments(call: &Call) -> Vec<String> {
    call.invocations.iter().map(|(_, argument)| String::from_utf8_lossy(argument).into_owned()).collect()
}

/// The states of a call: name, and value as text.
pub fn states(call: &Call) -> Vec<(String, Option<String>)> {
    let text = |state: &CallState| state.value.as_ref().map(|value| String::from_utf8_lossy(value).into_owned());
    call.states.iter().map(|state| (state.name.to_string(), text(state))).collect()
}

pub fn spec(name: &str) -> StateSpec {
    typed_spec(name, "text")
}

pub fn typed_spec(name: &str, typename: &str) -> StateSpec {
    StateSpec { name: name.into(), typename: TypeName::new("types", typename), expiration: Expiration::None }
}

pub fn modify(name: &str, value: &str) -> Mutation {
    Mutation::Modify {
        name: name.to_owned(),
        typename: "types/text".to_owned(),
        value: Bytes::copy_from_slice(value.as_bytes()),
    }
}

pub fn sends(messages: &[(&Address, &str)]) -> Effects {
    let message = |(target, argument): &(&Address, &str)| Message {
        target: (*target).clone(),
        argument: Bytes::copy_from_slice(argument.as_bytes()),
    };
    Effects { messages: messages.iter().map(message).collect(), ..Effects::default() }
}

pub fn writes(mutations: Vec<Mutation>) -> Effects {
    Effects { mutations, ..Effects::default() }
}

pub fn emits(lane: u32, records: &[&str]) -> Effects {
    let record = |text: &&str| EgressRecord { lane: LaneId(lane), record: Bytes::copy_from_slice(text.as_bytes()) };
    Effects { egress: records.iter().map(record).collect(), ..Effects::default() }
}
