//! `headers` of an endpoint (ours): what every request carries beside upstream's headers.
//!
//! In: the field of an endpoint's `spec`: a mapping from names to values. A value is text, or a mapping with `env` (a
//! variable of the environment) or `file` (a path), and `prefix`, which stands before either. Out: [`HeaderSource`]s, whose
//! values no log and no `Debug` shows. A variable is read here, once; a file is read here to check it, and again by the
//! invoker, also when it changes.

use std::path::PathBuf;

use http::{HeaderName, HeaderValue};

use super::diagnostic::{Diagnostic, Reported};
use super::fields::{Context, Fields};
use super::reference;
use super::resource;
use super::yaml::{Node, Value};
use crate::credentials::header::{HeaderProblem, HeaderSource, VALUE_BYTES_MAX, from_file};
use crate::errors;

/// Headers of one endpoint. Servers refuse more than about a hundred in all.
const HEADERS_MAX: usize = 32;

/// Headers that belong to the exchange itself.
const OURS: &[&str] = &[
    "accept",
    "accept-encoding",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "expect",
    "host",
    "http2-settings",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Reads the field.
pub(crate) fn read(fields: &mut Fields<'_>, cx: &mut Context<'_>) -> Result<Vec<HeaderSource>, Reported> {
    let Some(node) = fields.get("headers").filter(|node| !node.is_null()) else {
        return Ok(Vec::new());
    };
    // Names are given twice if they are; the check is this one's.
    Fields::open(node, &reference::HEADERS, cx)?;
    let Value::Map(entries) = &node.value else { return Ok(Vec::new()) };
    if entries.len() > HEADERS_MAX {
        let place = cx.place_of(node);
        let fact = format!("endpoint has {} headers", entries.len());
        let label = format!("at most {HEADERS_MAX}");
        return Err(cx.add(Diagnostic::error(errors::MP0044, fact).at(place, label)));
    }
    let mut sources: Vec<HeaderSource> = Vec::new();
    let mut result = Ok(());
    for entry in entries {
        let place = cx.place(&entry.key_range);
        let read = name(&entry.key, &sources).map_err(|why| {
            let fact = format!("header `{}` cannot be sent", entry.key);
            cx.add(Diagnostic::error(errors::MP0044, fact).at(place, why))
        });
        match read.and_then(|name| source(name, &entry.value, cx)) {
            Ok(source) => sources.push(source),
            Err(reported) => result = Err(reported),
        }
    }
    result.map(|()| sources)
}

fn name(text: &str, others: &[HeaderSource]) -> Result<HeaderName, String> {
    let name = HeaderName::try_from(text).map_err(|_| "this is not the name of a header".to_owned())?;
    if OURS.contains(&name.as_str()) {
        return Err("the exchange with functions decides this header".to_owned());
    }
    if others.iter().any(|other| other.name == name) {
        return Err("it is given above; upper and lower case are the same".to_owned());
    }
    Ok(name)
}

fn source(name: HeaderName, node: &Node, cx: &mut Context<'_>) -> Result<HeaderSource, Reported> {
    let Value::Map(_) = &node.value else {
        let text = cx.text(node, name.as_str())?;
        return Ok(HeaderSource { value: value(&name, &text, node, cx)?, name, file: None });
    };
    let mut fields = Fields::open(node, &reference::HEADER, cx)?;
    let prefix = match fields.get("prefix").filter(|node| !node.is_null()) {
        Some(node) => cx.text(node, "prefix")?,
        None => String::new(),
    };
    let (env, file) = (fields.get("env"), fields.get("file"));
    fields.finish(cx);
    match (env, file) {
        (Some(env), None) => {
            let text = prefix + &variable(&name, env, cx)?;
            Ok(HeaderSource { value: value(&name, text.trim_end(), env, cx)?, name, file: None })
        }
        (None, Some(file)) => {
            let path = path(&name, &prefix, file, cx)?;
            Ok(HeaderSource { value: prefix_value(&name, &prefix, node, cx)?, name, file: Some(path) })
        }
        _ => {
            let place = cx.place_of(node);
            let fact = format!("header `{name}` needs one source");
            let label = "either `env` with the name of a variable, or `file` with a path";
            Err(cx.add(Diagnostic::error(errors::MP0044, fact).at(place, label)))
        }
    }
}

fn variable(name: &HeaderName, node: &Node, cx: &mut Context<'_>) -> Result<String, Reported> {
    let variable = cx.text(node, "env")?;
    match (cx.options.variable)(&variable).filter(|value| !value.trim().is_empty()) {
        Some(value) => Ok(value.trim().to_owned()),
        None => {
            let place = cx.place_of(node);
            let fact = format!("header `{name}` wants variable `{variable}`, which is not set, or empty");
            let finding = Diagnostic::error(errors::MP0045, fact).at(place, "");
            not_there(finding, cx).map(|()| "-".to_owned())
        }
    }
}

fn path(name: &HeaderName, prefix: &str, node: &Node, cx: &mut Context<'_>) -> Result<PathBuf, Reported> {
    let location = cx.text(node, "file")?;
    let place = cx.place_of(node);
    let path = resource::path(&location).map_err(|cause| {
        let fact = format!("`file` does not name a file: `{location}`");
        cx.add(Diagnostic::error(errors::MP0045, fact).at(place.clone(), cause.to_string()))
    })?;
    match (cx.options.read_file)(&path, VALUE_BYTES_MAX) {
        Ok(content) => {
            if let Err(cause) = from_file(prefix.as_bytes(), &content) {
                let fact = format!("header `{name}` cannot have the content of `{}`", path.display());
                return Err(cx.add(Diagnostic::error(errors::MP0044, fact).at(place, cause.to_string())));
            }
        }
        Err(error) => {
            let fact = format!("header `{name}` wants `{}`, which cannot be read", path.display());
            not_there(Diagnostic::error(errors::MP0045, fact).at(place, "").caused_by(error), cx)?;
        }
    }
    Ok(path)
}

/// `check` may run elsewhere than `run`, which cannot do without it.
fn not_there(finding: Diagnostic, cx: &mut Context<'_>) -> Result<(), Reported> {
    if cx.options.for_run {
        return Err(cx.add(finding));
    }
    cx.add(finding.as_warning().note("`run` refuses to start without it"));
    Ok(())
}

fn value(name: &HeaderName, text: &str, node: &Node, cx: &mut Context<'_>) -> Result<HeaderValue, Reported> {
    let value = if text.trim().is_empty() { Err(HeaderProblem::Empty) } else { prefix_of(text) };
    value.map_err(|cause| unusable(name, &cause, node, cx))
}

fn prefix_value(name: &HeaderName, text: &str, node: &Node, cx: &mut Context<'_>) -> Result<HeaderValue, Reported> {
    prefix_of(text).map_err(|cause| unusable(name, &cause, node, cx))
}

fn prefix_of(text: &str) -> Result<HeaderValue, HeaderProblem> {
    let mut value = HeaderValue::from_bytes(text.as_bytes()).map_err(|_| HeaderProblem::NotAValue)?;
    value.set_sensitive(true);
    Ok(value)
}

fn unusable(name: &HeaderName, cause: &HeaderProblem, node: &Node, cx: &mut Context<'_>) -> Reported {
    let place = cx.place_of(node);
    let fact = format!("header `{name}` cannot have this value");
    cx.add(Diagnostic::error(errors::MP0044, fact).at(place, cause.to_string()))
}
