//! Each target for a moment, and what makes a seed a replay.

use std::fs;
use std::path::Path;

use millpond_fuzz::{all, harness};

/// Executions of each target: a few seconds in all. `make fuzz` runs more.
const EXECUTIONS: u64 = 2_000;

/// No seed breaks a promise.
#[test]
fn every_target_holds() {
    let broken: Vec<String> = std::thread::scope(|scope| {
        let threads: Vec<_> =
            all().into_iter().map(|target| scope.spawn(move || harness::run(&target, 0..EXECUTIONS).err())).collect();
        threads.into_iter().filter_map(|thread| thread.join().expect("a run does not panic")).collect()
    });
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

/// The same seed is the same bytes, another one is others, and other targets have their own.
#[test]
fn seed_is_a_replay() {
    for target in all() {
        let same = (1_000..1_050).filter(|seed| harness::input(&target, *seed) != harness::input(&target, *seed));
        assert_eq!(same.count(), 0, "{}", target.name);
        let mut inputs: Vec<Vec<u8>> = (1_000..1_050).map(|seed| harness::input(&target, seed)).collect();
        inputs.sort();
        inputs.dedup();
        assert!(inputs.len() > 25, "{}: {} of 50", target.name, inputs.len());
    }
}

/// A panic is told with the seed, the bytes and the command.
#[test]
fn failure_is_told() {
    let mut target = all()[0];
    target.run = |bytes| assert!(bytes.len() < 2, "a promise");
    let failure = harness::run(&target, 0..100).expect_err("an answer has two bytes");
    assert!(failure.starts_with("seed 0 of target `wire_answer` panicked: "), "{failure}");
    assert!(failure.contains("--target wire_answer --hex "), "{failure}");
}

/// Mutation starts from inputs that have something in them.
#[test]
fn corpora_are_not_empty() {
    for target in all() {
        assert!((target.corpus)().iter().any(|entry| entry.len() > 1), "{}", target.name);
    }
}

/// cargo-fuzz finds each target, and none that is not there.
#[test]
fn libfuzzer_has_every_target() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("libfuzzer");
    let manifest = fs::read_to_string(folder.join("Cargo.toml")).expect("a manifest");
    for target in all() {
        let name = target.name;
        let source = fs::read_to_string(folder.join(format!("fuzz_targets/{name}.rs"))).expect(name);
        assert!(source.contains(&format!("::{name}(bytes)")), "{source}");
        assert!(manifest.contains(&format!("[[bin]]\nname = \"{name}\"\n")), "{name} is not in the manifest");
    }
    assert_eq!(manifest.matches("[[bin]]").count(), all().len());
    assert_eq!(fs::read_dir(folder.join("fuzz_targets")).expect("a folder").count(), all().len());
}
