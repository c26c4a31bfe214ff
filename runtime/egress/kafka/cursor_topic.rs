//! The topic of cursors, `<app>.outbox` in the egress's own cluster: made when it is missing, measured, and read.

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

/// The topic and who looks at it.
pub(super) struct CursorTopic {
    pub(super) topic: String,
    settings: Settings,
    events: Arc<Mutex<Events<()>>>,
    made: bool,
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
        CursorTopic { topic: format!("{app}.outbox"), settings, events: Arc::default(), made: false }
    }

    /// Makes the topic unless it is there. Without the right to make it, somebody else has to.
    pub(super) fn make(&mut self) -> Result<(), KafkaError> {
        if self.made || self.exists()? {
            self.made = true;
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
                Err((_, code)) => return Err(KafkaError::AdminOp(code)),
            }
        }
        self.made = true;
        Ok(())
    }

    /// What the client complained of since this was asked last.
    pub(super) fn complaint(&self) -> Option<String> {
        std::mem::take(&mut *self.events.lock().unwrap_or_else(PoisonError::into_inner)).complaint()
    }

    fn exists(&self) -> Result<bool, KafkaError> {
        let metadata = self.consumer(Isolation::Uncommitted)?.fetch_metadata(Some(&self.topic), CALL)?;
        let found = metadata.topics().iter().find(|topic| topic.name() == self.topic);
        Ok(found.is_some_and(|topic| topic.error().is_none() && !topic.partitions().is_empty()))
    }

    /// One more than the last offset, as that isolation level sees it.
    pub(super) fn end(&self, isolation: Isolation) -> Result<At, KafkaError> {
        Ok(self.consumer(isolation)?.fetch_watermarks(&self.topic, 0, CALL)?.1)
    }

    /// The last record with this key from an offset on, below another one; seen by a reader of that isolation level.
    pub(super) fn read(
        &self,
        key: &[u8],
        from: At,
        upto: At,
        isolation: Isolation,
    ) -> Result<Option<(At, Bytes)>, KafkaError> {
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
        let mut found = None;
        loop {
            match consumer.poll(Duration::from_millis(100)) {
                Some(Ok(message)) if message.offset() >= upto => return Ok(found),
                Some(Ok(message)) => {
                    if message.key() == Some(key) {
                        found = message.payload().map(|value| (message.offset(), Bytes::copy_from_slice(value)));
                    }
                    if message.offset() + 1 == upto {
                        return Ok(found);
                    }
                }
                Some(Err(KafkaError::PartitionEOF(_))) => return Ok(found),
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
