//! `invalidRecordHandling` of a Kafka ingress or one of its topics: what happens to a record without key or value.
//!
//! The field comes from the fork that added it, with its types `skip` and `fail`; `forward` is the fork's design, not yet
//! its code; `dead-letter` is ours.

use millpond_protocol::TypeName;

use super::dead_letter::{self, DeadLetterTarget};
use super::diagnostic::{Diagnostic, Reported};
use super::fields::{Context, Fields};
use super::reference;
use super::yaml::Node;
use crate::errors;

/// What happens to a record that has no key or no value. An empty key is a key.
#[derive(Debug, Clone)]
pub enum InvalidRecords {
    /// `skip`: it is counted, logged and dropped. The default, as in the fork: one bad record does not stop a partition.
    Skip {
        /// Field `logLevel`. Default `warn`, because a person should see it and need not act at once.
        log_level: LogLevel,
    },
    /// `fail`: the partition stops at it. What upstream does, contained to the partition.
    Fail,
    /// `forward`: a function gets it as a message, with where it came from as metadata.
    Forward {
        /// Field `target` (ours): the function type. Required.
        target: TypeName,
    },
    /// `dead-letter` (ours): it becomes a dead letter, together with its position.
    DeadLetter(DeadLetterTarget),
}

/// How loud a skipped record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogLevel {
    /// `debug`
    Debug,
    /// `info`
    Info,
    /// `warn`
    Warn,
    /// `error`
    Error,
}

impl LogLevel {
    const WORDS: &'static [(&'static str, LogLevel)] =
        &[("debug", LogLevel::Debug), ("info", LogLevel::Info), ("warn", LogLevel::Warn), ("error", LogLevel::Error)];
}

impl Default for InvalidRecords {
    fn default() -> InvalidRecords {
        InvalidRecords::Skip { log_level: LogLevel::Warn }
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Skip,
    Fail,
    Forward,
    DeadLetter,
}

const KINDS: &[(&str, Kind)] =
    &[("skip", Kind::Skip), ("fail", Kind::Fail), ("forward", Kind::Forward), ("dead-letter", Kind::DeadLetter)];

/// Reads the field.
pub(crate) fn read(node: &Node, cx: &mut Context<'_>) -> Result<InvalidRecords, Reported> {
    let mut fields = Fields::open(node, &reference::INVALID_RECORDS, cx)?;
    let kind_node = fields.required("type", cx)?;
    let kind_text = cx.text(kind_node, "invalidRecordHandling.type")?;
    let kind = cx.one_of(kind_node, "invalidRecordHandling.type", &kind_text, KINDS)?;
    let log_level = log_level(&mut fields, kind, &kind_text, cx);
    let target = match kind {
        Kind::Forward => fields.required("target", cx).and_then(|node| cx.type_name(node, "target")).map(Some),
        _ => {
            fields.without_effect("target", "only type `forward` reads it", cx);
            Ok(None)
        }
    };
    let dead_letter = match kind {
        Kind::DeadLetter => dead_letter::required(&mut fields, cx).map(Some),
        _ => {
            fields.without_effect("deadLetter", "only type `dead-letter` reads it", cx);
            Ok(None)
        }
    };
    fields.finish(cx);
    let (log_level, target, dead_letter) = (log_level?, target?, dead_letter?);
    Ok(match (target, dead_letter) {
        (Some(target), _) => InvalidRecords::Forward { target },
        (_, Some(target)) => InvalidRecords::DeadLetter(target),
        _ if kind == Kind::Fail => InvalidRecords::Fail,
        _ => InvalidRecords::Skip { log_level },
    })
}

/// `logLevel` belongs to `skip`; anywhere else it is an error, as in the fork.
fn log_level(fields: &mut Fields<'_>, kind: Kind, kind_text: &str, cx: &mut Context<'_>) -> Result<LogLevel, Reported> {
    let Some(node) = fields.get("logLevel") else {
        return Ok(LogLevel::Warn);
    };
    if kind != Kind::Skip {
        let place = fields.key_place("logLevel", cx).unwrap_or_else(|| fields.place());
        let fact = format!("`logLevel` does not go with type `{kind_text}`");
        let finding = Diagnostic::error(errors::MP0064, fact).at(place, "only type `skip` logs what it drops");
        return Err(cx.add(finding.hint("leave `logLevel` out, or write `type: skip`")));
    }
    let text = cx.text(node, "logLevel")?;
    cx.one_of(node, "logLevel", &text.to_lowercase(), LogLevel::WORDS)
}
