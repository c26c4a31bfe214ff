//! Expiration of state values: three modes, exact at the millisecond.

use millpond_engine::{Effects, Expiration, FailureKind, Input, Limits, Operation, StateSpec};
use millpond_protocol::Address;

use crate::bench::{Bench, address, event, modify, spec, states, typed_spec, waiting, writes};

const TTL: u64 = 100;

fn expiring(expiration: Expiration) -> StateSpec {
    StateSpec { expiration, ..spec("seen") }
}

/// A function that declares `seen`, with the value written now at id 1.
fn written(expiration: Expiration) -> Bench {
    let mut bench = Bench::new();
    bench.event(&address("f", "1"), "a");
    bench.incomplete(vec![expiring(expiration)]);
    bench.complete(writes(vec![modify("seen", "v")]));
    bench
}

/// The value that a request carries after so long, the address being called now.
fn value_after(bench: &mut Bench, ms: u64) -> Option<String> {
    bench.now += ms;
    bench.event(&address("f", "1"), "b");
    states(&bench.complete(Effects::default())).remove(0).1
}

/// Until the last millisecond a value is there, and then it is not, and the ledger forgets it.
#[test]
fn after_write_ends_at_the_millisecond() {
    for (ms, expected) in [(TTL - 1, Some("v".to_owned())), (TTL, None)] {
        let mut bench = written(Expiration::AfterWrite(TTL));
        assert_eq!(value_after(&mut bench, ms), expected);
    }
    let mut bench = written(Expiration::AfterWrite(TTL));
    bench.settle();
    value_after(&mut bench, TTL);
    bench.settle();
    let load = millpond_engine::Load::Address { address: address("f", "1"), bytes: 1 };
    let millpond_engine::Loaded::Address(loaded) = bench.ledger.load(&load) else { panic!("an address") };
    let states = loaded.states;
    assert!(states.is_empty());
}

/// A request does not restart the clock of `AFTER_WRITE`, and restarts that of `AFTER_INVOKE`.
#[test]
fn modes_differ_in_what_restarts_the_clock() {
    for (expiration, expected) in
        [(Expiration::AfterWrite(TTL), None), (Expiration::AfterInvoke(TTL), Some("v".to_owned()))]
    {
        let mut bench = written(expiration);
        assert!(value_after(&mut bench, TTL - 1).is_some());
        assert_eq!(value_after(&mut bench, TTL - 1), expected, "{expiration:?}");
    }
    let mut bench = written(Expiration::AfterInvoke(TTL));
    assert!(value_after(&mut bench, TTL - 1).is_some());
    assert_eq!(value_after(&mut bench, TTL), None);
}

/// The clock of `AFTER_INVOKE` goes on through a restart, down time included; the first request restarts nothing, because
/// it carries nothing.
#[test]
fn down_time_counts() {
    for (down, expected) in [(TTL - 1, Some("v".to_owned())), (TTL, None)] {
        let mut bench = written(Expiration::AfterInvoke(TTL));
        assert!(value_after(&mut bench, TTL / 2).is_some());
        let called = bench.now;
        // Somebody who waits seals all changes, so that no time passes until they are durable.
        bench.tell(Input::Ingested(waiting(1, event(&address("g", "1"), "seals"))));
        bench.commit();
        let mut bench = Bench::restart(bench.config, bench.ledger, called + down);
        bench.now = called + down;
        bench.calls.clear();
        bench.event(&address("f", "1"), "b");
        bench.incomplete(vec![expiring(Expiration::AfterInvoke(TTL))]);
        assert_eq!(states(&bench.call()), [("seen".to_owned(), expected)]);
    }
}

/// A repeated attempt carries what the first one did, and restarts no clock.
#[test]
fn repeated_attempt_restarts_no_clock() {
    let mut bench = written(Expiration::AfterInvoke(TTL));
    bench.now += TTL - 1;
    bench.event(&address("f", "1"), "b");
    let first = bench.fail(FailureKind::Unreachable);
    bench.tick(50);
    let second = bench.complete(Effects::default());
    assert_eq!(first.states, second.states);
    assert_eq!(value_after(&mut bench, TTL - 50), None, "the clock runs from the first attempt");
}

