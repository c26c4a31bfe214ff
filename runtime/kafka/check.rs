//! What the Kafka components of a module say that the client cannot do.
//!
//! In: a checked module. Out: findings, with the place of the component.

use super::Finding;
use crate::config::model::{Egress, Ingress, Module};
use crate::config::{Diagnostic, Place};
use crate::egress::kafka::KafkaEgress;
use crate::errors;
use crate::ingress::kafka::KafkaIngress;

/// Findings about the properties of all Kafka components.
pub(crate) fn findings(module: &Module) -> Vec<Diagnostic> {
    let ingresses = module.ingresses().iter().filter_map(|ingress| match ingress {
        Ingress::Kafka(declared) => Some((KafkaIngress::new(declared).1, &declared.place)),
        _ => None,
    });
    let egresses = module.egresses().iter().filter_map(|egress| match egress {
        Egress::Kafka(declared) => Some((KafkaEgress::new(declared).1, &declared.place)),
        _ => None,
    });
    let all = ingresses.chain(egresses);
    all.flat_map(|(findings, place)| findings.into_iter().map(move |finding| diagnostic(finding, place))).collect()
}

fn diagnostic(finding: Finding, place: &Place) -> Diagnostic {
    let Finding { refused, fact, hint } = finding;
    let diagnostic = match refused {
        true => Diagnostic::error(errors::MP0065, fact),
        false => Diagnostic::warning(errors::MP0066, fact),
    };
    diagnostic.at(place.clone(), "declared here").maybe_hint(hint)
}
