//! The thread of an ingress: polls the client, routes records, hands them over.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use millpond_engine::{Partition, Record};
use rdkafka::TopicPartitionList;
use rdkafka::consumer::{CommitMode, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Headers as _, Message as _, Timestamp};
use tracing::{debug, error, info, warn};

use super::ask::{self, Answer, Asker, Failure, Found, Question, Sources};
use super::board::{Away, Board};
use super::invalid::{self, Made, now};
use super::outage::{Line, Outage};
use super::positions::{Partitions, Reading, State, offset};
use super::start::{Bounds, Starts};
use super::{Debt, Feed, KafkaIngress, NotThere, Skip, Surroundings, Word};
use crate::kafka::{Client, Events, describe};
use crate::router::{KafkaRecord, Routed};

/// Records handed over at once.
const BATCH: usize = 256;
/// Bytes that may be on their way to the engine.
const ON_THE_WAY: usize = 4 << 20;
/// What surrounds a record in memory.
const AROUND: usize = 256;
/// Pause before a record is offered again that the engine had no room for.
const HOLD: Duration = Duration::from_secs(1);
/// Pause before another try when the cluster does not answer.
const RETRY: Duration = Duration::from_secs(2);
/// Pause between two looks at the ends of all partitions, if there are not many.
const ENDS: Duration = Duration::from_secs(5);
/// The same while reading fails: what is answered says that it goes on.
const ENDS_AGAIN: Duration = Duration::from_secs(1);
/// Ends that are asked for at once, and the pause behind them when there are more.
const ENDS_AT_ONCE: (usize, Duration) = (64, Duration::from_millis(640));

/// The thread's content.
pub(super) struct Reader {
    ingress: KafkaIngress,
    /// What the ledger knew at the start.
    restored: BTreeMap<Partition, u64>,
    /// The ingress has positions: where it starts is decided.
    began: bool,
    around: Surroundings,
    inbox: Receiver<Word>,
    board: Arc<Board>,
    client: Option<Connected>,
    partitions: Partitions,
    /// Bytes on their way to the engine.
    debt: Arc<AtomicUsize>,
    /// When to look for partitions next; not while that is being asked, or when nobody wants it.
    looks: Option<Instant>,
    /// All topics were there at the last look.
    complete: bool,
    ends: Ends,
    /// Whether positions are being checked, and are to be checked again behind that.
    checks: (bool, bool),
    /// Durable positions that the group was not told.
    durable: BTreeMap<Arc<Partition>, u64>,
    commits: Instant,
    outage: Outage,
    said: invalid::Said,
    lossy_warned: bool,
    /// People who wait until a position is durable.
    skips: Vec<(Arc<Partition>, Skip)>,
}

/// The client, and whoever asks with it.
struct Connected {
    consumer: ask::Reading,
    events: Arc<Mutex<Events<()>>>,
    asker: Asker,
}

/// Rounds of looking at the ends of all partitions.
#[derive(Debug)]
struct Ends {
    /// When to ask for the next ones; never while there is no partition.
    due: Option<Instant>,
    /// An answer is to come.
    asking: bool,
    /// How many of this round were asked for.
    asked: usize,
    /// Changes with each failure: a round with one in it says nothing.
    number: u64,
    /// The number when the round began.
    began: u64,
}

impl Reader {
    pub(super) fn new(
        ingress: KafkaIngress,
        restored: BTreeMap<Partition, u64>,
        around: Surroundings,
        inbox: Receiver<Word>,
        board: Arc<Board>,
    ) -> Reader {
        Reader {
            ingress,
            began: !restored.is_empty(),
            around,
            inbox,
            board,
            client: None,
            partitions: Partitions::default(),
            debt: Arc::default(),
            looks: Some(Instant::now()),
            complete: false,
            ends: Ends { due: None, asking: false, asked: 0, number: 0, began: 0 },
            checks: (false, false),
            // Also those of the last process, which may have been killed before it told the group.
            durable: restored.iter().map(|(partition, next)| (Arc::new(partition.clone()), *next)).collect(),
            restored,
            commits: Instant::now(),
            outage: Outage::default(),
            said: invalid::Said::default(),
            lossy_warned: false,
            skips: Vec::new(),
        }
    }