/// A value that is over is not shown, though it is in memory until its address is called.
#[test]
fn view_hides_what_is_over() {
    let mut bench = written(Expiration::AfterWrite(TTL));
    let seen = |bench: &Bench| bench.engine.view(&address("f", "1")).map(|view| view.states.len());
    assert_eq!(seen(&bench), Some(1));
    bench.tick(TTL);
    assert_eq!(seen(&bench), Some(0));
}

/// A clock that is set back brings nothing back.
#[test]
fn clock_set_back_brings_nothing_back() {
    let mut bench = written(Expiration::AfterWrite(TTL));
    bench.tick(TTL);
    bench.now -= TTL;
    assert_eq!(value_after(&mut bench, 0), None);
}

/// A value that is over leaves the ledger although its address is never called again; a living one stays.
#[test]
fn values_leave_the_ledger_by_themselves() {
    let mut bench = Bench::with(Limits { expiry_ms: 1_000, cache_bytes: 0, ..Limits::default() });
    let [gone, stays] = ["gone", "stays"].map(|id| address("f", id));
    for target in [&gone, &stays] {
        bench.event(target, "a");
    }
    let lives = |name: &str, expiration| StateSpec { expiration, ..spec(name) };
    bench.incomplete(vec![lives("w", Expiration::AfterWrite(5_000)), lives("i", Expiration::AfterInvoke(7_000))]);
    for _ in 0..2 {
        bench.complete(writes(vec![modify("w", "x"), modify("i", "y")]));
    }
    for target in [&gone, &stays] {
        bench.event(target, "a request that carries the values");
        bench.complete(Effects::default());
    }
    let names = |bench: &Bench, address: &Address| {
        let load = millpond_engine::Load::Address { address: address.clone(), bytes: 1 };
        let millpond_engine::Loaded::Address(loaded) = bench.ledger.load(&load) else { panic!("an address") };
        loaded.states.into_iter().map(|(name, _)| name.to_string()).collect::<Vec<_>>()
    };
    let walk = |bench: &mut Bench, ms: u64| {
        let end = bench.now + ms;
        while let Some(due) = bench.engine.wake_at().filter(|due| *due <= end) {
            bench.now = due;
            bench.tell(Input::Tick);
            bench.commit();
        }
        bench.now = end;
    };
    walk(&mut bench, 4_000);
    assert_eq!(names(&bench, &gone), ["i", "w"]);
    assert_eq!(bench.ledger.stamps(), 2);
    bench.event(&stays, "b");
    bench.complete(writes(vec![modify("w", "x")]));
    walk(&mut bench, 2_500);
    assert_eq!(names(&bench, &gone), ["i"]);
    walk(&mut bench, 2_500);
    assert!(names(&bench, &gone).is_empty());
    assert_eq!(names(&bench, &stays), ["i", "w"]);
    assert_eq!(bench.ledger.stamps(), 1, "the stamp of what is gone is gone too");
    walk(&mut bench, 20_000);
    assert!(names(&bench, &stays).is_empty());
    assert_eq!(bench.engine.wake_at(), None, "nothing is left that could be over");
}

/// Where no request goes out, because the function declares another type, no clock restarts: the value ends, and with it what
/// was in the way.
#[test]
fn value_that_is_not_handed_out_does_not_live_on() {
    const LONG: u64 = 10_000;
    let lives = |spec| StateSpec { expiration: Expiration::AfterInvoke(LONG), ..spec };
    let mut bench = Bench::new();
    let target = address("f", "1");
    bench.event(&target, "a");
    bench.incomplete(vec![lives(spec("seen"))]);
    bench.complete(writes(vec![modify("seen", "v")]));
    let written = bench.now;
    bench.settle();
    let mut bench = bench.crash();
    bench.event(&target, "b");
    bench.incomplete(vec![lives(typed_spec("seen", "number"))]);
    assert_eq!(bench.parked(), ["MP3003"]);
    while bench.calls.is_empty() {
        assert!(bench.now <= written + LONG, "it waits for ever");
        bench.tick(LONG / 10);
        bench.operate(&target, Operation::Resume, bench.now);
        bench.commit();
    }
    assert_eq!(states(&bench.call()), [("seen".to_owned(), None)]);
}
