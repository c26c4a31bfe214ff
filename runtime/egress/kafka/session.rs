//! One producer, from its making until it is dropped.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use millpond_protocol::proto::egress::KafkaProducerRecord;
use prost::Message as _;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

use super::GRACE;
use crate::kafka::{Client, Events, LOOK, Leave, Settings};

/// A producer. `T` names what is sent.
pub(super) struct Session<T: Send + Sync + 'static> {
    producer: BaseProducer<Client<T>>,
    events: Arc<Mutex<Events<T>>>,
    /// Whoever uses it may have to leave.
    leave: Leave,
    /// Sends without a report.
    unreported: usize,
}

/// Why something was not sent.
#[derive(Debug)]
pub(super) enum Unsent {
    /// It will never be taken.
    Refused(String),
    /// The client failed.
    Failed(KafkaError),
}

/// How long a commit blocks at a time.
const SLICE: Duration = Duration::from_millis(500);

/// How long a full queue of the client may hold up a send.
const QUEUE_FULL: Duration = Duration::from_secs(30);

impl<T: Send + Sync + Clone + 'static> Session<T> {
    pub(super) fn new(name: &str, settings: &Settings, leave: &Leave) -> Result<Session<T>, KafkaError> {
        let (client, events) = Client::new(name);
        let producer = settings.config().create_with_context(client)?;
        Ok(Session { producer, events, leave: leave.clone(), unreported: 0 })
    }

    /// Ends all transactions of the producers before. A call that is not over goes on behind the scenes, and is asked for again.
    pub(super) fn init_transactions(&self, timeout: Duration) -> Result<(), KafkaError> {
        let deadline = Instant::now() + timeout;
        loop {
            let initialised = self.producer.init_transactions(LOOK * 2);
            match initialised {
                Err(_) if self.leave.is_told() => return Err(KafkaError::Canceled),
                Err(error) if is_unfinished(&error) && Instant::now() < deadline => {}
                result => return result,
            }
        }
    }

    pub(super) fn begin(&self) -> Result<(), KafkaError> {
        self.producer.begin_transaction()
    }

    /// Commits when the client has nothing in flight any more: it would wait 100 ms for that by itself. Who has to leave waits
    /// a moment longer for it.
    pub(super) fn commit(&self, timeout: Duration) -> Result<(), KafkaError> {
        let deadline = Instant::now() + timeout;
        let waits = || Instant::now() < deadline && !self.leave.is_over(GRACE);
        while self.producer.in_flight_count() > 0 && waits() {
            self.producer.poll(Duration::from_micros(200));
        }
        loop {
            match self.producer.commit_transaction(SLICE.min(deadline.saturating_duration_since(Instant::now()))) {
                Err(_) if self.leave.is_over(GRACE) => return Err(KafkaError::Canceled),
                Err(error) if is_unfinished(&error) && waits() => {}
                result => return result,
            }
        }
    }

    /// Why the client gave its transaction up, when it did: what was purged with it only says that it was.
    pub(super) fn why(&self) -> Option<KafkaError> {
        // In a transaction that is sound, this is out of place and nothing else.
        let refused = self.producer.begin_transaction().err()?;
        (refused.rdkafka_error_code() != Some(RDKafkaErrorCode::State)).then_some(refused)
    }

    /// Sends what a function handed over.
    pub(super) fn send(&mut self, what: T, record: &Bytes) -> Result<(), Unsent> {
        let record = KafkaProducerRecord::decode(record.clone())
            .map_err(|error| Unsent::Refused(format!("the record cannot be read: {error}")))?;
        let headers = (!record.headers.is_empty()).then(|| {
            record.headers.iter().fold(OwnedHeaders::new_with_capacity(record.headers.len()), |headers, header| {
                let value = header.has_value.then_some(&header.value[..]);
                headers.insert(Header { key: &header.key, value })
            })
        });
        let key = (!record.key.is_empty()).then_some(record.key.as_bytes());
        self.send_to(what, &record.topic, key, Some(&record.value_bytes), headers)
    }

    /// Sends bytes, or none, under a key.
    pub(super) fn send_to(
        &mut self,
        what: T,
        topic: &str,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: Option<OwnedHeaders>,
    ) -> Result<(), Unsent> {
        let mut sent: BaseRecord<'_, [u8], [u8], Box<T>> = BaseRecord::with_opaque_to(topic, Box::new(what));
        (sent.key, sent.payload, sent.headers) = (key, value, headers);
        let deadline = Instant::now() + QUEUE_FULL;
        loop {
            match self.producer.send(sent) {
                Ok(()) => {
                    self.unreported += 1;
                    return Ok(());
                }
                Err((error, back)) => match error.rdkafka_error_code() {
                    Some(RDKafkaErrorCode::QueueFull) if Instant::now() < deadline && !self.leave.is_told() => {
                        self.producer.poll(Duration::from_millis(1));
                        sent = back;
                    }
                    _ if is_refusal(&error) => return Err(Unsent::Refused(error.to_string())),
                    _ => return Err(Unsent::Failed(error)),
                },
            }
        }
    }

    /// What the client has to say. Looks at everything that it has ready, and waits for nothing.
    pub(super) fn events(&mut self) -> Events<T> {
        const AT_ONCE: usize = 100;
        for _ in 0..AT_ONCE {
            let before = self.count();
            self.producer.poll(Duration::ZERO);
            if self.count() == before {
                break;
            }
        }
        let events = std::mem::take(&mut *self.events.lock().unwrap_or_else(PoisonError::into_inner));
        self.unreported -= events.reports.len();
        events
    }

    fn count(&self) -> usize {
        let events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        events.errors.len() + events.reports.len()
    }

    /// Sends without a report.
    pub(super) fn unreported(&self) -> usize {
        self.unreported
    }
}

/// Bytes of what a record has for its readers: key, value, headers.
pub(super) fn record_bytes(record: &Bytes) -> u64 {
    let Ok(record) = KafkaProducerRecord::decode(record.clone()) else { return 0 };
    let headers: usize = record.headers.iter().map(|header| header.key.len() + header.value.len()).sum();
    (record.key.len() + record.value_bytes.len() + headers) as u64
}

/// A call of the client that goes on, and can be asked for again.
fn is_unfinished(error: &KafkaError) -> bool {
    match error {
        KafkaError::Transaction(error) => error.is_retriable(),
        KafkaError::Flush(code) => *code == RDKafkaErrorCode::OperationTimedOut,
        _ => false,
    }
}

/// Whether the broker, or the client, will never take a record.
pub(super) fn is_refusal(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(
            RDKafkaErrorCode::MessageSizeTooLarge
                | RDKafkaErrorCode::MessageBatchTooLarge
                | RDKafkaErrorCode::InvalidTopic
                | RDKafkaErrorCode::InvalidTimestamp
                | RDKafkaErrorCode::InvalidRecord
                | RDKafkaErrorCode::PolicyViolation
        )
    ) || matches!(error, KafkaError::Nul(_))
}
