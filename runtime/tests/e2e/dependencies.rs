//! What a crate may reach is what it may do: the engine reaches no IO.

use std::process::Command;

/// Promise: nothing that reads a clock, a socket or a file can be reached from the engine.
#[test]
fn the_engine_reaches_no_io() {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let tree = Command::new(cargo)
        .args([
            "tree",
            "--package",
            "millpond-engine",
            "--edges",
            "normal",
            "--prefix",
            "none",
            "--offline",
            "--locked",
        ])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo can be started");
    let tree = String::from_utf8_lossy(&tree.stdout).into_owned();
    let names: Vec<&str> = tree.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert!(names.contains(&"millpond-protocol"), "cargo tree said:\n{tree}");
    for forbidden in ["tokio", "hyper", "rdkafka", "rocksdb", "librocksdb-sys", "mio", "getrandom", "rand"] {
        assert!(!names.contains(&forbidden), "the engine reaches `{forbidden}`:\n{tree}");
    }
}
