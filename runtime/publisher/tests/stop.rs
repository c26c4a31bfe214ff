//! Stopping: the open transaction ends, and no other one begins.

use millpond_publisher::{FailureKind, Input, Output, Phase};

use crate::bench::{BEFORE, Bench, config, cursor};

/// Without a transaction it stops at once.
#[test]
fn idle_publisher_stops_at_once() {
    let (mut bench, _) = Bench::ready(config(), cursor(BEFORE, 5));
    assert_eq!(bench.tell(Input::Stop), [Output::Close(bench.session), Output::Stopped]);
    assert_eq!(bench.tell(Input::Durable { upto: 6, checkpoint: 10 }), []);
    assert_eq!(bench.publisher.view().phase, Phase::Ended);
    let mut bench = Bench::new(config());
    assert_eq!(bench.tell(Input::Stop), [Output::Stopped]);
}

/// A transaction is ended first, and confirmed.
#[test]
fn open_transaction_is_ended() {
    let (mut bench, _) = Bench::ready(config(), cursor(BEFORE, 2));
    bench.fetched(3, 4);
    assert_eq!(bench.tell(Input::Stop), []);
    bench.delivered(millpond_publisher::Item::Record(3));
    bench.delivered(millpond_publisher::Item::Record(4));
    bench.delivered(millpond_publisher::Item::Cursor);
    let session = bench.session;
    assert_eq!(bench.committed(), [Output::Confirm { upto: 4 }, Output::Close(session), Output::Stopped]);
}

/// A doubt is left to the next start.
#[test]
fn doubt_ends_it() {
    let (mut bench, _) = Bench::ready(config(), cursor(BEFORE, 2));
    bench.fetched(3, 4);
    bench.tell(Input::Stop);
    assert_eq!(bench.failed(FailureKind::Transient).last(), Some(&Output::Stopped));
    assert_eq!(bench.publisher.wake_at(), None);
}
