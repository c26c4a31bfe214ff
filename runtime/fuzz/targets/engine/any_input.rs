//! Inputs of any shape, in any order, also from a ledger that answers what nobody asked.

use millpond_engine::{
    CallId, DelayedMessage, Engine, FailureRecord, IdempotencyEntry, Input, Invocation, LaneId, Loaded, LoadedAddress,
    MemoryLedger, Output, Receipt, Reply, StateValue,
};
use millpond_protocol::TypeName;

use super::inputs;
use crate::choices::Choices;

/// The highest time that is told. Behind the last one nothing can be due.
const TIME_MAX: u64 = u64::MAX - 1;

/// Outputs that one input may cause: more than any has work for.
const OUTPUTS_MAX: usize = 10_000;

/// No input is a panic, and the engine always says when it wants to go on: later.
pub fn engine_any_input(bytes: &[u8]) {
    let mut choices = Choices::new(bytes);
    let config = inputs::config(&mut choices);
    let mut engine = Engine::new(config, &MemoryLedger::default().restore());
    let (mut now, mut calls, mut stopped) = (1_000, Vec::new(), false);
    loop {
        for count in 0.. {
            assert!(count < OUTPUTS_MAX, "one input causes no end of outputs");
            let Some(output) = engine.poll() else { break };
            assert!(!stopped, "behind `Stopped` came {output:?}");
            match output {
                Output::Call(call) => calls.push(call.id),
                Output::Stopped => stopped = true,
                _ => {}
            }
        }
        if choices.is_empty() || stopped {
            break;
        }
        now = match choices.below(8) {
            0 => choices.number(),
            1 => engine.wake_at().unwrap_or(now),
            2..=4 => u64::saturating_add(now, u64::from(choices.byte()) * 4),
            _ => now,
        }
        .min(TIME_MAX);
        let input = input(&mut choices, &calls);
        engine.handle(now, input);
        assert!(engine.wake_at().is_none_or(|due| due > engine.now()), "woken in the past");
    }
    for address in inputs::addresses() {
        let _ = engine.view(&address);
    }
    let _ = engine.metrics();
}

fn input(choices: &mut Choices<'_>, calls: &[CallId]) -> Input {
    let call = match calls.len().min(256) {
        0 => CallId(choices.number()),
        // The latest, because they are likely to be in flight.
        several => calls[calls.len() - 1 - choices.below(several)],
    };
    match choices.below(24) {
        0..=5 => {
            let mut event = inputs::event(choices);
            event.receipt = choices.maybe(|choices| Receipt(choices.number()));
            Input::Ingested(event)
        }
        6..=9 => Input::Loaded(loaded(choices, call)),
        10..=13 => Input::Reply { call, reply: Reply::Completed(inputs::effects(choices)) },
        14 => Input::Reply { call, reply: Reply::Incomplete(choices.some(3, inputs::spec)) },
        15 | 16 => Input::CallFailed { call, failure: inputs::failure(choices) },
        17 => Input::Freed {
            lane: LaneId(choices.below(4) as u32),
            upto: choices.number(),
            receipt: choices.maybe(|choices| Receipt(choices.number())),
        },
        18..=20 => Input::Durable(choices.number()),
        21 => Input::Operate {
            address: inputs::address(choices),
            operation: inputs::operation(choices),
            receipt: Receipt(choices.number()),
        },
        22 if choices.one_in(20) => Input::Stop,
        _ => Input::Tick,
    }
}

fn loaded(choices: &mut Choices<'_>, call: CallId) -> Loaded {
    match choices.below(8) {
        0 => Loaded::Pending {
            page: choices.number(),
            addresses: choices.some(3, inputs::address),
            more: choices.below(2) == 0,
        },
        1 => Loaded::Idempotency {
            key: inputs::name(choices).into(),
            found: choices.maybe(|choices| IdempotencyEntry { fingerprint: [0; 16], time: choices.number() }),
        },
        2 => Loaded::Tokens {
            call,
            found: choices.some(2, |choices| (inputs::name(choices).into(), (choices.number(), choices.number()))),
        },
        3 => Loaded::Delayed {
            after: if choices.below(2) == 0 { (0, 0) } else { (choices.number(), choices.number()) },
            messages: choices.some(3, |choices| (choices.number(), choices.number(), delayed(choices))),
            more: choices.below(2) == 0,
        },
        4 => Loaded::Mailbox {
            address: inputs::address(choices),
            from: choices.number(),
            pending: choices.some(3, |choices| (choices.number(), invocation(choices))),
            more: choices.below(2) == 0,
        },
        5 => Loaded::Expired {
            over: choices.some(3, inputs::address),
            alive: choices.below(2) == 0,
            next: choices.maybe(inputs::address),
        },
        _ => Loaded::Address(LoadedAddress {
            address: inputs::address(choices),
            states: choices.some(3, |choices| (inputs::name(choices).into(), value(choices))),
            pending: choices.some(3, |choices| (choices.number(), invocation(choices))),
            more: choices.below(2) == 0,
            failure: choices.maybe(failure),
            listed: choices.below(2) == 0,
            accessed: choices.maybe(Choices::number),
        }),
    }
}

fn failure(choices: &mut Choices<'_>) -> FailureRecord {
    let failure = inputs::failure(choices);
    FailureRecord {
        kind: failure.kind,
        code: failure.code.into(),
        error: failure.error,
        attempts: choices.number() as u32,
        since: choices.number(),
        parked: choices.number(),
        next: choices.number(),
    }
}

fn delayed(choices: &mut Choices<'_>) -> DelayedMessage {
    DelayedMessage {
        sender: inputs::address(choices),
        target: inputs::address(choices),
        argument: inputs::filler(choices),
        token: choices.maybe(|choices| inputs::name(choices).into()),
    }
}

fn value(choices: &mut Choices<'_>) -> StateValue {
    StateValue { typename: TypeName::new("types", "text"), value: inputs::filler(choices), written: choices.number() }
}

fn invocation(choices: &mut Choices<'_>) -> Invocation {
    let caller = choices.maybe(inputs::address);
    let (arrived, event_time) = (choices.number(), choices.number());
    Invocation { caller, argument: inputs::filler(choices), arrived, event_time }
}
