//! `exactly-once`: carries out what the [publisher](millpond_publisher) decides. Its contract is the head of that crate.
//!
//! Calls that block are made here, one after the other; what the client reported before a call returned is told before the
//! answer of that call. Each of them can be left when the process has to end: what is open then is aborted by the next start.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use bytes::Bytes;
use millpond_publisher::{
    Config, Cursor, Delivery, Failure, FailureKind, Incarnation, Input, Isolation, Item, Limits, Notice, Output, Phase,
    Publisher, Session as SessionId,
};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use tracing::{debug, error, info, warn};

use super::cursor_topic::{CursorKey, CursorTopic, Found};
use super::pace::Pace;
use super::reset::{self, Outcome, Place, Reset};
use super::session::{Session, Unsent, is_refusal, record_bytes};
use super::standing::State;
use super::trouble::{Cause, Trouble, is_purged, topic_of};
use super::{Around, CALL, EgressHalted, GRACE, SLOW, Word, next_word};
use crate::kafka::{Settings, aside};
use crate::ledger::{LedgerError, RefusedByEgress};

/// The thread's content.
pub(super) struct Driver {
    settings: Settings,
    around: Around,
    inbox: Receiver<Word>,
    publisher: Publisher,
    began: Instant,
    cursors: CursorTopic,
    topic_is_there: bool,
    key: CursorKey,
    /// What the cursor topic said last.
    found: Found,
    /// What an operator wants before anything is published.
    reset: Option<Reset>,
    session: Option<(SessionId, Session<Item>)>,
    /// What happened and was not told yet.
    told: VecDeque<Input>,
    /// What the client said last, for errors that say only that time is up.
    complaint: Option<String>,
    /// The topic that this producer may not write to.
    denied_topic: Option<String>,
    trouble: Trouble,
    /// The failure that was told last, as the publisher counts them.
    attempt: u32,
    pace: Pace,
    /// The open transaction: since when, how many records, how many bytes.
    sending: (Option<Instant>, u64, u64),
    /// Topics that were looked up since the producer was made, to name them.
    looked_up: u32,
    ended: bool,
}

impl Driver {
    /// A driver whose claim is durable. `word` is the operator's, if there is one.
    pub(super) fn new(
        mut settings: Settings,
        around: Around,
        inbox: Receiver<Word>,
        word: Option<String>,
    ) -> Result<Driver, LedgerError> {
        let ledger = around.ledger.identity()?;
        let (first, next) = around.ledger.lane(&around.name)?;
        let (confirmed, durable) = (first - 1, next - 1);
        let incarnation = random()?;
        let mut lineage = around.ledger.lineage(&around.name)?;
        let reset = match word {
            None => None,
            Some(word) => {
                let writer = random()?;
                lineage.push(Incarnation { id: writer, after: durable });
                let publishes = Incarnation { id: incarnation, after: durable };
                let lineage = [&lineage[..], &[publishes]].concat();
                Some(Reset { word, writer, lineage, confirmed })
            }
        };
        // Those below are passed already. There are few: one that is refused holds up the next one.
        let mut refused = BTreeSet::new();
        while let [record, ..] =
            &around.ledger.refused(&around.name, refused.last().copied().unwrap_or(confirmed), 1, 0)?[..]
        {
            refused.insert(record.sequence);
        }
        let config = Config {
            ledger,
            incarnation,
            lineage,
            confirmed,
            durable,
            checkpoint: 0,
            refused,
            // An operator's word writes a cursor that is in order.
            accept_missing_cursor: false,
            limits: Limits::default(),
        };
        let key = CursorKey { ledger, egress: around.id.to_string() };
        let id = transactional_id(&around.app, ledger, &key.egress);
        settings.set("transactional.id", id.clone());
        let cursors = CursorTopic::new(&around.app, &settings);
        let user = settings.get("sasl.username").map(str::to_owned);
        let trouble = Trouble::new(Arc::clone(&around.standing), user, Some(id));
        let mut driver = Driver {
            settings,
            around,
            inbox,
            publisher: Publisher::new(config),
            began: Instant::now(),
            cursors,
            topic_is_there: false,
            key,
            found: Found::default(),
            reset,
            session: None,
            told: VecDeque::new(),
            complaint: None,
            denied_topic: None,
            trouble,
            attempt: 0,
            pace: Pace::default(),
            sending: (None, 0, 0),
            looked_up: 0,
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
            // What is under way gets a moment to be over; the ledger has all of it.
            if self.around.leave.is_over(GRACE) {
                break;
            }
            self.wait();
            while !self.ended
                && let Some(input) = self.told.pop_front()
            {
                if let Err(error) = self.tell(input) {
                    (self.around.halt)(EgressHalted::Ledger(error));
                    self.ended = true;
                    break;
                }
            }
        }
        self.around.standing.state(State::Stopped);
        self.close();
    }

