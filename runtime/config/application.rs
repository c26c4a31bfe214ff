//! What must hold for all files together: something comes in, something is served, nothing is declared twice.
//!
//! In: the components of all files. Out: findings. Upstream finds a target without an endpoint when the first message
//! arrives, and then restarts for ever; we refuse to start.

use std::collections::{HashMap, HashSet};
use std::fmt::Display;
use std::hash::Hash;

use millpond_protocol::TypeName;

use super::component::Components;
use super::dead_letter::DeadLetterTarget;
use super::diagnostic::{Diagnostic, Report};
use super::invalid_records::InvalidRecords;
use super::model::{Egress, Endpoint, Ingress};
use super::playground::PlaygroundEgress;
use super::source::Place;
use crate::errors::{self, near_miss};

/// Endpoints, egresses or topics that a message lists.
const LISTED_MAX: usize = 10;

/// Targets without endpoint that are reported: each is compared with every endpoint to find the one that was meant.
const UNSERVED_MAX: usize = 50;

/// Endpoints with dead letters to nowhere that are reported, for the same reason.
const DEAD_LETTERS_MAX: usize = 50;

/// Checks everything.
pub(crate) fn check(components: &Components, report: &mut Report) {
    let endpoints = components.endpoints.iter().map(|endpoint| (&endpoint.functions, &endpoint.place));
    unique(endpoints, "endpoint for", report);
    let ingress_ids: Vec<_> = components.ingresses.iter().map(|ingress| (ingress.id(), ingress.place())).collect();
    unique(ingress_ids.iter().map(|(id, place)| (id, *place)), "ingress", report);
    let egress_ids: Vec<_> = components.egresses.iter().map(|egress| (egress.id(), egress.place())).collect();
    unique(egress_ids.iter().map(|(id, place)| (id, *place)), "egress", report);
    ports(components, report);
    dead_letters(components, report);

    if components.ingresses.is_empty() && !components.lost_ingress {
        let finding = Diagnostic::error(errors::MP0080, "application has no ingress");
        report.add(finding.hint("declare one, for example of kind `io.statefun.kafka.v1/ingress`"));
    }
    if components.lost_endpoint {
        return;
    }
    if components.endpoints.is_empty() {
        let finding = Diagnostic::error(errors::MP0081, "application has no endpoint");
        report.add(finding.hint("declare one of kind `io.statefun.endpoints.v2/http`"));
        return;
    }
    targets(components, report);
}

/// Reports every key that is bound twice, with both places.
fn unique<'c, K: Eq + Hash + Display + 'c>(
    bindings: impl Iterator<Item = (&'c K, &'c Place)>,
    what: &str,
    report: &mut Report,
) {
    let mut first: HashMap<&K, &Place> = HashMap::new();
    for (key, place) in bindings {
        match first.get(key) {
            None => drop(first.insert(key, place)),
            Some(earlier) => {
                let finding = Diagnostic::error(errors::MP0082, format!("{what} `{key}` is declared twice"))
                    .at(place.clone(), "declared again here")
                    .related((*earlier).clone(), "first declared here");
                report.add(finding.hint("keep one of the two"));
            }
        }
    }
}

/// The playground components listen on one address; two cannot share a port.
fn ports(components: &Components, report: &mut Report) {
    let ingress = components.ingresses.iter().find_map(|ingress| match ingress {
        Ingress::Playground(playground) => Some((playground.port, &playground.place)),
        _ => None,
    });
    let egress = components.egresses.iter().find_map(|egress| match egress {
        Egress::Playground(playground) => Some((playground.port, &playground.place)),
        _ => None,
    });
    if let (Some((port, first)), Some((other, second))) = (ingress, egress)
        && port == other
        && port != 0
    {
        let finding = Diagnostic::error(errors::MP0083, format!("port {port} is used twice"))
            .at(second.clone(), "this egress listens on it")
            .related(first.clone(), "this ingress listens on it");
        report.add(finding.hint("give one of them another `port`"));
    }
}

/// Dead letters need an egress that is there, and a topic that it has. Kafka and Kinesis make topics of their own.
fn dead_letters(components: &Components, report: &mut Report) {
    let egresses: HashMap<TypeName, &Egress> = components.egresses.iter().map(|egress| (egress.id(), egress)).collect();
    let topics: HashSet<&String> = components.egresses.iter().filter_map(topics_of).flatten().collect();
    let of_endpoints = components.endpoints.iter().filter_map(|endpoint| endpoint.dead_letters.as_ref());
    let targets = of_endpoints.chain(components.ingresses.iter().flat_map(letters_of));
    let findings = targets.filter_map(|target| match egresses.get(&target.egress) {
        None if components.lost_egress => None,
        None => Some(unknown_egress(target, &components.egresses)),
        Some(Egress::Playground(playground)) if !topics.contains(&target.topic) => {
            Some(unknown_topic(target, playground))
        }
        Some(_) => None,
    });
    for finding in findings.take(DEAD_LETTERS_MAX) {
        report.add(finding);
    }
}

/// Where an ingress has dead letters of its own go. What is said of it for all topics counts once.
fn letters_of(ingress: &Ingress) -> Vec<&DeadLetterTarget> {
    let Ingress::Kafka(kafka) = ingress else { return Vec::new() };
    let same = |a: &Place, b: &Place| a.same_file(b) && (a.line(), a.column()) == (b.line(), b.column());
    let mut targets: Vec<&DeadLetterTarget> = Vec::new();
    for topic in &kafka.topics {
        if let InvalidRecords::DeadLetter(target) = &topic.invalid_records
            && !targets.iter().any(|other| same(&other.egress_place, &target.egress_place))
        {
            targets.push(target);
        }
    }
    targets
}

