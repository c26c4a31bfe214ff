//! Holds the built binary against what it promises about its limits, prints the figures, and says PASS or FAIL.
//!
//! In: the path of `millpond`. Out: a table on standard output; exit code 1 when a promise is broken. Functions and clients
//! are in this process (`functions.rs`, `node.rs`): they must cost little, because everything shares the machine.
//!
//! - `memory.rs`: memory does not grow with the number of addresses and delayed messages; a start is quick with many of them.
//! - `isolation.rs`: a function type that fails for ever takes next to nothing from the others, and catches up when it is
//!   mended.

#![expect(clippy::print_stdout, reason = "the figures are what this is for")]

mod functions;
mod isolation;
mod memory;
mod node;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

/// What is measured, and how much of it.
#[derive(Debug, Parser)]
struct Options {
    /// The binary that is held against its promises.
    #[arg(long, default_value = "target/debug/millpond")]
    millpond: PathBuf,
    /// Where ledgers are made; the temporary folder if not given.
    #[arg(long)]
    folder: Option<PathBuf>,
    /// Addresses of the smaller run; the larger one has four times as many.
    #[arg(long, default_value_t = 1_000_000)]
    addresses: u64,
    /// Addresses of the function type that fails.
    #[arg(long, default_value_t = 100_000)]
    failing: u64,
    /// Seconds of each measurement of throughput.
    #[arg(long, default_value_t = 20)]
    seconds: u64,
    /// Only `memory` or `isolation`.
    #[arg(long)]
    only: Option<String>,
}

/// The promises, and what was found.
#[derive(Debug, Default)]
struct Findings {
    broken: bool,
}

impl Findings {
    /// One line of the table.
    fn note(&mut self, what: &str, found: String, promise: &str, kept: bool) {
        self.broken |= !kept;
        println!("| {} | {what} | {found} | {promise} |", if kept { "PASS" } else { "FAIL" });
    }
}

fn main() -> anyhow::Result<ExitCode> {
    let options = Options::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let mut findings = Findings::default();
    runtime.block_on(async {
        let wanted = |name: &str| options.only.as_deref().is_none_or(|only| only == name);
        if wanted("memory") {
            memory::measure(&options, &mut findings).await?;
        }
        if wanted("isolation") {
            isolation::measure(&options, &mut findings).await?;
        }
        anyhow::Ok(())
    })?;
    Ok(if findings.broken { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
