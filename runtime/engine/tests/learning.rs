//! How the engine learns what states a function has, and what it sends.

use millpond_engine::{Effects, FailureKind, Limits};

use crate::bench::{Bench, address, arguments, modify, spec, states, typed_spec, writes};

/// The first request carries no state; an incomplete answer teaches the whole type, and the same batch goes out again.
#[test]
fn one_address_teaches_all() {
    let mut bench = Bench::new();
    bench.event(&address("f", "1"), "a");
    let first = bench.incomplete(vec![spec("seen"), spec("name")]);
    assert!(first.states.is_empty());
    let second = bench.complete(writes(vec![modify("seen", "1")]));
    assert_eq!(arguments(&second), ["a"]);
    assert_eq!(states(&second), [("name".to_owned(), None), ("seen".to_owned(), None)]);
    bench.event(&address("f", "2"), "b");
    assert_eq!(states(&bench.complete(Effects::default())).len(), 2, "another address knows them too");
    bench.event(&address("f", "1"), "c");
    let call = bench.call();
    assert_eq!(states(&call), [("name".to_owned(), None), ("seen".to_owned(), Some("1".to_owned()))]);
}

/// Until the first answer only one request of a type goes out; other types are not held back.
#[test]
fn first_request_holds_back_its_type_only() {
    let mut bench = Bench::new();
    for id in ["1", "2", "3"] {
        bench.event(&address("f", id), id);
    }
    bench.event(&address("g", "1"), "g");
    let called: Vec<String> = bench.calls.iter().map(|call| call.target.to_string()).collect();
    assert_eq!(called, ["ns/f/1", "ns/g/1"]);
    bench.complete(Effects::default());
    assert_eq!(bench.calls.len(), 3, "the answer opens the gate");
}

/// A first request that fails passes the gate on: one bad address does not hold up its type.
#[test]
fn failed_first_request_passes_the_gate_on() {
    let mut bench = Bench::new();
    bench.event(&address("f", "1"), "bad");
    bench.event(&address("f", "2"), "good");
    bench.fail(FailureKind::Rejected);
    assert_eq!(bench.call().target.to_string(), "ns/f/2");
}

/// Incomplete answers to one batch end after ten rounds.
#[test]
fn incomplete_rounds_are_limited() {
    let mut bench = Bench::with(Limits { incomplete_rounds: 3, ..Limits::default() });
    bench.event(&address("f", "1"), "a");
    for round in 0..3 {
        bench.incomplete(vec![spec(&format!("s{round}"))]);
    }
    bench.incomplete(vec![spec("more")]);
    for _ in 0..40 {
        bench.tick(100);
        if !bench.calls.is_empty() {
            bench.incomplete(vec![spec("more")]);
        }
    }
    assert_eq!(bench.parked(), ["MP3006"]);
}

/// The same name with another type means that two versions answer: rejected, and nothing of it is learned.
#[test]
fn state_declared_under_two_types_is_rejected() {
    let mut bench = Bench::new();
    bench.event(&address("f", "1"), "a");
    bench.incomplete(vec![spec("seen")]);
    bench.incomplete(vec![spec("new"), typed_spec("seen", "number")]);
    let view = bench.engine.view(&address("f", "1")).expect("it is in memory");
    assert_eq!(view.failure.expect("it failed").code, "MP3002");
    bench.tick(10);
    assert_eq!(states(&bench.call()).len(), 1);
}

/// One answer that declares a state under two types contradicts itself; one that says the same twice does not.
#[test]
fn state_declared_twice_in_one_answer() {
    let mut bench = Bench::new();
    bench.event(&address("f", "1"), "a");
    bench.incomplete(vec![spec("seen"), typed_spec("seen", "number")]);
    let view = bench.engine.view(&address("f", "1")).expect("it is in memory");
    assert_eq!(view.failure.expect("it failed").code, "MP3002");
    bench.tick(10);
    assert!(bench.incomplete(vec![spec("seen"), spec("seen")]).states.is_empty());
    bench.settle();
    assert_eq!(bench.ledger.specs().len(), 1);
    assert_eq!(states(&bench.call()).len(), 1);
}

/// A value of another type than the declared one is never handed out, and never lost.
#[test]
fn value_of_another_type_is_kept_and_not_handed_out() {
    let mut bench = Bench::new();
    let target = address("f", "1");
    bench.event(&target, "a");
    bench.incomplete(vec![spec("seen")]);
    bench.complete(writes(vec![modify("seen", "old")]));
    bench.settle();
    let mut bench = bench.crash();
    bench.event(&target, "b");
    bench.incomplete(vec![typed_spec("seen", "number")]);
    assert!(bench.calls.is_empty());
    assert_eq!(bench.parked(), ["MP3003"]);
    let view = bench.engine.view(&target).expect("it is in memory");
    assert_eq!(view.states[0].value.value, "old");
    bench.settle();
    let mut bench = bench.crash();
    assert_eq!(arguments(&bench.incomplete(vec![spec("seen")])), ["b"], "the function reverted");
    assert_eq!(states(&bench.call()), [("seen".to_owned(), Some("old".to_owned()))]);
}
