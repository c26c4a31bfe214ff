//! Files that may change while the node runs: certificates and tokens are renewed.
//!
//! In: the files of an endpoint. Out: whether one of them is another than before. It asks the system once a second instead
//! of being told, because that works the same for every file system, and for the links that Kubernetes turns around when a
//! secret changes.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// What a file looks like from outside; another stamp is another content.
type Stamp = Option<(u64, i64, i64, u64)>;

/// Some files, and what they looked like last.
#[derive(Debug)]
pub(super) struct Watched {
    files: Vec<(PathBuf, Stamp)>,
}

impl Watched {
    /// Looked at before they are read, so that a change in between is found.
    pub(super) fn new(files: &[&Path]) -> Watched {
        Watched { files: files.iter().map(|path| (path.to_path_buf(), stamp(path))).collect() }
    }

    /// Whether there is nothing to watch.
    pub(super) fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// Whether any of them is another than at the last look.
    pub(super) fn have_changed(&mut self) -> bool {
        let mut changed = false;
        for (path, before) in &mut self.files {
            let now = stamp(path);
            changed |= now != *before;
            *before = now;
        }
        changed
    }
}

fn stamp(path: &Path) -> Stamp {
    let metadata = std::fs::metadata(path).ok()?;
    Some((metadata.ino(), metadata.mtime(), metadata.mtime_nsec(), metadata.len()))
}
