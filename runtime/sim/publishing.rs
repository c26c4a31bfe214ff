//! The publisher in a simulated world: an outbox that grows, a ledger that syncs in steps, a Kafka that loses, delays and
//! repeats, and everything that may happen to a directory.
//!
//! What comes in: a seed. Everything that will happen stands in one queue, as in `world.rs`. A crash throws the publisher, its
//! client and what was not synced away; requests that are on their way arrive all the same. One drill a seed: two processes
//! on copies of one directory, an older state of the directory, or a cursor topic that is lost.
//!
//! The oracle: at the end one process is left, and a reader of committed data sees each record of its outbox once, in order
//! within a partition, but for those with a dead letter; and those are the ones that no broker takes.
//!
//! | file | is |
//! |---|---|
//! | `scenario.rs` | what a seed chose |
//! | `process.rs` | a process on a directory: carries out what its publisher asks for |
//! | `network.rs` | the way between clients and brokers |
//! | `drills.rs` | what may happen to a directory, and who must stop then |
//! | `judge.rs` | the oracle |

mod drills;
mod judge;
mod network;
mod process;
mod scenario;

use std::collections::BTreeMap;

use bytes::Bytes;
use millpond_publisher::{Input, Isolation, Millis, Session};

use self::process::Process;
use self::scenario::{Faults, Scenario};
use crate::client::Call;
use crate::kafka::{Answer, Kafka, Producer, Request};
use crate::outbox::Outbox;

/// What a run did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Steps taken.
    pub steps: u64,
    /// Crashes survived.
    pub crashes: u64,
    /// Records published.
    pub records: u64,
    /// Producers opened.
    pub sessions: u64,
    /// Transactions that were asked to be committed.
    pub commits: u64,
    /// Processes that stopped because their directory may not publish.
    pub halts: u64,
    /// Dead letters.
    pub letters: u64,
    /// Digest of everything that went in and out: the same seed has the same one.
    pub trace: u64,
}

enum Happening {
    /// A request reaches the broker.
    Arrive {
        call: u64,
        epoch: u32,
        request: Request,
        answered: bool,
    },
    /// Its answer reaches the client.
    Answered {
        call: u64,
        answer: Answer,
    },
    /// The client sees that a connection broke (`event`), or waited for long enough.
    Lost {
        call: u64,
        event: bool,
    },
    Resend {
        call: u64,
    },
    Measure {
        place: Place,
        isolation: Isolation,
    },
    Read {
        place: Place,
        from: usize,
        upto: usize,
        isolation: Isolation,
        deadline: Millis,
    },
    Say {
        process: usize,
        generation: u64,
        input: Input,
    },
    Tick {
        process: usize,
    },
    Append {
        process: usize,
        generation: u64,
    },
    Sync {
        process: usize,
        generation: u64,
    },
    Start {
        process: usize,
    },
    Marker,
    StrangerEnds {
        epoch: u32,
    },
}

/// Who asked.
#[derive(Debug, Clone, Copy)]
struct Place {
    process: usize,
    generation: u64,
    session: Session,
}

/// A request that its client waits for.
struct Pending {
    place: Place,
    epoch: u32,
    call: Call,
    deadline: Millis,
}

struct World {
    scenario: Scenario,
    random: fastrand::Rng,
    kafka: Kafka,
    processes: Vec<Process>,
    calls: BTreeMap<u64, Pending>,
    queue: BTreeMap<(Millis, u64), Happening>,
    next: u64,
    now: Millis,
    /// Until when no broker can be reached.
    down: Millis,
    healing: bool,
    marking: bool,
    next_record: u64,
    /// The older state of the directory, with the cursor of that moment.
    snapshot: Option<(Outbox, Option<Bytes>)>,
    /// The newer state, while the older one is in its place.
    original: Option<Outbox>,
    /// The cursor was lost: nobody may go on without being told.
    cursor_lost: bool,
    trace: bool,
    report: Report,
}

/// The transactional id of the outbox, and that of another egress with a cursor in the same topic.
const OURS: Producer = 0;
const STRANGER: Producer = 1;

/// Steps after which a run that does not drain is stuck.
const STEPS_MAX: u64 = 60_000;

/// How long a client tries before it reports a failure.
const CALL_MS: Millis = 8_000;

/// Runs one seed to its end.
///
/// # Errors
/// The promise that was broken, in words.
pub fn run(seed: u64) -> Result<Report, String> {
    let mut random = fastrand::Rng::with_seed(seed ^ 0x0b0e);
    let scenario = Scenario::new(&mut random);
    let kafka = Kafka::new(scenario.partitions + 1, random.bool(), random.u64(3_000..10_000));
    let first = Process::new(Outbox::default(), scenario.records, None);
    let mut world = World {
        scenario,
        random,
        kafka,
        processes: vec![first],
        calls: BTreeMap::new(),
        queue: BTreeMap::new(),
        next: 0,
        now: 1_000_000,
        down: 0,
        healing: false,
        marking: false,
        next_record: 0,
        snapshot: None,
        original: None,
        cursor_lost: false,
        trace: std::env::var_os("MILLPOND_SIM_TRACE").is_some(),
        report: Report::default(),
    };
    world.start(0)?;
    world.run()
}

