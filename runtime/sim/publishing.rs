//! The publisher in a simulated world: an outbox that grows, a ledger that syncs in steps, a Kafka that loses, delays and
//! repeats, and everything that may happen to a directory.
//!
//! What comes in: a seed. Everything that will happen stands in one queue, as in `world.rs`. A crash throws the publisher, its
//! client and what was not synced away; requests that are on their way arrive all the same. One drill a seed: two processes
//! on copies of one directory, an older state of the directory, or a cursor topic that is lost.
//!
//! The oracle: at the end one process is left, and a reader of committed data sees each record of its outbox once, in order
//! within a partition, but for those with a dead letter; and those are the ones that no broker takes.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use millpond_publisher::{
    Cursor, Delivery, Failure, FailureKind, Halt, Input, Isolation, Item, Limits, Millis, Notice, Offset, Output,
    Phase, Publisher, Sequence, Session,
};

use crate::client::{Call, Client};
use crate::kafka::{Answer, Kafka, Producer, Request};
use crate::outbox::{Disk, Outbox, Write};

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

/// What a seed chose.
#[derive(Debug)]
struct Scenario {
    records: u32,
    /// Partitions of the egress topic. The cursor topic's one is behind them.
    partitions: usize,
    /// No broker takes a record whose number divides by this.
    poison: Option<u64>,
    limits: Limits,
    faulty_steps: u64,
    faults: Faults,
    drill: Drill,
    drill_step: u64,
    /// When the state was kept that the drill brings back.
    snapshot_step: u64,
}

