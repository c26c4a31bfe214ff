//! How messages go in and records come out: over HTTP, or over the topics of a Kafka broker.
//!
//! Either way the messages of an account take effect in the order in which they were sent, also through a kill: over HTTP
//! because each is sent until it is answered 200, over Kafka because a partition is read in its order. Between two topics
//! Kafka has no order, so a message on another topic than the one before it waits until the runtime has that one.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use millpond_fraud::{ALERTS, Acknowledge, BlockAccount, ConfirmFraud, NOTIFICATIONS, Transaction, UnblockAccount};
use millpond_sdk::Value as _;
use millpond_stage::{Broker, Consumer, Delivery, Event, Positions, Producer, Reader, follow_group};
use reqwest::Client;
use tokio::sync::watch;

/// The topics of the messages, by their types; `module-kafka.yaml` has the same.
const TOPICS: [(&str, &str); 5] = [
    (Transaction::TYPENAME, "transactions"),
    (ConfirmFraud::TYPENAME, "confirm-fraud"),
    (BlockAccount::TYPENAME, "block-account"),
    (UnblockAccount::TYPENAME, "unblock-account"),
    (Acknowledge::TYPENAME, "acknowledge"),
];
const PARTITIONS: i32 = 4;
/// The consumer group of `module-kafka.yaml`.
const GROUP: &str = "fraud";
/// What the broker's address is in `module-kafka.yaml`.
const SHIPPED_ADDRESS: &str = "127.0.0.1:9092";

/// How messages go in and records come out.
pub enum Way {
    Http(Http),
    Kafka(Kafka),
}

/// To the playground's ingress and from its egress, of whichever runtime is there.
pub struct Http {
    client: Client,
    delivery: Delivery,
    egress: watch::Sender<String>,
}

/// To topics and from topics, whether a runtime is there or not.
pub struct Kafka {
    producer: Producer,
    positions: watch::Receiver<Positions>,
    /// Where the last message of each address is.
    last: Mutex<HashMap<String, (&'static str, i32, i64)>>,
    broker: Broker,
}

/// Who reads a topic.
pub enum Records {
    Http(Reader, watch::Receiver<String>),
    Kafka(Consumer),
}

/// What the end of the demo says of it.
pub struct Words {
    /// What is true of a message that was delivered.
    pub delivered: &'static str,
    /// A row of the table, with its name.
    pub row: (&'static str, String),
    /// What to try next.
    pub next: &'static str,
}

impl Way {
    /// Over HTTP.
    pub fn http(client: &Client) -> Way {
        let delivery = Delivery::new(client.clone(), "");
        delivery.interrupt();
        Way::Http(Http { client: client.clone(), delivery, egress: watch::Sender::default() })
    }

    /// Over Kafka: starts a broker, and makes the topics.
    pub async fn kafka() -> anyhow::Result<Way> {
        let started = tokio::task::block_in_place(Broker::start);
        let broker = started.context("`make demo-kafka` sees to Java and Kafka's jars")?;
        let mut topics: Vec<&str> = TOPICS.iter().map(|(_, topic)| *topic).collect();
        topics.extend([ALERTS, NOTIFICATIONS]);
        broker.make(&topics, PARTITIONS).await?;
        let positions = tokio::task::block_in_place(|| follow_group(&broker, GROUP, &topics[..TOPICS.len()]))?;
        Ok(Way::Kafka(Kafka { producer: Producer::new(&broker)?, positions, last: Mutex::default(), broker }))
    }

    /// The module for it, with the address of this run's broker.
    pub fn module(&self) -> String {
        match self {
            Way::Http(_) => include_str!("../module.yaml").to_owned(),
            Way::Kafka(kafka) => include_str!("../module-kafka.yaml").replace(SHIPPED_ADDRESS, kafka.broker.address()),
        }
    }

    /// What the functions have to be told.
    pub fn arguments(&self) -> &'static [&'static str] {
        match self {
            Way::Http(_) => &[],
            Way::Kafka(_) => &["--kafka-egress", "fraud/out"],
        }
    }

    /// For the first lines.
    pub fn scene(&self) -> String {
        match self {
            Way::Http(_) => "answers over HTTP".to_owned(),
            Way::Kafka(kafka) => format!(
                "everything over topics of a\nKafka broker ({}), written and read exactly once",
                kafka.broker.address()
            ),
        }
    }

