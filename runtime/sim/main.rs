//! `millpond-sim [--seeds N] [--first SEED] [--seed SEED] [--world engine|publisher]`: runs seeds in both worlds, or in one of
//! them, and prints the first broken promise.

use std::process::ExitCode;

use millpond_sim::{Report, check, check_publishing, publishing};

const USAGE: &str = "usage: millpond-sim [--seeds N] [--first SEED] [--seed SEED] [--world engine|publisher]";

fn main() -> ExitCode {
    let mut seeds = 2_000u64;
    let mut first = 0u64;
    let (mut engine, mut publisher) = (true, true);
    let mut arguments = std::env::args().skip(1);
    while let Some(name) = arguments.next() {
        let value = arguments.next().unwrap_or_default();
        match (name.as_str(), value.as_str(), value.parse()) {
            ("--seeds", _, Ok(value)) => seeds = value,
            ("--first", _, Ok(value)) => first = value,
            ("--seed", _, Ok(value)) => (first, seeds) = (value, 1),
            ("--world", "engine", _) => publisher = false,
            ("--world", "publisher", _) => engine = false,
            _ => {
                eprintln!("{USAGE}");
                return ExitCode::from(2);
            }
        }
    }
    let mut engines = Report::default();
    let mut publishers = publishing::Report::default();
    for seed in first..first + seeds {
        let outcome = match engine {
            true => check(seed).map(|report| add(&mut engines, &report)),
            false => Ok(()),
        };
        let outcome = outcome.and_then(|()| match publisher {
            true => check_publishing(seed).map(|report| add_publishing(&mut publishers, &report)),
            false => Ok(()),
        });
        if let Err(promise) = outcome {
            eprintln!("{promise}");
            return ExitCode::FAILURE;
        }
    }
    if engine {
        eprintln!(
            "engine: {seeds} seeds from {first} held: steps={} crashes={} stops={} calls={} checkpoints={} effects={}",
            engines.steps, engines.crashes, engines.stops, engines.calls, engines.checkpoints, engines.effects
        );
    }
    if publisher {
        eprintln!(
            "publisher: {seeds} seeds from {first} held: steps={} crashes={} records={} producers={} commits={} halts={} \
             dead_letters={}",
            publishers.steps,
            publishers.crashes,
            publishers.records,
            publishers.sessions,
            publishers.commits,
            publishers.halts,
            publishers.letters
        );
    }
    ExitCode::SUCCESS
}

fn add(sum: &mut Report, report: &Report) {
    sum.steps += report.steps;
    sum.crashes += report.crashes;
    sum.stops += report.stops;
    sum.calls += report.calls;
    sum.checkpoints += report.checkpoints;
    sum.effects += report.effects;
}

fn add_publishing(sum: &mut publishing::Report, report: &publishing::Report) {
    sum.steps += report.steps;
    sum.crashes += report.crashes;
    sum.records += report.records;
    sum.sessions += report.sessions;
    sum.commits += report.commits;
    sum.halts += report.halts;
    sum.letters += report.letters;
}