/// Chances in a thousand, for each step or each request.
#[derive(Debug, Default)]
struct Faults {
    crash: u32,
    stop: u32,
    clock_jump: u32,
    outage: u32,
    stranger: u32,
    lost: u32,
    late: u32,
    answer_lost: u32,
    slow: u32,
    said_late: u32,
    sync_slow: u32,
    hanging: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Drill {
    None,
    Twin,
    Backup,
    CursorLost,
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
    StrangerEnds,
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

/// A process on a directory.
struct Process {
    outbox: Outbox,
    publisher: Option<Publisher>,
    client: Option<Client>,
    generation: u64,
    /// What its clock shows less than the world's.
    clock: Millis,
    /// When what was said last of this producer is heard: nothing overtakes it.
    heard: Millis,
    tick: Option<(Millis, u64)>,
    syncing: bool,
    appending: bool,
    stopping: bool,
    /// Records to come.
    left: u32,
    /// The cursor when a copy of this directory was made.
    forked: Option<Option<Bytes>>,
    accept_missing_cursor: bool,
    halted: bool,
    /// How often a supervisor starts it again after a halt.
    restarts: u32,
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

impl Scenario {
    fn new(random: &mut fastrand::Rng) -> Scenario {
        let faulty_steps = random.u64(200..4_000);
        let drill =
            [Drill::None, Drill::None, Drill::Twin, Drill::Twin, Drill::Backup, Drill::Backup, Drill::CursorLost];
        let drill_step = random.u64(0..faulty_steps);
        Scenario {
            records: random.u32(5..100),
            partitions: random.usize(1..4),
            poison: random.bool().then(|| random.u64(2..20)),
            limits: Limits {
                transaction_records: if random.bool() { random.usize(1..8) } else { 1_000 },
                transaction_bytes: if random.bool() { random.usize(1..64) } else { 1 << 20 },
                ..Limits::default()
            },
            faulty_steps,
            faults: Faults::new(random),
            drill: drill[random.usize(0..drill.len())],
            drill_step,
            snapshot_step: random.u64(0..=drill_step),
        }
    }
}

impl Faults {
    fn new(random: &mut fastrand::Rng) -> Faults {
        let mut chance = |most: u32| if random.bool() { random.u32(0..most) } else { 0 };
        Faults {
            crash: chance(20),
            stop: chance(5),
            clock_jump: chance(10),
            outage: chance(10),
            stranger: chance(50),
            lost: chance(100),
            late: chance(200),
            answer_lost: chance(150),
            slow: chance(200),
            said_late: chance(50),
            sync_slow: chance(500),
            hanging: chance(10),
        }
    }
}

impl Process {
    fn new(outbox: Outbox, left: u32, forked: Option<Option<Bytes>>) -> Process {
        Process {
            outbox,
            publisher: None,
            client: None,
            generation: 0,
            clock: 0,
            heard: 0,
            tick: None,
            syncing: false,
            appending: false,
            stopping: false,
            left,
            forked,
            accept_missing_cursor: false,
            halted: false,
            restarts: 2,
        }
    }
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
            Happening::Measure { place, isolation } => {
                let session = place.session;
                let input = if self.now < self.down {
                    failed(session, FailureKind::Transient)
                } else {
                    let offset = self.kafka.end(self.scenario.partitions, isolation) as Offset;
                    Input::EndOffset { session, offset }
                };
                self.say(place, input);
            }
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
            Happening::StrangerEnds => {
                self.serve(STRANGER, 1, &Request::Commit);
            }
        }
        Ok(())
    }

    // The process and its ledger.

    /// A new process over what the directory has.
    fn start(&mut self, process: usize) -> Result<(), String> {
        let incarnation = self.random.u64(..);
        let clock = self.random.u64(0..self.now);
        let here = &mut self.processes[process];
        if here.publisher.is_some() || here.halted && here.restarts == 0 {
            return Ok(());
        }
        (here.clock, here.heard, here.halted) = (clock, self.now, false);
        let config = here.outbox.config(incarnation, here.accept_missing_cursor, self.scenario.limits.clone());
        self.trace(&format!("start {process} {config:?}"));
        self.processes[process].publisher = Some(Publisher::new(config));
        self.append_later(process);
        self.drain(process)
    }

    /// The process is gone; a part of what it had not synced is there.
    fn end(&mut self, process: usize) {
        let here = &mut self.processes[process];
        here.publisher = None;
        here.client = None;
        here.generation += 1;
        (here.syncing, here.appending, here.stopping) = (false, false, false);
        if let Some(tick) = here.tick.take() {
            self.queue.remove(&tick);
        }
        self.calls.retain(|_, pending| pending.place.process != process);
        let kept = self.random.usize(0..=self.processes[process].outbox.unsynced());
        self.processes[process].outbox.crash(kept);
    }

    fn crash(&mut self, process: usize) -> Result<(), String> {
        self.report.crashes += 1;
        self.trace(&format!("crash {process}"));
        self.end(process);
        let most = if self.random.bool() { 10 } else { 15_000 };
        let delay = self.random.u64(0..most);
        self.after(delay, Happening::Start { process });
        Ok(())
    }

    fn append_later(&mut self, process: usize) {
        let most = if self.random.u32(0..10) == 0 { 3_000 } else { 100 };
        let delay = self.random.u64(0..most);
        let here = &mut self.processes[process];
        if here.publisher.is_some() && here.left > 0 && !here.appending {
            here.appending = true;
            let generation = here.generation;
            self.after(delay, Happening::Append { process, generation });
        }
    }

    fn append(&mut self, process: usize) {
        let count = self.random.u32(1..4).min(self.processes[process].left);
        let first = self.next_record;
        self.next_record += u64::from(count);
        let here = &mut self.processes[process];
        here.appending = false;
        here.left -= count;
        here.outbox.write(Write::Records((first..self.next_record).collect()));
        self.sync_later(process);
        self.append_later(process);
    }

    fn sync_later(&mut self, process: usize) {
        let most = if self.chance(self.scenario.faults.sync_slow) { 2_000 } else { 5 };
        let delay = self.random.u64(0..most);
        let here = &mut self.processes[process];
        if !here.syncing && here.outbox.unsynced() > 0 {
            here.syncing = true;
            let generation = here.generation;
            self.after(delay, Happening::Sync { process, generation });
        }
    }

    fn sync(&mut self, process: usize) {
        let count = self.random.usize(1..=self.processes[process].outbox.unsynced().max(1));
        let here = &mut self.processes[process];
        here.syncing = false;
        let writes = here.outbox.sync(count);
        let (upto, checkpoint) = (here.outbox.disk.history.len() as Sequence, here.outbox.disk.checkpoint);
        for write in writes {
            match write {
                Write::Lineage(_) => self.say_process(process, Input::Claimed),
                Write::Records(_) => self.say_process(process, Input::Durable { upto, checkpoint }),
                Write::Letter(sequence) => self.say_process(process, Input::Recorded(sequence)),
                Write::Confirmed(_) => {}
            }
        }
        self.sync_later(process);
    }

    fn tell(&mut self, process: usize, input: Input) -> Result<(), String> {
        self.trace(&format!("{} {process} {input:?}", self.now));
        let now = self.now;
        let here = &mut self.processes[process];
        let Some(publisher) = &mut here.publisher else { return Ok(()) };
        publisher.handle(now - here.clock, input);
        self.drain(process)
    }

    /// Carries out everything that the publisher asks for.
    fn drain(&mut self, process: usize) -> Result<(), String> {
        while let Some(publisher) = &mut self.processes[process].publisher {
            let Some(output) = publisher.poll() else { break };
            self.trace(&format!("{process} {output:?}"));
            self.carry_out(process, output)?;
        }
        self.call_out(process);
        self.sync_later(process);
        self.arm(process)
    }

    fn carry_out(&mut self, process: usize, output: Output) -> Result<(), String> {
        let generation = self.processes[process].generation;
        let place = |session| Place { process, generation, session };
        match output {
            Output::Claim(lineage) => self.processes[process].outbox.write(Write::Lineage(lineage)),
            Output::Open(session) => {
                self.report.sessions += 1;
                let here = &mut self.processes[process];
                if here.stopping {
                    return Err("a producer was opened behind `Stop`".to_owned());
                }
                // What is said of an earlier producer may come in between.
                (here.client, here.heard) = (Some(Client::new(session)), self.now);
                self.call(place(session), Call { request: Request::Initialise, items: Vec::new() });
            }
            Output::Close(session) => {
                self.processes[process].client.take_if(|client| client.session == session);
                self.calls.retain(|_, pending| pending.place.process != process);
                self.say_anything(place(session));
            }
            Output::EndOffset { session, isolation } => {
                let delay = self.delay();
                self.after(delay, Happening::Measure { place: place(session), isolation });
            }
            Output::ReadCursor { session, from, upto, isolation } => {
                let (from, upto) = (from as usize, upto as usize);
                let (delay, deadline) = (self.delay(), self.now + CALL_MS);
                self.after(delay, Happening::Read { place: place(session), from, upto, isolation, deadline });
            }
            Output::Fetch { session, after, upto, records, bytes } => {
                if after < self.processes[process].outbox.disk.confirmed {
                    return Err(format!("records above {after} were asked for, which are gone"));
                }
                let records = self.processes[process].outbox.fetch(after, upto, records, bytes);
                self.say(place(session), Input::Fetched { session, records });
            }
            Output::Begin(session) => self.client(process, session)?.begin()?,
            Output::Send { session, sequence, record } => {
                if sequence > self.processes[process].outbox.disk.history.len() as Sequence {
                    return Err(format!("record {sequence} was sent before it was durable"));
                }
                let partition = self.partition(number(&record));
                self.sending(process, session)?.send(partition, Item::Record(sequence), record);
            }
            Output::SendCursor { session, cursor } => {
                let partition = self.scenario.partitions;
                self.sending(process, session)?.send(partition, Item::Cursor, cursor);
            }
            Output::Commit(session) => {
                self.report.commits += 1;
                self.sending(process, session)?.in_transaction = false;
                self.call(place(session), Call { request: Request::Commit, items: Vec::new() });
            }
            Output::Confirm { upto } => self.processes[process].outbox.write(Write::Confirmed(upto)),
            Output::Refused { sequence, .. } => {
                if self.processes[process].outbox.has_letter(sequence) {
                    return Err(format!("record {sequence} was reported as refused twice"));
                }
                self.processes[process].outbox.write(Write::Letter(sequence));
            }
            Output::Notice(Notice::Ready { published }) => {
                let accepted = self.processes[process].accept_missing_cursor;
                if self.cursor_lost && published > 0 && !accepted && self.cursor().is_none() {
                    return Err(format!("it goes on behind record {published} without a cursor"));
                }
            }
            Output::Notice(_) => {}
            Output::Halt(halt) => self.halted(process, halt)?,
            Output::Stopped => {
                self.end(process);
                let delay = self.random.u64(0..1_000);
                self.after(delay, Happening::Start { process });
            }
        }
        Ok(())
    }

    fn client(&mut self, process: usize, session: Session) -> Result<&mut Client, String> {
        let client = self.processes[process].client.as_mut().filter(|client| client.session == session);
        client.ok_or_else(|| format!("{session:?} has no producer"))
    }

    fn sending(&mut self, process: usize, session: Session) -> Result<&mut Client, String> {
        let client = self.client(process, session)?;
        if client.in_transaction { Ok(client) } else { Err("something was sent outside a transaction".to_owned()) }
    }

    /// Queues the tick that the publisher asks for.
    fn arm(&mut self, process: usize) -> Result<(), String> {
        let next = self.next;
        let here = &mut self.processes[process];
        let wanted = here.publisher.as_ref().and_then(Publisher::wake_at).map(|due| due + here.clock);
        if let Some(due) = wanted.filter(|due| *due <= self.now) {
            return Err(format!("the publisher wants to be woken at {due}, it is {}", self.now));
        }
        if here.tick.map(|(due, _)| due) != wanted {
            if let Some(tick) = here.tick.take() {
                self.queue.remove(&tick);
            }
            here.tick = wanted.map(|due| (due, next));
            if let Some(tick) = here.tick {
                self.next += 1;
                self.queue.insert(tick, Happening::Tick { process });
            }
        }
        Ok(())
    }

    // Drills.

    /// The last cursor that was committed, though a stranger's transaction may hide it.
    fn cursor(&self) -> Option<Bytes> {
        self.kafka.last_committed(self.scenario.partitions, OURS).cloned()
    }

    fn drill(&mut self) -> Result<(), String> {
        let step = self.report.steps;
        if self.scenario.drill == Drill::Backup && step == self.scenario.snapshot_step.max(1) {
            self.snapshot = Some((self.copy(), self.cursor()));
        }
        if step < self.scenario.drill_step {
            return Ok(());
        }
        match self.scenario.drill {
            Drill::None => {}
            Drill::Twin => {
                self.scenario.drill = Drill::None;
                let cursor = self.cursor();
                let twin = Process::new(self.copy(), self.scenario.records / 2, Some(cursor.clone()));
                self.processes[0].forked = Some(cursor);
                self.processes.push(twin);
                self.trace("twin");
                self.start(1)?;
            }
            Drill::Backup => {
                let Some((older, cursor)) = self.snapshot.take() else { return Ok(()) };
                self.scenario.drill = Drill::None;
                self.trace("backup");
                self.end(0);
                self.original = Some(std::mem::replace(&mut self.processes[0].outbox, older));
                self.processes[0].forked = Some(cursor);
                self.after(0, Happening::Start { process: 0 });
            }
            Drill::CursorLost => self.lose_cursor(),
        }
        Ok(())
    }

    /// The directory as it would be after a crash.
    fn copy(&mut self) -> Outbox {
        let mut copy = self.processes[0].outbox.clone();
        let kept = self.random.usize(0..=copy.unsynced());
        copy.crash(kept);
        copy
    }

    /// The cursor topic is lost while the ledger knows of everything that is committed: then an operator who lets that pass
    /// loses nothing.
    fn lose_cursor(&mut self) {
        let Some(Ok(cursor)) = self.cursor().map(|value| Cursor::decode(&value)) else { return };
        if cursor.sequence != self.processes[0].outbox.disk.confirmed || !self.kafka.at_rest(OURS) {
            return;
        }
        // A process that has just read the cursor may go on; the next start learns of it.
        let opening = self.processes[0].publisher.as_ref().is_some_and(|here| here.view().phase == Phase::Opening);
        if opening {
            return;
        }
        self.scenario.drill = Drill::None;
        self.trace("cursor lost");
        let lost = self.scenario.partitions;
        self.kafka.lose(lost);
        self.queue.retain(|_, happening| match happening {
            Happening::Arrive { request: Request::Produce { partition, .. }, .. } => *partition != lost,
            _ => true,
        });
        self.cursor_lost = true;
        if self.random.bool() {
            self.end(0);
            self.after(0, Happening::Start { process: 0 });
        }
    }

    /// A publisher says that its directory may not publish. Somebody else published from a copy of it, or the cursor is gone.
    fn halted(&mut self, process: usize, halt: Halt) -> Result<(), String> {
        self.report.halts += 1;
        let cursor = self.cursor();
        let right = match halt {
            Halt::Unknown { .. } | Halt::Ahead { .. } => {
                self.processes[process].forked.as_ref().is_some_and(|then| *then != cursor)
            }
            Halt::Missing { .. } => self.cursor_lost && cursor.is_none(),
            Halt::Unreadable(_) | Halt::Foreign { .. } => false,
        };
        if !right {
            return Err(format!("process {process} stopped without need: {halt}"));
        }
        self.end(process);
        let here = &mut self.processes[process];
        here.halted = true;
        here.accept_missing_cursor |= matches!(halt, Halt::Missing { .. });
        if !matches!(halt, Halt::Missing { .. }) {
            if here.restarts == 0 || self.healing {
                here.restarts = 0;
                return if self.original.is_some() { self.put_back() } else { Ok(()) };
            }
            here.restarts -= 1;
        }
        let delay = self.random.u64(0..2_000);
        self.after(delay, Happening::Start { process });
        Ok(())
    }

    /// An operator finds the right disk.
    fn put_back(&mut self) -> Result<(), String> {
        let here = &mut self.processes[0];
        if let Some(original) = self.original.take() {
            here.outbox = original;
        }
        (here.forked, here.halted) = (None, false);
        self.start(0)
    }

    // The network and the brokers.

    /// Another egress writes its cursor to the same topic, and takes its time.
    fn stranger(&mut self) {
        if !self.kafka.at_rest(STRANGER) {
            return;
        }
        let partition = self.scenario.partitions;
        let Answer::Done(epoch) = self.serve(STRANGER, 0, &Request::Initialise) else { return };
        self.serve(STRANGER, epoch, &Request::AddPartition(partition));
        let values = vec![Bytes::from_static(b"not our cursor")];
        self.serve(STRANGER, epoch, &Request::Produce { partition, batch: 0, values });
        let delay = self.random.u64(0..4_000);
        self.after(delay, Happening::StrangerEnds);
    }

    fn serve(&mut self, producer: Producer, epoch: u32, request: &Request) -> Answer {
        let poison = self.scenario.poison;
        let answer = self.kafka.serve(self.now, producer, epoch, request, |value| poisonous(poison, value));
        self.trace(&format!("broker {producer} {epoch} {request:?} {answer:?}"));
        self.mark_later();
        answer
    }

    fn mark_later(&mut self) {
        if !self.marking {
            self.marking = true;
            let delay = self.delay();
            self.after(delay, Happening::Marker);
        }
    }

    /// Requests that the client has ready.
    fn call_out(&mut self, process: usize) {
        let here = &mut self.processes[process];
        let Some(client) = &mut here.client else { return };
        let place = Place { process, generation: here.generation, session: client.session };
        for call in client.calls(&mut self.random) {
            self.call(place, call);
        }
    }

    fn call(&mut self, place: Place, call: Call) {
        let epoch = self.processes[place.process].client.as_ref().map_or(0, |client| client.epoch);
        let id = self.next;
        self.next += 1;
        self.calls.insert(id, Pending { place, epoch, call, deadline: self.now + CALL_MS });
        self.send(id);
    }

    /// A request leaves; it may be lost, or come late, and so may its answer. The client repeats it then.
    fn send(&mut self, call: u64) {
        let Some(pending) = self.calls.get(&call) else { return };
        let (epoch, request) = (pending.epoch, pending.call.request.clone());
        let there = self.random.u64(0..5);
        if self.now < self.down {
            return self.after(there, Happening::Lost { call, event: true });
        }
        let (lost, late) = (self.chance(self.scenario.faults.lost), self.chance(self.scenario.faults.late));
        let silent = self.chance(self.scenario.faults.answer_lost);
        if lost || late || silent {
            let event = self.random.bool();
            let noticed = if event { self.random.u64(1..200) } else { self.random.u64(2_500..4_000) };
            self.after(noticed, Happening::Lost { call, event });
            let arrives = if late { self.random.u64(0..noticed * 2 + 200) } else { there };
            if late || !lost {
                self.after(arrives, Happening::Arrive { call, epoch, request, answered: false });
            }
            return;
        }
        let there = if self.chance(self.scenario.faults.slow) { self.random.u64(0..1_500) } else { there };
        self.after(there, Happening::Arrive { call, epoch, request, answered: true });
    }

    fn arrive(&mut self, call: u64, epoch: u32, request: &Request, answered: bool) {
        if self.now < self.down {
            if answered {
                self.after(1, Happening::Lost { call, event: true });
            }
            return;
        }
        let answer = self.serve(OURS, epoch, request);
        if answered {
            let back = self.random.u64(0..5);
            self.after(back, Happening::Answered { call, answer });
        }
    }

    fn lost(&mut self, call: u64, event: bool) {
        let Some(pending) = self.calls.get(&call) else { return };
        let (place, late) = (pending.place, self.now > pending.deadline);
        if event {
            self.say(place, Input::Disturbed { session: place.session, error: "connection lost".into() });
        }
        if late {
            return self.give_up(call, FailureKind::Transient);
        }
        let delay = self.random.u64(20..100);
        self.after(delay, Happening::Resend { call });
    }

    /// The client reports a failure.
    fn give_up(&mut self, call: u64, kind: FailureKind) {
        let Some(Pending { place, call, .. }) = self.calls.remove(&call) else { return };
        if call.items.is_empty() {
            return self.say(place, failed(place.session, kind));
        }
        for item in call.items {
            self.delivered(place, item, Delivery::Failed(failure(kind)));
        }
    }

    fn delivered(&mut self, place: Place, item: Item, delivery: Delivery) {
        self.say(place, Input::Delivered { session: place.session, item, delivery });
    }

    fn answered(&mut self, id: u64, answer: Answer) {
        let Some(pending) = self.calls.get(&id) else { return };
        let place = pending.place;
        match answer {
            Answer::Concurrent => {
                let delay = self.random.u64(20..50);
                return self.after(delay, Happening::Resend { call: id });
            }
            Answer::Fenced => return self.give_up(id, FailureKind::Fenced),
            Answer::Invalid => return self.give_up(id, FailureKind::Transient),
            Answer::Done(_) | Answer::Refused => {}
        }
        let Some(Pending { call, .. }) = self.calls.remove(&id) else { return };
        let Some(client) = &mut self.processes[place.process].client else { return };
        client.answered(&call.request);
        match (&call.request, answer) {
            (Request::Initialise, Answer::Done(epoch)) => {
                client.epoch = epoch;
                self.say(place, Input::Opened(place.session));
            }
            (Request::Commit, _) => self.say(place, Input::Committed(place.session)),
            (_, answer) => {
                for item in call.items {
                    let delivery = match answer {
                        Answer::Refused => Delivery::Refused { error: "record is too large".into() },
                        _ => Delivery::Done,
                    };
                    self.delivered(place, item, delivery);
                }
            }
        }
        self.call_out(place.process);
    }

    /// A reader goes from `from` to `upto`; it waits where an open transaction holds back what is behind it.
    fn read(&mut self, place: Place, from: usize, upto: usize, isolation: Isolation, deadline: Millis) {
        let partition = self.scenario.partitions;
        let here = &self.processes[place.process];
        if here.generation != place.generation {
            return;
        }
        if self.now < self.down || self.kafka.end(partition, isolation) < upto {
            if self.now > deadline {
                return self.say(place, failed(place.session, FailureKind::Transient));
            }
            return self.after(50, Happening::Read { place, from, upto, isolation, deadline });
        }
        let mut cursors = self.kafka.read(partition, OURS, isolation).filter(|(at, _)| (from..upto).contains(at));
        let found = cursors.next_back().map(|(offset, value)| (offset as Offset, value.clone()));
        drop(cursors);
        self.say(place, Input::Cursor { session: place.session, found });
    }

    fn say(&mut self, place: Place, input: Input) {
        if self.processes[place.process].generation == place.generation {
            self.say_process(place.process, input);
        }
    }

    /// Word for a publisher: in order, sometimes late.
    fn say_process(&mut self, process: usize, input: Input) {
        let most = if self.chance(self.scenario.faults.said_late) { 2_000 } else { 3 };
        let delay = self.random.u64(0..most);
        let here = &mut self.processes[process];
        here.heard = here.heard.max(self.now + delay);
        let generation = here.generation;
        let at = here.heard;
        self.queue.insert((at, self.next), Happening::Say { process, generation, input });
        self.next += 1;
    }

    /// Calls on a producer that was dropped may return for a while, with whatever they like: nobody listens.
    fn say_anything(&mut self, place: Place) {
        let session = place.session;
        while self.chance(self.scenario.faults.said_late * 10) {
            let input = match self.random.u32(0..6) {
                0 => Input::Opened(session),
                1 => Input::EndOffset { session, offset: 0 },
                2 => Input::Cursor { session, found: None },
                3 => Input::Committed(session),
                4 => Input::Delivered { session, item: Item::Cursor, delivery: Delivery::Done },
                _ => failed(session, FailureKind::Fenced),
            };
            let delay = self.random.u64(0..2_000);
            let (process, generation) = (place.process, place.generation);
            self.after(delay, Happening::Say { process, generation, input });
        }
    }

    // The end.

    fn judge(&mut self) -> Result<(), String> {
        while self.kafka.expire(Millis::MAX) || self.kafka.write_marker() {}
        let left: Vec<&Process> = self.processes.iter().filter(|process| !process.halted).collect();
        let [process] = left[..] else { return Err(format!("{} processes may publish", left.len())) };
        let disk = &process.outbox.disk;
        if disk.confirmed != disk.history.len() as Sequence {
            return Err(format!("{} of {} records are confirmed", disk.confirmed, disk.history.len()));
        }
        // A dead letter that another state of the directory had is known there only.
        let others = self.processes.iter().map(|process| &process.outbox).chain(&self.original);
        let others: Vec<&Disk> = others.map(|outbox| &outbox.disk).collect();
        let mut expected = vec![Vec::new(); self.scenario.partitions];
        for (sequence, record) in (1..).zip(&disk.history) {
            let refused = poisonous(self.scenario.poison, &Bytes::copy_from_slice(&record.to_be_bytes()));
            let right = match refused {
                true => others.iter().any(|disk| disk.letters.contains(&sequence)),
                false => !disk.letters.contains(&sequence),
            };
            if !right {
                return Err(format!("record {sequence} ({record}): refused is {refused}, its dead letter is not"));
            }
            if !refused {
                expected[self.partition(*record)].push(*record);
            }
        }
        for (partition, expected) in expected.iter().enumerate() {
            let seen = self.kafka.read(partition, OURS, Isolation::Committed);
            let seen: Vec<u64> = seen.map(|(_, value)| number(value)).collect();
            if seen != *expected {
                return Err(format!("partition {partition} shows {seen:?}, the outbox had {expected:?}"));
            }
        }
        self.report.records = disk.history.len() as u64;
        self.report.letters = disk.letters.len() as u64;
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

fn failure(kind: FailureKind) -> Failure {
    let error: Arc<str> = match kind {
        FailureKind::Fenced => "fenced by a newer instance".into(),
        _ => "timed out".into(),
    };
    Failure { kind, error }
}

fn failed(session: Session, kind: FailureKind) -> Input {
    Input::Failed { session, failure: failure(kind) }
}

/// The number of a record.
fn number(record: &[u8]) -> u64 {
    u64::from_be_bytes(record.try_into().expect("records are written by this world"))
}

/// No broker takes it.
fn poisonous(poison: Option<u64>, value: &Bytes) -> bool {
    value.len() == 8 && poison.is_some_and(|poison| number(value) % poison == poison - 1)
}