    /// Runs until it is told to stop.
    pub(super) fn run(mut self) {
        loop {
            self.ask();
            self.hear();
            let busy = (self.around.paused)() || self.debt.load(Ordering::Relaxed) >= ON_THE_WAY;
            let idle = self.client.is_none();
            let wait = if idle {
                Duration::from_millis(50)
            } else if busy {
                Duration::from_millis(1)
            } else {
                Duration::ZERO
            };
            match self.words(wait) {
                Ok(()) => {}
                Err(Stopped) => break,
            }
            self.release();
            self.tell_group();
            if !busy && !idle && !self.read() {
                break;
            }
        }
        self.commits = Instant::now();
        self.tell_group();
        self.skips.clear();
        if let Some(Connected { consumer, asker, .. }) = self.client.take() {
            asker.end();
            drop(consumer);
        }
        debug!(ingress = %self.ingress.id, "ingress ended");
    }

    fn words(&mut self, wait: Duration) -> Result<(), Stopped> {
        let mut wait = wait;
        loop {
            match self.inbox.recv_timeout(wait) {
                Ok(Word::HeldBack(partition, offset)) => self.hold(&partition, offset),
                Ok(Word::Durable(positions)) => self.is_durable(positions),
                Ok(Word::Skip(skip)) => self.skip(skip),
                Ok(Word::Stop) | Err(RecvTimeoutError::Disconnected) => return Err(Stopped),
                Err(RecvTimeoutError::Timeout) => return Ok(()),
            }
            wait = Duration::ZERO;
        }
    }

    /// Asks the cluster what is to be known now.
    fn ask(&mut self) {
        let due = |at: Option<Instant>| at.is_some_and(|at| at <= Instant::now());
        if due(self.looks) {
            self.looks = None;
            let question = Question::Find { known: self.partitions.known(), began: self.began };
            match self.connected() {
                Ok(client) => client.asker.ask(question),
                Err(error) => {
                    self.failed(&describe(&error));
                    self.looks = Some(Instant::now() + RETRY);
                }
            }
        }
        if !self.ends.asking
            && due(self.ends.due)
            && let Some(client) = &self.client
        {
            self.ends.asking = true;
            if self.ends.asked == 0 {
                self.ends.began = self.ends.number;
            }
            let next = self.partitions.iter().skip(self.ends.asked).take(ENDS_AT_ONCE.0);
            let next: Vec<_> = next.map(|reading| Arc::clone(&reading.partition)).collect();
            self.ends.asked += next.len();
            client.asker.ask(Question::Ends(next, self.ends.number));
        }
    }

    fn connected(&mut self) -> Result<&Connected, KafkaError> {
        if self.client.is_none() {
            let (client, events) = Client::new(self.ingress.id.to_string());
            let consumer: ask::Reading = Arc::new(self.ingress.settings.config().create_with_context(client)?);
            let sources = Sources {
                ingress: self.ingress.id.clone(),
                settings: self.ingress.settings.clone(),
                topics: self.ingress.topics.keys().cloned().collect(),
                startup: self.ingress.startup.clone(),
                reset: self.ingress.reset,
                restored: self.restored.clone(),
            };
            let asker = Asker::new(Arc::clone(&consumer), sources);
            self.client = Some(Connected { consumer, events, asker });
        }
        Ok(self.client.as_ref().expect("it was put there above"))
    }

    /// Hears what the cluster answered.
    fn hear(&mut self) {
        while let Some(answer) = self.client.as_ref().and_then(|client| client.asker.answer()) {
            match answer {
                Answer::Found(Ok(found)) => self.found(found),
                Answer::Found(Err(error)) => {
                    self.failed(&describe(&error));
                    self.looks = Some(Instant::now() + RETRY);
                }
                Answer::Checked(bounds) => self.checked(bounds),
                Answer::Ends(ends, outcome, number) => self.ended(ends, outcome, number),
                Answer::Explained(failure) => self.explained(*failure),
            }
        }
    }

    /// Reads partitions that it did not know.
    fn found(&mut self, found: Found) {
        let Found { missing, fresh } = found;
        let grown = !fresh.is_empty();
        for ask::Fresh { partition, next, known } in fresh {
            match known {
                Some(known) if known == next => {}
                Some(known) => self.lost(&partition, known, next),
                None => {}
            }
            if known != Some(next) {
                (self.around.feed)(Feed::Positioned(Arc::clone(&partition), next));
            }
            debug!(ingress = %self.ingress.id, topic = %partition.topic, partition = partition.number, next, "partition");
            let shown = self.board.add(&partition, known.filter(|known| *known == next));
            self.partitions.insert(Reading::new(partition, next, shown));
        }
        if grown {
            if missing.is_empty() {
                self.began = true;
            }
            self.assign_or_warn();
            self.ends.due = Some(Instant::now());
        }
        self.complete = missing.is_empty();
        if self.complete {
            self.looks = self.ingress.discovery.map(|pause| Instant::now() + pause);
            return;
        }
        self.failed(&format!("topics {missing:?} are not there"));
        self.looks = Some(Instant::now() + RETRY);
    }

