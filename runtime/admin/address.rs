//! An address as JSON.

use std::sync::Arc;

use millpond_engine::{
    AddressView, CallView, FailureKind, FailureRecord, FailureView, Loaded, LoadedAddress, Millis, Sequence, StateValue,
};
use millpond_protocol::Address;
use serde::Serialize;

use crate::edge::{Shown, rfc3339, shown};

/// What is known of an address.
#[derive(Debug, Serialize)]
pub(super) struct AddressPage {
    address: Name,
    /// Where this was found: `memory` is what the engine works with, `ledger` the last durable checkpoint.
    source: &'static str,
    states: Vec<State>,
    /// Invocations that wait, those of the call in flight not counted.
    waiting: usize,
    /// There are more, which the ledger holds.
    #[serde(rename = "moreWaiting", skip_serializing_if = "std::ops::Not::not")]
    more_waiting: bool,
    /// Number of the invocation that is first in line, or in the call in flight: what `skip` and `dead-letter` want.
    #[serde(skip_serializing_if = "Option::is_none")]
    first: Option<Sequence>,
    #[serde(skip_serializing_if = "Option::is_none")]
    call: Option<Call>,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<Failure>,
}

#[derive(Debug, Serialize)]
struct Name {
    namespace: String,
    name: String,
    id: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct State {
    name: String,
    typename: String,
    size: usize,
    written_at: String,
    #[serde(flatten)]
    shown: Shown,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Call {
    batch: usize,
    began_at: String,
    attempt: u32,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Failure {
    kind: &'static str,
    code: String,
    error: String,
    attempts: u32,
    since: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_at: Option<String>,
    parked: bool,
}

impl AddressPage {
    /// What the engine holds of it.
    pub(super) fn of_memory(address: &Address, view: AddressView) -> AddressPage {
        AddressPage {
            address: Name::from(address),
            source: "memory",
            states: states(view.states),
            waiting: view.waiting,
            more_waiting: view.more,
            first: view.first,
            call: view.call.map(Call::from),
            failure: view.failure.map(Failure::from),
        }
    }

    /// What the ledger holds of it; `None` when that is nothing.
    pub(super) fn of_ledger(address: &Address, loaded: Loaded) -> Option<AddressPage> {
        let Loaded::Address(LoadedAddress { states: stored, pending, more, failure, .. }) = loaded else { return None };
        let page = AddressPage {
            address: Name::from(address),
            source: "ledger",
            states: states(stored),
            waiting: pending.len(),
            more_waiting: more,
            first: pending.first().map(|(sequence, _)| *sequence),
            call: None,
            failure: failure.map(Failure::from),
        };
        Some(page).filter(|page| !page.is_empty())
    }

    /// Whether there is nothing to be shown: an address in memory may never have had anything.
    pub(super) fn is_empty(&self) -> bool {
        self.states.is_empty() && self.waiting == 0 && self.call.is_none() && self.failure.is_none()
    }
}

impl From<&Address> for Name {
    fn from(address: &Address) -> Name {
        let function = &address.function;
        Name {
            namespace: function.namespace().to_owned(),
            name: function.name().to_owned(),
            id: address.id.to_string(),
        }
    }
}

impl From<CallView> for Call {
    fn from(call: CallView) -> Call {
        Call { batch: call.batch, began_at: rfc3339(call.began), attempt: call.attempt }
    }
}

fn word(kind: FailureKind) -> &'static str {
    match kind {
        FailureKind::Unreachable => "unreachable",
        FailureKind::Rejected => "rejected",
        FailureKind::NoEndpoint => "noEndpoint",
    }
}

impl From<FailureRecord> for Failure {
    fn from(failure: FailureRecord) -> Failure {
        Failure {
            kind: word(failure.kind),
            code: failure.code.into_owned(),
            error: failure.error.to_string(),
            attempts: failure.attempts,
            since: rfc3339(failure.since),
            next_at: Some(failure.next).filter(|next| *next < Millis::MAX).map(rfc3339),
            parked: true,
        }
    }
}

impl From<FailureView> for Failure {
    fn from(failure: FailureView) -> Failure {
        Failure {
            kind: word(failure.kind),
            code: failure.code.into_owned(),
            error: failure.error.to_string(),
            attempts: failure.attempts,
            since: rfc3339(failure.since),
            next_at: failure.next.map(rfc3339),
            parked: failure.parked,
        }
    }
}

fn states(states: Vec<(Arc<str>, StateValue)>) -> Vec<State> {
    let state = |(name, value): (Arc<str>, StateValue)| {
        let typename = value.typename.to_string();
        let (size, written_at) = (value.value.len(), rfc3339(value.written));
        State { name: name.to_string(), size, written_at, shown: shown(&typename, &value.value), typename }
    };
    states.into_iter().map(state).collect()
}
