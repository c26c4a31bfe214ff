//! `millpond-fuzz [--seeds N] [--first SEED] [--seed SEED] [--target NAME] [--hex BYTES] [--corpus FOLDER]`: runs seeds of one
//! target or of all and prints executions per second, or the first broken promise. With a folder it only writes what mutation
//! starts from, for other fuzzers.

use std::fs;
use std::path::Path;
use std::process::ExitCode;

use millpond_fuzz::{Target, all, harness};

const USAGE: &str =
    "usage: millpond-fuzz [--seeds N] [--first SEED] [--seed SEED] [--target NAME] [--hex BYTES] [--corpus FOLDER]";

fn main() -> ExitCode {
    let (mut seeds, mut first) = (100_000u64, 0u64);
    let (mut targets, mut bytes, mut corpus) = (all(), None, None);
    let mut arguments = std::env::args().skip(1);
    while let Some(name) = arguments.next() {
        let value = arguments.next().unwrap_or_default();
        match (name.as_str(), value.parse(), unhex(&value)) {
            ("--seeds", Ok(value), _) => seeds = value,
            ("--first", Ok(value), _) => first = value,
            ("--seed", Ok(value), _) => (first, seeds) = (value, 1),
            ("--hex", _, Some(value)) => bytes = Some(value),
            ("--corpus", ..) if !value.is_empty() => corpus = Some(value),
            ("--target", ..) if targets.iter().any(|target| target.name == value) => {
                targets.retain(|target| target.name == value);
            }
            _ => {
                let names: Vec<&str> = all().iter().map(|target| target.name).collect();
                eprintln!("error: `{name} {value}` is not understood\n{USAGE}\ntargets: {}", names.join(" "));
                return ExitCode::from(2);
            }
        }
    }
    for target in &targets {
        let told = match (&bytes, &corpus) {
            (Some(bytes), _) => harness::run_bytes(target, bytes).map(|()| "holds".to_owned()),
            (None, Some(folder)) => write_corpus(target, &Path::new(folder).join(target.name)),
            (None, None) => seeds_of(target, first, seeds),
        };
        match told {
            Ok(told) => eprintln!("{:<20} {told}", target.name),
            Err(failure) => {
                eprintln!("{failure}");
                return ExitCode::FAILURE;
            }
        }
    }
    ExitCode::SUCCESS
}

fn seeds_of(target: &Target, first: u64, seeds: u64) -> Result<String, String> {
    let held = harness::run(target, first..first.saturating_add(seeds))?;
    let per_second = held.executions as f64 / held.elapsed.as_secs_f64().max(1e-9);
    Ok(format!("{} seeds from {first} held, {per_second:.0} executions/s", held.executions))
}

fn write_corpus(target: &Target, folder: &Path) -> Result<String, String> {
    let entries = (target.corpus)();
    let written = fs::create_dir_all(folder).and_then(|()| {
        let mut numbered = entries.iter().enumerate();
        numbered.try_for_each(|(number, entry)| fs::write(folder.join(format!("{number:04}")), entry))
    });
    written.map_err(|error| format!("`{}` cannot be written: {error}", folder.display()))?;
    Ok(format!("{} inputs in {}", entries.len(), folder.display()))
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> = text.chars().map(|digit| digit.to_digit(16).map(|digit| digit as u8)).collect();
    let digits = digits.filter(|digits| digits.len().is_multiple_of(2))?;
    Some(digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect())
}
