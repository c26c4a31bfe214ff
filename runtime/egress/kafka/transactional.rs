//! `exactly-once`: carries out what the [publisher](millpond_publisher) decides. Its contract is the head of that crate.
//!
//! Calls that block are made here, one after the other; what the client reported before a call returned is told before the
//! answer of that call.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use bytes::Bytes;
use millpond_protocol::TypeName;
use millpond_publisher::{
    Config, Delivery, Failure, FailureKind, Input, Item, Limits, Notice, Output, Phase, Publisher, Session as SessionId,
};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use tracing::{debug, error, info, warn};

use super::cursor_topic::CursorTopic;
use super::pace::Pace;
use super::session::{Session, Unsent, is_refusal};
use super::{CALL, EgressHalted, Surroundings, Word, next_word};
use crate::kafka::{Settings, describe};
use crate::ledger::{LedgerError, RefusedByEgress};

/// The thread's content.
pub(super) struct Driver {
    id: TypeName,
    settings: Settings,
    around: Surroundings,
    inbox: Receiver<Word>,
    publisher: Publisher,
    began: Instant,
    cursors: CursorTopic,
    /// Key of the cursor record.
    key: Vec<u8>,
    session: Option<(SessionId, Session<Item>)>,
    /// What happened and was not told yet.
    told: VecDeque<Input>,
    /// What the client said last, for errors that say only that time is up.
    complaint: Option<String>,
    warned: Option<Instant>,
    pace: Pace,
    ended: bool,
}

/// Pause between two warnings.
const EVERY: Duration = Duration::from_secs(10);

impl Driver {
    /// A driver whose claim is durable.
    pub(super) fn new(
        id: TypeName,
        mut settings: Settings,
        around: Surroundings,
        inbox: Receiver<Word>,
    ) -> Result<Driver, LedgerError> {
        let ledger = around.ledger.identity()?;
        let (first, next) = around.ledger.lane(&around.name)?;
        let mut incarnation = [0; 8];
        getrandom::fill(&mut incarnation).map_err(|error| LedgerError::Random(std::io::Error::other(error).into()))?;
        let config = Config {
            ledger,
            incarnation: u64::from_be_bytes(incarnation),
            lineage: around.ledger.lineage(&around.name)?,
            confirmed: first - 1,
            durable: next - 1,
            checkpoint: 0,
            refused: around.ledger.refused(&around.name)?.into_keys().filter(|refused| *refused >= first).collect(),
            accept_missing_cursor: false,
            limits: Limits::default(),
        };
        settings.set("transactional.id", format!("{}-{ledger:032x}-{id}", around.app));
        let cursors = CursorTopic::new(&around.app, &settings);
        let key = format!("{ledger:032x} {id}").into_bytes();
        let mut driver = Driver {
            id,
            settings,
            around,
            inbox,
            publisher: Publisher::new(config),
            began: Instant::now(),
            cursors,
            key,
            session: None,
            told: VecDeque::new(),
            complaint: None,
            warned: None,
            pace: Pace::default(),
            ended: false,
        };
        while let Some(output) = driver.publisher.poll() {
            driver.carry_out(output)?;
        }
        Ok(driver)
    }

    /// Runs until it is told to stop, or may not go on.
    pub(super) fn run(mut self) {
        while !self.ended {
            self.wait();
            while let Some(input) = self.told.pop_front() {
                if let Err(error) = self.tell(input) {
                    (self.around.halt)(EgressHalted::Ledger(error));
                    return;
                }
            }
        }
    }

    fn tell(&mut self, input: Input) -> Result<(), LedgerError> {
        self.publisher.handle(self.now(), input);
        while let Some(output) = self.publisher.poll() {
            self.carry_out(output)?;
        }
        Ok(())
    }

    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Until something happens.
    fn wait(&mut self) {
        /// While reports are due the client is looked at that often: it has no other way to say that it has some.
        const REPORTS: Duration = Duration::from_micros(300);
        const IDLE: Duration = Duration::from_millis(200);
        self.look();
        if !self.told.is_empty() {
            return;
        }
        let reports = self.session.as_ref().is_some_and(|(_, session)| session.unreported() > 0);
        let due = self.publisher.wake_at().map(|due| Duration::from_millis(due.saturating_sub(self.now())));
        let wait = if reports { REPORTS } else { due.unwrap_or(IDLE).min(IDLE) };
        match next_word(&self.inbox, wait) {
            Some(Word::Durable { upto, checkpoint }) => self.told.push_back(Input::Durable { upto, checkpoint }),
            Some(Word::Stop) => self.told.push_back(Input::Stop),
            None if self.publisher.wake_at().is_some_and(|due| due <= self.now()) => self.told.push_back(Input::Tick),
            None => {}
        }
    }

