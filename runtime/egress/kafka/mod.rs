//! The Kafka egress: carries the outbox of one egress to its topics, on a thread of its own, because the client blocks.
//!
//! What comes in: word that records of its lane are durable, and the records, from the ledger. What goes out: records on
//! topics, and word to the engine of what is published for good. Order of effects: durable in the ledger, published, freed.
//! With `exactly-once` every decision is the [publisher's](millpond_publisher); `transactional.rs` carries it out.
//! `at-least-once` and `none` need none of that: `plain.rs`.

mod cursor_topic;
mod hold;
mod pace;
mod plain;
pub(crate) mod record;
mod reset;
mod session;
mod standing;
mod transactional;
mod trouble;

use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::JoinHandle;
use std::time::Duration;

use millpond_engine::{LaneId, LaneName};
use millpond_protocol::TypeName;
use millpond_publisher::Halt;

use crate::config::model::{DeliverySemantic, KafkaEgress as Declared};
use crate::kafka::{Finding, Leave, Role, Settings};
use crate::ledger::{Ledger, LedgerError};

pub use standing::{KafkaStanding, KafkaView, State};

/// What a Kafka egress is started with.
#[derive(Debug, Clone)]
pub(crate) struct KafkaEgress {
    pub(crate) id: TypeName,
    semantic: DeliverySemantic,
    settings: Settings,
}

/// What an egress is started among: its lane, its ledger, its way back to the engine.
#[derive(Clone)]
pub(crate) struct Surroundings {
    /// The application's name, which names the cursor topic.
    pub(crate) app: String,
    pub(crate) lane: LaneId,
    pub(crate) name: LaneName,
    pub(crate) ledger: Arc<dyn Ledger>,
    /// Tells the engine that records up to this one left.
    pub(crate) free: Arc<dyn Fn(u64) + Send + Sync>,
    /// Tells the node that it has to stop.
    pub(crate) halt: Arc<dyn Fn(EgressHalted) + Send + Sync>,
    /// An operator's word to write the cursor anew.
    pub(crate) reset: Option<String>,
}

/// What its thread works with.
struct Around {
    id: TypeName,
    app: String,
    name: LaneName,
    ledger: Arc<dyn Ledger>,
    free: Arc<dyn Fn(u64) + Send + Sync>,
    halt: Arc<dyn Fn(EgressHalted) + Send + Sync>,
    standing: Arc<KafkaStanding>,
    leave: Leave,
}

/// Why a node must not go on.
#[derive(Debug, thiserror::Error)]
pub enum EgressHalted {
    /// Nothing may be published from this directory.
    #[error("egress `{egress}`: {halt}")]
    Publisher {
        /// The egress.
        egress: TypeName,
        /// Why.
        halt: Halt,
        /// What an operator says to let that pass.
        word: String,
    },
    /// Another directory has published for this egress, and this one has not.
    #[error("egress `{egress}`: application `{app}` has published {published} records from another data directory")]
    Elsewhere {
        /// The egress.
        egress: TypeName,
        /// The application.
        app: String,
        /// How far the other one is, the furthest if there are several.
        published: u64,
        /// What an operator says to let that pass.
        word: String,
    },
    /// The ledger failed.
    #[error("the ledger failed")]
    Ledger(#[from] LedgerError),
}

impl EgressHalted {
    /// The page that explains it: `millpond explain CODE`.
    pub fn code(&self) -> &'static str {
        match self {
            EgressHalted::Publisher { halt, .. } => halt.code(),
            EgressHalted::Elsewhere { .. } => "MP6023",
            EgressHalted::Ledger(error) => error.code(),
        }
    }

    /// What can be done about it.
    pub fn hint(&self) -> Option<String> {
        let (egress, word, better) = match self {
            EgressHalted::Publisher { egress, halt, word } => {
                let better = match halt {
                    Halt::Unknown { .. } | Halt::Ahead { .. } => "run the directory that published last",
                    Halt::Missing { .. } => "bring the cursor topic back, or correct `address`",
                    Halt::Unreadable(_) | Halt::Foreign { .. } => "start the version of Millpond that wrote it",
                };
                (egress, word, better)
            }
            EgressHalted::Elsewhere { egress, word, .. } => {
                (egress, word, "run that directory, or name another application with `--app`")
            }
            EgressHalted::Ledger(error) => return error.hint().map(str::to_owned),
        };
        Some(format!(
            "{better}; to go on from this directory all the same, start it with `--reset-cursor {egress}={word}`"
        ))
    }
}