    fn tell(&mut self, input: Input) -> Result<(), LedgerError> {
        self.publisher.handle(self.now(), input);
        while let Some(output) = self.publisher.poll() {
            self.carry_out(output)?;
        }
        self.around.standing.state(match self.publisher.view().phase {
            Phase::Opening | Phase::Resting => State::Opening,
            Phase::Idle => State::Idle,
            Phase::Publishing => State::Publishing,
            Phase::Ended => State::Stopped,
        });
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
        self.say_what_takes_long();
        if !self.told.is_empty() {
            return;
        }
        let reports = self.session.as_ref().is_some_and(|(_, session)| session.unreported() > 0);
        let due = self.publisher.wake_at().map(|due| Duration::from_millis(due.saturating_sub(self.now())));
        let wait = if reports { REPORTS } else { due.unwrap_or(IDLE).min(IDLE) };
        match next_word(&self.inbox, wait) {
            Some(Word::Durable { upto, checkpoint }) => {
                self.around.standing.durable(upto);
                self.told.push_back(Input::Durable { upto, checkpoint });
            }
            Some(Word::Stop) => self.told.push_back(Input::Stop),
            None if self.publisher.wake_at().is_some_and(|due| due <= self.now()) => self.told.push_back(Input::Tick),
            None => {}
        }
    }

    /// A cluster that does not answer makes no error for minutes.
    fn say_what_takes_long(&mut self) {
        let view = self.publisher.view();
        if let (Some(began), records, _) = self.sending
            && view.phase == Phase::Publishing
            && began.elapsed() >= SLOW
            && !self.around.leave.is_told()
        {
            let words = format!("no answer to a transaction of {records} records for {} s", began.elapsed().as_secs());
            self.trouble.held_up(&self.around.id, view.attempts, &words);
        }
    }

    /// Takes what the client has to say.
    fn look(&mut self) {
        let Some((id, session)) = &mut self.session else { return };
        let (id, events) = (*id, session.events());
        self.complaint = events.complaint().or(self.complaint.take());
        self.denied_topic = events.denied_topic.or(self.denied_topic.take());
        if !events.reports.is_empty() {
            self.pace.reported();
        }
        for (code, words) in events.errors {
            match code {
                RDKafkaErrorCode::BrokerTransportFailure
                | RDKafkaErrorCode::OperationTimedOut
                | RDKafkaErrorCode::AllBrokersDown => {
                    self.told.push_back(Input::Disturbed { session: id, error: words.as_str().into() });
                }
                RDKafkaErrorCode::Fatal | RDKafkaErrorCode::Fenced => {
                    let kind = if code == RDKafkaErrorCode::Fenced { FailureKind::Fenced } else { FailureKind::Fatal };
                    let failure = Failure { kind, error: words.as_str().into() };
                    self.told.push_back(Input::Failed { session: id, failure });
                }
                _ => {}
            }
        }
        for (item, error) in events.reports {
            let delivery = match error {
                None => Delivery::Done,
                Some(error) if is_refusal(&error) => Delivery::Refused { error: error.to_string().into() },
                Some(error) => Delivery::Failed(self.undelivered(item, &error)),
            };
            self.told.push_back(Input::Delivered { session: id, item, delivery });
        }
    }

