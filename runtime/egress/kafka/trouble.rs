//! What is said when records do not get through: the code, the thing that it is about, and how often.

use std::sync::Arc;
use std::time::Instant;

use millpond_engine::LaneName;
use millpond_protocol::TypeName;
use millpond_protocol::proto::egress::KafkaProducerRecord;
use prost::Message as _;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use tracing::{debug, error, info, warn};

use super::hold::Hold;
use super::standing::KafkaStanding;
use crate::kafka::rights::{Doing, denied};
use crate::ledger::Ledger;

/// What a call was about that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cause<'a> {
    /// A new producer.
    Opening,
    /// The topic of cursors.
    Cursors(&'a str),
    /// A transaction.
    Transaction,
    /// A record for this topic.
    Topic(Option<&'a str>),
}

/// What is known of it.
pub(super) struct Trouble {
    standing: Arc<KafkaStanding>,
    hold: Hold,
    /// What failed last, if nobody was told: its code and words.
    last: Option<(&'static str, String)>,
    user: Option<String>,
    transactional_id: Option<String>,
}

impl Trouble {
    pub(super) fn new(standing: Arc<KafkaStanding>, user: Option<String>, transactional_id: Option<String>) -> Trouble {
        Trouble { standing, hold: Hold::default(), last: None, user, transactional_id }
    }

    /// Puts a failure into words: what it was about, what the client complained of meanwhile, and which right is missing.
    pub(super) fn failed(&mut self, error: &KafkaError, cause: Cause<'_>, complaint: Option<&str>) -> String {
        let code = match (error.rdkafka_error_code(), cause) {
            // Making a topic may be refused as a matter of the cluster.
            (Some(RDKafkaErrorCode::ClusterAuthorizationFailed), Cause::Cursors(_)) => {
                Some(RDKafkaErrorCode::TopicAuthorizationFailed)
            }
            (code, _) => code,
        };
        let (topic, with_topic) = match cause {
            Cause::Cursors(topic) => (Some(topic), "DESCRIBE, READ, WRITE, and CREATE unless it is there,"),
            Cause::Topic(topic) => (topic, "DESCRIBE and WRITE"),
            Cause::Opening | Cause::Transaction => (None, "DESCRIBE and WRITE"),
        };
        let transactional_id = self.transactional_id.as_deref();
        let doing = Doing { topic, with_topic, transactional_id, group: None };
        if let Some(words) = code.and_then(|code| denied(code, self.user.as_deref(), &doing)) {
            // The first one is the one with a name.
            if self.last.as_ref().is_none_or(|(code, _)| *code != "MP6032") {
                self.last = Some(("MP6032", words.clone()));
            }
            return words;
        }
        let words = match (topic, complaint) {
            // Time is up for anything; what it was up for is more than the topic that waited.
            (Some(topic), None) => format!("topic `{topic}`: {error}"),
            (Some(topic), Some(complaint)) => format!("topic `{topic}`: {error} ({complaint})"),
            (None, Some(complaint)) => format!("{error} ({complaint})"),
            (None, None) => error.to_string(),
        };
        // A missing right, or a topic, says more than what fails behind it.
        if self.last.is_none() {
            self.last = Some(("MP6030", words.clone()));
        }
        words
    }

    /// Nothing gets through: says so, unless it was said lately. `words` are for a failure that came without a call.
    pub(super) fn held_up(&mut self, egress: &TypeName, attempt: u32, words: &str) {
        let (code, error) = self.last.take().unwrap_or_else(|| ("MP6030", words.to_owned()));
        self.standing.trouble(code, &error);
        if !self.hold.failed(Instant::now()) {
            return;
        }
        let waiting = self.standing.view().waiting;
        let hint = format!("millpond explain {code}");
        match code {
            "MP6032" => {
                error!(%egress, code, attempt, waiting, %error, hint, "publishing is held up, tried again until the right is there")
            }
            _ => {
                warn!(%egress, code, attempt, waiting, %error, hint, "publishing is held up, tried again until it works")
            }
        }
    }

    /// Something got through.
    pub(super) fn goes_on(&mut self, egress: &TypeName) {
        self.last = None;
        self.standing.well();
        if let Some(held) = self.hold.goes_on(Instant::now()) {
            let waiting = self.standing.view().waiting;
            info!(%egress, held_ms = held.as_millis(), waiting, "publishing goes on");
        }
    }
}

/// The topic of a record in the outbox.
pub(super) fn topic_of(ledger: &dyn Ledger, lane: &LaneName, sequence: u64) -> Option<String> {
    let found = ledger.outbox(lane, sequence.checked_sub(1)?, 1, 0);
    let found = found.inspect_err(|error| debug!(%error, "outbox cannot be read")).ok()?;
    let (_, record) = found.into_iter().find(|(found, _)| *found == sequence)?;
    KafkaProducerRecord::decode(record).ok().map(|record| record.topic)
}

/// What was still to be sent when the client gave its transaction up.
pub(super) fn is_purged(error: &KafkaError) -> bool {
    matches!(error.rdkafka_error_code(), Some(RDKafkaErrorCode::PurgeQueue | RDKafkaErrorCode::PurgeInflight))
}
