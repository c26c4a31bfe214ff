//! The oracle: what a reader of committed data must have seen at the end.

use bytes::Bytes;
use millpond_publisher::{Isolation, Millis, Sequence};

use super::process::Process;
use super::{OURS, World, number, poisonous};
use crate::outbox::Disk;

impl World {
    pub(super) fn judge(&mut self) -> Result<(), String> {
        while self.kafka.expire(Millis::MAX) || self.kafka.write_marker() {}
        let left: Vec<&Process> = self.processes.iter().filter(|process| !process.halted).collect();
        let [process] = left[..] else { return Err(format!("{} processes may publish", left.len())) };
        let disk = &process.outbox.disk;
        if disk.confirmed != disk.history.len() as Sequence {
            return Err(format!("{} of {} records are confirmed", disk.confirmed, disk.history.len()));
        }
        // A dead letter that another state of the directory had is known there only.
        let others = self.processes.iter().map(|process| &process.outbox).chain(&self.original);
        let others: Vec<&Disk> = others.map(|outbox| &outbox.disk).collect();
        let mut expected = vec![Vec::new(); self.scenario.partitions];
        for (sequence, record) in (1..).zip(&disk.history) {
            let refused = poisonous(self.scenario.poison, &Bytes::copy_from_slice(&record.to_be_bytes()));
            let right = match refused {
                true => others.iter().any(|disk| disk.letters.contains(&sequence)),
                false => !disk.letters.contains(&sequence),
            };
            if !right {
                return Err(format!("record {sequence} ({record}): refused is {refused}, its dead letter is not"));
            }
            if !refused {
                expected[self.partition(*record)].push(*record);
            }
        }
        for (partition, expected) in expected.iter().enumerate() {
            let seen = self.kafka.read(partition, OURS, Isolation::Committed);
            let seen: Vec<u64> = seen.map(|(_, value)| number(value)).collect();
            if seen != *expected {
                return Err(format!("partition {partition} shows {seen:?}, the outbox had {expected:?}"));
            }
        }
        self.report.records = disk.history.len() as u64;
        self.report.letters = disk.letters.len() as u64;
        Ok(())
    }
}
