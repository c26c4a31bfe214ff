//! Records of partitions: each once, in order, over crashes.

use std::sync::Arc;

use bytes::Bytes;
use millpond_engine::{Effects, EgressRecord, Input, LaneId, Limits, Partition, Record};
use millpond_protocol::TypeName;

use crate::bench::{Bench, address, arguments, emits, sends};

fn partition(number: u32) -> Arc<Partition> {
    Arc::new(Partition { ingress: TypeName::new("in", "kafka"), topic: "t".into(), number })
}

fn record(number: u32, offset: u64) -> Input {
    Input::Read(for_function(number, offset))
}

fn for_function(number: u32, offset: u64) -> Record {
    let argument = Bytes::from(format!("{number}/{offset}"));
    let invocations = vec![(address("f", "1"), argument)];
    Record { partition: partition(number), offset, invocations, letters: Vec::new(), timestamp: None }
}

/// A record that becomes these records of lane 1.
fn letters(number: u32, offset: u64, letters: &[&str]) -> Record {
    let letter = |text: &&str| EgressRecord { lane: LaneId(1), record: Bytes::copy_from_slice(text.as_bytes()) };
    let letters = letters.iter().map(letter).collect();
    Record { partition: partition(number), offset, invocations: Vec::new(), letters, timestamp: None }
}

/// All that lane 1 has in the ledger.
fn lane(bench: &Bench) -> Vec<(u64, Bytes)> {
    bench.ledger.outbox(&bench.config.lanes[1], 0, 100, 10_000)
}

fn next(bench: &Bench, number: u32) -> Option<u64> {
    bench.ledger.restore().positions.get(&*partition(number)).copied()
}

/// A record and the offset behind it are durable together; what is not durable is read again, and counts then.
#[test]
fn a_record_counts_once() {
    let mut bench = Bench::new();
    bench.open_gate("f");
    bench.tell(record(0, 4));
    bench.tell(record(0, 9));
    bench.settle();
    assert_eq!(next(&bench, 0), Some(10));
    bench.tell(record(0, 10));
    let mut bench = bench.crash();
    assert_eq!(next(&bench, 0), Some(10), "no checkpoint had it");
    for offset in [4, 9, 10, 10, 11] {
        bench.tell(record(0, offset));
    }
    let mut ran = Vec::new();
    while !bench.calls.is_empty() {
        ran.extend(arguments(&bench.complete(Effects::default())));
    }
    assert_eq!(ran, ["0/4", "0/9", "0/10", "0/11"]);
    bench.settle();
    assert_eq!(next(&bench, 0), Some(12));
}

/// A record for nobody moves the position; where reading begins is kept before there is a record, also when it is further
/// back than before.
#[test]
fn positions_move_without_work() {
    let mut bench = Bench::new();
    bench.tell(Input::Positioned { partition: partition(0), next: 100 });
    bench.tell(Input::Read(letters(1, 6, &[])));
    bench.settle();
    assert_eq!((next(&bench, 0), next(&bench, 1)), (Some(100), Some(7)));
    bench.tell(record(0, 99));
    assert!(bench.calls.is_empty(), "it lies before the place where reading begins");
    bench.tell(Input::Positioned { partition: partition(0), next: 3 });
    bench.tell(record(0, 3));
    assert_eq!(arguments(&bench.complete(Effects::default())), ["0/3"]);
    bench.settle();
    assert_eq!(next(&bench, 0), Some(4));
}

/// A function type without room holds back its partition, in order, and no other one.
#[test]
fn a_full_function_holds_its_partition_back() {
    let mut bench = Bench::with(Limits { backlog_bytes: 1, ..Limits::default() });
    bench.tell(record(0, 0));
    bench.tell(record(0, 1));
    bench.tell(record(0, 2));
    assert_eq!(bench.held_back, [1], "what was read behind it is not looked at");
    bench.tell(Input::Read(letters(1, 5, &[])));
    bench.settle();
    assert_eq!((next(&bench, 0), next(&bench, 1)), (Some(1), Some(6)));
    bench.complete(Effects::default());
    while !bench.calls.is_empty() {
        bench.complete(Effects::default());
    }
    bench.settle();
    bench.tell(record(0, 2));
    assert!(bench.calls.is_empty(), "the one before it comes first");
    bench.tell(record(0, 1));
    assert_eq!(arguments(&bench.complete(Effects::default())), ["0/1"]);
    bench.tell(record(0, 2));
    assert_eq!(arguments(&bench.complete(Effects::default())), ["0/2"]);
    assert_eq!(bench.held_back, [1]);
}

/// The record that was held back may be gone when the ingress comes back: it says that it came back.
#[test]
fn a_partition_goes_on_behind_a_gap() {
    let mut bench = Bench::with(Limits { backlog_bytes: 1, ..Limits::default() });
    bench.tell(record(0, 0));
    bench.tell(record(0, 1));
    assert_eq!(bench.held_back, [1]);
    while !bench.calls.is_empty() {
        bench.complete(Effects::default());
    }
    bench.settle();
    bench.tell(Input::Resumed { partition: partition(0), offset: 0 });
    bench.tell(record(0, 7));
    assert!(bench.calls.is_empty(), "that was about another record");
    bench.tell(Input::Resumed { partition: partition(0), offset: 1 });
    bench.tell(record(0, 7));
    assert_eq!(arguments(&bench.complete(Effects::default())), ["0/7"]);
    // Told late it moves nothing back.
    bench.tell(Input::Resumed { partition: partition(0), offset: 1 });
    bench.tell(record(0, 7));
    assert!(bench.calls.is_empty());
}

