//! One request in flight per address, and what is in it.

use millpond_engine::{Effects, Limits};

use crate::bench::{Bench, address, arguments, sends};

/// What arrives while a request is in flight is the next batch, whole and in order.
#[test]
fn backlog_becomes_one_batch() {
    let mut bench = Bench::new();
    bench.open_gate("f");
    let target = address("f", "1");
    for argument in ["a", "b", "c", "d"] {
        bench.event(&target, argument);
    }
    assert_eq!(bench.calls.len(), 1, "one request in flight");
    assert_eq!(arguments(&bench.complete(Effects::default())), ["a"]);
    assert_eq!(arguments(&bench.complete(Effects::default())), ["b", "c", "d"]);
    assert!(bench.calls.is_empty());
}

/// Different addresses run side by side.
#[test]
fn addresses_do_not_wait_for_each_other() {
    let mut bench = Bench::new();
    bench.open_gate("f");
    bench.event(&address("f", "1"), "a");
    bench.event(&address("f", "2"), "b");
    bench.event(&address("g", "1"), "c");
    assert_eq!(bench.calls.len(), 3);
}

/// A batch is bounded by bytes; one invocation always fits.
#[test]
fn batch_is_bounded_by_bytes() {
    let mut bench = Bench::with(Limits { batch_bytes: 220, ..Limits::default() });
    bench.open_gate("f");
    let target = address("f", "1");
    for argument in ["first", "b", "c", "d", &"x".repeat(500), "e"] {
        bench.event(&target, argument);
    }
    bench.complete(Effects::default());
    let sizes: Vec<usize> =
        std::iter::from_fn(|| (!bench.calls.is_empty()).then(|| bench.complete(Effects::default()).invocations.len()))
            .collect();
    assert_eq!(sizes, [2, 1, 1, 1]);
}

/// What a batch sends to its own address queues behind the backlog that is there when the answer is applied.
#[test]
fn self_send_queues_behind_the_backlog() {
    let mut bench = Bench::new();
    bench.open_gate("f");
    let target = address("f", "1");
    bench.event(&target, "a");
    bench.event(&target, "b");
    bench.complete(sends(&[(&target, "self")]));
    let call = bench.call();
    assert_eq!(arguments(&call), ["b", "self"]);
    let callers: Vec<bool> = call.invocations.iter().map(|(caller, _)| caller.is_some()).collect();
    assert_eq!(callers, [false, true], "each invocation has its own caller");
}

/// A late, repeated or invented answer has no effect.
#[test]
fn answer_to_no_call_is_ignored() {
    let mut bench = Bench::new();
    bench.open_gate("f");
    let (one, two) = (address("f", "1"), address("f", "2"));
    bench.event(&one, "a");
    let call = bench.complete(sends(&[(&two, "once")]));
    bench.reply(&call, sends(&[(&two, "twice")]));
    assert_eq!(arguments(&bench.call()), ["once"]);
    assert!(bench.calls.is_empty());
}

/// Requests beyond the limit in flight wait their turn, in order.
#[test]
fn calls_in_flight_are_limited() {
    let mut bench = Bench::with(Limits { calls_in_flight: 2, ..Limits::default() });
    bench.open_gate("f");
    for id in ["1", "2", "3"] {
        bench.event(&address("f", id), id);
    }
    assert_eq!(bench.calls.len(), 2);
    bench.complete(Effects::default());
    assert_eq!(bench.calls.iter().map(|call| call.target.id.to_string()).collect::<Vec<_>>(), ["2", "3"]);
}
