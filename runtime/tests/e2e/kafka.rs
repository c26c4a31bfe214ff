//! Kafka in and out, against a real broker: `deploy/dev/kafka` starts it, the functions are `kafka/functions.py`.

mod broker;
mod chaos;
mod copies;
mod groups;
mod ingress;
mod measure;
mod moved;
mod outage;
mod overrides;
mod producing;
mod reading;
mod rights;
mod security;
mod trouble;

use broker::{Broker, Topics};

use crate::functions::Functions;
use crate::runtime::Installation;

/// An application that counts the numbers of one topic on another one.
struct Counting {
    functions: Functions,
    broker: std::sync::Arc<Broker>,
    topics: Topics,
    installation: Installation,
}

impl Counting {
    /// On a broker, with its own topics; `None` when the machine lacks what it needs, which is said.
    fn new(broker: Option<std::sync::Arc<Broker>>, more: &str) -> Option<Counting> {
        let functions = Functions::start_for_tests("kafka")?;
        let broker = broker?;
        let topics = broker.topics(4);
        Some(Counting::with(functions, broker, topics, more))
    }

    /// On topics that may not be there yet.
    fn with(functions: Functions, broker: std::sync::Arc<Broker>, topics: Topics, more: &str) -> Counting {
        let installation = Installation::new(&module(&functions, &broker, &topics, more, EXACTLY_ONCE));
        Counting { functions, broker, topics, installation }
    }

    /// The key under which numbers are counted on its topic.
    fn key(&self, name: &str) -> String {
        format!("{name}>{}", self.topics.counts)
    }

    /// Sends numbers under a key, and waits until the broker has them.
    fn send(&self, key: &str, numbers: std::ops::RangeInclusive<u64>) {
        let sender = self.broker.sender();
        numbers.for_each(|number| sender.send(&self.topics.numbers, key, &number.to_string()));
        sender.flush();
    }

    /// What was counted under a key, once there are so many records in all.
    fn counted(&self, key: &str, count: usize) -> Vec<String> {
        let mut found = tokio::task::block_in_place(|| self.broker.read(&self.topics.counts, count));
        found.remove(key).unwrap_or_default()
    }
}

/// The module of an application, with `more` in the spec of its ingress, and `semantic` in that of its egress.
fn module(functions: &Functions, broker: &Broker, topics: &Topics, more: &str, semantic: &str) -> String {
    format!(
        "kind: io.statefun.endpoints.v2/http
spec:
  functions: com.example.fns/*
  urlPathTemplate: {url}
---
kind: io.statefun.kafka.v1/ingress
spec:
  id: com.example/in
  address: {address}
  consumerGroupId: {group}
  topics:
    - topic: {numbers}
      valueType: com.example.types/Number
      targets:
        - com.example.fns/counter
{more}
---
kind: io.statefun.kafka.v1/egress
spec:
  id: com.example/out
  address: {address}
{semantic}",
        url = functions.url(),
        address = broker.address(),
        group = topics.numbers,
        numbers = topics.numbers,
    )
}

/// Each record is seen once.
const EXACTLY_ONCE: &str = "  deliverySemantic:\n    type: exactly-once\n    transactionTimeout: 1min\n";

/// Reading begins at the first record.
const EARLIEST: &str = "  startupPosition:\n    type: earliest\n";
