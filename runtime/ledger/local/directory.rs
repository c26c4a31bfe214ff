//! The data directory: made once, owned by one process, of one format.
//!
//! ```text
//! README.txt   tells people what this is
//! FORMAT       `millpond ledger format 2`; there once the directory is complete
//! APPLICATION  which application this is, and what it consisted of at its last start
//! lock         held by the process that has it open; holds its pid
//! rocksdb/     the data
//! confirmed    the last checkpoint that anybody was told of (`confirmed.rs`)
//! ```
//!
//! Only its owner may enter it, and the folder of the data; a start takes back what was loosened since.
//!
//! Order of effects: the lock is taken before anything is read or made, the format is checked before the data are touched,
//! and `FORMAT` is written last when a directory is made. So a directory without it holds nothing that anybody was told is
//! durable, unless somebody removed the file, which is found by the data that are there.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tracing::warn;

use super::APPLICATION_FILE;
use super::confirmed::CONFIRMED_FILE;
use crate::ledger::LedgerError;

/// The newest format that this version reads and the one it writes.
pub const FORMAT: u32 = 2;

const FORMAT_FILE: &str = "FORMAT";
const FORMAT_WORDS: &str = "millpond ledger format ";
const LOCK_FILE: &str = "lock";
const README_FILE: &str = "README.txt";
const DATA: &str = "rocksdb";

const LOCK_ATTEMPTS: u32 = 10;
const LOCK_PAUSE: Duration = Duration::from_millis(20);

const README: &str = "\
This directory is the ledger of a Millpond node: the state of its functions,
their pending invocations, and the records that still have to leave.

Do not change, add or remove files in here: the node refuses to start on a
directory that is not whole. To copy it, stop the node first. Never start two
nodes on two copies of it: both would go on from the same place.

To empty it, stop the node and remove the whole directory.
";

/// A data directory that this process owns, until it is dropped.
#[derive(Debug)]
pub struct Directory {
    path: PathBuf,
    format: Option<u32>,
    /// Held, never read: the lock ends with it.
    _lock: File,
}

