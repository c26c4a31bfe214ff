//! The event loop: carries out what the engine asks for, late, twice, or not at all.
//!
//! What comes in: a seed. Everything that will happen stands in one queue, ordered by its time; a step takes the next entry,
//! hands it to the engine and queues what the engine asks for. A crash throws the engine and the queue away and keeps the
//! ledger. The commit of a checkpoint and the word that it is durable are two entries: a crash may fall between them.

mod outside;
mod turns;
mod watch;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use millpond_engine::{
    Answer, Call, CallId, Checkpoint, Engine, Input, Load, Loaded, MemoryLedger, Millis, Notice, Output, Partition,
    Receipt, Reply, Sequence, Write,
};
use millpond_protocol::{Address, TypeName};

use crate::function;
use crate::oracle::Oracle;
use crate::partition::{self, Readers};
use crate::producer::Producer;
use crate::scenario::{Faults, Scenario};

/// What a run did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Steps taken.
    pub steps: u64,
    /// Crashes survived.
    pub crashes: u64,
    /// Stops that ended.
    pub stops: u64,
    /// Calls to functions.
    pub calls: u64,
    /// Checkpoints committed.
    pub checkpoints: u64,
    /// Invocations that took effect.
    pub effects: u64,
    /// Digest of everything that went in and out: the same seed has the same one.
    pub trace: u64,
}

enum Happening {
    Commit(Arc<Checkpoint>),
    Durable(u64),
    Load(Load),
    Serve(Box<Call>),
    Say(Box<Input>),
    Answer(Receipt, Answer),
    HeldBack(Arc<Partition>, u64),
    Produce,
    Tick,
}

struct World {
    scenario: Scenario,
    random: fastrand::Rng,
    ledger: MemoryLedger,
    /// The ledger as it was when the engine was told last that a checkpoint is durable: as old as a load may be.
    told: MemoryLedger,
    engine: Engine,
    producer: Producer,
    readers: Readers,
    oracle: Oracle,
    queue: BTreeMap<(Millis, u64), Happening>,
    next: u64,
    now: Millis,
    paused: bool,
    /// The last answer said that there is no room.
    refused: bool,
    healing: bool,
    stopping: bool,
    stopped: bool,
    /// Calls that the engine waits for.
    flying: BTreeMap<CallId, Address>,
    /// Function types that answered since the last start: their values may be removed when they are over.
    learned: BTreeSet<TypeName>,
    /// When a request carried a value that lives on with each request, by address: ever, and since the last start.
    touched: BTreeMap<Address, (Millis, Option<Millis>)>,
    /// Until when each endpoint cannot be reached.
    down: Vec<Millis>,
    /// Readers that wait: their lane, and what they freed.
    frees: BTreeMap<Receipt, (u32, u64)>,
    next_free: u64,
    /// Nodes that their function rejected alone, ever.
    rejected: BTreeSet<u64>,
    /// Invocations that people wanted out, by the number that they named.
    named: BTreeSet<(Address, Sequence)>,
    /// When a delayed node can be due at the earliest.
    not_before: BTreeMap<u64, Millis>,
    turns: turns::Turns,
    /// People who wait.
    operated: BTreeSet<Receipt>,
    trace: bool,
    /// The one tick that is asked for.
    tick: Option<(Millis, u64)>,
    report: Report,
}

/// A time so far away that the clock does not get there.
const NEVER: Millis = 1 << 45;

/// Steps after which a run that does not drain is stuck: ten times what the longest of 2,000 seeds takes.
const STEPS_MAX: u64 = 30_000;

/// Runs one seed to its end.
///
/// # Errors
/// The promise that was broken, in words.
pub fn run(seed: u64) -> Result<Report, String> {
    let mut random = fastrand::Rng::with_seed(seed);
    let scenario = Scenario::new(&mut random);
    let ledger = MemoryLedger::default();
    let restored = ledger.restore();
    let engine = Engine::new(scenario.config(false), &restored);
    let mut world = World {
        down: vec![0; scenario.config.endpoints.len()],
        readers: Readers::new(&scenario, &restored),
        scenario,
        random,
        told: ledger.clone(),
        ledger,
        engine,
        producer: Producer::default(),
        oracle: Oracle::default(),
        queue: BTreeMap::new(),
        next: 0,
        now: 1_000_000,
        paused: false,
        refused: false,
        healing: false,
        stopping: false,
        stopped: false,
        flying: BTreeMap::new(),
        learned: BTreeSet::new(),
        touched: BTreeMap::new(),
        frees: BTreeMap::new(),
        next_free: 1 << 40,
        rejected: BTreeSet::new(),
        named: BTreeSet::new(),
        not_before: BTreeMap::new(),
        turns: turns::Turns::default(),
        operated: BTreeSet::new(),
        trace: std::env::var_os("MILLPOND_SIM_TRACE").is_some(),
        tick: None,
        report: Report::default(),
    };
    world.after(0, Happening::Produce);
    world.drain()?;
    world.run()
}

