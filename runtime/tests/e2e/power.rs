//! A loss of power: what a process wrote and did not sync is gone, or a part of it.
//!
//! A kill leaves the kernel with all that was written, so it proves nothing about syncs. Here the process runs over a small
//! library that notes each write and each sync (`power/shim.c`, compiled when the test starts). After a kill the notes are
//! read, and what was not durable is taken back: of each file, everything since its last sync or a part from the end, down to
//! the middle of a write; of each folder, names that were made, moved or removed since the folder was synced.
//! The same library lets reads, writes and syncs fail.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::transactions::Random;

/// The power supply of one installation.
pub struct Power {
    folder: tempfile::TempDir,
    skip_sync: bool,
}

/// What a loss of power took.
#[derive(Debug, Default, Clone, Copy)]
pub struct Taken {
    /// Bytes of files.
    pub bytes: u64,
    /// Files that lost any.
    pub files: u64,
    /// Names that were made, moved or removed.
    pub names: u64,
}

impl Power {
    /// A supply whose losses are all that is durable: the disk is not synced in truth, so that many of them are quick.
    pub fn new() -> Power {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        fs::create_dir(folder.path().join("graves")).expect("it can be written to");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/e2e/power/shim.c");
        let compiled = Command::new("cc")
            .args(["-O1", "-shared", "-fPIC", "-Wall", "-Wextra", "-Werror", "-o"])
            .arg(folder.path().join("shim.so"))
            .arg(source)
            .args(["-ldl", "-lpthread"])
            .output()
            .expect("there is a C compiler: RocksDB needs one too");
        assert!(compiled.status.success(), "{}", String::from_utf8_lossy(&compiled.stderr));
        Power { folder, skip_sync: true }
    }

    /// Puts the library between a command and what it does in a folder.
    pub fn supply(&self, command: &mut Command, watched: &Path) {
        let of = |name: &str| self.folder.path().join(name);
        command
            .env("LD_PRELOAD", of("shim.so"))
            .env("POWER_DIR", watched)
            .env("POWER_JOURNAL", of("journal"))
            .env("POWER_GRAVE", of("graves"))
            .env("POWER_FAULT", of("fault"));
        if self.skip_sync {
            command.env("POWER_SKIP_SYNC", "1");
        }
    }

    /// From now on what these words name fails: `read`, `write`, `sync` or `create`, and `enospc` or `eio`.
    pub fn fail(&self, words: &str) {
        let new = self.folder.path().join("fault.new");
        fs::write(&new, words).expect("it is ours");
        fs::rename(new, self.folder.path().join("fault")).expect("it is ours");
    }

    /// Nothing fails any more.
    pub fn mend(&self) {
        fs::remove_file(self.folder.path().join("fault")).expect("something failed");
    }

    /// The process is gone: takes back what was not durable, as the random numbers have it.
    pub fn lose(&self, watched: &Path, random: &mut Random) -> Taken {
        let journal = self.folder.path().join("journal");
        let notes = Notes::read(&fs::read(&journal).unwrap_or_default());
        // All of it, nothing, or a part of each file: each way is a third of all losses.
        let way = random.below(3);
        let mut keep = |most: usize| match way {
            0 => 0,
            1 => most,
            _ => random.below(most as u64 + 1) as usize,
        };
        let mut taken = Taken::default();
        let files = inodes(&[watched, &self.folder.path().join("graves")]);
        for (inode, changes) in &notes.changes {
            let durable = notes.synced.get(inode).copied().unwrap_or(0);
            let volatile: Vec<&Change> = changes.iter().filter(|change| change.number > durable).collect();
            let kept = keep(volatile.len());
            let torn = volatile.get(kept).map_or(0, |change| keep(change.length as usize));
            let Some(path) = files.get(inode).filter(|_| kept < volatile.len()) else { continue };
            taken.files += 1;
            taken.bytes += take_back(path, &volatile[kept..], torn);
        }
        let mut gone = Vec::new();
        for (folder, names) in &notes.names {
            let durable = notes.folders_synced.get(folder).copied().unwrap_or(0);
            let volatile: Vec<&(u64, Name)> = names.iter().filter(|(number, _)| *number > durable).collect();
            gone.extend_from_slice(&volatile[keep(volatile.len())..]);
        }
        gone.sort_by_key(|(number, _)| std::cmp::Reverse(*number));
        taken.names = gone.len() as u64;
        gone.iter().for_each(|(_, name)| name.take_back());

        // A process that was killed at once wrote none.
        let _ = fs::remove_file(&journal);
        let graves = self.folder.path().join("graves");
        fs::remove_dir_all(&graves).and_then(|()| fs::create_dir(graves)).expect("it is ours");
        taken
    }
}

