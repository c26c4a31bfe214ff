//! The Kafka ingress: reads the partitions of its topics on a thread of its own and hands each record to the engine, in order.
//!
//! What comes in: records, and from the engine word to pause, to come again with a record, and of what is durable. What goes
//! out: records with their offsets. It decides nothing: what was taken in is the engine's to know, and the ledger's to keep.
//! The group shows how far the ledger has come; nothing is read from it once there are positions of our own.

mod positions;
mod reader;
mod start;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Sender};
use std::thread::JoinHandle;
use std::time::Duration;

use millpond_engine::{Partition, Record};
use millpond_protocol::TypeName;

use crate::config::model::{AutoOffsetReset, KafkaIngress as Declared, StartupPosition};
use crate::kafka::{Finding, Role, Settings};
use crate::router::TopicRoute;

/// What a Kafka ingress is started with.
#[derive(Debug, Clone)]
pub(crate) struct KafkaIngress {
    pub(crate) id: TypeName,
    settings: Settings,
    topics: BTreeMap<String, TopicRoute>,
    startup: StartupPosition,
    reset: AutoOffsetReset,
    /// How often new partitions are looked for.
    discovery: Option<Duration>,
    /// How often the group is told what is durable.
    commits: Duration,
}

/// What an ingress tells the engine.
#[derive(Debug)]
pub(crate) enum Feed {
    /// Records, in the order of each partition. The debt is paid when they are in the engine.
    Records(Vec<Record>, Debt),
    /// The record that was held back comes again, or the next one that is still there.
    Resumed(Arc<Partition>, u64),
    /// Reading of a partition begins here.
    Positioned(Arc<Partition>, u64),
}

/// Bytes on their way to the engine; it is paid back when it is dropped.
#[derive(Debug)]
pub(crate) struct Debt {
    account: Arc<AtomicUsize>,
    bytes: usize,
}

impl Debt {
    fn new(account: &Arc<AtomicUsize>, bytes: usize) -> Debt {
        account.fetch_add(bytes, Ordering::Relaxed);
        Debt { account: Arc::clone(account), bytes }
    }
}

impl Drop for Debt {
    fn drop(&mut self) {
        self.account.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// What the node tells an ingress.
#[derive(Debug)]
pub(crate) enum Word {
    /// This record was not taken in: come again with it.
    HeldBack(Arc<Partition>, u64),
    /// These positions are durable.
    Durable(Vec<(Arc<Partition>, u64)>),
    /// End the thread.
    Stop,
}

/// An ingress's way to the engine.
#[derive(Clone)]
pub(crate) struct Surroundings {
    /// Hands something over; false when there is no engine any more.
    pub(crate) feed: Arc<dyn Fn(Feed) -> bool + Send + Sync>,
    /// Whether intake is paused.
    pub(crate) paused: Arc<dyn Fn() -> bool + Send + Sync>,
}

/// A running ingress.
pub(crate) struct Inlet {
    pub(crate) id: TypeName,
    words: Sender<Word>,
    thread: JoinHandle<()>,
}

/// Property of Flink's connector: milliseconds between two looks for new partitions; negative is never.
const DISCOVERY: &str = "flink.partition-discovery.interval-millis";
/// Property of Java's client: milliseconds between two commits of the group.
const COMMITS: &str = "auto.commit.interval.ms";

impl KafkaIngress {
    /// What the module declares, with what is to be said about its properties.
    pub(crate) fn new(declared: &Declared) -> (KafkaIngress, Vec<Finding>) {
        let (mut settings, mut findings) = Settings::new(Role::Consumer, &declared.address, &declared.properties);
        settings.set("group.id", declared.consumer_group_id.clone());
        settings.set("enable.auto.commit", "false");
        settings.set("enable.auto.offset.store", "false");
        // Said to us as an error; where to go on then is decided here, and told to the ledger.
        settings.set("auto.offset.reset", "error");
        // Java's client reads everything unless it is told otherwise; librdkafka does not.
        settings.set_default("isolation.level", "read_uncommitted");
        settings.set_default("queued.max.messages.kbytes", "16384");
        settings.set_default("fetch.wait.max.ms", "100");
        let mut milliseconds = |name: &str, default: i64| match declared.properties.get(name) {
            None => default,
            Some(text) => text.trim().parse().unwrap_or_else(|_| {
                let fact = format!("property `{name}` is `{text}`, not a number of milliseconds");
                findings.push(Finding { refused: true, fact, hint: None });
                default
            }),
        };
        let discovery = u64::try_from(milliseconds(DISCOVERY, 300_000)).ok().filter(|pause| *pause > 0);
        let commits = u64::try_from(milliseconds(COMMITS, 1_000)).unwrap_or(1_000).max(100);
        let ingress = KafkaIngress {
            id: declared.id.clone(),
            settings,
            topics: declared.topics.iter().map(|topic| (topic.route.name.clone(), TopicRoute::new(topic))).collect(),
            startup: declared.startup_position.clone(),
            reset: declared.auto_offset_reset,
            discovery: discovery.map(Duration::from_millis),
            commits: Duration::from_millis(commits),
        };
        (ingress, findings)
    }

    /// Starts it where the ledger says.
    pub(crate) fn start(self, restored: &BTreeMap<Partition, u64>, surroundings: Surroundings) -> Inlet {
        let (words, inbox) = mpsc::channel();
        let id = self.id.clone();
        let restored = restored.iter().filter(|(partition, _)| partition.ingress == id);
        let restored = restored.map(|(partition, next)| (partition.clone(), *next)).collect();
        let reader = reader::Reader::new(self, restored, surroundings, inbox);
        let builder = std::thread::Builder::new().name("millpond-ingress".to_owned());
        let thread = builder.spawn(move || reader.run()).expect("a process that just started may have threads");
        Inlet { id, words, thread }
    }
}

impl Inlet {
    /// The way to tell it something.
    pub(crate) fn words(&self) -> Sender<Word> {
        self.words.clone()
    }

    /// Ends it; returns when the thread is over.
    pub(crate) fn stop(self) {
        let _ = self.words.send(Word::Stop);
        let _ = self.thread.join();
    }
}

/// How long a call on the client may block.
const CALL: Duration = Duration::from_secs(10);
