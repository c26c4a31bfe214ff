//! What one address has not run yet, of which only a part is in memory.
//!
//! The *head* holds the first invocations, without a gap. Behind it there may be a *gap*: what stands there is in the ledger
//! only. The *tail* holds arrivals behind the gap until the ledger has them. Sequence numbers join the three: a page of the
//! ledger goes on where the head ends, and whatever the tail holds beyond the page comes behind it.

use std::collections::VecDeque;

use crate::{Invocation, Sequence};

/// An invocation in memory.
#[derive(Debug)]
pub(crate) struct Pending {
    pub(crate) sequence: Sequence,
    pub(crate) invocation: Invocation,
    /// The checkpoint that holds it; `None` while it is in none. What was loaded is in an old one: 0.
    pub(crate) sealed: Option<u64>,
}

impl Pending {
    /// What it is counted with, the same whenever it is asked.
    pub(crate) fn bytes(&self) -> usize {
        self.invocation.bytes()
    }
}

/// The mailbox of one address.
#[derive(Debug)]
pub(crate) struct Mailbox {
    head: VecDeque<Pending>,
    /// There may be more in the ledger, with this number or higher ones.
    gap: Option<Sequence>,
    tail: VecDeque<Pending>,
    /// A page of the gap is being read.
    reading: bool,
    /// Of head and tail.
    bytes: usize,
}

impl Mailbox {
    /// A mailbox of which only the ledger knows what is in it.
    pub(crate) fn unknown() -> Mailbox {
        Mailbox { head: VecDeque::new(), gap: Some(0), tail: VecDeque::new(), reading: false, bytes: 0 }
    }

    /// Bytes in memory.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Invocations in memory.
    pub(crate) fn in_memory(&self) -> usize {
        self.head.len() + self.tail.len()
    }

    /// True when nothing waits: neither here nor in the ledger.
    pub(crate) fn is_empty(&self) -> bool {
        self.head.is_empty() && self.gap.is_none()
    }

    /// What can run: the first invocations, in order.
    pub(crate) fn head(&self) -> &VecDeque<Pending> {
        &self.head
    }

    /// True while some of it is in the ledger only.
    pub(crate) fn has_gap(&self) -> bool {
        self.gap.is_some()
    }

    /// Adds an arrival. Beyond `limit` bytes it is not kept in memory longer than until it is durable.
    pub(crate) fn push(&mut self, pending: Pending, limit: usize) {
        let bytes = pending.bytes();
        if self.gap.is_none()
            && self.bytes + bytes > limit
            && let Some(last) = self.head.back()
        {
            self.gap = Some(last.sequence.saturating_add(1));
        }
        self.bytes += bytes;
        match self.gap {
            Some(_) => self.tail.push_back(pending),
            None => self.head.push_back(pending),
        }
    }

    /// Where to read on, when less than a page of `bytes` is in memory; the caller then reads. Never asked twice for one
    /// page.
    pub(crate) fn read_on(&mut self, bytes: usize) -> Option<Sequence> {
        let low = self.head.is_empty() || self.bytes < bytes;
        let from = self.gap.filter(|_| low && !self.reading)?;
        self.reading = true;
        Some(from)
    }

    /// A page of the ledger, from the number on that was asked for; `more` says that there was more than fits in a page.
    pub(crate) fn join(&mut self, page: Vec<(Sequence, Invocation)>, more: bool, durable: u64) {
        self.reading = false;
        let Some(gap) = self.gap else { return };
        let mut next = gap;
        for (sequence, invocation) in page.into_iter().filter(|(sequence, _)| *sequence >= gap) {
            next = sequence.saturating_add(1);
            let pending = Pending { sequence, invocation, sealed: Some(0) };
            self.bytes += pending.bytes();
            self.head.push_back(pending);
        }
        while let Some(first) = self.tail.front()
            && first.sequence < next
        {
            self.bytes -= first.bytes();
            self.tail.pop_front();
        }
        match more {
            true => self.gap = Some(next),
            false => {
                self.gap = None;
                self.head.append(&mut self.tail);
            }
        }
        self.settle(durable);
    }

    /// True while something of it is being read from the ledger.
    pub(crate) fn is_reading(&self) -> bool {
        self.reading
    }

    /// True when a page from this number on is awaited.
    pub(crate) fn awaits(&self, from: Sequence) -> bool {
        self.reading && self.gap == Some(from)
    }

    /// A load of the whole address is on its way: what arrives stays until it is there, because it may not show it.
    pub(crate) fn await_load(&mut self) {
        self.reading = true;
    }

    /// Lets arrivals behind the gap go that the ledger has. While a page is being read they stay: it may be older.
    pub(crate) fn settle(&mut self, durable: u64) {
        if self.gap.is_none() || self.reading {
            return;
        }
        while let Some(first) = self.tail.front()
            && first.sealed.is_some_and(|checkpoint| checkpoint <= durable)
        {
            self.bytes -= first.bytes();
            self.tail.pop_front();
        }
    }

    /// Lets all but the first invocation go, as far as the ledger has them.
    pub(crate) fn shorten(&mut self, durable: u64) {
        while !self.reading
            && self.tail.is_empty()
            && self.head.len() > 1
            && let Some(last) = self.head.back()
            && last.sealed.is_some_and(|checkpoint| checkpoint <= durable)
        {
            self.gap = Some(last.sequence);
            self.bytes -= last.bytes();
            self.head.pop_back();
        }
    }

    /// Arrivals that are in no checkpoint yet: they stand at the end.
    pub(crate) fn fresh(&mut self) -> impl Iterator<Item = &mut Pending> {
        let sealed = |queue: &VecDeque<Pending>| queue.partition_point(|pending| pending.sealed.is_some());
        let (head, tail) = (sealed(&self.head), sealed(&self.tail));
        self.head.iter_mut().skip(head).chain(self.tail.iter_mut().skip(tail))
    }

    /// Gives back the room that is not used.
    pub(crate) fn give_back_room(&mut self) {
        for queue in [&mut self.head, &mut self.tail] {
            if queue.is_empty() {
                *queue = VecDeque::new();
            }
        }
    }

    /// Takes the first so many out.
    pub(crate) fn take(&mut self, count: usize) -> impl Iterator<Item = Pending> {
        let bytes: usize = self.head.iter().take(count).map(Pending::bytes).sum();
        self.bytes -= bytes;
        self.head.drain(..count.min(self.head.len()))
    }
}
