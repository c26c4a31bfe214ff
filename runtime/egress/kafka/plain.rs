//! `at-least-once` and `none`: no transaction, no cursor.
//!
//! With `at-least-once` a record leaves the outbox behind its delivery report, in order; after a failure everything behind the
//! last one that left is sent again. With `none` it leaves when the client has it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use rdkafka::error::KafkaError;
use tracing::{debug, error};

use super::session::{Session, Unsent, is_refusal, record_bytes};
use super::standing::State;
use super::trouble::{Cause, Trouble, topic_of};
use super::{Around, EgressHalted, GRACE, SLOW, Word, next_word};
use crate::kafka::{Settings, aside};
use crate::ledger::{LedgerError, RefusedByEgress};

/// Records that are sent and not reported, at most.
const IN_FLIGHT: usize = 10_000;
/// Bytes that are read from the outbox at once.
const READ_BYTES: usize = 4 << 20;

/// The thread's content.
pub(super) struct Driver {
    settings: Settings,
    around: Around,
    inbox: Receiver<Word>,
    /// Reports are waited for.
    tracked: bool,
    session: Option<Session<Sent>>,
    durable: u64,
    /// Everything up to this one left the outbox.
    confirmed: u64,
    /// Everything up to this one was sent, in this session.
    sent: u64,
    in_flight: BTreeSet<u64>,
    /// When something was reported last, or sent while nothing was in flight.
    moved: Instant,
    /// No new producer before.
    rests_until: Option<Instant>,
    failures: u32,
    /// What the client said last, for errors that say only that time is up.
    complaint: Option<String>,
    trouble: Trouble,
}

/// What was sent.
#[derive(Debug, Clone, Copy)]
struct Sent {
    sequence: u64,
    bytes: u64,
}

impl Driver {
    pub(super) fn new(
        settings: Settings,
        around: Around,
        inbox: Receiver<Word>,
        tracked: bool,
    ) -> Result<Driver, LedgerError> {
        let (first, next) = around.ledger.lane(&around.name)?;
        let user = settings.get("sasl.username").map(str::to_owned);
        let trouble = Trouble::new(Arc::clone(&around.standing), user, None);
        Ok(Driver {
            settings,
            around,
            inbox,
            tracked,
            session: None,
            durable: next - 1,
            confirmed: first - 1,
            sent: first - 1,
            in_flight: BTreeSet::new(),
            moved: Instant::now(),
            rests_until: None,
            failures: 0,
            complaint: None,
            trouble,
        })
    }

    /// Runs until it is told to stop.
    pub(super) fn run(mut self) {
        const REPORTS: Duration = Duration::from_micros(500);
        const IDLE: Duration = Duration::from_millis(200);
        loop {
            let wait = if self.sent < self.durable || !self.in_flight.is_empty() { REPORTS } else { IDLE };
            match next_word(&self.inbox, wait) {
                Some(Word::Durable { upto, .. }) => {
                    self.durable = self.durable.max(upto);
                    self.around.standing.durable(upto);
                }
                Some(Word::Stop) => break,
                None => {}
            }
            if let Err(error) = self.step() {
                (self.around.halt)(EgressHalted::Ledger(error));
                return;
            }
            let idle = self.confirmed >= self.durable;
            self.around.standing.state(if idle { State::Idle } else { State::Publishing });
        }
        self.finish();
        self.around.standing.state(State::Stopped);
        if let Some(session) = self.session.take() {
            // A client ends its connections first, which takes a moment when nobody answers.
            let _ = aside::beside("millpond-kafka", move || drop(session));
        }
    }

