//! Simulated worlds, each from one seed: the engine among functions, producers, a reader, a ledger, a clock and crashes;
//! and the publisher between its outbox and Kafka.
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
//! | `partition.rs` | reads events as records of partitions, again from the ledger's position after a crash |
//! | `producer.rs` | sends events, with and without keys, and again after a crash |
//! | `oracle.rs` | what must be true at the end, and of everything that can be seen outside |
//! | `publishing.rs` | the publisher's world: event loop, faults, drills, and its oracle |
//! | `kafka.rs`, `client.rs` | brokers with the first transaction protocol, and the client of one producer |
//! | `outbox.rs` | the ledger as a publisher sees it |
//! | `mutations.py` | puts defects into a copy of the source, one after the other, and tells which seed finds each |
//!
//! # What is simulated
//! *Process*: killed between any two steps, told to stop with work in flight, started again with the clock set back.
//! *Ledger*: slow; a checkpoint lost or kept by a crash; loads as old as the question or as new as the answer, told twice.
//! *Functions*: late, lost and repeated answers, batches and single invocations rejected once or until faults end, endpoints
//! down for a while or until faults end, a function type without endpoint, `Retry-After`. *Producers*: with and without
//! keys, several targets, repetitions, another event under a key that is taken, answers that arrive late. *Readers*: free
//! what they saw, and more. *Partitions*: offsets with gaps, records read again, word of a record held back that arrives late,
//! records that become dead letters, whole or in part. *Limits*: every second scenario runs into the small ones.
//!
//! For the publisher: *process* and *ledger* as above, two processes on copies of one directory, an older state of a
//! directory brought back, a lost cursor topic. *Network*: requests and answers lost, late, repeated by the client, brokers
//! that cannot be reached. *Brokers*: time-outs, fences, ends that arrive late, a stranger's open transaction in the cursor
//! topic, with and without verification of partitions; records that are refused with their whole batch.

mod client;
mod function;
mod kafka;
#[cfg(test)]
mod kafka_tests;
mod oracle;
mod outbox;
mod partition;
mod producer;
pub mod publishing;
mod scenario;
#[cfg(test)]
mod tests;
mod world;

pub use world::{Report, run};

/// Runs one seed in the engine's world; a panic is a broken promise like any other.
///
/// # Errors
/// The seed, the promise that was broken, and the one command that replays it.
pub fn check(seed: u64) -> Result<Report, String> {
    check_world("engine", seed, run)
}

/// Runs one seed in the publisher's world.
///
/// # Errors
/// As of [`check`].
pub fn check_publishing(seed: u64) -> Result<publishing::Report, String> {
    check_world("publisher", seed, publishing::run)
}

fn check_world<R>(world: &str, seed: u64, run: fn(u64) -> Result<R, String>) -> Result<R, String> {
    let outcome = std::panic::catch_unwind(|| run(seed)).unwrap_or_else(|_| Err(format!("the {world} panicked")));
    outcome.map_err(|promise| {
        format!(
            "seed {seed}: {world}: {promise}\n\
             hint: `MILLPOND_SIM_TRACE=1 cargo run -p millpond-sim -- --world {world} --seed {seed}` replays it"
        )
    })
}