impl Directory {
    /// Takes a directory, or makes it.
    ///
    /// # Errors
    /// [`LedgerError`] when another process has it, when it is of a newer format, when it is no ledger or cannot be used.
    pub fn open(path: &Path) -> Result<Directory, LedgerError> {
        let unusable = |source| LedgerError::directory(path, source);
        make(path).map_err(unusable)?;
        if let Some(foreign) = foreign_entry(path).map_err(unusable)? {
            return Err(unusable(io::Error::other(format!("it holds `{foreign}` and is no ledger"))));
        }
        let lock = lock(path)?;
        let incomplete = |what| LedgerError::Incomplete { path: path.to_owned(), what };
        let format = match format_words(path).map_err(unusable)? {
            Some(words) => Some(
                format(&words).ok_or_else(|| incomplete(format!("its file `{FORMAT_FILE}` does not name a format")))?,
            ),
            None => None,
        };
        if let Some(found) = format.filter(|found| *found > FORMAT) {
            return Err(LedgerError::NewerFormat { path: path.to_owned(), found, known: FORMAT });
        }
        let directory = Directory { path: path.to_owned(), format, _lock: lock };
        if format.is_some() && !directory.data().is_dir() {
            return Err(incomplete(format!("its folder `{DATA}` with the data is missing")));
        }
        if format.is_some() {
            for folder in [path, &directory.data()] {
                if let Some(was) = make_private(folder).map_err(unusable)? {
                    let (folder, was) = (folder.display(), format!("{was:04o}"));
                    warn!(%folder, was, "the data directory was open to others, it is private again");
                }
            }
        } else {
            make_private(path).map_err(unusable)?;
            write_file(path, README_FILE, README.as_bytes()).map_err(unusable)?;
            make(&directory.data()).map_err(unusable)?;
        }
        Ok(directory)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where the data are.
    pub fn data(&self) -> PathBuf {
        self.path.join(DATA)
    }

    /// What a file of it holds; `None` when there is none.
    ///
    /// # Errors
    /// [`LedgerError::Directory`] when it cannot be read.
    pub fn read(&self, name: &str) -> Result<Option<String>, LedgerError> {
        match fs::read_to_string(self.path.join(name)) {
            Ok(text) => Ok(Some(text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(self.unusable(error)),
        }
    }

    /// Writes a file of it, durably, all of it or nothing.
    ///
    /// # Errors
    /// [`LedgerError::Directory`] when it cannot be written.
    pub fn write(&self, name: &str, text: &str) -> Result<(), LedgerError> {
        write_file(&self.path, name, text.as_bytes()).map_err(|error| self.unusable(error))
    }

    fn unusable(&self, source: io::Error) -> LedgerError {
        LedgerError::directory(&self.path, source)
    }

    /// The format that it has; `None` while it is being made.
    pub fn format(&self) -> Option<u32> {
        self.format
    }

    /// Says that everything is in place, in this format. What was made before it is durable then.
    ///
    /// # Errors
    /// [`LedgerError::Directory`] when that cannot be written.
    pub fn set_format(&mut self, format: u32) -> Result<(), LedgerError> {
        let words = format!("{FORMAT_WORDS}{format}\n");
        let written = write_file(&self.path, FORMAT_FILE, words.as_bytes());
        written.map_err(|source| LedgerError::directory(&self.path, source))?;
        self.format = Some(format);
        Ok(())
    }
}

/// Makes a directory that only its owner may enter, and what leads there.
fn make(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    if path.exists() {
        return Err(io::Error::other("it is not a folder"));
    }
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    // Each folder on the way is durable before there is anything in it.
    make(parent)?;
    match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        made => made?,
    }
    File::open(parent)?.sync_all()
}

/// Lets nobody but its owner into a folder. Gives the mode that it had, if it was another one.
fn make_private(folder: &Path) -> io::Result<Option<u32>> {
    let mode = fs::metadata(folder)?.permissions().mode() & 0o7777;
    if mode & 0o077 == 0 {
        return Ok(None);
    }
    match fs::set_permissions(folder, Permissions::from_mode(0o700)) {
        Ok(()) => Ok(Some(mode)),
        // A mounted volume may belong to somebody else; the data are in a folder of our own.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            if mode & 0o002 != 0 {
                let (folder, mode) = (folder.display(), format!("{mode:04o}"));
                warn!(%folder, mode, "everybody may write to the data directory, and it belongs to another user");
            }
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// Something that is not ours, in a directory that does not say it is a ledger.
fn foreign_entry(path: &Path) -> io::Result<Option<String>> {
    if path.join(FORMAT_FILE).exists() {
        return Ok(None);
    }
    for entry in fs::read_dir(path)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        let ours = [LOCK_FILE, README_FILE, DATA, CONFIRMED_FILE, APPLICATION_FILE].contains(&name.as_str())
            || name.strip_suffix(NEW).is_some_and(|name| [README_FILE, FORMAT_FILE, CONFIRMED_FILE, APPLICATION_FILE].contains(&name))
            // What a freshly made file system holds.
            || name == "lost+found";
        if !ours {
            return Ok(Some(name));
        }
    }
    Ok(None)
}

fn lock(path: &Path) -> Result<File, LedgerError> {
    let unusable = |source| LedgerError::directory(path, source);
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    let mut file = options.open(path.join(LOCK_FILE)).map_err(unusable)?;
    let mut taken = file.try_lock();
    // A child that this or the last owner is just starting has a copy of the lock until it runs its own program.
    for _ in 0..LOCK_ATTEMPTS {
        if !matches!(taken, Err(TryLockError::WouldBlock)) {
            break;
        }
        std::thread::sleep(LOCK_PAUSE);
        taken = file.try_lock();
    }
    match taken {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut text = String::new();
            let pid = file.read_to_string(&mut text).ok().and_then(|_| text.trim().parse().ok());
            return Err(LedgerError::InUse { path: path.to_owned(), pid });
        }
        Err(TryLockError::Error(source)) => return Err(unusable(source)),
    }
    file.set_len(0).map_err(unusable)?;
    writeln!(file, "{}", std::process::id()).map_err(unusable)?;
    Ok(file)
}

/// What a directory says of its format; `None` when it was not made to the end.
fn format_words(path: &Path) -> io::Result<Option<String>> {
    match fs::read(path.join(FORMAT_FILE)) {
        Ok(words) => Ok(Some(String::from_utf8_lossy(&words).into_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// The format that the words name.
fn format(words: &str) -> Option<u32> {
    let number = words.trim_end().strip_prefix(FORMAT_WORDS).and_then(|number| number.parse().ok());
    number.filter(|number| *number > 0)
}

const NEW: &str = ".new";

/// Writes a file that is there with all its bytes or not at all, after a loss of power too.
pub fn write_file(directory: &Path, name: &str, content: &[u8]) -> io::Result<()> {
    let new = directory.join(format!("{name}{NEW}"));
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    let mut file = options.open(&new)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(&new, directory.join(name))?;
    File::open(directory)?.sync_all()
}
