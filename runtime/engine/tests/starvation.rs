//! Nobody is kept waiting by somebody else: not by what is parked, being loaded or looked for, nor by a type that fails.

use bytes::Bytes;
use millpond_engine::{
    Answer, DelayedEffect, Effects, Expiration, FailureKind, FailurePolicy, Input, Limits, Load, Message, Notice,
    Operation, StateSpec,
};
use millpond_protocol::{Address, TypeName};

use crate::bench::{Bench, address, arguments, event, modify, spec, typed_spec, waiting, writes};

/// A producer waits for an address that parks without being called: what is stored has another type than declared now.
fn held_producer_of_a_mismatched_state(limits: Limits) -> Bench {
    let mut bench = Bench::with(limits);
    bench.config.endpoints[0].max_num_batch_requests = Some(1);
    let mut bench = Bench::restart(bench.config, bench.ledger, bench.now);
    let target = address("f", "1");
    bench.event(&target, "a");
    bench.incomplete(vec![spec("seen")]);
    bench.complete(writes(vec![modify("seen", "old")]));
    bench.settle();
    let mut bench = bench.crash();
    bench.event(&address("f", "gate"), "open");
    bench.event(&target, "b");
    bench.tell(Input::Ingested(waiting(1, event(&target, "c"))));
    bench.incomplete(vec![typed_spec("seen", "number")]);
    bench.complete(Effects::default());
    bench
}

fn is_answered(mut bench: Bench) {
    for _ in 0..600 {
        bench.tick(1_000);
        bench.commit();
    }
    assert_eq!(bench.answers, [(1, Answer::Durable)]);
}

/// Parking answers who waits, whatever led to it.
#[test]
fn held_producer_is_answered_when_its_address_parks() {
    let bench = held_producer_of_a_mismatched_state(Limits::default());
    assert_eq!(bench.parked(), ["MP3003"]);
    is_answered(bench);
}

/// The same when the address leaves memory at once.
#[test]
fn held_producer_outlives_its_cell() {
    let mut bench = held_producer_of_a_mismatched_state(Limits { waiting_bytes: 0, ..Limits::default() });
    bench.settle();
    is_answered(bench);
}

/// Operation during a call that is answered incomplete with a mismatching state: never answered.
#[test]
fn operation_behind_a_mismatched_state() {
    let mut bench = Bench::new();
    let target = address("f", "1");
    bench.event(&target, "a");
    bench.incomplete(vec![spec("seen")]);
    bench.complete(writes(vec![modify("seen", "old")]));
    bench.settle();
    let mut bench = bench.crash();
    bench.event(&target, "b");
    let first = bench.engine.view(&target).unwrap().first.unwrap();
    bench.operate(&target, Operation::Skip(first), 7);
    bench.incomplete(vec![typed_spec("seen", "number")]);
    for _ in 0..600 {
        bench.tick(1_000);
        bench.commit();
    }
    assert_eq!(bench.answers, [(7, Answer::Durable)]);
}

/// Dropped after a single judgement without a budget.
#[test]
fn policy_takes_what_was_judged_once() {
    let mut bench = Bench::new();
    for endpoint in &mut bench.config.endpoints {
        endpoint.failure_policy = FailurePolicy::Drop;
    }
    let mut bench = Bench::restart(bench.config, bench.ledger, bench.now);
    let target = address("f", "1");
    let lives =
        |typename: &str| StateSpec { expiration: Expiration::AfterWrite(30_000), ..typed_spec("seen", typename) };
    bench.event(&target, "a");
    bench.incomplete(vec![lives("text")]);
    bench.complete(writes(vec![modify("seen", "old")]));
    bench.settle();
    let mut bench = bench.crash();
    bench.event(&target, "b");
    bench.incomplete(vec![lives("number")]);
    assert_eq!(bench.parked(), ["MP3003"]);
    bench.tick(61_000);
    // The value is over; the message goes out with its states for the first time, and is rejected once.
    assert_eq!(arguments(&bench.fail(FailureKind::Rejected)), ["b"]);
    bench.commit();
    let given_up = bench.notices.iter().filter(|notice| matches!(notice, Notice::GivenUp { .. })).count();
    assert_eq!(given_up, 0, "one rejection, no budget: dropped");
}

