//! What demos and tests of the examples share.
//!
//! [`Process`] is a child that says `ready ...`: the runtime, or functions; it is gone when its value is dropped.
//! [`Installation`] is a module file and a data folder, which outlive processes. [`Delivery`] sends events until the runtime
//! has answered 200 for each, through kills and restarts. [`Reader`] reads a topic without taking. [`Broker`] is a Kafka broker,
//! with [`Producer`], [`Consumer`] and [`follow_group`] for it.

mod broker;
mod delivery;
mod installation;
mod kafka;
mod process;
mod reader;

pub use broker::Broker;
pub use delivery::{Delivery, Event};
pub use installation::Installation;
pub use kafka::{Consumer, Place, Positions, Producer, follow_group};
pub use process::Process;
pub use reader::{Reader, Record};

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use reqwest::Client;

/// Generous: two loaded cores and a cold disk must never fail anybody.
pub const DEADLINE: Duration = Duration::from_secs(120);

/// What went wrong, for people.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A process could not be started, or talked to.
    #[error("{what}")]
    Process {
        /// What was attempted.
        what: String,
        /// Why it failed.
        source: io::Error,
    },
    /// A process ended, or said nothing, before it was ready.
    #[error("{0} was not ready; its log is above")]
    NotReady(String),
    /// A request had no answer.
    #[error("{what}")]
    Request {
        /// What was asked for.
        what: String,
        /// Why there was no answer.
        source: reqwest::Error,
    },
    /// A Kafka client, or its broker, said no.
    #[error("{what}")]
    Kafka {
        /// What was attempted.
        what: String,
        /// Why it failed.
        source: rdkafka::error::KafkaError,
    },
    /// An answer that cannot be right.
    #[error("{0}")]
    Wrong(String),
}

/// A client with one connection pool and a deadline on every request.
pub fn client() -> Client {
    Client::builder().timeout(DEADLINE).no_proxy().build().expect("a client without TLS can always be built")
}

/// The body of a GET that must be answered 200; `None` for 404.
///
/// # Errors
/// When there is no answer, or another status.
pub async fn get(client: &Client, url: &str) -> Result<Option<String>, Error> {
    let failed = |source| Error::Request { what: format!("GET {url}"), source };
    let answer = client.get(url).send().await.map_err(failed)?;
    match answer.status().as_u16() {
        200 => Ok(Some(answer.text().await.map_err(failed)?)),
        404 => Ok(None),
        status => Err(Error::Wrong(format!("GET {url} was answered {status}"))),
    }
}

/// The state values of an address, as the admin API shows them, by name; none for an address that has nothing.
///
/// # Errors
/// When there is no answer, or none that can be read.
pub async fn states(
    client: &Client,
    admin: &str,
    function: &str,
    id: &str,
) -> Result<BTreeMap<String, serde_json::Value>, Error> {
    let url = format!("http://{admin}/v1/addresses/{function}/{id}");
    let Some(body) = get(client, &url).await? else { return Ok(BTreeMap::new()) };
    let page: serde_json::Value =
        serde_json::from_str(&body).map_err(|error| Error::Wrong(format!("GET {url}: {error}")))?;
    let states = page["states"].as_array().cloned().unwrap_or_default();
    Ok(states
        .into_iter()
        .filter_map(|mut state| Some((state["name"].as_str()?.to_owned(), state["value"].take())))
        .collect())
}

/// The sum of a metric over all its labels, of those whose line contains `label`.
pub fn metric(text: &str, name: &str, label: &str) -> f64 {
    text.lines()
        .filter(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' '])) && line.contains(label))
        .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
        .sum()
}