    /// Takes what the client has to say.
    fn look(&mut self) {
        let Some((id, session)) = &mut self.session else { return };
        let (session, events) = (*id, session.events());
        self.complaint = events.complaint().or(self.complaint.take());
        for (code, words) in events.errors {
            match code {
                RDKafkaErrorCode::BrokerTransportFailure
                | RDKafkaErrorCode::OperationTimedOut
                | RDKafkaErrorCode::AllBrokersDown => {
                    self.told.push_back(Input::Disturbed { session, error: words.as_str().into() });
                }
                RDKafkaErrorCode::Fatal | RDKafkaErrorCode::Fenced => {
                    let kind = if code == RDKafkaErrorCode::Fenced { FailureKind::Fenced } else { FailureKind::Fatal };
                    let failure = Failure { kind, error: words.as_str().into() };
                    self.told.push_back(Input::Failed { session, failure });
                }
                _ => {}
            }
        }
        if !events.reports.is_empty() {
            self.pace.reported();
        }
        for (item, error) in events.reports {
            let delivery = match error {
                None => Delivery::Done,
                Some(error) if is_refusal(&error) => Delivery::Refused { error: error.to_string().into() },
                Some(error) => Delivery::Failed(failure(&error, None)),
            };
            self.told.push_back(Input::Delivered { session, item, delivery });
        }
    }

    fn carry_out(&mut self, output: Output) -> Result<(), LedgerError> {
        match output {
            Output::Claim(starts) => {
                self.around.ledger.claim(&self.around.name, &starts)?;
                self.told.push_back(Input::Claimed);
            }
            Output::Open(session) => {
                let opened = self.open(session);
                self.answer(session, opened, |()| Input::Opened(session));
            }
            Output::Close(_) => self.session = None,
            Output::EndOffset { session, isolation } => {
                let end = self.cursors.end(isolation);
                self.answer(session, end, |offset| Input::EndOffset { session, offset });
            }
            Output::ReadCursor { session, from, upto, isolation } => {
                let found = self.cursors.read(&self.key, from, upto, isolation);
                self.answer(session, found, |found| Input::Cursor { session, found });
            }
            Output::Fetch { session, after, upto, records, bytes } => {
                self.pace.wait();
                let mut records = self.around.ledger.outbox(&self.around.name, after, records, bytes)?;
                records.retain(|(sequence, _)| *sequence <= upto);
                self.told.push_back(Input::Fetched { session, records });
            }
            Output::Begin(session) => {
                self.pace.begins();
                let begun = self.producer(|producer| producer.begin());
                if let Err(error) = begun {
                    self.failed(session, &error);
                }
            }
            Output::Send { session, sequence, record } => self.send(session, sequence, &record),
            Output::SendCursor { session, cursor } => {
                let (topic, key) = (self.cursors.topic.clone(), self.key.clone());
                let Some((_, producer)) = &mut self.session else { return Ok(()) };
                let sent = producer.send_to(Item::Cursor, &topic, Some(&key), &cursor, None);
                self.sent(session, Item::Cursor, sent);
            }
            Output::Commit(session) => {
                let committed = self.producer(|producer| producer.commit(CALL));
                self.pace.ends();
                self.answer(session, committed, |()| Input::Committed(session));
            }
            Output::Confirm { upto } => (self.around.free)(upto),
            Output::Refused { sequence, error } => self.refuse(sequence, &error)?,
            Output::Notice(notice) => self.say(&notice),
            Output::Halt(halt) => {
                self.ended = true;
                (self.around.halt)(EgressHalted::Publisher { egress: self.id.clone(), halt });
            }
            Output::Stopped => self.ended = true,
        }
        Ok(())
    }

    fn open(&mut self, id: SessionId) -> Result<(), KafkaError> {
        self.complaint = None;
        self.cursors.make()?;
        let session = Session::new(&self.id.to_string(), &self.settings)?;
        let initialised = session.init_transactions(CALL);
        self.session = Some((id, session));
        initialised
    }

