//! The thread of an ingress: polls the client, routes records, hands them over.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use millpond_engine::{Partition, Record};
use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Headers as _, Message as _, Timestamp};
use tracing::{debug, error, info, warn};

use super::positions::{Partitions, Reading, State, offset};
use super::start::Starts;
use super::{CALL, Debt, Feed, KafkaIngress, Surroundings, Word};
use crate::config::model::{InvalidRecords, LogLevel};
use crate::kafka::{Client, Events, describe};
use crate::router::{Defect, KafkaRecord, Routed, TopicRoute};

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
/// Pause between two warnings.
const EVERY: Duration = Duration::from_secs(10);

/// The thread's content.
pub(super) struct Reader {
    ingress: KafkaIngress,
    /// What the ledger knew at the start.
    restored: BTreeMap<Partition, u64>,
    /// The ingress has positions: where it starts is decided.
    began: bool,
    around: Surroundings,
    inbox: Receiver<Word>,
    consumer: Option<BaseConsumer<Client<()>>>,
    events: Arc<Mutex<Events<()>>>,
    partitions: Partitions,
    /// Bytes on their way to the engine.
    debt: Arc<AtomicUsize>,
    /// When to look for partitions next.
    looks: Option<Instant>,
    /// Durable positions that the group was not told.
    durable: BTreeMap<Arc<Partition>, u64>,
    commits: Instant,
    warned: Option<Instant>,
    /// Lines about skipped records that were left out.
    skipped: (Option<Instant>, u64),
    lossy_warned: bool,
}

impl Reader {
    pub(super) fn new(
        ingress: KafkaIngress,
        restored: BTreeMap<Partition, u64>,
        around: Surroundings,
        inbox: Receiver<Word>,
    ) -> Reader {
        Reader {
            ingress,
            began: !restored.is_empty(),
            around,
            inbox,
            consumer: None,
            events: Arc::default(),
            partitions: Partitions::default(),
            debt: Arc::default(),
            looks: Some(Instant::now()),
            // Also those of the last process, which may have been killed before it told the group.
            durable: restored.iter().map(|(partition, next)| (Arc::new(partition.clone()), *next)).collect(),
            restored,
            commits: Instant::now(),
            warned: None,
            skipped: (None, 0),
            lossy_warned: false,
        }
    }

