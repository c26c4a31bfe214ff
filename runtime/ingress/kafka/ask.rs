//! The questions of an ingress to its cluster, on a thread of their own: an answer may take as long as a broker is away, and
//! meanwhile records are read, and the ingress may be told to stop.
//!
//! What comes in: questions, answered in their order. What goes out: an answer to each. The thread ends with the questions.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::JoinHandle;

use millpond_engine::Partition;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use super::CALL;
use super::outage::Line;
use super::start::{Bounds, Starts};
use crate::config::model::{AutoOffsetReset, StartupPosition};
use crate::kafka::{Client, Settings};
use millpond_protocol::TypeName;

/// The client, which the thread shares with the reader.
pub(super) type Reading = Arc<BaseConsumer<Client<()>>>;

/// What is asked.
#[derive(Debug)]
pub(super) enum Question {
    /// Which partitions are there that are not known, and where are they read from?
    Find {
        /// Those that are known.
        known: HashSet<(String, u32)>,
        /// The ingress has positions: where it starts is decided.
        began: bool,
    },
    /// Can reading go on at these offsets?
    Check(Vec<(Arc<Partition>, u64)>),
    /// Where do these partitions end? The number comes back with the answer.
    Ends(Vec<Arc<Partition>>, u64),
    /// What do the certificates say about this complaint?
    Explain(Box<Failure>),
}

/// A failure that is to be told.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) error: String,
    /// What the client said of it.
    pub(super) complaint: String,
    pub(super) line: Line,
}

/// What is answered.
#[derive(Debug)]
pub(super) enum Answer {
    Found(Result<Found, KafkaError>),
    /// Each with the offset that was asked for, and where it begins and ends.
    Checked(Vec<(Arc<Partition>, u64, Result<Bounds, KafkaError>)>),
    /// The ends that could be had, the first error, and the number of the question.
    Ends(Vec<(Arc<Partition>, u64)>, Result<(), KafkaError>, u64),
    /// The same failure, its complaint with what the certificates say.
    Explained(Box<Failure>),
}

/// What there is in the topics of the ingress.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Topics that are not there.
    pub(super) missing: Vec<String>,
    pub(super) fresh: Vec<Fresh>,
}

/// A partition that was not known.
#[derive(Debug)]
pub(super) struct Fresh {
    pub(super) partition: Arc<Partition>,
    /// Where it is read from.
    pub(super) next: u64,
    /// Where the ledger has it.
    pub(super) known: Option<u64>,
}

/// Whoever has questions.
pub(super) struct Asker {
    questions: Sender<Question>,
    answers: Receiver<Answer>,
    thread: JoinHandle<()>,
}

/// What the thread knows.
pub(super) struct Sources {
    pub(super) ingress: TypeName,
    pub(super) settings: Settings,
    pub(super) topics: Vec<String>,
    pub(super) startup: StartupPosition,
    pub(super) reset: AutoOffsetReset,
    /// What the ledger knew at the start.
    pub(super) restored: BTreeMap<Partition, u64>,
}

impl Asker {
    pub(super) fn new(consumer: Reading, sources: Sources) -> Asker {
        let (questions, asked) = mpsc::channel();
        let (answered, answers) = mpsc::channel();
        let answer = move || {
            for question in asked {
                if answered.send(sources.answer(&consumer, question)).is_err() {
                    break;
                }
            }
        };
        let builder = std::thread::Builder::new().name("millpond-ask".to_owned());
        let thread = builder.spawn(answer).expect("a process that just started may have threads");
        Asker { questions, answers, thread }
    }

    pub(super) fn ask(&self, question: Question) {
        // A thread that is gone panicked, which is a defect of ours and was printed.
        let _ = self.questions.send(question);
    }

    pub(super) fn answer(&self) -> Option<Answer> {
        self.answers.try_recv().ok()
    }

    /// Ends it; waits for the question that is being asked.
    pub(super) fn end(self) {
        drop((self.questions, self.answers));
        let _ = self.thread.join();
    }
}

impl Sources {
    fn answer(&self, consumer: &BaseConsumer<Client<()>>, question: Question) -> Answer {
        let starts = Starts { consumer, reset: self.reset };
        match question {
            Question::Find { known, began } => Answer::Found(self.find(&starts, &known, began)),
            Question::Check(positions) => {
                let check = |(partition, next): (Arc<Partition>, u64)| {
                    let bounds = starts.bounds(&partition);
                    (partition, next, bounds)
                };
                Answer::Checked(positions.into_iter().map(check).collect())
            }
            Question::Ends(partitions, number) => {
                let (mut ends, mut outcome) = (Vec::new(), Ok(()));
                for partition in partitions {
                    match starts.bounds(&partition) {
                        Ok(bounds) => ends.push((partition, bounds.end)),
                        Err(error) => {
                            let away = is_away(&error);
                            outcome = outcome.and(Err(error));
                            // Nobody will have an answer for the others either.
                            if away {
                                break;
                            }
                        }
                    }
                }
                Answer::Ends(ends, outcome, number)
            }
            Question::Explain(mut failure) => {
                failure.complaint = self.settings.explained(std::mem::take(&mut failure.complaint));
                Answer::Explained(failure)
            }
        }
    }

    fn find(&self, starts: &Starts<'_>, known: &HashSet<(String, u32)>, began: bool) -> Result<Found, KafkaError> {
        let mut found = Found::default();
        for topic in &self.topics {
            let metadata = starts.consumer.fetch_metadata(Some(topic), CALL)?;
            let partitions = metadata.topics().iter().find(|it| it.name() == topic);
            let partitions = partitions.filter(|it| it.error().is_none()).map_or(&[][..], |it| it.partitions());
            if partitions.is_empty() {
                found.missing.push(topic.clone());
            }
            for number in partitions.iter().filter_map(|it| u32::try_from(it.id()).ok()) {
                if !known.contains(&(topic.clone(), number)) {
                    let partition = Partition { ingress: self.ingress.clone(), topic: topic.as_str().into(), number };
                    let next = self.start_of(starts, &partition, began)?;
                    let known = self.restored.get(&partition).copied();
                    found.fresh.push(Fresh { partition: Arc::new(partition), next, known });
                }
            }
        }
        Ok(found)
    }

    /// Where a partition is read from.
    fn start_of(&self, starts: &Starts<'_>, partition: &Partition, began: bool) -> Result<u64, KafkaError> {
        match self.restored.get(partition) {
            Some(next) => {
                let bounds = starts.bounds(partition)?;
                Ok(if bounds.has(*next) { *next } else { starts.reset(bounds) })
            }
            // New since the ingress began: nothing of it was read, so all of it is to be read.
            None if began => Ok(starts.bounds(partition)?.first),
            None => starts.startup(partition, &self.startup),
        }
    }
}

/// The cluster does not answer at all.
fn is_away(error: &KafkaError) -> bool {
    use RDKafkaErrorCode::{AllBrokersDown, BrokerTransportFailure, OperationTimedOut, RequestTimedOut};
    let away = [AllBrokersDown, BrokerTransportFailure, OperationTimedOut, RequestTimedOut];
    error.rdkafka_error_code().is_some_and(|code| away.contains(&code))
}
