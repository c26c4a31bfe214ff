//! Delayed messages: which are in memory, and when they are delivered.
//!
//! All of them are in the ledger, in the order of their time. In memory are those up to the *horizon*, so many as the limit
//! allows, and those that are not durable yet, wherever they stand. The horizon moves on page by page as the ones in memory
//! are delivered, so memory does not depend on how many there are. Only what is within the horizon is delivered: the ledger
//! may hold something that is due before what was just added. What was added or cancelled while a page is being read is kept
//! until the page is there, because the page may or may not show it.

use std::collections::BTreeMap;
use std::sync::Arc;

use millpond_protocol::Address;

use crate::engine::Engine;
use crate::{DelayedEffect, DelayedMessage, Invocation, Load, Message, Millis, Sequence, Write};

/// Due time and sequence number: the one order of delayed messages.
pub(crate) type Due = (Millis, Sequence);

/// Behind every delayed message.
const END: Due = (Millis::MAX, Sequence::MAX);

/// The delayed messages in memory.
#[derive(Debug)]
pub(crate) struct Delayed {
    entries: BTreeMap<Due, Entry>,
    /// Everything up to here is in memory.
    horizon: Due,
    /// A page behind this place is being read.
    reading: Option<Due>,
    /// Added since the last seal.
    fresh: Vec<Due>,
    /// Left a sealed checkpoint since the last seal: id of the sender.
    gone: BTreeMap<Due, Arc<str>>,
    /// Those in memory that are not durable, with their checkpoint.
    unsettled: BTreeMap<Due, u64>,
    /// Those that were cancelled, with the checkpoint that says so: a page may still show them.
    cancelled: BTreeMap<Due, u64>,
}

#[derive(Debug)]
struct Entry {
    message: DelayedMessage,
    /// A sealed checkpoint holds it.
    sealed: bool,
}

impl Delayed {
    /// None is known yet, whatever the ledger has.
    pub(crate) fn new() -> Delayed {
        Delayed {
            entries: BTreeMap::new(),
            horizon: (0, 0),
            reading: None,
            fresh: Vec::new(),
            gone: BTreeMap::new(),
            unsettled: BTreeMap::new(),
            cancelled: BTreeMap::new(),
        }
    }

    /// Delayed messages in memory.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// When the next message is due.
    pub(crate) fn next(&self) -> Option<Millis> {
        self.entries.range(..=self.horizon).next().map(|(due, _)| due.0)
    }

    /// What changed since the last seal.
    pub(crate) fn seal(&mut self, writes: &mut Vec<Write>) {
        for due in std::mem::take(&mut self.fresh) {
            let Some(entry) = self.entries.get_mut(&due) else { continue };
            entry.sealed = true;
            writes.push(Write::Delayed { due: due.0, sequence: due.1, message: entry.message.clone() });
        }
        for ((due, sequence), id) in std::mem::take(&mut self.gone) {
            writes.push(Write::DelayedGone { id, due, sequence });
        }
    }

    /// The ledger has what this checkpoint holds: a page that is read from now on shows it.
    pub(crate) fn durable(&mut self, checkpoint: u64) {
        if self.reading.is_some() {
            return;
        }
        self.cancelled.retain(|_, of| *of > checkpoint);
        let (horizon, entries) = (self.horizon, &mut self.entries);
        self.unsettled.retain(|due, of| {
            let settled = *of <= checkpoint;
            if settled && *due > horizon {
                entries.remove(due);
            }
            !settled
        });
    }

    /// Lets the last ones leave memory until so many remain, not counting those that are not durable.
    fn trim(&mut self, window: usize) {
        while self.entries.len() - self.unsettled.len() > window
            && let Some((last, _)) = self.entries.range(..=self.horizon).next_back()
        {
            let last = *last;
            self.horizon = before(last);
            if !self.unsettled.contains_key(&last) {
                self.entries.remove(&last);
            }
        }
    }
}

/// The place right before another one.
fn before((due, sequence): Due) -> Due {
    match sequence.checked_sub(1) {
        Some(sequence) => (due, sequence),
        None => (due.saturating_sub(1), Sequence::MAX),
    }
}