    /// What is true of a message that was delivered.
    pub fn delivered(&self) -> &'static str {
        match self {
            Way::Http(_) => "durable",
            Way::Kafka(_) => "in Kafka",
        }
    }

    /// How many messages may be under way at a time.
    pub fn senders(&self) -> usize {
        match self {
            Way::Http(_) => 64,
            // Each account on its own: what waits for the runtime holds nobody else up.
            Way::Kafka(_) => usize::MAX,
        }
    }

    /// For the table at the end, and what is below it.
    pub fn words(&self) -> Words {
        let delivered = self.delivered();
        match self {
            Way::Http(http) => Words {
                delivered,
                row: ("sent again", format!("{}, with the same Idempotency-Key", http.delivery.resent())),
                next: "make demo-kafka                      the same over Kafka, with a broker of its own",
            },
            Way::Kafka(_) => {
                let topics = TOPICS.len() + 2;
                let row =
                    format!("{topics} topics of {PARTITIONS} partitions; alerts read by a read-committed consumer");
                Words {
                    delivered,
                    row: ("Kafka", row),
                    next: "make demo                            the same over HTTP",
                }
            }
        }
    }

    /// The runtime is gone.
    pub fn interrupt(&self) {
        if let Way::Http(http) = self {
            http.delivery.interrupt();
        }
    }

    /// A runtime is there, by the fields of its ready line.
    pub fn resume(&self, ready: &std::collections::BTreeMap<String, String>) -> anyhow::Result<()> {
        if let Way::Http(http) = self {
            let field = |name: &str| ready.get(name).with_context(|| format!("the ready line has no `{name}`"));
            http.egress.send_replace(field("egress")?.clone());
            http.delivery.resume(field("ingress")?);
        }
        Ok(())
    }

    /// Delivers one message, behind all others of its address. Returns how long it took.
    pub async fn deliver(&self, event: &Event) -> anyhow::Result<Duration> {
        match self {
            Way::Http(http) => Ok(http.delivery.deliver(event).await?),
            Way::Kafka(kafka) => kafka.deliver(event).await,
        }
    }

    /// Reads a topic from its beginning.
    pub fn records(&self, topic: &str) -> anyhow::Result<Records> {
        Ok(match self {
            Way::Http(http) => Records::Http(Reader::new(http.client.clone(), topic), http.egress.subscribe()),
            Way::Kafka(kafka) => Records::Kafka(tokio::task::block_in_place(|| Consumer::new(&kafka.broker, topic))?),
        })
    }
}

impl Kafka {
    async fn deliver(&self, event: &Event) -> anyhow::Result<Duration> {
        let (_, topic) =
            TOPICS.iter().find(|(typename, _)| *typename == event.typename).context("a type with a topic")?;
        let before = self.last.lock().expect("nobody panics with it").get(&event.address).copied();
        if let Some((other, partition, offset)) = before.filter(|(other, ..)| other != topic) {
            let place = (other.to_owned(), partition);
            let mut positions = self.positions.clone();
            positions.wait_for(|positions| positions.get(&place).is_some_and(|next| *next > offset)).await?;
        }
        let key = event.address.rsplit('/').next().unwrap_or_default();
        let began = Instant::now();
        let (partition, offset) = self.producer.send(topic, key, &event.value).await?;
        let took = began.elapsed();
        let mut last = self.last.lock().expect("nobody panics with it");
        last.insert(event.address.clone(), (topic, partition, offset));
        Ok(took)
    }
}

impl Records {
    /// The records behind those that were read before; waits a while for the first.
    pub async fn next(&mut self, wait: Duration) -> anyhow::Result<Vec<String>> {
        match self {
            Records::Http(reader, egress) => {
                let egress = egress.borrow().clone();
                let records = reader.next(&egress, wait).await?;
                // A runtime that is away answers at once.
                tokio::time::sleep(Duration::from_millis(5)).await;
                Ok(records.into_iter().map(|record| record.payload).collect())
            }
            Records::Kafka(consumer) => Ok(consumer.next(wait).await?),
        }
    }
}
