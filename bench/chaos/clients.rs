//! What is asked of Kafka from outside.

use std::time::Duration;

use anyhow::Context as _;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use crate::{APP, COUNTS, QUARTERS};

/// How long an answer may take.
const ANSWER: Duration = Duration::from_secs(60);

/// The way to a broker.
#[derive(Debug, Clone)]
pub struct Kafka {
    address: String,
    partitions: i32,
}

impl Kafka {
    /// A broker whose topics have so many partitions.
    pub fn new(address: &str, partitions: i32) -> Kafka {
        Kafka { address: address.to_owned(), partitions }
    }

    /// Partitions of each topic.
    pub fn partitions(&self) -> i32 {
        self.partitions
    }

    /// What every client is told.
    pub fn config(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        // What clients log on their own is noise here: brokers die all the time.
        config.set("bootstrap.servers", &self.address).set("log_level", "0");
        config
    }

    /// Makes topics.
    pub async fn make(&self, topics: &[&str]) -> anyhow::Result<()> {
        let admin: AdminClient<DefaultClientContext> = self.config().create()?;
        let new: Vec<NewTopic<'_>> =
            topics.iter().map(|topic| NewTopic::new(topic, self.partitions, TopicReplication::Fixed(-1))).collect();
        let options = AdminOptions::new().operation_timeout(Some(ANSWER));
        for made in admin.create_topics(&new, &options).await? {
            made.map_err(|(topic, error)| anyhow::anyhow!("topic `{topic}` was not made: {error}"))?;
        }
        Ok(())
    }

    /// A consumer of all partitions of these topics from their beginning, which says where it reaches an end.
    pub fn consumer(&self, topics: &[&str]) -> anyhow::Result<BaseConsumer> {
        let consumer: BaseConsumer = self
            .config()
            .set("group.id", "judge")
            .set("enable.auto.commit", "false")
            .set("enable.partition.eof", "true")
            .set("isolation.level", "read_committed")
            .create()?;
        let mut list = TopicPartitionList::new();
        for topic in topics {
            for partition in 0..self.partitions {
                list.add_partition_offset(topic, partition, Offset::Beginning)?;
            }
        }
        consumer.assign(&list)?;
        Ok(consumer)
    }

    /// Whether a transaction of the application is open: a partition that it alone writes to has records that nobody may
    /// see yet, also a moment later. Meant for when its process is dead: nobody ends it then but its time-out.
    pub fn has_open_transaction(&self) -> anyhow::Result<bool> {
        /// Markers of a transaction that has ended are written meanwhile.
        const MOMENT: Duration = Duration::from_millis(200);
        let cursor = format!("{APP}.outbox");
        let mut all = vec![(cursor.as_str(), 0)];
        for topic in [COUNTS, QUARTERS] {
            all.extend((0..self.partitions).map(|partition| (topic, partition)));
        }
        let end_at = |isolation: &str| -> anyhow::Result<Vec<i64>> {
            let consumer: BaseConsumer =
                self.config().set("group.id", "judge").set("isolation.level", isolation).create()?;
            all.iter().map(|(topic, partition)| Ok(consumer.fetch_watermarks(topic, *partition, ANSWER)?.1)).collect()
        };
        for _ in 0..2 {
            std::thread::sleep(MOMENT);
            // In this order: what is committed in between is not taken for open.
            let (ends, stable) = (end_at("read_uncommitted")?, end_at("read_committed")?);
            if ends.iter().zip(&stable).all(|(end, stable)| stable >= end) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Records of a topic behind what its group says.
    pub fn lag(&self, group: &str, topic: &str) -> anyhow::Result<i64> {
        let consumer: BaseConsumer = self.config().set("group.id", group).create()?;
        let mut list = TopicPartitionList::new();
        list.add_partition_range(topic, 0, self.partitions - 1);
        let committed = consumer.committed_offsets(list, ANSWER)?;
        let mut lag = 0;
        for element in committed.elements() {
            let end = consumer.fetch_watermarks(topic, element.partition(), ANSWER)?.1;
            let at = element.offset().to_raw().context("an offset is a number")?;
            lag += end - at.max(0);
        }
        Ok(lag)
    }
}
