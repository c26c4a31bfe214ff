//! The model of Kafka does what makes the first transaction protocol hard. Each test is a reason for a rule of the publisher.

use bytes::Bytes;
use millpond_publisher::Isolation;

use crate::kafka::{Answer, Kafka, Producer, Request};

const A: Producer = 0;
const B: Producer = 1;

fn kafka(verification: bool) -> Kafka {
    Kafka::new(2, verification, 1_000)
}

fn ask(kafka: &mut Kafka, producer: Producer, epoch: u32, request: Request) -> Answer {
    kafka.serve(0, producer, epoch, &request, |value| value == "poison")
}

fn produce(partition: usize, batch: u32, value: &'static str) -> Request {
    Request::Produce { partition, batch, values: vec![Bytes::from_static(value.as_bytes())] }
}

/// A record in an open transaction.
fn open(kafka: &mut Kafka, producer: Producer, epoch: u32, batch: u32, value: &'static str) {
    assert_eq!(ask(kafka, producer, epoch, Request::AddPartition(0)), Answer::Done(epoch));
    assert_eq!(ask(kafka, producer, epoch, produce(0, batch, value)), Answer::Done(epoch));
}

fn markers(kafka: &mut Kafka) {
    while kafka.write_marker() {}
}

fn seen(kafka: &Kafka, producer: Producer, isolation: Isolation) -> Vec<&Bytes> {
    kafka.read(0, producer, isolation).map(|(_, value)| value).collect()
}

/// A commit that arrives a second time ends the next transaction of the same producer half-way (KIP-890).
#[test]
fn late_commit_ends_the_next_transaction() {
    let mut kafka = kafka(true);
    ask(&mut kafka, A, 0, Request::Initialise);
    open(&mut kafka, A, 1, 0, "one");
    assert_eq!(ask(&mut kafka, A, 1, Request::Commit), Answer::Done(1));
    markers(&mut kafka);
    open(&mut kafka, A, 1, 1, "two");
    assert_eq!(ask(&mut kafka, A, 1, Request::Commit), Answer::Done(1), "the late one");
    markers(&mut kafka);
    assert_eq!(seen(&kafka, A, Isolation::Committed), ["one", "two"], "though nobody committed the second one");
}

/// A new epoch shuts a late commit out.
#[test]
fn late_commit_of_an_old_epoch_is_fenced() {
    let mut kafka = kafka(false);
    ask(&mut kafka, A, 0, Request::Initialise);
    open(&mut kafka, A, 1, 0, "one");
    assert_eq!(ask(&mut kafka, A, 0, Request::Initialise), Answer::Concurrent, "the open transaction is aborted first");
    assert_eq!(ask(&mut kafka, A, 0, Request::Initialise), Answer::Concurrent, "its markers are not written");
    markers(&mut kafka);
    assert_eq!(ask(&mut kafka, A, 0, Request::Initialise), Answer::Done(3));
    open(&mut kafka, A, 3, 0, "two");
    assert_eq!(ask(&mut kafka, A, 1, Request::Commit), Answer::Fenced);
    assert_eq!(seen(&kafka, A, Isolation::Uncommitted), ["one", "two"]);
    assert!(seen(&kafka, A, Isolation::Committed).is_empty());
}

/// The abort that `Initialise` causes carries the new epoch to the partitions: a late record is turned away, verified or not.
#[test]
fn late_record_of_an_aborted_transaction_is_fenced() {
    for verification in [true, false] {
        let mut kafka = kafka(verification);
        ask(&mut kafka, A, 0, Request::Initialise);
        open(&mut kafka, A, 1, 0, "one");
        ask(&mut kafka, A, 0, Request::Initialise);
        markers(&mut kafka);
        assert_eq!(ask(&mut kafka, A, 1, produce(0, 1, "late")), Answer::Fenced);
    }
}

/// Behind a commit the epoch stays: without verification a late record opens a transaction that the next one takes along.
#[test]
fn late_record_joins_the_next_transaction() {
    let mut kafka = kafka(false);
    ask(&mut kafka, A, 0, Request::Initialise);
    open(&mut kafka, A, 1, 0, "one");
    ask(&mut kafka, A, 1, Request::Commit);
    markers(&mut kafka);
    assert_eq!(ask(&mut kafka, A, 1, produce(0, 1, "late")), Answer::Done(1));
    assert_eq!(kafka.end(0, Isolation::Committed), 2, "it holds back what lies behind it");
    open(&mut kafka, A, 1, 2, "two");
    ask(&mut kafka, A, 1, Request::Commit);
    markers(&mut kafka);
    assert_eq!(seen(&kafka, A, Isolation::Committed), ["one", "late", "two"]);
    let mut verifying = self::kafka(true);
    ask(&mut verifying, A, 0, Request::Initialise);
    assert_eq!(ask(&mut verifying, A, 1, produce(0, 0, "late")), Answer::Invalid);
}

/// A time-out raises the epoch: to the producer it is a fence.
#[test]
fn time_out_is_a_fence() {
    let mut kafka = kafka(false);
    ask(&mut kafka, A, 0, Request::Initialise);
    open(&mut kafka, A, 1, 0, "one");
    assert!(!kafka.expire(1_000));
    assert!(kafka.expire(1_001));
    assert_eq!(ask(&mut kafka, A, 1, Request::Commit), Answer::Fenced);
}

/// An open transaction of somebody else hides a committed record behind it, and the end offset that leads there.
#[test]
fn open_transaction_hides_what_is_behind_it() {
    let mut kafka = kafka(false);
    ask(&mut kafka, A, 0, Request::Initialise);
    ask(&mut kafka, B, 0, Request::Initialise);
    open(&mut kafka, B, 1, 0, "stranger");
    open(&mut kafka, A, 1, 0, "one");
    ask(&mut kafka, A, 1, Request::Commit);
    markers(&mut kafka);
    assert!(seen(&kafka, A, Isolation::Committed).is_empty());
    assert_eq!((kafka.end(0, Isolation::Committed), kafka.end(0, Isolation::Uncommitted)), (0, 3));
    ask(&mut kafka, B, 1, Request::Commit);
    markers(&mut kafka);
    assert_eq!(seen(&kafka, A, Isolation::Committed), ["one"]);
}

/// A repeated batch is there once; a refused one is not there at all, with all that is in it.
#[test]
fn batches_are_taken_once_or_refused_whole() {
    let mut kafka = kafka(false);
    ask(&mut kafka, A, 0, Request::Initialise);
    open(&mut kafka, A, 1, 0, "one");
    assert_eq!(ask(&mut kafka, A, 1, produce(0, 0, "one")), Answer::Done(1));
    let values = ["good", "poison"].map(|value| Bytes::from_static(value.as_bytes())).to_vec();
    assert_eq!(ask(&mut kafka, A, 1, Request::Produce { partition: 0, batch: 1, values }), Answer::Refused);
    assert_eq!(seen(&kafka, A, Isolation::Uncommitted), ["one"]);
}
