//! `make demo` and `make demo-kafka`: card fraud, caught while it happens, through a `kill -9`.
//!
//! Starts the fraud functions and the runtime, sends the traffic of three made-up populations, kills the runtime in the
//! middle, starts it again, and checks everything against an independent recomputation. Exit code 0 only if all holds.

mod judge;
mod oracle;
mod play;
mod random;
mod report;
mod screen;
mod stage;
mod traffic;
mod way;

use std::process::ExitCode;

use clap::Parser;

use crate::traffic::population;

/// Card fraud, caught while it happens, through a kill -9
#[derive(Parser)]
struct Arguments {
    /// Accounts in each population
    #[arg(long, default_value_t = 150)]
    accounts: usize,
    /// A population for each seed; the rules and the model were never tuned on these three
    #[arg(long, value_delimiter = ',', default_values_t = [101, 202, 303])]
    seeds: Vec<u64>,
    /// Messages a second, over all accounts
    #[arg(long, default_value_t = 1000.0)]
    rate: f64,
    /// Messages and records go over topics of a Kafka broker, which is started for it, and not over HTTP
    #[arg(long)]
    kafka: bool,
    /// Only judge these seeds by the recomputation alone, without functions and runtime
    #[arg(long)]
    offline: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let populations = arguments.seeds.iter().map(|seed| (*seed, population(*seed, arguments.accounts))).collect();
    let populations: Vec<_> = populations;
    let done = async {
        match arguments.offline {
            true => report::offline(&populations),
            false => play::play(populations, arguments.rate, arguments.kafka).await,
        }
    };
    tokio::select! {
        done = done => match done {
            Ok(true) => ExitCode::SUCCESS,
            Ok(false) => ExitCode::FAILURE,
            Err(error) => {
                eprintln!("\nerror: the demo went wrong\n  caused by: {error:#}");
                ExitCode::FAILURE
            }
        },
        _ = tokio::signal::ctrl_c() => {
            eprintln!("\nstopped");
            ExitCode::from(130)
        }
    }
}
