//! What waits does not fill memory: it is in the ledger, and comes back when there is room.

use std::collections::BTreeSet;

use millpond_engine::{Answer, Effects, FailureKind, Input, Limits, Load, Loaded, Operation};
use millpond_protocol::{Address, TypeName};

use crate::bench::{Bench, CALL_MS, address, arguments, event, sends, waiting};

/// Everything that is called gets an empty answer, until nothing is called any more.
fn answer_all(bench: &mut Bench) -> Vec<(String, Vec<String>)> {
    let mut ran = Vec::new();
    loop {
        if bench.calls.is_empty() {
            bench.settle();
        }
        if bench.calls.is_empty() {
            return ran;
        }
        let call = bench.complete(Effects::default());
        ran.push((call.target.id.to_string(), arguments(&call)));
        bench.commit();
    }
}

/// Ten thousand addresses that nobody can reach take no more memory than a few hundred, and lose nothing.
#[test]
fn memory_does_not_grow_with_parked_addresses() {
    const LIMIT: usize = 200_000;
    const ADDRESSES: usize = 10_000;
    let mut bench = Bench::with(Limits { waiting_bytes: LIMIT, ..Limits::default() });
    bench.open_gate("f");
    let mut most = 0;
    for id in 0..ADDRESSES {
        bench.event(&address("f", &id.to_string()), "a");
        while !bench.calls.is_empty() {
            bench.fail(FailureKind::Unreachable);
        }
        if id % 100 == 0 {
            bench.settle();
            most = most.max(bench.engine.metrics().waiting_bytes);
        }
    }
    bench.settle();
    let metrics = bench.engine.metrics();
    assert!(most <= LIMIT * 3 / 2, "{most} bytes wait in memory");
    assert!(metrics.addresses < 500, "{} addresses are in memory", metrics.addresses);
    assert_eq!(metrics.functions[&address("f", "").function].backlog, ADDRESSES as u64);
    bench.now += 61_000;
    bench.tell(Input::Tick);
    let ran: BTreeSet<String> = answer_all(&mut bench).into_iter().map(|(id, _)| id).collect();
    assert_eq!(ran.len(), ADDRESSES);
    let metrics = bench.engine.metrics();
    assert_eq!((metrics.parked, metrics.waiting_bytes, metrics.pending_bytes), (0, 0, 0));
    assert!(bench.ledger.backlogs().is_empty());
}

/// A long mailbox is in memory in parts, and runs in order, also what arrives while the rest is being read.
#[test]
fn long_mailbox_runs_in_order() {
    let mut bench = Bench::with(Limits { mailbox_bytes: 1_000, ..Limits::default() });
    bench.open_gate("f");
    let target = address("f", "1");
    let all: Vec<String> = (0..200).map(|number| number.to_string()).collect();
    for argument in &all[..150] {
        bench.event(&target, argument);
        bench.settle();
    }
    assert!(bench.engine.metrics().pending_bytes <= 1_200, "{} bytes", bench.engine.metrics().pending_bytes);
    assert!(bench.engine.view(&target).is_some_and(|view| view.more));
    let mut ran = Vec::new();
    let mut late = all[150..].iter();
    while !bench.calls.is_empty() {
        let call = bench.call();
        if let Some(argument) = late.next() {
            bench.event(&target, argument);
        }
        bench.reply(&call, Effects::default());
        ran.extend(arguments(&call));
        if ran.len() % 3 == 0 {
            bench.commit();
        }
    }
    ran.extend(late.map(|argument| argument.to_owned()));
    assert_eq!(ran.len(), 200);
    assert_eq!(ran, all);
}

/// A restart reads a long mailbox page by page too.
#[test]
fn long_mailbox_comes_back_in_pages() {
    let mut bench = Bench::with(Limits { mailbox_bytes: 500, ..Limits::default() });
    let target = address("f", "1");
    let all: Vec<String> = (0..50).map(|number| number.to_string()).collect();
    for argument in &all {
        bench.event(&target, argument);
    }
    bench.settle();
    let mut bench = bench.crash();
    let mut ran = Vec::new();
    while !bench.calls.is_empty() {
        let call = bench.complete(Effects::default());
        assert!(call.invocations.len() <= 6, "{} at once", call.invocations.len());
        ran.extend(arguments(&call));
    }
    assert_eq!(ran, all);
}

