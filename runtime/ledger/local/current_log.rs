//! Which log the last checkpoint went to.
//!
//! RocksDB begins a new log when it wants to and tells nobody. A log that grew with a commit is still the one; when it did
//! not, there is a newer one. Only words depend on this: a ledger that ends too early can say which file is missing.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The name that RocksDB gives the log of this number.
pub fn log_file(data: &Path, number: u64) -> PathBuf {
    data.join(format!("{number:06}.log"))
}

/// The logs that there are, oldest first.
pub fn logs(data: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
    let mut logs = Vec::new();
    for entry in data.read_dir()? {
        let path = entry?.path();
        let number = path.file_name().and_then(|name| name.to_str()?.strip_suffix(".log")?.parse::<u64>().ok());
        logs.extend(number.map(|number| (number, path)));
    }
    logs.sort();
    Ok(logs)
}

/// The log that commits go to, as far as was seen.
#[derive(Debug)]
pub struct CurrentLog {
    data: PathBuf,
    file: PathBuf,
    length: u64,
}

impl CurrentLog {
    /// Nothing was seen yet.
    pub fn new(data: PathBuf) -> CurrentLog {
        CurrentLog { file: data.clone(), data, length: u64::MAX }
    }

    /// To be asked behind each commit: the log's number, if it is another one than the last time.
    pub fn changed(&mut self) -> Option<u64> {
        let length = |file: &Path| fs::metadata(file).map_or(0, |found| found.len());
        let now = length(&self.file);
        if now > self.length {
            self.length = now;
            return None;
        }
        let (number, file) = logs(&self.data).ok()?.pop()?;
        self.length = length(&file);
        self.file = file;
        Some(number)
    }
}
