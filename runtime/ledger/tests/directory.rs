//! The data directory: who may open it, and what is refused.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::words::*;
use crate::ledger::{Ledger, LedgerError, LocalLedger};

fn directory() -> (TempDir, PathBuf) {
    let parent = tempfile::tempdir().expect("a directory");
    let path = parent.path().join("data/ledger");
    (parent, path)
}

/// A ledger with so many checkpoints, closed.
fn with_checkpoints(path: &Path, count: u64) -> Hand {
    let mut hand = Hand::new();
    let ledger = LocalLedger::open(path).expect("a new ledger");
    for number in 1..=count {
        let mut writes = vec![state(&address("a"), "count", Some(value(number.to_string())))];
        writes.extend(hand.publish(0, &["record"], 0));
        hand.commit(&ledger, writes);
    }
    hand
}

fn refused(path: &Path) -> (&'static str, String) {
    match LocalLedger::open(path) {
        Ok(_) => panic!("`{}` was opened", path.display()),
        Err(error) => {
            let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
            (error.code(), format!("{error}{cause}"))
        }
    }
}

fn checkpoints(path: &Path) -> u64 {
    LocalLedger::open(path).expect("it is whole").restore().expect("it can be read").meta.checkpoint
}

/// Only its owner may read it, and it says what it is.
#[test]
fn a_directory_is_private_and_explains_itself() {
    let (_parent, path) = directory();
    drop(LocalLedger::open(&path).expect("a new ledger"));
    for made in [path.clone(), path.join("rocksdb"), path.parent().expect("it has one").to_owned()] {
        let mode = fs::metadata(&made).expect("it is there").permissions().mode();
        assert_eq!(mode & 0o777, 0o700, "{}", made.display());
    }
    for file in ["lock", "FORMAT", "README.txt"] {
        let mode = fs::metadata(path.join(file)).expect("it is there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{file}");
    }
    assert_eq!(fs::read_to_string(path.join("FORMAT")).expect("it is there"), "millpond ledger format 1\n");
    assert!(fs::read_to_string(path.join("README.txt")).expect("it is there").contains("Millpond"));
}

/// An empty directory that somebody else made is taken, and made private.
#[test]
fn an_empty_directory_is_taken() {
    let (_parent, path) = directory();
    fs::create_dir_all(&path).expect("it is made");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("it is ours");
    with_checkpoints(&path, 1);
    assert_eq!(fs::metadata(&path).expect("it is there").permissions().mode() & 0o777, 0o700);
    assert_eq!(checkpoints(&path), 1);
}

/// Two owners would both go on from the same place: the second is told who the first one is.
#[test]
fn a_directory_has_one_owner() {
    let (_parent, path) = directory();
    let first = LocalLedger::open(&path).expect("a new ledger");
    let (code, message) = refused(&path);
    assert_eq!(code, "MP5002");
    assert!(message.ends_with(&format!("is open in another process (pid {})", std::process::id())), "{message}");
    drop(first);
    drop(LocalLedger::open(&path).expect("it is free again"));
}

/// What a newer version wrote is not touched by an older one.
#[test]
fn a_newer_format_is_refused() {
    let (_parent, path) = directory();
    with_checkpoints(&path, 1);
    fs::write(path.join("FORMAT"), "millpond ledger format 2\n").expect("it is ours");
    fs::remove_dir_all(path.join("rocksdb")).expect("it is ours");
    let (code, message) = refused(&path);
    assert_eq!(code, "MP5003");
    assert!(message.contains("has format 2, this version reads formats up to 1"), "{message}");
    assert!(!path.join("rocksdb").exists());
}

/// A directory with other things in it is somebody else's.
#[test]
fn a_directory_of_something_else_is_left_alone() {
    let (_parent, path) = directory();
    fs::create_dir_all(&path).expect("it is made");
    fs::write(path.join("thesis.txt"), "words").expect("it is ours");
    let (code, message) = refused(&path);
    assert_eq!(code, "MP5001");
    assert!(message.contains("it holds `thesis.txt` and is no ledger"), "{message}");
    assert_eq!(fs::read_dir(&path).expect("it is there").count(), 1);
    let file = path.join("thesis.txt");
    assert_eq!(refused(&file).0, "MP5001");
}

