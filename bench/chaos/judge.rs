//! What a reader of committed records sees, held against what must be there: per key 1, 2, 3, ... once and in order.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use rdkafka::error::KafkaError;
use rdkafka::message::Message as _;

use crate::clients::Kafka;
use crate::functions::EACH;
use crate::{COUNTS, NUMBERS, QUARTERS};

/// How far each key was seen, and what was wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    numbers: Vec<u64>,
    counts: Vec<u64>,
    quarters: Vec<u64>,
    /// The first few records that must not be there, in words.
    pub wrong: Vec<String>,
    /// All records.
    pub records: u64,
}

/// Words about more than so many wrong records help nobody.
const WORDS: usize = 20;

impl Seen {
    /// Nothing yet, of so many keys.
    pub fn new(keys: u64) -> Seen {
        let none = vec![0; usize::try_from(keys).expect("keys fit into memory")];
        Seen { numbers: none.clone(), counts: none.clone(), quarters: none, wrong: Vec::new(), records: 0 }
    }

    /// One record more.
    fn add(&mut self, topic: &str, key: &str, value: &str) {
        self.records += 1;
        let (all, step) = match topic {
            NUMBERS => (&mut self.numbers, 1),
            COUNTS => (&mut self.counts, 1),
            _ => (&mut self.quarters, EACH),
        };
        let place = key.strip_prefix("key-").and_then(|number| number.parse::<usize>().ok());
        let last = place.and_then(|place| all.get_mut(place));
        let Some(last) = last else {
            self.wrong.push(format!("{topic}: a key `{key}` that nobody sent"));
            self.wrong.truncate(WORDS);
            return;
        };
        let next = *last + 1;
        let expected = match topic {
            NUMBERS => next.to_string(),
            _ => format!("{}:{next}", next * step),
        };
        if value != expected {
            self.wrong.push(format!("{topic}: `{value}` under `{key}`, where `{expected}` must come"));
            self.wrong.truncate(WORDS);
        }
        // Goes on from what is there, so that one gap is one finding.
        let found = value.split(':').next().and_then(|number| number.parse::<u64>().ok());
        *last = found.map_or(next, |found| found / step);
    }

    /// Which keys do not end where they must when so many numbers were sent, in words; the sender's own topic only if asked.
    pub fn missing(&self, sent: u64, own: bool) -> Vec<String> {
        let keys = self.counts.len() as u64;
        let mut found = Vec::new();
        let topics = [(NUMBERS, &self.numbers, 1), (COUNTS, &self.counts, 1), (QUARTERS, &self.quarters, EACH)];
        for (topic, all, step) in topics.into_iter().filter(|(topic, ..)| own == (*topic == NUMBERS)) {
            for (key, seen) in all.iter().enumerate() {
                let expected = expected(sent, keys, key as u64) / step;
                if *seen != expected && found.len() < WORDS {
                    found.push(format!("{topic}: key-{key} ends at {seen} and not at {expected}"));
                }
            }
        }
        found
    }
}

/// The last number of a key when so many numbers were sent.
pub fn expected(sent: u64, keys: u64, key: u64) -> u64 {
    sent / keys + u64::from(key < sent % keys)
}

/// How many records both functions write when so many numbers were sent.
pub fn records(sent: u64, keys: u64) -> u64 {
    sent + (0..keys).map(|key| expected(sent, keys, key) / EACH).sum::<u64>()
}

/// Reads while all goes on.
pub struct Follower {
    records: Arc<AtomicU64>,
    over: Arc<AtomicBool>,
    thread: JoinHandle<anyhow::Result<Seen>>,
}

impl Follower {
    /// Follows the topics of the functions.
    pub fn start(kafka: &Kafka, keys: u64) -> anyhow::Result<Follower> {
        let consumer = kafka.consumer(&[COUNTS, QUARTERS])?;
        let (records, over) = (Arc::<AtomicU64>::default(), Arc::<AtomicBool>::default());
        let thread = std::thread::spawn({
            let (records, over) = (records.clone(), over.clone());
            move || {
                let mut seen = Seen::new(keys);
                while !over.load(Ordering::Relaxed) {
                    // Errors are the broker's deaths; the client goes on by itself.
                    if let Some(Ok(message)) = consumer.poll(Duration::from_millis(100)) {
                        add(&mut seen, &message);
                        records.store(seen.records, Ordering::Relaxed);
                    }
                }
                Ok(seen)
            }
        });
        Ok(Follower { records, over, thread })
    }

    /// How many records it has seen.
    pub fn records(&self) -> u64 {
        self.records.load(Ordering::Relaxed)
    }

    /// What it has seen.
    pub fn end(self) -> anyhow::Result<Seen> {
        self.over.store(true, Ordering::Relaxed);
        self.thread.join().map_err(|_| anyhow::anyhow!("the reader panicked"))?
    }
}

/// Reads all topics from their beginning to their end; nobody writes to them any more.
pub fn read_all(kafka: &Kafka, keys: u64) -> anyhow::Result<Seen> {
    const SILENCE: Duration = Duration::from_secs(60);
    let mut seen = Seen::new(keys);
    for topic in [NUMBERS, COUNTS, QUARTERS] {
        let consumer = kafka.consumer(&[topic])?;
        let (mut ended, mut heard) = (BTreeSet::new(), Instant::now());
        while ended.len() < usize::try_from(kafka.partitions())? {
            match consumer.poll(Duration::from_millis(100)) {
                Some(Ok(message)) => {
                    ended.remove(&message.partition());
                    add(&mut seen, &message);
                }
                Some(Err(KafkaError::PartitionEOF(partition))) => _ = ended.insert(partition),
                Some(Err(error)) => return Err(error).with_context(|| format!("topic `{topic}` was not read")),
                None => {
                    ensure!(heard.elapsed() < SILENCE, "topic `{topic}` has ended in {} partitions only", ended.len());
                    continue;
                }
            }
            heard = Instant::now();
        }
    }
    Ok(seen)
}

fn add(seen: &mut Seen, message: &rdkafka::message::BorrowedMessage<'_>) {
    let text = |bytes: Option<&[u8]>| String::from_utf8_lossy(bytes.unwrap_or_default()).into_owned();
    seen.add(message.topic(), &text(message.key()), &text(message.payload()));
}
