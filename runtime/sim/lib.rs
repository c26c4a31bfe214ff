//! The engine in a simulated world: functions, producers, a reader, a ledger, a clock and crashes, all from one seed.
//!
//! What comes in: a seed. What goes out: a [`Report`], or the first promise that was broken. One seed decides workload,
//! limits, faults and timing, so a failure is replayed by its number. A run has two phases: with faults, and without them,
//! in which everything must drain. The oracle (`oracle.rs`) is one map and knows nothing of checkpoints.
//!
//! | file | is |
//! |---|---|
//! | `scenario.rs` | what a seed chose: limits, fault rates, the tree of work behind each event |
//! | `function.rs` | the function: runs a request against the state that it carries, as an SDK does |
//! | `world.rs` | the event loop: carries out what the engine asks for, late, twice, or not at all |
//! | `producer.rs` | sends events, with and without keys, and again after a crash |
//! | `oracle.rs` | what must be true at the end, and of everything that can be seen outside |
//! | `mutations.py` | puts defects into a copy of the engine, one after the other, and tells which seed finds each |
//!
//! # What is simulated
//! *Process*: killed between any two steps, told to stop with work in flight, started again with the clock set back.
//! *Ledger*: slow; a checkpoint lost or kept by a crash; loads as old as the question or as new as the answer, told twice.
//! *Functions*: late, lost and repeated answers, batches and single invocations rejected once or until faults end, endpoints
//! down for a while or until faults end, a function type without endpoint, `Retry-After`. *Producers*: with and without
//! keys, several targets, repetitions, another event under a key that is taken, answers that arrive late. *Readers*: free
//! what they saw, and more. *Limits*: every second scenario runs into the small ones.

mod function;
mod oracle;
mod producer;
mod scenario;
#[cfg(test)]
mod tests;
mod world;

pub use world::{Report, run};

/// Runs one seed; a panic is a broken promise like any other.
///
/// # Errors
/// The seed, the promise that was broken, and the one command that replays it.
pub fn check(seed: u64) -> Result<Report, String> {
    let outcome = std::panic::catch_unwind(|| run(seed)).unwrap_or_else(|_| Err("the engine panicked".to_owned()));
    outcome.map_err(|promise| {
        format!(
            "seed {seed}: {promise}\nhint: `MILLPOND_SIM_TRACE=1 cargo run -p millpond-sim -- --seed {seed}` replays it"
        )
    })
}