impl World {
    fn run(mut self) -> Result<Report, String> {
        while !self.finished() {
            self.report.steps += 1;
            if self.report.steps > STEPS_MAX {
                return Err("nothing drains any more".to_owned());
            }
            if !self.healing && self.report.steps > self.scenario.faulty_steps {
                self.heal()?;
            }
            self.step()?;
        }
        self.judge()?;
        Ok(self.report)
    }

    fn finished(&self) -> bool {
        self.healing && self.queue.is_empty()
    }

    /// No faults from here on. Every process has something to say, so that the one that may not learns of it.
    fn heal(&mut self) -> Result<(), String> {
        self.healing = true;
        self.scenario.faults = Faults::default();
        self.down = 0;
        for process in 0..self.processes.len() {
            self.processes[process].left = self.processes[process].left.max(1);
            self.append_later(process);
        }
        if self.original.is_some() && self.processes[0].halted { self.put_back() } else { Ok(()) }
    }

    fn step(&mut self) -> Result<(), String> {
        if self.kafka.expire(self.now) {
            self.mark_later();
        }
        if self.chance(self.scenario.faults.clock_jump) {
            self.now += self.random.u64(0..20_000);
        }
        if self.chance(self.scenario.faults.outage) {
            let most = if self.random.bool() { 500 } else { 30_000 };
            self.down = self.now + self.random.u64(0..most);
        }
        if self.chance(self.scenario.faults.stranger) {
            self.stranger();
        }
        if self.chance(self.scenario.faults.hanging)
            && let Some(cursor) = self.cursor()
        {
            self.trace("hanging");
            self.kafka.hang(self.scenario.partitions, OURS, cursor);
        }
        if !self.healing {
            self.drill()?;
        }
        let process = self.random.usize(0..self.processes.len());
        if self.processes[process].publisher.is_some() {
            if self.chance(self.scenario.faults.crash) {
                return self.crash(process);
            }
            if self.chance(self.scenario.faults.stop) {
                self.processes[process].stopping = true;
                return self.tell(process, Input::Stop);
            }
        }
        let Some(((time, _), happening)) = self.queue.pop_first() else { return Ok(()) };
        self.now = self.now.max(time);
        self.happen(happening)
    }

    fn happen(&mut self, happening: Happening) -> Result<(), String> {
        match happening {
            Happening::Arrive { call, epoch, request, answered } => self.arrive(call, epoch, &request, answered),
            Happening::Answered { call, answer } => self.answered(call, answer),
            Happening::Lost { call, event } => self.lost(call, event),
            Happening::Resend { call } => self.send(call),
            Happening::Measure { place, isolation } => self.measure(place, isolation),
            Happening::Read { place, from, upto, isolation, deadline } => {
                self.read(place, from, upto, isolation, deadline);
            }
            Happening::Say { process, generation, input } => {
                if self.processes[process].generation == generation {
                    self.tell(process, input)?;
                }
            }
            Happening::Tick { process } => {
                self.processes[process].tick = None;
                self.tell(process, Input::Tick)?;
            }
            Happening::Append { process, generation } => {
                if self.processes[process].generation == generation {
                    self.append(process);
                }
            }
            Happening::Sync { process, generation } => {
                if self.processes[process].generation == generation {
                    self.sync(process);
                }
            }
            Happening::Start { process } => self.start(process)?,
            Happening::Marker => {
                self.marking = false;
                if self.kafka.write_marker() {
                    self.mark_later();
                }
            }
            Happening::StrangerEnds { epoch } => {
                self.serve(STRANGER, epoch, &Request::Commit);
            }
        }
        Ok(())
    }

    fn partition(&self, record: u64) -> usize {
        record as usize % self.scenario.partitions
    }

    fn chance(&mut self, in_thousand: u32) -> bool {
        self.random.u32(0..1000) < in_thousand
    }

    fn delay(&mut self) -> Millis {
        let most = if self.chance(self.scenario.faults.slow) { 1_000 } else { 5 };
        self.random.u64(0..most)
    }

    fn after(&mut self, delay: Millis, happening: Happening) {
        self.queue.insert((self.now + delay, self.next), happening);
        self.next += 1;
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

/// The number of a record.
fn number(record: &[u8]) -> u64 {
    u64::from_be_bytes(record.try_into().expect("records are written by this world"))
}

/// No broker takes it.
fn poisonous(poison: Option<u64>, value: &Bytes) -> bool {
    value.len() == 8 && poison.is_some_and(|poison| number(value) % poison == poison - 1)
}