    fn lost(&self, partition: &Partition, next: u64, reset: u64) {
        let Partition { ingress, topic, number } = partition;
        let hint = "millpond explain MP1022";
        error!(%ingress, %topic, partition = number, code = "MP1022", offset = next, to = reset, hint, "position is not there any more, reading goes on elsewhere");
    }

    /// Some ends are known, or could not be had.
    fn ended(&mut self, ends: Vec<(Arc<Partition>, u64)>, outcome: Result<(), KafkaError>, number: u64) {
        for (partition, end) in ends {
            if let Some(reading) = self.partitions.get_mut(&partition.topic, partition.number.cast_signed()) {
                reading.board.set_end(end);
            }
        }
        if let Err(error) = outcome {
            self.failed(&describe(&error));
        }
        self.ends.asking = false;
        let round = self.ends.asked >= self.partitions.iter().count();
        if !round {
            self.ends.due = Some(Instant::now() + ENDS_AT_ONCE.1);
            return;
        }
        self.ends.asked = 0;
        let clean = self.ends.began == self.ends.number && number == self.ends.number;
        if clean && self.complete {
            self.goes_on();
        }
        self.ends.due = Some(Instant::now() + if self.outage.goes_on() { ENDS_AGAIN } else { ENDS });
    }

    /// Has the client read all partitions from where they are.
    fn assign(&mut self) -> Result<(), KafkaError> {
        let Some(client) = &self.client else { return Ok(()) };
        client.consumer.assign(&self.partitions.assignment()?)
    }

    /// Reads what is there; false when there is no engine any more.
    fn read(&mut self) -> bool {
        const WAIT: Duration = Duration::from_millis(20);
        let Some(consumer) = self.client.as_ref().map(|client| Arc::clone(&client.consumer)) else { return true };
        let (mut records, mut bytes, mut failed) = (Vec::new(), 0, false);
        while records.len() < BATCH {
            match consumer.poll(if records.is_empty() { WAIT } else { Duration::ZERO }) {
                None => break,
                Some(Ok(message)) => {
                    if let Some(record) = self.record(&message, &mut failed) {
                        let arguments = record.invocations.iter().map(|(_, argument)| argument.len());
                        let letters = record.letters.iter().map(|letter| letter.record.len());
                        bytes += AROUND + arguments.chain(letters).sum::<usize>();
                        records.push(record);
                    }
                }
                Some(Err(KafkaError::MessageConsumption(RDKafkaErrorCode::AutoOffsetReset))) => {
                    self.check();
                    break;
                }
                Some(Err(error)) => {
                    self.complained(&error);
                    break;
                }
            }
        }
        if failed {
            self.assign_or_warn();
        }
        if records.is_empty() {
            return true;
        }
        (self.around.feed)(Feed::Records(records, Debt::new(&self.debt, bytes)))
    }

