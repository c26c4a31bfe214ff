//! Where reading of a partition begins: where the ledger says; else, for an ingress that never read, where the module says; at
//! the beginning of a partition that is new.

use millpond_engine::Partition;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::{Offset, TopicPartitionList};

use super::CALL;
use crate::config::model::{AutoOffsetReset, StartupPosition};
use crate::kafka::Client;

/// Asks the cluster.
pub(super) struct Starts<'a> {
    pub(super) consumer: &'a BaseConsumer<Client<()>>,
    pub(super) reset: AutoOffsetReset,
}

/// Where a partition begins and ends.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    pub(super) first: u64,
    pub(super) end: u64,
}

impl Bounds {
    /// Whether reading can go on at this offset.
    pub(super) fn has(&self, next: u64) -> bool {
        (self.first..=self.end).contains(&next)
    }
}

impl Starts<'_> {
    pub(super) fn bounds(&self, partition: &Partition) -> Result<Bounds, KafkaError> {
        let (first, end) = self.consumer.fetch_watermarks(&partition.topic, partition.number.cast_signed(), CALL)?;
        let number = |offset: i64| u64::try_from(offset).unwrap_or(0);
        Ok(Bounds { first: number(first), end: number(end) })
    }

    /// Where to go when a position is not there any more.
    pub(super) fn reset(&self, bounds: Bounds) -> u64 {
        Starts::reset_of(self.reset, bounds)
    }

    /// The same as the module says it.
    pub(super) fn reset_of(reset: AutoOffsetReset, bounds: Bounds) -> u64 {
        match reset {
            AutoOffsetReset::Earliest => bounds.first,
            AutoOffsetReset::Latest => bounds.end,
        }
    }

    /// Where an ingress begins that never read.
    pub(super) fn startup(&self, partition: &Partition, startup: &StartupPosition) -> Result<u64, KafkaError> {
        let bounds = self.bounds(partition)?;
        Ok(match startup {
            StartupPosition::Earliest => bounds.first,
            StartupPosition::Latest => bounds.end,
            StartupPosition::GroupOffsets => self.committed(partition, bounds)?,
            StartupPosition::SpecificOffsets(offsets) => {
                match offsets.get(&(partition.topic.to_string(), partition.number)) {
                    Some(offset) => self.within(u64::try_from(*offset).unwrap_or(0), bounds),
                    None => self.committed(partition, bounds)?,
                }
            }
            StartupPosition::Date(date_ms) => self.at(partition, *date_ms)?.unwrap_or(bounds.end),
        })
    }

    fn within(&self, next: u64, bounds: Bounds) -> u64 {
        if bounds.has(next) { next } else { self.reset(bounds) }
    }

    fn committed(&self, partition: &Partition, bounds: Bounds) -> Result<u64, KafkaError> {
        let found = self.consumer.committed_offsets(list(partition, Offset::Invalid)?, CALL)?;
        Ok(number(&found)?.map_or_else(|| self.reset(bounds), |next| self.within(next, bounds)))
    }

    /// The first record that is not older.
    fn at(&self, partition: &Partition, date_ms: i64) -> Result<Option<u64>, KafkaError> {
        number(&self.consumer.offsets_for_times(list(partition, Offset::Offset(date_ms))?, CALL)?)
    }
}

fn list(partition: &Partition, offset: Offset) -> Result<TopicPartitionList, KafkaError> {
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(&partition.topic, partition.number.cast_signed(), offset)?;
    Ok(list)
}

/// The offset that the one element of an answer has; its error, if it has one.
fn number(list: &TopicPartitionList) -> Result<Option<u64>, KafkaError> {
    let elements = list.elements();
    let element = elements.first().ok_or(KafkaError::OffsetFetch(RDKafkaErrorCode::UnknownPartition))?;
    element.error()?;
    Ok(match element.offset() {
        Offset::Offset(offset) => u64::try_from(offset).ok(),
        _ => None,
    })
}
