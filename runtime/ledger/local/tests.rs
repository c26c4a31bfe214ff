//! What cannot be seen through the trait: what is left on the disk, and that the log can be held against the chain.

use std::path::PathBuf;

use prost::Message;
use rocksdb::{IteratorMode, WriteBatch};
use xxhash_rust::xxh3::xxh3_128;

use super::batch::{BATCH_HEAD, Committed};
use super::read::families;
use super::*;
use crate::ledger::keys;
use crate::ledger::records::ChainRecord;
use crate::ledger::tests::words::*;

fn ledger() -> (tempfile::TempDir, LocalLedger) {
    let directory = tempfile::tempdir().expect("a directory");
    let ledger = LocalLedger::open(directory.path()).expect("a new ledger");
    (directory, ledger)
}

/// First numbers of the outbox records that are stored.
fn stored(ledger: &LocalLedger) -> Vec<u64> {
    let (_, queues) = families(&ledger.db);
    let rows = ledger.db.iterator_cf(queues, IteratorMode::Start).map(|row| row.expect("it can be read"));
    let keys = rows.filter_map(|(key, _)| keys::Key::parse(&key));
    keys.filter_map(|key| if let keys::Key::Outbox { first, .. } = key { Some(first) } else { None }).collect()
}

/// A stored record goes when all of it is freed, and not before; nothing of a freed lane stays.
#[test]
fn freed_records_leave_the_disk() {
    let (_directory, ledger) = ledger();
    let mut hand = Hand::new();
    let mut commit = |records: &[&str], freed| {
        let writes = hand.publish(0, records, freed);
        hand.commit(&ledger, writes);
        stored(&ledger)
    };
    assert_eq!(commit(&["1", "2", "3"], 0), [1]);
    assert_eq!(commit(&["4"], 0), [1, 4]);
    assert_eq!(commit(&["5", "6"], 2), [1, 4, 5]);
    assert_eq!(commit(&[], 3), [4, 5]);
    assert_eq!(commit(&["7"], 5), [5, 7]);
    assert_eq!(commit(&["8", "9"], 7), [8]);
    assert_eq!(commit(&[], 8), [8]);
    assert!(commit(&[], 9).is_empty());
    assert_eq!(commit(&["10"], 0), [10]);
    assert_eq!(commit(&["11"], 10), [11]);
}

/// An address that is used up leaves no key behind.
#[test]
fn what_is_over_leaves_the_disk() {
    let (_directory, ledger) = ledger();
    let (mut hand, of) = (Hand::new(), address("a"));
    hand.commit(&ledger, vec![state(&of, "s", Some(value("1"))), pending(&of, 1, "x"), listed(&of, true)]);
    hand.commit(&ledger, vec![state(&of, "s", None), finished(&of, 1), listed(&of, false)]);
    let (values, queues) = families(&ledger.db);
    let keys = |family| ledger.db.iterator_cf(family, IteratorMode::Start).map(|row| row.expect("it can be read").0);
    assert_eq!(keys(values).count(), 0);
    assert_eq!(keys(queues).collect::<Vec<_>>(), [keys::META.into(), keys::CHAIN.into()]);
}

/// The chain record of a batch: the last thing in it, behind its key, with its length in front.
fn chain_of(batch: &[u8]) -> ChainRecord {
    let key = [&[keys::CHAIN.len() as u8], keys::CHAIN].concat();
    let at = batch.windows(key.len()).rposition(|bytes| bytes == key).expect("each batch has its chain") + key.len();
    ChainRecord::decode_length_delimited(&batch[at..]).expect("it is a chain record")
}

/// Each batch in the log says how much of it is content, and its checksum; the chain is that of all of them in order.
#[test]
fn the_chain_is_that_of_the_log() {
    let (directory, ledger) = ledger();
    let mut hand = Hand::new();
    for number in 0..20_u64 {
        let mut writes = vec![state(&address("a"), "count", Some(value(number.to_string())))];
        writes.extend(hand.publish(0, &["record"], number.saturating_sub(3)));
        hand.commit(&ledger, writes);
    }
    let mut chain = Committed::default();
    for update in ledger.db.get_updates_since(0).expect("the log is there") {
        let (_, batch): (u64, WriteBatch) = update.expect("the log is whole");
        let record = chain_of(batch.data());
        let content = xxh3_128(&batch.data()[BATCH_HEAD..BATCH_HEAD + record.content_bytes as usize]);
        assert_eq!(record.checkpoint, chain.checkpoint + 1);
        assert_eq!(record.content, content.to_be_bytes());
        chain.chain = chain.next_chain(record.checkpoint, content);
        chain.checkpoint = record.checkpoint;
        assert_eq!(record.chain, chain.chain.to_be_bytes());
    }
    assert_eq!(chain.checkpoint, 20);
    drop(ledger);
    let ledger = LocalLedger::open(directory.path()).expect("it is whole");
    let writer = ledger.writer.lock().expect("nobody panicked");
    assert_eq!((writer.committed.checkpoint, writer.committed.chain), (20, chain.chain));
}

