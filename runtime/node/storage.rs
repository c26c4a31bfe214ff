//! The two threads that block on the ledger: one commits checkpoints in their order, one loads.
//!
//! They are apart so that a sync never holds up a load. What comes in: checkpoints and loads of the engine. What goes out:
//! messages to the engine thread.

use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::JoinHandle;
use std::time::Instant;

use millpond_engine::{Checkpoint, Input, LaneName, Load};

use super::driver::Message;
use crate::ledger::{Ledger, LedgerError};
use crate::measures::Measures;

/// The engine thread's way to the ledger.
pub(super) struct Storage {
    checkpoints: Sender<Arc<Checkpoint>>,
    loads: Sender<Load>,
}

impl Storage {
    /// Makes a checkpoint durable; [`Input::Durable`] follows, or [`Message::LedgerFailed`].
    pub(super) fn commit(&self, checkpoint: Arc<Checkpoint>) {
        // A thread that is gone has said why before.
        let _ = self.checkpoints.send(checkpoint);
    }

    /// Loads; [`Input::Loaded`] follows, or [`Message::LedgerFailed`].
    pub(super) fn load(&self, load: Load) {
        let _ = self.loads.send(load);
    }
}

/// Starts both threads. They end when the [`Storage`] is dropped; whoever stops the process waits for them, because
/// they hold the ledger, and RocksDB must not be in use when a process exits.
pub(super) fn start(
    ledger: &Arc<dyn Ledger>,
    lanes: &[LaneName],
    engine: &Sender<Message>,
    measures: &Arc<Measures>,
) -> (Storage, [JoinHandle<()>; 2]) {
    let (checkpoints, commit_queue) = mpsc::channel();
    let (loads, load_queue) = mpsc::channel();
    let (lanes, measured) = (lanes.to_vec(), Arc::clone(measures));
    let commit = spawn("millpond-commit", ledger, engine, commit_queue, move |ledger, checkpoint: Arc<Checkpoint>| {
        let (began, before) = (Instant::now(), ledger.committed_bytes());
        ledger.commit(&checkpoint, &lanes)?;
        measured.commits_us.add_duration(began.elapsed());
        measured.checkpoint_bytes.add(ledger.committed_bytes() - before);
        Ok(Input::Durable(checkpoint.meta.checkpoint))
    });
    let measured = Arc::clone(measures);
    let load = spawn("millpond-load", ledger, engine, load_queue, move |ledger, load: Load| {
        let began = Instant::now();
        let loaded = ledger.load(&load)?;
        measured.loads_us.add_duration(began.elapsed());
        Ok(Input::Loaded(loaded))
    });
    (Storage { checkpoints, loads }, [commit, load])
}

fn spawn<Job: Send + 'static>(
    name: &str,
    ledger: &Arc<dyn Ledger>,
    engine: &Sender<Message>,
    queue: Receiver<Job>,
    work: impl Fn(&dyn Ledger, Job) -> Result<Input, LedgerError> + Send + 'static,
) -> JoinHandle<()> {
    let (ledger, engine) = (Arc::clone(ledger), engine.clone());
    let body = move || {
        for job in queue {
            let message = match work(&*ledger, job) {
                Ok(input) => Message::Input(Box::new(input)),
                Err(error) => Message::LedgerFailed(error),
            };
            let failed = matches!(message, Message::LedgerFailed(_));
            if engine.send(message).is_err() || failed {
                return;
            }
        }
    };
    std::thread::Builder::new().name(name.to_owned()).spawn(body).expect("a process that just started may have threads")
}
