//! What must be true: of everything that can be seen outside at any moment, and of the end.
//!
//! The oracle knows the tree of work and nothing else. Exactly once: every node of a confirmed event is in the log of its
//! address once, and each of its records is visible once; or it is one dead letter. In order: what one address sent to another
//! is in that order in the other one's log, a lane shows the records of one address in the order of its log, and the dead
//! letters that an ingress made of a partition in the order of the partition.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use crate::producer::Producer;
use crate::scenario::{Fate, Scenario, number};

/// What could be seen outside so far.
#[derive(Debug, Default)]
pub(crate) struct Oracle {
    /// Records by lane and sequence number.
    seen: BTreeMap<u32, BTreeMap<u64, u64>>,
    /// Nodes that an engine dropped; it may have crashed before that was durable.
    dropped: BTreeSet<u64>,
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

    /// An engine dropped a node.
    pub(crate) fn dropped(&mut self, node: u64) {
        self.dropped.insert(node);
    }

    /// Whether a node may be gone without a trace.
    pub(crate) fn may_be_dropped(&self, node: u64) -> bool {
        self.dropped.contains(&node)
    }

    /// The records of a lane that were seen.
    pub(crate) fn records(&self, lane: u32) -> impl Iterator<Item = u64> {
        self.seen.get(&lane).into_iter().flat_map(|seen| seen.values().copied())
    }

    /// The end: `logs` is the state of each address, in the scenario's order.
    pub(crate) fn judge(&self, scenario: &Scenario, producer: &Producer, logs: &[Vec<u64>]) -> Result<(), String> {
        let (mut runs, mut dead): (BTreeMap<u64, usize>, BTreeMap<u64, usize>) = Default::default();
        for (address, log) in logs.iter().enumerate() {
            for node in log {
                *runs.entry(*node).or_default() += 1;
                if scenario.node(*node).address != address {
                    return Err(format!("node {node} ran at {}", scenario.addresses[address]));
                }
            }
        }
        for node in self.records(scenario.dead_lane()) {
            *dead.entry(node).or_default() += 1;
        }
        let count = |of: &BTreeMap<u64, usize>, node: u64| of.get(&node).copied().unwrap_or(0);
        let over = |node: u64| count(&runs, node) + count(&dead, node);
        for (root, nodes) in &scenario.events {
            let taken = nodes.iter().any(|node| over(*node) > 0);
            let expected = match (producer.confirmed.contains(root), producer.unknown.contains(root)) {
                (true, _) => 1,
                (false, true) => usize::from(taken),
                (false, false) => return Err(format!("event {root} was never answered")),
            };
            for node in nodes {
                self.judge_node(scenario, *node, over(*node), expected)?;
            }
        }
        for (place, node) in scenario.nodes.iter().enumerate() {
            if let Some(parent) = node.parent {
                self.judge_node(scenario, place as u64, over(place as u64), count(&runs, parent))?;
            }
        }
        if let Some(node) = scenario.letters.iter().find(|node| runs.contains_key(*node)) {
            return Err(format!("node {node} ran, though its record was to be a dead letter"));
        }
        logs.iter().try_for_each(|log| judge_pairs(scenario, log, logs))?;
        self.judge_records(scenario, logs)?;
        self.judge_letters(scenario)
    }

    /// The letters that an ingress made of a partition's records, each once, in the order of the records.
    fn judge_letters(&self, scenario: &Scenario) -> Result<(), String> {
        for (number, records) in scenario.records.iter().enumerate() {
            let nodes = records.values().flat_map(|root| &scenario.events[root]).copied();
            let wanted: Vec<u64> = nodes.filter(|node| scenario.letters.contains(node)).collect();
            let found: Vec<u64> = self.records(scenario.dead_lane()).filter(|node| wanted.contains(node)).collect();
            if wanted != found {
                return Err(format!(
                    "of the records of partition {number} {wanted:?} are dead letters, seen are {found:?}"
                ));
            }
        }
        Ok(())
    }

    /// A node ran, or became a dead letter, as often as it was sent.
    fn judge_node(&self, scenario: &Scenario, place: u64, found: usize, expected: usize) -> Result<(), String> {
        let node = scenario.node(place);
        let right = match node.fate {
            Fate::Runs => found == expected || found == 0 && self.dropped.contains(&place),
            Fate::Cancelled => found == 0,
            Fate::Open => found <= expected,
        };
        match right {
            true => Ok(()),
            false => Err(format!(
                "node {place} of event {} took effect {found} times, {:?} of {expected}",
                node.root, node.fate
            )),
        }
    }

    fn judge_records(&self, scenario: &Scenario, logs: &[Vec<u64>]) -> Result<(), String> {
        for lane in 0..=scenario.dead_lane() {
            let seen = self.seen.get(&lane).cloned().unwrap_or_default();
            if let Some(gap) = (1..).zip(seen.keys()).find(|(expected, found)| expected != *found) {
                return Err(format!("lane {lane} has record {} where {} is due", gap.1, gap.0));
            }
            if lane == scenario.dead_lane() {
                continue;
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
