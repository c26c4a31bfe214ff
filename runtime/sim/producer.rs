//! The producer: sends events one after the other per key, and again after a crash when it may.

use std::collections::{BTreeMap, BTreeSet};

use millpond_engine::{Answer, Event, IdempotencyKey, Receipt};

use crate::scenario::{Scenario, argument};

/// What the producer knows of its events.
#[derive(Debug, Default)]
pub(crate) struct Producer {
    /// Events that found no room at least once.
    refused: BTreeSet<u64>,
    next: usize,
    next_receipt: u64,
    waiting: BTreeMap<Receipt, u64>,
    /// Events to be sent again with the key that they were sent with.
    again: Vec<u64>,
    keyed: BTreeSet<u64>,
    /// Events that were sent under the key of another one, which was sent before.
    forged: BTreeMap<Receipt, u64>,
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
                while scenario.events.keys().nth(self.next).is_some_and(|root| scenario.is_record(*root)) {
                    self.next += 1;
                }
                let root = *scenario.events.keys().nth(self.next)?;
                self.next += 1;
                if random.u32(0..1000) < scenario.faults.key_share {
                    self.keyed.insert(root);
                }
                root
            }
        };
        let receipt = self.receipt();
        self.waiting.insert(receipt, root);
        let idempotency = self.keyed.contains(&root).then(|| key(root, root));
        let invocations = scenario.events[&root].iter().map(|node| (scenario.target(*node), argument(*node))).collect();
        Some(Event { invocations, receipt: Some(receipt), idempotency })
    }

    fn receipt(&mut self) -> Receipt {
        self.next_receipt += 1;
        Receipt(self.next_receipt)
    }

    /// Another event under the key of one that was sent already: it must never take effect.
    pub(crate) fn forge(&mut self, scenario: &Scenario, random: &mut fastrand::Rng) -> Option<Event> {
        // What was refused was not taken in: its key is free.
        let sent: Vec<u64> = self.waiting.values().chain(&self.confirmed).copied().collect();
        let taken = |root: &u64| self.keyed.contains(root) && !self.refused.contains(root);
        let keyed: Vec<u64> = sent.into_iter().filter(taken).collect();
        let root = *keyed.get(random.usize(0..keyed.len().max(1)))?;
        let receipt = self.receipt();
        self.forged.insert(receipt, root);
        let invocations = vec![(scenario.target(root), argument(root))];
        Some(Event { invocations, receipt: Some(receipt), idempotency: Some(key(root, u64::MAX)) })
    }

    /// The event that this answer makes a claim of: it is durable, or its key is.
    pub(crate) fn claim(&mut self, receipt: Receipt, answer: Answer) -> Option<u64> {
        if let Some(root) = self.waiting.get(&receipt).filter(|_| answer == Answer::Full) {
            self.refused.insert(*root);
        }
        match answer {
            Answer::Stopping | Answer::Full => None,
            _ => self.waiting.get(&receipt).or_else(|| self.forged.get(&receipt)).copied(),
        }
    }

    /// How many wait for an answer.
    pub(crate) fn waits(&self) -> usize {
        self.waiting.len() + self.forged.len()
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
        if let Some(root) = self.forged.remove(&receipt) {
            return match answer {
                Answer::KeyReused | Answer::Stopping | Answer::Full => Ok(()),
                _ => Err(format!("another event under the key of event {root} was answered {answer:?}")),
            };
        }
        let Some(root) = self.waiting.remove(&receipt) else { return Err(format!("{receipt:?} was answered twice")) };
        match answer {
            Answer::Durable | Answer::Repeated => {
                self.confirmed.insert(root);
                Ok(())
            }
            Answer::KeyReused => Err(format!("event {root} was told that its key is taken by another event")),
            Answer::Stopping | Answer::Full => {
                self.again.push(root);
                Ok(())
            }
            Answer::NotFirst | Answer::NoRoute => Err(format!("event {root} was answered {answer:?}")),
        }
    }

    /// The process is gone, and with it all answers.
    pub(crate) fn crashed(&mut self) {
        self.forged.clear();
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
        scenario.events.keys().skip(self.next).all(|root| scenario.is_record(*root))
            && self.waits() == 0
            && self.again.is_empty()
    }
}

fn key(root: u64, content: u64) -> IdempotencyKey {
    IdempotencyKey { key: format!("event-{root}").into(), fingerprint: u128::from(content).to_be_bytes() }
}
