//! What a user sends and reads: events in, records out, state by the admin API.

use std::collections::BTreeMap;

use reqwest::{Client, StatusCode};
use serde_json::Value;

use crate::runtime::Runtime;
use crate::wait::{DEADLINE, eventually};

/// A client with one connection pool and a deadline on every request.
pub fn client() -> Client {
    Client::builder().timeout(DEADLINE).build().expect("a client without TLS can always be built")
}

/// One event for the playground ingress.
#[derive(Clone)]
pub struct Event {
    pub function: &'static str,
    pub id: String,
    pub value_type: &'static str,
    pub value: String,
    pub key: String,
}

/// Sends an event once, to an ingress address: the answer, or why there is none (then nobody knows whether it counts).
pub async fn put(client: &Client, ingress: &str, event: &Event) -> reqwest::Result<reqwest::Response> {
    client
        .put(format!("http://{ingress}/{}/{}", event.function, event.id))
        .header("Content-Type", format!("application/vnd.{}", event.value_type))
        .header("Idempotency-Key", &event.key)
        .body(event.value.clone())
        .send()
        .await
}

/// Sends an event that must be accepted.
pub async fn accepted(client: &Client, runtime: &Runtime, event: &Event) {
    let answer = put(client, runtime.field("ingress"), event).await.expect("an answer");
    assert_eq!(answer.status(), StatusCode::OK, "answer to key {}", event.key);
}

/// A record of an egress topic, as reading without taking shows it.
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize)]
pub struct Record {
    pub sequence: u64,
    pub payload: String,
}

/// Reads records without taking them: those after a sequence number, all or `limit` of them.
pub async fn read(client: &Client, runtime: &Runtime, topic: &str, after: u64, limit: Option<usize>) -> Vec<Record> {
    let limit = limit.map_or_else(String::new, |limit| format!("&limit={limit}"));
    let url = format!("http://{}/{topic}?after={after}{limit}", runtime.field("egress"));
    let answer = client.get(url).send().await.expect("an answer");
    assert_eq!(answer.status(), StatusCode::OK, "reading topic {topic}");
    answer.json().await.expect("a JSON array of records")
}

/// Reads a whole topic, page by page.
pub async fn read_all(client: &Client, runtime: &Runtime, topic: &str) -> Vec<Record> {
    let mut records: Vec<Record> = Vec::new();
    loop {
        let after = records.last().map_or(0, |record| record.sequence);
        let page = read(client, runtime, topic, after, Some(500)).await;
        if page.is_empty() {
            return records;
        }
        records.extend(page);
    }
}

/// Waits until a topic has at least `count` records, and returns all of them.
pub async fn read_at_least(client: &Client, runtime: &Runtime, topic: &str, count: usize) -> Vec<Record> {
    eventually(&format!("{count} records on topic {topic}"), async || {
        let records = read_all(client, runtime, topic).await;
        (records.len() >= count).then_some(records)
    })
    .await
}

/// The state values of an address as the admin API shows them; none for an address that has nothing.
pub async fn states(client: &Client, runtime: &Runtime, address: &str) -> BTreeMap<String, Value> {
    let url = format!("http://{}/v1/addresses/{address}", runtime.field("admin"));
    let answer = client.get(url).send().await.expect("an answer");
    if answer.status() == StatusCode::NOT_FOUND {
        return BTreeMap::new();
    }
    assert_eq!(answer.status(), StatusCode::OK, "state of {address}");
    let body: Value = answer.json().await.expect("a JSON object");
    let states = body["states"].as_array().expect("`states` is an array");
    states
        .iter()
        .map(|state| {
            let name = state["name"].as_str().expect("a state has a name");
            (name.to_owned(), state["value"].clone())
        })
        .collect()
}

/// A decoded integer state; 64-bit values may be written as text, which JSON readers do not round.
pub fn integer(value: Option<&Value>) -> Option<i64> {
    match value? {
        Value::Number(number) => number.as_i64(),
        Value::String(text) => text.parse().ok(),
        _ => None,
    }
}

/// Waits until a count has the value. A count only grows: one above the value fails at once.
pub async fn count_becomes(client: &Client, runtime: &Runtime, address: &str, name: &str, expected: i64) {
    eventually(&format!("{address} to have {name} = {expected}"), async || {
        let found = integer(states(client, runtime, address).await.get(name)).unwrap_or(0);
        assert!(found <= expected, "{address} has {name} = {found}, more than the {expected} that were sent");
        (found == expected).then_some(())
    })
    .await;
}
