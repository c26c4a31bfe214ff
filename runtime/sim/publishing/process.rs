//! A process on a directory: the publisher, its client, its ledger, and what grows in it.
//!
//! A crash throws the publisher, the client and a part of what was not synced away. Order of effects: the ledger makes writes
//! durable in their order, and the publisher hears of it later.

use bytes::Bytes;
use millpond_publisher::{Input, Item, Millis, Notice, Output, Publisher, Sequence, Session};

use super::{CALL_MS, Happening, Place, World, number};
use crate::client::{Call, Client};
use crate::kafka::Request;
use crate::outbox::{Outbox, Write};

/// A process on a directory.
pub(super) struct Process {
    pub(super) outbox: Outbox,
    pub(super) publisher: Option<Publisher>,
    pub(super) client: Option<Client>,
    pub(super) generation: u64,
    /// What its clock shows less than the world's.
    pub(super) clock: Millis,
    /// When what was said last of this producer is heard: nothing overtakes it.
    pub(super) heard: Millis,
    pub(super) tick: Option<(Millis, u64)>,
    pub(super) syncing: bool,
    pub(super) appending: bool,
    pub(super) stopping: bool,
    /// Records to come.
    pub(super) left: u32,
    /// The cursor when a copy of this directory was made.
    pub(super) forked: Option<Option<Bytes>>,
    pub(super) accept_missing_cursor: bool,
    pub(super) halted: bool,
    /// How often a supervisor starts it again after a halt.
    pub(super) restarts: u32,
}

impl Process {
    pub(super) fn new(outbox: Outbox, left: u32, forked: Option<Option<Bytes>>) -> Process {
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
    /// A new process over what the directory has.
    pub(super) fn start(&mut self, process: usize) -> Result<(), String> {
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
    pub(super) fn end(&mut self, process: usize) {
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

    pub(super) fn crash(&mut self, process: usize) -> Result<(), String> {
        self.report.crashes += 1;
        self.trace(&format!("crash {process}"));
        self.end(process);
        let most = if self.random.bool() { 10 } else { 15_000 };
        let delay = self.random.u64(0..most);
        self.after(delay, Happening::Start { process });
        Ok(())
    }

    pub(super) fn append_later(&mut self, process: usize) {
        let most = if self.random.u32(0..10) == 0 { 3_000 } else { 100 };
        let delay = self.random.u64(0..most);
        let here = &mut self.processes[process];
        if here.publisher.is_some() && here.left > 0 && !here.appending {
            here.appending = true;
            let generation = here.generation;
            self.after(delay, Happening::Append { process, generation });
        }
    }

    pub(super) fn append(&mut self, process: usize) {
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

    pub(super) fn sync(&mut self, process: usize) {
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

    pub(super) fn tell(&mut self, process: usize, input: Input) -> Result<(), String> {
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
}