/// What publishers keep is written while checkpoints are, from threads of their own; the log holds each by itself.
#[test]
fn books_are_written_beside_checkpoints() {
    let (directory, ledger) = ledger();
    std::thread::scope(|scope| {
        for name in ["a", "b"] {
            let ledger = &ledger;
            scope.spawn(move || {
                for id in 0..200 {
                    let starts = [millpond_publisher::Incarnation { id, after: 0 }];
                    ledger.claim(&lane(name), &starts).expect("it is written");
                }
            });
        }
        let mut hand = Hand::new();
        for number in 0..200 {
            hand.commit(&ledger, vec![state(&address("a"), "seen", Some(value(number.to_string())))]);
        }
    });
    drop(ledger);
    let ledger = LocalLedger::open(directory.path()).expect("nothing is missing");
    assert_eq!(ledger.lineage(&lane("b")).expect("it can be read")[0].id, 199);
}

/// What publishers keep stands between checkpoints in the log, and a start reads past it.
#[test]
fn books_stand_between_checkpoints() {
    let (directory, ledger) = ledger();
    let path = directory.path().to_owned();
    let mut hand = Hand::new();
    let starts = |id| vec![millpond_publisher::Incarnation { id, after: 0 }];
    let identity = ledger.identity().expect("it is chosen");
    for id in 0..5 {
        ledger.claim(&lane("a"), &starts(id)).expect("it is written");
        hand.commit(&ledger, vec![state(&address("a"), "seen", Some(value("1")))]);
    }
    ledger.claim(&lane("a"), &starts(9)).expect("it is written");
    drop(ledger);
    let ledger = LocalLedger::open(&path).expect("nothing is missing");
    assert_eq!(ledger.identity().expect("it can be read"), identity);
    assert_eq!(ledger.lineage(&lane("a")).expect("it can be read"), starts(9));
}

/// The next checkpoints go to another log; the one before is still of use, because not all of it is in files.
fn next_log(ledger: &LocalLedger) {
    let (values, _) = families(&ledger.db);
    ledger.db.flush_cf(values).expect("it can be written");
}

/// A ledger whose checkpoints are in several logs, two in each, and the logs.
fn with_logs(count: usize) -> (tempfile::TempDir, LocalLedger, Vec<PathBuf>) {
    let (directory, ledger) = ledger();
    let mut hand = Hand::new();
    for number in 0..count {
        if number > 0 {
            next_log(&ledger);
        }
        for _ in 0..2 {
            let mut writes = vec![state(&address("a"), "count", Some(value(hand.number.to_string())))];
            writes.extend(hand.publish(0, &["record"], 0));
            hand.commit(&ledger, writes);
        }
    }
    let logs: Vec<PathBuf> = logs_of(&directory);
    assert_eq!(logs.len(), count);
    (directory, ledger, logs)
}

fn logs_of(directory: &tempfile::TempDir) -> Vec<PathBuf> {
    let logs = current_log::logs(&directory.path().join("rocksdb")).expect("it can be read");
    logs.into_iter().map(|(_, file)| file).collect()
}

/// A log that is not the last one is missed by name, and so is the end of one.
#[test]
fn an_older_log_is_missed_by_name() {
    for shortened in [false, true] {
        let (directory, ledger, logs) = with_logs(3);
        drop(ledger);
        let log = &logs[1];
        if shortened {
            // At the end of a checkpoint, where the log itself looks whole.
            let two = std::fs::metadata(log).expect("it is there").len();
            let file = std::fs::File::options().write(true).open(log).expect("it is ours");
            file.set_len(two / 2).expect("it is ours");
        } else {
            std::fs::remove_file(log).expect("it is ours");
        }
        match LocalLedger::open(directory.path()) {
            Err(LedgerError::Damaged { file, what }) => assert_eq!(&file, log, "{what}"),
            other => panic!("{:?}", other.err()),
        }
    }
}

/// RocksDB removes logs that are of no use, the newest of them first; a crash in between leaves the oldest, and a gap.
#[test]
fn a_log_of_no_use_that_was_left_behind_does_no_harm() {
    let (directory, ledger, logs) = with_logs(3);
    let oldest = std::fs::read(&logs[0]).expect("it is there");
    let (_, queues) = families(&ledger.db);
    ledger.db.flush_cf(queues).expect("it can be written");
    drop(ledger);
    for log in &logs[..2] {
        _ = std::fs::remove_file(log);
    }
    std::fs::write(&logs[0], oldest).expect("it is ours");
    assert!(logs[2].exists() && !logs[1].exists(), "there is a gap");
    let ledger = LocalLedger::open(directory.path()).expect("nothing is missing");
    assert_eq!(ledger.restore().expect("it can be read").meta.checkpoint, 6);
    assert_eq!(read_all(&ledger, &lane("")).len(), 6);
}