    /// A report that something did not arrive, with the topic that it was for.
    fn undelivered(&mut self, item: Item, error: &KafkaError) -> Failure {
        /// Each one is a read of the ledger, and the first says it all.
        const LOOK_UPS: u32 = 8;
        let topic = match item {
            _ if self.denied_topic.is_some() => self.denied_topic.clone(),
            Item::Cursor => Some(self.cursors.topic.clone()),
            Item::Record(_) if self.looked_up >= LOOK_UPS => None,
            Item::Record(sequence) => {
                self.looked_up += 1;
                topic_of(&*self.around.ledger, &self.around.name, sequence)
            }
        };
        let why = match &self.session {
            Some((_, session)) if is_purged(error) => session.why(),
            _ => None,
        };
        self.failure(why.as_ref().unwrap_or(error), Cause::Topic(topic.as_deref()))
    }

    /// What failed, for the publisher and for whoever reads the log.
    fn failure(&mut self, error: &KafkaError, cause: Cause<'_>) -> Failure {
        let complaint = self.cursors.complaint().or_else(|| self.complaint.clone());
        let complaint = complaint.map(|complaint| self.settings.explained(complaint));
        let words = self.trouble.failed(error, cause, complaint.as_deref());
        Failure { kind: kind(error), error: Arc::from(words) }
    }

    fn carry_out(&mut self, output: Output) -> Result<(), LedgerError> {
        match output {
            Output::Claim(starts) => {
                self.around.ledger.claim(&self.around.name, &starts)?;
                self.told.push_back(Input::Claimed);
            }
            Output::Open(session) => {
                let topic = self.cursors.topic.clone();
                match self.prepare() {
                    Ok(()) => {
                        let opened = self.open(session);
                        self.answer(session, opened, Cause::Opening, |()| Input::Opened(session));
                    }
                    Err(error) => self.failed(session, &error, Cause::Cursors(&topic)),
                }
            }
            Output::Close(_) => self.close(),
            Output::EndOffset { session, isolation } => {
                let (cursors, topic) = (self.cursors.clone(), self.cursors.topic.clone());
                let end = aside::call(&self.around.leave, move || cursors.end(isolation));
                self.answer(session, end, Cause::Cursors(&topic), |offset| Input::EndOffset { session, offset });
            }
            Output::ReadCursor { session, from, upto, isolation } => {
                let topic = self.cursors.topic.clone();
                let found = self.read_cursors(from, upto, isolation);
                if let Ok(found) = &found {
                    self.found = found.clone();
                    if from == 0 && found.ours.is_none() && !found.others.is_empty() && self.is_new() {
                        self.halt(EgressHalted::elsewhere)?;
                        return Ok(());
                    }
                }
                self.answer(session, found, Cause::Cursors(&topic), |found| Input::Cursor {
                    session,
                    found: found.ours,
                });
            }
            Output::Fetch { session, after, upto, records, bytes } => {
                self.pace.wait();
                let mut records = self.around.ledger.outbox(&self.around.name, after, records, bytes)?;
                records.retain(|(sequence, _)| *sequence <= upto);
                self.told.push_back(Input::Fetched { session, records });
            }
            Output::Begin(session) => {
                self.pace.begins();
                self.sending = (Some(Instant::now()), 0, 0);
                let begun = self.producer(|producer| producer.begin());
                if let Err(error) = begun {
                    self.failed(session, &error, Cause::Transaction);
                }
            }
            Output::Send { session, sequence, record } => self.send(session, sequence, &record),
            Output::SendCursor { session, cursor } => {
                let (topic, key) = (self.cursors.topic.clone(), self.key.bytes());
                let Some((_, producer)) = &mut self.session else { return Ok(()) };
                let sent = producer.send_to(Item::Cursor, &topic, Some(&key), Some(&cursor), None);
                self.sent(session, Item::Cursor, sent);
            }
            Output::Commit(session) => {
                let committed = self.producer(|producer| producer.commit(CALL));
                self.pace.ends();
                if let (Ok(()), (Some(began), records, bytes)) = (&committed, std::mem::take(&mut self.sending)) {
                    self.around.standing.transaction(began.elapsed());
                    self.around.standing.sent(records, bytes);
                }
                self.answer(session, committed, Cause::Transaction, |()| Input::Committed(session));
            }
            Output::Confirm { upto } => {
                self.around.standing.published(upto);
                self.attempt = 0;
                self.goes_on();
                (self.around.free)(upto);
            }
            Output::Refused { sequence, error } => self.refuse(sequence, &error)?,
            Output::Notice(notice) => self.say(&notice),
            Output::Halt(halt) => self.halt(|driver, word| EgressHalted::publisher(driver, halt, word))?,
            Output::Stopped => self.ended = true,
        }
        Ok(())
    }

