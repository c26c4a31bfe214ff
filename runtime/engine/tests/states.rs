//! State values: what an answer may change, and that a broken rule changes nothing.

use bytes::Bytes;
use millpond_engine::{Effects, Limits, Mutation};

use crate::bench::{Bench, address, arguments, emits, modify, sends, spec, states, writes};

fn learned(limits: Limits) -> Bench {
    let mut bench = Bench::with(limits);
    bench.event(&address("f", "gate"), "open");
    bench.incomplete(vec![spec("seen")]);
    bench.complete(Effects::default());
    bench.settle();
    bench
}

/// A value set to zero bytes is set, and a removed one is unset.
#[test]
fn empty_value_is_not_absent() {
    let mut bench = learned(Limits::default());
    let target = address("f", "1");
    bench.event(&target, "a");
    bench.complete(writes(vec![modify("seen", "")]));
    bench.event(&target, "b");
    let delete = Mutation::Delete { name: "seen".to_owned() };
    assert_eq!(states(&bench.complete(writes(vec![delete]))), [("seen".to_owned(), Some(String::new()))]);
    bench.event(&target, "c");
    assert_eq!(states(&bench.complete(Effects::default())), [("seen".to_owned(), None)]);
}

/// Mutations apply in list order.
#[test]
fn mutations_apply_in_order() {
    let mut bench = learned(Limits::default());
    let target = address("f", "1");
    bench.event(&target, "a");
    let delete = Mutation::Delete { name: "seen".to_owned() };
    bench.complete(writes(vec![modify("seen", "1"), delete, modify("seen", "2")]));
    bench.event(&target, "b");
    assert_eq!(states(&bench.call()), [("seen".to_owned(), Some("2".to_owned()))]);
}

/// An answer that breaks a rule has no effect at all, whatever else it holds, and its invocations run again.
#[test]
fn broken_rule_rejects_the_whole_answer() {
    let wrong_type = Mutation::Modify {
        name: "seen".to_owned(),
        typename: "types/number".to_owned(),
        value: Bytes::from_static(b"1"),
    };
    let too_large = modify("seen", "0123456789");
    let rules = [
        (modify("unknown", "1"), "MP3008"),
        (Mutation::Delete { name: "unknown".to_owned() }, "MP3008"),
        (wrong_type, "MP3009"),
        (too_large, "MP3010"),
    ];
    for (mutation, code) in rules {
        let mut bench = learned(Limits { value_bytes: 9, ..Limits::default() });
        let (target, other) = (address("f", "1"), address("f", "2"));
        bench.event(&target, "a");
        let effects = Effects {
            mutations: vec![modify("seen", "half"), mutation],
            egress: emits(0, &["record"]).egress,
            ..sends(&[(&other, "message")])
        };
        bench.complete(effects);
        assert!(bench.calls.is_empty(), "{code}: no message went out");
        let view = bench.engine.view(&target).expect("it is in memory");
        assert_eq!((view.failure.expect("it failed").code.as_ref(), view.states.len(), view.waiting), (code, 0, 1));
        bench.tick(10);
        assert_eq!(arguments(&bench.complete(Effects::default())), ["a"]);
        bench.settle();
        assert!(bench.published.is_empty(), "{code}: no record went out");
    }
}

/// A record for a lane that does not exist is a rule broken, not a panic.
#[test]
fn unknown_lane_is_rejected() {
    let mut bench = learned(Limits::default());
    bench.event(&address("f", "1"), "a");
    bench.complete(emits(9, &["record"]));
    let view = bench.engine.view(&address("f", "1")).expect("it is in memory");
    assert_eq!(view.failure.expect("it failed").code, "MP3005");
}

/// State survives a crash once its checkpoint is durable, and only then.
#[test]
fn state_is_what_the_last_checkpoint_says() {
    let mut bench = learned(Limits::default());
    let target = address("f", "1");
    bench.event(&target, "a");
    bench.complete(writes(vec![modify("seen", "1")]));
    bench.settle();
    bench.event(&target, "b");
    bench.complete(writes(vec![modify("seen", "2")]));
    let mut bench = bench.crash();
    bench.event(&target, "c");
    bench.incomplete(vec![spec("seen")]);
    assert_eq!(states(&bench.call()), [("seen".to_owned(), Some("1".to_owned()))]);
}

/// An address that left memory comes back with its state; one with changes that are not durable does not leave.
#[test]
fn idle_addresses_leave_memory_and_come_back() {
    let mut bench = learned(Limits { cache_bytes: 0, ..Limits::default() });
    let target = address("f", "1");
    bench.event(&target, "a");
    bench.complete(writes(vec![modify("seen", "1")]));
    assert!(bench.engine.view(&target).is_some());
    bench.settle();
    assert!(bench.engine.view(&target).is_none(), "the ledger has it");
    bench.event(&target, "b");
    assert_eq!(states(&bench.call()), [("seen".to_owned(), Some("1".to_owned()))]);
}
