//! Nobody waits for ever: producers get their answer, addresses their turn, and a start brings everything back.

use millpond_engine::{Answer, Effects, Input, LaneId, Limits, Receipt};
use millpond_protocol::{Address, TypeName};

use crate::bench::{Bench, CALL_MS, address, arguments, event, keyed, spec, waiting};

/// A start brings back what was pending although new events keep more addresses busy than its window holds.
#[test]
fn restore_goes_on_while_others_are_busy() {
    let mut bench = Bench::with(Limits { recall_window: 2, ..Limits::default() });
    for id in 0..10 {
        bench.event(&address("f", &id.to_string()), "old");
    }
    bench.settle();
    let mut bench = bench.crash();
    bench.event(&address("g", "gate"), "open");
    let open = bench.calls.pop().expect("the gate of `g`");
    bench.reply(&open, Effects::default());
    for id in 0..10 {
        bench.event(&address("g", &id.to_string()), "slow");
    }
    let mut restored = Vec::new();
    while let Some(place) = bench.calls.iter().position(|call| call.target.function.name() == "f") {
        let call = bench.calls.remove(place);
        bench.reply(&call, Effects::default());
        restored.push(call.target.id.to_string());
    }
    restored.sort();
    restored.dedup();
    assert_eq!(restored.len(), 10, "nobody answered the ten slow calls of `g`");
}

/// An address that always has something new takes no room either, once what was old has run.
#[test]
fn restore_goes_on_past_the_ever_busy() {
    let mut bench = Bench::with(Limits { recall_window: 1, ..Limits::default() });
    for id in 0..6 {
        bench.event(&address("f", &id.to_string()), "old");
    }
    bench.settle();
    let mut bench = bench.crash();
    let mut restored = std::collections::BTreeSet::new();
    for _ in 0..50 {
        let call = bench.call();
        bench.event(&call.target, "new");
        restored.insert(call.target.id.clone());
        bench.reply(&call, Effects::default());
    }
    assert_eq!(restored.len(), 6);
}

/// What is parked takes no room from what a start brings back behind it.
#[test]
fn restore_goes_on_past_the_parked() {
    let mut bench = Bench::with(Limits { recall_window: 1, ..Limits::default() });
    for id in 0..10 {
        bench.event(&Address::new(TypeName::new("nobody", "f"), id.to_string()), "waits");
        bench.event(&address("f", &id.to_string()), "old");
    }
    bench.settle();
    let mut bench = bench.crash();
    let mut restored = 0;
    while !bench.calls.is_empty() {
        bench.complete(Effects::default());
        restored += 1;
    }
    assert_eq!((restored, bench.engine.metrics().parked), (10, 10));
}

/// Rounds of incomplete answers are limited per budget: a parked address may learn again when its turn comes.
#[test]
fn parked_address_may_learn_again() {
    let mut bench = Bench::with(Limits { incomplete_rounds: 2, ..Limits::default() });
    bench.event(&address("f", "1"), "a");
    for round in 0..3 {
        bench.now += CALL_MS;
        bench.incomplete(vec![spec(&format!("s{round}"))]);
    }
    while bench.parked().is_empty() {
        bench.tick(CALL_MS);
        bench.incomplete(vec![spec("more")]);
    }
    bench.tick(bench.config.limits.parked_ms);
    // The function was mended meanwhile; it declares one state more and then answers.
    bench.incomplete(vec![spec("mended")]);
    assert_eq!(arguments(&bench.complete(Effects::default())), ["a"]);
}

/// A stop answers producers whose key is still being looked up; nothing comes behind `Stopped`.
#[test]
fn stop_answers_those_who_wait_for_a_look_up() {
    let mut bench = Bench::new();
    bench.loads_held = Some(Vec::new());
    bench.tell(Input::Ingested(waiting(1, keyed("k", event(&address("f", "1"), "a")))));
    bench.tell(Input::Stop);
    assert_eq!(bench.answers, [(1, Answer::Stopping)]);
    assert!(bench.stopped);
    bench.release_loads();
    assert_eq!(bench.answers.len(), 1);
    assert_eq!(bench.engine.metrics().ingested, 0);
}

/// Room that a stop makes is no reason to take events in again: `Stopped` is the last word.
#[test]
fn stopped_is_the_last_word() {
    let mut bench = Bench::with(Limits { pending_bytes: 100, ..Limits::default() });
    bench.loads_held = Some(Vec::new());
    bench.tell(Input::Ingested(waiting(1, keyed("k", event(&address("f", "1"), "a")))));
    assert!(bench.paused);
    bench.tell(Input::Stop);
    assert!(bench.stopped);
}

/// Freeing records of a lane that does not exist frees nothing, and says so like any other.
#[test]
fn unknown_lane_is_freed_of_nothing() {
    let mut bench = Bench::new();
    bench.tell(Input::Freed { lane: LaneId(99), upto: 5, receipt: Some(Receipt(1)) });
    bench.commit();
    assert_eq!(bench.answers, [(1, Answer::Durable)]);
}
