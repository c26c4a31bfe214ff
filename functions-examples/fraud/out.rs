//! Where records go: a topic of the playground's egress, or of one for Kafka.

use millpond_sdk::{Context, Error, KafkaRecord, PLAYGROUND_EGRESS, PlaygroundRecord};
use serde::Serialize;

/// Topic of the alerts.
pub const ALERTS: &str = "fraud-alerts";
/// Topic of the notifications.
pub const NOTIFICATIONS: &str = "notifications";

/// The egress that records go to.
#[derive(Debug, Clone)]
pub enum Out {
    /// The playground's: topics that are read over HTTP.
    Playground,
    /// One of kind `io.statefun.kafka.v1/egress`, by its id. The account is the record's key.
    Kafka(String),
}

impl Out {
    /// Sends a record, as JSON.
    pub(crate) fn send(&self, context: &mut Context, topic: &str, value: &impl Serialize) -> Result<(), Error> {
        match self {
            Out::Playground => context.send_egress(PLAYGROUND_EGRESS, PlaygroundRecord::json(topic, value)?),
            Out::Kafka(egress) => {
                let record = KafkaRecord::json(topic, value)?.key(&*context.id());
                context.send_egress(egress, record)
            }
        }
    }
}
