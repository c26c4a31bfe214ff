//! What must be true: of everything that can be seen outside at any moment, and of the end.
//!
//! The oracle knows the tree of work and nothing else. Exactly once: every node of a confirmed event is in the log of its
//! address once, and each of its records is visible once. In order: what one address sent to another is in that order in the
//! other one's log, and a lane shows the records of one address in the order of its log.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::producer::Producer;
use crate::scenario::{Fate, Scenario, number};

/// What could be seen outside so far.
#[derive(Debug, Default)]
pub(crate) struct Oracle {
    /// Records by lane and sequence number.
    seen: BTreeMap<u32, BTreeMap<u64, u64>>,
}

impl Oracle {
    /// A reader saw a record.
    pub(crate) fn saw(&mut self, lane: u32, sequence: u64, record: &Bytes) -> Result<(), String> {
        let node = number(record);
        let before = self.seen.entry(lane).or_default().insert(sequence, node);
        match before {
            Some(before) if before != node => Err(format!(
                "record {sequence} of lane {lane} was {before} and is now {node}: seen before it was durable"
            )),
            _ => Ok(()),
        }
    }

    /// The end: `logs` is the state of each address, in the scenario's order.
    pub(crate) fn judge(&self, scenario: &Scenario, producer: &Producer, logs: &[Vec<u64>]) -> Result<(), String> {
        let mut runs: BTreeMap<u64, usize> = BTreeMap::new();
        for (address, log) in logs.iter().enumerate() {
            for node in log {
                *runs.entry(*node).or_default() += 1;
                if scenario.node(*node).address != address {
                    return Err(format!("node {node} ran at {}", scenario.addresses[address]));
                }
            }
        }
        for root in scenario.events.keys() {
            let ran = runs.get(root).copied().unwrap_or(0);
            let expected = match (producer.confirmed.contains(root), producer.unknown.contains(root)) {
                (true, _) => ran == 1,
                (false, true) => ran <= 1,
                (false, false) => return Err(format!("event {root} was never answered")),
            };
            if !expected {
                return Err(format!("event {root} took effect {ran} times"));
            }
        }
        for (place, node) in scenario.nodes.iter().enumerate() {
            let ran = runs.get(&(place as u64)).copied().unwrap_or(0);
            let expected = runs.get(&node.root).copied().unwrap_or(0);
            let right = match node.fate {
                Fate::Runs => ran == expected,
                Fate::Cancelled => ran == 0,
                Fate::Open => ran <= expected,
            };
            if !right {
                return Err(format!(
                    "node {place} of event {} ran {ran} times, {:?} of {expected}",
                    node.root, node.fate
                ));
            }
        }
        logs.iter().try_for_each(|log| judge_pairs(scenario, log, logs))?;
        self.judge_records(scenario, logs)
    }

    fn judge_records(&self, scenario: &Scenario, logs: &[Vec<u64>]) -> Result<(), String> {
        for lane in 0..scenario.config.lanes.len() as u32 {
            let seen = self.seen.get(&lane).cloned().unwrap_or_default();
            if let Some(gap) = (1..).zip(seen.keys()).find(|(expected, found)| expected != *found) {
                return Err(format!("lane {lane} has record {} where {} is due", gap.1, gap.0));
            }
            let seen: Vec<u64> = seen.into_values().collect();
            for (address, log) in logs.iter().enumerate() {
                let wanted: Vec<u64> = log
                    .iter()
                    .flat_map(|node| scenario.node(*node).records.iter().filter(|to| **to == lane).map(|_| *node))
                    .collect();
                let found: Vec<u64> =
                    seen.iter().copied().filter(|node| scenario.node(*node).address == address).collect();
                if wanted != found {
                    return Err(format!(
                        "lane {lane} shows {found:?} of {}, its log says {wanted:?}",
                        scenario.addresses[address]
                    ));
                }
            }
        }
        Ok(())
    }
}

/// What one address sent to another one, over all of its log, arrived there in that order.
fn judge_pairs(scenario: &Scenario, sender: &[u64], logs: &[Vec<u64>]) -> Result<(), String> {
    let mut last: BTreeMap<usize, usize> = BTreeMap::new();
    let children = sender.iter().flat_map(|node| &scenario.node(*node).children);
    for child in children.filter(|child| scenario.node(**child).delay_ms.is_none()) {
        let address = scenario.node(*child).address;
        let Some(place) = logs[address].iter().position(|node| node == child) else { continue };
        if last.insert(address, place).is_some_and(|before| before > place) {
            return Err(format!("node {child} ran before one that the same address sent first"));
        }
    }
    Ok(())
}
