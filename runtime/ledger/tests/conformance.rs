//! What every ledger promises, one test a promise, run on the memory twin and on the local ledger.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use millpond_engine::{
    Backlog, Expiration, FailureKind, FailureRecord, KEY_GROUPS, LaneId, LaneName, Load, Loaded, Partition, Place,
    StateSpec, StateValue, Write, key_group,
};
use millpond_protocol::Address;
use millpond_publisher::Incarnation;

use super::words::*;
use crate::ledger::{Ledger, RefusedByEgress};

macro_rules! promises {
    ($($promise:ident)*) => {
        mod memory {
            $(#[test]
            fn $promise() {
                super::$promise(&mut super::Memory::default());
            })*
        }

        mod local {
            $(#[test]
            fn $promise() {
                super::$promise(&mut super::Local::default());
            })*
        }
    };
}

promises! {
    a_new_ledger_is_empty
    variables_and_lanes_come_back
    states_are_written_overwritten_and_deleted
    states_come_by_name
    pending_invocations_come_in_order
    callers_and_arguments_come_back
    a_checkpoint_counts_once
    another_content_under_the_last_number_is_refused
    numbers_come_without_a_gap
    a_refused_checkpoint_changes_nothing
    addresses_with_pending_invocations_are_listed_in_order
    a_page_goes_on_behind_an_address_that_is_gone
    records_are_read_behind_a_number
    a_read_is_bounded_by_records_and_bytes
    freed_records_are_gone
    a_freed_lane_goes_on
    lanes_do_not_touch_each_other
    lanes_that_do_not_fit_are_refused
    idempotency_keys_live_in_their_generation
    a_generation_is_forgotten_as_a_whole
    addresses_that_look_alike_are_different
    odd_ids_are_addresses
    a_large_value_comes_back
    specs_are_kept
    invocations_come_in_pages
    failures_and_backlogs_are_kept
    values_that_are_over_are_found
    positions_are_kept
    publishers_keep_their_books
    loads_see_whole_checkpoints
}

fn a_new_ledger_is_empty(subject: &mut impl Subject) {
    for _ in 0..2 {
        let ledger = subject.ledger();
        assert_eq!(ledger.restore().expect("it can be read"), Default::default());
        assert!(see(ledger, &address("a")).is_nothing());
        assert_eq!(page(ledger, None, 10), (vec![], false));
        assert_eq!(find(ledger, "key", [1, 0]), None);
        assert_eq!(ledger.lane(&lane("")).expect("it can be read"), (1, 1));
        assert_eq!(read_all(ledger, &lane("")), []);
        assert_eq!(ledger.specs().expect("they can be read"), []);
        subject.reopen();
    }
}

fn variables_and_lanes_come_back(subject: &mut impl Subject) {
    let mut hand = Hand::with_lanes(vec![lane("x"), lane("y")]);
    let writes = hand.publish(1, &["one", "two"], 0);
    let checkpoint = hand.seal(writes);
    subject.ledger().commit(&checkpoint, &hand.lanes).expect("it is in order");
    for _ in 0..2 {
        let restored = subject.ledger().restore().expect("it can be read");
        assert_eq!(restored.meta, checkpoint.meta);
        assert_eq!(restored.lanes.into_iter().collect::<Vec<_>>(), [(lane("y"), (1, 3))]);
        subject.reopen();
    }
    // The same lane under another number: names count.
    hand.lanes = vec![lane("y")];
    hand.stand = vec![(1, 3)];
    let writes = hand.publish(0, &["three"], 1);
    hand.commit(subject.ledger(), writes);
    assert_eq!(subject.ledger().lane(&lane("y")).expect("it can be read"), (2, 4));
    assert_eq!(read_all(subject.ledger(), &lane("y")), [(2, "two".into()), (3, "three".into())]);
}

fn states_are_written_overwritten_and_deleted(subject: &mut impl Subject) {
    let (mut hand, of) = (Hand::new(), address("a"));
    hand.commit(subject.ledger(), vec![state(&of, "seen", Some(value("1"))), state(&of, "name", Some(value("")))]);
    assert_eq!(see(subject.ledger(), &of).texts(), [("name", &b""[..]), ("seen", b"1")]);
    hand.commit(subject.ledger(), vec![state(&of, "seen", Some(value("2")))]);
    subject.reopen();
    assert_eq!(see(subject.ledger(), &of).states[1], ("seen".into(), value("2")));
    hand.commit(subject.ledger(), vec![state(&of, "seen", None), state(&of, "never there", None)]);
    assert_eq!(see(subject.ledger(), &of).texts(), [("name", &b""[..])]);
    hand.commit(subject.ledger(), vec![state(&of, "name", None)]);
    subject.reopen();
    assert!(see(subject.ledger(), &of).is_nothing());
    hand.commit(subject.ledger(), vec![state(&of, "name", Some(value("back")))]);
    assert_eq!(see(subject.ledger(), &of).texts(), [("name", &b"back"[..])]);
}

