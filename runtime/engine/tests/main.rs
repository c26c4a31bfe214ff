//! The engine's promises, one test each, against a scripted driver. The simulator holds them together; here each stands
//! alone, so that a broken one has a name. `README.md` beside this file lists them by the rows of the compatibility checklist.

mod batches;
mod bench;
mod checkpoints;
mod dead_letters;
mod delayed;
mod expiry;
mod failures;
mod hostile;
mod idempotency;
mod lanes;
mod learning;
mod limits;
mod liveness;
mod messages;
mod metrics;
mod positions;
mod recovery;
mod restart;
mod spilling;
mod starvation;
mod states;
mod windows;