    /// A record for the engine; `None` for one of a partition that is not read now.
    fn record(&mut self, message: &BorrowedMessage<'_>, failed: &mut bool) -> Option<Record> {
        let topic = message.topic();
        let route = self.ingress.topics.get(topic)?;
        let reading = self.partitions.get_mut(topic, message.partition())?;
        let at = u64::try_from(message.offset()).ok()?;
        if reading.state != State::Runs || at < reading.next {
            return None;
        }
        let headers: Vec<(&str, Option<&[u8]>)> = match message.headers() {
            None => Vec::new(),
            Some(headers) => headers.iter().map(|header| (header.key, header.value)).collect(),
        };
        let record = KafkaRecord {
            topic,
            partition: reading.partition.number,
            offset: at,
            timestamp: match message.timestamp() {
                Timestamp::NotAvailable => None,
                Timestamp::CreateTime(time) | Timestamp::LogAppendTime(time) => Some(time),
            },
            key: message.key(),
            value: message.payload(),
            headers: &headers,
        };
        let fresh = reading.is_fresh(at);
        let made = match route.route(&record) {
            Routed::Invocations { invocations, lossy_key } => {
                if lossy_key && fresh {
                    self.board.lossy_key(topic);
                }
                if lossy_key && !std::mem::replace(&mut self.lossy_warned, true) {
                    warn!(ingress = %self.ingress.id, topic, partition = record.partition, offset = at, "key is not UTF-8, bytes of it are replaced");
                }
                Made { invocations, ..Made::default() }
            }
            Routed::Invalid(defect) => {
                // Somebody who had it passed over may have done so before something in front of it was held back.
                let skipped = self.skips.iter().any(|(it, skip)| *it == reading.partition && skip.offset == at);
                let letters = self.ingress.letters.get(topic);
                let made = match skipped {
                    true => Some(Made::default()),
                    false => invalid::made_of(&self.ingress.id, route, letters, &record, defect, &mut self.said),
                };
                if fresh && !reading.stood_at(at) {
                    self.board.invalid(topic, defect);
                }
                match made {
                    Some(made) => made,
                    None => {
                        reading.fail(at, defect, now());
                        *failed = true;
                        return None;
                    }
                }
            }
        };
        let headers_bytes = headers.iter().map(|(key, value)| key.len() + value.map_or(0, <[u8]>::len));
        let bytes = message.key_len() + message.payload_len() + headers_bytes.sum::<usize>();
        reading.hand_over(at, bytes);
        let Made { invocations, letters } = made;
        let timestamp = record.timestamp.and_then(|time| u64::try_from(time).ok());
        Some(Record { partition: Arc::clone(&reading.partition), offset: at, invocations, timestamp, letters })
    }

    /// Asks whether reading can go on where it is.
    fn check(&mut self) {
        let positions = self.partitions.iter().map(|reading| (Arc::clone(&reading.partition), reading.next)).collect();
        match (&self.client, &mut self.checks) {
            (_, (true, again)) => *again = true,
            (Some(client), (checking, _)) => {
                *checking = true;
                client.asker.ask(Question::Check(positions));
            }
            (None, _) => {}
        }
    }

    /// Positions that are not there any more go where the module says.
    fn checked(&mut self, checked: Vec<(Arc<Partition>, u64, Result<Bounds, KafkaError>)>) {
        let mut failed = None;
        for (partition, next, bounds) in checked {
            let Some(reading) = self.partitions.get_mut(&partition.topic, partition.number.cast_signed()) else {
                continue;
            };
            match bounds {
                // What was read meanwhile is there.
                _ if reading.next != next => {}
                Ok(bounds) if bounds.has(next) => {}
                Ok(bounds) => {
                    let to = Starts::reset_of(self.ingress.reset, bounds);
                    reading.go_to(to);
                    self.lost(&partition, next, to);
                    (self.around.feed)(Feed::Positioned(partition, to));
                }
                Err(error) => failed = Some(error),
            }
        }
        let (_, again) = std::mem::take(&mut self.checks);
        if let Some(error) = &failed {
            self.failed(&describe(error));
        }
        self.assign_or_warn();
        if again {
            self.check();
        }
    }

    /// The engine had no room for a record: its partition is not read for a while.
    fn hold(&mut self, partition: &Partition, offset: u64) {
        let Some(reading) = self.partitions.get_mut(&partition.topic, partition.number.cast_signed()) else { return };
        reading.hold(offset, Instant::now() + HOLD, now());
        self.assign_or_warn();
    }

    /// Partitions that were held back long enough are read again.
    fn release(&mut self) {
        let now = Instant::now();
        let mut released = false;
        for reading in self.partitions.iter_mut() {
            if matches!(reading.state, State::Held(until) if until <= now) {
                reading.state = State::Runs;
                (self.around.feed)(Feed::Resumed(Arc::clone(&reading.partition), reading.next));
                released = true;
            }
        }
        if released {
            self.assign_or_warn();
        }
    }

    fn assign_or_warn(&mut self) {
        if let Err(error) = self.assign() {
            self.failed(&describe(&error));
        }
    }

    /// A person wants the record passed over at which a partition stopped. It is taken in as one for nobody.
    fn skip(&mut self, skip: Skip) {
        let number = i32::try_from(skip.partition).unwrap_or(i32::MAX);
        let reading = self.partitions.get_mut(&skip.topic, number).filter(|_| skip.partition <= i32::MAX as u32);
        let Some(reading) = reading.and_then(|reading| reading.skip(skip.offset).then_some(reading)) else {
            // Whoever asked may have gone away.
            let _ = skip.reply.send(Err(NotThere));
            return;
        };
        let partition = Arc::clone(&reading.partition);
        info!(ingress = %self.ingress.id, topic = skip.topic, partition = skip.partition, offset = skip.offset, "invalid record passed over by a person, partition goes on");
        let record = Record {
            partition: Arc::clone(&partition),
            offset: skip.offset,
            invocations: Vec::new(),
            timestamp: None,
            letters: Vec::new(),
        };
        (self.around.feed)(Feed::Records(vec![record], Debt::new(&self.debt, AROUND)));
        self.skips.push((partition, skip));
        self.assign_or_warn();
    }

