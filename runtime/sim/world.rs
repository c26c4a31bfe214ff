//! The event loop: carries out what the engine asks for, late, twice, or not at all.
//!
//! What comes in: a seed. Everything that will happen stands in one queue, ordered by its time; a step takes the next entry,
//! hands it to the engine and queues what the engine asks for. A crash throws the engine and the queue away and keeps the
//! ledger. The commit of a checkpoint and the word that it is durable are two entries: a crash may fall between them.

use std::collections::BTreeMap;
use std::sync::Arc;

use millpond_engine::{
    Call, CallFailure, CallId, Checkpoint, Engine, FailureKind, Input, LaneId, Load, Loaded, MemoryLedger, Millis,
    Output,
};

use crate::function;
use crate::oracle::Oracle;
use crate::producer::Producer;
use crate::scenario::{Faults, Scenario};

/// What a run did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Steps taken.
    pub steps: u64,
    /// Crashes survived.
    pub crashes: u64,
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
    Produce,
    Tick,
}

struct World {
    scenario: Scenario,
    random: fastrand::Rng,
    ledger: MemoryLedger,
    engine: Engine,
    producer: Producer,
    oracle: Oracle,
    queue: BTreeMap<(Millis, u64), Happening>,
    next: u64,
    now: Millis,
    paused: bool,
    healing: bool,
    /// The one tick that is asked for.
    tick: Option<(Millis, u64)>,
    report: Report,
}

/// Steps after which a run that does not drain is stuck.
const STEPS_MAX: u64 = 400_000;

