//! Bounds: intake pauses, nothing is dropped.

use millpond_engine::{Effects, Limits};

use crate::bench::{Bench, address};

/// Intake pauses when invocations in memory outgrow their limit, and goes on with a quarter of the room free.
#[test]
fn pending_bytes_pause_intake() {
    let mut bench = Bench::with(Limits { pending_bytes: 1_000, ..Limits::default() });
    bench.open_gate("f");
    for id in 0..4 {
        bench.event(&address("f", &id.to_string()), &"x".repeat(200));
    }
    assert!(bench.paused);
    bench.complete(Effects::default());
    assert!(bench.paused, "not yet enough room");
    bench.complete(Effects::default());
    assert!(!bench.paused);
}

/// Intake pauses when the ledger cannot follow.
#[test]
fn slow_ledger_pauses_intake() {
    let mut bench = Bench::with(Limits { checkpoint_bytes: 100, ..Limits::default() });
    for _ in 0..4 {
        bench.event(&address("f", "1"), &"x".repeat(500));
    }
    assert!(bench.paused);
    bench.commit();
    assert!(!bench.paused);
}
