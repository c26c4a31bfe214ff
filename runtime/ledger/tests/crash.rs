//! A process that is killed loses nothing that it was told is durable.
//!
//! The test starts its own binary again, as a writer that says each checkpoint's number once its commit returned, and kills
//! it in the middle. A kill does not lose what the kernel holds, so this says nothing about a loss of power.

use std::io::{BufRead, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use millpond_engine::{Checkpoint, Write};

use super::words::*;
use crate::ledger::{Ledger, LocalLedger};

const DIRECTORY: &str = "LEDGER_CRASH_DIRECTORY";

#[test]
fn what_was_said_to_be_durable_survives_a_kill() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("ledger");
    let mut found = 0;
    for round in 1..=6 {
        let said = write_until_killed(&path, 15 * round);
        assert!(said > found, "round {round} went on from {found} to {said}");
        let ledger = LocalLedger::open(&path).expect("a kill does no harm");
        found = ledger.restore().expect("it can be read").meta.checkpoint;
        assert!(found == said || found == said + 1, "{said} was durable, {found} is there");
        check(&ledger, found);
    }
}

/// Starts the writer, kills it some time after it said `lines` numbers, and gives the last number that it said.
fn write_until_killed(path: &Path, lines: usize) -> u64 {
    let test = std::env::current_exe().expect("a test has a binary");
    let mut writer = Command::new(test)
        .args(["--exact", "ledger::tests::crash::writer", "--ignored", "--nocapture"])
        .env(DIRECTORY, path)
        .stdout(Stdio::piped())
        .spawn()
        .expect("the writer starts");
    let mut said = BufReader::new(writer.stdout.take().expect("it is a pipe")).lines();
    let mut number = |line: String| line.strip_prefix("durable ").and_then(|number| number.parse::<u64>().ok());
    let mut last = said.by_ref().map_while(Result::ok).filter_map(&mut number).take(lines).last();
    writer.kill().expect("it still runs");
    last = said.map_while(Result::ok).filter_map(&mut number).last().or(last);
    writer.wait().expect("it ran");
    last.expect("the writer said something")
}

#[test]
#[ignore = "it is started by the test above, and never ends"]
fn writer() {
    let Some(path) = std::env::var_os(DIRECTORY).map(PathBuf::from) else { return };
    let ledger = LocalLedger::open(&path).expect("nobody else has it");
    let mut number = ledger.restore().expect("it can be read").meta.checkpoint;
    let mut out = std::io::stdout();
    loop {
        number += 1;
        ledger.commit(&checkpoint(number), &[lane("")]).expect("it is in order");
        writeln!(out, "durable {number}").and_then(|()| out.flush()).expect("somebody reads it");
    }
}

/// What the checkpoint of this number is, whoever makes it.
fn checkpoint(number: u64) -> Checkpoint {
    let (own, text) = (address(&number.to_string()), "x".repeat((number * 97 % 20_000) as usize));
    let mut hand = Hand::new();
    hand.number = number - 1;
    hand.stand = vec![(number / 10 + 1, 2 * number - 1)];
    let mut writes = vec![
        state(&own, "text", Some(value(&text))),
        state(&address("all"), "count", Some(value(number.to_string()))),
        pending(&own, number, &text),
        listed(&own, true),
    ];
    if number > 1 {
        let before = address(&(number - 1).to_string());
        writes.extend([finished(&before, number - 1), listed(&before, false)]);
    }
    writes.extend(hand.publish(0, &[&number.to_string(), &text], (number + 1) / 10));
    if let Some(Write::Lane { first_before, .. }) = writes.last_mut() {
        *first_before = number / 10 + 1;
    }
    hand.seal(writes)
}

/// All checkpoints up to this one are there, whole.
pub fn check(ledger: &LocalLedger, last: u64) {
    assert_eq!(see(ledger, &address("all")).texts(), [("count", last.to_string().as_bytes())]);
    for number in 1..=last {
        let seen = see(ledger, &address(&number.to_string()));
        let text = "x".repeat((number * 97 % 20_000) as usize);
        assert!(seen.texts() == [("text", text.as_bytes())], "state of checkpoint {number} of {last}");
        let waits = if number == last { vec![number] } else { vec![] };
        assert_eq!((seen.sequences(), seen.listed), (waits, number == last));
    }
    let (first, next) = ledger.lane(&lane("")).expect("it can be read");
    assert_eq!((first, next), ((last + 1) / 10 + 1, 2 * last + 1));
    let records = read_all(ledger, &lane(""));
    assert_eq!(records.len() as u64, next - first);
    for (place, text) in records {
        let number = place.div_ceil(2);
        let expected = if place % 2 == 1 { number.to_string() } else { "x".repeat((number * 97 % 20_000) as usize) };
        assert!(text == expected, "record {place}");
    }
    ledger.commit(&checkpoint(last), &[lane("")]).expect("it is a repetition");
    let _ = page(ledger, None, 10);
}
