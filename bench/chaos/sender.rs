//! The numbers: 1, 2, 3, ... under each key, key after key, at a steady rate.
//!
//! The client has an idempotent producer that never gives up, so each number is on the topic once and in order, whatever
//! happens to the broker. Whether that is so is part of the judgement: the topic itself is read back in the end.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use rdkafka::ClientContext;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, ProducerContext};

use crate::NUMBERS;
use crate::clients::Kafka;

/// Sends on a thread of its own until it is ended.
pub struct Sender {
    sent: Arc<AtomicU64>,
    over: Arc<AtomicBool>,
    thread: JoinHandle<anyhow::Result<u64>>,
}

/// The key with this number.
pub fn key(number: u64) -> String {
    format!("key-{number}")
}

/// What was reported of records.
#[derive(Default)]
struct Reports {
    delivered: AtomicU64,
    failed: Mutex<Option<String>>,
}

impl ClientContext for Reports {
    fn log(&self, _: rdkafka::config::RDKafkaLogLevel, _: &str, _: &str) {}

    fn error(&self, _: rdkafka::error::KafkaError, _: &str) {}
}

impl ProducerContext for Reports {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        match result {
            Ok(_) => _ = self.delivered.fetch_add(1, Ordering::Relaxed),
            Err((error, _)) => {
                self.failed.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_with(|| error.to_string());
            }
        }
    }
}

impl Sender {
    /// So many records a second, over so many keys.
    pub fn start(kafka: &Kafka, rate: u64, keys: u64) -> anyhow::Result<Sender> {
        let producer: BaseProducer<Reports> = kafka
            .config()
            .set("enable.idempotence", "true")
            .set("acks", "all")
            .set("message.timeout.ms", "0")
            .set("partitioner", "murmur2_random")
            .set("linger.ms", "5")
            .set("queue.buffering.max.messages", "2000000")
            .set("reconnect.backoff.max.ms", "1000")
            .create_with_context(Reports::default())?;
        let (sent, over) = (Arc::<AtomicU64>::default(), Arc::<AtomicBool>::default());
        let thread = std::thread::spawn({
            let (sent, over) = (sent.clone(), over.clone());
            move || run(&producer, rate, keys, &sent, &over)
        });
        Ok(Sender { sent, over, thread })
    }

    /// How many records were handed to the client.
    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Sends no more; returns how many there are when the broker has them all.
    pub fn end(self) -> anyhow::Result<u64> {
        self.over.store(true, Ordering::Relaxed);
        self.thread.join().map_err(|_| anyhow::anyhow!("the sender panicked"))?
    }
}

fn run(
    producer: &BaseProducer<Reports>,
    rate: u64,
    keys: u64,
    sent: &AtomicU64,
    over: &AtomicBool,
) -> anyhow::Result<u64> {
    /// How long the broker may be away in the end.
    const FLUSH: Duration = Duration::from_secs(180);
    let began = Instant::now();
    let mut count = 0;
    let is_failed = |reports: &Reports| -> anyhow::Result<()> {
        match &*reports.failed.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(error) => bail!("the test's own sender lost a record: {error}"),
            None => Ok(()),
        }
    };
    while !over.load(Ordering::Relaxed) {
        let due = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX).saturating_mul(rate) / 1_000_000;
        while count < due {
            let (key, value) = (key(count % keys), (count / keys + 1).to_string());
            match producer.send(BaseRecord::to(NUMBERS).key(&key).payload(&value)) {
                Ok(()) => count += 1,
                Err((error, _)) if error.rdkafka_error_code() == Some(RDKafkaErrorCode::QueueFull) => break,
                Err((error, _)) => bail!("the test's own sender: {error}"),
            }
        }
        sent.store(count, Ordering::Relaxed);
        producer.poll(Duration::from_millis(5));
        is_failed(producer.context())?;
    }
    let deadline = Instant::now() + FLUSH;
    while producer.context().delivered.load(Ordering::Relaxed) < count {
        producer.poll(Duration::from_millis(20));
        is_failed(producer.context())?;
        (Instant::now() < deadline).then_some(()).context("the broker does not take what the sender has left")?;
    }
    Ok(count)
}