fn states_come_by_name(subject: &mut impl Subject) {
    let (mut hand, of) = (Hand::new(), address("a"));
    let mut names = ["b", "", "a", "aa", "ä", "a/b", "B"];
    let writes = names.map(|name| state(&of, name, Some(value(name)))).to_vec();
    hand.commit(subject.ledger(), writes);
    names.sort_unstable();
    let seen = see(subject.ledger(), &of);
    assert_eq!(seen.texts().into_iter().map(|(name, _)| name).collect::<Vec<_>>(), names);
}

fn pending_invocations_come_in_order(subject: &mut impl Subject) {
    let (mut hand, of) = (Hand::new(), address("a"));
    let writes = vec![pending(&of, 300, "c"), pending(&of, 2, "a"), pending(&of, 255, "b"), listed(&of, true)];
    hand.commit(subject.ledger(), writes);
    assert_eq!(see(subject.ledger(), &of).sequences(), [2, 255, 300]);
    hand.commit(subject.ledger(), vec![finished(&of, 255), pending(&of, u64::MAX, "d")]);
    subject.reopen();
    let seen = see(subject.ledger(), &of);
    assert_eq!(seen.sequences(), [2, 300, u64::MAX]);
    assert_eq!(seen.pending[1].1, invocation("c"));
    assert!(seen.listed);
    let writes = vec![finished(&of, 2), finished(&of, 300), finished(&of, u64::MAX), listed(&of, false)];
    hand.commit(subject.ledger(), writes);
    assert!(see(subject.ledger(), &of).is_nothing());
}

fn callers_and_arguments_come_back(subject: &mut impl Subject) {
    let (mut hand, of) = (Hand::new(), address("a"));
    let mut sent = invocation([0, 255, 10, 0]);
    sent.caller = Some(Address::new(typename("", "ä"), ""));
    let first = Write::Pending { address: of.clone(), sequence: 1, invocation: sent.clone() };
    hand.commit(subject.ledger(), vec![first, pending(&of, 2, ""), listed(&of, true)]);
    subject.reopen();
    assert_eq!(see(subject.ledger(), &of).pending, [(1, sent), (2, invocation(""))]);
}

fn a_checkpoint_counts_once(subject: &mut impl Subject) {
    let (mut hand, of) = (Hand::new(), address("a"));
    let mut writes = vec![state(&of, "seen", Some(value("1"))), pending(&of, 1, "x"), listed(&of, true)];
    writes.extend(hand.publish(0, &["r1", "r2"], 0));
    let first = hand.seal(writes);
    let mut writes = vec![finished(&of, 1), listed(&of, false)];
    writes.extend(hand.publish(0, &["r3"], 2));
    let second = hand.seal(writes);
    for checkpoint in [&first, &first, &second, &second] {
        subject.ledger().commit(checkpoint, &hand.lanes).expect("it is in order");
    }
    subject.reopen();
    // Also by a process that did not see the first time.
    subject.ledger().commit(&second, &hand.lanes).expect("it is a repetition");
    assert!(see(subject.ledger(), &of).sequences().is_empty());
    assert_eq!(read_all(subject.ledger(), &hand.lanes[0]), [(3, "r3".into())]);
    assert_eq!(code(subject.ledger().commit(&first, &hand.lanes)), Some("MP5006"));
    assert_eq!(subject.ledger().restore().expect("it can be read").meta, second.meta);
}

fn another_content_under_the_last_number_is_refused(subject: &mut impl Subject) {
    let (mut hand, of) = (Hand::new(), address("a"));
    let mut checkpoint = hand.seal(vec![state(&of, "seen", Some(value("1")))]);
    subject.ledger().commit(&checkpoint, &hand.lanes).expect("it is in order");
    let mut later = checkpoint.clone();
    later.meta.time += 1;
    assert_eq!(code(subject.ledger().commit(&later, &hand.lanes)), Some("MP5006"));
    checkpoint.writes.push(Write::Lane { lane: LaneId(7), first: 1, next: 1, first_before: 1 });
    assert_eq!(code(subject.ledger().commit(&checkpoint, &hand.lanes)), Some("MP5006"));
    assert_eq!(see(subject.ledger(), &of).texts(), [("seen", &b"1"[..])]);
}