    /// Nothing was ever published from this ledger.
    fn is_new(&self) -> bool {
        self.publisher.view().confirmed == 0
    }

    /// Drops the producer. A client that has to end its connections first is not waited for by who has to leave.
    fn close(&mut self) {
        let session = self.session.take();
        if session.is_some() && self.around.leave.is_told() {
            let _ = aside::beside("millpond-kafka", move || drop(session));
        }
    }

    fn read_cursors(&self, from: i64, upto: i64, isolation: Isolation) -> Result<Found, KafkaError> {
        let (cursors, key) = (self.cursors.clone(), self.key.clone());
        aside::call(&self.around.leave, move || cursors.read(&key, from, upto, isolation))
    }

    /// Nothing may be published from here, unless an operator says the word.
    fn halt(&mut self, why: impl FnOnce(&Driver, String) -> EgressHalted) -> Result<(), LedgerError> {
        let oldest = self.around.ledger.lineage(&self.around.name)?.first().map(|start| start.id);
        let halted = why(self, reset::word(&self.key, oldest, &self.found));
        self.around.standing.trouble(halted.code(), &halted.to_string());
        self.ended = true;
        (self.around.halt)(halted);
        Ok(())
    }

    /// The topic of cursors is there, and what an operator wants is done.
    fn prepare(&mut self) -> Result<(), KafkaError> {
        (self.complaint, self.denied_topic, self.looked_up) = (None, None, 0);
        if !self.topic_is_there {
            let cursors = self.cursors.clone();
            aside::call(&self.around.leave, move || cursors.make())?;
            self.topic_is_there = true;
        }
        self.carry_out_reset()
    }

    fn open(&mut self, id: SessionId) -> Result<(), KafkaError> {
        let session = Session::new(&self.key.egress, &self.settings, &self.around.leave)?;
        let initialised = session.init_transactions(CALL);
        self.session = Some((id, session));
        initialised
    }

    /// What an operator wants, until it is done.
    fn carry_out_reset(&mut self) -> Result<(), KafkaError> {
        let Some(reset) = &self.reset else { return Ok(()) };
        let place = Place {
            name: &self.key.egress,
            topic: &self.cursors.topic,
            key: &self.key,
            settings: &self.settings,
            id: &|ledger| transactional_id(&self.around.app, ledger, &self.key.egress),
            leave: &self.around.leave,
        };
        let outcome = reset.carry_out(&place, || {
            let cursors = self.cursors.clone();
            let end = aside::call(&self.around.leave, move || cursors.end(Isolation::Uncommitted))?;
            self.read_cursors(0, end, Isolation::Committed)
        })?;
        let egress = &self.around.id;
        match outcome {
            Outcome::Written(published) => warn!(%egress, published, "cursor written anew, as `--reset-cursor` says"),
            Outcome::NoEffect => {
                info!(%egress, "`--reset-cursor` names another cursor than the one that is there, no effect")
            }
        }
        self.reset = None;
        Ok(())
    }

    fn producer(&self, call: impl FnOnce(&Session<Item>) -> Result<(), KafkaError>) -> Result<(), KafkaError> {
        match &self.session {
            Some((_, session)) => call(session),
            None => Err(KafkaError::Canceled),
        }
    }

    /// What was reported while a call blocked, then its answer.
    fn answer<T>(
        &mut self,
        session: SessionId,
        result: Result<T, KafkaError>,
        cause: Cause<'_>,
        answer: impl FnOnce(T) -> Input,
    ) {
        self.look();
        match result {
            Ok(value) => self.told.push_back(answer(value)),
            Err(error) => self.failed(session, &error, cause),
        }
    }

    fn failed(&mut self, session: SessionId, error: &KafkaError, cause: Cause<'_>) {
        self.look();
        let failure = self.failure(error, cause);
        self.told.push_back(Input::Failed { session, failure });
    }