    /// What is in flight has a moment to arrive.
    fn finish(&mut self) {
        while self.session.as_ref().is_some_and(|session| session.unreported() > 0) && !self.around.leave.is_over(GRACE)
        {
            if self.reports().is_err() {
                return;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn step(&mut self) -> Result<(), LedgerError> {
        self.reports()?;
        if self.sent >= self.durable || self.in_flight.len() >= IN_FLIGHT {
            return Ok(());
        }
        if self.rests_until.is_some_and(|until| Instant::now() < until) {
            std::thread::sleep(Duration::from_millis(5));
            return Ok(());
        }
        if self.session.is_none() {
            match Session::new(&self.around.id.to_string(), &self.settings, &self.around.leave) {
                Ok(session) => self.session = Some(session),
                Err(error) => return self.failed(&error, None),
            }
        }
        let room = IN_FLIGHT - self.in_flight.len();
        let records = self.around.ledger.outbox(&self.around.name, self.sent, room, READ_BYTES)?;
        for (sequence, record) in records {
            let Some(session) = &mut self.session else { return Ok(()) };
            let sent = Sent { sequence, bytes: record_bytes(&record) };
            match session.send(sent, &record) {
                Ok(()) if self.tracked => {
                    if self.in_flight.is_empty() {
                        self.moved = Instant::now();
                    }
                    self.in_flight.insert(sequence);
                }
                Ok(()) => {}
                Err(Unsent::Refused(why)) => self.refuse(sequence, &why)?,
                Err(Unsent::Failed(error)) => return self.failed(&error, Some(sequence)),
            }
            self.sent = sequence;
        }
        self.confirm();
        Ok(())
    }

    /// Takes what the client has to say.
    fn reports(&mut self) -> Result<(), LedgerError> {
        let Some(session) = &mut self.session else { return Ok(()) };
        let events = session.events();
        self.complaint = events.complaint().or(self.complaint.take());
        if !events.reports.is_empty() {
            self.moved = Instant::now();
        } else if !self.in_flight.is_empty() && self.moved.elapsed() >= SLOW && !self.around.leave.is_told() {
            // A cluster that does not answer makes no error for minutes.
            let words = format!("no answer for {} s", self.moved.elapsed().as_secs());
            self.trouble.held_up(&self.around.id, self.failures, &words);
        }
        let mut failed = None;
        for (report, error) in events.reports {
            match error {
                None => {
                    self.failures = 0;
                    self.complaint = None;
                    self.trouble.goes_on(&self.around.id);
                    self.around.standing.sent(1, report.bytes);
                }
                Some(error) if is_refusal(&error) => self.refuse(report.sequence, &error.to_string())?,
                Some(error) => {
                    failed.get_or_insert((error, report.sequence));
                    continue;
                }
            }
            self.in_flight.remove(&report.sequence);
        }
        self.confirm();
        match failed {
            Some((error, sequence)) => self.failed(&error, Some(sequence)),
            None => Ok(()),
        }
    }

    /// Everything below the first one in flight is published.
    fn confirm(&mut self) {
        let upto = self.in_flight.first().map_or(self.sent, |first| first - 1);
        if upto > self.confirmed {
            self.confirmed = upto;
            self.around.standing.published(upto);
            (self.around.free)(upto);
        }
    }

    /// A new producer later, that sends again what was in flight.
    fn failed(&mut self, error: &KafkaError, sequence: Option<u64>) -> Result<(), LedgerError> {
        self.failures = self.failures.saturating_add(1);
        let pause = Duration::from_millis(50 << self.failures.min(8));
        self.rests_until = Some(Instant::now() + pause);
        let topic = sequence.and_then(|sequence| topic_of(&*self.around.ledger, &self.around.name, sequence));
        let cause = if sequence.is_some() { Cause::Topic(topic.as_deref()) } else { Cause::Opening };
        let words = self.trouble.failed(error, cause, self.complaint.as_deref());
        debug!(egress = %self.around.id, error = %words, "publishing failed");
        if !self.around.leave.is_told() {
            self.trouble.held_up(&self.around.id, self.failures, &words);
        }
        if self.tracked {
            self.around.standing.restart();
            self.session = None;
            self.in_flight.clear();
            self.sent = self.confirmed;
        }
        Ok(())
    }

    fn refuse(&mut self, sequence: u64, why: &str) -> Result<(), LedgerError> {
        let found = self.around.ledger.outbox(&self.around.name, sequence - 1, 1, usize::MAX)?;
        let record = found.into_iter().find(|(found, _)| *found == sequence).map(|(_, record)| record);
        // With `none` a record has left the outbox by then.
        self.around.standing.refused(record.is_some());
        if let Some(record) = record {
            let refused = RefusedByEgress { sequence, record, error: why.to_owned() };
            self.around.ledger.refuse(&self.around.name, &refused)?;
        }
        let hint = "millpond explain MP6031";
        error!(egress = %self.around.id, code = "MP6031", sequence, error = why, hint, "record refused for good");
        Ok(())
    }
}