fn numbers_come_without_a_gap(subject: &mut impl Subject) {
    let mut hand = Hand::new();
    let mut number = |number: u64| {
        hand.number = number - 1;
        let writes = vec![state(&address("a"), "number", Some(value(number.to_string())))];
        hand.seal(writes)
    };
    let checkpoints = [1, 2, 3, 4].map(&mut number);
    let [one, two, three, four] = &checkpoints;
    let commit = |subject: &dyn Subject, checkpoint| code(subject.ledger().commit(checkpoint, &[]));
    assert_eq!(commit(subject, two), Some("MP5006"));
    assert_eq!(commit(subject, one), None);
    assert_eq!(commit(subject, three), Some("MP5006"));
    subject.reopen();
    assert_eq!(commit(subject, four), Some("MP5006"));
    assert_eq!(commit(subject, two), None);
    assert_eq!(commit(subject, one), Some("MP5006"));
    assert_eq!(see(subject.ledger(), &address("a")).texts(), [("number", &b"2"[..])]);
    let mut zero = one.clone();
    zero.meta.checkpoint = 0;
    assert_eq!(commit(subject, &zero), Some("MP5006"));
}

fn a_refused_checkpoint_changes_nothing(subject: &mut impl Subject) {
    let (mut hand, of) = (Hand::new(), address("a"));
    let mut writes = vec![state(&of, "seen", Some(value("1"))), pending(&of, 1, ""), listed(&of, true)];
    writes.push(idempotency(1, "key", 1));
    writes.push(Write::Outbox { lane: LaneId(0), first: 9, records: vec![Bytes::new()] });
    let refused = hand.seal(writes);
    assert_eq!(code(subject.ledger().commit(&refused, &hand.lanes)), Some("MP5006"));
    a_new_ledger_is_empty(subject);
}

fn addresses_with_pending_invocations_are_listed_in_order(subject: &mut impl Subject) {
    let mut hand = Hand::new();
    let mut all: Vec<Address> = Vec::new();
    for number in 0..600 {
        all.push(address(&format!("id{number}")));
        all.push(Address::new(typename("a", "b"), format!("id{number}")));
    }
    all.push(Address::new(typename("", ""), ""));
    let writes = all.iter().flat_map(|of| [pending(of, 1, ""), listed(of, true), state(of, "s", Some(value("")))]);
    let writes = writes.collect();
    hand.commit(subject.ledger(), writes);
    let gone = all.split_off(800);
    hand.commit(subject.ledger(), gone.iter().flat_map(|of| [finished(of, 1), listed(of, false)]).collect());
    let groups: BTreeSet<u16> = all.iter().map(|of| key_group(&of.id)).collect();
    assert_eq!(groups.len(), usize::from(KEY_GROUPS), "the test reaches every key group");

    all.sort_by_key(|of| Place::new(of.clone()));
    subject.reopen();
    for limit in [1, 7, 799, 800, 801] {
        let (mut listed, mut more) = (Vec::new(), true);
        while more {
            let page = page(subject.ledger(), listed.last(), limit);
            more = page.1;
            assert!(page.0.len() == limit || !more);
            listed.extend(page.0);
        }
        assert_eq!(listed, all, "pages of {limit}");
    }
    assert_eq!(page(subject.ledger(), None, 0), (vec![], true));
    assert_eq!(page(subject.ledger(), all.last(), 1), (vec![], false));
}

fn a_page_goes_on_behind_an_address_that_is_gone(subject: &mut impl Subject) {
    let mut hand = Hand::new();
    let mut all: Vec<Address> = (0..50).map(|number| address(&number.to_string())).collect();
    all.sort_by_key(|of| Place::new(of.clone()));
    hand.commit(subject.ledger(), all.iter().map(|of| listed(of, true)).collect());
    let (first, more) = page(subject.ledger(), None, 20);
    assert!(more);
    hand.commit(subject.ledger(), first.iter().map(|of| listed(of, false)).collect());
    assert_eq!(page(subject.ledger(), first.last(), 100), (all[20..].to_vec(), false));
}

fn records_are_read_behind_a_number(subject: &mut impl Subject) {
    let mut hand = Hand::new();
    let mut all = Vec::new();
    for checkpoint in 0..20 {
        let records: Vec<String> = (0..=checkpoint % 4).map(|number| format!("{checkpoint}-{number}")).collect();
        let writes = hand.publish(0, &records.iter().map(String::as_str).collect::<Vec<_>>(), 0);
        hand.commit(subject.ledger(), writes);
        all.extend(records);
    }
    let all: Vec<(u64, String)> = (1..).zip(all).collect();
    for after in 0..=all.len() {
        assert_eq!(read(subject.ledger(), &hand.lanes[0], after as u64, 1000, 10_000), all[after..], "after {after}");
    }
    assert_eq!(read(subject.ledger(), &hand.lanes[0], u64::MAX, 1000, 10_000), []);
}