impl World {
    fn run(mut self) -> Result<Report, String> {
        while !self.finished() {
            self.report.steps += 1;
            if self.report.steps > STEPS_MAX {
                return Err(format!("nothing drains any more: {:?}", self.engine.metrics()));
            }
            if !self.healing && self.report.steps > u64::from(self.scenario.faulty_steps) {
                self.heal()?;
            }
            self.step()?;
        }
        self.at_rest()?;
        self.read_lanes()?;
        let logs = self.logs()?;
        self.report.effects = logs.iter().map(Vec::len).sum::<usize>() as u64;
        partition::judge(&self.scenario, &self.ledger.restore().positions)?;
        // A record below its partition's position was taken in.
        self.producer.confirmed.extend(self.scenario.records.iter().flat_map(|records| records.values()));
        self.oracle.judge(&self.scenario, &self.producer, &logs)?;
        Ok(self.report)
    }

    /// No faults from here on. An endpoint that was missing needs a new start.
    fn heal(&mut self) -> Result<(), String> {
        self.healing = true;
        self.scenario.faults = Faults { key_share: 1000, free: 1000, ..Faults::default() };
        self.down.fill(0);
        if self.scenario.late_endpoint { self.crash() } else { Ok(()) }
    }

    /// Healed, and nothing left that could still happen.
    fn finished(&self) -> bool {
        self.healing
            && !self.stopping
            && self.producer.done(&self.scenario)
            && self.readers.done(&self.scenario)
            && self.queue.is_empty()
            && self.engine.wake_at().is_none()
    }

    fn step(&mut self) -> Result<(), String> {
        if self.chance(self.scenario.faults.crash) {
            return self.crash();
        }
        if self.chance(self.scenario.faults.clock_jump) {
            self.now += self.random.u64(0..100_000);
        }
        if !self.stopping && self.chance(self.scenario.faults.stop) {
            self.stopping = true;
            return self.tell(Input::Stop);
        }
        if self.chance(self.scenario.faults.outage) {
            let endpoint = self.random.usize(0..self.down.len());
            let long = self.random.u32(0..4) == 0;
            self.down[endpoint] = if long { Millis::MAX } else { self.now + self.random.u64(0..60_000) };
        }
        if self.chance(self.scenario.faults.operate) {
            return self.operate();
        }
        // What is cancelled has a time that never comes: whoever cancels it may wait for the end of faults.
        if self.queue.keys().next().is_some_and(|(time, _)| *time > self.now + NEVER) {
            return Ok(());
        }
        let Some((time, happening)) = self.queue.pop_first().map(|((time, _), happening)| (time, happening)) else {
            return Ok(());
        };
        self.now = self.now.max(time);
        match happening {
            Happening::Commit(checkpoint) => self.commit(&checkpoint)?,
            Happening::Durable(number) => {
                self.told = self.ledger.clone();
                self.tell(Input::Durable(number))?;
                if self.chance(self.scenario.faults.reply_repeated) {
                    self.tell(Input::Durable(number))?;
                }
            }
            Happening::Load(load) => {
                let loaded = self.ledger.load(&load);
                self.loaded(loaded)?;
            }
            Happening::Serve(call) => self.serve(&call)?,
            Happening::Say(input) => match *input {
                Input::Loaded(loaded) => self.loaded(loaded)?,
                input => self.tell(input)?,
            },
            Happening::Answer(receipt, answer) => {
                self.refused = answer == Answer::Full;
                self.producer.answered(receipt, answer)?;
            }
            Happening::HeldBack(partition, offset) => {
                let until = self.now + self.random.u64(0..2_000);
                self.readers.hold(&partition, offset, until);
                if !self.queue.values().any(|next| matches!(next, Happening::Produce)) {
                    self.after(0, Happening::Produce);
                }
            }
            Happening::Produce => self.produce()?,
            Happening::Tick => {
                self.tick = None;
                self.tell(Input::Tick)?;
            }
        }
        Ok(())
    }

    /// Tells what was loaded; told twice it finds nobody who waits for it.
    fn loaded(&mut self, loaded: Loaded) -> Result<(), String> {
        let repeated = self.chance(self.scenario.faults.reply_repeated).then(|| loaded.clone());
        self.tell(Input::Loaded(loaded))?;
        repeated.map_or(Ok(()), |loaded| self.tell(Input::Loaded(loaded)))
    }

