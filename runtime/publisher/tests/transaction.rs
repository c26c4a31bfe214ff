//! A transaction: what is in it, when it is committed, and what that sets free.

use millpond_publisher::{Config, Cursor, Delivery, FailureKind, Input, Item, Limits, Output};

use crate::bench::{BEFORE, Bench, LEDGER, OURS, config, cursor, failure, fetch, given_up, record};

/// It is opened with the records in hand, and the cursor is a part of it.
#[test]
fn cursor_is_within() {
    let (mut bench, _) = Bench::ready(config(), cursor(BEFORE, 2));
    let session = bench.session;
    let value = Cursor { ledger: LEDGER, incarnation: OURS, sequence: 4, checkpoint: 9 };
    assert_eq!(
        bench.fetched(3, 4),
        [
            Output::Begin(session),
            Output::Send { session, sequence: 3, record: record(3) },
            Output::Send { session, sequence: 4, record: record(4) },
            Output::SendCursor { session, cursor: value.encode() },
        ]
    );
    assert_eq!(Cursor::decode(&value.encode()), Ok(value));
}

/// The commit waits for every report, that of the cursor included; a report that comes twice counts once.
#[test]
fn commit_waits_for_all_reports() {
    let (mut bench, _) = Bench::ready(config(), cursor(BEFORE, 2));
    bench.fetched(3, 4);
    assert_eq!(bench.delivered(Item::Record(4)), []);
    assert_eq!(bench.delivered(Item::Record(4)), []);
    assert_eq!(bench.delivered(Item::Cursor), []);
    assert_eq!(bench.delivered(Item::Record(3)), [Output::Commit(bench.session)]);
    assert_eq!(bench.delivered(Item::Record(3)), []);
}

/// Nothing is confirmed before the commit was answered; then the next transaction takes what is there.
#[test]
fn confirmed_when_committed() {
    let (mut bench, _) = Bench::ready(config(), cursor(BEFORE, 2));
    bench.publish(3, 4);
    bench.tell(Input::Durable { upto: 7, checkpoint: 11 });
    assert_eq!(bench.committed(), [Output::Confirm { upto: 4 }, fetch(bench.session, 4, 7)]);
    assert_eq!(bench.publisher.view().confirmed, 4);
}

/// A commit that nobody asked for confirms nothing.
#[test]
fn commit_out_of_turn_is_nothing() {
    let (mut bench, _) = Bench::ready(config(), cursor(BEFORE, 2));
    assert_eq!(bench.committed(), []);
    bench.fetched(3, 4);
    assert_eq!(bench.committed(), []);
}

/// Only what is durable is asked for, and no more than a transaction takes.
#[test]
fn transaction_has_limits() {
    let limits = Limits { transaction_records: 2, transaction_bytes: 100, ..Limits::default() };
    let (mut bench, outputs) = Bench::ready(Config { limits, ..config() }, cursor(BEFORE, 2));
    let session = bench.session;
    assert_eq!(outputs.last(), Some(&Output::Fetch { session, after: 2, upto: 5, records: 2, bytes: 100 }));
    bench.publish(3, 4);
    assert_eq!(bench.committed().last(), Some(&Output::Fetch { session, after: 4, upto: 5, records: 2, bytes: 100 }));
    bench.publish(5, 5);
    assert_eq!(bench.committed(), [Output::Confirm { upto: 5 }]);
    assert_eq!(bench.tell(Input::Tick), []);
    let next = Output::Fetch { session, after: 5, upto: 6, records: 2, bytes: 100 };
    assert_eq!(bench.tell(Input::Durable { upto: 6, checkpoint: 10 }), [next]);
}

/// A record whose fate is not known ends the transaction at once.
#[test]
fn lost_report_is_a_doubt() {
    for item in [Item::Record(3), Item::Cursor] {
        let (mut bench, _) = Bench::ready(config(), cursor(BEFORE, 2));
        let session = bench.session;
        bench.fetched(3, 4);
        let delivery = Delivery::Failed(failure(FailureKind::Transient));
        assert!(given_up(&bench.tell(Input::Delivered { session, item, delivery }), session));
    }
}
