//! `fraud/scorer`: a small logistic model, weights in a file, decides which hits become alerts.
//!
//! In: a hit with all its features, from the account of the same id. Out: over the threshold, an alert, to the world and to
//! `fraud/notifier`. State: none, so that an alert depends on the order of the account's records alone.

use std::collections::BTreeMap;

use millpond_sdk::{Context, Message, Result};
use serde::Deserialize;

use crate::judge::round;
use crate::messages::{Alert, Hit};
use crate::out::{ALERTS, Out};

/// What `model.json` holds.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Model {
    model_name: String,
    model_version: String,
    /// Ten-thousandths; a hit with this score is an alert.
    threshold: i64,
    bias: f64,
    weights: BTreeMap<String, f64>,
}

const RULES: [&str; 6] = ["burst", "velocity", "impossible-travel", "amount-spike", "new-device", "unusual-hour"];

pub(crate) struct Scorer {
    pub(crate) model: Model,
    pub(crate) out: Out,
}

pub(crate) async fn scorer(scorer: &Scorer, context: &mut Context, message: Message) -> Result {
    let hit: Hit = message.value()?;
    let score = scorer.model.score(&hit);
    if score < scorer.model.threshold {
        return Ok(());
    }
    let account = context.id();
    let alert = Alert {
        alert_id: format!("{account}-{}", hit.transaction_id),
        account_id: account.to_string(),
        transaction_id: hit.transaction_id,
        timestamp: hit.timestamp,
        rules: hit.rules,
        explanation: hit.explanation,
        features: hit.features,
        score: score as f64 / 10_000.0,
        model_name: scorer.model.model_name.clone(),
        model_version: scorer.model.model_version.clone(),
    };
    scorer.out.send(context, ALERTS, &alert)?;
    Ok(context.send(("fraud/notifier", account), &alert)?)
}

impl Model {
    /// Ten-thousandths. The order of the sum is that of the rules, so that every machine gets the same.
    fn score(&self, hit: &Hit) -> i64 {
        let weight = |name: &str| self.weights.get(name).copied().unwrap_or(0.0);
        let features = &hit.features;
        let mut z = self.bias;
        for rule in RULES {
            z += weight(rule) * if hit.rules.iter().any(|hit| hit == rule) { 1.0 } else { 0.0 };
        }
        z += weight("amount") * (1.0 + features.amount_cents as f64 / 10_000.0).ln();
        z += weight("averageRatio") * (features.average_ratio.min(2000) as f64 / 100.0);
        z += weight("countIn2m") * features.count_in_2m as f64;
        z += weight("risk") * features.risk as f64;
        round(10_000.0 / (1.0 + (-z).exp()))
    }
}
