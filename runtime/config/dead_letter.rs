//! `deadLetter` of an endpoint (ours): where the messages go that its functions reject for good.
//!
//! In: the fields of an endpoint's `spec`. Out: [`DeadLetterTarget`], if there is one. Whether there is such an egress and
//! topic is known only when all files are read (`application.rs`).

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

/// Reads the field. A policy of `dead-letter` cannot do without it; with any other, operators may use it.
pub(crate) fn read(
    fields: &mut Fields<'_>,
    policy: FailurePolicy,
    cx: &mut Context<'_>,
) -> Result<Option<DeadLetterTarget>, Reported> {
    match fields.get("deadLetter") {
        Some(node) => {
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
        None if policy == FailurePolicy::DeadLetter => {
            let place = fields.value_place("failurePolicy", fields.place(), cx);
            let fact = "`failurePolicy` is `dead-letter`, and `spec` has no `deadLetter`";
            let finding = Diagnostic::error(errors::MP0057, fact).at(place, "needs to know where dead letters go");
            let hint = "add `deadLetter: {egress: io.statefun.playground/egress, topic: dead-letters}` to `spec`";
            Err(cx.add(finding.hint(hint)))
        }
        None => Ok(None),
    }
}
