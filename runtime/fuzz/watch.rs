//! Looks on from a thread of its own while a target runs, because a hang cannot be caught.
//!
//! What comes in: the number of each seed as it begins. What goes out: nothing, or the end of the process behind a line that
//! names the seed and its bytes. Memory is that of the whole process, as Linux tells it; elsewhere only time is watched.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::{Target, harness};

/// The time that one input may take, in a development build on a busy machine.
const TIME_MAX: Duration = Duration::from_secs(30);

/// Pages of memory that the process may have.
const PAGES_MAX: u64 = (2 << 30) / 4096;

/// How often it looks.
const EVERY: Duration = Duration::from_millis(50);

pub(crate) struct Watch {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    seed: AtomicU64,
    done: AtomicBool,
}

impl Watch {
    pub(crate) fn start(target: Target) -> Watch {
        let shared = Arc::new(Shared { seed: AtomicU64::new(u64::MAX), done: AtomicBool::new(false) });
        let looking = Arc::clone(&shared);
        let thread = thread::spawn(move || look(&target, &looking));
        Watch { shared, thread: Some(thread) }
    }

    /// The next input begins.
    pub(crate) fn begin(&self, seed: u64) {
        self.shared.seed.store(seed, Ordering::Relaxed);
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.shared.done.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // It has nothing to say.
            let _ = thread.join();
        }
    }
}

fn look(target: &Target, shared: &Shared) {
    let (mut seen, mut since) = (u64::MAX, Instant::now());
    while !shared.done.load(Ordering::Relaxed) {
        let seed = shared.seed.load(Ordering::Relaxed);
        if seed != seen {
            (seen, since) = (seed, Instant::now());
        }
        if since.elapsed() > TIME_MAX {
            end(target, seed, "hangs");
        }
        if resident_pages().is_some_and(|pages| pages > PAGES_MAX) {
            end(target, seed, "takes too much memory");
        }
        thread::park_timeout(EVERY);
    }
}

fn end(target: &Target, seed: u64, how: &str) -> ! {
    let input = harness::input(target, seed);
    eprintln!("seed {seed} of {}", harness::failure(target, how, &input));
    std::process::abort();
}

/// Pages in memory, the second number of `statm`.
fn resident_pages() -> Option<u64> {
    std::fs::read_to_string("/proc/self/statm").ok()?.split(' ').nth(1)?.parse().ok()
}