/// Function types by delayed messages.
#[test]
fn function_types_by_delayed_messages() {
    let mut bench = Bench::with(Limits { function_types: 2, ..Limits::default() });
    bench.open_gate("f");
    let named = |name: String| Address::new(TypeName::new("ns", &name), "1");
    for round in 0..50 {
        bench.event(&address("f", "1"), "go");
        let message = Message { target: named(format!("g{round}")), argument: Bytes::from_static(b"x") };
        let later = DelayedEffect::Send { delay_ms: 10_000_000, message, token: String::new() };
        if !bench.calls.is_empty() {
            bench.complete(Effects { delayed: vec![later], ..Effects::default() });
        }
        bench.settle();
    }
    bench.tick(20_000_000);
    let known = bench.engine.metrics().functions.len();
    assert!(known <= 3, "{known} function types are known: one is the module's, the limit is 2");
}

/// Retry-After without end.
#[test]
fn retry_after_without_end() {
    let mut bench = Bench::new();
    bench.open_gate("f");
    bench.event(&address("f", "1"), "a");
    let call = bench.call();
    bench.fail_call(&call, FailureKind::Unreachable, Some(u64::MAX));
    bench.commit();
    for _ in 0..24 * 60 {
        bench.tick(60_000);
        bench.commit();
    }
    assert!(!bench.calls.is_empty(), "not tried for a day; wake_at {:?}", bench.engine.wake_at());
}

/// Something behind `Stopped`.
#[test]
fn notice_behind_stopped() {
    let mut bench = Bench::new();
    bench.loads_held = Some(Vec::new());
    bench.event(&Address::new(TypeName::new("nobody", "f"), "1"), "waits");
    bench.tell(Input::Stop);
    bench.commit();
    assert!(bench.stopped);
    bench.release_loads();
}

/// A probe that holds more than half of the room starves its type.
#[test]
fn large_probe_starves_its_type() {
    let mut bench = Bench::with(Limits { waiting_bytes: 4_000, checkpoint_age_ms: 300, ..Limits::default() });
    bench.open_gate("f");
    bench.event(&address("f", "poison"), &"x".repeat(2_500));
    let good = address("f", "good");
    let mut sent = false;
    for _ in 0..20_000 {
        while !bench.calls.is_empty() {
            let call = bench.call();
            if call.target == good {
                return;
            }
            bench.fail_call(&call, FailureKind::Rejected, None);
        }
        bench.commit();
        if !bench.parked().is_empty() && !sent {
            sent = true;
            bench.event(&good, "a");
        }
        let due = bench.engine.wake_at().unwrap_or(bench.now + 1_000);
        bench.now = bench.now.max(due);
        bench.tell(Input::Tick);
    }
    panic!("the good address never ran: now {} s, {:?}", bench.now / 1_000, bench.engine.metrics().functions);
}

/// Probes of types in an outage fill the room: healthy types stand still.
#[test]
fn probes_fill_the_room() {
    let mut bench = Bench::with(Limits { waiting_bytes: 64_000, checkpoint_age_ms: 77, ..Limits::default() });
    bench.open_gate("healthy");
    for id in 0..64 {
        bench.event(&address(&format!("down{id}"), "1"), &"x".repeat(1_000));
        let until = bench.now + 15;
        while let Some(due) = bench.engine.wake_at().filter(|due| *due <= until) {
            bench.now = due;
            bench.tell(Input::Tick);
            while !bench.calls.is_empty() {
                bench.fail(FailureKind::Unreachable);
            }
            bench.commit();
        }
        bench.now = until;
    }
    let began = bench.now;
    let mut sent = false;
    while bench.now < began + 1_800_000 {
        while !bench.calls.is_empty() {
            let call = bench.call();
            if call.target.function.name() == "healthy" {
                return;
            }
            bench.fail_call(&call, FailureKind::Unreachable, None);
        }
        bench.commit();
        if !sent && bench.now > began + 60_000 {
            sent = true;
            bench.event(&address("healthy", "1"), "a");
        }
        bench.now = bench.engine.wake_at().unwrap().max(bench.now);
        bench.tell(Input::Tick);
    }
    let metrics = bench.engine.metrics();
    panic!(
        "half an hour later: {} parked, {} bytes wait, {} addresses",
        metrics.parked, metrics.waiting_bytes, metrics.addresses
    );
}

fn restarted_with_loads_held(
    config: millpond_engine::EngineConfig,
    ledger: millpond_engine::MemoryLedger,
    now: u64,
) -> Bench {
    let mut bench = Bench::restart(config.clone(), millpond_engine::MemoryLedger::default(), now);
    bench.engine = millpond_engine::Engine::new(config, &ledger.restore());
    bench.ledger = ledger;
    bench.loads_held = Some(Vec::new());
    bench.tell(Input::Tick);
    bench
}

