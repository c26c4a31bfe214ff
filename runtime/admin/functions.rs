//! Function types as JSON.

use std::collections::BTreeMap;

use millpond_engine::{EndpointConfig, Expiration, FunctionView, StateSpec};
use millpond_protocol::TypeName;
use serde::Serialize;

/// An endpoint as people know it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EndpointName {
    functions: String,
    url: String,
}

impl EndpointName {
    /// The pattern of its functions, and its URL without user, password and query, where secrets may be.
    pub fn new(config: &EndpointConfig, url: &str) -> EndpointName {
        let (scheme, rest) = url.split_once("://").unwrap_or_default();
        let rest = rest.split(['?', '#']).next().unwrap_or_default();
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let authority = authority.rsplit('@').next().unwrap_or_default();
        EndpointName { functions: config.functions.to_string(), url: format!("{scheme}://{authority}{path}") }
    }
}

/// A part of the list of function types.
#[derive(Debug, Serialize)]
pub(super) struct FunctionsPage<'a> {
    functions: Vec<Function<'a>>,
    /// Where the next part begins, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<usize>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Function<'a> {
    namespace: String,
    name: String,
    /// Who serves it; `null` when nobody does, and its messages wait.
    endpoint: Option<&'a EndpointName>,
    /// It answered since the start. Before that its states are those that it declared last.
    learned: bool,
    states: Vec<State>,
    /// Invocations that have not run.
    pending: u64,
    pending_bytes: u64,
    /// Those of them that are being called.
    running: u64,
    calls_in_flight: u64,
    /// Calls that may be in flight.
    window: u64,
    in_trouble: bool,
    parked_addresses: u64,
    blocked_addresses: u64,
    /// Since the start: invocations that have run, attempts that failed, messages that were given up.
    invocations: u64,
    failed_attempts: u64,
    dropped: u64,
    dead_letters: u64,
}

#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
struct State {
    name: String,
    typename: String,
    /// `none`, `afterWrite` or `afterInvoke`.
    expiration: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    expire_after_ms: Option<u64>,
}

impl<'a> FunctionsPage<'a> {
    /// A page of what the engine knows. `stored` are the specs of the ledger, for those that did not answer yet.
    pub(super) fn new(
        views: Vec<FunctionView>,
        next: Option<usize>,
        endpoints: &'a [EndpointName],
        stored: &[(TypeName, StateSpec)],
    ) -> FunctionsPage<'a> {
        let mut before: BTreeMap<&TypeName, Vec<State>> = BTreeMap::new();
        for (function, spec) in stored {
            before.entry(function).or_default().push(State::new(spec));
        }
        let function = |view: FunctionView| {
            let metrics = view.metrics;
            Function {
                namespace: view.name.namespace().to_owned(),
                name: view.name.name().to_owned(),
                endpoint: view.endpoint.and_then(|place| endpoints.get(place)),
                learned: view.learned,
                states: match view.learned {
                    true => view.specs.iter().map(State::new).collect(),
                    false => before.get(&view.name).cloned().unwrap_or_default(),
                },
                pending: metrics.backlog,
                pending_bytes: metrics.backlog_bytes,
                running: metrics.running,
                calls_in_flight: metrics.in_flight,
                window: metrics.window,
                in_trouble: metrics.in_trouble,
                parked_addresses: metrics.parked,
                blocked_addresses: metrics.blocked,
                invocations: metrics.finished,
                failed_attempts: metrics.failures,
                dropped: metrics.dropped,
                dead_letters: metrics.dead_letters,
            }
        };
        FunctionsPage { functions: views.into_iter().map(function).collect(), next }
    }
}

impl State {
    fn new(spec: &StateSpec) -> State {
        let (expiration, expire_after_ms) = match spec.expiration {
            Expiration::None => ("none", None),
            Expiration::AfterWrite(ms) => ("afterWrite", Some(ms)),
            Expiration::AfterInvoke(ms) => ("afterInvoke", Some(ms)),
        };
        State { name: spec.name.to_string(), typename: spec.typename.to_string(), expiration, expire_after_ms }
    }
}

#[cfg(test)]
mod tests {
    use super::EndpointName;
    use crate::edge::fake::endpoints;

    /// What may be a secret in a URL is not shown.
    #[test]
    fn urls() {
        for (url, shown) in [
            ("http://localhost:8000/statefun", "http://localhost:8000/statefun"),
            ("https://me:secret@host/{function.name}?token=secret", "https://host/{function.name}"),
            ("http://a@b@host?x", "http://host"),
            ("http+unix:///run/fn.sock/hello#x", "http+unix:///run/fn.sock/hello"),
        ] {
            assert_eq!(EndpointName::new(&endpoints()[1], url).url, shown);
        }
        assert_eq!(EndpointName::new(&endpoints()[1], "http://h").functions, "com.example.audit/*");
    }
}
