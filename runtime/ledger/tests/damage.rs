//! Damage: what was confirmed is there, or the ledger does not open. Only a person may say otherwise.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use millpond_engine::Load;
use tempfile::TempDir;

use super::directory::{checkpoints, directory, refused, with_checkpoints};
use super::words::*;
use crate::ledger::{Ledger, LedgerError, LocalLedger, Watched};

/// The last file of the data with this ending.
fn file_of(path: &Path, ending: &str) -> PathBuf {
    let files = fs::read_dir(path.join("rocksdb")).expect("it is there").map(|file| file.expect("it is there").path());
    let mut found: Vec<PathBuf> = files.filter(|file| file.extension().is_some_and(|end| end == ending)).collect();
    found.sort();
    found.pop().unwrap_or_else(|| panic!("there is no .{ending}"))
}

fn cut(file: &Path, length: u64) {
    fs::File::options().write(true).open(file).and_then(|file| file.set_len(length)).expect("it is ours");
}

fn flip(file: &Path, at: usize) {
    let mut bytes = fs::read(file).expect("it is there");
    bytes[at] ^= 0x55;
    fs::write(file, bytes).expect("it is ours");
}

/// A copy of a directory that is damaged in turn.
fn copy(of: &Path) -> (TempDir, PathBuf) {
    let (parent, path) = directory();
    for folder in ["", "rocksdb"] {
        fs::create_dir_all(path.join(folder)).expect("it is made");
        for entry in fs::read_dir(of.join(folder)).expect("it is there").map(|entry| entry.expect("it is there")) {
            if entry.file_type().expect("it has one").is_file() {
                fs::copy(entry.path(), path.join(folder).join(entry.file_name())).expect("it is ours");
            }
        }
    }
    (parent, path)
}

/// The state that `with_checkpoints` leaves is that of one checkpoint, whichever it is.
fn is_of(ledger: &LocalLedger, checkpoint: u64) {
    assert_eq!(see(ledger, &address("a")).texts(), [("count", checkpoint.to_string().as_bytes())]);
    assert_eq!(read_all(ledger, &lane("")).len() as u64, checkpoint);
}

/// The log ends inside a checkpoint that nobody was told of: it is cut off; the same number is taken again.
#[test]
fn a_torn_end_is_cut_off() {
    let (_parent, path) = directory();
    let hand = with_checkpoints(&path, 4);
    let (_copy, before) = copy(&path);
    let ledger = LocalLedger::open(&path).expect("it is whole");
    let mut hand = Hand { number: 4, stand: vec![(1, 5)], ..hand };
    let mut writes = vec![state(&address("a"), "count", Some(value("5")))];
    writes.extend(hand.publish(0, &["record"], 0));
    hand.commit(&ledger, writes);
    drop(ledger);
    // The log of the fifth one, in each length, beside the mark of the fourth one.
    let log = file_of(&path, "log");
    let bytes = fs::read(&log).expect("it is there");
    for length in [0, 1, 6, 7, 8, 20, bytes.len() / 2, bytes.len() - 1] {
        let (_torn, torn) = copy(&path);
        fs::copy(before.join("confirmed"), torn.join("confirmed")).expect("it is ours");
        cut(&file_of(&torn, "log"), length as u64);
        let ledger = LocalLedger::open(&torn).expect("a torn end is cut off");
        is_of(&ledger, 4);
        let mut hand = Hand { number: 4, stand: vec![(1, 5)], ..Hand::new() };
        let writes = hand.publish(0, &["record"], 0);
        hand.commit(&ledger, writes);
        assert_eq!(read_all(&ledger, &lane("")).len(), 5);
        drop(ledger);
        assert_eq!(checkpoints(&torn), 5);
    }
    // All of it is there, though nobody may have been told.
    fs::copy(before.join("confirmed"), path.join("confirmed")).expect("it is ours");
    assert_eq!(checkpoints(&path), 5);
}

/// A log whose confirmed end is cut off looks as after a crash. The mark knows better, wherever it is cut.
#[test]
fn a_shortened_log_is_refused() {
    let (_parent, path) = directory();
    with_checkpoints(&path, 5);
    let length = fs::metadata(file_of(&path, "log")).expect("it is there").len();
    for length in (0..length).step_by(29).chain([length - 1]) {
        let (_copy, path) = copy(&path);
        let log = file_of(&path, "log");
        cut(&log, length);
        let (code, message) = refused(&path);
        assert_eq!(code, "MP5007", "{length}: {message}");
        let words = format!("though 5 was confirmed: its log `{}` ends before that", log.display());
        assert!(message.ends_with(&words), "{message}");
        assert_eq!(refused(&path).0, "MP5007", "it is refused every time");
    }
}

