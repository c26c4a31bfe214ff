//! Many clients that deliver events: each id's in order, many ids at once, each until it gets its 200.
//!
//! In: the events, and where the runtime serves, which may change or be nowhere for a while. Out: how far they are.
//! Who owns the state: the queue knows what is left; an event in a client's hands is in no queue.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use reqwest::{Client, Response, StatusCode};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::http::{self, Event};
use crate::wait::DEADLINE;

/// What all clients share: what is left to send, where to, and how far they are.
#[derive(Clone)]
pub struct Delivery {
    client: Client,
    queue: Arc<Mutex<Queue>>,
    /// `None` while the runtime is down.
    ingress: watch::Sender<Option<String>>,
    progress: watch::Sender<Progress>,
}

impl Delivery {
    /// Everything is still to be sent, to this ingress.
    pub fn new(events: &[Event], ingress: &str) -> Delivery {
        Delivery {
            client: http::client(),
            queue: Arc::new(Mutex::new(Queue::new(events))),
            ingress: watch::Sender::new(Some(ingress.to_owned())),
            progress: watch::Sender::new(Progress::default()),
        }
    }

    /// From now on nobody is there to send to.
    pub fn interrupt(&self) {
        self.ingress.send_replace(None);
    }

    /// The runtime serves again, perhaps elsewhere.
    pub fn resume(&self, ingress: &str) {
        self.ingress.send_replace(Some(ingress.to_owned()));
    }

    /// How often an event was sent again, because its answer was lost or it was told to come back.
    pub fn resends(&self) -> u64 {
        self.progress.borrow().resends
    }

    /// One client: takes events until none is left.
    pub async fn deliver(self) {
        let mut progress = self.progress.subscribe();
        while !self.queue().is_empty() {
            let taken = self.queue().take();
            match taken {
                Some(event) => {
                    self.send(&event).await;
                    self.queue().done(&event.id);
                    self.progress.send_modify(|progress| progress.acknowledged += 1);
                }
                // What is left waits behind events in other clients' hands.
                None => drop(progress.changed().await),
            }
        }
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().expect("no client panics while it holds the queue")
    }

    /// Sends one event until it is acknowledged, always with the same key.
    async fn send(&self, event: &Event) {
        let mut ingress = self.ingress.subscribe();
        loop {
            let address = ingress.wait_for(Option::is_some).await.expect("the sender is ours").clone();
            let address = address.expect("it was waited for");
            match http::put(&self.client, &address, event).await {
                Ok(answer) if answer.status() == StatusCode::OK => return,
                Ok(answer) if answer.status() == StatusCode::SERVICE_UNAVAILABLE => {
                    tokio::time::sleep(retry_after(&answer)).await;
                }
                Ok(answer) => panic!("event {} was answered {}", event.key, answer.status()),
                // Nobody knows whether it counts: the same key again, as soon as there is somebody to ask.
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
            self.progress.send_modify(|progress| progress.resends += 1);
        }
    }

    /// Sends every twentieth event again, with its old key: from before, between and after the kills.
    pub async fn repeat(&self, events: &[Event]) -> usize {
        let old: Vec<&Event> = events.iter().step_by(20).collect();
        for event in &old {
            self.send(event).await;
        }
        old.len()
    }

    /// Waits until so many are acknowledged, or a client fails. Says every now and then how far they are.
    pub async fn reaches(&self, count: u64, clients: &mut JoinSet<()>) {
        let mut progress = self.progress.subscribe();
        let mut said = Instant::now();
        loop {
            let acknowledged = progress.borrow_and_update().acknowledged;
            if acknowledged >= count {
                return;
            }
            if said.elapsed() > Duration::from_secs(15) {
                said = Instant::now();
                crate::report(format_args!("{acknowledged} acknowledged"));
            }
            tokio::select! {
                changed = tokio::time::timeout(DEADLINE, progress.changed()) => match changed {
                    Ok(changed) => changed.expect("the sender is ours"),
                    Err(_) => panic!("no event was acknowledged for {DEADLINE:?}"),
                },
                Some(ended) = clients.join_next() => ended.expect("a client that was never refused"),
            }
        }
    }
}

#[derive(Clone, Copy, Default)]
struct Progress {
    acknowledged: u64,
    resends: u64,
}

/// The events of each id in order, and the ids that no client is busy with, earliest event first.
#[derive(Default)]
struct Queue {
    ids: BTreeMap<String, VecDeque<(usize, Event)>>,
    idle: BTreeMap<usize, String>,
}

impl Queue {
    fn new(events: &[Event]) -> Queue {
        let mut queue = Queue::default();
        for (position, event) in events.iter().enumerate() {
            let id = queue.ids.entry(event.id.clone()).or_default();
            if id.is_empty() {
                queue.idle.insert(position, event.id.clone());
            }
            id.push_back((position, event.clone()));
        }
        queue
    }

    /// Whether every event is in somebody's hands, or done.
    fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// The earliest event of an id that no client is busy with.
    fn take(&mut self) -> Option<Event> {
        let (_, name) = self.idle.pop_first()?;
        let id = self.ids.get_mut(&name)?;
        let (_, event) = id.pop_front()?;
        if id.is_empty() {
            self.ids.remove(&name);
        }
        Some(event)
    }

    /// The id's event in hand is acknowledged: its next one may go.
    fn done(&mut self, name: &str) {
        if let Some((position, _)) = self.ids.get(name).and_then(VecDeque::front) {
            self.idle.insert(*position, name.to_owned());
        }
    }
}

fn retry_after(answer: &Response) -> Duration {
    let seconds = answer.headers().get("Retry-After").and_then(|value| value.to_str().ok()?.parse().ok());
    Duration::from_secs(seconds.unwrap_or(1))
}