    /// Runs until it is told to stop.
    pub(super) fn run(mut self) {
        loop {
            if self.looks.is_some_and(|at| at <= Instant::now()) {
                self.look();
            }
            let busy = (self.around.paused)() || self.debt.load(Ordering::Relaxed) >= ON_THE_WAY;
            let idle = self.consumer.is_none();
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
        debug!(ingress = %self.ingress.id, "ingress ended");
    }

    fn words(&mut self, wait: Duration) -> Result<(), Stopped> {
        let mut wait = wait;
        loop {
            match self.inbox.recv_timeout(wait) {
                Ok(Word::HeldBack(partition, offset)) => self.hold(&partition, offset),
                Ok(Word::Durable(positions)) => self.durable.extend(positions),
                Ok(Word::Stop) | Err(RecvTimeoutError::Disconnected) => return Err(Stopped),
                Err(RecvTimeoutError::Timeout) => return Ok(()),
            }
            wait = Duration::ZERO;
        }
    }

    /// Looks for partitions, and reads those that it did not know.
    fn look(&mut self) {
        match self.find_partitions() {
            Ok(missing) if missing.is_empty() => {
                self.looks = self.ingress.discovery.map(|pause| Instant::now() + pause);
            }
            Ok(missing) => {
                self.warn(format_args!("topics {missing:?} are not there"));
                self.looks = Some(Instant::now() + RETRY);
            }
            Err(error) => {
                self.warn(format_args!("{}", describe(&error)));
                self.looks = Some(Instant::now() + RETRY);
            }
        }
    }

    /// Topics that are not there.
    fn find_partitions(&mut self) -> Result<Vec<String>, KafkaError> {
        let consumer = match self.consumer.take() {
            Some(consumer) => consumer,
            None => {
                let (client, events) = Client::new(self.ingress.id.to_string());
                self.events = events;
                self.ingress.settings.config().create_with_context(client)?
            }
        };
        let found = self.find_with(&consumer);
        if found.is_err() {
            // What it has to say of that is heard only when it is asked. There is no record: nothing is assigned yet, or all is.
            drop(self.partitions.is_empty().then(|| consumer.poll(Duration::ZERO)));
        }
        let grown = matches!(found, Ok((_, true)));
        self.consumer = Some(consumer);
        if grown {
            self.assign()?;
        }
        found.map(|(missing, _)| missing)
    }

    fn find_with(&mut self, consumer: &BaseConsumer<Client<()>>) -> Result<(Vec<String>, bool), KafkaError> {
        let starts = Starts { consumer, reset: self.ingress.reset };
        let (mut missing, mut fresh) = (Vec::new(), Vec::new());
        for topic in self.ingress.topics.keys() {
            let metadata = consumer.fetch_metadata(Some(topic), CALL)?;
            let found = metadata.topics().iter().find(|it| it.name() == topic);
            let partitions = found.filter(|it| it.error().is_none()).map_or(&[][..], |it| it.partitions());
            if partitions.is_empty() {
                missing.push(topic.clone());
            }
            for number in partitions.iter().filter_map(|it| u32::try_from(it.id()).ok()) {
                if !self.partitions.contains(topic, number) {
                    let partition =
                        Partition { ingress: self.ingress.id.clone(), topic: topic.as_str().into(), number };
                    let next = self.start_of(&starts, &partition)?;
                    fresh.push((Arc::new(partition), next));
                }
            }
        }
        let grown = !fresh.is_empty();
        for (partition, (next, known)) in fresh {
            if !known {
                (self.around.feed)(Feed::Positioned(Arc::clone(&partition), next));
            }
            debug!(ingress = %self.ingress.id, topic = %partition.topic, partition = partition.number, next, "partition");
            self.partitions.insert(Reading { partition, next, state: State::Runs });
        }
        if grown && missing.is_empty() {
            self.began = true;
        }
        Ok((missing, grown))
    }

    /// Where a partition is read from, and whether the ledger has that already.
    fn start_of(&self, starts: &Starts<'_>, partition: &Partition) -> Result<(u64, bool), KafkaError> {
        if let Some(next) = self.restored.get(partition) {
            let bounds = starts.bounds(partition)?;
            if bounds.has(*next) {
                return Ok((*next, true));
            }
            let reset = starts.reset(bounds);
            self.lost(partition, *next, reset);
            return Ok((reset, false));
        }
        let next = match self.began {
            // New since the ingress began: nothing of it was read, so all of it is to be read.
            true => starts.bounds(partition)?.first,
            false => starts.startup(partition, &self.ingress.startup)?,
        };
        Ok((next, false))
    }

    fn lost(&self, partition: &Partition, next: u64, reset: u64) {
        let Partition { ingress, topic, number } = partition;
        let hint = "millpond explain MP1022";
        error!(%ingress, %topic, partition = number, code = "MP1022", offset = next, to = reset, hint, "position is not there any more, reading goes on elsewhere");
    }

    /// Has the client read all partitions from where they are.
    fn assign(&mut self) -> Result<(), KafkaError> {
        let Some(consumer) = &self.consumer else { return Ok(()) };
        consumer.assign(&self.partitions.assignment()?)
    }

    /// Reads what is there; false when there is no engine any more.
    fn read(&mut self) -> bool {
        const WAIT: Duration = Duration::from_millis(20);
        let Some(consumer) = self.consumer.take() else { return true };
        let (mut records, mut bytes, mut reset, mut failed) = (Vec::new(), 0, false, false);
        while records.len() < BATCH {
            match consumer.poll(if records.is_empty() { WAIT } else { Duration::ZERO }) {
                None => break,
                Some(Ok(message)) => {
                    if let Some(record) = self.record(&message, &mut failed) {
                        let arguments = record.invocations.iter().map(|(_, argument)| argument.len());
                        bytes += AROUND + arguments.sum::<usize>();
                        records.push(record);
                    }
                }
                Some(Err(KafkaError::MessageConsumption(RDKafkaErrorCode::AutoOffsetReset))) => {
                    reset = true;
                    break;
                }
                Some(Err(error)) => {
                    self.warn(format_args!("{}", describe(&error)));
                    break;
                }
            }
        }
        self.consumer = Some(consumer);
        if reset {
            self.reset();
        } else if failed {
            self.assign_or_warn();
        }
        if records.is_empty() {
            return true;
        }
        if self.warned.take().is_some() {
            info!(ingress = %self.ingress.id, "reading goes on");
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
        let invocations = match route.route(&record) {
            Routed::Invocations { invocations, lossy_key } => {
                if lossy_key && !std::mem::replace(&mut self.lossy_warned, true) {
                    warn!(ingress = %self.ingress.id, topic, partition = record.partition, offset = at, "key is not UTF-8, bytes of it are replaced");
                }
                invocations
            }
            Routed::Invalid(defect) => {
                let said = invalid(&self.ingress, route, &record, defect, &mut self.skipped);
                match said {
                    Some(invocations) => invocations,
                    None => {
                        reading.state = State::Failed;
                        *failed = true;
                        return None;
                    }
                }
            }
        };
        reading.next = at + 1;
        let timestamp = record.timestamp.and_then(|time| u64::try_from(time).ok());
        Some(Record {
            partition: Arc::clone(&reading.partition),
            offset: at,
            invocations,
            letters: Vec::new(),
            timestamp,
        })
    }

    /// Positions that are not there any more go where the module says.
    fn reset(&mut self) {
        let Some(consumer) = self.consumer.take() else { return };
        let starts = Starts { consumer: &consumer, reset: self.ingress.reset };
        let mut moved = Vec::new();
        let mut failed = None;
        for reading in self.partitions.iter_mut() {
            match starts.bounds(&reading.partition) {
                Ok(bounds) if bounds.has(reading.next) => {}
                Ok(bounds) => {
                    let to = starts.reset(bounds);
                    moved.push((Arc::clone(&reading.partition), reading.next, to));
                    reading.next = to;
                }
                Err(error) => failed = Some(error),
            }
        }
        self.consumer = Some(consumer);
        for (partition, from, to) in moved {
            self.lost(&partition, from, to);
            (self.around.feed)(Feed::Positioned(partition, to));
        }
        if let Some(error) = failed.or_else(|| self.assign().err()) {
            self.warn(format_args!("{}", describe(&error)));
        }
    }

    /// The engine had no room for a record: its partition is not read for a while.
    fn hold(&mut self, partition: &Partition, offset: u64) {
        let Some(reading) = self.partitions.get_mut(&partition.topic, partition.number.cast_signed()) else { return };
        if reading.state == State::Failed {
            return;
        }
        reading.next = offset;
        reading.state = State::Held(Instant::now() + HOLD);
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
            self.warn(format_args!("{}", describe(&error)));
        }
    }

    /// The group shows what is durable.
    fn tell_group(&mut self) {
        if self.durable.is_empty() || self.commits > Instant::now() {
            return;
        }
        let Some(consumer) = &self.consumer else { return };
        self.commits = Instant::now() + self.ingress.commits;
        let mut list = TopicPartitionList::new();
        for (partition, next) in std::mem::take(&mut self.durable) {
            let added = list.add_partition_offset(&partition.topic, partition.number.cast_signed(), offset(next));
            debug_assert!(added.is_ok(), "an offset that was read");
        }
        if let Err(error) = consumer.commit(&list, CommitMode::Async) {
            debug!(ingress = %self.ingress.id, %error, "group was not told");
        }
    }

    fn warn(&mut self, error: std::fmt::Arguments<'_>) {
        let events = std::mem::take(&mut *self.events.lock().unwrap_or_else(PoisonError::into_inner));
        let error = match events.complaint() {
            Some(complaint) => format!("{error} ({})", self.ingress.settings.explained(complaint)),
            None => error.to_string(),
        };
        debug!(ingress = %self.ingress.id, %error, "reading failed");
        if self.warned.is_none_or(|at| at.elapsed() >= EVERY) {
            self.warned = Some(Instant::now());
            let hint = "millpond explain MP1020";
            warn!(ingress = %self.ingress.id, code = "MP1020", %error, hint, "reading failed, will try again");
        }
    }
}

/// Told to stop.
struct Stopped;

/// What an invalid record causes: `None` when its partition stops at it.
fn invalid(
    ingress: &KafkaIngress,
    route: &TopicRoute,
    record: &KafkaRecord<'_>,
    defect: Defect,
    skipped: &mut (Option<Instant>, u64),
) -> Option<Vec<(millpond_protocol::Address, bytes::Bytes)>> {
    let KafkaRecord { topic, partition, offset, timestamp, .. } = record;
    let (id, defect_name) = (&ingress.id, defect.as_str());
    let key = record.key.map(|key| String::from_utf8_lossy(key).escape_debug().to_string());
    match &route.invalid {
        InvalidRecords::Skip { log_level } => {
            // Upstream's fork has a line for each; one in ten seconds says as much.
            if skipped.0.is_some_and(|at| at.elapsed() < EVERY) {
                skipped.1 += 1;
                return Some(Vec::new());
            }
            let suppressed = std::mem::take(&mut skipped.1);
            skipped.0 = Some(Instant::now());
            macro_rules! say {
                ($level:ident) => {
                    $level!(ingress = %id, code = "MP1021", defect = defect_name, topic, partition, offset, timestamp, key, suppressed, "skipping invalid record")
                };
            }
            match log_level {
                LogLevel::Debug => say!(debug),
                LogLevel::Info => say!(info),
                LogLevel::Warn => say!(warn),
                LogLevel::Error => say!(error),
            }
            Some(Vec::new())
        }
        InvalidRecords::Forward { target } => Some(vec![route.forward(target, record, defect)]),
        InvalidRecords::Fail | InvalidRecords::DeadLetter => {
            let hint = "millpond explain MP1021";
            error!(ingress = %id, code = "MP1021", defect = defect_name, topic, partition, offset, timestamp, key, hint, "partition stops at an invalid record");
            None
        }
    }
}