/// No byte of the log can change without the start finding it.
#[test]
fn a_changed_byte_of_the_log_is_refused() {
    let (_parent, path) = directory();
    with_checkpoints(&path, 5);
    let length = fs::metadata(file_of(&path, "log")).expect("it is there").len() as usize;
    for at in (0..length).step_by(3) {
        let (_copy, path) = copy(&path);
        flip(&file_of(&path, "log"), at);
        let (code, message) = refused(&path);
        assert!(["MP5005", "MP5007"].contains(&code), "byte {at}: {code} {message}");
        let words = if code == "MP5007" { ".log` ends before that" } else { ".log` is damaged" };
        assert!(message.contains(words), "byte {at}: {message}");
    }
}

/// A log that is removed is missed, also the only one of a young ledger.
#[test]
fn a_removed_log_is_refused() {
    for count in [1, 50] {
        let (_parent, path) = directory();
        with_checkpoints(&path, count);
        let log = file_of(&path, "log");
        fs::remove_file(&log).expect("it is there");
        let (code, message) = refused(&path);
        assert_eq!(code, "MP5007");
        assert!(message.ends_with(&format!(": its log `{}` is missing", log.display())), "{message}");
    }
}

/// All that `with_checkpoints` wrote, or the first error.
fn all_of(ledger: &LocalLedger) -> Result<String, LedgerError> {
    let restored = ledger.restore()?;
    let states = ledger.load(&Load::Address { address: address("a"), bytes: usize::MAX })?;
    let records = ledger.outbox(&lane(""), 0, usize::MAX, usize::MAX)?;
    Ok(format!("{restored:?} {states:?} {records:?}"))
}

/// Whatever byte of a file is changed, at the start or when it is read: the file that is named is that one. Of what is said about
/// tables RocksDB does not say which one, where their own description is hit: never is another file named.
#[test]
fn the_file_that_is_named_is_the_one_that_is_damaged() {
    let (_parent, path) = directory();
    with_checkpoints(&path, 50);
    let whole =
        all_of(&LocalLedger::open(&path).expect("it is whole, and the log goes into files")).expect("it is whole");
    let files = fs::read_dir(path.join("rocksdb")).expect("it is there");
    let names = files.map(|file| file.expect("it is there").file_name().into_string().expect("text"));
    let mut named = Vec::new();
    for name in names.filter(|name| name.ends_with(".sst") || name.starts_with("MANIFEST") || name == "CURRENT") {
        let length = fs::metadata(path.join("rocksdb").join(&name)).expect("it is there").len() as usize;
        let (mut found, mut unnamed) = (0, 0);
        for at in (0..length).step_by(1 + length / 100) {
            let (_copy, path) = copy(&path);
            let file = path.join("rocksdb").join(&name);
            flip(&file, at);
            match LocalLedger::open(&path).and_then(|ledger| all_of(&ledger)) {
                Ok(read) => assert_eq!(read, whole, "byte {at} of {name} means nothing"),
                Err(LedgerError::Damaged { file: said, .. }) if said == file => found += 1,
                Err(LedgerError::Damaged { file: said, .. }) if said == path.join("rocksdb") => unnamed += 1,
                Err(error) => panic!("byte {at} of {name}: {error:?}"),
            }
        }
        assert!(unnamed == 0 || name.ends_with(".sst") && unnamed < found, "{name}: {found} {unnamed}");
        named.push((name, found));
    }
    assert_eq!(named.iter().filter(|(name, _)| name.ends_with(".sst")).count(), 2, "{named:?}");
    assert!(named.len() == 4 && named.iter().all(|(_, found)| *found > 0), "{named:?}");
}

