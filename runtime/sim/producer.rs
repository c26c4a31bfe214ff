//! The producer: sends events one after the other per key, and again after a crash when it may.

use std::collections::{BTreeMap, BTreeSet};

use millpond_engine::{Answer, Event, IdempotencyKey, Receipt};

use crate::scenario::{Scenario, argument};

/// What the producer knows of its events.
#[derive(Debug, Default)]
pub(crate) struct Producer {
    next: usize,
    next_receipt: u64,
    waiting: BTreeMap<Receipt, u64>,
    /// Events to be sent again with the key that they were sent with.
    again: Vec<u64>,
    keyed: BTreeSet<u64>,
    /// Events that were answered: they count exactly once.
    pub(crate) confirmed: BTreeSet<u64>,
    /// Events without a key whose answer a crash took: they count once or not at all.
    pub(crate) unknown: BTreeSet<u64>,
}

impl Producer {
    /// The next event to be sent, if there is one.
    pub(crate) fn event(&mut self, scenario: &Scenario, random: &mut fastrand::Rng) -> Option<Event> {
        let root = match self.again.pop() {
            Some(root) => root,
            None => {
                let root = *scenario.roots.get(self.next)?;
                self.next += 1;
                if random.u32(0..1000) < scenario.faults.key_share {
                    self.keyed.insert(root);
                }
                root
            }
        };
        let receipt = Receipt(self.next_receipt);
        self.next_receipt += 1;
        self.waiting.insert(receipt, root);
        let idempotency = self.keyed.contains(&root).then(|| IdempotencyKey {
            key: format!("event-{root}").into(),
            fingerprint: u128::from(root).to_be_bytes(),
        });
        Some(Event { invocations: vec![(scenario.target(root), argument(root))], receipt: Some(receipt), idempotency })
    }

    /// Sends an event that waits for its answer once more, under its key: an impatient client.
    pub(crate) fn repeat(&mut self, random: &mut fastrand::Rng) {
        let keyed: Vec<u64> = self.waiting.values().copied().filter(|root| self.keyed.contains(root)).collect();
        if !keyed.is_empty() {
            self.again.push(keyed[random.usize(0..keyed.len())]);
        }
    }

    /// The engine answered.
    pub(crate) fn answered(&mut self, receipt: Receipt, answer: Answer) -> Result<(), String> {
        let Some(root) = self.waiting.remove(&receipt) else { return Ok(()) };
        match answer {
            Answer::Durable | Answer::Repeated => {
                self.confirmed.insert(root);
                Ok(())
            }
            Answer::KeyReused => Err(format!("event {root} was told that its key is taken by another event")),
            Answer::Stopping => {
                self.again.push(root);
                Ok(())
            }
        }
    }

    /// The process is gone, and with it all answers.
    pub(crate) fn crashed(&mut self) {
        for (_, root) in std::mem::take(&mut self.waiting) {
            match self.keyed.contains(&root) {
                true => self.again.push(root),
                false => {
                    self.unknown.insert(root);
                }
            }
        }
    }

    /// True when every event was sent and answered, or lost with a crash.
    pub(crate) fn done(&self, scenario: &Scenario) -> bool {
        self.next == scenario.roots.len() && self.waiting.is_empty() && self.again.is_empty()
    }
}