/// While the engine stops nothing is taken in, and nobody is told: the next start reads on from the durable position.
#[test]
fn a_stop_takes_nothing_in() {
    let mut bench = Bench::new();
    bench.tell(record(0, 0));
    bench.tell(Input::Stop);
    bench.tell(record(0, 1));
    bench.tell(Input::Positioned { partition: partition(0), next: 50 });
    bench.commit();
    assert!(bench.stopped && bench.held_back.is_empty());
    assert_eq!(next(&bench, 0), Some(1));
}

/// The time of an event goes along over all functions, and through a crash, to the records that it leads to; without a
/// timestamp it is the time of arrival, and of several the oldest.
#[test]
fn time_of_an_event_goes_along() {
    let mut bench = Bench::new();
    bench.open_gate("f");
    bench.open_gate("g");
    let (first, second) = (address("f", "1"), address("g", "1"));
    let record = |offset, timestamp| {
        let invocations = vec![(first.clone(), Bytes::from_static(b"a"))];
        Input::Read(Record { partition: partition(0), offset, invocations, letters: Vec::new(), timestamp })
    };
    bench.tell(record(0, Some(70)));
    bench.complete(sends(&[(&second, "b")]));
    bench.settle();
    let mut bench = bench.crash();
    bench.complete(emits(0, &["x", "y"]));
    bench.settle();
    assert_eq!(bench.event_times, [70, 70]);
    bench.event_times.clear();
    let arrived = bench.now;
    bench.tell(record(1, None));
    bench.tell(record(2, Some(90)));
    bench.tell(record(3, None));
    bench.complete(emits(1, &["x"]));
    bench.complete(emits(0, &["y"]));
    bench.settle();
    assert_eq!(bench.event_times, [arrived, 90]);
}

/// A record that is no message becomes dead letters: they and the offset behind it are durable together, they are published
/// behind that, and a record that is read again makes none.
#[test]
fn dead_letters_belong_to_their_record() {
    let mut bench = Bench::new();
    bench.tell(Input::Read(letters(0, 4, &["a", "b"])));
    assert_eq!((lane(&bench).len(), bench.checkpoints.len()), (0, 1), "a letter waits for no other one");
    let mut bench = bench.crash();
    assert_eq!((next(&bench, 0), lane(&bench).len()), (None, 0), "no checkpoint had it");
    for _ in 0..2 {
        bench.tell(Input::Read(letters(0, 4, &["a", "b"])));
    }
    assert!(bench.published.is_empty());
    bench.commit();
    let kept = [(1, Bytes::from("a")), (2, Bytes::from("b"))];
    assert_eq!((next(&bench, 0), lane(&bench), &bench.published[..]), (Some(5), kept.to_vec(), &[(1, 2)][..]));
    let mut bench = bench.crash();
    bench.tell(Input::Read(letters(0, 4, &["a", "b"])));
    bench.tell(Input::Read(letters(0, 5, &["c"])));
    bench.settle();
    assert_eq!((next(&bench, 0), lane(&bench).len()), (Some(6), 3));
}

/// A record may be a message for some and a letter as well: nothing of it is taken in while a function has no room.
#[test]
fn a_record_held_back_makes_no_letter() {
    let mut bench = Bench::with(Limits { backlog_bytes: 1, ..Limits::default() });
    bench.tell(record(0, 0));
    let both = || Input::Read(Record { letters: letters(0, 1, &["a"]).letters, ..for_function(0, 1) });
    bench.tell(both());
    assert_eq!(bench.held_back, [1]);
    bench.settle();
    assert!(lane(&bench).is_empty());
    while !bench.calls.is_empty() {
        bench.complete(Effects::default());
    }
    bench.settle();
    bench.tell(both());
    assert_eq!(arguments(&bench.complete(Effects::default())), ["0/1"]);
    bench.settle();
    assert_eq!((next(&bench, 0), lane(&bench)), (Some(2), vec![(1, Bytes::from("a"))]));
}

/// Letters fill the next checkpoint and their lane as everything else does: intake pauses, and goes on when a reader made room.
#[test]
fn letters_press_back() {
    let mut bench = Bench::with(Limits { lane_records: 1, ..Limits::default() });
    bench.tell(Input::Read(letters(0, 0, &["a", "b"])));
    assert!(bench.paused);
    bench.commit();
    bench.tell(Input::Freed { lane: LaneId(1), upto: 2, receipt: None });
    assert!(!bench.paused);
    let mut bench = Bench::with(Limits { checkpoint_bytes: 100, ..Limits::default() });
    let most = "x".repeat(bench.config.limits.checkpoint_bytes * 10);
    bench.tell(Input::Read(letters(0, 0, &["a"])));
    assert!(!bench.paused);
    bench.tell(Input::Read(letters(0, 1, &[&most])));
    assert!(bench.paused, "the next checkpoint is full, the first one is on its way");
    bench.commit();
    assert!(!bench.paused);
}
