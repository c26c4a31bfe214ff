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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::{Value, json};

    use super::{agrees, difference, quality};
    use crate::traffic::population;

    /// The checks of the demo find what is wrong: another value, one that is missing, one too many, another order.
    #[test]
    fn differences_are_found() {
        assert!(agrees(&json!({"a": 5.0, "b": [1], "more": 1}), &json!({"b": [1], "a": 5})));
        for (found, expected) in [
            (json!({"a": 5}), json!({"a": 6})),
            (json!({}), json!({"a": null})),
            (json!([1, 2]), json!([2, 1])),
            (json!([1]), json!([1, 1])),
            (json!("1"), json!(1)),
            (Value::Null, json!({})),
        ] {
            assert!(!agrees(&found, &expected), "{found} {expected}");
        }
        let of = |records: &[i32]| BTreeMap::from([("A".to_owned(), records.iter().map(|n| json!(n)).collect())]);
        assert_eq!(difference(&of(&[1, 2]), &of(&[1, 2])), None);
        assert_eq!(difference(&of(&[1]), &of(&[1, 2])), Some("A has 1 and not 2".to_owned()));
        assert_eq!(difference(&of(&[2, 1]), &of(&[1, 2])), Some("A: number 1 is\n2\nand not\n1".to_owned()));
        assert_eq!(difference(&of(&[1]), &BTreeMap::new()), Some("A has 1 and not 0".to_owned()));
    }

    /// An episode is caught by one alert for any of its transactions; an alert for anything else is wrong.
    #[test]
    fn alerts_are_held_against_labels() {
        let (arrivals, episodes) = population(5, 20);
        let stolen = arrivals.iter().find(|arrival| arrival.episode.is_some()).expect("a thief");
        let honest = arrivals.iter().find(|a| a.episode.is_none() && a.transaction.is_some()).expect("a payment");
        let alert = |a: &crate::traffic::Arrival| json!({"accountId": a.account, "transactionId": a.transaction});
        let found = quality(&arrivals, episodes, [alert(stolen), alert(stolen), alert(honest)].iter());
        assert_eq!((found.caught, found.right, found.alerts, found.episodes), (1, 2, 3, episodes));
    }

    /// A seed decides everything.
    #[test]
    fn the_same_seed_makes_the_same_traffic() {
        let values = |seed| population(seed, 5).0.into_iter().map(|arrival| arrival.value).collect::<Vec<_>>();
        assert_eq!(values(7), values(7));
        assert_ne!(values(7), values(8));
    }
}
