//! The data directory: who may open it, and what is refused.

use std::fs;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::words::*;
use crate::ledger::{Ledger, LocalLedger};

pub fn directory() -> (TempDir, PathBuf) {
    let parent = tempfile::tempdir().expect("a directory");
    let path = parent.path().join("data/ledger");
    (parent, path)
}

/// A ledger with so many checkpoints, closed.
pub fn with_checkpoints(path: &Path, count: u64) -> Hand {
    let mut hand = Hand::new();
    let ledger = LocalLedger::open(path).expect("a new ledger");
    for number in 1..=count {
        let mut writes = vec![state(&address("a"), "count", Some(value(number.to_string())))];
        writes.extend(hand.publish(0, &["record"], 0));
        hand.commit(&ledger, writes);
    }
    hand
}

pub fn refused(path: &Path) -> (&'static str, String) {
    match LocalLedger::open(path) {
        Ok(_) => panic!("`{}` was opened", path.display()),
        Err(error) => {
            let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
            (error.code(), format!("{error}{cause}"))
        }
    }
}

/// What to do, for the same.
fn hint(path: &Path) -> &'static str {
    LocalLedger::open(path).err().and_then(|error| error.hint()).expect("it is refused, with a hint")
}

pub fn checkpoints(path: &Path) -> u64 {
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
    for file in ["lock", "FORMAT", "README.txt", "confirmed"] {
        let mode = fs::metadata(path.join(file)).expect("it is there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{file}");
    }
    assert_eq!(fs::read_to_string(path.join("FORMAT")).expect("it is there"), "millpond ledger format 2\n");
    assert!(fs::read_to_string(path.join("README.txt")).expect("it is there").contains("Millpond"));
}

/// A start takes back what was loosened, and does not mind what is narrower.
#[test]
fn a_directory_that_was_opened_to_others_is_private_again() {
    let (_parent, path) = directory();
    with_checkpoints(&path, 1);
    for folder in [path.clone(), path.join("rocksdb")] {
        for loose in [0o755, 0o770, 0o777, 0o2750, 0o701] {
            fs::set_permissions(&folder, fs::Permissions::from_mode(loose)).expect("it is ours");
            assert_eq!(checkpoints(&path), 1);
            let mode = fs::metadata(&folder).expect("it is there").permissions().mode();
            assert_eq!(mode & 0o7777, 0o700, "{loose:o} of {}", folder.display());
        }
    }
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
    fs::write(path.join("FORMAT"), "millpond ledger format 3\n").expect("it is ours");
    fs::remove_dir_all(path.join("rocksdb")).expect("it is ours");
    let (code, message) = refused(&path);
    assert_eq!(code, "MP5003");
    assert!(message.contains("has format 3, this version reads formats up to 2"), "{message}");
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
    fs::write(path.join("APPLICATION"), "").expect("it is ours");
    for words in [&b""[..], b"millpond ledger format 0\n", b"\xff\xfe"] {
        fs::write(&format, words).expect("it is ours");
        let (code, message) = refused(&path);
        assert_eq!(code, "MP5001");
        assert!(message.ends_with("is not whole: its file `FORMAT` does not name a format"), "{message}");
    }
    fs::remove_file(&format).expect("it is ours");
    let (code, message) = refused(&path);
    assert_eq!(code, "MP5001");
    assert!(message.contains("`FORMAT` is missing"), "{message}");
    assert!(hint(&path).starts_with("bring the whole directory back"), "{}", hint(&path));
    fs::write(&format, "millpond ledger format 2\n").expect("it is ours");
    assert_eq!(checkpoints(&path), 2);
    fs::remove_dir_all(path.join("rocksdb")).expect("it is ours");
    let (code, message) = refused(&path);
    assert_eq!(code, "MP5001");
    assert!(message.ends_with("is not whole: its folder `rocksdb` with the data is missing"), "{message}");
    assert!(hint(&path).starts_with("bring the whole directory back"), "{}", hint(&path));
    assert!(!path.join("rocksdb").exists(), "nothing was filled up");
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

/// A ledger of the first format is brought up, with all that it holds. Its files are those that the version of that format
/// left when it was killed; its log is compressed.
#[test]
fn the_first_format_is_brought_up() {
    let (_parent, path) = directory();
    let old = Path::new(env!("CARGO_MANIFEST_DIR")).join("ledger/tests/format-1");
    fs::create_dir_all(path.join("rocksdb")).expect("it is made");
    for file in ["FORMAT", "rocksdb/CURRENT", "rocksdb/MANIFEST-000005"] {
        fs::copy(old.join(file), path.join(file)).expect("it is there");
    }
    let log = fs::File::open(old.join("rocksdb/000004.log.gz")).expect("it is there");
    let mut bytes = Vec::new();
    flate2::read::GzDecoder::new(log).read_to_end(&mut bytes).expect("it is whole");
    fs::write(path.join("rocksdb/000004.log"), bytes).expect("it is ours");

    let ledger = LocalLedger::open(&path).expect("an older format is read");
    assert_eq!(ledger.restore().expect("it can be read").meta.checkpoint, 78);
    super::crash::check(&ledger, 78);
    drop(ledger);
    assert_eq!(fs::read_to_string(path.join("FORMAT")).expect("it is there"), "millpond ledger format 2\n");
    // From now on what is confirmed is known.
    fs::remove_file(path.join("confirmed")).expect("it is there");
    assert_eq!(refused(&path).0, "MP5005");
}

/// An error of a stored file names it, and what is wrong with it.
#[test]
fn errors_name_the_file() {
    let (_parent, path) = directory();
    with_checkpoints(&path, 1);
    fs::remove_file(path.join("rocksdb/CURRENT")).expect("it is there");
    let (code, message) = refused(&path);
    assert_eq!(code, "MP5005");
    assert!(message.contains("rocksdb/CURRENT` is damaged"), "{message}");
}
