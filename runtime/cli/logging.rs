//! The log: one line an event on standard error, for people or as JSON.
//!
//! `RUST_LOG` chooses levels, as Rust users expect it; without it the level is `info`.

use std::io::{IsTerminal as _, stderr};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

use super::args::LogFormat;

/// Starts the log of the process. A second call has no effect.
pub(super) fn start(format: LogFormat) {
    let filter = EnvFilter::builder().with_default_directive(LevelFilter::INFO.into()).from_env_lossy();
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(stderr).with_target(false);
    let started = match format {
        LogFormat::Human => log.with_ansi(stderr().is_terminal()).try_init(),
        LogFormat::Json => log.json().flatten_event(true).try_init(),
    };
    // Whoever runs us in a process that has a log keeps it.
    drop(started);
}
