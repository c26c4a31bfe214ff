//! Who may go on from a cursor, and who must stop.

use bytes::Bytes;
use millpond_publisher::{Config, Cursor, CursorUnreadable, Halt, Incarnation, Input, Notice, Output};

use crate::bench::{BEFORE, Bench, LEDGER, OURS, config, cursor, fetch};

/// What a start says that finds this.
fn halt(config: Config, found: Option<Bytes>) -> Option<Halt> {
    let mut bench = Bench::new(config);
    bench.tell(Input::Claimed);
    let outputs = bench.open(found);
    let halt = outputs.iter().find_map(|output| if let Output::Halt(halt) = output { Some(*halt) } else { None });
    if halt.is_some() {
        assert_eq!(outputs[0], Output::Close(bench.session));
        assert_eq!(outputs.len(), 2);
        assert_eq!(bench.tell(Input::Durable { upto: 99, checkpoint: 99 }), [], "nothing comes behind `Halt`");
        assert_eq!(bench.publisher.wake_at(), None);
    }
    halt
}

/// A start that the ledger does not know has published: another copy of the directory is in use.
#[test]
fn stale_copy_stops() {
    let halt = halt(config(), Some(cursor(0xc, 3))).expect("it stops");
    assert_eq!(halt, Halt::Unknown { incarnation: 0xc });
    assert_eq!(halt.code(), "MP6020");
}

/// More is published than the outbox ever held: an older state of the directory was brought back.
#[test]
fn older_state_stops() {
    let halt = halt(config(), Some(cursor(BEFORE, 6))).expect("it stops");
    assert_eq!(halt, Halt::Ahead { cursor: 6, outbox: 5 });
    assert_eq!(halt.code(), "MP6020");
}

/// All that the outbox held is published: that is a start as any other.
#[test]
fn cursor_at_the_end_is_no_older_state() {
    assert_eq!(halt(config(), Some(cursor(BEFORE, 5))), None);
}

/// What was added to an older state since is not what was published: it stops however often it is started.
#[test]
fn older_state_stops_at_every_start() {
    let lineage = vec![Incarnation { id: BEFORE, after: 0 }, Incarnation { id: 0xaa, after: 5 }];
    let config = Config { lineage, durable: 50, ..config() };
    assert_eq!(halt(config.clone(), Some(cursor(BEFORE, 6))), Some(Halt::Ahead { cursor: 6, outbox: 5 }));
    assert_eq!(halt(config, Some(cursor(0xaa, 6))), None);
}

/// Nor is what was added while it opens.
#[test]
fn older_state_does_not_catch_up() {
    let mut bench = Bench::new(config());
    bench.tell(Input::Durable { upto: 50, checkpoint: 20 });
    bench.tell(Input::Claimed);
    let outputs = bench.open(Some(cursor(BEFORE, 6)));
    assert_eq!(outputs.last(), Some(&Output::Halt(Halt::Ahead { cursor: 6, outbox: 5 })));
}

/// A cursor of this start beyond what it sent: a clone of the process has its incarnation.
#[test]
fn clone_is_noticed() {
    assert!(matches!(halt(config(), Some(cursor(OURS, 3))), Some(Halt::Ahead { cursor: 3, outbox: 0 })));
}

/// Of two copies that fence each other, the one that finds its own cursor goes on, and the other one stops.
#[test]
fn one_of_two_copies_goes_on() {
    let mut copies = [0xb, 0xc].map(|incarnation| {
        let (mut bench, _) = Bench::ready(Config { incarnation, ..config() }, cursor(BEFORE, 2));
        bench.publish(3, 5);
        bench.failed(millpond_publisher::FailureKind::Fenced);
        bench.wake();
        bench.open(Some(cursor(0xb, 5)))
    });
    assert_eq!(copies[0].pop(), Some(Output::Notice(Notice::Ready { published: 5 })));
    assert_eq!(copies[1].pop(), Some(Output::Halt(Halt::Unknown { incarnation: 0xb })));
}

/// Starts before the one that wrote the cursor are forgotten: the lineage does not grow for ever.
#[test]
fn lineage_is_bounded() {
    let lineage = (1..9).map(|id| Incarnation { id, after: 0 }).chain([Incarnation { id: BEFORE, after: 3 }]);
    let (mut bench, outputs) = Bench::ready(Config { lineage: lineage.collect(), ..config() }, cursor(BEFORE, 2));
    let claim = vec![Incarnation { id: BEFORE, after: 3 }, Incarnation { id: OURS, after: 5 }];
    assert_eq!(outputs[0], Output::Claim(claim));
    bench.publish(3, 5);
    bench.disturbed();
    bench.wake();
    assert_eq!(bench.open(Some(cursor(OURS, 5)))[0], Output::Claim(vec![Incarnation { id: OURS, after: 5 }]));
}

/// Without a cursor nobody knows what was published behind the confirmed records: an operator decides.
#[test]
fn missing_cursor_needs_a_word() {
    let missing = halt(config(), None).expect("it stops");
    assert_eq!(missing, Halt::Missing { confirmed: 2 });
    assert_eq!(missing.code(), "MP6021");
    let mut bench = Bench::new(Config { accept_missing_cursor: true, ..config() });
    bench.tell(Input::Claimed);
    assert_eq!(
        bench.open(None),
        [
            Output::Notice(Notice::CursorAccepted { confirmed: 2 }),
            Output::Notice(Notice::Ready { published: 2 }),
            fetch(bench.session, 2, 5)
        ]
    );
}

/// The word is about a missing cursor, and no other one.
#[test]
fn word_does_not_accept_a_stale_copy() {
    assert!(halt(Config { accept_missing_cursor: true, ..config() }, Some(cursor(0xc, 3))).is_some());
}

/// Bytes that are no cursor, and a cursor of another ledger, are nothing to go on from.
#[test]
fn strange_cursor_stops() {
    let unreadable = halt(config(), Some(Bytes::from_static(b"\x02later"))).expect("it stops");
    assert_eq!(unreadable, Halt::Unreadable(CursorUnreadable::Format(2)));
    assert_eq!(unreadable.code(), "MP6022");
    let foreign = Cursor { ledger: LEDGER + 1, incarnation: BEFORE, sequence: 2, checkpoint: 1 };
    assert_eq!(halt(config(), Some(foreign.encode())), Some(Halt::Foreign { ledger: LEDGER + 1 }));
}
