//! What becomes of a record that cannot be a message, as the module says.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use millpond_engine::{EgressRecord, Millis};
use millpond_protocol::{Address, TypeName};
use tracing::{debug, error, info, warn};

use crate::config::model::{InvalidRecords, LogLevel};
use crate::egress::{LetterRoute, RecordLetter};
use crate::router::{Defect, KafkaRecord, TopicRoute};

use super::EVERY;

/// What is made of it; nothing of both when it is passed over.
#[derive(Debug, Default)]
pub(super) struct Made {
    pub(super) invocations: Vec<(Address, Bytes)>,
    pub(super) letters: Vec<EgressRecord>,
}

/// Lines about skipped records: when the last one was said, and how many were left out since.
#[derive(Debug, Default)]
pub(super) struct Said(Option<Instant>, u64);

/// The policy's word in the module, in metrics and in the API.
pub(super) fn handling(policy: &InvalidRecords) -> &'static str {
    match policy {
        InvalidRecords::Skip { .. } => "skip",
        InvalidRecords::Fail => "fail",
        InvalidRecords::Forward { .. } => "forward",
        InvalidRecords::DeadLetter(_) => "dead-letter",
    }
}

/// What an invalid record causes: `None` when its partition stops at it.
pub(super) fn made_of(
    ingress: &TypeName,
    route: &TopicRoute,
    letters: Option<&LetterRoute>,
    record: &KafkaRecord<'_>,
    defect: Defect,
    said: &mut Said,
) -> Option<Made> {
    let KafkaRecord { topic, partition, offset, timestamp, .. } = record;
    let defect_name = defect.as_str();
    let key = record.key.map(|key| String::from_utf8_lossy(key).escape_debug().to_string());
    // One line in ten seconds says as much as one for each.
    let mut suppressed = || {
        if said.0.is_some_and(|at| at.elapsed() < EVERY) {
            said.1 += 1;
            return None;
        }
        said.0 = Some(Instant::now());
        Some(std::mem::take(&mut said.1))
    };
    macro_rules! say {
        ($level:ident, $words:literal, $suppressed:expr) => {
            $level!(%ingress, code = "MP1021", defect = defect_name, topic, partition, offset, timestamp, key, suppressed = $suppressed, $words)
        };
    }
    match &route.invalid {
        InvalidRecords::Skip { log_level } => {
            if let Some(suppressed) = suppressed() {
                match log_level {
                    LogLevel::Debug => say!(debug, "skipping invalid record", suppressed),
                    LogLevel::Info => say!(info, "skipping invalid record", suppressed),
                    LogLevel::Warn => say!(warn, "skipping invalid record", suppressed),
                    LogLevel::Error => say!(error, "skipping invalid record", suppressed),
                }
            }
            Some(Made::default())
        }
        InvalidRecords::Forward { target } => {
            Some(Made { invocations: vec![route.forward(target, record, defect)], ..Made::default() })
        }
        // The module was checked: there is a place for letters where it wants them.
        InvalidRecords::DeadLetter(_) if letters.is_some() => {
            if let Some(suppressed) = suppressed() {
                say!(warn, "invalid record is a dead letter now", suppressed);
            }
            let letter = RecordLetter {
                ingress,
                topic,
                partition: *partition,
                offset: *offset,
                timestamp: *timestamp,
                key: record.key,
                value_type: &route.value_type,
                value: record.value,
                headers: record.headers,
                defect: defect_name,
                error: defect.words(),
                time: now(),
            };
            Some(Made { letters: letters.map(|route| route.letter(&letter)).into_iter().collect(), ..Made::default() })
        }
        InvalidRecords::Fail | InvalidRecords::DeadLetter(_) => {
            let hint = "millpond explain MP1021";
            error!(%ingress, code = "MP1021", defect = defect_name, topic, partition, offset, timestamp, key, hint, "partition stops at an invalid record");
            None
        }
    }
}

/// The time of the machine.
pub(super) fn now() -> Millis {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Millis::try_from(since_1970.as_millis()).unwrap_or(Millis::MAX)
}
