//! Documents to components: `kind` and `spec`, dispatched to the reader of the kind.
//!
//! In: the documents of one file. Out: what they declare, added to [`Components`], which all files share.

use std::rc::Rc;

use super::diagnostic::{Diagnostic, Reported};
use super::fields::{Context, Fields};
use super::model::{Egress, Endpoint, Ingress};
use super::scalar::Scalar;
use super::source::Place;
use super::yaml::{Documents, Node, Value};
use super::{endpoint, kafka_egress, kafka_ingress, kinesis, legacy, playground, reference};
use crate::errors::{self, near_miss};

/// Everything that was declared so far.
#[derive(Debug, Default)]
pub(crate) struct Components {
    pub(crate) endpoints: Vec<Endpoint>,
    pub(crate) ingresses: Vec<Ingress>,
    pub(crate) egresses: Vec<Egress>,
    /// An endpoint was declared and could not be read: that none serves a target proves nothing.
    pub(crate) lost_endpoint: bool,
    /// An ingress was declared and could not be read.
    pub(crate) lost_ingress: bool,
    /// An egress was declared and could not be read.
    pub(crate) lost_egress: bool,
}

impl Components {
    /// Something was declared and it is not known what.
    pub(crate) fn lost_something(&mut self) {
        self.lost_endpoint = true;
        self.lost_ingress = true;
        self.lost_egress = true;
    }
}

/// A kind and how to read its spec.
type Reader = fn(&Node, Place, &mut Context<'_>, &mut Components) -> Result<(), Reported>;

const KINDS: &[(&str, Reader)] = &[
    ("io.statefun.endpoints.v1/http", |spec, place, cx, found| {
        endpoint::read_v1(spec, place, cx).map(|endpoint| found.endpoints.push(endpoint))
    }),
    ("io.statefun.endpoints.v2/http", |spec, place, cx, found| {
        endpoint::read_v2(spec, place, cx).map(|endpoint| found.endpoints.push(endpoint))
    }),
    ("io.statefun.kafka.v1/ingress", |spec, place, cx, found| {
        kafka_ingress::read(spec, place, cx).map(|ingress| found.ingresses.push(Ingress::Kafka(ingress)))
    }),
    ("io.statefun.kafka.v1/egress", |spec, place, cx, found| {
        kafka_egress::read(spec, place, cx).map(|egress| found.egresses.push(Egress::Kafka(egress)))
    }),
    ("io.statefun.kinesis.v1/ingress", |spec, place, cx, found| {
        kinesis::read_ingress(spec, place, cx).map(|ingress| found.ingresses.push(Ingress::Kinesis(ingress)))
    }),
    ("io.statefun.kinesis.v1/egress", |spec, place, cx, found| {
        kinesis::read_egress(spec, place, cx).map(|egress| found.egresses.push(Egress::Kinesis(egress)))
    }),
    ("io.statefun.playground.v1/ingress", |spec, place, cx, found| {
        playground::read_ingress(spec, place, cx).map(|ingress| found.ingresses.push(Ingress::Playground(ingress)))
    }),
    ("io.statefun.playground.v1/egress", |spec, place, cx, found| {
        playground::read_egress(spec, place, cx).map(|egress| found.egresses.push(Egress::Playground(egress)))
    }),
];

/// Reads all documents of a file.
pub(crate) fn read_documents(documents: &Documents, cx: &mut Context<'_>, found: &mut Components) {
    if !documents.complete {
        found.lost_something();
    }
    let alone = documents.complete && documents.roots.len() == 1;
    for root in &documents.roots {
        if root.is_null() {
            continue;
        }
        let result = match root.get("version") {
            Some(version) if alone => legacy::read(root, version, cx, found),
            _ => read_document(root, cx, found),
        };
        if result.is_err() {
            found.lost_something();
        }
    }
}

/// One document: a mapping with `kind` and `spec`.
fn read_document(root: &Rc<Node>, cx: &mut Context<'_>, found: &mut Components) -> Result<(), Reported> {
    let place = cx.place_of(root);
    if !matches!(root.value, Value::Map(_)) {
        let fact = format!("document is {} where a component is needed", root.description());
        let finding = Diagnostic::error(errors::MP0020, fact).at(place, "expected a mapping with `kind` and `spec`");
        return Err(cx.add(finding));
    }
    let mut fields = Fields::open(root, &reference::COMPONENT, cx)?;
    let (kind, spec) = (fields.get("kind"), fields.get("spec"));
    let (Some(kind), Some(spec)) = (kind, spec) else {
        return Err(not_a_component(root, kind.is_some(), spec.is_some(), cx));
    };
    fields.finish(cx);
    read_component(kind, None, spec, cx, found)
}

fn not_a_component(root: &Node, has_kind: bool, has_spec: bool, cx: &mut Context<'_>) -> Reported {
    let missing = match (has_kind, has_spec) {
        (false, false) => "`kind` and no `spec`",
        (false, true) => "`kind`",
        (true, _) => "`spec`",
    };
    let mut finding = Diagnostic::error(errors::MP0020, format!("component has no {missing}"))
        .at(cx.place_of(root), "expected a mapping with `kind` and `spec`");
    if root.get("apiVersion").is_some() {
        finding = finding.hint("this is a Kubernetes object; pass the `module.yaml` that it holds");
    } else if root.get("module").is_some() {
        finding = finding
            .hint("a module of the 3.0 format has to be the only document of its file, `---` at its end included");
    }
    cx.add(finding)
}

/// One component. `converted` is the kind that an older name stands for.
pub(crate) fn read_component(
    kind: &Node,
    converted: Option<&str>,
    spec: &Node,
    cx: &mut Context<'_>,
    found: &mut Components,
) -> Result<(), Reported> {
    let text = match converted {
        Some(kind) => kind.to_owned(),
        None => kind.scalar().map_or_else(String::new, Scalar::to_text),
    };
    let name = cx.parse_type_name(&text, kind, "kind")?.to_string();
    let place = cx.place_of(kind);
    let Some((_, reader)) = KINDS.iter().find(|(kind, _)| *kind == name) else {
        let near = near_miss(&name, KINDS.iter().map(|(kind, _)| *kind)).map(|kind| format!("did you mean `{kind}`?"));
        let mut finding = Diagnostic::error(errors::MP0021, format!("there is no kind `{name}`"))
            .at(place, "unknown kind")
            .maybe_hint(near);
        if finding.hints.is_empty() {
            finding = finding.note(format!("known kinds: {}", known_kinds()));
        }
        return Err(cx.add(finding));
    };
    let result = reader(spec, place, cx, found);
    if result.is_err() {
        found.lost_endpoint |= name.contains(".endpoints.");
        found.lost_ingress |= name.ends_with("/ingress");
        found.lost_egress |= name.ends_with("/egress");
    }
    Ok(())
}

fn known_kinds() -> String {
    KINDS.iter().map(|(kind, _)| format!("`{kind}`")).collect::<Vec<_>>().join(", ")
}