/// A manifest that is cut inside an entry is refused before anything is changed: with its end back, all is there.
#[test]
fn a_shortened_manifest_is_refused_and_nothing_is_removed() {
    let (_parent, path) = directory();
    with_checkpoints(&path, 50);
    assert_eq!(checkpoints(&path), 50, "and the log goes into files");
    let files = fs::read_dir(path.join("rocksdb")).expect("it is there").map(|file| file.expect("it is").path());
    let is = |file: &PathBuf| file.file_name().is_some_and(|name| name.to_string_lossy().starts_with("MANIFEST"));
    let name = files.filter(is).max().and_then(|file| file.file_name().map(ToOwned::to_owned)).expect("there is one");
    let bytes = fs::read(path.join("rocksdb").join(&name)).expect("it is there");
    // Entries of a manifest this small are in one block: a checksum, a length, a kind, and what they say.
    let mut ends = vec![0];
    while let [.., at] = ends[..]
        && at + 7 <= bytes.len()
    {
        ends.push(at + 7 + usize::from(u16::from_le_bytes([bytes[at + 4], bytes[at + 5]])));
    }
    let mut named = 0;
    for length in (1..bytes.len()).step_by(5) {
        let (_copy, path) = copy(&path);
        let manifest = path.join("rocksdb").join(&name);
        cut(&manifest, length as u64);
        match LocalLedger::open(&path) {
            Err(LedgerError::Damaged { file, what }) if file == manifest => {
                named += 1;
                fs::write(&manifest, &bytes).expect("it is ours");
                assert_eq!(checkpoints(&path), 50, "{length}: {what}");
            }
            // It looks like that of an older time: what is missing then is told.
            Err(error) if ends.contains(&length) => assert!(error.is_loss(), "{length}: {error:?}"),
            // Nothing depends on what is gone.
            Ok(ledger) => assert_eq!(ledger.restore().expect("it can be read").meta.checkpoint, 50, "{length}"),
            Err(error) => panic!("{length}: {error:?}"),
        }
    }
    assert!(named > bytes.len() / 10, "{named}");
}

/// Damage that is met while it is open is an error of its file, and final; so is a file that becomes shorter.
#[test]
fn damage_that_is_met_while_it_is_open_names_the_file() {
    let (_parent, path) = directory();
    with_checkpoints(&path, 50);
    assert_eq!(checkpoints(&path), 50, "and the log goes into files");
    for shortened in [false, true] {
        let (_copy, path) = copy(&path);
        let values = table_of(&path, b"millpond.address");
        if shortened {
            let ledger = LocalLedger::open(&path).expect("it is whole");
            cut(&values, 1);
            told(ledger, &values);
        } else {
            flip(&values, 3);
            told(LocalLedger::open(&path).expect("a start does not read all of a file"), &values);
        }
    }
}

/// Whoever reads is told, and so is whoever watches.
fn told(ledger: LocalLedger, file: &Path) {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let hears = Arc::clone(&heard);
    let watched = Watched::new(Arc::new(ledger), move |error| hears.lock().expect("no panic").push(error));
    watched.restore().expect("that is in another file");
    assert!(heard.lock().expect("no panic").is_empty());
    let error = watched.load(&Load::Address { address: address("a"), bytes: usize::MAX }).expect_err("it is damaged");
    for error in [&error, heard.lock().expect("no panic").first().expect("it is told")] {
        assert!(matches!(error, LedgerError::Damaged { file: named, .. } if named == file), "{error:?}");
        assert!(error.is_final() && error.code() == "MP5005", "{error:?}");
    }
}

/// The file of data with these bytes in it.
fn table_of(path: &Path, bytes: &[u8]) -> PathBuf {
    let files = fs::read_dir(path.join("rocksdb")).expect("it is there").map(|file| file.expect("it is there").path());
    let mut tables = files.filter(|file| file.extension().is_some_and(|ending| ending == "sst"));
    let has = |file: &PathBuf| fs::read(file).expect("it can be read").windows(bytes.len()).any(|it| it == bytes);
    tables.find(has).expect("there is one")
}

/// A file of data that is missing, shortened or longer is named at the start, and so are the others that a start needs.
#[test]
fn files_that_are_not_whole_are_refused() {
    let (_parent, path) = directory();
    with_checkpoints(&path, 50);
    assert_eq!(checkpoints(&path), 50, "and the log goes into files");
    let sst = file_of(&path, "sst");
    let name = sst.file_name().expect("it has one").to_owned();
    let length = fs::metadata(&sst).expect("it is there").len();
    for length in [None, Some(0), Some(length / 2), Some(length - 1), Some(length + 1)] {
        let (_copy, path) = copy(&path);
        let sst = path.join("rocksdb").join(&name);
        match length {
            None => fs::remove_file(&sst).expect("it is there"),
            Some(length) => cut(&sst, length),
        }
        let (code, message) = refused(&path);
        assert_eq!(code, "MP5005", "{length:?}: {message}");
        assert!(message.contains(&*name.to_string_lossy()), "{length:?}: {message}");
    }
    for start in ["CURRENT", "MANIFEST-"] {
        let (_copy, path) = copy(&path);
        let files = fs::read_dir(path.join("rocksdb")).expect("it is there").map(|file| file.expect("it is").path());
        let is = |file: &PathBuf| file.file_name().is_some_and(|name| name.to_string_lossy().starts_with(start));
        files.filter(is).for_each(|file| fs::remove_file(file).expect("it is there"));
        let (code, message) = refused(&path);
        assert_eq!(code, "MP5005", "{message}");
        assert!(message.contains(start), "{message}");
    }
    let (_copy, path) = copy(&path);
    fs::remove_file(path.join("confirmed")).expect("it is there");
    let (code, message) = refused(&path);
    assert_eq!(code, "MP5005");
    assert!(message.contains("confirmed` is damaged: it is missing"), "{message}");
}

