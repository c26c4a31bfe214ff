//! Measurements, not run by default: what an invocation costs the local ledger.
//!
//! `cargo test --release -p millpond --lib ledger::tests::measure -- --ignored --nocapture --test-threads 1`. CPU is that of
//! the whole process, RocksDB's own threads included, less what making the checkpoints took. `MEASURE_SECONDS` says how long
//! each one runs, `MEASURE_DIR` where (the temporary directory may be in memory, where a sync costs nothing), `MEASURE_ONLY`
//! (`Nothing/1000`) which one, `MEASURE_ADDRESSES` how many addresses there are.

#![expect(clippy::print_stdout, reason = "the figures are what this is for")]

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use bytes::Bytes;
use millpond_engine::{Checkpoint, Load, Write};
use millpond_protocol::Address;
use tempfile::TempDir;

use super::words::*;
use crate::ledger::{Ledger, LocalLedger};

const VALUE_BYTES: usize = 100;
const RECORD_BYTES: usize = 150;

/// What waits when a checkpoint is sealed.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Waiting {
    /// Nothing: each invocation comes and goes within one checkpoint.
    Nothing,
    /// Each invocation, in one checkpoint; its address is busy all the time.
    Invocations,
    /// Each invocation, in one checkpoint; its address is idle before and after.
    Addresses,
}

#[test]
#[ignore = "a measurement"]
fn commits() {
    println!(
        "| waiting | invocations per checkpoint | invocations/s | CPU us each | commit p50 ms | p99 ms | bytes written each |"
    );
    println!("|---|---|---|---|---|---|---|");
    for waiting in [Waiting::Nothing, Waiting::Invocations, Waiting::Addresses] {
        for size in [100, 1_000] {
            if std::env::var("MEASURE_ONLY").is_ok_and(|only| only != format!("{waiting:?}/{size}")) {
                continue;
            }
            measure_commits(waiting, size);
        }
    }
}

fn measure_commits(waiting: Waiting, size: usize) {
    let (_directory, ledger) = new_ledger();
    let mut load = Workload::new(waiting, size);
    let (mut times, mut making) = (Vec::new(), 0);
    let (written, began, cpu) = (bytes_written(), Instant::now(), cpu_of_process());
    while began.elapsed() < seconds() {
        // Many at a time: the kernel counts a thread's time in steps of milliseconds.
        let thread = cpu_of_thread();
        let checkpoints: Vec<Checkpoint> = (0..100_000 / size).map(|_| load.checkpoint()).collect();
        making += cpu_of_thread() - thread;
        for checkpoint in &checkpoints {
            let one = Instant::now();
            ledger.commit(checkpoint, &load.hand.lanes).expect("it is in order");
            times.push(one.elapsed());
        }
        let thread = cpu_of_thread();
        drop(checkpoints);
        making += cpu_of_thread() - thread;
    }
    let invocations = (times.len() * size) as f64;
    let cpu = (cpu_of_process() - cpu).saturating_sub(making) as f64 / 1e3;
    let busy: Duration = times.iter().sum();
    times.sort();
    let percentile = |part: usize| times[times.len() * part / 100].as_secs_f64() * 1e3;
    println!(
        "| {waiting:?} | {size} | {:.0} | {:.2} | {:.2} | {:.2} | {:.0} |",
        invocations / busy.as_secs_f64(),
        cpu / invocations,
        percentile(50),
        percentile(99),
        (bytes_written() - written) as f64 / invocations,
    );
}

/// Makes checkpoints of invocations: a state value and an outbox record each.
struct Workload {
    waiting: Waiting,
    size: usize,
    addresses: Vec<Address>,
    hand: Hand,
    next: usize,
    sequence: u64,
    /// What the checkpoint before left waiting.
    before: Vec<(usize, u64)>,
    text: String,
    record: String,
}

impl Workload {
    fn new(waiting: Waiting, size: usize) -> Workload {
        let addresses = 0..number_from("MEASURE_ADDRESSES", 10_000);
        Workload {
            waiting,
            size,
            addresses: addresses.map(|number| address(&format!("user-{number}"))).collect(),
            hand: Hand::new(),
            next: 0,
            sequence: 0,
            before: Vec::new(),
            text: "v".repeat(VALUE_BYTES),
            record: "r".repeat(RECORD_BYTES),
        }
    }

    fn checkpoint(&mut self) -> Checkpoint {
        let mut writes = Vec::with_capacity(5 * self.size);
        let mut now = Vec::new();
        for _ in 0..self.size {
            self.next = (self.next + 7_919) % self.addresses.len();
            self.sequence += 1;
            let of = &self.addresses[self.next];
            writes.push(state(of, "seen", Some(value(&self.text))));
            if self.waiting != Waiting::Nothing {
                writes.push(pending(of, self.sequence, &self.text));
                now.push((self.next, self.sequence));
            }
            if self.waiting == Waiting::Addresses {
                writes.push(listed(of, true));
            }
        }
        for (of, sequence) in std::mem::replace(&mut self.before, now) {
            writes.push(finished(&self.addresses[of], sequence));
            if self.waiting == Waiting::Addresses {
                writes.push(listed(&self.addresses[of], false));
            }
        }
        let freed = self.hand.stand[0].1.saturating_sub(1);
        writes.extend(self.hand.publish(0, &vec![self.record.as_str(); self.size], freed));
        self.hand.seal(writes)
    }
}

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

fn seconds() -> Duration {
    Duration::from_secs(number_from("MEASURE_SECONDS", 8) as u64)
}

fn number_from(variable: &str, otherwise: usize) -> usize {
    std::env::var(variable).ok().and_then(|number| number.parse().ok()).unwrap_or(otherwise)
}

/// Nanoseconds that this process ran.
fn cpu_of_process() -> u64 {
    let stat = fs::read_to_string("/proc/self/stat").expect("Linux");
    let behind_name = stat.rsplit(')').next().expect("it has a name");
    let ticks = behind_name.split_whitespace().skip(11).take(2).map(|ticks| ticks.parse::<u64>().expect("a number"));
    ticks.sum::<u64>() * 10_000_000
}

/// Nanoseconds that this thread ran.
fn cpu_of_thread() -> u64 {
    let stat = fs::read_to_string("/proc/thread-self/schedstat").expect("Linux");
    stat.split_whitespace().next().and_then(|ran| ran.parse().ok()).expect("a number")
}

fn bytes_written() -> u64 {
    number_in("/proc/self/io", "write_bytes:")
}

fn resident_kib() -> u64 {
    number_in("/proc/self/status", "VmRSS:")
}

fn number_in(file: &str, field: &str) -> u64 {
    let text = fs::read_to_string(file).expect("Linux");
    let line = text.lines().find_map(|line| line.strip_prefix(field)).expect("the field is there");
    line.split_whitespace().next().and_then(|number| number.parse().ok()).expect("a number")
}
