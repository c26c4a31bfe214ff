//! `at-least-once` and `none`: no transaction, no cursor.
//!
//! With `at-least-once` a record leaves the outbox behind its delivery report, in order; after a failure everything behind the
//! last one that left is sent again. With `none` it leaves when the client has it.

use std::collections::BTreeSet;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use millpond_protocol::TypeName;
use rdkafka::error::KafkaError;
use tracing::{debug, error, info, warn};

use super::session::{Session, Unsent, is_refusal};
use super::{EgressHalted, Surroundings, Word, next_word};
use crate::kafka::{Settings, describe};
use crate::ledger::{LedgerError, RefusedByEgress};

/// Records that are sent and not reported, at most.
const IN_FLIGHT: usize = 10_000;
/// Bytes that are read from the outbox at once.
const READ_BYTES: usize = 4 << 20;
/// Pause between two warnings.
const EVERY: Duration = Duration::from_secs(10);

/// The thread's content.
pub(super) struct Driver {
    id: TypeName,
    settings: Settings,
    around: Surroundings,
    inbox: Receiver<Word>,
    /// Reports are waited for.
    tracked: bool,
    session: Option<Session<u64>>,
    durable: u64,
    /// Everything up to this one left the outbox.
    confirmed: u64,
    /// Everything up to this one was sent, in this session.
    sent: u64,
    in_flight: BTreeSet<u64>,
    /// No new producer before.
    rests_until: Option<Instant>,
    failures: u32,
    warned: Option<Instant>,
}

impl Driver {
    pub(super) fn new(
        id: TypeName,
        settings: Settings,
        around: Surroundings,
        inbox: Receiver<Word>,
        tracked: bool,
    ) -> Result<Driver, LedgerError> {
        let (first, next) = around.ledger.lane(&around.name)?;
        Ok(Driver {
            id,
            settings,
            around,
            inbox,
            tracked,
            session: None,
            durable: next - 1,
            confirmed: first - 1,
            sent: first - 1,
            in_flight: BTreeSet::new(),
            rests_until: None,
            failures: 0,
            warned: None,
        })
    }

    /// Runs until it is told to stop.
    pub(super) fn run(mut self) {
        const REPORTS: Duration = Duration::from_micros(500);
        const IDLE: Duration = Duration::from_millis(200);
        loop {
            let wait = if self.sent < self.durable || !self.in_flight.is_empty() { REPORTS } else { IDLE };
            match next_word(&self.inbox, wait) {
                Some(Word::Durable { upto, .. }) => self.durable = self.durable.max(upto),
                Some(Word::Stop) => break,
                None => {}
            }
            if let Err(error) = self.step() {
                (self.around.halt)(EgressHalted::Ledger(error));
                return;
            }
        }
        self.finish();
    }

    /// What is in flight has a moment to arrive.
    fn finish(&mut self) {
        const PATIENCE: Duration = Duration::from_secs(5);
        let deadline = Instant::now() + PATIENCE;
        while self.session.as_ref().is_some_and(|session| session.unreported() > 0) && Instant::now() < deadline {
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
            match Session::new(&self.id.to_string(), &self.settings) {
                Ok(session) => self.session = Some(session),
                Err(error) => return self.failed(&error),
            }
        }
        let room = IN_FLIGHT - self.in_flight.len();
        let records = self.around.ledger.outbox(&self.around.name, self.sent, room, READ_BYTES)?;
        for (sequence, record) in records {
            let Some(session) = &mut self.session else { return Ok(()) };
            match session.send(sequence, &record) {
                Ok(()) => {
                    if self.tracked {
                        self.in_flight.insert(sequence);
                    }
                }
                Err(Unsent::Refused(why)) => self.refuse(sequence, &why)?,
                Err(Unsent::Failed(error)) => return self.failed(&error),
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
        let mut failed = None;
        for (sequence, error) in events.reports {
            match error {
                None => {
                    self.failures = 0;
                    if self.warned.take().is_some() {
                        info!(egress = %self.id, "publishing goes on");
                    }
                }
                Some(error) if is_refusal(&error) => self.refuse(sequence, &error.to_string())?,
                Some(error) => {
                    failed = Some(error);
                    continue;
                }
            }
            self.in_flight.remove(&sequence);
        }
        self.confirm();
        match failed {
            Some(error) => self.failed(&error),
            None => Ok(()),
        }
    }

    /// Everything below the first one in flight is published.
    fn confirm(&mut self) {
        let upto = self.in_flight.first().map_or(self.sent, |first| first - 1);
        if upto > self.confirmed {
            self.confirmed = upto;
            (self.around.free)(upto);
        }
    }

    /// A new producer later, that sends again what was in flight.
    fn failed(&mut self, error: &KafkaError) -> Result<(), LedgerError> {
        self.failures = self.failures.saturating_add(1);
        let pause = Duration::from_millis(50 << self.failures.min(8));
        self.rests_until = Some(Instant::now() + pause);
        let error = describe(error);
        debug!(egress = %self.id, %error, "publishing failed");
        if self.warned.is_none_or(|at| at.elapsed() >= EVERY) {
            self.warned = Some(Instant::now());
            let (waiting, hint) = (self.durable - self.confirmed, "millpond explain MP6030");
            warn!(egress = %self.id, code = "MP6030", waiting, %error, hint, "publishing failed, will try again");
        }
        if self.tracked {
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
        if let Some(record) = record {
            let refused = RefusedByEgress { sequence, record, error: why.to_owned() };
            self.around.ledger.refuse(&self.around.name, &refused)?;
        }
        let hint = "millpond explain MP6031";
        error!(egress = %self.id, code = "MP6031", sequence, error = why, hint, "record refused for good");
        Ok(())
    }
}
