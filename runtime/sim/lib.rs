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

mod function;
mod oracle;
mod producer;
mod scenario;
mod world;

pub use world::{Report, run};