    fn commit(&mut self, checkpoint: &Checkpoint) -> Result<(), String> {
        self.ledger.commit(checkpoint, &self.scenario.config.lanes).map_err(|refused| refused.to_string())?;
        self.report.checkpoints += 1;
        self.check_positions(checkpoint)?;
        let delay = self.random.u64(0..20);
        self.after(delay, Happening::Durable(checkpoint.meta.checkpoint));
        Ok(())
    }

    /// What lies below a position is in the ledger.
    fn check_positions(&self, checkpoint: &Checkpoint) -> Result<(), String> {
        for write in &checkpoint.writes {
            let Write::Position { partition, next } = write else { continue };
            let records = &self.scenario.records[partition.number as usize];
            let events = records.range(..next).map(|(_, root)| &self.scenario.events[root]);
            if let Some(node) = events.flatten().find(|node| !self.holds(**node)) {
                return Err(format!("partition {} stands at {next} without node {node}", partition.number));
            }
        }
        Ok(())
    }

    fn crash(&mut self) -> Result<(), String> {
        self.report.crashes += 1;
        let queue = std::mem::take(&mut self.queue);
        for happening in queue.into_values() {
            // A checkpoint that was being written is there as a whole, or not at all.
            if let Happening::Commit(checkpoint) = happening
                && self.random.bool()
            {
                self.ledger.commit(&checkpoint, &self.scenario.config.lanes).map_err(|refused| refused.to_string())?;
            }
        }
        self.producer.crashed();
        self.start()
    }

    /// The engine said that it stopped: everybody has an answer, and everything is durable.
    fn ended(&mut self) -> Result<(), String> {
        self.report.stops += 1;
        for happening in std::mem::take(&mut self.queue).into_values() {
            match happening {
                Happening::Answer(receipt, answer) => self.producer.answered(receipt, answer)?,
                Happening::Commit(_) | Happening::Durable(_) => {
                    return Err("the engine stopped before its last checkpoint was durable".to_owned());
                }
                _ => {}
            }
        }
        let waiting = self.producer.waits() + self.frees.len() + self.operated.len();
        if waiting > 0 {
            return Err(format!("the engine stopped, but {waiting} wait for an answer"));
        }
        self.start()
    }

    /// A new process over what the ledger has.
    fn start(&mut self) -> Result<(), String> {
        self.queue.clear();
        self.tick = None;
        self.paused = false;
        self.refused = false;
        self.stopping = false;
        self.stopped = false;
        self.flying.clear();
        self.turns = turns::Turns::default();
        self.learned.clear();
        self.touched.values_mut().for_each(|(_, here)| *here = None);
        self.frees.clear();
        self.operated.clear();
        if self.random.bool() {
            self.now -= self.random.u64(0..self.now / 2); // The clock was set back.
        }
        let restored = self.ledger.restore();
        self.told = self.ledger.clone();
        self.engine = Engine::new(self.scenario.config(self.healing), &restored);
        self.readers = Readers::new(&self.scenario, &restored);
        self.after(0, Happening::Produce);
        self.drain()
    }

    fn tell(&mut self, mut input: Input) -> Result<(), String> {
        if let Input::Reply { reply, .. } = &mut input {
            function::put_time(reply, self.now.max(self.engine.now()));
        }
        self.trace(&format!("{} {input:?}", self.now));
        self.comes_back(&input);
        let succeeds = self.succeeds(&input).map(|target| (self.parked_beside(&target), target));
        if let Input::Reply { call, .. } | Input::CallFailed { call, .. } = &input
            && let Some(target) = self.flying.remove(call)
            && matches!(input, Input::Reply { .. })
        {
            self.learned.insert(target.function);
        }
        if let Input::Reply { reply: Reply::Completed(effects), .. } = &input {
            self.delayed(effects);
        }
        self.engine.handle(self.now, input);
        self.drain()?;
        succeeds.map_or(Ok(()), |(before, target)| self.check_success(&target, &before))?;
        if self.stopped { self.ended() } else { Ok(()) }
    }

