//! Delayed messages and cancellation tokens.

use bytes::Bytes;
use millpond_engine::{DelayedEffect, Effects, Limits, Message};
use millpond_protocol::Address;

use crate::bench::{Bench, address, arguments};

fn later(target: &Address, argument: &str, delay_ms: i64, token: &str) -> DelayedEffect {
    let message = Message { target: target.clone(), argument: Bytes::copy_from_slice(argument.as_bytes()) };
    DelayedEffect::Send { delay_ms, message, token: token.to_owned() }
}

fn cancel(token: &str) -> DelayedEffect {
    DelayedEffect::Cancel { token: token.to_owned() }
}

fn opened(limits: Limits) -> Bench {
    let mut bench = Bench::with(limits);
    for function in ["f", "g"] {
        bench.open_gate(function);
    }
    bench
}

/// Runs one event at `sender` with these effects.
fn run(bench: &mut Bench, sender: &Address, delayed: Vec<DelayedEffect>) {
    bench.event(sender, "run");
    bench.complete(Effects { delayed, ..Effects::default() });
}

fn code(bench: &Bench, address: &Address) -> Option<String> {
    bench.engine.view(address).and_then(|view| view.failure).map(|failure| failure.code.into_owned())
}

/// Delivered when it is due and not before, with the sender as its caller.
#[test]
fn delivered_when_due() {
    let mut bench = opened(Limits::default());
    let (sender, target) = (address("f", "1"), address("g", "2"));
    run(&mut bench, &sender, vec![later(&target, "m", 50, "")]);
    bench.tick(49);
    assert!(bench.calls.is_empty());
    bench.tick(1);
    let call = bench.call();
    assert_eq!((arguments(&call), call.invocations[0].0.clone()), (vec!["m".to_owned()], Some(sender)));
}

/// Zero is a delay; messages of one millisecond come in the order in which they were sent.
#[test]
fn same_millisecond_keeps_the_order() {
    let mut bench = opened(Limits::default());
    let target = address("g", "1");
    let delayed = vec![later(&target, "c", 9, ""), later(&target, "a", 0, ""), later(&target, "b", 0, "")];
    run(&mut bench, &address("f", "1"), delayed);
    bench.tick(9);
    let mut seen = arguments(&bench.complete(Effects::default()));
    seen.extend(arguments(&bench.complete(Effects::default())));
    assert_eq!(seen, ["a", "b", "c"]);
}

/// A delayed message survives a crash; one that became overdue meanwhile is delivered at once.
#[test]
fn overdue_message_is_delivered_after_a_restart() {
    let mut bench = opened(Limits::default());
    run(&mut bench, &address("f", "1"), vec![later(&address("g", "1"), "m", 50_000, "t")]);
    bench.settle();
    let mut bench = bench.crash();
    assert!(bench.calls.is_empty());
    bench.now += 100_000;
    let mut bench = Bench::restart(bench.config, bench.ledger, bench.now);
    bench.tick(0);
    assert_eq!(arguments(&bench.complete(Effects::default())), ["m"]);
    bench.settle();
    assert_eq!(bench.ledger.waiting(), (0, 0), "it is gone, and its token is free");
}

/// Each of these breaks a rule, and nothing of the answer takes effect.
#[test]
fn broken_rules_reject_the_answer() {
    let target = address("g", "1");
    let long = "t".repeat(2_000);
    for (delayed, expected) in [
        (vec![later(&target, "m", -1, "")], "MP3012"),
        (vec![cancel("")], "MP3013"),
        (vec![later(&target, "m", 1, &long)], "MP3014"),
        (vec![later(&target, "m", 1, "t"), later(&target, "n", 1, "t")], "MP3011"),
    ] {
        let mut bench = opened(Limits::default());
        let sender = address("f", "1");
        run(&mut bench, &sender, delayed);
        assert_eq!(code(&bench, &sender).as_deref(), Some(expected));
        bench.settle();
        assert_eq!(bench.ledger.waiting(), (0, 0), "{expected}");
    }
}

/// A token that is pending is taken for every function type of the sender's id, and for no other id; also after a crash.
#[test]
fn token_scope_is_the_senders_id() {
    let target = address("g", "elsewhere");
    for crash in [false, true] {
        let mut bench = opened(Limits::default());
        run(&mut bench, &address("f", "1"), vec![later(&target, "m", 90_000, "t")]);
        if crash {
            bench.settle();
            bench = bench.crash();
            bench.open_gate("f");
            bench.open_gate("g");
        }
        let (same_id, other_id) = (address("g", "1"), address("f", "2"));
        run(&mut bench, &same_id, vec![later(&target, "m", 90_000, "t")]);
        assert_eq!(code(&bench, &same_id).as_deref(), Some("MP3011"), "crash: {crash}");
        run(&mut bench, &other_id, vec![later(&target, "m", 90_000, "t")]);
        assert_eq!(code(&bench, &other_id), None);
    }
}

