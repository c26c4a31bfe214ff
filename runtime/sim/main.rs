//! `millpond-sim [--seeds N] [--first SEED] [--seed SEED]`: runs seeds and prints the first broken promise.

use std::process::ExitCode;

fn main() -> ExitCode {
    let mut seeds = 2_000u64;
    let mut first = 0u64;
    let mut arguments = std::env::args().skip(1);
    while let Some(name) = arguments.next() {
        let value = arguments.next().and_then(|value| value.parse().ok());
        match (name.as_str(), value) {
            ("--seeds", Some(value)) => seeds = value,
            ("--first", Some(value)) => first = value,
            ("--seed", Some(value)) => (first, seeds) = (value, 1),
            _ => {
                eprintln!("usage: millpond-sim [--seeds N] [--first SEED] [--seed SEED]");
                return ExitCode::from(2);
            }
        }
    }
    let mut sum = millpond_sim::Report::default();
    for seed in first..first + seeds {
        match millpond_sim::check(seed) {
            Ok(report) => {
                sum.steps += report.steps;
                sum.crashes += report.crashes;
                sum.stops += report.stops;
                sum.calls += report.calls;
                sum.checkpoints += report.checkpoints;
                sum.effects += report.effects;
            }
            Err(promise) => {
                eprintln!("{promise}");
                return ExitCode::FAILURE;
            }
        }
    }
    eprintln!(
        "{seeds} seeds from {first} held: steps={} crashes={} stops={} calls={} checkpoints={} effects={}",
        sum.steps, sum.crashes, sum.stops, sum.calls, sum.checkpoints, sum.effects
    );
    ExitCode::SUCCESS
}
