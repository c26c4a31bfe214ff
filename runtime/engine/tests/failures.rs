//! Failures belong to one address: attempts, parking, and waking.

use millpond_engine::{Answer, Effects, FailureKind, Input, Limits, Notice, Operation};

use crate::bench::{Bench, CALL_MS, address, arguments};

fn opened() -> Bench {
    let mut bench = Bench::new();
    bench.open_gate("f");
    bench
}

/// Attempts follow upstream's schedule: pauses of 4, 8, 16 … ms, the last one cut to what is left of the budget.
#[test]
fn attempts_follow_upstreams_schedule() {
    let mut bench = opened();
    bench.event(&address("f", "1"), "a");
    let began = bench.now;
    let mut attempts = Vec::new();
    while bench.parked().is_empty() {
        if bench.calls.is_empty() {
            bench.now = bench.engine.wake_at().expect("it will try again");
            bench.tell(Input::Tick);
        } else {
            attempts.push(bench.now - began);
            let call = bench.fail(FailureKind::Unreachable);
            assert_eq!(call.timeout_ms, (began + CALL_MS).saturating_sub(bench.now).max(1), "the budget is for all");
        }
    }
    assert_eq!(attempts, [0, 4, 12, 28, 60, 124, 252, 508, 1000]);
}

/// An unreachable address keeps its invocations, tries again by itself, and loses nothing however long that takes.
#[test]
fn unreachable_address_is_parked_and_tries_again() {
    let mut bench = opened();
    let target = address("f", "1");
    bench.event(&target, "a");
    bench.event(&target, "b");
    for _ in 0..3 {
        bench.tick(CALL_MS);
        bench.fail(FailureKind::Unreachable);
        assert!(bench.calls.is_empty());
        bench.tick(bench.config.limits.parked_ms);
    }
    assert_eq!(arguments(&bench.complete(Effects::default())), ["a"]);
    assert_eq!(arguments(&bench.complete(Effects::default())), ["b"]);
    assert_eq!(bench.engine.metrics().parked, 0);
    assert!(matches!(bench.notices.last(), Some(Notice::Recovered { .. })));
}

/// The first answer of an endpoint wakes every address that is parked because it could not be reached.
#[test]
fn first_success_wakes_all_unreachable() {
    let mut bench = opened();
    for id in ["1", "2", "3"] {
        bench.event(&address("f", id), id);
    }
    bench.now += CALL_MS;
    for _ in 0..3 {
        bench.fail(FailureKind::Unreachable);
    }
    assert_eq!(bench.engine.metrics().parked, 3);
    bench.event(&address("f", "4"), "4");
    bench.complete(Effects::default());
    assert_eq!(bench.calls.len(), 3);
    for _ in 0..3 {
        bench.complete(Effects::default());
    }
    assert_eq!(bench.engine.metrics().parked, 0);
}

/// A rejected batch is cut: its invocations go out one by one, in order, and only the one that fails stays behind.
#[test]
fn rejected_batch_is_sent_one_by_one() {
    let mut bench = opened();
    let target = address("f", "1");
    bench.event(&target, "first");
    for argument in ["a", "poison", "c"] {
        bench.event(&target, argument);
    }
    bench.complete(Effects::default());
    assert_eq!(arguments(&bench.fail(FailureKind::Rejected)), ["a", "poison", "c"]);
    assert_eq!(arguments(&bench.complete(Effects::default())), ["a"]);
    assert_eq!(arguments(&bench.fail(FailureKind::Rejected)), ["poison"]);
    bench.event(&target, "d");
    bench.tick(100);
    assert_eq!(arguments(&bench.complete(Effects::default())), ["poison"], "it is tried again alone");
    assert_eq!(arguments(&bench.complete(Effects::default())), ["c"]);
    assert_eq!(arguments(&bench.complete(Effects::default())), ["d"]);
}

/// A failing address does not hold up another one, and holds no slot while it waits.
#[test]
fn failure_belongs_to_one_address() {
    let mut bench = Bench::with(Limits { calls_in_flight: 1, ..Limits::default() });
    bench.open_gate("f");
    bench.event(&address("f", "bad"), "a");
    bench.fail(FailureKind::Rejected);
    bench.event(&address("f", "good"), "b");
    assert_eq!(bench.complete(Effects::default()).target.id.as_ref(), "good");
}

/// `Retry-After` is respected; beyond the budget the address is parked that long.
#[test]
fn retry_after_is_respected() {
    let mut bench = opened();
    let target = address("f", "1");
    bench.event(&target, "a");
    let call = bench.call();
    bench.fail_call(&call, FailureKind::Unreachable, Some(500));
    bench.tick(499);
    assert!(bench.calls.is_empty());
    bench.tick(1);
    let call = bench.call();
    bench.fail_call(&call, FailureKind::Unreachable, Some(90_000));
    assert_eq!(bench.engine.metrics().parked, 1);
    bench.tick(89_999);
    assert!(bench.calls.is_empty());
    bench.tick(1);
    assert_eq!(bench.calls.len(), 1);
}

/// A person may resume a parked address.
#[test]
fn resume_tries_now() {
    let mut bench = opened();
    let target = address("f", "1");
    bench.event(&target, "a");
    bench.now += CALL_MS;
    bench.fail(FailureKind::Rejected);
    assert!(bench.calls.is_empty());
    bench.operate(&target, Operation::Resume, 1);
    assert_eq!(bench.answers, [(1, Answer::Durable)]);
    assert_eq!(bench.calls.len(), 1);
}

/// One of the addresses that are parked on an endpoint probes it every second; its answer wakes the others.
#[test]
fn one_parked_address_probes_for_all() {
    let mut bench = opened();
    for id in ["1", "2", "3"] {
        bench.event(&address("f", id), id);
    }
    bench.now += CALL_MS;
    for _ in 0..3 {
        bench.fail(FailureKind::Unreachable);
    }
    for _ in 0..3 {
        bench.tick(999);
        assert!(bench.calls.is_empty());
        bench.tick(1);
        assert_eq!(bench.calls.len(), 1, "one probe at a time");
        bench.now += CALL_MS;
        bench.fail(FailureKind::Unreachable);
    }
    bench.tick(1_000);
    bench.complete(Effects::default());
    assert_eq!(bench.calls.len(), 2, "the others are awake");
}
