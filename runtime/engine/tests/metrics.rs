//! What people are shown: counts with upstream's meanings, bounded, and a word when a function type fails altogether.

use bytes::Bytes;
use millpond_engine::{DelayedEffect, Effects, Expiration, FailureKind, Input, Limits, Message, Notice, StateSpec};
use millpond_protocol::{Address, TypeName};

use crate::bench::{Bench, address, modify, sends, spec, waiting, writes};

/// Only the first function types have metrics of their own; the others are one sum, and nothing is counted twice.
#[test]
fn function_types_beyond_the_limit_are_added_up() {
    let mut bench = Bench::with(Limits { measured_types: 2, ..Limits::default() });
    for function in ["f", "g", "h", "i"] {
        bench.event(&Address::new(TypeName::new("ns", function), "1"), "a");
    }
    let metrics = bench.engine.metrics();
    // The one that the module names was there first.
    assert_eq!((metrics.functions.len(), metrics.function_types), (2, 5));
    assert!(metrics.functions.contains_key(&address("alone", "").function));
    let own: u64 = metrics.functions.values().map(|function| function.input).sum();
    assert_eq!((own, metrics.other_functions.input, metrics.other_functions.backlog), (1, 3, 3));
    let (page, more) = bench.engine.functions(1, 2);
    let names: Vec<&str> = page.iter().map(|function| function.name.name()).collect();
    assert_eq!((names, more), (vec!["f", "g"], true));
    let (page, more) = bench.engine.functions(4, 2);
    assert_eq!((page.len(), more), (1, false));
    assert_eq!(bench.engine.functions(usize::MAX, usize::MAX), (Vec::new(), false));
}

/// Calls in flight, what is in them and what waits behind them are told apart; the first request is no asynchronous one.
#[test]
fn what_runs_and_what_waits() {
    let mut bench = Bench::new();
    let target = address("f", "1");
    bench.event(&target, "a");
    bench.event(&target, "b");
    let counts = |bench: &Bench| {
        let of = bench.engine.metrics().functions[&address("f", "").function];
        (of.in_flight, of.in_flight_async, of.running, of.backlog, of.finished)
    };
    assert_eq!(counts(&bench), (1, 0, 1, 2, 0));
    bench.complete(Effects::default());
    assert_eq!(counts(&bench), (1, 1, 1, 1, 1));
    bench.fail(FailureKind::Unreachable);
    assert_eq!(counts(&bench), (0, 0, 0, 1, 1));
    bench.tick(10);
    bench.complete(sends(&[(&target, "c")]));
    assert_eq!(counts(&bench), (1, 1, 1, 1, 2));
}

/// A function type that fails altogether says so once when that begins, and once when it is over.
#[test]
fn trouble_is_said_once() {
    let mut bench = Bench::new();
    bench.open_gate("f");
    bench.notices.clear();
    for id in 0..20 {
        bench.event(&address("f", &id.to_string()), "a");
    }
    for _ in 0..100 {
        while bench.calls.is_empty() {
            bench.now = bench.engine.wake_at().expect("it will try again").max(bench.now + 1);
            bench.tell(Input::Tick);
            bench.commit();
        }
        bench.fail(FailureKind::Unreachable);
    }
    let said = |bench: &Bench| {
        let trouble = |notice: &&Notice| matches!(notice, Notice::InTrouble { .. } | Notice::OutOfTrouble { .. });
        bench.notices.iter().filter(trouble).cloned().collect::<Vec<_>>()
    };
    assert!(bench.engine.metrics().functions[&address("f", "").function].in_trouble);
    let begun = said(&bench);
    assert!(matches!(&begun[..], [Notice::InTrouble { function, .. }] if *function == address("f", "").function));
    while bench.calls.is_empty() {
        bench.now = bench.engine.wake_at().expect("it will try again").max(bench.now + 1);
        bench.tell(Input::Tick);
        bench.commit();
    }
    bench.complete(Effects::default());
    assert!(matches!(&said(&bench)[..], [_, Notice::OutOfTrouble { .. }]));
    assert!(!bench.engine.metrics().functions[&address("f", "").function].in_trouble);
}

/// A page of an address has an end, and says when a value is over.
#[test]
fn an_address_is_shown_in_part() {
    let mut bench = Bench::new();
    let target = address("f", "1");
    bench.event(&target, "a");
    let mortal = StateSpec { expiration: Expiration::AfterWrite(1_000), ..spec("mortal") };
    bench.incomplete(vec![mortal, spec("seen")]);
    let written = bench.now;
    bench.complete(writes(vec![modify("mortal", "x"), modify("seen", "y")]));
    for number in 0..100 {
        bench.event(&target, &number.to_string());
    }
    let view = bench.engine.view(&target).expect("it is in memory");
    let ends: Vec<_> = view.states.iter().map(|state| (&*state.name, state.expires)).collect();
    assert_eq!(ends, [("mortal", Some(written + 1_000)), ("seen", None)]);
    assert_eq!((view.mailbox.len(), view.waiting), (32, 99));
    assert_eq!(view.first, Some(view.mailbox[0].sequence));
    assert!(view.mailbox.is_sorted_by(|a, b| a.sequence < b.sequence));
}

/// Delayed messages are no `outLocal`: upstream counts plain messages.
#[test]
fn delayed_messages_are_not_counted_as_sent() {
    let mut bench = Bench::new();
    bench.tell(Input::Ingested(waiting(7, crate::bench::event(&address("f", "1"), "a"))));
    let message = Message { target: address("g", "1"), argument: Bytes::from_static(b"later") };
    let later = DelayedEffect::Send { delay_ms: 5, message, token: String::new() };
    bench.complete(Effects { delayed: vec![later], ..sends(&[(&address("g", "2"), "now")]) });
    bench.settle();
    bench.tick(10);
    let metrics = bench.engine.metrics();
    assert_eq!(metrics.functions[&address("f", "").function].out_local, 1);
    assert_eq!(metrics.functions[&address("g", "").function].input, 2);
}
