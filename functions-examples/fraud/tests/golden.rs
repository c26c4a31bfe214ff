//! Promise: the functions do what `RULES.md` says, to the last digit.
//!
//! `golden/events.jsonl` holds messages for accounts, on both sides of every limit; `golden/alerts.jsonl` the alerts and
//! notifications that follow. The functions are run in memory; `oracle.py`, which was written from the same page and shares
//! no code with them, must agree.

use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use millpond_fraud::{Out, functions};
use millpond_sdk::testing::{Call, Instance};
use millpond_sdk::{Functions, TypedValue};
use serde_json::Value;

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn lines(name: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(path(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{name}: {error}: {line}")))
        .collect()
}

/// Every address, and what is on its way: a runtime of one thread without a disk.
struct World {
    functions: Functions,
    instances: BTreeMap<String, Instance>,
}

impl World {
    /// Delivers a message, and all that follows from it at once. Gives back what went to egresses.
    async fn deliver(&mut self, function: &str, id: &str, value: TypedValue) -> Vec<Value> {
        let mut records = Vec::new();
        let mut waiting = VecDeque::from([(function.to_owned(), id.to_owned(), value)]);
        while let Some((function, id, value)) = waiting.pop_front() {
            let instance = self
                .instances
                .entry(format!("{function}/{id}"))
                .or_insert_with(|| Instance::new(&self.functions, (function.as_str(), &id)));
            let call = Call::new(value).expect("a typed value can be sent");
            let effects = instance.batch([call]).await.unwrap_or_else(|error| panic!("{function}/{id}: {error}"));
            for sent in effects.messages {
                waiting.push_back((sent.target.function.to_string(), sent.target.id.to_string(), sent.value));
            }
            for record in effects.egress {
                let kind = if record.topic().as_deref() == Some("fraud-alerts") { "alert" } else { "notification" };
                let value: Value = serde_json::from_str(&record.text().expect("text")).expect("JSON");
                records.push(serde_json::json!({ kind: value }));
            }
        }
        records
    }
}

#[tokio::test]
async fn functions_do_what_the_rules_say() {
    let model = serde_json::from_slice(&std::fs::read(path("model.json")).expect("a model")).expect("a model");
    let functions = functions(model, Out::Playground);
    let mut world = World { functions, instances: BTreeMap::new() };
    let mut found = Vec::new();
    for event in lines("golden/events.jsonl") {
        let [account, typename, value, ..] = event.as_array().expect("an array").as_slice() else {
            panic!("{event} is no event")
        };
        let text = |value: &Value| value.as_str().expect("text").to_owned();
        let message = TypedValue::new(text(typename), text(value));
        found.extend(world.deliver("fraud/account", &text(account), message).await);
    }
    assert_eq!(found, lines("golden/alerts.jsonl"));
}

#[test]
fn the_recomputation_agrees() {
    let python = std::env::var_os("MILLPOND_PYTHON").unwrap_or_else(|| "python3".into());
    let events = std::fs::File::open(path("golden/events.jsonl")).expect("events");
    let output = Command::new(python)
        .arg(path("oracle.py"))
        .arg(path("model.json"))
        .stdin(events)
        .stderr(Stdio::inherit())
        .output()
        .expect("`oracle.py` needs Python 3");
    assert!(output.status.success(), "{}", output.status);
    let text = String::from_utf8(output.stdout).expect("text");
    let found: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let (accounts, records): (Vec<Value>, Vec<Value>) =
        found.into_iter().partition(|line| line.get("account").is_some());
    assert_eq!(records, lines("golden/alerts.jsonl"));
    assert!(!accounts.is_empty());
}
