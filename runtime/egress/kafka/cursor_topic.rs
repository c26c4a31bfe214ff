//! The topic of cursors, `<app>.outbox` in the egress's own cluster: made when it is missing, measured, and read.
//!
//! The key of a cursor names the ledger and the egress, so that what another data directory of this application published is
//! there to be seen, too.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::FutureExt as _;
use millpond_publisher::{Isolation, Offset as At};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message as _;
use rdkafka::{Offset, TopicPartitionList};

use super::CALL;
use crate::kafka::{Client, Events, Settings};

/// The topic and who looks at it. A clone looks at the same one.
#[derive(Clone)]
pub(super) struct CursorTopic {
    pub(super) topic: String,
    settings: Settings,
    events: Arc<Mutex<Events<()>>>,
}

/// Whose cursor it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct CursorKey {
    pub(super) ledger: u128,
    pub(super) egress: String,
}

impl CursorKey {
    /// The key of the record.
    pub(super) fn bytes(&self) -> Vec<u8> {
        format!("{:032x} {}", self.ledger, self.egress).into_bytes()
    }

    /// The ledger of a key of the same egress.
    fn ledger_of(&self, key: &[u8]) -> Option<u128> {
        const DIGITS: usize = 32;
        let (digits, rest) = key.split_at_checked(DIGITS)?;
        let of_this = rest.strip_prefix(b" ").is_some_and(|egress| egress == self.egress.as_bytes());
        // Only digits: a sign would be taken for a part of the number.
        let digits = digits.iter().all(u8::is_ascii_hexdigit).then(|| std::str::from_utf8(digits).ok())??;
        of_this.then(|| u128::from_str_radix(digits, 16).ok())?
    }
}

/// The cursors of one egress.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Found {
    /// That of this ledger, and where it is.
    pub(super) ours: Option<(At, Bytes)>,
    /// Those of other ledgers.
    pub(super) others: BTreeMap<u128, Bytes>,
}

impl CursorTopic {
    /// The topic of an application, in the cluster of these settings.
    pub(super) fn new(app: &str, settings: &Settings) -> CursorTopic {
        let mut settings = settings.connection_only();
        settings.set("group.id", format!("{app}.outbox"));
        settings.set("enable.auto.commit", "false");
        settings.set("enable.partition.eof", "true");
        // What was there may have been removed: then the beginning is where to look.
        settings.set("auto.offset.reset", "earliest");
        CursorTopic { topic: format!("{app}.outbox"), settings, events: Arc::default() }
    }

    /// Makes the topic unless it is there. Without the right to make it, somebody else has to.
    pub(super) fn make(&self) -> Result<(), KafkaError> {
        if self.exists()? {
            return Ok(());
        }
        let admin: AdminClient<DefaultClientContext> = self.settings.connection_only().config().create()?;
        let topic = NewTopic::new(&self.topic, 1, TopicReplication::Fixed(-1))
            .set("cleanup.policy", "compact")
            .set("segment.bytes", "16777216")
            .set("delete.retention.ms", "3600000");
        let options = AdminOptions::new().operation_timeout(Some(CALL)).request_timeout(Some(CALL));
        let made = block_on(admin.create_topics([&topic], &options), CALL * 2)?;
        for result in made {
            match result {
                Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
                Err((_, code)) => return Err(KafkaError::Global(code)),
            }
        }
        Ok(())
    }

    /// What the client complained of since this was asked last.
    pub(super) fn complaint(&self) -> Option<String> {
        std::mem::take(&mut *self.events.lock().unwrap_or_else(PoisonError::into_inner)).complaint()
    }

    fn exists(&self) -> Result<bool, KafkaError> {
        let metadata = self.consumer(Isolation::Uncommitted)?.fetch_metadata(Some(&self.topic), CALL)?;
        let Some(found) = metadata.topics().iter().find(|topic| topic.name() == self.topic) else { return Ok(false) };
        match found.error().map(RDKafkaErrorCode::from) {
            Some(denied @ RDKafkaErrorCode::TopicAuthorizationFailed) => Err(KafkaError::MetadataFetch(denied)),
            error => Ok(error.is_none() && !found.partitions().is_empty()),
        }
    }

    /// One more than the last offset, as that isolation level sees it.
    pub(super) fn end(&self, isolation: Isolation) -> Result<At, KafkaError> {
        Ok(self.consumer(isolation)?.fetch_watermarks(&self.topic, 0, CALL)?.1)
    }