/// Answers all loads but the newest one of a cold address of `g`, and sees to it that there is such a one.
fn step_with_a_cold_load(bench: &mut Bench, step: usize) {
    bench.event(&address("g", &format!("cold{step}")), "new");
    let held = bench.loads_held.replace(Vec::new()).unwrap();
    let cold = |load: &Load| matches!(load, Load::Address { address, .. } if *address.id == *format!("cold{step}"));
    let (newest, others): (Vec<Load>, Vec<Load>) = held.into_iter().partition(cold);
    bench.loads_held.as_mut().unwrap().extend(newest);
    for load in others {
        let loaded = bench.ledger.load(&load);
        bench.tell(Input::Loaded(loaded));
    }
}

/// As many cold loads as the window holds, always on their way: what a start should bring back never comes.
#[test]
fn pass_behind_constant_cold_loads() {
    let mut bench = Bench::with(Limits { recall_window: 1, ..Limits::default() });
    for id in 0..5 {
        bench.event(&address("f", &id.to_string()), "old");
    }
    bench.settle();
    let mut bench = restarted_with_loads_held(bench.config, bench.ledger, bench.now);
    let mut old = 0;
    for step in 0..2_000 {
        step_with_a_cold_load(&mut bench, step);
        while !bench.calls.is_empty() {
            let call = bench.complete(Effects::default());
            old += usize::from(call.target.function.name() == "f");
        }
        bench.tick(10);
        bench.commit();
    }
    assert_eq!(old, 5, "old addresses that ran");
}

/// One cold load always on its way, and one type without room: what stands behind it in the ledger never comes back.
#[test]
fn pass_stalls_at_a_type_without_room() {
    let mut bench = Bench::with(Limits { waiting_bytes: 100_000, ..Limits::default() });
    for id in 0..120 {
        bench.event(&address("down", &id.to_string()), &"x".repeat(1_000));
        bench.event(&address("f", &id.to_string()), "old");
    }
    bench.settle();
    let mut bench = restarted_with_loads_held(bench.config, bench.ledger, bench.now);
    let mut old = std::collections::BTreeSet::new();
    for step in 0..20_000 {
        step_with_a_cold_load(&mut bench, step);
        while !bench.calls.is_empty() {
            let call = bench.call();
            if call.target.function.name() == "down" {
                bench.fail_call(&call, FailureKind::Unreachable, None);
                continue;
            }
            if call.target.function.name() == "f" {
                old.insert(call.target.id.to_string());
            }
            bench.reply(&call, Effects::default());
        }
        bench.tick(10);
        bench.commit();
    }
    assert_eq!(old.len(), 120, "old addresses that ran in 200 s");
}

/// Control of 8b: the same without the cold loads.
#[test]
fn control_pass() {
    let mut bench = Bench::with(Limits { waiting_bytes: 100_000, ..Limits::default() });
    for id in 0..120 {
        bench.event(&address("down", &id.to_string()), &"x".repeat(1_000));
        bench.event(&address("f", &id.to_string()), "old");
    }
    bench.settle();
    let mut bench = restarted_with_loads_held(bench.config, bench.ledger, bench.now);
    let mut old = std::collections::BTreeSet::new();
    for _ in 0..2_000 {
        for load in bench.loads_held.replace(Vec::new()).unwrap() {
            let loaded = bench.ledger.load(&load);
            bench.tell(Input::Loaded(loaded));
        }
        while !bench.calls.is_empty() {
            let call = bench.call();
            if call.target.function.name() == "down" {
                bench.fail_call(&call, FailureKind::Unreachable, None);
                continue;
            }
            old.insert(call.target.id.to_string());
            bench.reply(&call, Effects::default());
        }
        bench.tick(10);
        bench.commit();
    }
    assert_eq!(old.len(), 120);
}

/// recall window 0.
#[test]
fn recall_window_of_zero() {
    let mut bench = Bench::with(Limits { recall_window: 0, ..Limits::default() });
    bench.event(&address("f", "1"), "old");
    bench.settle();
    let bench = bench.crash();
    assert_eq!(bench.calls.len(), 1);
}

