//! What is worked on again when the reason to wait is over, and nobody who waits on without one.

use millpond_engine::{Effects, FailureKind, Input, Limits, Operation};

use crate::bench::{Bench, address, event, waiting};

/// Fails every call, and lets time pass, until so many are parked.
fn outage(bench: &mut Bench, parked: u64, kind: FailureKind) {
    for _ in 0..5_000 {
        while !bench.calls.is_empty() {
            bench.fail(kind);
        }
        bench.commit();
        if bench.engine.metrics().parked == parked {
            return;
        }
        next(bench);
    }
    panic!("{:?}", bench.engine.metrics());
}

/// Lets time pass until the engine wants to go on.
fn next(bench: &mut Bench) {
    if let Some(due) = bench.engine.wake_at() {
        bench.now = bench.now.max(due);
        bench.tell(Input::Tick);
    }
}

/// An address that gets an arrival with every checkpoint never is durable as a whole: it is called when there is room.
#[test]
fn address_that_is_always_written_to_comes_back() {
    let mut bench = Bench::with(Limits { waiting_bytes: 4_000, ..Limits::default() });
    bench.open_gate("f");
    bench.settle();
    let mut others = 0;
    while bench.engine.metrics().waiting_bytes <= 2_000 {
        others += 1;
        bench.event(&address("f", &others.to_string()), "x");
    }
    let busy = address("f", "busy");
    bench.tell(Input::Ingested(waiting(1, event(&busy, "first"))));
    for n in 2..20 {
        while !bench.calls.is_empty() {
            let call = bench.call();
            if call.target == busy {
                return;
            }
            bench.reply(&call, Effects::default());
        }
        bench.tell(Input::Ingested(waiting(n, event(&busy, "more"))));
        if !bench.checkpoints.is_empty() {
            let checkpoint = bench.checkpoints.remove(0);
            bench.ledger.commit(&checkpoint, &bench.config.lanes).expect("it is in order");
            bench.tell(Input::Durable(checkpoint.meta.checkpoint));
        }
        bench.tick(5);
    }
    panic!("never called: {:?}", bench.engine.metrics());
}

/// Producers that wait for addresses in line are answered when the type gets into trouble, as those are that come then.
#[test]
fn trouble_lets_held_producers_go() {
    let mut bench = Bench::new();
    bench.config.endpoints.iter_mut().for_each(|endpoint| endpoint.max_num_batch_requests = Some(1));
    let mut bench = Bench::restart(bench.config, bench.ledger, bench.now);
    bench.open_gate("f");
    for id in 0..200 {
        let target = address("f", &id.to_string());
        bench.event(&target, "x");
        bench.tell(Input::Ingested(waiting(id, event(&target, "y"))));
    }
    while !bench.engine.metrics().functions[&address("f", "1").function].in_trouble {
        while !bench.calls.is_empty() {
            bench.fail(FailureKind::Unreachable);
        }
        bench.commit();
        next(&mut bench);
    }
    bench.commit();
    assert_eq!(bench.answers.len(), 200);
}

/// The first answer of an endpoint wakes all that could not reach it; those that then leave memory for want of room are
/// brought back when there is some, not when they would have been tried.
#[test]
fn woken_address_that_leaves_memory_comes_back_at_once() {
    let mut bench = Bench::with(Limits { waiting_bytes: 40_000, mailbox_bytes: 100_000, ..Limits::default() });
    bench.open_gate("f");
    for id in 0..30 {
        bench.event(&address("f", &id.to_string()), "x");
    }
    bench.settle();
    outage(&mut bench, 30, FailureKind::Unreachable);
    while bench.calls.is_empty() {
        next(&mut bench);
        bench.commit();
    }
    bench.complete(Effects::default());
    for id in 0..30 {
        bench.event(&address("f", &id.to_string()), &"y".repeat(2_600));
    }
    bench.settle();
    let (back, function) = (bench.now, address("f", "0").function);
    while bench.engine.metrics().functions[&function].backlog > 0 {
        while !bench.calls.is_empty() {
            bench.complete(Effects::default());
            bench.commit();
        }
        bench.commit();
        assert!(bench.now < back + 2_000, "{:?}", bench.engine.metrics());
        next(&mut bench);
    }
}

/// A parked address that was rejected has one attempt when it is woken, whether or not it left memory meanwhile.
#[test]
fn restored_rejection_has_one_attempt() {
    let mut bench = Bench::new();
    bench.open_gate("f");
    bench.event(&address("f", "1"), "a");
    bench.settle();
    outage(&mut bench, 1, FailureKind::Rejected);
    bench.settle();
    let mut bench = bench.crash();
    let (end, mut attempts) = (bench.now + 30_000, 0);
    while bench.now < end {
        while !bench.calls.is_empty() {
            bench.fail(FailureKind::Rejected);
            attempts += 1;
        }
        bench.commit();
        next(&mut bench);
    }
    assert_eq!(attempts, 1);
}

/// One address probes for all that are parked; when what it had is taken out, another one takes over.
#[test]
fn another_one_probes_when_the_first_has_nothing_left() {
    let mut bench = Bench::new();
    bench.open_gate("f");
    for id in 0..5 {
        bench.event(&address("f", &id.to_string()), "x");
    }
    outage(&mut bench, 5, FailureKind::Unreachable);
    let due = |bench: &Bench, id: u64| {
        let failure = bench.engine.view(&address("f", &id.to_string()))?.failure?;
        Some((failure.next?, id))
    };
    let (_, probe) = (0..5).filter_map(|id| due(&bench, id)).min().expect("five are parked");
    let probe = address("f", &probe.to_string());
    let first = bench.engine.view(&probe).and_then(|view| view.first).expect("it is in memory");
    bench.operate(&probe, Operation::Skip(first), 1);
    bench.commit();
    assert_eq!(bench.fail(FailureKind::Unreachable).target.function, probe.function);
    bench.commit();
    let (next, _) = (0..5).filter_map(|id| due(&bench, id)).min().expect("four are parked");
    assert!(next <= bench.now + 1_000);
}

/// A view and a dead letter say how often a function was asked, not how often an address was looked at.
#[test]
fn waiting_for_an_endpoint_is_no_attempt() {
    let mut bench = Bench::new();
    let lost = address("nobody", "1");
    let lost = millpond_protocol::Address::new(millpond_protocol::TypeName::new("elsewhere", "f"), lost.id.to_string());
    bench.event(&lost, "x");
    for receipt in 0..3 {
        bench.operate(&lost, Operation::Resume, receipt);
    }
    let failure = bench.engine.view(&lost).and_then(|view| view.failure).expect("it is parked");
    assert_eq!((&*failure.code, failure.attempts), ("MP3001", 0));
}
