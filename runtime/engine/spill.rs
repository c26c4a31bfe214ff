//! What leaves memory when there is no room for it.
//!
//! Everything that waits is in the ledger, so an address whose changes are durable can leave at any time; what is lost with
//! it is how often it was tried lately. Those that are parked leave first, then the last in line, of the function type that
//! holds most. `recall.rs` brings them back.

use std::collections::{BTreeSet, VecDeque};

use millpond_protocol::Address;

use crate::Millis;
use crate::cells::Slot;
use crate::config::relaxed;
use crate::engine::Engine;
use crate::function::Function;
use crate::functions::FunctionId;
use crate::phase::Phase;
use crate::recall::Pass;
use crate::timers::{Timer, TimerKey};

/// Addresses of one function type in line, beyond which no more are brought back while it is in trouble.
const TROUBLED_LINE: usize = 64;

/// Pause for each parked address of a type, between two looks at those that are in the ledger only.
const PARKED_PACE_MS: u64 = 20;

/// What is in the ledger only, and the pass that brings it back.
#[derive(Debug)]
pub(crate) struct Spill {
    /// Function types with addresses in the ledger only that should come back when there is room.
    pub(crate) left_behind: BTreeSet<FunctionId>,
    /// Function types with parked addresses in the ledger only, and when they are looked at again.
    asleep: BTreeSet<(Millis, FunctionId)>,
    pub(crate) pass: Option<Pass>,
    /// Where the next pass begins: where the last one had to leave the first address behind, so that all get their turn.
    pub(crate) start: Option<Address>,
    /// Parked addresses may have become durable since they were asked to make room.
    may_make_room: bool,
    /// Pages asked for since the start.
    pub(crate) pages: u64,
}

impl Spill {
    /// A start begins with a pass.
    pub(crate) fn new() -> Spill {
        Spill {
            left_behind: BTreeSet::new(),
            asleep: BTreeSet::new(),
            pass: Some(Pass::default()),
            start: None,
            may_make_room: true,
            pages: 0,
        }
    }
}

impl Engine {
    /// Whether there is room in memory for one more address of a function type. The one that probes for others stays in
    /// memory, whatever it holds, and takes no room from them.
    pub(crate) fn admits(&self, function: FunctionId) -> bool {
        let (function, limit) = (&self.functions[function], self.config.limits.waiting_bytes);
        let slow = function.window.in_trouble() && function.line.len() >= TROUBLED_LINE;
        let others = function.waiting_bytes - self.probe_bytes(function);
        !slow
            && others <= self.config.limits.waiting_bytes_of_a_type()
            && self.waiting_bytes - self.probing_bytes <= limit
    }

    fn probe_bytes(&self, function: &Function) -> usize {
        function.probe.map_or(0, |slot| self.cells[slot].counted_waiting)
    }

    /// An address begins or ends to probe for others.
    pub(crate) fn set_probe(&mut self, function: FunctionId, probe: Option<Slot>) {
        let before = self.probe_bytes(&self.functions[function]);
        self.functions[function].probe = probe;
        let after = self.probe_bytes(&self.functions[function]);
        self.probing_bytes = self.probing_bytes - before + after;
    }

    /// Counts what a cell holds, as often as that or its phase changes.
    pub(crate) fn recount(&mut self, slot: Slot) {
        let cell = &mut self.cells[slot];
        let (pending, waiting) = cell.counts();
        let before = std::mem::replace(&mut cell.counted_waiting, waiting);
        let function = &mut self.functions[cell.function];
        if function.probe == Some(slot) {
            self.probing_bytes = self.probing_bytes - before + waiting;
        }
        function.waiting_bytes = function.waiting_bytes - before + waiting;
        self.waiting_bytes = self.waiting_bytes - before + waiting;
        let before = std::mem::replace(&mut cell.counted_pending, pending);
        self.pending_bytes = self.pending_bytes - before + pending;
    }

    /// Some of a function type's addresses are in the ledger only.
    pub(crate) fn left_behind(&mut self, function: FunctionId) {
        // Without an endpoint they stay there until a start knows one.
        if self.functions[function].endpoint.is_some() {
            self.spill.left_behind.insert(function);
        }
    }

    /// Parked addresses of a function type that are in the ledger only are looked at again.
    pub(crate) fn wake_sleepers(&mut self, function: FunctionId) {
        if let Some(due) = self.functions[function].asleep.take() {
            self.spill.asleep.remove(&(due, function));
            self.left_behind(function);
        }
    }

    /// Some of a function type's parked addresses are in the ledger only, and are looked at again then.
    fn falls_asleep(&mut self, id: FunctionId, due: Millis) {
        let function = &mut self.functions[id];
        // Without an endpoint they stay there until a start knows one.
        if function.endpoint.is_none() {
            return;
        }
        // The more are parked, the longer each waits: what cannot be helped by trying is not tried all the time.
        let all = function.backlog.parked.saturating_mul(PARKED_PACE_MS);
        let due = due.max(self.now.saturating_add(all.max(1)));
        if function.asleep.is_some_and(|earlier| earlier <= due) {
            return;
        }
        if let Some(later) = function.asleep.replace(due) {
            self.spill.asleep.remove(&(later, id));
        }
        self.spill.asleep.insert((due, id));
        self.set_timer(due, Timer::Function(id));
    }

    /// Parked addresses in the ledger only whose time has come are left behind like others.
    pub(crate) fn sleepers_due(&mut self) {
        while let Some((due, function)) = self.spill.asleep.first().copied()
            && due <= self.now
        {
            self.spill.asleep.pop_first();
            self.functions[function].asleep = None;
            self.left_behind(function);
        }
    }

    /// A checkpoint is durable: its cells hold nothing any more that the ledger does not have.
    pub(crate) fn settle(&mut self, cells: Vec<Slot>) {
        self.spill.may_make_room = true;
        let durable = self.delta.durable();
        for slot in cells {
            let cell = &mut self.cells[slot];
            cell.mailbox.settle(durable);
            if cell.phase == Phase::Away && self.may_leave(slot) {
                let function = self.cells[slot].function;
                self.left_behind(function);
                self.forget(slot);
            } else {
                self.recount(slot);
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

    /// A parked address leaves memory until its time comes, if it may.
    pub(crate) fn goes_to_sleep(&mut self, slot: Slot) {
        let cell = &self.cells[slot];
        let (function, phase) = (cell.function, cell.phase);
        if let Phase::Parked((due, _)) = phase
            && self.may_leave(slot)
        {
            self.falls_asleep(function, due);
            self.forget(slot);
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
                        Some(failure) if failure.parked.is_some() => {
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
    fn may_leave(&self, slot: Slot) -> bool {
        let cell = &self.cells[slot];
        let settled = !cell.dirty && cell.checkpoint <= self.delta.durable();
        settled && !cell.mailbox.is_reading() && !self.operations.contains_key(&slot)
    }

    /// What is parked makes room for those of its type that were left behind: it is tried later anyway.
    pub(crate) fn make_room(&mut self) {
        if !std::mem::take(&mut self.spill.may_make_room) {
            return;
        }
        let limit = self.config.limits.waiting_bytes_of_a_type();
        let crowded = |function: &&FunctionId| {
            let function = &self.functions[**function];
            function.waiting_bytes > limit && !function.parked.is_empty()
        };
        let crowded: Vec<FunctionId> = self.spill.left_behind.iter().filter(crowded).copied().collect();
        for function in crowded {
            self.spill_parked(function, limit / 2);
        }
    }
}