/// Any function type with the sender's id cancels; the target does not. A token is free again after that.
#[test]
fn cancelled_message_is_never_delivered() {
    for settle in [false, true] {
        for window in [1, 1_000] {
            let mut bench = opened(Limits { delayed_window: window, ..Limits::default() });
            let target = address("g", "target");
            let mut delayed: Vec<DelayedEffect> = (0..10).map(|n| later(&target, "x", 20_000 + n, "")).collect();
            delayed.push(later(&target, "cancelled", 30_000, "t"));
            run(&mut bench, &address("f", "1"), delayed);
            if settle {
                bench.settle();
                bench = bench.crash();
                bench.open_gate("f");
                bench.open_gate("g");
            }
            run(&mut bench, &target, vec![cancel("t")]);
            run(
                &mut bench,
                &address("g", "1"),
                vec![cancel("t"), cancel("unknown"), later(&target, "again", 40_000, "t")],
            );
            let mut seen = Vec::new();
            for _ in 0..60 {
                bench.settle();
                while !bench.calls.is_empty() {
                    seen.extend(arguments(&bench.complete(Effects::default())));
                }
            }
            let xs = seen.iter().filter(|argument| *argument == "x").count();
            assert_eq!((xs, seen.len(), seen.last().map(String::as_str)), (10, 11, Some("again")), "{settle} {window}");
            assert_eq!(bench.ledger.waiting(), (0, 0));
        }
    }
}

/// Within one answer: send and cancel leaves nothing, cancel and send leaves the message.
#[test]
fn order_within_one_answer_counts() {
    let mut bench = opened(Limits::default());
    let target = address("g", "1");
    let gone = vec![later(&target, "gone", 5, "t"), cancel("t")];
    run(&mut bench, &address("f", "1"), gone);
    let kept = vec![cancel("u"), later(&target, "kept", 5, "u")];
    run(&mut bench, &address("f", "1"), kept);
    bench.tick(5);
    assert_eq!(arguments(&bench.call()), ["kept"]);
}

/// A cancellation that comes after the delivery does nothing.
#[test]
fn late_cancellation_does_nothing() {
    let mut bench = opened(Limits::default());
    let target = address("g", "2");
    run(&mut bench, &address("f", "1"), vec![later(&target, "m", 5, "t")]);
    bench.tick(5);
    bench.complete(Effects::default());
    run(&mut bench, &address("f", "1"), vec![cancel("t"), later(&target, "n", 5, "t")]);
    bench.tick(5);
    assert_eq!(arguments(&bench.call()), ["n"], "the token is free");
}

/// Memory holds a window of them; all are delivered, in the order of their time.
#[test]
fn memory_holds_a_window() {
    let mut bench = opened(Limits { delayed_window: 8, ..Limits::default() });
    let target = address("g", "1");
    let began = bench.now;
    for round in 0..20 {
        let place = |n: i64| (n * 20 + round) % 100;
        let passed = (bench.now - began) as i64;
        let delayed =
            (0..5).map(|n| later(&target, &format!("{:03}", place(n)), 1_000_000 + 10 * place(n) - passed, ""));
        run(&mut bench, &address("f", "1"), delayed.collect());
        bench.settle();
    }
    assert!(bench.engine.metrics().delayed <= 8, "{}", bench.engine.metrics().delayed);
    let mut bench = bench.crash();
    bench.open_gate("g");
    bench.tick(2_000_000);
    let mut seen = Vec::new();
    while !bench.calls.is_empty() {
        seen.extend(arguments(&bench.complete(Effects::default())));
        bench.settle();
    }
    let mut sorted = seen.clone();
    sorted.sort();
    assert_eq!((seen.len(), &seen), (100, &sorted));
}

/// The answer waits while the ledger is asked for its tokens, and is applied once.
#[test]
fn answer_waits_for_its_tokens() {
    let mut bench = opened(Limits::default());
    let (sender, target) = (address("f", "1"), address("g", "2"));
    bench.event(&sender, "run");
    bench.loads_held = Some(Vec::new());
    let effects = Effects { delayed: vec![later(&target, "m", 0, "t")], ..Effects::default() };
    let call = bench.complete(effects.clone());
    bench.reply(&call, effects);
    assert_eq!(bench.engine.metrics().calls_in_flight, 1);
    bench.release_loads();
    assert_eq!(bench.engine.metrics().calls_in_flight, 1, "the message went to its target");
    assert_eq!(arguments(&bench.call()), ["m"]);
    assert!(bench.calls.is_empty());
}

/// A token that was known when its answer came is known when that answer is applied, though another token of it had to be
/// asked for, and the change became durable meanwhile. (Seed 12 of the simulator, once.)
#[test]
fn known_token_is_not_forgotten_while_another_is_asked_for() {
    let mut bench = opened(Limits::default());
    let (sender, target) = (address("f", "1"), address("g", "2"));
    run(&mut bench, &sender, vec![later(&target, "cancelled", 5_000, "known")]);
    bench.tick(bench.config.limits.checkpoint_age_ms);
    bench.event(&sender, "run");
    bench.loads_held = Some(Vec::new());
    bench.complete(Effects { delayed: vec![cancel("asked for"), cancel("known")], ..Effects::default() });
    bench.commit();
    bench.release_loads();
    bench.tick(10_000);
    assert!(bench.calls.is_empty());
    bench.settle();
    assert_eq!(bench.ledger.waiting(), (0, 0));
}
