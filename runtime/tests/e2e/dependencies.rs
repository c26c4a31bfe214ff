//! What a crate may reach is what it may do: the state machines reach no IO.

use std::process::Command;

/// Promise: nothing that reads a clock, a socket or a file can be reached from the engine.
#[test]
fn the_engine_reaches_no_io() {
    reaches_no_io("millpond-engine", "millpond-protocol");
}

/// Promise: nor from the publisher.
#[test]
fn the_publisher_reaches_no_io() {
    reaches_no_io("millpond-publisher", "bytes");
}

/// `known` is one that the package does reach: the question was understood.
fn reaches_no_io(package: &str, known: &str) {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let tree = Command::new(cargo)
        .args(["tree", "--package", package, "--edges", "normal", "--prefix", "none", "--offline", "--locked"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo can be started");
    let tree = String::from_utf8_lossy(&tree.stdout).into_owned();
    let names: Vec<&str> = tree.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert!(names.contains(&known), "cargo tree said:\n{tree}");
    for forbidden in ["tokio", "hyper", "rdkafka", "rocksdb", "librocksdb-sys", "mio", "getrandom", "rand"] {
        assert!(!names.contains(&forbidden), "{package} reaches `{forbidden}`:\n{tree}");
    }
}
