//! What a Kafka client says: its log lines go to ours, its errors to whoever drives it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{NoCustomPartitioner, ProducerContext};
use tracing::debug;

/// Things that a client reported between two looks at them.
#[derive(Debug)]
pub(crate) struct Events<T> {
    /// Errors of the client as a whole: code and words.
    pub(crate) errors: Vec<(RDKafkaErrorCode, String)>,
    /// Why a connection was refused last, in the words of the client's log, which say more than its errors.
    pub(crate) refusal: Option<String>,
    /// The topic that may not be written to, when a transaction failed for that: its error does not say which.
    pub(crate) denied_topic: Option<String>,
    /// Delivery reports: what was sent, and what became of it.
    pub(crate) reports: Vec<(T, Option<KafkaError>)>,
}

impl<T> Default for Events<T> {
    fn default() -> Events<T> {
        Events { errors: Vec::new(), refusal: None, denied_topic: None, reports: Vec::new() }
    }
}

impl<T> Events<T> {
    /// What the client complained of: rather why a connection was refused than that there is none.
    pub(crate) fn complaint(&self) -> Option<String> {
        self.telling_complaint().map(|(_, words)| words)
    }

    /// The same, and how much that tells.
    pub(crate) fn telling_complaint(&self) -> Option<(u8, String)> {
        let why = |code: RDKafkaErrorCode| match code {
            RDKafkaErrorCode::Authentication | RDKafkaErrorCode::SSL | RDKafkaErrorCode::Resolve => 2,
            RDKafkaErrorCode::AllBrokersDown => 0,
            _ => 1,
        };
        let error = self.errors.iter().map(|(code, words)| (why(*code), words)).max_by_key(|(why, _)| *why);
        let refusal = self.refusal.clone().map(|words| (2, words));
        refusal.or(error.map(|(why, words)| (why, words.clone())))
    }
}

/// The context of one client. `T` names what is sent.
#[derive(Debug)]
pub(crate) struct Client<T> {
    name: String,
    events: Arc<Mutex<Events<T>>>,
}

impl<T> Client<T> {
    /// A context, and the place where its events are found.
    pub(crate) fn new(name: impl Into<String>) -> (Client<T>, Arc<Mutex<Events<T>>>) {
        let events = Arc::default();
        (Client { name: name.into(), events: Arc::clone(&events) }, events)
    }

    /// The context of another client whose events are found in the same place.
    pub(crate) fn sharing(name: impl Into<String>, events: &Arc<Mutex<Events<T>>>) -> Client<T> {
        Client { name: name.into(), events: Arc::clone(events) }
    }

    fn events(&self) -> MutexGuard<'_, Events<T>> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: Send + Sync + 'static> ClientContext for Client<T> {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        // What matters of it comes as an error, too; a broker that is away is told by whoever drives the client.
        debug!(client = %self.name, ?level, facility, message, "kafka client");
        // Told apart by words: the same line tells of connections that merely ended.
        if facility == "FAIL" && ["SSL", "SASL", "certificate"].iter().any(|word| message.contains(word)) {
            self.events().refusal = Some(message.to_owned());
        }
        // `Failed to add partition "counts" [0] to transaction: Broker: Topic authorization failed`
        if facility == "ADDPARTS" && message.contains("authorization") {
            self.events().denied_topic = message.split('"').nth(1).map(str::to_owned);
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        debug!(client = %self.name, %error, reason, "kafka client error");
        if let Some(code) = error.rdkafka_error_code() {
            self.events().errors.push((code, reason.to_owned()));
        }
    }
}

impl<T: Send + Sync + 'static> ProducerContext<NoCustomPartitioner> for Client<T> {
    type DeliveryOpaque = Box<T>;

    fn delivery(&self, result: &DeliveryResult<'_>, sent: Box<T>) {
        let error = result.as_ref().err().map(|(error, _)| error.clone());
        self.events().reports.push((*sent, error));
    }
}

impl<T: Send + Sync + 'static> rdkafka::consumer::ConsumerContext for Client<T> {}

/// An error in words, with the code's own name and what a missing right is called.
pub(crate) fn describe(error: &KafkaError) -> String {
    let Some(code) = error.rdkafka_error_code() else { return error.to_string() };
    match right(code) {
        Some(right) => format!("{error}: the user needs the right to {right}"),
        None => error.to_string(),
    }
}

/// The ACL behind an authorization error.
fn right(code: RDKafkaErrorCode) -> Option<&'static str> {
    Some(match code {
        RDKafkaErrorCode::TopicAuthorizationFailed => "DESCRIBE and READ or WRITE the topic",
        RDKafkaErrorCode::GroupAuthorizationFailed => "READ the group",
        RDKafkaErrorCode::TransactionalIdAuthorizationFailed => "DESCRIBE and WRITE the transactional id",
        RDKafkaErrorCode::ClusterAuthorizationFailed => "IDEMPOTENT_WRITE or CREATE on the cluster",
        _ => return None,
    })
}
