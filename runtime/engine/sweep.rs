//! Removing values that are over though nobody calls their address any more.
//!
//! A request removes what is over of its own address (`expiry.rs`). For all others the engine walks through the ledger's
//! values now and then, page by page with a pause between pages, and looks at each address that has something which is
//! over. The ledger's word is a hint: what is removed is decided here, from the address itself. While no value of a
//! function that answered since the start expires, nobody walks.

use std::collections::VecDeque;

use millpond_protocol::Address;

use crate::cells::Slot;
use crate::engine::Engine;
use crate::expiry;
use crate::phase::Phase;
use crate::{Expiration, Lives, Load, Millis};

/// Rows that are looked at for one page.
const PAGE: usize = 4096;

/// Pause between two pages.
const PAUSE_MS: Millis = 100;

/// The walk through the ledger's values.
#[derive(Debug, Default)]
pub(crate) struct Sweep {
    /// When the next page is asked for.
    due: Option<Millis>,
    /// Where it begins.
    after: Option<Address>,
    asked: bool,
    /// Addresses of the last page that are still to be looked at.
    over: VecDeque<Address>,
    /// This walk saw values that will be over some day, or may have missed such.
    alive: bool,
    /// The checkpoint of the last value that was written and expires: a walk that begins before it is durable misses it.
    written: u64,
}

impl Engine {
    /// A value that expires was written, or one that was written before got a life: walks begin, or go on.
    pub(crate) fn expires(&mut self) {
        self.sweep.alive = true;
        self.sweep.written = self.delta.next_checkpoint();
        if self.sweep.due.is_none() && !self.sweep.asked {
            self.sweep.due = Some(self.now.saturating_add(self.config.limits.expiry_ms));
        }
    }

    /// When the next page is due.
    pub(crate) fn sweep_due(&self) -> Option<Millis> {
        self.sweep.due.filter(|_| !self.stopping && self.sweep.over.is_empty())
    }

    /// Asks for the next page when it is time.
    pub(crate) fn continue_sweep(&mut self) {
        while !self.stopping
            && self.recalling < self.config.limits.recall_window.max(1)
            && let Some(address) = self.sweep.over.pop_front()
        {
            let slot = self.recall(address);
            if self.cells[slot].phase == Phase::Idle {
                self.remove_expired(slot);
            }
        }
        if !self.sweep.over.is_empty() || self.sweep_due().is_none_or(|due| due > self.now) {
            return;
        }
        self.sweep.due = None;
        self.sweep.asked = true;
        if self.sweep.after.is_none() {
            self.sweep.alive = self.sweep.written > self.delta.durable();
        }
        let lives: Lives = self
            .functions
            .iter()
            .flat_map(|(_, function)| function.specs.values().map(|spec| (&function.name, spec)))
            .filter(|(_, spec)| spec.expiration != Expiration::None)
            .map(|(function, spec)| (function.clone(), spec.name.clone(), spec.expiration))
            .collect();
        let after = self.sweep.after.clone();
        self.load(Load::Expired { after, rows: PAGE, now: self.now, lives: lives.into() });
    }

    /// A page: addresses with something that is over, and where the next one begins.
    pub(crate) fn expired_loaded(&mut self, over: Vec<Address>, alive: bool, next: Option<Address>) {
        if !std::mem::take(&mut self.sweep.asked) {
            return;
        }
        self.sweep.alive |= alive || !over.is_empty();
        self.sweep.over = over.into();
        let pause = match (&next, self.sweep.alive) {
            (Some(_), _) => Some(PAUSE_MS.min(self.config.limits.expiry_ms)),
            (None, true) => Some(self.config.limits.expiry_ms),
            (None, false) => None,
        };
        self.sweep.after = next;
        self.sweep.due = pause.map(|pause| self.now.saturating_add(pause.max(1)));
    }

    /// Removes what is over of an address that nobody calls.
    pub(crate) fn remove_expired(&mut self, slot: Slot) {
        let cell = &mut self.cells[slot];
        if expiry::remove(cell, &self.functions[cell.function], self.now) {
            self.mark_dirty(slot, 32);
        }
    }
}
