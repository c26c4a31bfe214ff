//! `io.statefun.endpoints.v1/http` and `io.statefun.endpoints.v2/http`.
//!
//! In: the `spec` of one component. Out: [`Endpoint`]. The two kinds read the same fields with different strictness: v1 by
//! hand, with the types of YAML as they are, v2 by Jackson, which coerces.

use std::num::NonZeroU32;

use super::dead_letter;
use super::diagnostic::{Diagnostic, Reported};
use super::fields::{Context, Fields};
use super::headers;
use super::model::{Endpoint, FailurePolicy, FunctionPattern, MAX_NUM_BATCH_REQUESTS_DEFAULT};
use super::reference;
use super::source::Place;
use super::transport::{self, AsyncTransport, Transport};
use super::url_template::UrlTemplate;
use super::yaml::Node;
use crate::errors;

/// Reads the spec of a v1 endpoint.
pub(crate) fn read_v1(spec: &Node, place: Place, cx: &mut Context<'_>) -> Result<Endpoint, Reported> {
    let mut fields = Fields::open(spec, &reference::ENDPOINT_V1, cx)?;
    let functions = fields.required("functions", cx).and_then(|node| {
        let text = cx.strict_text(node, "functions")?;
        pattern(&text, node, cx)
    });
    let place = fields.value_place("functions", place, cx);
    let url = fields.required("urlPathTemplate", cx).and_then(|node| {
        let text = cx.strict_text(node, "urlPathTemplate")?;
        url(&text, node, cx)
    });
    let batch = match fields.get("maxNumBatchRequests") {
        None => Ok(Some(MAX_NUM_BATCH_REQUESTS_DEFAULT)),
        Some(node) => cx.strict_int(node, "maxNumBatchRequests").map(batch_limit),
    };
    let timeouts = fields.get("timeouts").map(|node| &**node);
    let transport = transport::read_okhttp(timeouts, cx).map(Transport::OkHttp);
    fields.without_effect("transport", "kind `io.statefun.endpoints.v2/http` reads it", cx);
    let failure_policy = failure_policy(&mut fields, cx);
    let dead_letters = dead_letter::read(&mut fields, failure_policy.unwrap_or_default(), cx);
    let headers = headers::read(&mut fields, cx);
    fields.finish(cx);
    Ok(Endpoint {
        functions: functions?,
        url: url?,
        max_num_batch_requests: batch?,
        transport: transport?,
        failure_policy: failure_policy?,
        dead_letters: dead_letters?,
        headers: headers?,
        place,
    })
}

/// Reads the spec of a v2 endpoint.
pub(crate) fn read_v2(spec: &Node, place: Place, cx: &mut Context<'_>) -> Result<Endpoint, Reported> {
    let mut fields = Fields::open(spec, &reference::ENDPOINT_V2, cx)?;
    let functions = fields.required("functions", cx).and_then(|node| {
        let text = cx.text(node, "functions")?;
        pattern(&text, node, cx)
    });
    let place = fields.value_place("functions", place, cx);
    let url = fields.required("urlPathTemplate", cx).and_then(|node| {
        let text = cx.text(node, "urlPathTemplate")?;
        url(&text, node, cx)
    });
    let batch = match fields.get("maxNumBatchRequests") {
        None => Ok(Some(MAX_NUM_BATCH_REQUESTS_DEFAULT)),
        // Jackson reads null for a Java `int` as 0, which is "no limit".
        Some(node) => cx.int(node, "maxNumBatchRequests").map(|number| batch_limit(number.unwrap_or(0))),
    };
    let transport = match fields.get("transport") {
        None => Ok(Transport::Async(AsyncTransport::default())),
        // A URL that cannot be used says nothing about its files: they are looked at.
        Some(node) => transport::read(node, url.as_ref().map_or(true, UrlTemplate::is_https), cx),
    };
    fields.without_effect("timeouts", "in this kind, timeouts stand in `transport`", cx);
    let failure_policy = failure_policy(&mut fields, cx);
    let dead_letters = dead_letter::read(&mut fields, failure_policy.unwrap_or_default(), cx);
    let headers = headers::read(&mut fields, cx);
    fields.finish(cx);
    Ok(Endpoint {
        functions: functions?,
        url: url?,
        max_num_batch_requests: batch?,
        transport: transport?,
        failure_policy: failure_policy?,
        dead_letters: dead_letters?,
        headers: headers?,
        place,
    })
}

/// 0 and less is no limit.
fn batch_limit(number: i32) -> Option<NonZeroU32> {
    u32::try_from(number).ok().and_then(NonZeroU32::new)
}

/// `namespace/name` or `namespace/*`.
fn pattern(text: &str, node: &Node, cx: &mut Context<'_>) -> Result<FunctionPattern, Reported> {
    let place = cx.place_of(node);
    let Ok(name) = millpond_protocol::TypeName::parse(text) else {
        let fact = format!("`functions` is not a type name: `{text}`");
        let mut finding =
            Diagnostic::error(errors::MP0035, fact).at(place, "expected `<namespace>/<name>` or `<namespace>/*`");
        let namespace = text.trim_end_matches('/');
        if !namespace.is_empty() && !namespace.contains('/') {
            finding = finding.hint(format!("write `{namespace}/*` for all functions of the namespace"));
        }
        return Err(cx.add(finding));
    };
    if name.name() == "*" && !name.namespace().contains('*') {
        return Ok(FunctionPattern::Namespace(name.namespace().to_owned()));
    }
    if text.contains('*') {
        let fact = format!("pattern `{text}` cannot be used");
        let label = "`*` can only stand for the whole name, as in `<namespace>/*`";
        return Err(cx.add(Diagnostic::error(errors::MP0050, fact).at(place, label)));
    }
    Ok(FunctionPattern::Exact(name))
}

fn url(text: &str, node: &Node, cx: &mut Context<'_>) -> Result<UrlTemplate, Reported> {
    UrlTemplate::parse(text).map_err(|cause| {
        let place = cx.place_of(node);
        let fact = format!("endpoint URL cannot be used: `{text}`");
        let mut finding = Diagnostic::error(errors::MP0051, fact).at(place, cause.to_string());
        if text.contains("${") && !cx.options.interpolates() {
            finding = finding.hint("`${..}` is literal text; `--interpolate-env` replaces it from the environment");
        } else if !text.contains("://") {
            finding = finding.hint(format!("did you mean `http://{text}`?"));
        }
        cx.add(finding)
    })
}

fn failure_policy(fields: &mut Fields<'_>, cx: &mut Context<'_>) -> Result<FailurePolicy, Reported> {
    let Some(node) = fields.get("failurePolicy") else {
        return Ok(FailurePolicy::default());
    };
    let text = cx.text(node, "failurePolicy")?;
    cx.one_of(node, "failurePolicy", &text, FailurePolicy::WORDS)
}
