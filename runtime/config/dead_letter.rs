//! `deadLetter` (ours): where the messages go that the functions of an endpoint reject for good, and the records of a Kafka
//! ingress that cannot be messages.
//!
//! In: the fields of an endpoint's `spec`, or of `invalidRecordHandling`. Out: [`DeadLetterTarget`], if there is one. Whether
//! there is such an egress and topic is known only when all files are read (`application.rs`).

use millpond_protocol::TypeName;

use super::diagnostic::{Diagnostic, Reported};
use super::fields::{Context, Fields};
use super::model::FailurePolicy;
use super::reference;
use super::source::Place;
use crate::errors;

/// Where dead letters go.
#[derive(Debug, Clone)]
pub struct DeadLetterTarget {
    /// Field `egress`: the id of an egress of the application. Required.
    pub egress: TypeName,
    /// Where the egress is named.
    pub egress_place: Place,
    /// Field `topic`: the topic of that egress. Required.
    pub topic: String,
    /// Where the topic is named.
    pub topic_place: Place,
}

/// Reads the field of an endpoint. A policy of `dead-letter` cannot do without it; with any other, operators may use it.
pub(crate) fn read(
    fields: &mut Fields<'_>,
    policy: FailurePolicy,
    cx: &mut Context<'_>,
) -> Result<Option<DeadLetterTarget>, Reported> {
    let target = given(fields, cx)?;
    if target.is_none() && policy == FailurePolicy::DeadLetter {
        let place = fields.value_place("failurePolicy", fields.place(), cx);
        let fact = "`failurePolicy` is `dead-letter`, and `spec` has no `deadLetter`";
        return Err(nowhere(fact, "`spec`", place, cx));
    }
    Ok(target)
}

/// Reads the field where nothing goes without it: in `invalidRecordHandling` of type `dead-letter`.
pub(crate) fn required(fields: &mut Fields<'_>, cx: &mut Context<'_>) -> Result<DeadLetterTarget, Reported> {
    if let Some(target) = given(fields, cx)? {
        return Ok(target);
    }
    let place = fields.value_place("type", fields.place(), cx);
    let fact = "`invalidRecordHandling` is of type `dead-letter`, and has no `deadLetter`";
    Err(nowhere(fact, "`invalidRecordHandling`", place, cx))
}

fn given(fields: &mut Fields<'_>, cx: &mut Context<'_>) -> Result<Option<DeadLetterTarget>, Reported> {
    let Some(node) = fields.get("deadLetter") else { return Ok(None) };
    let mut fields = Fields::open(node, &reference::DEAD_LETTER, cx)?;
    let egress = fields.required("egress", cx).and_then(|node| {
        let egress = cx.type_name(node, "egress")?;
        Ok((egress, cx.place_of(node)))
    });
    let topic = fields.required("topic", cx).and_then(|node| {
        let topic = cx.text(node, "topic")?;
        Ok((topic, cx.place_of(node)))
    });
    fields.finish(cx);
    let ((egress, egress_place), (topic, topic_place)) = (egress?, topic?);
    Ok(Some(DeadLetterTarget { egress, egress_place, topic, topic_place }))
}

fn nowhere(fact: &str, whose: &str, place: Place, cx: &mut Context<'_>) -> Reported {
    let finding = Diagnostic::error(errors::MP0057, fact).at(place, "needs to know where dead letters go");
    let hint = format!("add `deadLetter: {{egress: io.statefun.playground/egress, topic: dead-letters}}` to {whose}");
    cx.add(finding.hint(hint))
}
