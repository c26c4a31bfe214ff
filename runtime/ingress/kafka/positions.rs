//! Which partitions an ingress reads, and where it is in each.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Instant;

use millpond_engine::{Millis, Partition};
use rdkafka::error::KafkaError;
use rdkafka::{Offset, TopicPartitionList};

use super::board::{PartitionBoard, Standing};
use crate::router::Defect;

/// One partition.
#[derive(Debug)]
pub(super) struct Reading {
    pub(super) partition: Arc<Partition>,
    /// The offset of the next record.
    pub(super) next: u64,
    pub(super) state: State,
    /// The offset behind the last record that was counted: what is read again counts once.
    counted: u64,
    /// The last record at which it stopped.
    stood: Option<u64>,
    pub(super) board: Arc<PartitionBoard>,
}

/// What happens in a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// It is read.
    Runs,
    /// The engine did not take a record: it is read again from it, then.
    Held(Instant),
    /// It stopped at this record, which is invalid.
    Failed(u64),
}

impl Reading {
    pub(super) fn new(partition: Arc<Partition>, next: u64, board: Arc<PartitionBoard>) -> Reading {
        Reading { partition, next, state: State::Runs, counted: next, stood: None, board }
    }

    /// This record was not read before.
    pub(super) fn is_fresh(&self, offset: u64) -> bool {
        offset >= self.counted
    }

    /// It stopped at this record before.
    pub(super) fn stood_at(&self, offset: u64) -> bool {
        self.stood == Some(offset)
    }

    /// Reading goes on elsewhere, because what was there is gone.
    pub(super) fn go_to(&mut self, next: u64) {
        self.next = next;
        self.counted = next;
        self.state = State::Runs;
        self.board.set_standing(Standing::Running);
    }

    /// A record of so many bytes is handed over.
    pub(super) fn hand_over(&mut self, offset: u64, bytes: usize) {
        self.next = offset + 1;
        if offset >= self.counted {
            self.counted = offset + 1;
            self.board.count(bytes);
        }
    }

    /// It stops at a record.
    pub(super) fn fail(&mut self, offset: u64, defect: Defect, now: Millis) {
        self.state = State::Failed(offset);
        self.stood = Some(offset);
        self.board.set_standing(Standing::Failed { offset, defect, since: now });
    }

    /// The engine did not take this record, nor what was handed over behind it. What it stopped at lies behind it, too, and is
    /// met again.
    pub(super) fn hold(&mut self, offset: u64, until: Instant, now: Millis) {
        self.next = offset;
        self.state = State::Held(until);
        self.board.held(offset, now);
    }

    /// Passes over the record at which it stopped, if it stopped at this one.
    pub(super) fn skip(&mut self, offset: u64) -> bool {
        if self.state != State::Failed(offset) {
            return false;
        }
        self.next = offset + 1;
        self.state = State::Runs;
        self.board.set_standing(Standing::Running);
        true
    }
}

/// All partitions, by topic and number.
#[derive(Debug, Default)]
pub(super) struct Partitions(HashMap<String, Vec<Option<Reading>>>);

impl Partitions {
    pub(super) fn get_mut(&mut self, topic: &str, number: i32) -> Option<&mut Reading> {
        self.0.get_mut(topic)?.get_mut(usize::try_from(number).ok()?)?.as_mut()
    }

    /// Those that are known, by topic and number.
    pub(super) fn known(&self) -> HashSet<(String, u32)> {
        self.iter().map(|reading| (reading.partition.topic.to_string(), reading.partition.number)).collect()
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Instant;

    use millpond_engine::Partition;
    use millpond_protocol::TypeName;

    use super::super::board::{Board, Standing};
    use super::{Reading, State};
    use crate::router::Defect;

    fn reading() -> Reading {
        let partition = Partition { ingress: TypeName::new("a", "in"), topic: "t".into(), number: 0 };
        let partition = Arc::new(partition);
        let board = Board::default().add(&partition, Some(3));
        Reading::new(partition, 3, board)
    }

    /// A partition that stopped hears late that the engine did not take a record before that one: it reads from there again,
    /// or what lies between is lost to the one who passes over the invalid record.
    #[test]
    fn what_was_held_back_comes_before_what_is_invalid() {
        let mut reading = reading();
        (3..6).for_each(|offset| reading.hand_over(offset, 10));
        reading.fail(6, Defect::NullKey, 100);
        reading.hold(4, Instant::now(), 200);
        assert_eq!((reading.next, reading.skip(6)), (4, false));
        assert_eq!(reading.board.standing(), Standing::Held { offset: 4, since: 200 });
        (4..6).for_each(|offset| reading.hand_over(offset, 10));
        assert_eq!(reading.board.counted(), (3, 30), "what is read again counts once");
        reading.fail(6, Defect::NullKey, 300);
        assert!(!reading.skip(5) && !reading.skip(7), "only the record at which it stands");
        assert!(reading.skip(6) && !reading.skip(6));
        assert_eq!((reading.next, reading.state, reading.board.standing()), (7, State::Runs, Standing::Running));
    }
}
