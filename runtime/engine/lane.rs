//! A lane: records for the outside in one order, numbered from 1.
//!
//! What comes in: records of answers, and word that records left. What goes out: to `seal.rs`, the records since the last
//! checkpoint and how far the lane has come. A record may be seen outside, and may leave, only once it is durable.

use bytes::Bytes;

use crate::engine::Engine;
use crate::{Answer, LaneId, Millis, Receipt, Write};

/// One lane.
#[derive(Debug)]
pub(crate) struct Lane {
    /// The lowest number still kept.
    first: u64,
    next: u64,
    /// `first` and `next` as the last seal had them.
    sealed: (u64, u64),
    /// `next` as the last durable checkpoint has it.
    durable: u64,
    /// Records since the last seal.
    records: Vec<Bytes>,
    /// When the events behind these happened, and those behind the records of the checkpoint that is on its way.
    event_times: Vec<Millis>,
    sealed_event_times: Vec<Millis>,
}

impl Lane {
    /// A lane that goes on at the lowest number kept and the next one.
    pub(crate) fn new((first, next): (u64, u64)) -> Lane {
        Lane {
            first,
            next,
            sealed: (first, next),
            durable: next,
            records: Vec::new(),
            event_times: Vec::new(),
            sealed_event_times: Vec::new(),
        }
    }

    /// Records that wait to leave.
    pub(crate) fn waiting(&self) -> u64 {
        self.next - self.first
    }

    /// Records that it has had in all.
    pub(crate) fn total(&self) -> u64 {
        self.next - 1
    }

    /// Adds a record; `event_time` is when the event behind it happened.
    pub(crate) fn push(&mut self, record: Bytes, event_time: Millis) {
        self.records.push(record);
        self.event_times.push(event_time);
        self.next += 1;
    }

    /// It has records that no checkpoint has.
    pub(crate) fn is_unsealed(&self) -> bool {
        !self.records.is_empty()
    }

    /// What changed since the last seal.
    pub(crate) fn seal(&mut self, lane: LaneId, writes: &mut Vec<Write>) {
        let (first_before, next_before) = self.sealed;
        if (self.first, self.next) == self.sealed {
            return;
        }
        if !self.records.is_empty() {
            let records = std::mem::take(&mut self.records);
            self.sealed_event_times = std::mem::take(&mut self.event_times);
            writes.push(Write::Outbox { lane, first: next_before, records });
        }
        writes.push(Write::Lane { lane, first: self.first, next: self.next, first_before });
        self.sealed = (self.first, self.next);
    }

    /// What the sealed checkpoint holds is durable: the highest number that may be seen now, if there are new ones, and when
    /// the events behind the new ones happened.
    pub(crate) fn durable(&mut self) -> Option<(u64, Vec<Millis>)> {
        let (_, next) = self.sealed;
        let before = std::mem::replace(&mut self.durable, next);
        let grown = next > before;
        let event_times = std::mem::take(&mut self.sealed_event_times);
        debug_assert!(!grown || event_times.len() as u64 == next - before, "each record has the time of its event");
        grown.then_some((next - 1, event_times))
    }
}

impl Engine {
    pub(crate) fn freed(&mut self, lane: LaneId, upto: u64, receipt: Option<Receipt>) {
        if self.stopping {
            if let Some(receipt) = receipt {
                self.answer(receipt, Answer::Stopping);
            }
            return;
        }
        let now = self.now;
        if let Some(lane) = self.lanes.get_mut(lane.0 as usize) {
            let first = upto.saturating_add(1).min(lane.durable);
            if first > lane.first {
                lane.first = first;
                self.delta.changed(16, now);
            }
        }
        if let Some(receipt) = receipt {
            self.delta.wait(receipt, Answer::Durable);
        }
    }
}