/// Everything that the library noted.
#[derive(Default)]
struct Notes {
    /// Of each file, in order.
    changes: BTreeMap<u64, Vec<Change>>,
    /// Of each file, the number up to which changes are durable.
    synced: HashMap<u64, u64>,
    /// Of each folder, in order.
    names: BTreeMap<PathBuf, Vec<(u64, Name)>>,
    folders_synced: HashMap<PathBuf, u64>,
}

/// A write, or a truncation.
struct Change {
    number: u64,
    old_size: u64,
    offset: u64,
    /// Bytes that it wrote; none for a truncation.
    length: u64,
    /// What it overwrote or cut off, from `offset` on.
    old: Vec<u8>,
}

/// A change of a folder.
enum Name {
    Made(PathBuf),
    Removed(PathBuf, PathBuf),
    Moved(PathBuf, PathBuf, PathBuf),
}

impl Notes {
    fn read(journal: &[u8]) -> Notes {
        let mut notes = Notes::default();
        let whole = journal.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        let text = std::str::from_utf8(&journal[..whole]).expect("paths of tests are text");
        for line in text.lines() {
            let fields: Vec<&str> = line.split('\t').collect();
            let number = |at: usize| fields[at].parse::<u64>().unwrap_or_else(|_| panic!("a number in `{line}`"));
            let path = |at: usize| clean(fields[at]);
            let at = number(0);
            let mut name = |name: Name, path: PathBuf| {
                let folder = path.parent().expect("it is in a folder").to_owned();
                notes.names.entry(folder).or_default().push((at, name));
            };
            match fields[1] {
                "w" => notes.changes.entry(number(2)).or_default().push(Change {
                    number: at,
                    old_size: number(3),
                    offset: number(4),
                    length: number(5),
                    old: bytes(fields[6]),
                }),
                "t" => notes.changes.entry(number(2)).or_default().push(Change {
                    number: at,
                    old_size: number(3),
                    offset: number(4),
                    length: 0,
                    old: bytes(fields[5]),
                }),
                "s" => {
                    let upto = notes.synced.entry(number(2)).or_default();
                    *upto = number(3).max(*upto);
                }
                "d" => {
                    let upto = notes.folders_synced.entry(path(2)).or_default();
                    *upto = number(3).max(*upto);
                }
                "c" | "m" => name(Name::Made(path(2)), path(2)),
                "u" => name(Name::Removed(path(2), path(3)), path(2)),
                "r" => name(Name::Moved(path(2), path(3), path(4)), path(3)),
                _ => panic!("`{line}` is no note"),
            }
        }
        notes
    }
}

impl Name {
    /// What is not there any more need not be taken back.
    fn take_back(&self) {
        match self {
            Name::Made(path) if path.is_dir() => _ = fs::remove_dir_all(path),
            Name::Made(path) => _ = fs::remove_file(path),
            Name::Removed(path, grave) => _ = fs::rename(grave, path),
            Name::Moved(from, to, grave) => {
                let _ = fs::rename(to, from);
                let _ = fs::rename(grave, to);
            }
        }
    }
}

/// Takes changes of a file back, the last one first; of the first one `torn` bytes stay.
fn take_back(path: &Path, changes: &[&Change], torn: usize) -> u64 {
    let file = File::options().read(true).write(true).open(path).expect("it is ours");
    let before = file.metadata().expect("it is there").len();
    let mut lost = 0;
    for (at, change) in changes.iter().enumerate().rev() {
        let mut stays = vec![0; if at == 0 { torn } else { 0 }];
        // A write that was noted and never done left nothing.
        if file.read_exact_at(&mut stays, change.offset).is_err() {
            stays.clear();
        }
        file.set_len(change.old_size).expect("it is ours");
        file.write_all_at(&change.old, change.offset).expect("it is ours");
        file.write_all_at(&stays, change.offset).expect("it is ours");
        lost += change.length - stays.len() as u64;
    }
    lost.max(before.saturating_sub(file.metadata().expect("it is there").len()))
}

/// All files below some folders, by inode.
fn inodes(folders: &[&Path]) -> HashMap<u64, PathBuf> {
    let mut found = HashMap::new();
    let mut folders: Vec<PathBuf> = folders.iter().map(|folder| folder.to_path_buf()).collect();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("it is there").map(|entry| entry.expect("it is there")) {
            match entry.metadata().expect("it is there") {
                entry_data if entry_data.is_dir() => folders.push(entry.path()),
                entry_data => _ = found.insert(entry_data.ino(), entry.path()),
            }
        }
    }
    found
}

/// A path without the slashes that programs leave in it.
fn clean(path: &str) -> PathBuf {
    Path::new(path).components().collect()
}

fn bytes(hex: &str) -> Vec<u8> {
    let byte = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).expect("two digits");
    (0..hex.len()).step_by(2).map(byte).collect()
}