fn a_read_is_bounded_by_records_and_bytes(subject: &mut impl Subject) {
    let mut hand = Hand::new();
    for records in [&["1", "22", "333"][..], &["4444", "55555"], &["", "6"]] {
        let writes = hand.publish(0, records, 0);
        hand.commit(subject.ledger(), writes);
    }
    let count = |after, limit, bytes| read(subject.ledger(), &hand.lanes[0], after, limit, bytes).len();
    assert_eq!(count(0, 0, 100), 0);
    assert_eq!(count(0, 2, 100), 2);
    assert_eq!(count(0, 4, 100), 4);
    assert_eq!(count(0, 100, 100), 7);
    // The first always fits, the next ones only in what is left.
    assert_eq!(count(0, 100, 0), 1);
    assert_eq!(count(0, 100, 2), 1);
    assert_eq!(count(0, 100, 3), 2);
    assert_eq!(count(0, 100, 9), 3);
    assert_eq!(count(0, 100, 10), 4);
    assert_eq!(count(3, 100, 1), 1);
    assert_eq!(count(4, 100, 5), 2);
}

fn freed_records_are_gone(subject: &mut impl Subject) {
    let mut hand = Hand::new();
    for records in [&["1", "2", "3"][..], &["4"], &["5", "6"]] {
        let writes = hand.publish(0, records, 0);
        hand.commit(subject.ledger(), writes);
    }
    let all: Vec<(u64, String)> = (1..=9).map(|number| (number, number.to_string())).collect();
    for (freed, records) in [(1, &[][..]), (2, &["7", "8", "9"]), (3, &[]), (5, &[]), (9, &[])] {
        let writes = hand.publish(0, records, freed);
        hand.commit(subject.ledger(), writes);
        subject.reopen();
        let end = if freed == 1 { 6 } else { 9 };
        assert_eq!(read_all(subject.ledger(), &hand.lanes[0]), all[freed as usize..end], "freed up to {freed}");
        assert_eq!(subject.ledger().lane(&hand.lanes[0]).expect("it can be read"), hand.stand[0]);
    }
}

fn a_freed_lane_goes_on(subject: &mut impl Subject) {
    let mut hand = Hand::new();
    for round in 0..5 {
        let writes = hand.publish(0, &["a", "b"], 2 * round);
        hand.commit(subject.ledger(), writes);
        let number = 2 * round + 1;
        assert_eq!(read_all(subject.ledger(), &hand.lanes[0]), [(number, "a".into()), (number + 1, "b".into())]);
        subject.reopen();
    }
    let writes = hand.publish(0, &[], 10);
    hand.commit(subject.ledger(), writes);
    assert_eq!(subject.ledger().lane(&hand.lanes[0]).expect("it can be read"), (11, 11));
    assert_eq!(read_all(subject.ledger(), &hand.lanes[0]), []);
}

fn lanes_do_not_touch_each_other(subject: &mut impl Subject) {
    let named = |namespace, name, part: &str| LaneName { egress: typename(namespace, name), part: part.to_owned() };
    let lanes = vec![
        named("a", "b", ""),
        named("a", "b", "c"),
        named("a", "b", "cc"),
        named("a", "bc", ""),
        named("a/b", "c", ""),
        named("a", "b/c", ""),
        named("", "", ""),
    ];
    let mut hand = Hand::with_lanes(lanes);
    for round in 0..3 {
        for place in 0..hand.lanes.len() {
            let text = format!("{place}:{round}");
            let writes = hand.publish(place, &[&text, &text], 0);
            hand.commit(subject.ledger(), writes);
        }
    }
    // All of the even ones are freed.
    for place in (0..hand.lanes.len()).step_by(2) {
        let writes = hand.publish(place, &[], 6);
        hand.commit(subject.ledger(), writes);
    }
    subject.reopen();
    for (place, lane) in hand.lanes.iter().enumerate() {
        let texts = (0..6).map(|number| (number + 1, format!("{place}:{}", number / 2)));
        let expected: Vec<_> = texts.filter(|_| place % 2 == 1).collect();
        assert_eq!(read_all(subject.ledger(), lane), expected, "{lane:?}");
        assert_eq!(read(subject.ledger(), lane, 3, 1, 100).len(), expected.len().min(1));
    }
}