/// Runs one seed to its end.
///
/// # Errors
/// The promise that was broken, in words.
pub fn run(seed: u64) -> Result<Report, String> {
    let mut random = fastrand::Rng::with_seed(seed);
    let scenario = Scenario::new(&mut random);
    let ledger = MemoryLedger::default();
    let engine = Engine::new(scenario.config.clone(), &ledger.restore());
    let mut world = World {
        scenario,
        random,
        ledger,
        engine,
        producer: Producer::default(),
        oracle: Oracle::default(),
        queue: BTreeMap::new(),
        next: 0,
        now: 1_000_000,
        paused: false,
        healing: false,
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
                self.healing = true;
                self.scenario.faults = Faults { key_share: 1000, free: 1000, ..Faults::default() };
            }
            self.step()?;
        }
        self.read_lanes()?;
        let logs = self.logs()?;
        self.report.effects = logs.iter().map(Vec::len).sum::<usize>() as u64;
        self.oracle.judge(&self.scenario, &self.producer, &logs)?;
        Ok(self.report)
    }

    /// Healed, and nothing left that could still happen.
    fn finished(&self) -> bool {
        self.healing && self.producer.done(&self.scenario) && self.queue.is_empty() && self.engine.wake_at().is_none()
    }

    fn step(&mut self) -> Result<(), String> {
        if self.chance(self.scenario.faults.crash) {
            return self.crash();
        }
        if self.chance(self.scenario.faults.clock_jump) {
            self.now += self.random.u64(0..100_000);
        }
        let Some((time, happening)) = self.queue.pop_first().map(|((time, _), happening)| (time, happening)) else {
            return Ok(());
        };
        self.now = self.now.max(time);
        match happening {
            Happening::Commit(checkpoint) => self.commit(&checkpoint)?,
            Happening::Durable(number) => self.tell(Input::Durable(number))?,
            Happening::Load(load) => {
                let loaded = self.ledger.load(&load);
                let repeated = self.chance(self.scenario.faults.reply_repeated).then(|| loaded.clone());
                self.tell(Input::Loaded(loaded))?;
                if let Some(Loaded::Address { .. }) = repeated {
                    // An answer that comes twice finds nobody who waits for it.
                    repeated.map_or(Ok(()), |loaded| self.tell(Input::Loaded(loaded)))?;
                }
            }
            Happening::Serve(call) => self.serve(&call)?,
            Happening::Say(input) => self.tell(*input)?,
            Happening::Produce => self.produce()?,
            Happening::Tick => {
                self.tick = None;
                self.tell(Input::Tick)?;
            }
        }
        Ok(())
    }

    fn commit(&mut self, checkpoint: &Checkpoint) -> Result<(), String> {
        self.ledger.commit(checkpoint, &self.scenario.config.lanes).map_err(|refused| refused.to_string())?;
        self.report.checkpoints += 1;
        let delay = self.random.u64(0..20);
        self.after(delay, Happening::Durable(checkpoint.meta.checkpoint));
        Ok(())
    }

    /// The function runs; its answer comes late, is lost, is refused, or comes twice.
    fn serve(&mut self, call: &Call) -> Result<(), String> {
        self.report.calls += 1;
        let faults = self.scenario.faults.clone();
        let reply = function::run(&self.scenario, call)?;
        let delay = self.random.u64(0..50);
        if call.invocations.len() > 1 && self.chance(faults.batch_rejected) || self.chance(faults.reply_rejected) {
            self.say(delay, failed(call.id, FailureKind::Rejected));
        } else if self.chance(faults.reply_lost) {
            self.say(delay, failed(call.id, FailureKind::Unreachable));
            let late = self.random.u64(0..500);
            self.say(delay + late, Input::Reply { call: call.id, reply });
        } else {
            if self.chance(faults.reply_repeated) {
                let late = self.random.u64(0..500);
                self.say(delay + late, Input::Reply { call: call.id, reply: reply.clone() });
            }
            self.say(delay, Input::Reply { call: call.id, reply });
        }
        Ok(())
    }

    fn produce(&mut self) -> Result<(), String> {
        if !self.paused {
            if self.chance(100) {
                self.producer.repeat(&mut self.random);
            }
            if let Some(event) = self.producer.event(&self.scenario, &mut self.random) {
                self.tell(Input::Ingested(event))?;
            }
        }
        if !self.producer.done(&self.scenario) {
            let delay = self.random.u64(0..30);
            self.after(delay, Happening::Produce);
        }
        if self.chance(self.scenario.faults.free) {
            self.read_lanes()?;
            self.free()?;
        }
        Ok(())
    }

    /// A reader frees a part of what it has seen.
    fn free(&mut self) -> Result<(), String> {
        let lane = self.random.usize(0..self.scenario.config.lanes.len());
        let (first, next) = self.ledger.lane(&self.scenario.config.lanes[lane]);
        let upto = self.random.u64(first - 1..next);
        self.tell(Input::Freed { lane: LaneId(lane as u32), upto, receipt: None })
    }

    /// A reader looks at all lanes.
    fn read_lanes(&mut self) -> Result<(), String> {
        for lane in 0..self.scenario.config.lanes.len() {
            for (sequence, record) in self.ledger.outbox(&self.scenario.config.lanes[lane], 0, usize::MAX, usize::MAX) {
                self.oracle.saw(lane as u32, sequence, &record)?;
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
        self.tick = None;
        self.paused = false;
        self.producer.crashed();
        if self.random.bool() {
            self.now -= self.random.u64(0..self.now / 2); // The clock was set back.
        }
        self.engine = Engine::new(self.scenario.config.clone(), &self.ledger.restore());
        self.after(0, Happening::Produce);
        self.drain()
    }

    fn tell(&mut self, input: Input) -> Result<(), String> {
        self.trace(&format!("{} {input:?}", self.now));
        self.engine.handle(self.now, input);
        self.drain()
    }

    /// Carries out everything that the engine asks for.
    fn drain(&mut self) -> Result<(), String> {
        while let Some(output) = self.engine.poll() {
            self.trace(&format!("{output:?}"));
            match output {
                Output::Load(load) => {
                    let delay = self.delay(self.scenario.faults.load_slow);
                    self.after(delay, Happening::Load(load));
                }
                Output::Call(call) => {
                    let delay = self.random.u64(0..20);
                    self.after(delay, Happening::Serve(call));
                }
                Output::Checkpoint(checkpoint) => {
                    let delay = self.delay(self.scenario.faults.commit_slow);
                    self.after(delay, Happening::Commit(checkpoint));
                }
                Output::Answer { receipt, answer } => self.producer.answered(receipt, answer)?,
                Output::Publish { lane, upto } => {
                    let (_, next) = self.ledger.lane(&self.scenario.config.lanes[lane.0 as usize]);
                    if upto >= next {
                        return Err(format!("record {upto} of lane {} was published before it was durable", lane.0));
                    }
                }
                Output::Pause => self.paused = true,
                Output::Resume => self.paused = false,
                Output::Notice(_) | Output::Stopped => {}
            }
        }
        self.arm();
        Ok(())
    }

    /// Queues the tick that the engine asks for.
    fn arm(&mut self) {
        let wanted = self.engine.wake_at();
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
    }

    /// The state of every address, as the ledger has it.
    fn logs(&self) -> Result<Vec<Vec<u64>>, String> {
        let log = |address| {
            let Loaded::Address { states, pending, listed, .. } = self.ledger.load(&Load::Address(address)) else {
                return Err("the ledger answered another question".to_owned());
            };
            if !pending.is_empty() || listed {
                return Err("the ledger still holds pending invocations".to_owned());
            }
            let log = states.into_iter().find(|(name, _)| &**name == "log").map(|(_, value)| value.value);
            Ok(log.unwrap_or_default().chunks_exact(8).map(crate::scenario::number).collect())
        };
        self.scenario.addresses.iter().cloned().map(log).collect()
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
        if std::env::var_os("MILLPOND_SIM_TRACE").is_some() {
            eprintln!("{:>6} {line}", self.report.steps);
        }
    }
}

fn failed(call: CallId, kind: FailureKind) -> Input {
    let failure = CallFailure { kind, code: "MP4000", error: "simulated".into(), retry_after_ms: None };
    Input::CallFailed { call, failure }
}

impl std::fmt::Debug for World {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("World").field("now", &self.now).field("report", &self.report).finish_non_exhaustive()
    }
}
