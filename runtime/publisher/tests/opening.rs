//! The start: in which order, and where it goes on.

use millpond_publisher::{Incarnation, Input, Isolation, Notice, Output, Session};

use crate::bench::{BEFORE, Bench, OURS, config, cursor, fetch, read};

/// The lineage is durable before a producer is asked for; the producer is there before the end offset is, and that before the
/// cursor.
#[test]
fn everything_waits_for_the_one_before() {
    let mut bench = Bench::new(config());
    let claim = [Incarnation { id: BEFORE, after: 0 }, Incarnation { id: OURS, after: 5 }];
    assert_eq!(bench.first, [Output::Claim(claim.to_vec())]);
    let session = Session(1);
    assert_eq!(bench.tell(Input::Durable { upto: 6, checkpoint: 10 }), []);
    assert_eq!(bench.tell(Input::Claimed), [Output::Open(session)]);
    assert_eq!(bench.tell(Input::Claimed), []);
    let end = Output::EndOffset { session, isolation: Isolation::Uncommitted };
    assert_eq!(bench.tell(Input::Opened(session)), [end]);
    assert_eq!(bench.tell(Input::EndOffset { session, offset: 40 }), [read(session, 0, 40)]);
    let found = Some((30, cursor(BEFORE, 3)));
    assert_eq!(
        bench.tell(Input::Cursor { session, found }),
        [Output::Confirm { upto: 3 }, Output::Notice(Notice::Ready { published: 3 }), fetch(session, 3, 6)]
    );
}

/// Where the ledger knows more than the cursor, the ledger counts.
#[test]
fn goes_on_after_the_larger_one() {
    let (bench, outputs) = Bench::ready(config(), cursor(BEFORE, 1));
    assert_eq!(outputs.last(), Some(&fetch(bench.session, 2, 5)));
    assert!(!outputs.iter().any(|output| matches!(output, Output::Confirm { .. })));
}

/// An empty topic is not read; where nothing is confirmed it is the first start.
#[test]
fn first_start_needs_no_cursor() {
    let mut bench = Bench::new(millpond_publisher::Config { confirmed: 0, lineage: Vec::new(), ..config() });
    bench.tell(Input::Claimed);
    bench.tell(Input::Opened(Session(1)));
    assert_eq!(
        bench.tell(Input::EndOffset { session: Session(1), offset: 0 }),
        [Output::Notice(Notice::Ready { published: 0 }), fetch(Session(1), 0, 5)]
    );
}

/// The search begins where the last cursor was found; with nothing there it may be another topic, and begins at the beginning.
#[test]
fn search_begins_at_the_last_cursor() {
    for (end, first) in [(41, read(Session(2), 30, 41)), (12, read(Session(2), 0, 12))] {
        let (mut bench, _) = Bench::ready(config(), cursor(BEFORE, 2));
        bench.fetched(3, 5);
        bench.disturbed();
        bench.wake();
        let session = bench.session;
        bench.tell(Input::Opened(session));
        assert_eq!(bench.tell(Input::EndOffset { session, offset: end }), [first]);
        if end > 30 {
            assert_eq!(bench.tell(Input::Cursor { session, found: None }), [read(session, 0, end)]);
        }
        let outputs = bench.tell(Input::Cursor { session, found: Some((3, cursor(OURS, 5))) });
        assert!(outputs.contains(&Output::Confirm { upto: 5 }));
    }
}

/// A step that fails is tried again from the first one.
#[test]
fn every_step_may_fail() {
    for steps in 0..3 {
        let mut bench = Bench::new(config());
        bench.tell(Input::Claimed);
        let session = bench.session;
        if steps > 0 {
            bench.tell(Input::Opened(session));
        }
        if steps > 1 {
            bench.tell(Input::EndOffset { session, offset: 40 });
        }
        bench.failed(millpond_publisher::FailureKind::Transient);
        assert_eq!(bench.wake(), [Output::Open(Session(2))]);
    }
}

/// A search that fails may be held up by a transaction of ours that nobody ends: the marker of another one ends it, and that
/// one is aborted. Then the search goes on, and a search that fails again is swept again.
#[test]
fn search_that_fails_is_swept() {
    let mut bench = Bench::new(config());
    bench.tell(Input::Claimed);
    for _ in 0..2 {
        let session = bench.session;
        bench.tell(Input::Opened(session));
        bench.tell(Input::EndOffset { session, offset: 40 });
        bench.failed(millpond_publisher::FailureKind::Transient);
        bench.wake();
        let session = bench.session;
        let cursor = cursor(OURS, 2);
        assert_eq!(
            bench.tell(Input::Opened(session)),
            [Output::Begin(session), Output::SendCursor { session, cursor }]
        );
        let outputs = bench.delivered(millpond_publisher::Item::Cursor);
        assert!(crate::bench::given_up(&outputs, session));
        assert_eq!(outputs.last(), Some(&Output::Open(bench.session)));
    }
    let outputs = bench.open(Some(cursor(BEFORE, 2)));
    assert_eq!(outputs.last(), Some(&fetch(bench.session, 2, 5)));
}