fn lanes_that_do_not_fit_are_refused(subject: &mut impl Subject) {
    let mut hand = Hand::new();
    let writes = hand.publish(0, &["1", "2", "3"], 0);
    hand.commit(subject.ledger(), writes);
    let writes = hand.publish(0, &[], 1);
    hand.commit(subject.ledger(), writes);
    let outbox = |first, records: usize| Write::Outbox { lane: LaneId(0), first, records: vec![Bytes::new(); records] };
    let lane = |first_before, first, next| Write::Lane { lane: LaneId(0), first, next, first_before };
    let wrong = [
        vec![lane(1, 2, 4)],                                                       // it stood at 2
        vec![lane(2, 1, 4)],                                                       // what is freed does not come back
        vec![lane(2, 5, 4)],                                                       // frees what is not there
        vec![lane(2, 2, 5)],                                                       // a record that is not there
        vec![outbox(4, 1)],                                                        // without its lane
        vec![outbox(4, 2), lane(2, 2, 5)],                                         // more records than numbers
        vec![outbox(3, 1), lane(2, 2, 4)],                                         // a number that is taken
        vec![outbox(5, 1), lane(2, 2, 6)],                                         // a gap
        vec![outbox(4, 1), outbox(4, 1), lane(2, 2, 5)],                           // twice
        vec![outbox(4, 1), lane(2, 5, 5)],                                         // freed before anybody could see it
        vec![Write::Lane { lane: LaneId(1), first: 1, next: 1, first_before: 1 }], // without a name
    ];
    for writes in wrong {
        let refused = hand.clone().seal(writes);
        assert_eq!(code(subject.ledger().commit(&refused, &hand.lanes)), Some("MP5006"), "{:?}", refused.writes);
    }
    hand.commit(subject.ledger(), vec![outbox(4, 1), lane(2, 4, 5)]);
    assert_eq!(read_all(subject.ledger(), &hand.lanes[0]), [(4, String::new())]);
}

fn idempotency_keys_live_in_their_generation(subject: &mut impl Subject) {
    let mut hand = Hand::new();
    let writes =
        vec![idempotency(1, "key", 1), idempotency(1, "", 2), idempotency(256, "key", 3), idempotency(2, "ke", 4)];
    hand.commit(subject.ledger(), writes);
    subject.reopen();
    let ledger = subject.ledger();
    assert_eq!(find(ledger, "key", [1, 0]), Some(entry(1)));
    assert_eq!(find(ledger, "", [2, 1]), Some(entry(2)));
    assert_eq!(find(ledger, "key", [256, 1]), Some(entry(3)), "the newest first");
    assert_eq!(find(ledger, "key", [2, 1]), Some(entry(1)));
    assert_eq!(find(ledger, "key", [3, 2]), None);
    assert_eq!(find(ledger, "ke", [1, 0]), None);
}

fn a_generation_is_forgotten_as_a_whole(subject: &mut impl Subject) {
    let mut hand = Hand::new();
    for generation in [0, 1, 2, 255, 256, u64::MAX] {
        hand.commit(subject.ledger(), vec![idempotency(generation, "key", 1), idempotency(generation, "other", 2)]);
    }
    let forget = |generation| Write::ForgetIdempotency { generation };
    hand.commit(subject.ledger(), vec![forget(1), forget(255), forget(u64::MAX), idempotency(3, "key", 3)]);
    subject.reopen();
    for (generation, kept) in [(0, true), (1, false), (2, true), (255, false), (256, true), (u64::MAX, false)] {
        for key in ["key", "other"] {
            assert_eq!(find(subject.ledger(), key, [generation, 77]).is_some(), kept, "{key} in {generation}");
        }
    }
    assert_eq!(find(subject.ledger(), "key", [3, 2]), Some(entry(3)));
    assert_eq!(subject.ledger().restore().expect("it can be read").meta.checkpoint, hand.number);
}

fn addresses_that_look_alike_are_different(subject: &mut impl Subject) {
    let mut hand = Hand::new();
    let of = |namespace, name, id: &str| Address::new(typename(namespace, name), id);
    let all = [
        of("a/b", "c", "x"),
        of("a", "b/c", "x"),
        of("a", "b", "c/x"),
        of("ab", "c", "x"),
        of("a", "bc", "x"),
        of("a", "b", "a"),
        of("a", "b", "ab"),
        of("a", "b", "a/b"),
        of("a", "b", ""),
        of("a", "", "b"),
        of("", "a", "b"),
        of("", "", "ab"),
        of("a", "b", "A"),
        of("a", "b", "a\0"),
    ];
    for (number, of) in (1..).zip(&all) {
        let text = number.to_string();
        let writes = vec![state(of, "b", Some(value(&text))), pending(of, number, &text), listed(of, true)];
        hand.commit(subject.ledger(), writes);
    }
    subject.reopen();
    for (number, of) in (1..).zip(&all) {
        let seen = see(subject.ledger(), of);
        assert_eq!(seen.texts(), [("b", number.to_string().as_bytes())], "{of:?}");
        assert_eq!(seen.pending, [(number, invocation(number.to_string()))], "{of:?}");
    }
    hand.commit(subject.ledger(), vec![state(&all[0], "b", None), finished(&all[0], 1), listed(&all[0], false)]);
    let kept = all.iter().filter(|of| !see(subject.ledger(), of).is_nothing()).count();
    assert_eq!(kept, all.len() - 1);
    assert_eq!(page(subject.ledger(), None, 100).0.len(), all.len() - 1);
}