    /// Carries out everything that the engine asks for.
    fn drain(&mut self) -> Result<(), String> {
        while let Some(output) = self.engine.poll() {
            self.trace(&format!("{output:?}"));
            if self.stopped {
                return Err(format!("behind `Stopped` came {output:?}"));
            }
            match output {
                Output::Load(load) => {
                    self.asks_for(&load)?;
                    let delay = self.delay(self.scenario.faults.load_slow);
                    // The answer may be as old as the question, or as new as the moment in which it is given.
                    let happening = match self.random.u32(0..4) {
                        0 => Happening::Say(Box::new(Input::Loaded(self.told.load(&load)))),
                        1 => Happening::Say(Box::new(Input::Loaded(self.ledger.load(&load)))),
                        _ => Happening::Load(load),
                    };
                    self.after(delay, happening);
                }
                Output::Call(call) => {
                    if self.flying.values().any(|target| *target == call.target) {
                        return Err(format!("{} has two calls in flight", call.target));
                    }
                    self.flying.insert(call.id, call.target.clone());
                    if self.flying.len() > self.scenario.config.limits.calls_in_flight {
                        return Err(format!("{} calls are in flight", self.flying.len()));
                    }
                    self.goes_out(&call);
                    self.check_expiry(&call)?;
                    self.check_due(&call)?;
                    let delay = self.random.u64(0..20);
                    self.after(delay, Happening::Serve(call));
                }
                Output::Checkpoint(checkpoint) => {
                    if checkpoint.meta.time < self.engine.now() {
                        return Err(format!("checkpoint {} forgets the time", checkpoint.meta.checkpoint));
                    }
                    let delay = self.delay(self.scenario.faults.commit_slow);
                    self.after(delay, Happening::Commit(checkpoint));
                }
                Output::Answer { receipt, answer } => self.answered(receipt, answer)?,
                Output::Publish { lane, upto, .. } => {
                    let (_, next) = self.ledger.lane(&self.scenario.config.lanes[lane.0 as usize]);
                    if upto >= next {
                        return Err(format!("record {upto} of lane {} was published before it was durable", lane.0));
                    }
                }
                Output::Pause => self.paused = true,
                Output::Resume => self.paused = false,
                Output::HeldBack { partition, offset } => {
                    let delay = self.random.u64(0..200);
                    self.after(delay, Happening::HeldBack(partition, offset));
                }
                Output::Notice(Notice::GivenUp { letter, lane }) => self.given_up(&letter, lane)?,
                Output::Notice(_) => {}
                Output::Stopped => {
                    self.stopped = true;
                    self.nothing_is_lost()?;
                }
            }
        }
        self.check_turns()?;
        self.arm()
    }

    /// What an answer says must be true already; the producer hears of it later.
    fn answered(&mut self, receipt: Receipt, answer: Answer) -> Result<(), String> {
        if let Some((lane, upto)) = self.frees.remove(&receipt) {
            let (first, _) = self.ledger.lane(&self.scenario.config.lanes[lane as usize]);
            return match answer {
                Answer::Durable if first <= upto => Err(format!("lane {lane} is not freed up to {upto}")),
                _ => Ok(()),
            };
        }
        if self.operated.remove(&receipt) {
            return Ok(());
        }
        if let Some(root) = self.producer.claim(receipt, answer)
            && !self.scenario.events[&root].iter().all(|node| self.holds(*node))
        {
            return Err(format!("event {root} was answered {answer:?} before it was durable"));
        }
        let delay = self.delay(self.scenario.faults.answer_late);
        self.after(delay, Happening::Answer(receipt, answer));
        Ok(())
    }

    /// Queues the tick that the engine asks for.
    fn arm(&mut self) -> Result<(), String> {
        let wanted = self.engine.wake_at();
        if let Some(due) = wanted.filter(|due| *due <= self.engine.now()) {
            return Err(format!("the engine wants to be woken at {due}, it is {}", self.engine.now()));
        }
        if self.tick.map(|(due, _)| due) != wanted {
            if let Some(tick) = self.tick.take() {
                self.queue.remove(&tick);
            }
            self.tick = wanted.map(|due| (due, self.next));
            if let Some(tick) = self.tick {
                self.next += 1;
                self.queue.insert(tick, Happening::Tick);
            }
        }
        Ok(())
    }

    fn chance(&mut self, in_thousand: u32) -> bool {
        self.random.u32(0..1000) < in_thousand
    }

    fn delay(&mut self, slow: u32) -> Millis {
        if self.chance(slow) { self.random.u64(0..1000) } else { self.random.u64(0..5) }
    }

    fn after(&mut self, delay: Millis, happening: Happening) {
        self.queue.insert((self.now + delay, self.next), happening);
        self.next += 1;
    }

    fn say(&mut self, delay: Millis, input: Input) {
        self.after(delay, Happening::Say(Box::new(input)));
    }

    /// FNV-1a over everything that goes in and out.
    fn trace(&mut self, line: &str) {
        for byte in line.bytes() {
            self.report.trace = (self.report.trace ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        if self.trace {
            eprintln!("{:>6} {line}", self.report.steps);
        }
    }
}

impl std::fmt::Debug for World {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("World").field("now", &self.now).field("report", &self.report).finish_non_exhaustive()
    }
}
