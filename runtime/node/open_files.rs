//! How many files this process may have open: connections of clients, calls to functions, the files of the ledger.
//!
//! Most systems start a process with a limit of 1024, which a busy second of calls reaches, and let it raise that limit by
//! itself. What happens at the limit is not pleasant: connections are not accepted, and the ledger cannot open its files.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tracing::warn;

/// Files that are not calls: the connections of three listeners, and what the ledger keeps open.
const OTHERS: usize = 3 * 512 + 512 + 64;

/// Takes as many as the system allows, and says how many that are.
pub(super) fn raise() -> usize {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    if limit.current != limit.maximum && setrlimit(Resource::Nofile, raised).is_err() {
        warn!("the limit on open files cannot be raised");
    }
    // No limit reads as `None`.
    getrlimit(Resource::Nofile).current.map_or(usize::MAX, |files| usize::try_from(files).unwrap_or(usize::MAX))
}

/// Calls that may be in flight, when so many files may be open: what the others leave, and half in any case.
pub(super) fn calls(files: usize) -> usize {
    files.saturating_sub(OTHERS).max(files / 2).max(1)
}

#[cfg(test)]
mod tests {
    use super::calls;

    /// Calls leave files to everything else, and never none to themselves.
    #[test]
    fn calls_leave_room() {
        assert_eq!([0, 1024, 4096, 20_000, usize::MAX].map(calls), [1, 512, 2048, 17_888, usize::MAX - 2112]);
    }
}
