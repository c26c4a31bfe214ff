//! Compares what happened with what must have happened, and with who really was a thief.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde_json::Value;

use crate::traffic::Arrival;

/// Whether two JSON values mean the same: `5` and `5.0` do, and the order of fields does not count. `expected` may be a
/// part: fields that it does not have are not compared.
pub fn agrees(found: &Value, expected: &Value) -> bool {
    match (found, expected) {
        (Value::Number(found), Value::Number(expected)) => found.as_f64() == expected.as_f64(),
        (Value::Array(found), Value::Array(expected)) => {
            found.len() == expected.len() && found.iter().zip(expected).all(|(found, expected)| agrees(found, expected))
        }
        (Value::Object(found), Value::Object(expected)) => {
            expected.iter().all(|(name, expected)| found.get(name).is_some_and(|found| agrees(found, expected)))
        }
        _ => found == expected,
    }
}

/// The first difference between the records of each account, in words; none if there is none.
pub fn difference(found: &BTreeMap<String, Vec<Value>>, expected: &BTreeMap<String, Vec<Value>>) -> Option<String> {
    let names: BTreeSet<&String> = found.keys().chain(expected.keys()).collect();
    let none = Vec::new();
    names.into_iter().find_map(|name| {
        let found = found.get(name).unwrap_or(&none);
        let expected = expected.get(name).unwrap_or(&none);
        if found.len() != expected.len() {
            return Some(format!("{name} has {} and not {}", found.len(), expected.len()));
        }
        let at = found.iter().zip(expected).position(|(found, expected)| !agrees(found, expected))?;
        Some(format!("{name}: number {} is\n{}\nand not\n{}", at + 1, found[at], expected[at]))
    })
}

/// How well alerts fit the labels.
#[derive(Debug, Default, Clone, Copy)]
pub struct Quality {
    /// Episodes of fraud.
    pub episodes: usize,
    /// Those with at least one alert.
    pub caught: usize,
    /// Alerts.
    pub alerts: usize,
    /// Those for a transaction of a thief.
    pub right: usize,
}

impl Quality {
    /// The share of episodes that was caught.
    pub fn recall(&self) -> f64 {
        self.caught as f64 / self.episodes.max(1) as f64
    }

    /// The share of alerts that was right.
    pub fn precision(&self) -> f64 {
        self.right as f64 / self.alerts.max(1) as f64
    }
}

/// Judges the alerts of one population.
pub fn quality<'a>(arrivals: &[Arrival], episodes: usize, alerts: impl Iterator<Item = &'a Value>) -> Quality {
    let labels: HashMap<(&str, &str), usize> = arrivals
        .iter()
        .filter_map(|arrival| Some(((arrival.account.as_str(), arrival.transaction.as_deref()?), arrival.episode?)))
        .collect();
    let mut caught = BTreeSet::new();
    let mut quality = Quality { episodes, ..Quality::default() };
    for alert in alerts {
        quality.alerts += 1;
        let transaction = alert["transactionId"].as_str().unwrap_or_default();
        let account = alert["accountId"].as_str().unwrap_or_default();
        if let Some(episode) = labels.get(&(account, transaction)) {
            quality.right += 1;
            caught.insert(*episode);
        }
    }
    quality.caught = caught.len();
    quality
}
