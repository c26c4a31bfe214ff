//! Modules of the 3.0 format: one document with `version` and `module`.
//!
//! In: the root of a file with a single document that has `version`. Out: the same components that the newer format
//! declares; older names of kinds are converted. Checks come in upstream's order.

use std::rc::Rc;

use super::component::{self, Components};
use super::diagnostic::{Diagnostic, Reported};
use super::fields::{Context, Fields};
use super::reference::{self, LegacyList};
use super::scalar::Scalar;
use super::yaml::{Node, Value};
use crate::errors;

const KIND_CONVERSIONS: &[(&str, &str)] = &[
    ("http", "io.statefun.endpoints.v1/http"),
    ("io.statefun.kafka/ingress", "io.statefun.kafka.v1/ingress"),
    ("io.statefun.kafka/egress", "io.statefun.kafka.v1/egress"),
    ("io.statefun.kinesis/ingress", "io.statefun.kinesis.v1/ingress"),
    ("io.statefun.kinesis/egress", "io.statefun.kinesis.v1/egress"),
];

const LISTS: [&LegacyList; 3] = [&reference::ENDPOINTS, &reference::INGRESSES, &reference::EGRESSES];

/// Reads the root.
pub(crate) fn read(root: &Node, version: &Node, cx: &mut Context<'_>, found: &mut Components) -> Result<(), Reported> {
    if root.get("kind").is_some() {
        let fact = "component has a `version`, which makes it a module of the 3.0 format";
        let finding = Diagnostic::error(errors::MP0022, fact).at(cx.place_of(version), "");
        return Err(cx.add(finding.hint("leave `version` out; `kind` says the version")));
    }
    let version_text = cx.strict_text(version, "version")?;
    let module = root.get("module");
    check_type(root, module, cx)?;
    check_version(&version_text, version, cx)?;
    let Some(spec) = module.and_then(|module| module.get("spec")) else {
        let place = cx.place_of(module.map_or(version, |module| module));
        return Err(cx.add(Diagnostic::error(errors::MP0022, "module has no `spec`").at(place, "")));
    };
    warn_about_unknown(root, spec, cx)?;
    let mut result = Ok(());
    for list in LISTS {
        result = result.and(read_list(spec, list, cx, found));
    }
    result
}

fn check_type(root: &Node, module: Option<&Rc<Node>>, cx: &mut Context<'_>) -> Result<(), Reported> {
    let kind = module.and_then(|module| module.get("meta")).and_then(|meta| meta.get("type"));
    let Some(kind) = kind else {
        let place = cx.place_of(module.map_or(root, |module| module));
        let finding = Diagnostic::error(errors::MP0022, "module has no `meta.type`").at(place, "");
        return Err(cx.add(finding.hint("write `type: remote` under `module.meta`")));
    };
    let text = kind.scalar().map_or_else(String::new, Scalar::to_text);
    if text.eq_ignore_ascii_case("remote") {
        return Ok(());
    }
    let place = cx.place_of(kind);
    let fact = format!("there is no module type `{text}`");
    Err(cx.add(Diagnostic::error(errors::MP0022, fact).at(place, "possible: `remote`")))
}

fn check_version(version: &str, node: &Node, cx: &mut Context<'_>) -> Result<(), Reported> {
    let (fact, label) = match version {
        "3.0" => return Ok(()),
        "1.0" | "2.0" => (format!("format version `{version}` is too old"), "possible: `\"3.0\"`"),
        "3.1" => {
            let fact = "format version `3.1` has no `version` field".to_owned();
            (fact, "3.1 is the format with `kind` and `spec` in each document")
        }
        _ => (format!("there is no format version `{version}`"), "possible: `\"3.0\"`"),
    };
    let place = cx.place_of(node);
    Err(cx.add(Diagnostic::error(errors::MP0022, fact).at(place, label)))
}

/// Upstream ignores what it does not know, `routers` among it.
fn warn_about_unknown(root: &Node, spec: &Node, cx: &mut Context<'_>) -> Result<(), Reported> {
    let mut fields = Fields::open(root, &reference::ROOT, cx)?;
    fields.get("version");
    fields.get("module");
    fields.finish(cx);
    if matches!(spec.value, Value::Map(_)) {
        let mut fields = Fields::open(spec, &reference::MODULE_SPEC, cx)?;
        for list in LISTS {
            fields.get(list.list);
        }
        fields.without_effect("routers", "remote modules route by the `targets` of their ingresses", cx);
        fields.finish(cx);
    }
    Ok(())
}

fn read_list(
    spec: &Node,
    list: &'static LegacyList,
    cx: &mut Context<'_>,
    found: &mut Components,
) -> Result<(), Reported> {
    let Some(node) = spec.get(list.list) else {
        return Ok(());
    };
    let Value::List(items) = &node.value else {
        return Err(cx.wrong_type(node, list.list, "a list"));
    };
    let mut result = Ok(());
    for item in items {
        result = result.and(read_element(item, list, cx, found));
    }
    result
}

fn read_element(
    item: &Node,
    list: &'static LegacyList,
    cx: &mut Context<'_>,
    found: &mut Components,
) -> Result<(), Reported> {
    let mut fields = Fields::open(item, &list.items, cx)?;
    let element = fields.required(list.element_name, cx)?;
    fields.finish(cx);
    let mut fields = Fields::open(element, &list.element, cx)?;
    let meta = fields.required("meta", cx);
    let spec = fields.required("spec", cx);
    fields.finish(cx);
    let (meta, spec) = (meta?, spec?);

    let mut fields = Fields::open(meta, &list.meta, cx)?;
    let kind = fields.required(list.kind, cx)?;
    let kind_text = cx.strict_text(kind, list.kind)?;
    let id = if list.has_id { Some(fields.required("id", cx)?) } else { None };
    fields.finish(cx);
    let converted = KIND_CONVERSIONS.iter().find(|(old, _)| *old == kind_text).map(|(_, new)| *new);
    match id {
        None => component::read_component(kind, converted, spec, cx, found),
        Some(id) => {
            cx.strict_text(id, "id")?;
            if !matches!(spec.value, Value::Map(_)) {
                return Err(cx.wrong_type(spec, "spec", "a mapping"));
            }
            component::read_component(kind, converted, &spec.with_entry("id", id), cx, found)
        }
    }
}