fn odd_ids_are_addresses(subject: &mut impl Subject) {
    let mut hand = Hand::new();
    let long = "x".repeat(1024);
    let longer = "x".repeat(70_000);
    let ids = ["", &long, &long[1..], &longer, &long[..254], &long[..255], "käse 🧀", "\u{ffff}", "\0", "\n", "%2F"];
    for id in ids {
        hand.commit(subject.ledger(), vec![state(&address(id), id, Some(value(id))), listed(&address(id), true)]);
    }
    subject.reopen();
    for id in ids {
        assert_eq!(see(subject.ledger(), &address(id)).texts(), [(id, id.as_bytes())]);
    }
    let (mut found, more) = page(subject.ledger(), None, 100);
    let mut expected = ids.map(address).to_vec();
    found.sort();
    expected.sort();
    assert_eq!((found, more), (expected, false));
}

fn a_large_value_comes_back(subject: &mut impl Subject) {
    let (mut hand, of) = (Hand::new(), address("a"));
    let large: Vec<u8> = (0_u32..16 << 20).map(|number| (number.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let mut writes = vec![state(&of, "large", Some(value(&large))), state(&of, "small", Some(value("1")))];
    let record = Bytes::from(large.clone());
    writes.push(Write::Outbox { lane: LaneId(0), first: 1, records: vec![record, Bytes::from_static(b"2")] });
    writes.push(Write::Lane { lane: LaneId(0), first: 1, next: 3, first_before: 1 });
    hand.commit(subject.ledger(), writes);
    subject.reopen();
    let seen = see(subject.ledger(), &of);
    assert!(seen.texts() == [("large", &large[..]), ("small", b"1")]);
    let records = subject.ledger().outbox(&hand.lanes[0], 0, 10, 1 << 20).expect("it can be read");
    assert!(records.len() == 1 && records[0].1 == large);
    assert_eq!(read(subject.ledger(), &hand.lanes[0], 1, 10, 1 << 20), [(2, "2".into())]);
}

fn specs_are_kept(subject: &mut impl Subject) {
    let mut hand = Hand::new();
    let spec = |name: &str, expiration| StateSpec { name: name.into(), typename: typename("t", "v"), expiration };
    let known = |function: &str, spec: StateSpec| Write::Spec { function: typename("a", function), spec };
    let first = vec![
        known("g", spec("seen", Expiration::AfterInvoke(5))),
        known("f", spec("seen", Expiration::None)),
        known("f", spec("", Expiration::AfterWrite(u64::MAX))),
    ];
    hand.commit(subject.ledger(), first);
    hand.commit(subject.ledger(), vec![known("f", spec("seen", Expiration::AfterWrite(1)))]);
    subject.reopen();
    let expected = [
        (typename("a", "f"), spec("", Expiration::AfterWrite(u64::MAX))),
        (typename("a", "f"), spec("seen", Expiration::AfterWrite(1))),
        (typename("a", "g"), spec("seen", Expiration::AfterInvoke(5))),
    ];
    assert_eq!(subject.ledger().specs().expect("they can be read"), expected);
}

fn invocations_come_in_pages(subject: &mut impl Subject) {
    let mut hand = Hand::new();
    let of = address("a");
    let many = [3, 5, 8, 300].map(|sequence| pending(&of, sequence, "x"));
    hand.commit(subject.ledger(), many.into_iter().chain([listed(&of, true)]).collect());
    let page = |from: u64, count: usize| {
        let bytes = count * invocation("x").bytes();
        match subject.ledger().load(&Load::Mailbox { address: of.clone(), from, bytes }) {
            Ok(Loaded::Mailbox { pending, more, .. }) => {
                (pending.into_iter().map(|(sequence, _)| sequence).collect::<Vec<_>>(), more)
            }
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(page(0, 2), (vec![3, 5], true));
    assert_eq!(page(6, 2), (vec![8, 300], false));
    assert_eq!(page(5, 0), (vec![5], true), "one always fits");
    assert_eq!(page(301, 9), (vec![], false));
}

fn failures_and_backlogs_are_kept(subject: &mut impl Subject) {
    let mut hand = Hand::new();
    let of = address("a");
    let failure = FailureRecord {
        kind: FailureKind::Rejected,
        code: "MP4002".into(),
        error: "no".into(),
        attempts: 3,
        since: 1,
        parked: 2,
        next: u64::MAX,
    };
    let backlog = Backlog { invocations: 1, bytes: 97, parked: 1 };
    let (function, kept) = (of.function.clone(), Some(failure));
    let mut writes = vec![pending(&of, 1, "x"), listed(&of, true)];
    writes.push(Write::Failure { address: of.clone(), failure: kept.clone() });
    writes.push(Write::Backlog { function: function.clone(), backlog });
    hand.commit(subject.ledger(), writes);
    subject.reopen();
    let failure = |subject: &dyn Ledger| match subject.load(&Load::Address { address: of.clone(), bytes: 1 }) {
        Ok(Loaded::Address(loaded)) => loaded.failure,
        other => panic!("{other:?}"),
    };
    assert_eq!(failure(subject.ledger()), kept);
    let backlogs = subject.ledger().restore().expect("it can be read").backlogs;
    assert_eq!(backlogs.into_iter().collect::<Vec<_>>(), [(function.clone(), backlog)]);
    let mut writes = vec![Write::Failure { address: of.clone(), failure: None }];
    writes.push(Write::Backlog { function, backlog: Backlog::default() });
    hand.commit(subject.ledger(), writes);
    assert_eq!(failure(subject.ledger()), None);
    assert!(subject.ledger().restore().expect("it can be read").backlogs.is_empty());
}

fn values_that_are_over_are_found(subject: &mut impl Subject) {
    let mut hand = Hand::new();
    let written =
        |address: &Address, name: &str, written| state(address, name, Some(StateValue { written, ..value("x") }));
    let (a, b, c) = (address("a"), address("b"), address("c"));
    let mut writes = vec![written(&a, "after-write", 10), written(&b, "after-invoke", 10), written(&c, "ever", 10)];
    writes.push(Write::Accessed { address: b.clone(), time: Some(50) });
    hand.commit(subject.ledger(), writes);
    let lives = [("after-write", Expiration::AfterWrite(5)), ("after-invoke", Expiration::AfterInvoke(5))];
    let lives = Arc::new(lives.map(|(name, life)| (a.function.clone(), name.into(), life)).to_vec());
    let look = |now| {
        let (mut found, mut after) = ((Vec::new(), false), None);
        loop {
            let load = Load::Expired { after, rows: 1, now, lives: Arc::clone(&lives) };
            let Ok(Loaded::Expired { over, alive, next }) = subject.ledger().load(&load) else { panic!("{load:?}") };
            found.0.extend(over.into_iter().map(|address| address.id.to_string()));
            found.1 |= alive;
            after = next;
            if after.is_none() {
                found.0.sort();
                return found;
            }
        }
    };
    assert_eq!(look(14), (vec![], true));
    assert_eq!(look(15), (vec!["a".to_owned()], true));
    assert_eq!(look(55), (vec!["a".to_owned(), "b".to_owned()], false));
}

/// Each checkpoint finishes one invocation, adds the next, counts in two states and adds a record. Whoever looks from
/// another thread must find all of that at the same count, and never an older one than before.
fn positions_are_kept(subject: &mut impl Subject) {
    let mut hand = Hand::new();
    let partition =
        |topic: &str, number| Partition { ingress: typename("com.example", "in"), topic: topic.into(), number };
    let position = |partition: Partition, next| Write::Position { partition: Arc::new(partition), next };
    let writes =
        vec![position(partition("a", 0), 7), position(partition("a", u32::MAX), 0), position(partition("aa", 0), 1)];
    hand.commit(subject.ledger(), writes);
    hand.commit(subject.ledger(), vec![position(partition("a", 0), u64::MAX), position(partition("b", 1), 3)]);
    let expected = [(("a", 0), u64::MAX), (("a", u32::MAX), 0), (("aa", 0), 1), (("b", 1), 3)]
        .map(|((topic, number), next)| (partition(topic, number), next));
    for _ in 0..2 {
        let found: Vec<_> = subject.ledger().restore().expect("it can be read").positions.into_iter().collect();
        assert_eq!(found, expected);
        subject.reopen();
    }
}

fn publishers_keep_their_books(subject: &mut impl Subject) {
    let starts = |ids: &[u64]| ids.iter().map(|id| Incarnation { id: *id, after: id / 2 }).collect::<Vec<_>>();
    let refused = |sequence| RefusedByEgress { sequence, record: "r".into(), error: "too large".to_owned() };
    let identity = subject.ledger().identity().expect("it is chosen");
    assert_eq!(subject.ledger().lineage(&lane("a")).expect("it can be read"), []);
    subject.ledger().claim(&lane("a"), &starts(&[1, u64::MAX])).expect("it is written");
    subject.ledger().claim(&lane("aa"), &starts(&[3])).expect("it is written");
    for sequence in [2, 300, 2] {
        subject.ledger().refuse(&lane("a"), &refused(sequence)).expect("it is written");
    }
    for _ in 0..2 {
        let ledger = subject.ledger();
        assert_eq!(ledger.identity().expect("it can be read"), identity);
        assert_eq!(ledger.lineage(&lane("a")).expect("it can be read"), starts(&[1, u64::MAX]));
        assert_eq!(ledger.lineage(&lane("aa")).expect("it can be read"), starts(&[3]));
        let read = |after, limit, bytes| ledger.refused(&lane("a"), after, limit, bytes).expect("they can be read");
        let all = [refused(2), refused(300)];
        assert_eq!(read(0, 9, 999), all);
        assert_eq!((read(0, 1, 999), read(0, 9, 0), read(0, 0, 999)), (vec![refused(2)], vec![refused(2)], vec![]));
        assert_eq!((read(2, 9, 999), read(300, 9, 999), read(u64::MAX, 9, 9)), (vec![refused(300)], vec![], vec![]));
        let count = |of| ledger.refused_count(&lane(of)).expect("they can be counted");
        assert_eq!((count("a"), count("aa")), (2, 0));
        assert!(ledger.refused(&lane("aa"), 0, 9, 999).expect("they can be read").is_empty());
        assert_eq!(ledger.restore().expect("it can be read"), Default::default(), "no checkpoint knows of it");
        subject.reopen();
    }
    let discard = |ledger: &dyn Ledger, of: &str, sequence| ledger.discard(&lane(of), sequence).expect("it is written");
    assert!(discard(subject.ledger(), "a", 2));
    subject.reopen();
    assert!(!discard(subject.ledger(), "a", 2) && !discard(subject.ledger(), "aa", 300));
    assert_eq!(subject.ledger().refused(&lane("a"), 0, 9, 999).expect("they can be read"), [refused(300)]);
    subject.ledger().claim(&lane("a"), &starts(&[9])).expect("it is written");
    assert_eq!(subject.ledger().lineage(&lane("a")).expect("it can be read"), starts(&[9]));
}

fn loads_see_whole_checkpoints(subject: &mut impl Subject) {
    const CHECKPOINTS: u64 = 300;
    let of = address("a");
    let (ledger, out, done) = (subject.ledger(), lane(""), &AtomicBool::new(false));
    let look = |least: u64| {
        let seen = see(ledger, &of);
        let Some((_, count)) = seen.texts().first().copied() else { return least };
        let count: u64 = std::str::from_utf8(count).expect("it is text").parse().expect("it is a number");
        assert!(count >= least, "{count} after {least}");
        assert!(seen.texts().iter().all(|(_, text)| *text == count.to_string().as_bytes()), "{:?}", seen.texts());
        assert_eq!(seen.sequences(), [count]);
        let (first, next) = ledger.lane(&out).expect("it can be read");
        assert!(next > count && next - first <= 4);
        let records = read_all(ledger, &out);
        let numbers: Vec<u64> = records.iter().map(|(number, _)| *number).collect();
        let from = numbers.first().copied().expect("some records are always kept");
        assert_eq!(numbers, (from..from + numbers.len() as u64).collect::<Vec<_>>());
        assert!(from >= first && numbers.len() <= 4, "{numbers:?} from {first}");
        assert!(records.iter().all(|(number, text)| *text == number.to_string()));
        count
    };
    std::thread::scope(|threads| {
        for _ in 0..3 {
            threads.spawn(|| {
                let mut least = 0;
                while !done.load(Ordering::Relaxed) {
                    least = look(least);
                }
                assert_eq!(look(least), CHECKPOINTS);
            });
        }
        let _done = Done(done);
        let mut hand = Hand::new();
        for count in 1..=CHECKPOINTS {
            let text = count.to_string();
            let mut writes = vec![state(&of, "one", Some(value(&text))), state(&of, "two", Some(value(&text)))];
            writes.extend([pending(&of, count, &text), listed(&of, true)]);
            writes.extend((count > 1).then(|| finished(&of, count - 1)));
            writes.extend(hand.publish(0, &[&text], count.saturating_sub(4)));
            hand.commit(ledger, writes);
        }
    });
}

/// Ends the lookers, also when the test fails.
struct Done<'a>(&'a AtomicBool);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
