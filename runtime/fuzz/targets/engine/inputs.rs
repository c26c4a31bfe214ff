//! What functions, producers and operators may say, and the configurations in which they say it.

use std::sync::Arc;

use bytes::Bytes;
use millpond_engine::{
    CallFailure, DeadLetter, DeadLetterForm, DeadLetterRoute, DelayedEffect, Effects, EgressRecord, EndpointConfig,
    EngineConfig, Event, Expiration, FailureKind, FailurePolicy, FunctionPattern, IdempotencyKey, LaneId, LaneName,
    Limits, Message, Mutation, Operation, StateSpec,
};
use millpond_protocol::{Address, TypeName};

use crate::choices::Choices;

/// Ids of addresses; the last one has a key group of its own.
const IDS: [&str; 4] = ["1", "2", "", "a longer id"];

/// A small world: a namespace with one endpoint, one function with its own, one without any; two lanes; limits that are
/// reached.
pub(super) fn config(choices: &mut Choices<'_>) -> EngineConfig {
    let calls = [1_000, 1, 0, 60_000, u64::MAX];
    let mut endpoint = |functions| EndpointConfig {
        functions,
        max_num_batch_requests: choices.maybe(|choices| choices.below(3) as u32),
        calls_max: 1024,
        call_ms: choices.one_of(&calls),
        failure_policy: choices.one_of(&[FailurePolicy::Park, FailurePolicy::Drop, FailurePolicy::DeadLetter]),
        dead_letters: choices.maybe(|_| DeadLetterRoute { lane: LaneId(1), form: Arc::new(Argument) }),
    };
    let endpoints = vec![
        endpoint(FunctionPattern::Namespace("ns".to_owned())),
        endpoint(FunctionPattern::Exact(TypeName::new("ns", "alone"))),
    ];
    let egress = TypeName::new("out", "topics");
    EngineConfig {
        endpoints,
        lanes: ["a", "b"].map(|part| LaneName { egress: egress.clone(), part: part.to_owned() }).to_vec(),
        limits: limits(choices),
        hash_seed: choices.byte().into(),
    }
}

/// A dead letter as its argument.
#[derive(Debug)]
struct Argument;

impl DeadLetterForm for Argument {
    fn record(&self, letter: &DeadLetter) -> Bytes {
        letter.invocation.argument.clone()
    }
}

/// What people may want done; the numbers are seldom right.
pub(super) fn operation(choices: &mut Choices<'_>) -> Operation {
    match choices.below(3) {
        0 => Operation::Resume,
        1 => Operation::Skip(choices.below(64) as u64),
        _ => Operation::DeadLetter(choices.below(64) as u64),
    }
}

fn limits(choices: &mut Choices<'_>) -> Limits {
    if choices.below(4) == 0 {
        return Limits::default();
    }
    Limits {
        calls_in_flight: 1 + choices.below(4),
        pending_bytes: 500 * choices.below(8),
        cache_bytes: 300 * choices.below(4),
        checkpoint_bytes: 100 * choices.below(8),
        checkpoint_age_ms: choices.one_of(&[0, 1, 1_000]),
        batch_bytes: 50 * choices.below(6),
        incomplete_rounds: choices.below(3) as u32,
        id_bytes: choices.one_of(&[1024, 3]),
        typename_bytes: 256,
        state_name_bytes: 256,
        value_bytes: choices.one_of(&[1024, 20]),
        argument_bytes: choices.one_of(&[1024, 20]),
        lane_records: choices.below(6) as u64,
        idempotency_ms: choices.one_of(&[0, 5_000, 86_400_000]),
        idempotency_keys: choices.below(5) as u64,
        parked_ms: choices.one_of(&[60_000, 200, 5_000]),
        delayed_window: 1 + choices.below(3),
        token_bytes: choices.one_of(&[1024, 2]),
        recall_window: 1 + choices.below(3),
        waiting_bytes: 1_000 * choices.below(5),
        mailbox_bytes: 200 * choices.below(5),
        backlog_bytes: choices.one_of(&[1 << 30, 600]),
        function_types: choices.one_of(&[100, 3]),
        measured_types: 1_000,
        expiry_ms: choices.one_of(&[600_000, 30_000]),
    }
}

pub(super) fn address(choices: &mut Choices<'_>) -> Address {
    let namespace = if choices.one_in(10) { "nobody" } else { "ns" };
    Address::new(TypeName::new(namespace, choices.one_of(&["f", "alone", ""])), choices.one_of(&IDS))
}

/// Every address that [`address`] can give.
pub(super) fn addresses() -> impl Iterator<Item = Address> {
    let functions = ["ns", "nobody"]
        .into_iter()
        .flat_map(|namespace| ["f", "alone", ""].map(|name| TypeName::new(namespace, name)));
    functions.flat_map(|function| IDS.map(|id| Address::new(function.clone(), id)))
}

pub(super) fn filler(choices: &mut Choices<'_>) -> Bytes {
    vec![b'x'; choices.below(120)].into()
}

pub(super) fn name(choices: &mut Choices<'_>) -> &'static str {
    choices.one_of(&["a", "b", "", "never declared"])
}

pub(super) fn spec(choices: &mut Choices<'_>) -> StateSpec {
    let expiration = match choices.below(10) {
        0 => Expiration::AfterWrite(choices.number()),
        1 => Expiration::AfterInvoke(choices.number()),
        _ => Expiration::None,
    };
    let typename = TypeName::new("types", if choices.one_in(8) { "number" } else { "text" });
    StateSpec { name: name(choices).into(), typename, expiration }
}

pub(super) fn effects(choices: &mut Choices<'_>) -> Effects {
    Effects {
        messages: choices.some(2, message),
        delayed: choices.some(2, |choices| match choices.below(3) {
            0 => DelayedEffect::Cancel { token: name(choices).to_owned() },
            _ => DelayedEffect::Send {
                delay_ms: choices.one_of(&[0, 1, 1_000, 5, i64::MAX, -1]),
                message: message(choices),
                token: name(choices).to_owned(),
            },
        }),
        egress: choices.some(2, |choices| EgressRecord {
            lane: LaneId(if choices.one_in(30) { 7 } else { choices.below(2) as u32 }),
            record: filler(choices),
        }),
        mutations: choices.some(3, |choices| match choices.below(3) {
            0 => Mutation::Delete { name: name(choices).to_owned() },
            _ => Mutation::Modify {
                name: name(choices).to_owned(),
                typename: if choices.one_in(20) { "/" } else { "types/text" }.to_owned(),
                value: filler(choices),
            },
        }),
    }
}

fn message(choices: &mut Choices<'_>) -> Message {
    Message { target: address(choices), argument: filler(choices) }
}

/// An event for nobody, one or several; the receipt is the driver's.
pub(super) fn event(choices: &mut Choices<'_>) -> Event {
    let idempotency = (choices.below(3) == 0)
        .then(|| IdempotencyKey { key: name(choices).into(), fingerprint: [choices.below(2) as u8; 16] });
    Event { invocations: choices.some(3, |choices| (address(choices), filler(choices))), receipt: None, idempotency }
}

pub(super) fn failure(choices: &mut Choices<'_>) -> CallFailure {
    let kinds = [FailureKind::Unreachable, FailureKind::Rejected, FailureKind::NoEndpoint];
    CallFailure {
        kind: choices.one_of(&kinds),
        code: "MP4000",
        error: "".into(),
        retry_after_ms: (choices.below(4) == 0).then(|| choices.number()),
    }
}
