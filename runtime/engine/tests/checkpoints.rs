//! When a checkpoint is sealed, what is in it, and what waits for it.

use millpond_engine::{Answer, Effects, Input, Limits, Write};

use crate::bench::{Bench, address, emits, event, waiting};

/// An arrival alone waits for nothing: its checkpoint is sealed by age. A producer that waits seals it at once.
#[test]
fn waiting_seals_and_arrival_does_not() {
    let mut bench = Bench::new();
    bench.open_gate("f");
    bench.event(&address("f", "1"), "a");
    assert!(bench.checkpoints.is_empty());
    bench.tell(Input::Ingested(waiting(1, event(&address("f", "2"), "b"))));
    assert_eq!(bench.checkpoints.len(), 1);
    assert!(bench.answers.is_empty(), "it is sealed, not durable");
    bench.commit();
    assert_eq!(bench.answers, [(1, Answer::Durable)]);
}

/// While one checkpoint is made durable all that arrives shares the next one.
#[test]
fn next_checkpoint_collects_while_one_is_on_its_way() {
    let mut bench = Bench::new();
    for receipt in 1..=4 {
        bench.tell(Input::Ingested(waiting(receipt, event(&address("f", "1"), "a"))));
    }
    assert_eq!(bench.checkpoints.len(), 1);
    let first = bench.checkpoints.remove(0);
    bench.ledger.commit(&first, &bench.config.lanes).expect("the first checkpoint");
    bench.tell(Input::Durable(1));
    assert_eq!(bench.answers, [(1, Answer::Durable)]);
    assert_eq!(bench.checkpoints.len(), 1);
    bench.commit();
    assert_eq!(bench.answers.len(), 4);
}

/// What came and went between two checkpoints is in neither.
#[test]
fn what_came_and_went_is_not_written() {
    let mut bench = Bench::new();
    bench.open_gate("f");
    bench.settle();
    bench.event(&address("f", "1"), "a");
    bench.complete(Effects::default());
    bench.tick(bench.config.limits.checkpoint_age_ms);
    assert_eq!(bench.checkpoints[0].writes, []);
}

/// An invocation in flight is in the checkpoint as a pending one, and is called again after a crash.
#[test]
fn call_in_flight_is_pending_in_the_checkpoint() {
    let mut bench = Bench::new();
    bench.open_gate("f");
    bench.settle();
    bench.tell(Input::Ingested(waiting(1, event(&address("f", "1"), "a"))));
    assert!(bench.checkpoints[0].writes.iter().any(|write| matches!(write, Write::Pending { .. })));
    bench.commit();
    let bench = bench.crash();
    assert_eq!(bench.calls.len(), 1);
}

/// A record is visible only when its checkpoint is durable.
#[test]
fn record_is_published_when_durable() {
    let mut bench = Bench::new();
    bench.open_gate("f");
    bench.event(&address("f", "1"), "a");
    bench.complete(emits(1, &["x", "y"]));
    assert!(bench.published.is_empty());
    bench.commit();
    assert_eq!(bench.published, [(1, 2)]);
}

/// Many changes seal a checkpoint though nothing waits.
#[test]
fn bytes_seal_a_checkpoint() {
    let mut bench = Bench::with(Limits { checkpoint_bytes: 1_000, ..Limits::default() });
    bench.event(&address("f", "1"), &"x".repeat(2_000));
    assert_eq!(bench.checkpoints.len(), 1);
}

/// Stopping seals what is there, takes nothing in, and says when all is durable.
#[test]
fn stop_makes_everything_durable() {
    let mut bench = Bench::new();
    bench.open_gate("f");
    bench.event(&address("f", "1"), "a");
    bench.tell(Input::Stop);
    bench.tell(Input::Ingested(waiting(9, event(&address("f", "2"), "late"))));
    assert_eq!(bench.answers, [(9, Answer::Stopping)]);
    assert!(!bench.stopped);
    bench.commit();
    assert!(bench.stopped);
    let bench = bench.crash();
    assert_eq!(bench.calls.len(), 1, "the pending invocation is called again");
}

/// Time never goes backwards, also not over a restart.
#[test]
fn time_never_goes_backwards() {
    let mut bench = Bench::new();
    bench.now = 5_000_000;
    bench.event(&address("f", "1"), "a");
    bench.settle();
    let seen = bench.now;
    let bench = Bench::restart(bench.config, bench.ledger, 10);
    assert!(bench.engine.now() >= seen);
}
