//! Bounds: intake pauses, nothing is dropped.

use millpond_engine::{Effects, Input, Limits};

use crate::bench::{Bench, address, event, keyed};

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

/// Events whose key is being looked up are held in memory like any other.
#[test]
fn events_being_looked_up_pause_intake() {
    let mut bench = Bench::with(Limits { pending_bytes: 1_000, ..Limits::default() });
    bench.loads_held = Some(Vec::new());
    for number in 0..4u8 {
        let mut event = keyed("x", event(&address("f", "1"), "a"));
        event.invocations[0].1 = vec![b'x'; 300].into();
        event.idempotency.as_mut().expect("it has a key").key = format!("key-{number}").into();
        bench.tell(Input::Ingested(event));
    }
    assert!(bench.paused);
    bench.release_loads();
    while !bench.calls.is_empty() {
        bench.complete(Effects::default());
    }
    assert!(!bench.paused);
    assert_eq!(bench.engine.metrics().pending_bytes, 0);
}
