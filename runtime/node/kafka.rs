//! The engine thread's way to Kafka ingresses and egresses.
//!
//! What comes in: checkpoints and outputs of the engine. What goes out: to an ingress, which of its positions are durable and
//! which records to come again with; to an egress, which records may be published.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::Sender;

use millpond_engine::{Checkpoint, LaneId, Partition, Write};
use millpond_protocol::TypeName;

use crate::egress::kafka as egress;
use crate::ingress::kafka as ingress;

/// Senders to the threads of Kafka ingresses and egresses.
#[derive(Debug, Default)]
pub(super) struct Kafka {
    inlets: BTreeMap<TypeName, Sender<ingress::Word>>,
    outlets: BTreeMap<LaneId, Sender<egress::Word>>,
    /// Positions in the checkpoint that is on its way.
    sealed: BTreeMap<TypeName, Vec<(Arc<Partition>, u64)>>,
    /// The last durable checkpoint.
    checkpoint: u64,
}

impl Kafka {
    pub(super) fn new(outlets: &[egress::Outlet]) -> Kafka {
        let outlets = outlets.iter().map(|outlet| (outlet.lane, outlet.words())).collect();
        Kafka { outlets, ..Kafka::default() }
    }

    /// An ingress runs.
    pub(super) fn add(&mut self, id: TypeName, words: Sender<ingress::Word>) {
        self.inlets.insert(id, words);
    }

    /// A checkpoint is on its way to the disk.
    pub(super) fn sealed(&mut self, checkpoint: &Checkpoint) {
        if self.inlets.is_empty() {
            return;
        }
        for write in &checkpoint.writes {
            if let Write::Position { partition, next } = write {
                self.sealed.entry(partition.ingress.clone()).or_default().push((Arc::clone(partition), *next));
            }
        }
    }

    /// It is there.
    pub(super) fn durable(&mut self, checkpoint: u64) {
        self.checkpoint = checkpoint;
        for (ingress, positions) in std::mem::take(&mut self.sealed) {
            if let Some(words) = self.inlets.get(&ingress) {
                // A thread that is gone shows nothing to anybody any more.
                let _ = words.send(ingress::Word::Durable(positions));
            }
        }
    }

    /// Records of a lane may be seen.
    pub(super) fn publish(&self, lane: LaneId, upto: u64) {
        if let Some(words) = self.outlets.get(&lane) {
            let _ = words.send(egress::Word::Durable { upto, checkpoint: self.checkpoint });
        }
    }

    /// A record was not taken in.
    pub(super) fn held_back(&self, partition: Arc<Partition>, offset: u64) {
        if let Some(words) = self.inlets.get(&partition.ingress) {
            let _ = words.send(ingress::Word::HeldBack(partition, offset));
        }
    }
}
