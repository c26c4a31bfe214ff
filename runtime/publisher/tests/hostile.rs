//! What a broker or a client sends is an outcome, never a panic.

use bytes::Bytes;
use millpond_publisher::{CURSOR_BYTES, Cursor, CursorUnreadable, Delivery, FailureKind, Input, Item, Output, Session};

use crate::bench::{Bench, OURS, config, cursor, failure, record};

/// Bytes of any length and content.
#[test]
fn any_bytes_are_a_cursor_or_an_error() {
    assert_eq!(Cursor::decode(b""), Err(CursorUnreadable::Length(0)));
    for length in 0..100 {
        for first in 0..=255u8 {
            let mut bytes = vec![0xff; length];
            bytes.iter_mut().take(1).for_each(|byte| *byte = first);
            assert_eq!(Cursor::decode(&bytes).is_ok(), first == 1 && length == CURSOR_BYTES);
        }
    }
}

/// Numbers at the end of their range.
#[test]
fn extreme_numbers_are_no_panic() {
    for offset in [i64::MIN, -1, 0, 1, i64::MAX] {
        for sequence in [0, 1, u64::MAX] {
            let mut bench = Bench::new(config());
            bench.tell(Input::Claimed);
            let session = bench.session;
            bench.tell(Input::Opened(session));
            bench.tell(Input::EndOffset { session, offset });
            bench.tell(Input::Cursor { session, found: Some((offset, cursor(OURS, sequence))) });
            bench.now = u64::MAX - 1;
            bench.failed(FailureKind::Fatal);
        }
    }
}

/// Every input in every state, again and again: answers out of turn have no effect that breaks anything.
#[test]
fn inputs_of_any_order_are_no_panic() {
    for seed in 0..2_000u64 {
        let mut dice = seed;
        let mut roll = |sides: u64| {
            dice = dice.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
            (dice >> 33) % sides
        };
        let mut bench = Bench::new(config());
        let mut wanted = None;
        for _ in 0..100 {
            let session = if roll(8) == 0 { Session(roll(3)) } else { bench.session };
            let item = if roll(2) == 0 { Item::Cursor } else { Item::Record(roll(7)) };
            let delivery = match roll(6) {
                0 => Delivery::Refused { error: "no".into() },
                1 => Delivery::Failed(failure(FailureKind::Transient)),
                _ => Delivery::Done,
            };
            let input = match roll(15) {
                0 => Input::Claimed,
                1 => Input::Opened(session),
                2 => Input::EndOffset { session, offset: roll(50) as i64 },
                3 => Input::Cursor {
                    session,
                    found: (roll(3) > 0).then(|| (roll(50) as i64, cursor(roll(3) + 10, roll(6)))),
                },
                4 => Input::Cursor { session, found: (roll(9) == 0).then(|| (0, Bytes::from_static(b"what"))) },
                5..=8 => Input::Delivered { session, item, delivery },
                9 => Input::Committed(session),
                10 => Input::Failed { session, failure: failure(FailureKind::Fenced) },
                11 => Input::Recorded(roll(7)),
                12 => Input::Disturbed { session, error: "gone".into() },
                13 => Input::Tick,
                // The ledger is ours: it answers what it was asked, and nothing else.
                _ => match wanted.take() {
                    Some((session, after, upto)) => Input::Fetched {
                        session,
                        records: (after + 1..=upto).map(|number| (number, record(number))).collect(),
                    },
                    None => Input::Durable { upto: 5, checkpoint: 9 },
                },
            };
            bench.now += roll(500);
            for output in bench.tell(input) {
                if let Output::Fetch { session, after, upto, .. } = output {
                    wanted = Some((session, after, upto));
                }
            }
        }
    }
}
