//! How many calls a function type gets: as many as it answers, and hardly any while it answers none.

use millpond_engine::{Effects, FailureKind, Input};

use crate::bench::{Bench, address};

/// Lets time pass until the engine calls somebody.
fn wait_for_call(bench: &mut Bench) {
    while bench.calls.is_empty() {
        bench.now = bench.engine.wake_at().expect("it will try again").max(bench.now + 1);
        bench.tell(Input::Tick);
        bench.commit();
    }
}

/// The window grows while answers come and all of it is used.
#[test]
fn window_grows_with_the_answers() {
    let mut bench = Bench::new();
    bench.open_gate("f");
    for id in 0..1_000 {
        bench.event(&address("f", &id.to_string()), "a");
    }
    let first = bench.calls.len();
    for _ in 0..first {
        bench.complete(Effects::default());
    }
    assert_eq!(bench.calls.len(), 2 * first, "twice as many in the next round");
}

/// When calls do not get through any more, half as many go out.
#[test]
fn window_halves_when_calls_do_not_get_through() {
    let mut bench = Bench::new();
    bench.open_gate("f");
    for id in 0..1_000 {
        bench.event(&address("f", &id.to_string()), "a");
    }
    let first = bench.calls.len();
    while bench.calls.len() > first / 2 {
        bench.fail(FailureKind::Unreachable);
    }
    bench.complete(Effects::default());
    assert_eq!(bench.calls.len(), first / 2);
}

/// A rejected message says nothing about how much its function can do.
#[test]
fn rejections_leave_the_window_as_it_is() {
    let mut bench = Bench::new();
    bench.open_gate("f");
    for id in 0..1_000 {
        bench.event(&address("f", &id.to_string()), "a");
    }
    let first = bench.calls.len();
    bench.fail(FailureKind::Rejected);
    assert_eq!(bench.calls.len(), first);
}

/// A function type that answers nothing but errors gets few calls, however many addresses it has, and another type at the
/// same endpoint all that it wants. Its first answer brings all of it back.
#[test]
fn type_in_trouble_gets_few_calls() {
    let mut bench = Bench::new();
    for function in ["bad", "good"] {
        bench.open_gate(function);
    }
    for id in 0..1_000 {
        bench.event(&address("bad", &id.to_string()), "a");
    }
    let (began, mut attempts) = (bench.now, 0);
    while bench.now < began + 60_000 {
        wait_for_call(&mut bench);
        while !bench.calls.is_empty() {
            bench.fail(FailureKind::Rejected);
            attempts += 1;
        }
    }
    assert!(attempts < 50 * 60, "{attempts} attempts in a minute");
    bench.event(&address("good", "1"), "a");
    assert_eq!(bench.complete(Effects::default()).target, address("good", "1"));
    let mended = bench.now;
    wait_for_call(&mut bench);
    assert!(bench.now <= mended + 5_000, "called {} ms later", bench.now - mended);
    let mut answered = 0;
    while answered < 1_000 {
        wait_for_call(&mut bench);
        bench.complete(Effects::default());
        answered += 1;
    }
    assert!(bench.now <= mended + 10_000, "all were called within {} ms", bench.now - mended);
    assert_eq!(bench.engine.metrics().parked, 0);
}

/// Function types take turns: one with much to do does not keep another one waiting.
#[test]
fn function_types_take_turns() {
    let mut bench = Bench::new();
    bench.config.limits.calls_in_flight = 2;
    let mut bench = Bench::restart(bench.config, bench.ledger, bench.now);
    for function in ["many", "few"] {
        bench.open_gate(function);
    }
    for id in 0..100 {
        bench.event(&address("many", &id.to_string()), "a");
    }
    bench.event(&address("few", "1"), "a");
    let mut before = 0;
    while bench.complete(Effects::default()).target != address("few", "1") {
        before += 1;
    }
    assert!(before <= 4, "{before} came before it");
}
