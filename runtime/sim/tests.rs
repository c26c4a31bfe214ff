//! The simulation as a test: enough seeds to find every defect of `mutations.py`, and proof that a seed is a replay.

use crate::{check, check_publishing};

const SEEDS: u64 = 2_000;

/// Every promise holds, whatever goes wrong.
#[test]
fn two_thousand_seeds_hold() {
    hold(|seed| check(seed).err());
}

/// The same for the publisher.
#[test]
fn two_thousand_seeds_of_publishing_hold() {
    hold(|seed| check_publishing(seed).err());
}

fn hold(broken: impl Fn(u64) -> Option<String> + Copy + Send) {
    const THREADS: u64 = 4;
    let broken: Vec<String> = std::thread::scope(|scope| {
        let run = |first| move || (first..SEEDS).step_by(THREADS as usize).find_map(broken);
        let threads: Vec<_> = (0..THREADS).map(|first| scope.spawn(run(first))).collect();
        threads.into_iter().filter_map(|thread| thread.join().expect("a check does not panic")).collect()
    });
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

/// The same seed is the same run, input by input and output by output; another seed is another one.
#[test]
fn seed_is_a_replay() {
    for seed in 0..50 {
        let report = check(seed).expect("it holds");
        assert_eq!(Ok(&report), check(seed).as_ref());
        assert_ne!(report.trace, check(seed + 1).expect("it holds").trace);
        let report = check_publishing(seed).expect("it holds");
        assert_eq!(Ok(&report), check_publishing(seed).as_ref());
        assert_ne!(report.trace, check_publishing(seed + 1).expect("it holds").trace);
    }
}
