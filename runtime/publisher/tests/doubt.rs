//! Doubt: what raises it, and that it is a start.

use millpond_publisher::{FailureKind, Input, Limits, Output, Phase};

use crate::bench::{BEFORE, Bench, OURS, config, cursor, fetch, given_up};

/// A commit that took long may have been sent twice: its answer confirms nothing, the cursor does.
#[test]
fn slow_commit_is_read_back() {
    let (mut bench, _) = Bench::ready(config(), cursor(BEFORE, 2));
    bench.publish(3, 4);
    bench.now += Limits::default().commit_ms + 1;
    let session = bench.session;
    let outputs = bench.committed();
    assert!(given_up(&outputs, session));
    assert!(!outputs.contains(&Output::Confirm { upto: 4 }));
    assert_eq!(bench.wake(), [Output::Open(bench.session)]);
    let outputs = bench.open(Some(cursor(OURS, 4)));
    assert!(outputs.contains(&Output::Confirm { upto: 4 }));
    assert_eq!(outputs.last(), Some(&fetch(bench.session, 4, 5)));
}

/// A commit at the limit is in time.
#[test]
fn commit_in_time_is_believed() {
    let (mut bench, _) = Bench::ready(config(), cursor(BEFORE, 2));
    bench.publish(3, 4);
    bench.now += Limits::default().commit_ms;
    assert_eq!(bench.committed()[0], Output::Confirm { upto: 4 });
}

/// A commit that failed may have happened: the cursor says whether it did.
#[test]
fn failed_commit_is_read_back() {
    for (found, published) in [(cursor(OURS, 4), 4), (cursor(BEFORE, 2), 2)] {
        let (mut bench, _) = Bench::ready(config(), cursor(BEFORE, 2));
        bench.publish(3, 4);
        let session = bench.session;
        assert!(given_up(&bench.failed(FailureKind::Transient), session));
        bench.wake();
        assert_eq!(bench.open(Some(found)).last(), Some(&fetch(bench.session, published, 5)));
    }
}

/// An event counts while a transaction is open; an idle connection that is closed is no news.
#[test]
fn event_counts_within_a_transaction() {
    let (mut bench, _) = Bench::ready(config(), cursor(BEFORE, 5));
    assert_eq!(bench.disturbed(), []);
    bench.tell(Input::Durable { upto: 6, checkpoint: 10 });
    assert_eq!(bench.disturbed(), []);
    bench.fetched(6, 6);
    let session = bench.session;
    assert!(given_up(&bench.disturbed(), session));
}

/// A fence is what a time-out looks like, too: with our own cursor, and with that of the start before, we go on.
#[test]
fn fence_stops_nobody() {
    for (found, published) in [(cursor(OURS, 4), 4), (cursor(BEFORE, 2), 2)] {
        let (mut bench, _) = Bench::ready(config(), cursor(BEFORE, 2));
        bench.publish(3, 4);
        bench.failed(FailureKind::Fenced);
        assert_eq!(bench.wake(), [Output::Open(bench.session)]);
        assert_eq!(bench.open(Some(found)).last(), Some(&fetch(bench.session, published, 5)));
    }
}

/// Even a producer without a transaction can turn out to be unusable.
#[test]
fn idle_producer_may_fail() {
    let (mut bench, _) = Bench::ready(config(), cursor(BEFORE, 5));
    let session = bench.session;
    assert!(given_up(&bench.failed(FailureKind::Fatal), session));
    assert_eq!(bench.wake(), [Output::Open(bench.session)]);
}

/// What is said of a producer that was given up has no effect.
#[test]
fn late_answers_are_nothing() {
    let (mut bench, _) = Bench::ready(config(), cursor(BEFORE, 2));
    bench.publish(3, 4);
    let old = bench.session;
    bench.disturbed();
    assert_eq!(bench.tell(Input::Committed(old)), []);
    bench.wake();
    assert_eq!(bench.tell(Input::Opened(old)), []);
    assert_eq!(bench.tell(Input::Committed(old)), []);
    bench.open(Some(cursor(BEFORE, 2)));
    bench.publish(3, 4);
    assert_eq!(bench.tell(Input::Committed(old)), []);
    assert_eq!(bench.publisher.view().confirmed, 2);
}

/// It waits longer each time, up to a limit, and never gives up; a commit makes it quick again.
#[test]
fn outage_is_waited_for() {
    let (mut bench, _) = Bench::ready(config(), cursor(BEFORE, 2));
    bench.fetched(3, 4);
    let mut pauses = Vec::new();
    for _ in 0..100 {
        bench.failed(FailureKind::Transient);
        assert_eq!(bench.publisher.view().phase, Phase::Resting);
        pauses.push(bench.publisher.wake_at().expect("it rests") - bench.now);
        bench.wake();
    }
    let limits = Limits::default();
    assert!(pauses[0] <= limits.backoff_ms_min);
    assert!(pauses[99] <= limits.backoff_ms_max && pauses[99] >= limits.backoff_ms_max / 2);
    bench.open(Some(cursor(BEFORE, 2)));
    bench.publish(3, 4);
    bench.committed();
    bench.failed(FailureKind::Transient);
    assert!(bench.publisher.wake_at().expect("it rests") - bench.now <= limits.backoff_ms_min);
}

/// Time that goes back is read as the highest one seen.
#[test]
fn clock_may_go_back() {
    let (mut bench, _) = Bench::ready(config(), cursor(BEFORE, 2));
    bench.publish(3, 4);
    bench.now -= 900;
    assert_eq!(bench.committed()[0], Output::Confirm { upto: 4 });
}