impl Engine {
    /// Keeps a message for later.
    pub(crate) fn delay(&mut self, due: Millis, message: DelayedMessage) -> Due {
        let key = (due, self.next_sequence);
        self.next_sequence += 1;
        self.delta.changed(96 + message.argument.len(), self.now);
        self.delayed.fresh.push(key);
        self.delayed.unsettled.insert(key, self.delta.next_checkpoint());
        self.delayed.entries.insert(key, Entry { message, sealed: false });
        key
    }

    /// Takes a message away that is not to be delivered.
    pub(crate) fn cancel(&mut self, id: &Arc<str>, due: Due) {
        let sealed = self.delayed.entries.remove(&due).is_none_or(|entry| entry.sealed);
        self.delayed.unsettled.remove(&due);
        if sealed {
            self.delta.changed(32, self.now);
            self.delayed.gone.insert(due, id.clone());
            self.delayed.cancelled.insert(due, self.delta.next_checkpoint());
        }
    }

    /// Delivers what is due, in order, as long as there is room for it, and asks for the next page.
    pub(crate) fn deliver_delayed(&mut self) {
        while self.may_deliver()
            && let Some(first) = self.delayed.entries.first_entry()
            && first.key().0 <= self.now
            && *first.key() <= self.delayed.horizon
        {
            let (due, entry) = first.remove_entry();
            self.delayed.unsettled.remove(&due);
            let DelayedMessage { sender, target, argument, token } = entry.message;
            self.delta.changed(32, self.now);
            if entry.sealed {
                self.delayed.gone.insert(due, sender.id.clone());
            }
            if let Some(token) = token {
                self.set_token(&sender.id, &token, None);
            }
            self.enqueue(
                target,
                Invocation { caller: Some(sender), argument, arrived: self.now, event_time: self.now },
            );
        }
        self.delayed.trim(self.delayed_window());
        self.read_delayed();
    }

    /// Delayed messages wait, like ingresses, while invocations fill their room.
    pub(crate) fn may_deliver(&self) -> bool {
        !self.stopping && self.pending_bytes <= self.config.limits.pending_bytes
    }

    /// Two at least: a page of half of them has room beside the other half, so that it is not read again and again.
    fn delayed_window(&self) -> usize {
        self.config.limits.delayed_window.max(2)
    }

    /// Asks for the next page when half of the room is free, or nothing is left within the horizon.
    fn read_delayed(&mut self) {
        let window = self.delayed_window();
        let delayed = &mut self.delayed;
        let low = delayed.entries.len() <= window / 2 || delayed.next().is_none();
        if delayed.horizon < END && delayed.reading.is_none() && low && !self.stopping {
            let after = delayed.horizon;
            delayed.reading = Some(after);
            self.load(Load::Delayed { after, limit: window / 2 });
        }
    }

    pub(crate) fn delayed_loaded(&mut self, after: Due, messages: Vec<(Millis, Sequence, DelayedMessage)>, more: bool) {
        if self.delayed.reading != Some(after) {
            return;
        }
        self.delayed.reading = None;
        // When the horizon went back meanwhile the page does not join it, and is read again.
        if self.delayed.horizon == after {
            self.delayed.horizon = match messages.last() {
                Some((due, sequence, _)) if more => (*due, *sequence),
                _ => END,
            };
            for (due, sequence, message) in messages {
                let key = (due, sequence);
                if !self.delayed.cancelled.contains_key(&key) {
                    self.delayed.entries.entry(key).or_insert(Entry { message, sealed: true });
                }
            }
        }
        self.delayed.durable(self.delta.durable());
    }

    pub(crate) fn apply_delayed(&mut self, sender: &Address, effect: DelayedEffect) {
        match effect {
            DelayedEffect::Send { delay_ms, message, token } => {
                let due = self.now.saturating_add(u64::try_from(delay_ms).expect("checked not to be negative"));
                let token: Option<Arc<str>> = (!token.is_empty()).then(|| token.into());
                let Message { target, argument } = message;
                let kept = DelayedMessage { sender: sender.clone(), target, argument, token: token.clone() };
                // A type that is named is known from here on: it counts towards their limit.
                self.functions.enter(&kept.target.function, &self.config.endpoints);
                let due = self.delay(due, kept);
                if let Some(token) = token {
                    self.set_token(&sender.id, &token, Some(due));
                }
            }
            DelayedEffect::Cancel { token } => {
                if let Some(due) = self.token(&sender.id, &token) {
                    self.cancel(&sender.id, due);
                    self.set_token(&sender.id, &token.into(), None);
                }
            }
        }
    }
}
