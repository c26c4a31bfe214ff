//! End to end: the real binary, real functions written with the official Python SDK, real kills.
//!
//! In: the compiled `millpond`, and a Python with the packages of `functions-examples/python`: the one that `make setup`
//! installs, or `MILLPOND_PYTHON`. Without it the tests that need it say `skipped`; in CI they fail instead.
//! Each test owns its processes, its ports and its data folder. Nothing here measures time in order to judge it: waits
//! end when what they wait for is there, and have a generous deadline.

mod damage;
mod dead_letters;
mod delivery;
mod dependencies;
mod functions;
mod greeter;
mod http;
mod kafka;
mod kills;
mod lifecycle;
mod metrics;
mod operations;
mod oracle;
mod power;
mod reach;
mod readme;
mod reminder;
mod replay;
mod runtime;
mod scrape;
mod transactions;
mod wait;

use std::io::Write;

/// Prints a line that the test runner does not hold back, also when the test passes.
fn report(line: impl std::fmt::Display) {
    // A closed stderr is no reason to fail a test.
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// Held by tests that keep both cores busy, so that they take turns.
static HEAVY: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());