/// What the node tells an egress.
#[derive(Debug)]
pub(crate) enum Word {
    /// Records up to and including this one are durable.
    Durable {
        upto: u64,
        /// The checkpoint that made them so.
        checkpoint: u64,
    },
    /// End what is under way, and the thread.
    Stop,
}

/// A running egress.
pub(crate) struct Outlet {
    pub(crate) lane: LaneId,
    /// How it stands.
    pub(crate) standing: Arc<KafkaStanding>,
    words: Sender<Word>,
    leave: Leave,
    thread: JoinHandle<()>,
}

impl KafkaEgress {
    /// What the module declares, with what is to be said about its properties.
    pub(crate) fn new(declared: &Declared) -> (KafkaEgress, Vec<Finding>) {
        let (mut settings, findings) = Settings::new(Role::Producer, &declared.address, &declared.properties);
        // As Java's client, so that records of a key land in the partition where Java's put them.
        settings.set_default("partitioner", "murmur2_random");
        settings.set_default("enable.idempotence", "true");
        settings.set_default("message.max.bytes", "1048576");
        // Records come in batches that are complete when they are sent: waiting for more is waiting for nothing.
        settings.set_default("linger.ms", "0");
        // A topic that is not there holds its transaction open, and with it readers of the others, for that long.
        settings.set_default("topic.metadata.propagation.max.ms", "5000");
        if let DeliverySemantic::ExactlyOnce { transaction_timeout } = declared.delivery_semantic {
            let timeout = transaction_timeout.as_millis().min(i32::MAX as u128).to_string();
            settings.set("transaction.timeout.ms", timeout.clone());
            settings.set("enable.idempotence", "true");
            settings.set("acks", "all");
            // A report that takes longer than the transaction lives comes too late.
            settings.set("delivery.timeout.ms", timeout);
        }
        (KafkaEgress { id: declared.id.clone(), semantic: declared.delivery_semantic, settings }, findings)
    }

    /// Starts it. What it has to claim in the ledger is durable when this returns.
    ///
    /// # Errors
    /// [`LedgerError`] when the ledger cannot be read or written.
    pub(crate) fn start(self, surroundings: Surroundings) -> Result<Outlet, LedgerError> {
        let (words, inbox) = mpsc::channel();
        let Surroundings { app, lane, name, ledger, free, halt, reset } = surroundings;
        let (first, next) = ledger.lane(&name)?;
        let kept = ledger.refused_count(&name)?;
        let standing = KafkaStanding::new(self.id.clone(), name.clone(), self.semantic, (next - 1, first - 1), kept);
        let (standing, leave) = (Arc::new(standing), Leave::default());
        let around = Around {
            id: self.id,
            app,
            name,
            ledger,
            free,
            halt,
            standing: Arc::clone(&standing),
            leave: leave.clone(),
        };
        let builder = std::thread::Builder::new().name(format!("millpond-egress-{}", lane.0));
        let thread = if matches!(self.semantic, DeliverySemantic::ExactlyOnce { .. }) {
            let driver = transactional::Driver::new(self.settings, around, inbox, reset)?;
            builder.spawn(move || driver.run())
        } else {
            let tracked = self.semantic != DeliverySemantic::None;
            let driver = plain::Driver::new(self.settings, around, inbox, tracked)?;
            builder.spawn(move || driver.run())
        };
        let thread = thread.expect("a process that just started may have threads");
        Ok(Outlet { lane, standing, words, leave, thread })
    }
}

impl Outlet {
    /// The way to tell it something; a thread that is gone has said why before.
    pub(crate) fn words(&self) -> Sender<Word> {
        self.words.clone()
    }

    /// Tells it to end.
    pub(crate) fn tell_to_stop(&self) {
        self.leave.now();
        let _ = self.words.send(Word::Stop);
    }

    /// Ends it; returns when the thread is over, soon whatever the cluster does.
    pub(crate) fn stop(self) {
        self.tell_to_stop();
        let _ = self.thread.join();
    }
}

/// The next word, if there is one within this time. A node that is gone without a word is a stop.
fn next_word(inbox: &Receiver<Word>, wait: Duration) -> Option<Word> {
    match inbox.recv_timeout(wait) {
        Ok(word) => Some(word),
        Err(mpsc::RecvTimeoutError::Timeout) => None,
        Err(mpsc::RecvTimeoutError::Disconnected) => Some(Word::Stop),
    }
}

/// How long a call on the client may block, unless the thread has to leave.
const CALL: Duration = Duration::from_secs(10);

/// How long a thread that has to leave waits for what is under way. What does not arrive is sent by the next start.
const GRACE: Duration = Duration::from_secs(1);

/// No answer for that long is worth a line.
const SLOW: Duration = Duration::from_secs(5);
