//! Which partitions an ingress reads, and where it is in each.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use millpond_engine::Partition;
use rdkafka::error::KafkaError;
use rdkafka::{Offset, TopicPartitionList};

/// One partition.
#[derive(Debug)]
pub(super) struct Reading {
    pub(super) partition: Arc<Partition>,
    /// The offset of the next record.
    pub(super) next: u64,
    pub(super) state: State,
}

/// What happens in a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// It is read.
    Runs,
    /// The engine did not take a record: it is read again from it, then.
    Held(Instant),
    /// It stopped at an invalid record.
    Failed,
}

/// All partitions, by topic and number.
#[derive(Debug, Default)]
pub(super) struct Partitions(HashMap<String, Vec<Option<Reading>>>);

impl Partitions {
    pub(super) fn get_mut(&mut self, topic: &str, number: i32) -> Option<&mut Reading> {
        self.0.get_mut(topic)?.get_mut(usize::try_from(number).ok()?)?.as_mut()
    }

    pub(super) fn contains(&self, topic: &str, number: u32) -> bool {
        self.0.get(topic).and_then(|all| all.get(number as usize)).is_some_and(Option::is_some)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn insert(&mut self, reading: Reading) {
        let all = self.0.entry(reading.partition.topic.to_string()).or_default();
        let place = reading.partition.number as usize;
        if all.len() <= place {
            all.resize_with(place + 1, || None);
        }
        all[place] = Some(reading);
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Reading> {
        self.0.values().flatten().flatten()
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Reading> {
        self.0.values_mut().flatten().flatten()
    }

    /// Those that are read, from where they are, as the client wants it.
    pub(super) fn assignment(&self) -> Result<TopicPartitionList, KafkaError> {
        let mut list = TopicPartitionList::new();
        for reading in self.iter().filter(|reading| reading.state == State::Runs) {
            let Partition { topic, number, .. } = &*reading.partition;
            list.add_partition_offset(topic, number.cast_signed(), offset(reading.next))?;
        }
        Ok(list)
    }
}

/// An offset as the client has it.
pub(super) fn offset(next: u64) -> Offset {
    Offset::Offset(i64::try_from(next).unwrap_or(i64::MAX))
}