    /// The ledger has these positions.
    fn is_durable(&mut self, positions: Vec<(Arc<Partition>, u64)>) {
        for (partition, next) in positions {
            if let Some(reading) = self.partitions.get_mut(&partition.topic, partition.number.cast_signed()) {
                reading.board.set_position(next);
            }
            for (_, skip) in self.skips.extract_if(.., |(it, skip)| *it == partition && skip.offset < next) {
                let _ = skip.reply.send(Ok(()));
            }
            self.durable.insert(partition, next);
        }
    }

    /// The group shows what is durable.
    fn tell_group(&mut self) {
        if self.durable.is_empty() || self.commits > Instant::now() {
            return;
        }
        let Some(client) = &self.client else { return };
        self.commits = Instant::now() + self.ingress.commits;
        let mut list = TopicPartitionList::new();
        for (partition, next) in std::mem::take(&mut self.durable) {
            let added = list.add_partition_offset(&partition.topic, partition.number.cast_signed(), offset(next));
            debug_assert!(added.is_ok(), "an offset that was read");
        }
        if let Err(error) = client.consumer.commit(&list, CommitMode::Async) {
            debug!(ingress = %self.ingress.id, %error, "group was not told");
        }
    }

    /// The client has something to say. That one of several brokers is away is no failure until it keeps us from something.
    fn complained(&mut self, error: &KafkaError) {
        match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::BrokerTransportFailure | RDKafkaErrorCode::Resolve) => {
                debug!(ingress = %self.ingress.id, %error, "connection failed");
                self.ends.due = self.ends.due.map(|_| Instant::now());
            }
            _ => self.failed(&describe(error)),
        }
    }

    /// Something that is needed was not to be had.
    fn failed(&mut self, error: &str) {
        self.ends.number += 1;
        let events = self
            .client
            .as_ref()
            .map(|client| std::mem::take(&mut *client.events.lock().unwrap_or_else(PoisonError::into_inner)));
        let complaint = events.and_then(|events| events.telling_complaint());
        let telling = complaint.as_ref().map_or(0, |(telling, _)| *telling);
        let told = match &complaint {
            Some((_, complaint)) => format!("{error} ({complaint})"),
            None => error.to_owned(),
        };
        debug!(ingress = %self.ingress.id, error = %told, "reading failed");
        self.away(&told);
        let Some(line) = self.outage.failed(Instant::now(), telling) else { return };
        match (complaint, &self.client) {
            // A look at a broker's certificate takes a while.
            (Some((_, complaint)), Some(client)) if complaint.contains("certificate") => {
                let failure = Failure { error: error.to_owned(), complaint, line };
                client.asker.ask(Question::Explain(Box::new(failure)));
            }
            _ => self.say(&told, &line),
        }
    }

    /// A failure that was to be told, with what the certificates say of it.
    fn explained(&mut self, failure: Failure) {
        let Failure { error, complaint, line } = failure;
        if self.outage.goes_on() {
            let told = format!("{error} ({complaint})");
            self.away(&told);
            self.say(&told, &line);
        }
    }

    fn away(&self, error: &str) {
        let since = self.board.away().map_or_else(now, |away| away.since);
        self.board.set_away(Some(Away { since, error: error.to_owned() }));
    }

    fn say(&self, error: &str, line: &Line) {
        let Line { lasts, suppressed } = line;
        let (hint, lasts_s) = ("millpond explain MP1020", lasts.as_secs());
        warn!(ingress = %self.ingress.id, code = "MP1020", %error, lasts_s, suppressed, hint, "reading failed, will try again");
    }

    /// All that is needed is to be had.
    fn goes_on(&mut self) {
        if let Some(lasted) = self.outage.over(Instant::now()) {
            self.board.set_away(None);
            info!(ingress = %self.ingress.id, lasted_ms = lasted.as_millis(), "reading goes on");
        }
    }
}

/// Told to stop.
struct Stopped;
