//! Records to a broker, records from it, and how far a consumer group is.
//!
//! The client has threads of its own; what is here hands its results to async code.

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Message as _};
use rdkafka::producer::{BaseRecord, ProducerContext, ThreadedProducer};
use rdkafka::{ClientContext, Offset, TopicPartitionList};
use tokio::sync::{mpsc, oneshot, watch};

use crate::{Broker, DEADLINE, Error};

/// Partition and offset of a record that the broker has.
pub type Place = (i32, i64);

fn failed(what: String) -> impl FnOnce(KafkaError) -> Error {
    move |source| Error::Kafka { what, source }
}

/// A producer that puts each key where Java's producers put it, and each record there once.
pub struct Producer(ThreadedProducer<Reports>);

/// Tells whoever waits for a record where it is.
struct Reports;

impl ClientContext for Reports {}

impl ProducerContext for Reports {
    type DeliveryOpaque = Box<oneshot::Sender<Result<Place, KafkaError>>>;

    fn delivery(&self, result: &DeliveryResult<'_>, waits: Self::DeliveryOpaque) {
        let place = match result {
            Ok(message) => Ok((message.partition(), message.offset())),
            Err((error, _)) => Err(error.clone()),
        };
        // Who does not wait any more does not want to know.
        let _ = waits.send(place);
    }
}

impl Producer {
    /// A producer for this broker.
    ///
    /// # Errors
    /// When the client refuses to be made.
    pub fn new(broker: &Broker) -> Result<Producer, Error> {
        let mut config = broker.client();
        config.set("partitioner", "murmur2_random").set("enable.idempotence", "true").set("linger.ms", "1");
        let made = config.create_with_context(Reports);
        made.map(Producer).map_err(failed("no producer was made".to_owned()))
    }

    /// Sends a record, and waits until the broker has it.
    ///
    /// # Errors
    /// When the broker refuses it, or does not answer for minutes.
    pub async fn send(&self, topic: &str, key: &str, value: &str) -> Result<Place, Error> {
        let what = || format!("a record for topic `{topic}` was not sent");
        let (told, waits) = oneshot::channel();
        let mut record = BaseRecord::with_opaque_to(topic, Box::new(told)).key(key).payload(value);
        while let Err((error, back)) = self.0.send(record) {
            if error.rdkafka_error_code() != Some(RDKafkaErrorCode::QueueFull) {
                return Err(failed(what())(error));
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
            record = back;
        }
        let place = waits.await.map_err(|_| Error::Wrong(what()))?;
        place.map_err(failed(what()))
    }
}

/// Reads a topic from its beginning, committed records only.
pub struct Consumer {
    records: mpsc::UnboundedReceiver<Result<String, Error>>,
}

impl Consumer {
    /// Reads all partitions that the topic has now. It blocks its thread for the broker's answer.
    ///
    /// # Errors
    /// When the broker does not know the topic.
    pub fn new(broker: &Broker, topic: &str) -> Result<Consumer, Error> {
        let what = format!("topic `{topic}` is not read");
        let mut config = broker.client();
        config.set("group.id", "readers").set("enable.auto.commit", "false").set("isolation.level", "read_committed");
        let consumer: BaseConsumer = config.create().map_err(failed(what.clone()))?;
        let assigned = partitions(&consumer, topic, Offset::Beginning).and_then(|list| consumer.assign(&list));
        assigned.map_err(failed(what.clone()))?;
        let (found, records) = mpsc::unbounded_channel();
        std::thread::spawn(move || {
            while !found.is_closed() {
                let record = match consumer.poll(Duration::from_millis(100)) {
                    None => continue,
                    // The broker is away for a moment; the client comes again.
                    Some(Err(error)) if is_passing(&error) => continue,
                    Some(Err(error)) => Err(failed(what.clone())(error)),
                    Some(Ok(message)) => {
                        Ok(String::from_utf8_lossy(message.payload().unwrap_or_default()).into_owned())
                    }
                };
                let _ = found.send(record);
            }
        });
        Ok(Consumer { records })
    }

    /// The values of the records behind those that were read before; waits a while for the first.
    ///
    /// # Errors
    /// When the topic cannot be read any more.
    pub async fn next(&mut self, wait: Duration) -> Result<Vec<String>, Error> {
        let Ok(Some(first)) = tokio::time::timeout(wait, self.records.recv()).await else { return Ok(Vec::new()) };
        let mut values = vec![first?];
        while let Ok(more) = self.records.try_recv() {
            values.push(more?);
        }
        Ok(values)
    }
}

/// What a consumer group says of some topics: the next offset of each partition.
pub type Positions = BTreeMap<(String, i32), i64>;

/// Follows a consumer group, a few times a second, for as long as somebody listens. It blocks its thread for the first answer.
///
/// # Errors
/// When the broker does not know a topic.
pub fn follow_group(broker: &Broker, group: &str, topics: &[&str]) -> Result<watch::Receiver<Positions>, Error> {
    let what = format!("group `{group}` is not followed");
    let mut config = broker.client();
    let consumer: BaseConsumer = config.set("group.id", group).create().map_err(failed(what.clone()))?;
    let mut all = TopicPartitionList::new();
    for topic in topics {
        let list = partitions(&consumer, topic, Offset::Invalid).map_err(failed(what.clone()))?;
        for element in list.elements() {
            all.add_partition(topic, element.partition());
        }
    }
    let (shown, positions) = watch::channel(Positions::new());
    std::thread::spawn(move || {
        while !shown.is_closed() {
            // Without an answer, the next one will do.
            if let Ok(found) = consumer.committed_offsets(all.clone(), DEADLINE) {
                let known = found.elements().into_iter().filter_map(|element| {
                    let offset = element.offset().to_raw().filter(|offset| *offset >= 0)?;
                    Some(((element.topic().to_owned(), element.partition()), offset))
                });
                shown.send_replace(known.collect());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    });
    Ok(positions)
}

fn partitions(consumer: &BaseConsumer, topic: &str, offset: Offset) -> Result<TopicPartitionList, KafkaError> {
    let metadata = consumer.fetch_metadata(Some(topic), DEADLINE)?;
    let mut list = TopicPartitionList::new();
    for found in metadata.topics().iter().filter(|found| found.name() == topic) {
        for partition in found.partitions() {
            list.add_partition_offset(topic, partition.id(), offset)?;
        }
    }
    if list.count() == 0 {
        return Err(KafkaError::MetadataFetch(RDKafkaErrorCode::UnknownTopicOrPartition));
    }
    Ok(list)
}

fn is_passing(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(
            RDKafkaErrorCode::BrokerTransportFailure
                | RDKafkaErrorCode::AllBrokersDown
                | RDKafkaErrorCode::OperationTimedOut
                | RDKafkaErrorCode::NotLeaderForPartition
        )
    )
}
