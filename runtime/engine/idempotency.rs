//! Idempotency keys: a producer may send an event again, and it counts once.
//!
//! A key lives in the checkpoint of the event that it guards. Keys are kept in two generations: new ones go to the current
//! one; when that is as old as a key must live, or half the store is full, it becomes the one before, and the one before
//! that is forgotten as a whole. So no key has a timer of its own, and a look-up asks the ledger twice at most. What is not
//! durable yet is known here: a repetition waits for the same checkpoint.

use std::collections::BTreeMap;

use crate::engine::Engine;
use crate::{Answer, Event, IdempotencyEntry, Load, Meta, Millis, Notice, Output, Write};

/// The keys that are not durable yet, and the generations.
#[derive(Debug)]
pub(crate) struct Idempotency {
    generation: u64,
    began: Millis,
    count: u64,
    count_before: u64,
    /// Keys that are being looked up, with the events that wait for it.
    looking: BTreeMap<Box<str>, Vec<Event>>,
    /// Bytes of these events.
    looking_bytes: usize,
    /// Keys taken in by a checkpoint that is not durable yet.
    fresh: BTreeMap<Box<str>, Fresh>,
    forgotten_early: u64,
}

#[derive(Debug)]
struct Fresh {
    entry: IdempotencyEntry,
    checkpoint: u64,
}

impl Idempotency {
    pub(crate) fn new(meta: &Meta) -> Idempotency {
        Idempotency {
            generation: meta.idempotency_generation.max(1),
            began: meta.idempotency_began,
            count: meta.idempotency_count,
            count_before: meta.idempotency_count_before,
            looking: BTreeMap::new(),
            looking_bytes: 0,
            fresh: BTreeMap::new(),
            forgotten_early: 0,
        }
    }

    /// Writes its variables into a checkpoint.
    pub(crate) fn describe(&self, meta: &mut Meta) {
        meta.idempotency_generation = self.generation;
        meta.idempotency_began = self.began;
        meta.idempotency_count = self.count;
        meta.idempotency_count_before = self.count_before;
    }

    /// Keys that this checkpoint made durable are in the ledger now.
    pub(crate) fn durable(&mut self, checkpoint: u64) {
        self.fresh.retain(|_, fresh| fresh.checkpoint > checkpoint);
    }

    /// Bytes of the events that wait for a look-up.
    pub(crate) fn looking_bytes(&self) -> usize {
        self.looking_bytes
    }

    pub(crate) fn forgotten_early(&self) -> u64 {
        self.forgotten_early
    }
}

impl Engine {
    pub(crate) fn ingested_with_key(&mut self, event: Event) {
        let Some(wanted) = &event.idempotency else { return };
        if let Some(fresh) = self.idempotency.fresh.get(&wanted.key) {
            let (entry, checkpoint) = (fresh.entry, fresh.checkpoint);
            return self.repeated(event, entry, Some(checkpoint));
        }
        let key = wanted.key.clone();
        self.idempotency.looking_bytes += bytes(&event);
        if let Some(waiting) = self.idempotency.looking.get_mut(&key) {
            return waiting.push(event);
        }
        let generation = self.idempotency.generation;
        self.idempotency.looking.insert(key.clone(), vec![event]);
        self.load(Load::Idempotency { key, generations: [generation, generation.saturating_sub(1)] });
    }

    pub(crate) fn idempotency_loaded(&mut self, key: &str, found: Option<IdempotencyEntry>) {
        let Some(events) = self.idempotency.looking.remove(key) else { return };
        self.idempotency.looking_bytes -= events.iter().map(bytes).sum::<usize>();
        let found = found.filter(|entry| self.now < entry.time.saturating_add(self.config.limits.idempotency_ms));
        for event in events {
            match found {
                Some(entry) => self.repeated(event, entry, None),
                None => self.first_with_key(event),
            }
        }
    }

    /// The engine stops: nobody waits for a look-up any more.
    pub(crate) fn stop_looking(&mut self) {
        self.idempotency.looking_bytes = 0;
        for event in std::mem::take(&mut self.idempotency.looking).into_values().flatten() {
            self.ingested(event);
        }
    }

    fn first_with_key(&mut self, event: Event) {
        let Some(wanted) = event.idempotency.clone() else { return };
        if self.idempotency.fresh.contains_key(&wanted.key) {
            return self.ingested_with_key(event);
        }
        self.turn_generation();
        let entry = IdempotencyEntry { fingerprint: wanted.fingerprint, time: self.now };
        self.idempotency.count += 1;
        let generation = self.idempotency.generation;
        self.delta.write(Write::Idempotency { generation, key: wanted.key.clone(), entry }, self.now);
        let checkpoint = self.delta.next_checkpoint();
        self.idempotency.fresh.insert(wanted.key, Fresh { entry, checkpoint });
        self.take_in(event, self.now);
    }

    /// The event was taken in before, by a durable checkpoint or by the one that is named.
    fn repeated(&mut self, event: Event, entry: IdempotencyEntry, checkpoint: Option<u64>) {
        let same = event.idempotency.is_some_and(|wanted| wanted.fingerprint == entry.fingerprint);
        self.counters.repeated += u64::from(same);
        let Some(receipt) = event.receipt else { return };
        let answer = if same { Answer::Repeated } else { Answer::KeyReused };
        match checkpoint {
            None => self.answer(receipt, answer),
            Some(checkpoint) => self.delta.wait_for(checkpoint, receipt, answer),
        }
    }

    /// Begins a new generation when the current one is old enough or full.
    fn turn_generation(&mut self) {
        let limits = &self.config.limits;
        let (life, half) = (limits.idempotency_ms, (limits.idempotency_keys / 2).max(1));
        let keys = &mut self.idempotency;
        if keys.count == 0 {
            keys.began = self.now;
        }
        let old = self.now >= keys.began.saturating_add(life);
        if keys.count == 0 || !(old || keys.count >= half) {
            return;
        }
        let forgotten = keys.generation.saturating_sub(1);
        if !old && keys.count_before > 0 {
            keys.forgotten_early += keys.count_before;
            let count = keys.count_before;
            self.outputs.push_back(Output::Notice(Notice::KeysForgotten { count }));
        }
        let keys = &mut self.idempotency;
        keys.count_before = keys.count;
        keys.count = 0;
        keys.generation += 1;
        keys.began = self.now;
        self.delta.write(Write::ForgetIdempotency { generation: forgotten }, self.now);
    }
}

/// What an event that waits is counted with: its bytes and a flat sum for what surrounds them.
fn bytes(event: &Event) -> usize {
    const AROUND: usize = 96;
    let key = event.idempotency.as_ref().map_or(0, |wanted| wanted.key.len());
    AROUND + key + event.invocations.iter().map(|(_, argument)| AROUND + argument.len()).sum::<usize>()
}
