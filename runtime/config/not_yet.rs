//! What a module may declare and this version cannot run yet.
//!
//! In: a checked module. Out: one finding each, errors for `run`, mentioned by `check`. A line leaves this file when the
//! stage that runs it arrives.

use super::diagnostic::Diagnostic;
use super::model::{Egress, Ingress, Module};
use super::source::Place;
use crate::errors;

/// Finds everything that cannot run yet.
pub(crate) fn find(module: &Module) -> Vec<Diagnostic> {
    let mut findings = Vec::new();
    for ingress in module.ingresses() {
        match ingress {
            Ingress::Playground(_) | Ingress::Kafka(_) => {}
            Ingress::Kinesis(_) => {
                findings.push(finding(&format!("running `{}`", ingress.kind()), ingress.place()));
            }
        }
    }
    for egress in module.egresses() {
        if matches!(egress, Egress::Kinesis(_)) {
            findings.push(finding(&format!("running `{}`", egress.kind()), egress.place()));
        }
    }
    findings
}

fn finding(what: &str, place: &Place) -> Diagnostic {
    Diagnostic::error(errors::MP0090, format!("{what} is not there yet")).at(place.clone(), "declared here")
}
