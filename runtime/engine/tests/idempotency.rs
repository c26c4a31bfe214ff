//! Idempotency keys: an event sent again counts once, for a day, through a crash.

use millpond_engine::{Answer, Input, Limits};

use crate::bench::{Bench, address, arguments, event, keyed, waiting};

fn send(bench: &mut Bench, receipt: u64, key: &str, argument: &str) {
    bench.tell(Input::Ingested(waiting(receipt, keyed(key, event(&address("f", "1"), argument)))));
}

/// A repetition before the first is durable waits for the same checkpoint; one after it is answered at once.
#[test]
fn repetition_has_no_second_effect() {
    let mut bench = Bench::new();
    send(&mut bench, 1, "k", "a");
    send(&mut bench, 2, "k", "a");
    assert!(bench.answers.is_empty());
    bench.commit();
    assert_eq!(bench.answers, [(1, Answer::Durable), (2, Answer::Repeated)]);
    send(&mut bench, 3, "k", "a");
    assert_eq!(bench.answers.last(), Some(&(3, Answer::Repeated)));
    assert_eq!(arguments(&bench.call()), ["a"]);
    assert_eq!(bench.engine.metrics().repeated, 2);
}

/// The key is in the checkpoint of its event: after a crash both are there, or neither.
#[test]
fn key_and_event_share_a_checkpoint() {
    let mut bench = Bench::new();
    send(&mut bench, 1, "durable", "a");
    bench.commit();
    send(&mut bench, 2, "lost", "b");
    let mut bench = bench.crash();
    send(&mut bench, 3, "durable", "a");
    assert_eq!(bench.answers, [(3, Answer::Repeated)]);
    send(&mut bench, 4, "lost", "b");
    bench.commit();
    assert_eq!(bench.answers.last(), Some(&(4, Answer::Durable)));
}

/// A key that comes with another event is refused, before and after the first is durable, and takes nothing in.
#[test]
fn key_of_another_event_is_refused() {
    let mut bench = Bench::new();
    send(&mut bench, 1, "k", "a");
    send(&mut bench, 2, "k", "b");
    assert_eq!(bench.answers, [], "a crash may still take the first event and its key away");
    bench.commit();
    assert_eq!(bench.answers, [(1, Answer::Durable), (2, Answer::KeyReused)]);
    send(&mut bench, 3, "k", "b");
    assert_eq!(bench.answers.last(), Some(&(3, Answer::KeyReused)));
    assert_eq!(bench.engine.metrics().ingested, 1);
}

/// Repetitions that arrive while the key is being looked up count once, too.
#[test]
fn repetitions_during_the_look_up_count_once() {
    let mut bench = Bench::new();
    bench.loads_held = Some(Vec::new());
    send(&mut bench, 1, "k", "a");
    send(&mut bench, 2, "k", "a");
    bench.release_loads();
    bench.commit();
    assert_eq!(bench.answers, [(1, Answer::Durable), (2, Answer::Repeated)]);
    assert_eq!(bench.engine.metrics().ingested, 1);
}

/// A key lives for its whole time however often generations turn, and no longer than it must.
#[test]
fn key_lives_a_day() {
    let mut bench = Bench::with(Limits { idempotency_ms: 1_000, ..Limits::default() });
    send(&mut bench, 1, "old", "a");
    bench.commit();
    bench.now += 900;
    send(&mut bench, 2, "young", "b");
    bench.commit();
    bench.now += 200;
    send(&mut bench, 3, "turns", "c");
    bench.commit();
    send(&mut bench, 4, "young", "b");
    assert_eq!(bench.answers.last(), Some(&(4, Answer::Repeated)));
    bench.commit();
    send(&mut bench, 5, "old", "a");
    bench.commit();
    assert_eq!(bench.answers.last(), Some(&(5, Answer::Durable)), "its time is over");
    assert_eq!(bench.engine.metrics().keys_forgotten, 0);
}

/// A full store forgets the oldest keys, says so, and counts them.
#[test]
fn full_store_forgets_and_counts() {
    let mut bench = Bench::with(Limits { idempotency_keys: 4, ..Limits::default() });
    for n in 0..5u64 {
        send(&mut bench, n, &format!("k{n}"), "a");
        bench.commit();
    }
    assert_eq!(bench.engine.metrics().keys_forgotten, 2);
    send(&mut bench, 10, "k4", "a");
    assert_eq!(bench.answers.last(), Some(&(10, Answer::Repeated)));
}
