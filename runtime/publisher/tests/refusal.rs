//! Records that the broker refuses for good: reported once, passed over, and nobody else with them.

use std::collections::BTreeSet;

use millpond_publisher::{Config, Delivery, Input, Item, Output};

use crate::bench::{BEFORE, Bench, config, cursor, fetch, given_up};

/// Numbers that were sent.
fn sent(outputs: &[Output]) -> Vec<u64> {
    outputs
        .iter()
        .filter_map(|output| if let Output::Send { sequence, .. } = output { Some(*sequence) } else { None })
        .collect()
}

/// One that fetched records 3 to 5, and was refused 4 and 5 in company.
fn accused() -> Bench {
    let (mut bench, _) = Bench::ready(config(), cursor(BEFORE, 2));
    bench.fetched(3, 5);
    bench.refused(4);
    bench.refused(5);
    bench.delivered(Item::Record(3));
    let session = bench.session;
    let outputs = bench.delivered(Item::Cursor);
    assert!(given_up(&outputs, session));
    assert_eq!(outputs.last(), Some(&Output::Open(bench.session)), "at once: nothing is wrong with the broker");
    bench
}

/// A refusal in company counts for nobody: each one goes alone then, behind those that were taken.
#[test]
fn refused_in_company_goes_alone() {
    let mut bench = accused();
    bench.open(Some(cursor(BEFORE, 2)));
    assert_eq!(sent(&bench.fetched(3, 5)), [3]);
    bench.delivered(Item::Record(3));
    bench.delivered(Item::Cursor);
    bench.committed();
    assert_eq!(sent(&bench.fetched(4, 5)), [4]);
    bench.delivered(Item::Record(4));
    bench.delivered(Item::Cursor);
    assert_eq!(bench.committed()[0], Output::Confirm { upto: 4 });
}

/// A record that was refused alone is reported, and nothing passes it before the report is durable.
#[test]
fn refused_alone_is_reported() {
    let (mut bench, _) = Bench::ready(config(), cursor(BEFORE, 2));
    bench.fetched(3, 3);
    assert_eq!(bench.refused(3), []);
    let outputs = bench.delivered(Item::Cursor);
    let reported = Output::Refused { sequence: 3, error: "too large".into() };
    assert_eq!(outputs.iter().filter(|output| **output == reported).count(), 1);
    let session = bench.session;
    let outputs = bench.open(Some(cursor(BEFORE, 2)));
    assert!(!outputs.contains(&fetch(session, 2, 5)), "its report is not durable");
    assert_eq!(bench.tell(Input::Recorded(3)), [fetch(session, 2, 5)]);
    assert_eq!(sent(&bench.fetched(3, 5)), [4, 5]);
    bench.delivered(Item::Record(4));
    bench.delivered(Item::Record(5));
    bench.delivered(Item::Cursor);
    assert_eq!(bench.committed(), [Output::Confirm { upto: 5 }]);
}

/// A doubt in the same transaction does not lose the report.
#[test]
fn doubt_keeps_the_report() {
    let (mut bench, _) = Bench::ready(config(), cursor(BEFORE, 2));
    bench.fetched(3, 3);
    bench.refused(3);
    let outputs = bench.disturbed();
    assert!(outputs.iter().any(|output| matches!(output, Output::Refused { sequence: 3, .. })));
}

/// A record with a durable dead letter is never sent again, also after a start; the cursor passes it, with company or alone.
#[test]
fn recorded_is_passed_over() {
    let refused = BTreeSet::from([3, 4, 5]);
    let (mut bench, _) = Bench::ready(Config { refused, ..config() }, cursor(BEFORE, 2));
    let outputs = bench.fetched(3, 5);
    assert_eq!(sent(&outputs), []);
    assert!(matches!(outputs[..], [Output::Begin(_), Output::SendCursor { .. }]));
    assert_eq!(bench.delivered(Item::Cursor), [Output::Commit(bench.session)]);
    assert_eq!(bench.committed(), [Output::Confirm { upto: 5 }]);
}

/// A cursor topic that takes no record is tried again: there is no dead letter for a cursor.
#[test]
fn refused_cursor_is_a_doubt() {
    let (mut bench, _) = Bench::ready(config(), cursor(BEFORE, 2));
    bench.fetched(3, 3);
    let (session, delivery) = (bench.session, Delivery::Refused { error: "not authorised".into() });
    let outputs = bench.tell(Input::Delivered { session, item: Item::Cursor, delivery });
    assert!(given_up(&outputs, session));
    assert!(!outputs.iter().any(|output| matches!(output, Output::Refused { .. })));
    assert!(bench.publisher.wake_at().is_some());
}
