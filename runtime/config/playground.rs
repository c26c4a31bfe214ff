//! `io.statefun.playground.v1/ingress` and `io.statefun.playground.v1/egress`: HTTP in and out.
//!
//! In: the `spec` of one component. Out: [`PlaygroundIngress`] or [`PlaygroundEgress`]. Their ids are fixed upstream, so
//! that a module can have one of each.

use std::collections::HashSet;

use super::diagnostic::{Diagnostic, Reported};
use super::fields::{Context, Fields};
use super::reference;
use super::source::Place;
use super::yaml::{Node, Value};
use crate::errors;

/// Events by HTTP: `PUT /<namespace>/<function name>/<id>`.
#[derive(Debug, Clone)]
pub struct PlaygroundIngress {
    /// Field `port`: where to listen. Default 0, a port that the system chooses, as upstream.
    pub port: u16,
    /// Where the component is declared.
    pub place: Place,
}

/// Records by HTTP: `GET /<topic>`.
#[derive(Debug, Clone)]
pub struct PlaygroundEgress {
    /// Field `port`: where to listen. Default 0, a port that the system chooses, as upstream.
    pub port: u16,
    /// Field `topics`: the topics that functions may write to, each once. Required; a record for another topic is refused.
    pub topics: Vec<String>,
    /// Where the component is declared.
    pub place: Place,
}

/// Reads the spec of the ingress.
pub(crate) fn read_ingress(spec: &Node, place: Place, cx: &mut Context<'_>) -> Result<PlaygroundIngress, Reported> {
    let mut fields = Fields::open(spec, &reference::PLAYGROUND_INGRESS, cx)?;
    let port = port(&mut fields, cx);
    fields.finish(cx);
    Ok(PlaygroundIngress { port: port?, place })
}

/// Reads the spec of the egress.
pub(crate) fn read_egress(spec: &Node, place: Place, cx: &mut Context<'_>) -> Result<PlaygroundEgress, Reported> {
    let mut fields = Fields::open(spec, &reference::PLAYGROUND_EGRESS, cx)?;
    let port = port(&mut fields, cx);
    let topics = fields.required("topics", cx).and_then(|node| topics(node, cx));
    fields.finish(cx);
    Ok(PlaygroundEgress { port: port?, topics: topics?, place })
}

fn port(fields: &mut Fields<'_>, cx: &mut Context<'_>) -> Result<u16, Reported> {
    let Some(node) = fields.get("port") else {
        return Ok(0);
    };
    let number = cx.int(node, "port")?.unwrap_or(0);
    u16::try_from(number).map_err(|_| cx.out_of_range(node, "port", "0 to 65535"))
}

fn topics(node: &Node, cx: &mut Context<'_>) -> Result<Vec<String>, Reported> {
    let Value::List(items) = &node.value else {
        return Err(cx.wrong_type(node, "topics", "a list of topics"));
    };
    let mut topics = Vec::new();
    let mut seen = HashSet::new();
    let mut failed = None;
    for item in items {
        match cx.text(item, "topics") {
            Ok(topic) if !seen.insert(topic.clone()) => {
                let place = cx.place_of(item);
                let fact = format!("topic `{topic}` is listed twice");
                cx.add(Diagnostic::warning(errors::MP0012, fact).at(place, "again"));
            }
            Ok(topic) => topics.push(topic),
            Err(reported) => failed = Some(reported),
        }
    }
    failed.map_or(Ok(topics), Err)
}
