//! Promise: each record counts once and is seen once, whatever dies. The short form of `make chaos`.

use std::path::Path;

use millpond_chaos::chaos::{Plan, run};
use millpond_chaos::stand::Shape;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_record_counts_once_whatever_dies() {
    if !millpond_chaos::has_java() {
        assert!(std::env::var_os("CI").is_none(), "there is no Java or no Maven, and CI skips nothing");
        eprintln!("skipped: a Kafka broker needs the Java and Maven that `make setup` installs");
        return;
    }
    let plan = Plan {
        seed: 20_261_128,
        shape: Shape { keys: 500, partitions: 12, rate: 1_000, nodes: 1 },
        runtime: 4,
        open: 1,
        functions: 1,
        broker: 1,
        pauses: 1,
        pause_s: (5, 5),
    };
    let findings = run(&plan, Path::new(env!("CARGO_BIN_EXE_millpond-chaos"))).await.expect("it can be judged");
    eprintln!("{}", findings.table());
    assert!(findings.broken().is_empty(), "{}", findings.broken().join("\n"));
}
