//! `make chaos` and `make outage`: exactly once over a real Kafka, through kills of everything and outages. Exit code 0 when every promise is kept, 1 when
//! one is broken or something did not happen at all.

use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use millpond_chaos::chaos::{self, Plan};
use millpond_chaos::outage::{self, Outage};
use millpond_chaos::stand::Shape;

/// Holds the built runtime against what it promises about Kafka
#[derive(Debug, Parser)]
struct Options {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Kills the runtime, the functions and the broker under load
    Kills(Kills),
    /// Takes the broker away for a while, under load over HTTP
    Outage(Away),
    /// Serves the functions that the others call
    #[command(hide = true)]
    Serve {
        /// Where, on the loopback
        #[arg(long)]
        port: u16,
    },
}

#[derive(Debug, Args)]
struct Kills {
    /// Decides order and moments
    #[arg(long)]
    seed: Option<u64>,
    /// Keys that numbers are sent under
    #[arg(long, default_value_t = 10_000)]
    keys: u64,
    /// Partitions of each topic
    #[arg(long, default_value_t = 12)]
    partitions: i32,
    /// Records a second
    #[arg(long, default_value_t = 2_000)]
    rate: u64,
    /// Nodes of the broker: 1 or 3
    #[arg(long, default_value_t = 1)]
    nodes: usize,
    /// Kills of the runtime, at least
    #[arg(long, default_value_t = 20)]
    runtime: u32,
    /// Of those, inside an open transaction, at least
    #[arg(long, default_value_t = 10)]
    open: u32,
    /// Kills of function servers
    #[arg(long, default_value_t = 5)]
    functions: u32,
    /// Kills of broker nodes
    #[arg(long, default_value_t = 3)]
    broker: u32,
    /// Pauses of broker nodes
    #[arg(long, default_value_t = 5)]
    pauses: u32,
    /// Seconds of the shortest pause
    #[arg(long, default_value_t = 5)]
    pause_min: u64,
    /// Seconds of the longest pause
    #[arg(long, default_value_t = 40)]
    pause_max: u64,
}

#[derive(Debug, Args)]
struct Away {
    /// Seconds for which the broker is away
    #[arg(long, default_value_t = 90)]
    seconds: u64,
    /// Events a second; each makes 200 records
    #[arg(long, default_value_t = 75)]
    rate: u64,
}

#[tokio::main]
#[expect(clippy::print_stdout, reason = "the figures are what this is for")]
async fn main() -> anyhow::Result<ExitCode> {
    let findings = match Options::parse().command {
        Command::Serve { port } => {
            millpond_chaos::serve(port).await?;
            return Ok(ExitCode::SUCCESS);
        }
        Command::Kills(kills) => chaos::run(&plan(&kills), &std::env::current_exe()?).await?,
        Command::Outage(away) => {
            outage::run(Outage { seconds: away.seconds, rate: away.rate }, &std::env::current_exe()?).await?
        }
    };
    println!("{}", findings.table());
    Ok(if findings.broken().is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn plan(kills: &Kills) -> Plan {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    Plan {
        seed: kills.seed.unwrap_or(now.as_secs()),
        shape: Shape { keys: kills.keys, partitions: kills.partitions, rate: kills.rate, nodes: kills.nodes },
        runtime: kills.runtime,
        open: kills.open,
        functions: kills.functions,
        broker: kills.broker,
        pauses: kills.pauses,
        pause_s: (kills.pause_min, kills.pause_max.max(kills.pause_min)),
    }
}
