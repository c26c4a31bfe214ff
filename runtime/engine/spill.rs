//! What leaves memory when there is no room for it.
//!
//! Everything that waits is in the ledger, so an address whose changes are durable can leave at any time; what is lost with
//! it is how often it was tried lately. Those that are parked leave first, then the last in line, of the function type that
//! holds most. `recall.rs` brings them back.

use std::collections::VecDeque;

use crate::FailureKind;
use crate::cells::Slot;
use crate::config::relaxed;
use crate::engine::Engine;
use crate::functions::FunctionId;
use crate::phase::Phase;
use crate::timers::{Timer, TimerKey};

impl Engine {
    /// A checkpoint is durable: its cells hold nothing any more that the ledger does not have.
    pub(crate) fn settle(&mut self, cells: Vec<Slot>) {
        self.may_make_room = true;
        let durable = self.delta.durable();
        for slot in cells {
            let cell = &mut self.cells[slot];
            cell.mailbox.settle(durable);
            let (away, function) = (cell.phase == Phase::Away, cell.function);
            if away {
                // Also when it stays: the pass that would have found it may be over.
                self.left_behind(function);
            }
            match away && self.may_leave(slot) {
                true => self.forget(slot),
                false => self.recount(slot),
            }
        }
        self.spill_over();
    }

    /// Lets waiting addresses leave memory until three quarters of the room are used, if it was too little.
    fn spill_over(&mut self) {
        let (limit, enough) = (self.config.limits.waiting_bytes, relaxed(self.config.limits.waiting_bytes));
        if self.waiting_bytes <= limit {
            return;
        }
        self.shorten_probes();
        let mut functions: Vec<(usize, FunctionId)> =
            self.functions.iter().map(|(id, function)| (function.waiting_bytes, id)).collect();
        functions.sort_unstable_by(|one, other| other.cmp(one));
        for (held, function) in functions {
            self.spill_parked(function, held.saturating_sub(self.waiting_bytes.saturating_sub(enough)));
            self.spill_line(function, enough);
            if self.waiting_bytes <= enough {
                return;
            }
        }
    }

    /// Of those that probe for others only the first invocation stays.
    fn shorten_probes(&mut self) {
        let durable = self.delta.durable();
        let probes: Vec<Slot> = self.functions.iter().filter_map(|(_, function)| function.probe).collect();
        for slot in probes {
            let cell = &mut self.cells[slot];
            cell.mailbox.shorten(durable);
            // The batch that failed is not all there any more: it is cut anew.
            cell.batch = 0;
            self.recount(slot);
        }
    }

    /// Parked addresses of a function type leave, those first that are tried last, until it holds no more than `enough`.
    fn spill_parked(&mut self, function: FunctionId, enough: usize) {
        let keys: Vec<TimerKey> = self.functions[function].parked.iter().rev().copied().collect();
        for key in keys {
            let of = &self.functions[function];
            if of.waiting_bytes <= enough {
                return;
            }
            if let Some(Timer::Cell(slot)) = self.timers.get(&key).copied()
                && of.probe != Some(slot)
            {
                self.goes_to_sleep(slot);
            }
        }
    }

    /// Addresses in line leave, the last ones first.
    fn spill_line(&mut self, function: FunctionId, enough: usize) {
        let of = &mut self.functions[function];
        let lines = [std::mem::take(&mut of.retries), std::mem::take(&mut of.line)];
        let [retries, line] = lines.map(|line| {
            let mut kept = VecDeque::with_capacity(line.len());
            for slot in line.into_iter().rev() {
                if self.waiting_bytes > enough && self.may_leave(slot) {
                    match &self.cells[slot].failure {
                        Some(failure) if failure.parked.is_some() && failure.kind == FailureKind::Rejected => {
                            self.falls_asleep(function, self.now.saturating_add(self.config.limits.parked_ms));
                        }
                        _ => self.left_behind(function),
                    }
                    self.forget(slot);
                } else {
                    kept.push_front(slot);
                }
            }
            kept
        });
        let of = &mut self.functions[function];
        (of.retries, of.line) = (retries, line);
    }

    /// Whether the ledger has everything that is known of an address, and nobody asked about it.
    pub(crate) fn may_leave(&self, slot: Slot) -> bool {
        let cell = &self.cells[slot];
        let settled = !cell.dirty && cell.checkpoint <= self.delta.durable();
        settled && !cell.mailbox.is_reading() && !self.operations.contains_key(&slot)
    }

    /// What is parked makes room for those of its type that were left behind: it is tried later anyway.
    pub(crate) fn make_room(&mut self) {
        if !std::mem::take(&mut self.may_make_room) {
            return;
        }
        let limit = self.config.limits.waiting_bytes_of_a_type();
        let crowded = |function: &&FunctionId| {
            let function = &self.functions[**function];
            function.waiting_bytes > limit && !function.parked.is_empty()
        };
        let crowded: Vec<FunctionId> = self.recall.left_behind.iter().filter(crowded).copied().collect();
        for function in crowded {
            self.spill_parked(function, limit / 2);
        }
    }
}
