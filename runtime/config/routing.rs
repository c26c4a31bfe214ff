//! The routes of an ingress: a topic or stream, the type of its values, the functions that get them.
//!
//! In: one element of `topics` or `streams`. Out: [`Route`]. Kafka and Kinesis share it.

use millpond_protocol::TypeName;

use super::diagnostic::{Diagnostic, Reported};
use super::fields::{Context, Fields};
use super::source::Place;
use super::yaml::{Node, Value};
use crate::errors;

/// Where the records of one topic or stream go.
#[derive(Debug, Clone)]
pub struct Route {
    /// Field `topic` or `stream`: its exact name. Required.
    pub name: String,
    /// Field `valueType`: the typename that functions see on the value. Required; not looked into, as upstream.
    pub value_type: String,
    /// Field `targets`: the function types that get each record, in this order. Required, may be empty: then records are
    /// read and dropped.
    pub targets: Vec<Target>,
}

/// One function type that gets records.
#[derive(Debug, Clone)]
pub struct Target {
    /// The function type.
    pub function: TypeName,
    /// Where it is named.
    pub place: Place,
}

/// Reads the fields of a route; the caller asks for its own fields and finishes.
pub(crate) fn read(fields: &mut Fields<'_>, name_field: &'static str, cx: &mut Context<'_>) -> Result<Route, Reported> {
    let name = fields.required(name_field, cx).and_then(|node| cx.text(node, name_field));
    let value_type = fields.required("valueType", cx).and_then(|node| cx.strict_text(node, "valueType"));
    let targets = match fields.get("targets") {
        Some(node) => targets(node, cx),
        None => fields.required("targets", cx).map(|_| Vec::new()),
    };
    Ok(Route { name: name?, value_type: value_type?, targets: targets? })
}

fn targets(node: &Node, cx: &mut Context<'_>) -> Result<Vec<Target>, Reported> {
    let items: Vec<&Node> = match &node.value {
        Value::List(items) => items.iter().map(|item| &**item).collect(),
        Value::Map(entries) => entries.iter().map(|entry| &*entry.value).collect(),
        Value::Scalar(_) => {
            let place = cx.place_of(node);
            let fact = format!("`targets` is {} and read as an empty list", node.description());
            let finding =
                Diagnostic::warning(errors::MP0040, fact).at(place, "as upstream does: its records are dropped");
            cx.add(finding.hint("write a list: `- <namespace>/<name>` on a line of its own"));
            return Ok(Vec::new());
        }
    };
    let mut targets = Vec::new();
    let mut failed = None;
    for item in items {
        match cx.type_name(item, "targets") {
            Ok(function) => {
                warn_about_wildcard(&function, item, cx);
                targets.push(Target { function, place: cx.place_of(item) });
            }
            Err(reported) => failed = Some(reported),
        }
    }
    failed.map_or(Ok(targets), Err)
}

fn warn_about_wildcard(function: &TypeName, item: &Node, cx: &mut Context<'_>) {
    if function.namespace().contains('*') || function.name().contains('*') {
        let place = cx.place_of(item);
        let fact = format!("target `{function}` names one function type, whose name has a `*` in it");
        let finding = Diagnostic::warning(errors::MP0040, fact).at(place, "not a wildcard, as upstream");
        cx.add(finding.hint("list each function type that gets the records"));
    }
}

/// The elements of `topics` or `streams`, each read on its own. A name given twice: the last one wins, as upstream.
pub(crate) fn read_list<T>(
    node: &Node,
    list_field: &'static str,
    cx: &mut Context<'_>,
    mut read_one: impl FnMut(&Node, &mut Context<'_>) -> Result<T, Reported>,
    name: impl Fn(&T) -> &str,
) -> Result<Vec<T>, Reported> {
    let Value::List(items) = &node.value else {
        return Err(cx.wrong_type(node, list_field, "a list"));
    };
    let mut found: Vec<(T, Place)> = Vec::new();
    let mut by_name: std::collections::HashMap<String, usize> = std::collections::HashMap::new();
    let mut failed = None;
    for item in items {
        let place = cx.place_of(item);
        match read_one(item, cx) {
            Err(reported) => failed = Some(reported),
            Ok(route) => match by_name.get(name(&route)) {
                None => {
                    by_name.insert(name(&route).to_owned(), found.len());
                    found.push((route, place));
                }
                Some(at) => {
                    let fact = format!("`{}` is listed twice in `{list_field}`, the last one counts", name(&route));
                    let finding = Diagnostic::warning(errors::MP0012, fact).at(place.clone(), "this one counts");
                    cx.add(finding.related(found[*at].1.clone(), "this one is ignored"));
                    found[*at] = (route, place);
                }
            },
        }
    }
    failed.map_or_else(|| Ok(found.into_iter().map(|(route, _)| route).collect()), Err)
}
