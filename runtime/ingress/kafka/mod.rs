//! The Kafka ingress: reads the partitions of its topics on a thread of its own and hands each record to the engine, in order.
//!
//! What comes in: records, and from the engine word to pause, to come again with a record, and of what is durable. What goes
//! out: records with their offsets. It decides nothing: what was taken in is the engine's to know, and the ledger's to keep.
//! The group shows how far the ledger has come; nothing is read from it once there are positions of our own.
//!
//! | file | its one idea |
//! |---|---|
//! | `reader.rs` | the thread: polls the client, hands records over |
//! | `positions.rs` | the partitions, and what happens in each |
//! | `invalid.rs` | what becomes of a record that cannot be a message |
//! | `ask.rs`, `start.rs` | questions to the cluster, on a thread of their own; where reading begins |
//! | `outage.rs` | when to say that nothing comes |
//! | `board.rs` | what people see |

mod ask;
mod board;
mod invalid;
mod outage;
mod positions;
mod reader;
mod start;

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use millpond_engine::{Partition, Record};
use millpond_protocol::TypeName;
use tokio::sync::oneshot;
use tracing::debug;

use crate::config::model::{
    AutoOffsetReset, DeadLetterTarget, InvalidRecords, KafkaIngress as Declared, StartupPosition,
};
use crate::egress::LetterRoute;
use crate::kafka::{Finding, Role, Settings, aside};
use crate::router::TopicRoute;

#[cfg(test)]
pub(crate) use board::Away;
pub(crate) use board::{Board, PartitionBoard, Standing};

/// What a Kafka ingress is started with.
#[derive(Debug, Clone)]
pub(crate) struct KafkaIngress {
    pub(crate) id: TypeName,
    settings: Settings,
    topics: BTreeMap<String, TopicRoute>,
    /// Where the records of a topic go that cannot be messages, where the module wants them kept.
    letters: BTreeMap<String, LetterRoute>,
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
    /// Pass over the record at which a partition stopped.
    Skip(Skip),
    /// End the thread.
    Stop,
}

/// What a person wants passed over.
#[derive(Debug)]
pub(crate) struct Skip {
    pub(crate) topic: String,
    pub(crate) partition: u32,
    pub(crate) offset: u64,
    /// Told when the position behind it is durable, or that the partition does not stand there. Dropped when neither is known.
    pub(crate) reply: oneshot::Sender<Result<(), NotThere>>,
}

/// A partition that does not stand at the record that was named: nothing was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NotThere;

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
    board: Arc<Board>,
    /// Disconnected when the thread is over.
    over: Receiver<Infallible>,
}

/// What people see of an ingress, and how they tell it something.
#[derive(Debug, Clone)]
pub(crate) struct IngressHandle {
    pub(crate) id: TypeName,
    pub(crate) board: Arc<Board>,
    words: Sender<Word>,
}

impl IngressHandle {
    /// One without a thread behind it, for tests: what it is told is found in the receiver.
    #[cfg(test)]
    pub(crate) fn fake(id: TypeName, board: Arc<Board>) -> (IngressHandle, Receiver<Word>) {
        let (words, told) = mpsc::channel();
        (IngressHandle { id, board, words }, told)
    }

    /// Has the record passed over at which a partition stopped. No answer comes from an ingress that ends.
    pub(crate) fn skip(&self, topic: &str, partition: u32, offset: u64) -> oneshot::Receiver<Result<(), NotThere>> {
        let (reply, answer) = oneshot::channel();
        let _ = self.words.send(Word::Skip(Skip { topic: topic.to_owned(), partition, offset, reply }));
        answer
    }
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
            letters: BTreeMap::new(),
            startup: declared.startup_position.clone(),
            reset: declared.auto_offset_reset,
            discovery: discovery.map(Duration::from_millis),
            commits: Duration::from_millis(commits),
        };
        (ingress, findings)
    }

    /// With the places of dead letters that the egresses of the module have.
    pub(crate) fn with_letters(mut self, route: impl Fn(&DeadLetterTarget) -> Option<LetterRoute>) -> KafkaIngress {
        let target = |(name, topic): (&String, &TopicRoute)| match &topic.invalid {
            InvalidRecords::DeadLetter(target) => Some((name.clone(), route(target)?)),
            _ => None,
        };
        self.letters = self.topics.iter().filter_map(target).collect();
        self
    }

    /// Starts it where the ledger says.
    pub(crate) fn start(self, restored: &BTreeMap<Partition, u64>, surroundings: Surroundings) -> Inlet {
        let (words, inbox) = mpsc::channel();
        let (running, over) = mpsc::channel();
        let id = self.id.clone();
        let restored = restored.iter().filter(|(partition, _)| partition.ingress == id);
        let restored = restored.map(|(partition, next)| (partition.clone(), *next)).collect();
        let topics = self.topics.iter().map(|(name, route)| (name.clone(), invalid::handling(&route.invalid)));
        let board = Arc::new(Board::new(topics));
        let reader = reader::Reader::new(self, restored, surroundings, inbox, Arc::clone(&board));
        let run = move || {
            let _running: Sender<Infallible> = running;
            reader.run();
        };
        aside::beside("millpond-ingress", run).expect("a process that just started may have threads");
        Inlet { id, words, board, over }
    }
}

impl Inlet {
    /// The way to tell it something.
    pub(crate) fn words(&self) -> Sender<Word> {
        self.words.clone()
    }

    /// For people.
    pub(crate) fn handle(&self) -> IngressHandle {
        IngressHandle { id: self.id.clone(), board: Arc::clone(&self.board), words: self.words.clone() }
    }

    /// Ends them. A thread that waits for a broker that does not answer is left to itself after a while: it reads nothing any
    /// more, and has nothing to do but to close its client.
    pub(crate) fn stop_all(inlets: Vec<Inlet>) {
        for inlet in &inlets {
            let _ = inlet.words.send(Word::Stop);
        }
        let until = Instant::now() + CLOSING;
        for Inlet { id, over, .. } in inlets {
            match over.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Err(RecvTimeoutError::Disconnected) => {}
                Err(RecvTimeoutError::Timeout) => debug!(ingress = %id, "its client is not closed, no broker answers"),
                Ok(never) => match never {},
            }
        }
    }
}

/// How long a call on the client may block.
const CALL: Duration = Duration::from_secs(10);
/// How long clients may take to tell the group and to close when the process ends.
const CLOSING: Duration = Duration::from_millis(1_000);
/// Pause between two lines of one kind.
const EVERY: Duration = Duration::from_secs(10);
