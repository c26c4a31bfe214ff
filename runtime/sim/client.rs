//! A model of the Kafka client of one producer: what it keeps between a call on it and the requests that the call takes.
//!
//! What comes in: sends, and answers to its requests. What goes out: the request that each partition may make next. The world
//! carries requests and repeats them. A partition is made part of the transaction before anything is sent to it; batches of a
//! partition go one after the other and are numbered for as long as the producer lives.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;
use millpond_publisher::{Item, Session};

use crate::kafka::Request;

/// A producer of one session.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) session: Session,
    /// What `Initialise` gave it.
    pub(crate) epoch: u32,
    pub(crate) in_transaction: bool,
    queues: BTreeMap<usize, VecDeque<(Item, Bytes)>>,
    /// Partitions that are part of the transaction.
    added: BTreeSet<usize>,
    /// Partitions that wait for an answer.
    busy: BTreeSet<usize>,
    batches: BTreeMap<usize, u32>,
}

/// A request on its way, with what it is about.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) request: Request,
    pub(crate) items: Vec<Item>,
}

impl Client {
    pub(crate) fn new(session: Session) -> Client {
        Client {
            session,
            epoch: 0,
            in_transaction: false,
            queues: BTreeMap::new(),
            added: BTreeSet::new(),
            busy: BTreeSet::new(),
            batches: BTreeMap::new(),
        }
    }

    pub(crate) fn begin(&mut self) -> Result<(), String> {
        if self.in_transaction {
            return Err("a transaction was begun within another one".to_owned());
        }
        self.in_transaction = true;
        self.added.clear();
        Ok(())
    }

    pub(crate) fn send(&mut self, partition: usize, item: Item, value: Bytes) {
        self.queues.entry(partition).or_default().push_back((item, value));
    }

    /// Requests that may go out now.
    pub(crate) fn calls(&mut self, random: &mut fastrand::Rng) -> Vec<Call> {
        let mut calls = Vec::new();
        for (partition, queue) in self.queues.iter_mut().filter(|(_, queue)| !queue.is_empty()) {
            if !self.busy.insert(*partition) {
                continue;
            }
            if !self.added.contains(partition) {
                calls.push(Call { request: Request::AddPartition(*partition), items: Vec::new() });
                continue;
            }
            let records = random.usize(1..=queue.len());
            let (items, values) = queue.drain(..records).unzip();
            let batch = self.batches.entry(*partition).or_default();
            calls.push(Call { request: Request::Produce { partition: *partition, batch: *batch, values }, items });
            *batch += 1;
        }
        calls
    }

    /// A request to this partition was answered.
    pub(crate) fn answered(&mut self, request: &Request) {
        match request {
            Request::AddPartition(partition) => {
                self.added.insert(*partition);
                self.busy.remove(partition);
            }
            Request::Produce { partition, .. } => {
                self.busy.remove(partition);
            }
            Request::Initialise | Request::Commit => {}
        }
    }
}
