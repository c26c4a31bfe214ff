//! What an invocation costs the local ledger: CPU of the whole process while checkpoints are made durable, RocksDB's own
//! threads included. The target is 2.5 us at 1,000 invocations a checkpoint.
//!
//! `make bench-ledger`. `BENCH_DIR` says where the ledger is: the temporary folder may be in memory, where a sync costs
//! nothing. The time for each element is that of one invocation.

use std::path::PathBuf;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, SamplingMode, Throughput, criterion_group, criterion_main};
use millpond::ledger::{Ledger, LocalLedger};
use millpond_bench_ledger::{Waiting, Workload};

fn commits(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("cpu of a commit");
    // Compaction comes in bursts: few long samples say more than many short ones.
    group.sampling_mode(SamplingMode::Flat).sample_size(10).measurement_time(Duration::from_secs(10));
    for waiting in [Waiting::Nothing, Waiting::Invocations, Waiting::Addresses] {
        for size in [100, 1_000] {
            group.throughput(Throughput::Elements(size as u64));
            let id = BenchmarkId::new(format!("{waiting:?} waiting"), size);
            let parent = std::env::var_os("BENCH_DIR").map_or_else(std::env::temp_dir, PathBuf::from);
            let folder = tempfile::tempdir_in(parent).expect("a folder");
            let ledger = LocalLedger::open(&folder.path().join("ledger")).expect("a new ledger");
            let (mut workload, lanes) = (Workload::new(waiting, size), Workload::lanes());
            group.bench_function(id, |bencher| {
                bencher.iter_custom(|count| {
                    let (began, mut making) = (cpu("/proc/self"), 0);
                    for _ in 0..count.div_ceil(100) {
                        let thread = cpu("/proc/thread-self");
                        let checkpoints: Vec<_> = (0..100).map(|_| workload.checkpoint()).collect();
                        making += cpu("/proc/thread-self") - thread;
                        for checkpoint in &checkpoints {
                            ledger.commit(checkpoint, &lanes).expect("it is in order");
                        }
                        let thread = cpu("/proc/thread-self");
                        drop(checkpoints);
                        making += cpu("/proc/thread-self") - thread;
                    }
                    let spent = (cpu("/proc/self") - began).saturating_sub(making);
                    // A hundred at a time, whatever was asked for.
                    Duration::from_nanos(spent * count / (count.div_ceil(100) * 100))
                });
            });
        }
    }
    group.finish();
}

/// Nanoseconds that a process or a thread ran, all threads of a process together.
fn cpu(of: &str) -> u64 {
    let text = |file: &str| std::fs::read_to_string(file).unwrap_or_default();
    let ran = |text: String| text.split_whitespace().next().and_then(|ran| ran.parse::<u64>().ok()).unwrap_or(0);
    if of.ends_with("thread-self") {
        return ran(text(&format!("{of}/schedstat")));
    }
    // In ticks of 10 ms: threads that ended are in it, which their own files are not.
    let stat = text(&format!("{of}/stat"));
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace().skip(11).take(2);
    fields.filter_map(|ticks| ticks.parse::<u64>().ok()).sum::<u64>() * 10_000_000
}

criterion_group!(benches, commits);
criterion_main!(benches);