/// Messages between functions are taken, however full their target is; events are not, beyond the type's quota.
#[test]
fn quota_refuses_events_and_takes_messages() {
    let mut bench = Bench::with(Limits { backlog_bytes: 1_000, ..Limits::default() });
    for function in ["f", "g"] {
        bench.open_gate(function);
    }
    let full = address("g", "full");
    for _ in 0..10 {
        bench.event(&full, &"x".repeat(100));
    }
    bench.tell(Input::Ingested(waiting(1, event(&full, "refused"))));
    assert_eq!(bench.answers, [(1, Answer::Full)]);
    bench.tell(Input::Ingested(waiting(2, event(&address("f", "1"), "taken"))));
    let sender = bench.calls.iter().position(|call| call.target == address("f", "1")).expect("others go on");
    let sender = bench.calls.remove(sender);
    bench.reply(&sender, sends(&[(&full, "message")]));
    let mut ran = Vec::new();
    while !bench.calls.is_empty() {
        ran.extend(arguments(&bench.complete(Effects::default())));
    }
    assert_eq!(ran.last().map(String::as_str), Some("message"));
    bench.commit();
    bench.tell(Input::Ingested(waiting(3, event(&full, "taken again"))));
    bench.commit();
    assert_eq!(bench.answers[1..], [(2, Answer::Durable), (3, Answer::Durable)]);
}

/// Names of function types that nobody serves are bounded too.
#[test]
fn function_types_are_limited() {
    let mut bench = Bench::with(Limits { function_types: 2, ..Limits::default() });
    bench.open_gate("f");
    let named = |name: &str| Address::new(TypeName::new("ns", name), "1");
    bench.event(&named("g"), "the second type");
    bench.tell(Input::Ingested(waiting(1, event(&named("h"), "the third"))));
    assert_eq!(bench.answers, [(1, Answer::Full)]);
    bench.complete(sends(&[(&named("h"), "the third")]));
    let view = bench.engine.view(&named("g")).expect("it is in memory");
    assert_eq!(view.failure.expect("its answer is rejected").code, "MP3015");
}

/// `maxNumBatchRequests`: the producer of one address waits for it; the producers of others do not. Nothing is refused, and
/// the batch is all that waits, as upstream's.
#[test]
fn full_address_holds_its_producers_only() {
    let mut bench = Bench::new();
    for endpoint in &mut bench.config.endpoints {
        endpoint.max_num_batch_requests = Some(2);
    }
    let mut bench = Bench::restart(bench.config, bench.ledger, bench.now);
    bench.open_gate("f");
    let (busy, other) = (address("f", "busy"), address("f", "other"));
    for receipt in 1..=4 {
        bench.tell(Input::Ingested(waiting(receipt, event(&busy, &receipt.to_string()))));
    }
    bench.tell(Input::Ingested(waiting(9, event(&other, "a"))));
    bench.commit();
    assert_eq!(bench.answers, [(1, Answer::Durable), (2, Answer::Durable), (9, Answer::Durable)]);
    bench.complete(Effects::default());
    bench.commit();
    assert_eq!(bench.answers[3..], [(3, Answer::Durable), (4, Answer::Durable)]);
    bench.calls.retain(|call| call.target == busy);
    assert_eq!(arguments(&bench.call()), ["2", "3", "4"], "a batch of three, with a limit of two");
}

/// Who waits for an address that fails is told at once: waiting would be in vain, and nothing is lost.
#[test]
fn failing_address_holds_nobody() {
    let mut bench = Bench::new();
    bench.config.endpoints[0].max_num_batch_requests = Some(1);
    let mut bench = Bench::restart(bench.config, bench.ledger, bench.now);
    bench.open_gate("f");
    let target = address("f", "1");
    for receipt in 1..=2 {
        bench.tell(Input::Ingested(waiting(receipt, event(&target, "a"))));
    }
    bench.commit();
    assert_eq!(bench.answers, [(1, Answer::Durable)]);
    bench.fail(FailureKind::Unreachable);
    bench.tell(Input::Ingested(waiting(3, event(&target, "a"))));
    bench.commit();
    assert_eq!(bench.answers[1..], [(2, Answer::Durable), (3, Answer::Durable)]);
}