    fn producer(&self, call: impl FnOnce(&Session<Item>) -> Result<(), KafkaError>) -> Result<(), KafkaError> {
        match &self.session {
            Some((_, session)) => call(session),
            None => Err(KafkaError::Canceled),
        }
    }

    /// What was reported while a call blocked, then its answer.
    fn answer<T>(&mut self, session: SessionId, result: Result<T, KafkaError>, answer: impl FnOnce(T) -> Input) {
        self.look();
        match result {
            Ok(value) => self.told.push_back(answer(value)),
            Err(error) => self.failed(session, &error),
        }
    }

    fn failed(&mut self, session: SessionId, error: &KafkaError) {
        self.look();
        let complaint = self.cursors.complaint().or_else(|| self.complaint.clone());
        let complaint = complaint.map(|complaint| self.settings.explained(complaint));
        let failure = failure(error, complaint.as_deref());
        self.told.push_back(Input::Failed { session, failure });
    }

    fn send(&mut self, session: SessionId, sequence: u64, record: &Bytes) {
        let Some((_, producer)) = &mut self.session else { return };
        let item = Item::Record(sequence);
        let sent = producer.send(item, record);
        self.sent(session, item, sent);
    }

    /// What the client did not take has its report at once.
    fn sent(&mut self, session: SessionId, item: Item, sent: Result<(), Unsent>) {
        let delivery = match sent {
            Ok(()) => return,
            Err(Unsent::Refused(error)) => Delivery::Refused { error: error.into() },
            Err(Unsent::Failed(error)) => Delivery::Failed(failure(&error, None)),
        };
        self.told.push_back(Input::Delivered { session, item, delivery });
    }

    /// A record that nobody will ever take is kept in the ledger, with the reason.
    fn refuse(&mut self, sequence: u64, why: &str) -> Result<(), LedgerError> {
        let found = self.around.ledger.outbox(&self.around.name, sequence - 1, 1, usize::MAX)?;
        let record = found.into_iter().find(|(found, _)| *found == sequence).map(|(_, record)| record);
        let refused = RefusedByEgress { sequence, record: record.unwrap_or_default(), error: why.to_owned() };
        self.around.ledger.refuse(&self.around.name, &refused)?;
        let hint = "millpond explain MP6031";
        error!(egress = %self.id, code = "MP6031", sequence, error = why, hint, "record refused for good, kept in the ledger");
        self.told.push_back(Input::Recorded(sequence));
        Ok(())
    }

    fn say(&mut self, notice: &Notice) {
        let egress = &self.id;
        match notice {
            Notice::Doubt { attempt, next_ms, kind, error } => {
                debug!(%egress, attempt, next_ms, ?kind, %error, "new producer");
                if *attempt > 0 && self.warned.is_none_or(|at| at.elapsed() >= EVERY) {
                    self.warned = Some(Instant::now());
                    let waiting = self.publisher.view().durable - self.publisher.view().confirmed;
                    let hint = "millpond explain MP6030";
                    warn!(%egress, code = "MP6030", attempt, next_ms, waiting, %error, hint, "publishing failed, will go on with a new producer");
                }
            }
            Notice::Ready { published } => match self.warned.take() {
                Some(_) => info!(%egress, published, "publishing goes on"),
                None => debug!(%egress, published, "producer ready"),
            },
            Notice::CursorAccepted { confirmed } => {
                warn!(%egress, confirmed, "publishing goes on without a cursor, as it was told to");
            }
        }
        if self.publisher.view().phase == Phase::Ended {
            debug!(%egress, "publisher ended");
        }
    }
}

/// An error of the client, with what it complained of before when time was up.
fn failure(error: &KafkaError, complaint: Option<&str>) -> Failure {
    let code = error.rdkafka_error_code();
    let kind = match (error, code) {
        (
            _,
            Some(RDKafkaErrorCode::Fenced | RDKafkaErrorCode::ProducerFenced | RDKafkaErrorCode::InvalidProducerEpoch),
        ) => FailureKind::Fenced,
        (KafkaError::Transaction(cause), _) if cause.is_fatal() => FailureKind::Fatal,
        (_, Some(RDKafkaErrorCode::Fatal)) => FailureKind::Fatal,
        _ => FailureKind::Transient,
    };
    let words = match complaint {
        Some(complaint) => format!("{} ({complaint})", describe(error)),
        None => describe(error),
    };
    Failure { kind, error: Arc::from(words) }
}
