//! Messages between functions: callers, order, and targets that nobody serves.

use millpond_engine::Effects;
use millpond_protocol::{Address, TypeName};

use crate::bench::{Bench, address, arguments, sends};

/// The caller is the sender for a message, and absent for what came from an ingress.
#[test]
fn caller_is_the_sender() {
    let mut bench = Bench::new();
    bench.open_gate("f");
    let (one, two) = (address("f", "1"), address("f", "2"));
    bench.event(&one, "a");
    assert_eq!(bench.complete(sends(&[(&two, "m")])).invocations[0].0, None);
    assert_eq!(bench.complete(Effects::default()).invocations[0].0, Some(one));
}

/// Messages from one address to another arrive in the order in which they were sent, within and across answers.
#[test]
fn messages_of_a_pair_keep_their_order() {
    let mut bench = Bench::new();
    bench.open_gate("f");
    bench.open_gate("g");
    let (sender, receiver) = (address("f", "1"), address("g", "1"));
    bench.event(&sender, "a");
    bench.event(&sender, "b");
    let first = bench.call();
    bench.reply(&first, sends(&[(&receiver, "1"), (&receiver, "2")]));
    let (to_receiver, to_sender) = {
        let mut calls = std::mem::take(&mut bench.calls);
        calls.sort_by_key(|call| call.target.clone());
        (calls.pop().expect("two calls"), calls.pop().expect("two calls"))
    };
    bench.reply(&to_sender, sends(&[(&receiver, "3")]));
    let mut seen = arguments(&to_receiver);
    bench.reply(&to_receiver, Effects::default());
    seen.extend(arguments(&bench.call()));
    assert_eq!(seen, ["1", "2", "3"]);
}

/// A message for a function type without an endpoint waits, durable, and is delivered by a module that has one.
#[test]
fn message_without_endpoint_waits_for_one() {
    let mut bench = Bench::new();
    bench.open_gate("f");
    let nobody = Address::new(TypeName::new("other", "g"), "1");
    bench.event(&address("f", "1"), "a");
    bench.complete(sends(&[(&nobody, "waits")]));
    bench.settle();
    assert_eq!(bench.parked(), ["MP3001"]);
    let mut config = bench.config.clone();
    config.endpoints[1].functions = millpond_engine::FunctionPattern::Namespace("other".to_owned());
    let mut bench = Bench::restart(config, bench.ledger, bench.now);
    assert_eq!(arguments(&bench.call()), ["waits"]);
}

/// An exact endpoint beats the one of its namespace.
#[test]
fn exact_endpoint_beats_the_namespace() {
    let mut bench = Bench::new();
    bench.event(&address("alone", "1"), "a");
    bench.event(&address("f", "1"), "a");
    assert_eq!(bench.calls.iter().map(|call| call.endpoint).collect::<Vec<_>>(), [1, 0]);
}

/// What arrives for an address whose state is still being loaded waits in order behind what the ledger has.
#[test]
fn arrivals_queue_behind_what_is_being_loaded() {
    let mut bench = Bench::new();
    bench.open_gate("f");
    let target = address("f", "1");
    bench.event(&target, "a");
    bench.event(&target, "b");
    bench.settle();
    let mut bench = Bench::restart(bench.config, bench.ledger, bench.now);
    bench.calls.clear();
    let mut bench = Bench::restart(bench.config.clone(), bench.ledger.clone(), bench.now);
    assert_eq!(arguments(&bench.calls[0]), ["a", "b"], "both were pending");
    bench.loads_held = Some(Vec::new());
    let other = address("f", "2");
    bench.event(&other, "first");
    bench.event(&other, "second");
    assert_eq!(bench.calls.len(), 1);
    bench.complete(Effects::default());
    bench.release_loads();
    assert_eq!(arguments(&bench.call()), ["first", "second"]);
}
