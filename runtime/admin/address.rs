//! An address as JSON.
//!
//! However much an address holds, its page has an end: so many invocations, so many delayed messages, so many bytes of values.

use std::collections::BTreeMap;
use std::sync::Arc;

use millpond_engine::{
    AddressView, CallView, DelayedMessage, Expiration, FailureKind, FailureRecord, FailureView, Invocation,
    InvocationView, Loaded, LoadedAddress, Millis, Sequence, StateSpec, StateView,
};
use millpond_protocol::proto::reqreply::TypedValue;
use millpond_protocol::{Address, TypeName};
use prost::Message as _;
use serde::Serialize;

use super::delayed::Delayed;
use crate::edge::{Shown, rfc3339, shown};

/// Bytes of all values that a page shows.
const VALUES_BYTES_MAX: usize = 1 << 20;

/// Invocations that a page shows.
const INVOCATIONS_MAX: usize = 32;

/// What is known of an address.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct AddressPage {
    address: Name,
    /// Where this was found: `memory` is what the engine works with, `ledger` the last durable checkpoint. Delayed messages
    /// are always of the ledger.
    source: &'static str,
    states: Vec<State>,
    /// Invocations that wait, those of the call in flight not counted.
    waiting: usize,
    /// There are more, which the ledger holds.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    more_waiting: bool,
    /// Number of the invocation that is first in line, or in the call in flight: what `skip` and `dead-letter` want.
    #[serde(skip_serializing_if = "Option::is_none")]
    first: Option<Sequence>,
    /// The first ones in line, those of the call in flight included.
    mailbox: Vec<Waiting>,
    #[serde(skip_serializing_if = "Option::is_none")]
    call: Option<Call>,
    delayed: DelayedMessages,
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
    /// When it is over, as the function declared it last.
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<String>,
    #[serde(flatten)]
    shown: Shown,
}

/// An invocation that has not run.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Waiting {
    sequence: Sequence,
    #[serde(skip_serializing_if = "Option::is_none")]
    caller: Option<Name>,
    arrived_at: String,
    #[serde(flatten)]
    argument: Argument,
}

#[derive(Debug, Serialize)]
struct Argument {
    typename: String,
    size: usize,
    #[serde(flatten)]
    shown: Shown,
}

#[derive(Debug, Serialize)]
struct DelayedMessages {
    /// As many as were found.
    count: u64,
    /// False when there are so many for others that not all were looked at.
    complete: bool,
    /// Those that are due first.
    messages: Vec<Later>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Later {
    due_at: String,
    sender: Name,
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<String>,
    #[serde(flatten)]
    argument: Argument,
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
    pub(super) fn of_memory(address: &Address, view: AddressView, delayed: Delayed) -> AddressPage {
        let mut room = Room(VALUES_BYTES_MAX);
        AddressPage {
            address: Name::from(address),
            source: "memory",
            states: view.states.into_iter().map(|state| room.state(state)).collect(),
            waiting: view.waiting,
            more_waiting: view.more,
            first: view.first,
            mailbox: view.mailbox.into_iter().map(|invocation| room.waiting(invocation)).collect(),
            call: view.call.map(Call::from),
            delayed: room.delayed(delayed),
            failure: view.failure.map(Failure::from),
        }
    }

    /// What the ledger holds of it. `specs` are what its function type declared last.
    pub(super) fn of_ledger(address: &Address, loaded: Loaded, delayed: Delayed, specs: &Specs) -> Option<AddressPage> {
        let Loaded::Address(LoadedAddress { states, pending, more, failure, accessed, .. }) = loaded else {
            return None;
        };
        let mut room = Room(VALUES_BYTES_MAX);
        let view = |(name, value): (Arc<str>, millpond_engine::StateValue)| {
            let expiration = specs.get(&*name).copied().unwrap_or_default();
            StateView { expires: expiration.ends(value.written, accessed), name, value }
        };
        let invocation = |(sequence, invocation): (Sequence, Invocation)| {
            let Invocation { caller, argument, arrived, .. } = invocation;
            InvocationView { sequence, caller, argument, arrived }
        };
        Some(AddressPage {
            address: Name::from(address),
            source: "ledger",
            states: states.into_iter().map(|state| room.state(view(state))).collect(),
            waiting: pending.len(),
            more_waiting: more,
            first: pending.first().map(|(sequence, _)| *sequence),
            mailbox: pending.into_iter().take(INVOCATIONS_MAX).map(|it| room.waiting(invocation(it))).collect(),
            call: None,
            delayed: room.delayed(delayed),
            failure: failure.map(Failure::from),
        })
    }

    /// Whether there is nothing to be shown: an address in memory may never have had anything.
    pub(super) fn is_empty(&self) -> bool {
        self.states.is_empty()
            && self.waiting == 0
            && self.call.is_none()
            && self.failure.is_none()
            && self.delayed.count == 0
    }
}

/// How long the states of one function type live.
pub(super) type Specs = BTreeMap<String, Expiration>;

/// The states of one function type, of those that the ledger has.
pub(super) fn specs_of(function: &TypeName, all: Vec<(TypeName, StateSpec)>) -> Specs {
    let of_it = all.into_iter().filter(|(of, _)| of == function);
    of_it.map(|(_, spec)| (spec.name.to_string(), spec.expiration)).collect()
}

/// Bytes of values that may still be shown.
struct Room(usize);

impl Room {
    fn state(&mut self, state: StateView) -> State {
        let typename = state.value.typename.to_string();
        State {
            name: state.name.to_string(),
            size: state.value.value.len(),
            written_at: rfc3339(state.value.written),
            expires_at: state.expires.map(rfc3339),
            shown: self.shown(&typename, &state.value.value),
            typename,
        }
    }

    fn waiting(&mut self, invocation: InvocationView) -> Waiting {
        Waiting {
            sequence: invocation.sequence,
            caller: invocation.caller.as_ref().map(Name::from),
            arrived_at: rfc3339(invocation.arrived),
            argument: self.argument(&invocation.argument),
        }
    }

    fn delayed(&mut self, delayed: Delayed) -> DelayedMessages {
        let later = |(due, _, message): (Millis, Sequence, DelayedMessage)| Later {
            due_at: rfc3339(due),
            sender: Name::from(&message.sender),
            token: message.token.map(|token| token.to_string()),
            argument: self.argument(&message.argument),
        };
        let messages = delayed.messages.into_iter().map(later).collect();
        DelayedMessages { count: delayed.count, complete: delayed.complete, messages }
    }

    /// An argument, an encoded `TypedValue`. All of them were decoded before they came to be here.
    fn argument(&mut self, encoded: &[u8]) -> Argument {
        let argument = TypedValue::decode(encoded).unwrap_or_default();
        Argument {
            size: argument.value.len(),
            shown: self.shown(&argument.typename, &argument.value),
            typename: argument.typename,
        }
    }

    fn shown(&mut self, typename: &str, bytes: &[u8]) -> Shown {
        match self.0.checked_sub(Shown::bytes(bytes)) {
            Some(left) => {
                self.0 = left;
                shown(typename, bytes)
            }
            None => Shown::left_out(),
        }
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