/// A parked address keeps its failure over a restart: since when, how often, and why.
#[test]
fn failure_survives_a_restart() {
    let mut bench = Bench::new();
    bench.open_gate("f");
    let target = address("f", "1");
    bench.event(&target, "a");
    bench.now += CALL_MS;
    bench.fail(FailureKind::Rejected);
    let before = bench.engine.view(&target).and_then(|view| view.failure).expect("it failed");
    bench.settle();
    let mut bench = bench.crash();
    assert_eq!(bench.engine.metrics().parked, 1);
    let after = bench.engine.view(&target).and_then(|view| view.failure).expect("it failed");
    assert_eq!((after.since, after.attempts, after.error), (before.since, before.attempts, before.error));
    assert_eq!(arguments(&bench.complete(Effects::default())), ["a"], "a start tries it at once");
    bench.settle();
    assert_eq!(bench.engine.metrics().parked, 0);
    assert_eq!(bench.crash().engine.metrics().parked, 0);
}

/// A person finds an address that has left memory, too.
#[test]
fn person_skips_what_has_left_memory() {
    let mut bench = Bench::with(Limits { waiting_bytes: 0, ..Limits::default() });
    bench.open_gate("f");
    let target = address("f", "1");
    bench.event(&target, "a");
    bench.settle();
    bench.now += CALL_MS;
    bench.fail(FailureKind::Rejected);
    bench.settle();
    assert!(bench.engine.view(&target).is_none(), "it left memory");
    bench.operate(&target, Operation::Skip(u64::MAX), 1);
    assert_eq!(bench.answers, [(1, Answer::NotFirst)]);
    let load = Load::Address { address: target.clone(), bytes: 1 };
    let Loaded::Address(loaded) = bench.ledger.load(&load) else { panic!("an address") };
    let (first, _) = loaded.pending[0];
    bench.operate(&target, Operation::Skip(first), 2);
    bench.settle();
    assert_eq!(bench.answers[1..], [(2, Answer::Durable)]);
    assert_eq!(bench.engine.metrics().parked, 0);
    assert!(bench.ledger.backlogs().is_empty());
}

/// An address of which something is being read stays in memory until it is there: a page that comes later could be older
/// than what was loaded anew.
#[test]
fn address_being_read_stays_in_memory() {
    let mut bench = Bench::with(Limits { waiting_bytes: 0, mailbox_bytes: 500, ..Limits::default() });
    bench.open_gate("f");
    let target = address("f", "1");
    for number in 0..20 {
        bench.event(&target, &number.to_string());
    }
    bench.settle();
    bench.loads_held = Some(Vec::new());
    bench.complete(Effects::default());
    bench.fail(FailureKind::Rejected); // The batch is cut, and what follows is read when little is left of it.
    for _ in 0..2 {
        bench.complete(Effects::default());
    }
    assert_eq!(bench.loads_held.as_ref().map(Vec::len), Some(1));
    bench.now += CALL_MS;
    bench.fail(FailureKind::Rejected);
    assert_eq!(bench.parked().len(), 1);
    bench.settle();
    assert!(bench.engine.view(&target).is_some(), "its mailbox is being read");
}

/// Who waits for an address that leaves memory is told: what was asked for is durable.
#[test]
fn leaving_memory_holds_nobody() {
    let mut bench = Bench::with(Limits { waiting_bytes: 600, checkpoint_age_ms: 100, ..Limits::default() });
    bench.config.endpoints[0].max_num_batch_requests = Some(2);
    let mut bench = Bench::restart(bench.config, bench.ledger, bench.now);
    bench.event(&address("f", "first"), "goes alone");
    for receipt in 1..=3 {
        bench.tell(Input::Ingested(waiting(receipt, event(&address("f", "in line"), "a"))));
    }
    bench.settle();
    bench.commit();
    bench.settle();
    let answered: Vec<u64> = bench.answers.iter().map(|(receipt, _)| *receipt).collect();
    assert_eq!(answered, [1, 2, 3]);
}
