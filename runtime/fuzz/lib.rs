//! Fuzz targets: one plain function for every decoder, and for sequences of engine inputs.
//!
//! What comes in: bytes. What goes out: nothing, or a panic that says which promise the bytes broke. A target keeps no
//! state, does not depend on time or the machine, and never takes what its input does not account for.
//!
//! | file | is |
//! |---|---|
//! | `targets/` | the functions, by the part of Millpond that they hold |
//! | `choices.rs` | bytes read as decisions, for targets that need more shape than bytes have |
//! | `corpus.rs` | what mutation starts from: golden vectors, module files, records that our encoders write |
//! | `mutate.rs` | from a seed to bytes |
//! | `harness.rs` | runs seeds on stable Rust, and tells which one broke a promise |
//! | `watch.rs` | ends a run that hangs or takes too much memory |
//! | `libfuzzer/` | the same targets for `cargo fuzz`, a workspace of its own |

mod choices;
pub mod corpus;
pub mod harness;
mod mutate;
pub mod targets;
mod watch;

/// A target and what its mutations start from.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// Its name, also that of the function.
    pub name: &'static str,
    /// Runs it. A panic is a broken promise.
    pub run: fn(&[u8]),
    /// Inputs that are of the target's kind.
    pub corpus: fn() -> Vec<Vec<u8>>,
    /// Pieces that mean something to the target.
    pub words: &'static [&'static [u8]],
}

/// All targets.
pub fn all() -> Vec<Target> {
    let mut all = targets::protocol::TARGETS.to_vec();
    all.extend_from_slice(targets::engine::TARGETS);
    #[cfg(feature = "runtime")]
    for more in [targets::answer::TARGETS, targets::config::TARGETS, targets::http::TARGETS, targets::ledger::TARGETS] {
        all.extend_from_slice(more);
    }
    all
}