    /// The last cursors of an egress from an offset on, below another one; seen by a reader of that isolation level.
    pub(super) fn read(&self, key: &CursorKey, from: At, upto: At, isolation: Isolation) -> Result<Found, KafkaError> {
        const PATIENCE: Duration = Duration::from_secs(30);
        let deadline = Instant::now() + PATIENCE;
        let consumer = self.consumer(isolation)?;
        // An open transaction of somebody else hides what lies above it: then this reader has to wait for its end.
        while consumer.fetch_watermarks(&self.topic, 0, CALL)?.1 < upto {
            if Instant::now() > deadline {
                return Err(KafkaError::Global(RDKafkaErrorCode::OperationTimedOut));
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        let mut partition = TopicPartitionList::new();
        partition.add_partition_offset(&self.topic, 0, Offset::Offset(from))?;
        consumer.assign(&partition)?;
        let mut found = Found::default();
        loop {
            match consumer.poll(Duration::from_millis(100)) {
                Some(Ok(message)) if message.offset() >= upto => return Ok(found),
                Some(Ok(message)) => {
                    found.see(key, message.key().unwrap_or_default(), message.offset(), message.payload());
                    if message.offset() + 1 == upto {
                        return Ok(found);
                    }
                }
                Some(Err(KafkaError::PartitionEOF(_))) => return Ok(found),
                // A client that reads where it is told to asks for its group all the same, and needs no right on it.
                Some(Err(KafkaError::MessageConsumption(RDKafkaErrorCode::GroupAuthorizationFailed))) => {}
                // The client looks for the broker by itself, until the time is up.
                Some(Err(KafkaError::MessageConsumption(RDKafkaErrorCode::BrokerTransportFailure))) | None => {}
                Some(Err(error)) => return Err(error),
            }
            if Instant::now() > deadline {
                return Err(KafkaError::Global(RDKafkaErrorCode::OperationTimedOut));
            }
        }
    }

    fn consumer(&self, isolation: Isolation) -> Result<BaseConsumer<Client<()>>, KafkaError> {
        let level = match isolation {
            Isolation::Uncommitted => "read_uncommitted",
            Isolation::Committed => "read_committed",
        };
        let client = Client::sharing("cursor", &self.events);
        self.settings.config().set("isolation.level", level).create_with_context(client)
    }
}

impl Found {
    /// The cursors of ledgers that took the place of this one: where it has one of its own, nobody did.
    pub(super) fn rivals(&self) -> impl Iterator<Item = (u128, &Bytes)> {
        let of_others = self.others.iter().map(|(ledger, value)| (*ledger, value));
        of_others.filter(move |_| self.ours.is_none())
    }

    /// A record of the topic, behind those that were seen before.
    fn see(&mut self, of: &CursorKey, key: &[u8], at: At, value: Option<&[u8]>) {
        let value = value.map(Bytes::copy_from_slice);
        match (of.ledger_of(key), value) {
            (Some(ledger), value) if ledger == of.ledger => self.ours = value.map(|value| (at, value)),
            (Some(ledger), Some(value)) => _ = self.others.insert(ledger, value),
            (Some(ledger), None) => _ = self.others.remove(&ledger),
            (None, _) => {}
        }
    }
}

/// Waits for an answer of the client's own threads.
fn block_on<T>(answer: impl Future<Output = Result<T, KafkaError>>, patience: Duration) -> Result<T, KafkaError> {
    let deadline = Instant::now() + patience;
    let mut answer = std::pin::pin!(answer);
    loop {
        if let Some(answer) = answer.as_mut().now_or_never() {
            return answer;
        }
        if Instant::now() > deadline {
            return Err(KafkaError::Global(RDKafkaErrorCode::OperationTimedOut));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::{CursorKey, Found};

    /// Of each ledger the last cursor counts, one without a value is gone, and other egresses are somebody else's.
    #[test]
    fn cursors_of_an_egress() {
        let key = |ledger, egress: &str| CursorKey { ledger, egress: egress.to_owned() };
        let of = key(0xab, "com.example/out");
        let mut found = Found::default();
        let mut see = |key: &[u8], at, value: Option<&[u8]>| found.see(&of, key, at, value);
        see(&of.bytes(), 1, Some(&b"old"[..]));
        see(&of.bytes(), 2, Some(&b"new"[..]));
        see(&key(1, "com.example/out").bytes(), 3, Some(&b"other"[..]));
        see(&key(2, "com.example/out").bytes(), 4, Some(&b"gone"[..]));
        see(&key(2, "com.example/out").bytes(), 5, None);
        see(&key(3, "com.example/out2").bytes(), 6, Some(&b"x"[..]));
        for odd in [&b""[..], b"+00000000000000000000000000000ab com.example/out", &[0xff; 60], b"ab com.example/out"] {
            see(odd, 7, Some(&b"x"[..]));
        }
        let value = |text: &'static str| Bytes::from_static(text.as_bytes());
        assert_eq!(found, Found { ours: Some((2, value("new"))), others: [(1, value("other"))].into() });
        found.see(&of, &of.bytes(), 8, None);
        assert_eq!(found.ours, None);
    }
}
