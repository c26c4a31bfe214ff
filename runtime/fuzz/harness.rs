//! Runs the seeds of a target on stable Rust.
//!
//! What comes in: a target and a range of seeds. What goes out: how long it took, or the first seed that broke a promise,
//! with its bytes. A target that hangs or takes too much memory ends the process; `watch.rs` says so first.

use std::fmt::Write as _;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use crate::watch::Watch;
use crate::{Target, mutate};

/// A run in which every promise held.
#[derive(Debug, Clone, Copy)]
pub struct Held {
    /// Inputs that were run.
    pub executions: u64,
    /// The time they took.
    pub elapsed: Duration,
}

/// Runs each seed of a range.
///
/// # Errors
/// The first seed whose bytes broke a promise, the bytes, and the commands that run them again. The panic itself has been
/// printed by then.
pub fn run(target: &Target, seeds: Range<u64>) -> Result<Held, String> {
    let corpus = (target.corpus)();
    let watch = Watch::start(*target);
    let start = Instant::now();
    for seed in seeds.clone() {
        let input = mutate::input(target, &corpus, seed);
        watch.begin(seed);
        run_bytes(target, &input).map_err(|failure| format!("seed {seed} of {failure}"))?;
    }
    Ok(Held { executions: seeds.end.saturating_sub(seeds.start), elapsed: start.elapsed() })
}

/// Runs one input.
///
/// # Errors
/// As [`run`].
pub fn run_bytes(target: &Target, input: &[u8]) -> Result<(), String> {
    catch_unwind(AssertUnwindSafe(|| (target.run)(input))).map_err(|_| failure(target, "panicked", input))
}

/// The bytes of a seed.
pub fn input(target: &Target, seed: u64) -> Vec<u8> {
    mutate::input(target, &(target.corpus)(), seed)
}

pub(crate) fn failure(target: &Target, how: &str, input: &[u8]) -> String {
    let mut hex = String::new();
    for byte in input {
        // Writing to a string does not fail.
        let _ = write!(hex, "{byte:02x}");
    }
    let name = target.name;
    format!(
        "target `{name}` {how}: {} bytes {hex}\nhint: `millpond-fuzz --target {name} --hex {hex}` runs them again",
        input.len()
    )
}
