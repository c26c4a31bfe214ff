//! The table and the checks at the end.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

use crate::judge::{Quality, quality};
use crate::oracle;
use crate::play::percentile;
use crate::screen::Screen;
use crate::stage::Counted;
use crate::traffic::Arrival;
use crate::way::Words;

/// A seed, its messages, and its episodes of fraud.
pub type Population = (u64, (Vec<Arrival>, usize));

/// What the demo promises of its model.
const RECALL_MIN: f64 = 0.85;
const PRECISION_MIN: f64 = 0.70;

/// Everything that the table and the checks are made of.
pub struct Outcome {
    pub messages: usize,
    pub words: Words,
    pub sending: Duration,
    pub alert_difference: Option<String>,
    pub notification_difference: Option<String>,
    pub state_difference: Option<String>,
    pub accounts: usize,
    pub alerts: BTreeMap<String, Vec<Value>>,
    pub notifications: u64,
    pub reminders: u64,
    pub delivered_us: Vec<u64>,
    pub alert_us: Vec<u64>,
    pub counted: Counted,
    pub memory: (u64, u64),
    pub data_bytes: u64,
    pub closed: Option<String>,
}

/// Prints table and checks; whether all hold.
pub fn conclude(screen: &Screen, populations: &[Population], mut outcome: Outcome) -> bool {
    let seconds = outcome.sending.as_secs_f64();
    let alerts: usize = outcome.alerts.values().map(Vec::len).sum();
    screen.say("");
    let row = |name: &str, value: String| screen.say(&format!("  {name:<22} {value}"));
    row(
        "messages",
        format!("{} in {seconds:.1} s, {:.0} a second", outcome.messages, outcome.messages as f64 / seconds),
    );
    let Words { delivered, row: (name, value), next } = outcome.words;
    row(name, value);
    let Counted { invocations, calls, checkpoints } = outcome.counted;
    row("invocations", format!("{invocations:.0}, {:.0} a second, in {calls:.0} calls", invocations / seconds));
    row("checkpoints", format!("{checkpoints:.0}, {:.0} a second, each one synced write", checkpoints / seconds));
    let took = &mut outcome.delivered_us;
    row(
        &format!("message {delivered}"),
        format!("p50 {:.1} ms, p99 {:.1} ms", percentile(took, 50), percentile(took, 99)),
    );
    let alert = &mut outcome.alert_us;
    row("message to alert", format!("p50 {:.1} ms, p99 {:.1} ms", percentile(alert, 50), percentile(alert, 99)));
    let (runtime, functions) = outcome.memory;
    row("memory at its highest", format!("runtime {} MiB, functions {} MiB", runtime >> 20, functions >> 20));
    row("data folder", format!("{} MiB", outcome.data_bytes >> 20));
    row("alerts", format!("{alerts}; by rule: {}", by_rule(&outcome.alerts)));
    row("notifications", format!("{}, and {} reminders", outcome.notifications, outcome.reminders));
    let judged = judge(populations, |account| outcome.alerts.get(account).map_or(&[], Vec::as_slice));
    for (seed, quality) in &judged {
        row(&format!("population {seed}"), words(quality));
    }

    screen.say("");
    let mut all = true;
    let mut check = |what: String, wrong: Option<String>| {
        screen.say(&format!("  {}  {what}", if wrong.is_none() { "ok    " } else { "FAILED" }));
        if let Some(wrong) = wrong {
            screen.say(&format!("          {wrong}"));
            all = false;
        }
    };
    check(
        format!("{alerts} alerts, each once, in order, equal to an independent recomputation"),
        outcome.alert_difference,
    );
    check(format!("{} notifications, each once, likewise", outcome.notifications), outcome.notification_difference);
    check(format!("state of {} accounts, likewise", outcome.accounts), outcome.state_difference);
    for (seed, quality) in judged {
        let enough = quality.recall() >= RECALL_MIN && quality.precision() >= PRECISION_MIN;
        check(
            format!("population {seed}: recall at least {RECALL_MIN:.2}, precision at least {PRECISION_MIN:.2}"),
            (!enough).then(|| words(&quality)),
        );
    }
    check("SIGTERM ended runtime and functions with exit code 0".to_owned(), outcome.closed);

    screen.say("");
    if all {
        screen.say("All of it holds. What to try next:");
        screen.say("  functions-examples/fraud/README.md   run the parts by hand, change a rule or a weight");
        screen.say("  sdk/rust/README.md                   write a function of your own");
        screen.say(&format!("  {next}"));
        screen.say("  make demo-python                     two functions in Python, step by step");
    } else {
        screen.say("error: the demo shows something else than it promises");
    }
    all
}

/// Judges populations by the recomputation alone; this is how rules and model are tuned.
pub fn offline(populations: &[Population]) -> anyhow::Result<bool> {
    let screen = Screen::new();
    for population in populations {
        let (seed, (arrivals, _)) = population;
        let expected = oracle::recompute(arrivals)?;
        let judged =
            judge(std::slice::from_ref(population), |account| expected.alerts.get(account).map_or(&[], Vec::as_slice));
        screen.say(&format!(
            "{seed}: {} messages; {}; {}",
            arrivals.len(),
            words(&judged[0].1),
            by_rule(&expected.alerts)
        ));
    }
    Ok(true)
}

fn judge<'a>(populations: &'a [Population], alerts: impl Fn(&str) -> &'a [Value]) -> Vec<(u64, Quality)> {
    populations
        .iter()
        .map(|(seed, (arrivals, episodes))| {
            let accounts: std::collections::BTreeSet<&String> =
                arrivals.iter().map(|arrival| &arrival.account).collect();
            let of_population = accounts.into_iter().flat_map(|account| alerts(account));
            (*seed, quality(arrivals, *episodes, of_population))
        })
        .collect()
}

fn words(quality: &Quality) -> String {
    format!(
        "recall {:.2} ({} of {} episodes), precision {:.2} ({} of {} alerts)",
        quality.recall(),
        quality.caught,
        quality.episodes,
        quality.precision(),
        quality.right,
        quality.alerts
    )
}

fn by_rule(alerts: &BTreeMap<String, Vec<Value>>) -> String {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for rule in alerts.values().flatten().flat_map(|alert| alert["rules"].as_array().into_iter().flatten()) {
        *counts.entry(rule.as_str().unwrap_or_default()).or_default() += 1;
    }
    let words: Vec<String> = counts.into_iter().map(|(rule, count)| format!("{rule} {count}")).collect();
    words.join(", ")
}
