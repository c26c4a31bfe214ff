//! Sends events until each is durable, through kills and restarts.
//!
//! An event counts when it was answered 200. Without an answer nobody knows, so it is sent again with the same
//! `Idempotency-Key`; one client that sends one event behind the other thereby keeps the order of an address.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use reqwest::Client;
use tokio::sync::watch;

use crate::Error;

/// One event for the playground's ingress.
#[derive(Debug, Clone)]
pub struct Event {
    /// `namespace/name/id`, as the path of the request has it.
    pub address: String,
    /// The typename of the value.
    pub typename: &'static str,
    /// The value.
    pub value: String,
    /// Names the event: sending it again with this key does no harm.
    pub key: String,
}

/// The way to an ingress that may be away for a while. Clones share it.
#[derive(Debug, Clone)]
pub struct Delivery {
    client: Client,
    ingress: watch::Sender<Option<String>>,
    resent: Arc<AtomicU64>,
}

impl Delivery {
    /// A way to the ingress at this address.
    pub fn new(client: Client, ingress: &str) -> Delivery {
        Delivery { client, ingress: watch::Sender::new(Some(ingress.to_owned())), resent: Arc::default() }
    }

    /// Nobody is there for the moment; whoever sends waits.
    pub fn interrupt(&self) {
        self.ingress.send_replace(None);
    }

    /// It is there again, perhaps elsewhere.
    pub fn resume(&self, ingress: &str) {
        self.ingress.send_replace(Some(ingress.to_owned()));
    }

    /// How many requests had no answer, or one that said "later".
    pub fn resent(&self) -> u64 {
        self.resent.load(Ordering::Relaxed)
    }

    /// Delivers one event. Returns how long the request took that was answered 200.
    ///
    /// # Errors
    /// When it is refused for good.
    pub async fn deliver(&self, event: &Event) -> Result<Duration, Error> {
        let mut ingress = self.ingress.subscribe();
        loop {
            let there = ingress.wait_for(Option::is_some).await.expect("the sender is in `self`").clone();
            let url = format!("http://{}/{}", there.as_deref().unwrap_or_default(), event.address);
            let began = Instant::now();
            let sent = self
                .client
                .put(&url)
                .header("Content-Type", format!("application/vnd.{}", event.typename))
                .header("Idempotency-Key", &event.key)
                .body(event.value.clone())
                .send()
                .await;
            let answer = match sent {
                Ok(answer) => answer,
                Err(_) => {
                    self.later(&mut ingress, &there).await;
                    continue;
                }
            };
            match answer.status().as_u16() {
                200 => return Ok(began.elapsed()),
                503 => self.later(&mut ingress, &there).await,
                status => {
                    let body = answer.text().await.unwrap_or_default();
                    return Err(Error::Wrong(format!("PUT {url} was answered {status}: {body}")));
                }
            }
        }
    }

    /// Waits for another ingress, or a moment.
    async fn later(&self, ingress: &mut watch::Receiver<Option<String>>, tried: &Option<String>) {
        self.resent.fetch_add(1, Ordering::Relaxed);
        let other = ingress.wait_for(|there| there != tried);
        let _ = tokio::time::timeout(Duration::from_millis(100), other).await;
    }
}
