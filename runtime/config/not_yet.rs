//! What a module may declare and this version cannot run yet.
//!
//! In: a checked module. Out: one finding each, errors for `run`, mentioned by `check`. A line leaves this file when the
//! stage that runs it arrives.

use super::diagnostic::Diagnostic;
use super::model::{Egress, Endpoint, Ingress, InvalidRecords, Module, Transport};
use super::source::Place;
use crate::errors;

/// Finds everything that cannot run yet.
pub(crate) fn find(module: &Module) -> Vec<Diagnostic> {
    let mut findings = Vec::new();
    for endpoint in module.endpoints() {
        if matches!(endpoint.transport, Transport::OkHttp(_)) {
            let transport = finding("transport `io.statefun.transports.v1/okhttp`", &endpoint.place);
            findings.push(transport.hint(OTHER_TRANSPORT));
        }
        findings.extend(endpoint_url(endpoint).map(|what| finding(what, &endpoint.place)));
    }
    for ingress in module.ingresses() {
        match ingress {
            Ingress::Playground(_) => {}
            Ingress::Kafka(kafka) => {
                if kafka.topics.iter().any(|topic| topic.invalid_records == InvalidRecords::DeadLetter) {
                    let what = finding("`invalidRecordHandling` of type `dead-letter`", &kafka.place);
                    findings
                        .push(what.hint("`forward` hands such records to a function, `fail` stops their partition"));
                }
            }
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

/// Endpoints of kind v1 and of the 3.0 format have this transport without naming it.
const OTHER_TRANSPORT: &str =
    "declare the endpoint with kind `io.statefun.endpoints.v2/http` and without `transport.type`: the default runs";

fn finding(what: &str, place: &Place) -> Diagnostic {
    Diagnostic::error(errors::MP0090, format!("{what} is not there yet")).at(place.clone(), "declared here")
}

fn endpoint_url(endpoint: &Endpoint) -> Option<&'static str> {
    if endpoint.url.is_https() {
        Some("calling `https` endpoints")
    } else if endpoint.url.is_unix() {
        Some("calling endpoints over Unix domain sockets")
    } else {
        None
    }
}
