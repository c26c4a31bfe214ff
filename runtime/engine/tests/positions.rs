//! Records of partitions: each once, in order, over crashes.

use std::sync::Arc;

use bytes::Bytes;
use millpond_engine::{Effects, Input, Limits, Partition, Record};
use millpond_protocol::TypeName;

use crate::bench::{Bench, address, arguments, emits, sends};

fn partition(number: u32) -> Arc<Partition> {
    Arc::new(Partition { ingress: TypeName::new("in", "kafka"), topic: "t".into(), number })
}

fn record(number: u32, offset: u64) -> Input {
    let argument = Bytes::from(format!("{number}/{offset}"));
    Input::Read(Record {
        partition: partition(number),
        offset,
        invocations: vec![(address("f", "1"), argument)],
        timestamp: None,
    })
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
    bench.tell(Input::Read(Record { partition: partition(1), offset: 6, invocations: Vec::new(), timestamp: None }));
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
    bench.tell(Input::Read(Record { partition: partition(1), offset: 5, invocations: Vec::new(), timestamp: None }));
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
        Input::Read(Record { partition: partition(0), offset, invocations, timestamp })
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