/// `in` is what arrived, and every answer but the one to the first request, as upstream counts it.
#[test]
fn metric_in() {
    let mut bench = Bench::new();
    bench.event(&address("f", "1"), "a");
    bench.incomplete(vec![spec("seen")]);
    bench.complete(Effects::default());
    let metrics = bench.engine.metrics().functions[&address("f", "").function];
    assert_eq!((metrics.input, metrics.finished), (2, 1));
    bench.event(&address("f", "1"), "b");
    bench.complete(Effects::default());
    let metrics = bench.engine.metrics().functions[&address("f", "").function];
    assert_eq!((metrics.input, metrics.finished), (4, 2));
}
#[allow(unused)]
/// A page of the sweep loads all of its addresses at once.
#[test]
fn sweep_loads_everything_at_once() {
    let mut bench = Bench::with(Limits { cache_bytes: 0, recall_window: 4, expiry_ms: 1_000, ..Limits::default() });
    let lives = StateSpec { expiration: Expiration::AfterWrite(100), ..spec("seen") };
    bench.event(&address("f", "gate"), "a");
    bench.incomplete(vec![lives]);
    bench.complete(Effects::default());
    for id in 0..2_000 {
        bench.event(&address("f", &id.to_string()), "a");
        bench.complete(writes(vec![modify("seen", &"x".repeat(1_000))]));
    }
    bench.settle();
    assert!(bench.engine.metrics().addresses < 3, "they left memory");
    bench.now += 1_000;
    let mut most = 0;
    bench.loads_held = Some(Vec::new());
    for _ in 0..20 {
        bench.tick(200);
        let held = bench.loads_held.replace(Vec::new()).unwrap();
        let addresses = held.iter().filter(|load| matches!(load, Load::Address { .. })).count();
        most = most.max(addresses);
        for load in held {
            let loaded = bench.ledger.load(&load);
            bench.tell(Input::Loaded(loaded));
        }
    }
    assert!(most <= 4, "{most} addresses are loaded at once; {} bytes idle", bench.engine.metrics().cache_bytes);
}

/// Idle addresses leave memory only when a checkpoint becomes durable.
#[test]
fn cache_without_checkpoints() {
    let mut bench = Bench::with(Limits { cache_bytes: 10_000, ..Limits::default() });
    bench.open_gate("f");
    bench.settle();
    for id in 0..2_000 {
        bench.operate(&address("f", &id.to_string()), Operation::Resume, id);
    }
    for _ in 0..100 {
        bench.settle();
    }
    let held = bench.engine.metrics().cache_bytes;
    assert!(held <= 10_000, "{held} bytes of idle addresses");
}

/// wake_at behind `Stopped`.
#[test]
fn wakes_behind_stopped() {
    let mut bench = Bench::new();
    bench.loads_held = Some(Vec::new());
    bench.event(&Address::new(TypeName::new("nobody", "f"), "1"), "waits");
    bench.tell(Input::Stop);
    bench.commit();
    assert!(bench.stopped);
    bench.stopped = false; // let the bench go on
    bench.release_loads();
    bench.tick(10_000);
    assert!(bench.engine.wake_at().is_none_or(|due| due > bench.engine.now()), "woken in the past, for ever");
}

/// A person's operations name function types without limit.
#[test]
fn operations_name_types() {
    let mut bench = Bench::with(Limits { function_types: 2, ..Limits::default() });
    for id in 0..100 {
        bench.operate(&address(&format!("typo{id}"), "1"), Operation::Resume, id);
    }
    bench.tell(Input::Ingested(waiting(1000, event(&address("f", "1"), "a"))));
    assert!(
        !bench.answers.contains(&(1000, Answer::Full)),
        "a module's function is refused, because of a person's typos"
    );
}

/// Addresses whose messages are rejected do not keep sound ones of their type waiting, however many they are.
#[test]
fn sound_addresses_run_beside_poisoned_ones() {
    let mut bench = Bench::new();
    bench.open_gate("f");
    for id in 0..120 {
        bench.event(&address("f", &format!("poisoned {id}")), "poison");
    }
    let (began, mut slowest, mut sound, mut asked) = (bench.now, 0, 0, None);
    while sound < 60 {
        let second = 20_000 + sound * 1_000;
        if asked.is_none() && bench.now >= began + second {
            bench.event(&address("f", &format!("sound {sound}")), "a");
            asked = Some(bench.now);
        }
        while !bench.calls.is_empty() {
            let call = bench.call();
            match call.target.id.starts_with("sound") {
                true => {
                    bench.reply(&call, Effects::default());
                    slowest = slowest.max(bench.now - asked.take().expect("it was asked"));
                    sound += 1;
                }
                false => bench.fail_call(&call, FailureKind::Rejected, None),
            }
        }
        bench.commit();
        bench.now = bench.engine.wake_at().unwrap_or(bench.now + 10).clamp(bench.now + 1, bench.now + 10);
        bench.tell(Input::Tick);
    }
    assert!(slowest <= 200, "a sound address waited {slowest} ms");
}
