//! Lanes: numbers, freeing, and that both survive a crash.

use millpond_engine::{Answer, Input, LaneId, Limits, Receipt};

use crate::bench::{Bench, address, emits, event};

fn emit(bench: &mut Bench, records: &[&str]) {
    bench.event(&address("f", "1"), "a");
    bench.complete(emits(0, records));
    bench.commit();
}

fn free(bench: &mut Bench, upto: u64) {
    bench.tell(Input::Freed { lane: LaneId(0), upto, receipt: Some(Receipt(7)) });
}

/// Numbers begin at 1, have no gap, and go on after a crash.
#[test]
fn numbers_go_on_after_a_crash() {
    let mut bench = Bench::new();
    bench.open_gate("f");
    emit(&mut bench, &["x", "y"]);
    let mut bench = bench.crash();
    bench.open_gate("f");
    emit(&mut bench, &["z"]);
    let lane = bench.config.lanes[0].clone();
    let records: Vec<u64> = bench.ledger.outbox(&lane, 0, 10, 1000).into_iter().map(|(number, _)| number).collect();
    assert_eq!(records, [1, 2, 3]);
}

/// A reader that frees is answered when the removal is durable.
#[test]
fn freeing_is_durable_before_it_is_answered() {
    let mut bench = Bench::new();
    bench.open_gate("f");
    emit(&mut bench, &["x", "y", "z"]);
    free(&mut bench, 2);
    assert!(bench.answers.is_empty());
    bench.commit();
    assert_eq!(bench.answers, [(7, Answer::Durable)]);
    assert_eq!(bench.ledger.lane(&bench.config.lanes[0].clone()), (3, 4));
}

/// What is not durable cannot be freed, whatever number a reader names.
#[test]
fn only_durable_records_can_be_freed() {
    let mut bench = Bench::new();
    bench.open_gate("f");
    emit(&mut bench, &["x"]);
    bench.event(&address("f", "1"), "b");
    bench.complete(emits(0, &["y"]));
    free(&mut bench, u64::MAX);
    bench.commit();
    assert_eq!(bench.ledger.lane(&bench.config.lanes[0].clone()), (2, 3));
}

/// A lane that is full pauses ingresses, loses nothing, and lets them go on when a reader makes room.
#[test]
fn full_lane_pauses_ingresses() {
    let mut bench = Bench::with(Limits { lane_records: 4, ..Limits::default() });
    bench.open_gate("f");
    emit(&mut bench, &["1", "2", "3", "4"]);
    assert!(!bench.paused);
    emit(&mut bench, &["5"]);
    assert!(bench.paused);
    bench.tell(Input::Ingested(event(&address("f", "1"), "still taken")));
    free(&mut bench, 3);
    assert!(!bench.paused);
}
