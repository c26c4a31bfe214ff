//! Reads a topic without taking: exactly once for the price of one number.

use std::time::Duration;

use reqwest::Client;
use serde::Deserialize;

use crate::Error;

/// A record of a topic.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Record {
    /// Its number.
    pub sequence: u64,
    /// What it says.
    pub payload: String,
}

/// Remembers how far a topic was read.
#[derive(Debug)]
pub struct Reader {
    client: Client,
    topic: String,
    after: u64,
}

const PAGE: usize = 1000;

impl Reader {
    /// Reads a topic from its start.
    pub fn new(client: Client, topic: &str) -> Reader {
        Reader { client, topic: topic.to_owned(), after: 0 }
    }

    /// The records behind those that were read before; waits a while for the first. None also when nobody answers: the
    /// runtime may be away.
    ///
    /// # Errors
    /// When it answers with anything but records whose numbers grow.
    pub async fn next(&mut self, egress: &str, wait: Duration) -> Result<Vec<Record>, Error> {
        let url =
            format!("http://{egress}/{}?after={}&limit={PAGE}&wait_ms={}", self.topic, self.after, wait.as_millis());
        let Ok(answer) = self.client.get(&url).send().await else { return Ok(Vec::new()) };
        if answer.status() == 503 {
            return Ok(Vec::new());
        }
        if answer.status() != 200 {
            return Err(Error::Wrong(format!("GET {url} was answered {}", answer.status())));
        }
        // A kill in the middle of an answer: what was not read is there again.
        let Ok(records) = answer.json::<Vec<Record>>().await else { return Ok(Vec::new()) };
        for record in &records {
            if record.sequence <= self.after {
                return Err(Error::Wrong(format!(
                    "topic `{}`: {} came behind {}",
                    self.topic, record.sequence, self.after
                )));
            }
            self.after = record.sequence;
        }
        Ok(records)
    }
}