/// Opens what is left, goes on from there, and finds it whole from then on.
fn accept(path: &Path, left: impl Fn(u64) -> bool) {
    let ledger = LocalLedger::open_accepting_data_loss(path).expect("something is left");
    let restored = ledger.restore().expect("it can be read");
    let last = restored.meta.checkpoint;
    assert!(left(last), "{last} is left");
    let stand = restored.lanes.get(&lane("")).copied().unwrap_or((1, 1));
    let mut hand = Hand { number: last, stand: vec![stand], ..Hand::new() };
    for count in 1..=3_u64 {
        let writes = vec![state(&address("b"), "count", Some(value(count.to_string())))];
        hand.commit(&ledger, writes);
    }
    drop(ledger);
    for _ in 0..2 {
        let ledger = LocalLedger::open(path).expect("it is whole from now on");
        assert_eq!(ledger.restore().expect("it can be read").meta.checkpoint, last + 3);
        assert_eq!(see(&ledger, &address("b")).texts(), [("count", &b"3"[..])]);
    }
}

/// With a person's word a damaged log ends where its damage begins: what is left is one earlier checkpoint, whole.
#[test]
fn what_is_before_the_damage_is_kept() {
    let (_parent, path) = directory();
    with_checkpoints(&path, 50);
    let length = fs::metadata(file_of(&path, "log")).expect("it is there").len() as usize;
    for at in [0, length / 3, length / 2, length - 10] {
        let (_copy, path) = copy(&path);
        flip(&file_of(&path, "log"), at);
        refused(&path);
        let (_second, again) = copy(&path);
        let ledger = LocalLedger::open_accepting_data_loss(&again).expect("something is left");
        let last = ledger.restore().expect("it can be read").meta.checkpoint;
        if last > 0 {
            is_of(&ledger, last);
        }
        drop(ledger);
        let share = 50 * at as u64 / length as u64;
        accept(&path, |last| last.abs_diff(share) <= 1);
    }
    let (_copy, path) = copy(&path);
    cut(&file_of(&path, "log"), length as u64 / 2);
    accept(&path, |last| (20..=25).contains(&last));
}

/// With a person's word what can be read is gathered when files are gone; a new ledger is the least that is left.
#[test]
fn what_can_be_read_is_gathered() {
    let (_parent, path) = directory();
    with_checkpoints(&path, 50);
    assert_eq!(checkpoints(&path), 50, "and the log goes into files");
    for ending in ["sst", "log"] {
        let (_copy, path) = copy(&path);
        fs::remove_file(file_of(&path, ending)).expect("it is there");
        accept(&path, |last| last <= 50);
    }
    // A start does not read all of a file: with a person's word all of it is read.
    let (_copy, damaged) = copy(&path);
    let table = file_of(&damaged, "sst");
    flip(&table, 3);
    accept(&damaged, |last| last <= 50);
    // The manifest names the files that there are: RocksDB makes it anew from them.
    let (_copy, without) = copy(&path);
    for entry in fs::read_dir(without.join("rocksdb")).expect("it is there") {
        let file = entry.expect("it can be read").path();
        if file.file_name().is_some_and(|name| name.to_string_lossy().starts_with("MANIFEST")) {
            fs::remove_file(file).expect("it is ours");
        }
    }
    accept(&without, |last| last <= 50);
    for name in ["confirmed", "rocksdb/CURRENT"] {
        let (_copy, path) = copy(&path);
        fs::remove_file(path.join(name)).expect("it is there");
        accept(&path, |last| last == 50);
    }
    // Nothing is wrong: nothing is given up. Nor is a ledger that somebody else has.
    accept(&path, |last| last == 50);
    let owner = LocalLedger::open(&path).expect("it is whole");
    let Err(error) = LocalLedger::open_accepting_data_loss(&path) else { panic!("it has an owner") };
    assert_eq!(error.code(), "MP5002");
    drop(owner);
}