/// The topics that an egress lists: only the playground's does, and an application has one of those.
fn topics_of(egress: &Egress) -> Option<&Vec<String>> {
    match egress {
        Egress::Playground(playground) => Some(&playground.topics),
        Egress::Kafka(_) | Egress::Kinesis(_) => None,
    }
}

fn unknown_egress(target: &DeadLetterTarget, egresses: &[Egress]) -> Diagnostic {
    let ids: Vec<String> = egresses.iter().map(|egress| egress.id().to_string()).collect();
    let hint = match near_miss(&target.egress.to_string(), ids.iter().map(String::as_str)) {
        Some(near) => format!("did you mean `{near}`?"),
        None => "declare it, or name one that is declared".to_owned(),
    };
    Diagnostic::error(errors::MP0058, format!("egress `{}` is not declared", target.egress))
        .at(target.egress_place.clone(), "dead letters are to go there")
        .note(format!("declared egresses: {}", listed(&ids)))
        .hint(hint)
}

fn unknown_topic(target: &DeadLetterTarget, egress: &PlaygroundEgress) -> Diagnostic {
    let hint = match near_miss(&target.topic, egress.topics.iter().map(String::as_str)) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("add `{}` to the `topics` of the egress", target.topic),
    };
    Diagnostic::error(errors::MP0059, format!("egress `{}` has no topic `{}`", target.egress, target.topic))
        .at(target.topic_place.clone(), "dead letters are to go there")
        .related(egress.place.clone(), format!("its topics: {}", listed(&egress.topics)))
        .hint(hint)
}

/// Names, as many as a message can bear.
fn listed(names: &[String]) -> String {
    let mut listed: Vec<String> = names.iter().take(LISTED_MAX).map(|name| format!("`{name}`")).collect();
    match names.len() {
        0 => return "none".to_owned(),
        many if many > LISTED_MAX => listed.push(format!("{} more", many - LISTED_MAX)),
        _ => {}
    }
    listed.join(", ")
}

/// Every target that a module names must be served.
fn targets(components: &Components, report: &mut Report) {
    let served = Served::new(&components.endpoints);
    let all = components.ingresses.iter().flat_map(targets_of);
    for (function, place, label) in all.filter(|(function, ..)| !served.by_any(function)).take(UNSERVED_MAX) {
        report.add(served.finding(function, place.clone(), label));
    }
}

/// The targets of an ingress: the function, where it is named, and as what.
fn targets_of(ingress: &Ingress) -> Vec<(&TypeName, &Place, String)> {
    let from = match ingress {
        Ingress::Kinesis(_) => "stream",
        Ingress::Kafka(_) | Ingress::Playground(_) => "topic",
    };
    let mut targets = Vec::new();
    for route in ingress.routes() {
        for target in &route.targets {
            let label = format!("target of {from} `{}` in ingress `{}`", route.name, ingress.id());
            targets.push((&target.function, &target.place, label));
        }
    }
    if let Ingress::Kafka(kafka) = ingress {
        for topic in &kafka.topics {
            if let InvalidRecords::Forward { target } = &topic.invalid_records {
                let label = format!("gets the invalid records of topic `{}`", topic.route.name);
                targets.push((target, &kafka.place, label));
            }
        }
    }
    targets
}

/// Which functions have an endpoint.
struct Served<'c> {
    endpoints: &'c [Endpoint],
    patterns: Vec<String>,
    lookup: std::collections::HashSet<String>,
}

impl<'c> Served<'c> {
    fn new(endpoints: &'c [Endpoint]) -> Served<'c> {
        let patterns: Vec<String> = endpoints.iter().map(|endpoint| endpoint.functions.to_string()).collect();
        Served { endpoints, lookup: patterns.iter().cloned().collect(), patterns }
    }

    fn by_any(&self, function: &TypeName) -> bool {
        self.lookup.contains(&function.to_string()) || self.lookup.contains(&format!("{}/*", function.namespace()))
    }

    fn finding(&self, function: &TypeName, place: Place, label: String) -> Diagnostic {
        let listed = self.endpoints.iter().zip(&self.patterns).take(LISTED_MAX).map(|(endpoint, pattern)| {
            if endpoint.place.same_file(&place) {
                format!("`{pattern}` (line {})", endpoint.place.line())
            } else {
                format!("`{pattern}` ({}:{})", endpoint.place.file(), endpoint.place.line())
            }
        });
        let mut list = listed.collect::<Vec<_>>().join(", ");
        if self.endpoints.len() > LISTED_MAX {
            list.push_str(&format!(" and {} more", self.endpoints.len() - LISTED_MAX));
        }
        Diagnostic::error(errors::MP2003, format!("no endpoint serves function type `{function}`"))
            .at(place, label)
            .note(format!("declared endpoints: {list}"))
            .maybe_hint(self.suggestion(function))
    }

    fn suggestion(&self, function: &TypeName) -> Option<String> {
        let near = near_miss(&function.to_string(), self.patterns.iter().map(String::as_str));
        if let Some(pattern) = near.filter(|pattern| !pattern.ends_with("/*")) {
            return Some(format!("did you mean `{pattern}`?"));
        }
        let namespaces = self.patterns.iter().filter_map(|pattern| pattern.strip_suffix("/*"));
        let namespace = near_miss(function.namespace(), namespaces)?;
        Some(format!("did you mean `{namespace}/{}`?", function.name()))
    }
}
