//! Measurements, not run by default: what reading from the local ledger costs. What a commit costs is measured by
//! `bench/ledger`.
//!
//! `cargo test --workspace --lib ledger::tests::measure -- --ignored --nocapture --test-threads 1`. `MEASURE_DIR` says where
//! the ledger is.

#![expect(clippy::print_stdout, reason = "the figures are what this is for")]

use std::fs;
use std::path::PathBuf;
use std::time::Instant;

use bytes::Bytes;
use millpond_engine::{Load, Write};
use tempfile::TempDir;

use super::words::*;
use crate::ledger::{Ledger, LocalLedger};

const VALUE_BYTES: usize = 100;
const RECORD_BYTES: usize = 150;

#[test]
#[ignore = "a measurement"]
fn loads() {
    let (_directory, ledger) = new_ledger();
    let mut hand = Hand::new();
    let known = 1_000_000;
    for from in (0..known).step_by(1_000) {
        let of = (from..from + 1_000).map(|number| address(&format!("user-{number}")));
        let writes = of.map(|of| state(&of, "seen", Some(value("v".repeat(VALUE_BYTES))))).collect();
        hand.commit(&ledger, writes);
        if from % 50_000 == 0 {
            // What a busy queue leaves behind.
            let of = address("busy");
            let many: Vec<Write> = (0..20_000).map(|number| pending(&of, from + number, "x")).collect();
            hand.commit(&ledger, many);
            hand.commit(&ledger, (0..20_000).map(|number| finished(&of, from + number)).collect());
        }
    }
    let load = |name: &str, of: &dyn Fn(u64) -> String| {
        let count = 50_000;
        let cpu = cpu_of_thread();
        for number in 0..count {
            let load = Load::Address { address: address(&of(number)), bytes: 1 << 20 };
            ledger.load(&load).expect("it can be read");
        }
        println!("{name}: {:.2} us CPU", (cpu_of_thread() - cpu) as f64 / count as f64 / 1e3);
    };
    for round in ["first", "again"] {
        load(&format!("never seen, {round}"), &|number| format!("stranger-{number}"));
        load(&format!("known, {round}"), &|number| format!("user-{}", number.wrapping_mul(7_919) % known));
    }
    let began = Instant::now();
    assert_eq!(page(&ledger, None, 4096), (vec![], false));
    println!("an empty list: {:.0} us", began.elapsed().as_secs_f64() * 1e6);
    println!("resident: {} MiB", resident_kib() / 1024);
}

#[test]
#[ignore = "a measurement"]
fn reads_of_the_outbox() {
    let (_directory, ledger) = new_ledger();
    let mut hand = Hand::new();
    let record = "r".repeat(RECORD_BYTES);
    for round in 0..3_000_u64 {
        let freed = (round * 100).saturating_sub(1_000);
        let writes = hand.publish(0, &vec![record.as_str(); 100], freed);
        hand.commit(&ledger, writes);
    }
    let (first, next) = hand.stand[0];
    let began = Instant::now();
    let mut after = first - 1;
    let mut reads = 0;
    while after + 1 < next {
        let records: Vec<(u64, Bytes)> = ledger.outbox(&hand.lanes[0], after, 50, 1 << 20).expect("it can be read");
        after = records.last().expect("there are some").0;
        reads += 1;
    }
    println!("a read of 50 records: {:.1} us", began.elapsed().as_secs_f64() * 1e6 / f64::from(reads));
}

fn new_ledger() -> (TempDir, LocalLedger) {
    let parent = std::env::var_os("MEASURE_DIR").map_or_else(std::env::temp_dir, PathBuf::from);
    let directory = tempfile::tempdir_in(parent).expect("a directory");
    let ledger = LocalLedger::open(&directory.path().join("ledger")).expect("a new ledger");
    (directory, ledger)
}

/// Nanoseconds that this thread ran.
fn cpu_of_thread() -> u64 {
    let stat = fs::read_to_string("/proc/thread-self/schedstat").expect("Linux");
    stat.split_whitespace().next().and_then(|ran| ran.parse().ok()).expect("a number")
}

fn resident_kib() -> u64 {
    number_in("/proc/self/status", "VmRSS:")
}

fn number_in(file: &str, field: &str) -> u64 {
    let text = fs::read_to_string(file).expect("Linux");
    let line = text.lines().find_map(|line| line.strip_prefix(field)).expect("the field is there");
    line.split_whitespace().next().and_then(|number| number.parse().ok()).expect("a number")
}