/// A directory that lost a part of itself is not filled up with nothing.
#[test]
fn a_directory_that_is_not_whole_is_refused() {
    let (_parent, path) = directory();
    with_checkpoints(&path, 2);
    let format = path.join("FORMAT");
    fs::write(&format, "").expect("it is ours");
    assert_eq!(refused(&path).0, "MP5001");
    fs::remove_file(&format).expect("it is ours");
    let (code, message) = refused(&path);
    assert_eq!(code, "MP5001");
    assert!(message.contains("`FORMAT` is missing"), "{message}");
    fs::write(&format, "millpond ledger format 1\n").expect("it is ours");
    assert_eq!(checkpoints(&path), 2);
    fs::remove_file(path.join("rocksdb/CURRENT")).expect("it is there");
    assert!(["MP5004", "MP5005"].contains(&refused(&path).0));
    fs::remove_dir_all(path.join("rocksdb")).expect("it is ours");
    let (code, message) = refused(&path);
    assert_eq!(code, "MP5001");
    assert!(message.contains("`rocksdb` is missing"), "{message}");
}

/// A start that was interrupted while it made the directory is done again.
#[test]
fn an_unfinished_directory_is_finished() {
    let (_parent, path) = directory();
    fs::create_dir_all(path.join("rocksdb")).expect("it is made");
    fs::write(path.join("lock"), "12345678\n").expect("it is ours");
    fs::write(path.join("README.txt.new"), "This dir").expect("it is ours");
    fs::write(path.join("FORMAT.new"), "mill").expect("it is ours");
    with_checkpoints(&path, 1);
    assert_eq!(checkpoints(&path), 1);
}

fn log_of(path: &Path) -> PathBuf {
    let files = fs::read_dir(path.join("rocksdb")).expect("it is there").map(|file| file.expect("it is there").path());
    let mut logs: Vec<PathBuf> = files.filter(|file| file.extension().is_some_and(|end| end == "log")).collect();
    logs.sort();
    logs.pop().expect("there is a log")
}

/// The log ends inside a checkpoint: its commit never returned, so it is cut off; the same number is taken again.
#[test]
fn a_torn_end_is_cut_off() {
    let (_parent, path) = directory();
    let hand = with_checkpoints(&path, 5);
    let log = log_of(&path);
    let length = fs::metadata(&log).expect("it is there").len();
    fs::File::options().write(true).open(&log).and_then(|log| log.set_len(length - 20)).expect("it is ours");
    assert_eq!(checkpoints(&path), 4);
    let ledger = LocalLedger::open(&path).expect("it is whole");
    assert_eq!(see(&ledger, &address("a")).texts(), [("count", &b"4"[..])]);
    let mut hand = Hand { number: 4, stand: vec![(1, 5)], ..hand };
    let writes = hand.publish(0, &["record"], 0);
    hand.commit(&ledger, writes);
    assert_eq!(read_all(&ledger, &lane("")).len(), 5);
}

/// The log is damaged before its end: what follows was confirmed, so going on without it is no choice of ours.
#[test]
fn damage_before_the_end_is_refused() {
    let (_parent, path) = directory();
    with_checkpoints(&path, 50);
    let log = log_of(&path);
    let mut bytes = fs::read(&log).expect("it is there");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0xff;
    fs::write(&log, bytes).expect("it is ours");
    let (code, message) = refused(&path);
    assert_eq!(code, "MP5005", "{message}");
}

/// An error of the storage engine says what was being attempted, and keeps its cause.
#[test]
fn errors_keep_their_cause() {
    let (_parent, path) = directory();
    with_checkpoints(&path, 1);
    fs::remove_file(path.join("rocksdb/CURRENT")).expect("it is there");
    let Err(error) = LocalLedger::open(&path) else { panic!("it was opened") };
    assert!(matches!(error, LedgerError::Storage { doing: "opening the ledger", .. }), "{error:?}");
    assert!(std::error::Error::source(&error).is_some());
}