    fn send(&mut self, session: SessionId, sequence: u64, record: &Bytes) {
        let Some((_, producer)) = &mut self.session else { return };
        self.sending.1 += 1;
        self.sending.2 += record_bytes(record);
        let item = Item::Record(sequence);
        let sent = producer.send(item, record);
        self.sent(session, item, sent);
    }

    /// What the client did not take has its report at once.
    fn sent(&mut self, session: SessionId, item: Item, sent: Result<(), Unsent>) {
        let delivery = match sent {
            Ok(()) => return,
            Err(Unsent::Refused(error)) => Delivery::Refused { error: error.into() },
            Err(Unsent::Failed(error)) => Delivery::Failed(self.undelivered(item, &error)),
        };
        self.told.push_back(Input::Delivered { session, item, delivery });
    }

    /// A record that nobody will ever take is kept in the ledger, with the reason.
    fn refuse(&mut self, sequence: u64, why: &str) -> Result<(), LedgerError> {
        let found = self.around.ledger.outbox(&self.around.name, sequence - 1, 1, usize::MAX)?;
        let record = found.into_iter().find(|(found, _)| *found == sequence).map(|(_, record)| record);
        let refused = RefusedByEgress { sequence, record: record.unwrap_or_default(), error: why.to_owned() };
        self.around.ledger.refuse(&self.around.name, &refused)?;
        self.around.standing.refused(true);
        let (egress, hint) = (&self.around.id, "millpond explain MP6031");
        error!(%egress, code = "MP6031", sequence, error = why, hint, "record refused for good, kept in the ledger");
        self.told.push_back(Input::Recorded(sequence));
        Ok(())
    }

    /// Something got through.
    fn goes_on(&mut self) {
        self.trouble.goes_on(&self.around.id);
    }

    fn say(&mut self, notice: &Notice) {
        let egress = &self.around.id;
        match notice {
            Notice::Doubt { attempt, next_ms, kind, error } => {
                debug!(%egress, attempt, next_ms, ?kind, %error, "new producer");
                self.around.standing.restart();
                // A producer that only sweeps up behind a failure is none.
                if *attempt > self.attempt && !self.around.leave.is_told() {
                    self.attempt = *attempt;
                    self.trouble.held_up(egress, *attempt, error);
                }
            }
            Notice::Ready { published } => {
                debug!(%egress, published, "producer ready");
                let view = self.publisher.view();
                if view.durable <= view.confirmed {
                    self.goes_on();
                }
            }
            // Nobody told the publisher to let that pass.
            Notice::CursorAccepted { confirmed } => debug!(%egress, confirmed, "no cursor"),
        }
    }
}

impl EgressHalted {
    fn publisher(driver: &Driver, halt: millpond_publisher::Halt, word: String) -> EgressHalted {
        EgressHalted::Publisher { egress: driver.around.id.clone(), halt, word }
    }

    fn elsewhere(driver: &Driver, word: String) -> EgressHalted {
        let published = driver.found.others.values().filter_map(|value| Cursor::decode(value).ok());
        let published = published.map(|cursor| cursor.sequence).max().unwrap_or_default();
        EgressHalted::Elsewhere { egress: driver.around.id.clone(), app: driver.around.app.clone(), published, word }
    }
}

/// The transactional id of an egress.
fn transactional_id(app: &str, ledger: u128, egress: &str) -> String {
    format!("{app}-{ledger:032x}-{egress}")
}

fn random() -> Result<u64, LedgerError> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).map_err(|error| LedgerError::Random(std::io::Error::other(error).into()))?;
    Ok(u64::from_be_bytes(bytes))
}

fn kind(error: &KafkaError) -> FailureKind {
    match (error, error.rdkafka_error_code()) {
        (
            _,
            Some(RDKafkaErrorCode::Fenced | RDKafkaErrorCode::ProducerFenced | RDKafkaErrorCode::InvalidProducerEpoch),
        ) => FailureKind::Fenced,
        (KafkaError::Transaction(cause), _) if cause.is_fatal() => FailureKind::Fatal,
        (_, Some(RDKafkaErrorCode::Fatal)) => FailureKind::Fatal,
        _ => FailureKind::Transient,
    }
}
