//! What a start brings back.

use millpond_engine::{Effects, Limits};

use crate::bench::{Bench, address, arguments, spec};

/// Addresses with pending invocations come back page by page, each with all of them, in order.
#[test]
fn pending_addresses_come_back() {
    let mut bench = Bench::with(Limits { recall_window: 3, ..Limits::default() });
    for id in 0..20 {
        for argument in ["a", "b"] {
            bench.event(&address("f", &id.to_string()), argument);
        }
    }
    bench.settle();
    let mut bench = bench.crash();
    let mut ids = Vec::new();
    while !bench.calls.is_empty() {
        let call = bench.complete(Effects::default());
        assert_eq!(arguments(&call), ["a", "b"]);
        ids.push(call.target.id.to_string());
    }
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 20);
}

/// States are learned anew at every start: the first request carries none.
#[test]
fn states_are_learned_anew() {
    let mut bench = Bench::new();
    bench.event(&address("f", "1"), "a");
    bench.incomplete(vec![spec("seen")]);
    bench.complete(Effects::default());
    bench.settle();
    let mut bench = bench.crash();
    bench.event(&address("f", "1"), "b");
    assert!(bench.call().states.is_empty());
}
