//! What holds of the engine's parts between any two inputs. The simulator asks after each.

use std::collections::BTreeSet;

use crate::CallId;
use crate::cells::Slot;
use crate::engine::Engine;
use crate::phase::Phase;
use crate::timers::TimerKey;

impl Engine {
    /// Adds up again what is counted as it changes, and looks for addresses in two places or in none. Takes time for each
    /// address in memory: for simulators and tests.
    ///
    /// # Errors
    /// What does not fit together.
    #[doc(hidden)]
    pub fn audit(&self) -> Result<(), String> {
        let (mut pending, mut waiting) = (0, 0);
        for (slot, cell) in self.cells.iter() {
            let (holds, waits) = cell.counts();
            if (cell.counted_pending, cell.counted_waiting) != (holds, waits) {
                return Err(format!("{} in {:?} was not counted again", cell.address, cell.phase));
            }
            if self.held.contains_key(&slot) && !matches!(cell.phase, Phase::Runnable | Phase::InFlight(_)) {
                return Err(format!("{} in {:?} keeps a producer waiting", cell.address, cell.phase));
            }
            pending += holds;
            waiting += waits;
        }
        if (self.pending_bytes, self.waiting_bytes) != (pending, waiting) {
            return Err(format!("{pending} bytes are pending and {waiting} waiting, but not by the counts"));
        }
        let in_flight = |(call, slot): (&CallId, &Slot)| self.cells[*slot].phase == Phase::InFlight(*call);
        let flying = self.cells.iter().filter(|(_, cell)| matches!(cell.phase, Phase::InFlight(_))).count();
        if flying != self.calls.len() || !self.calls.iter().all(in_flight) {
            return Err(format!("{flying} addresses are in flight, but {} calls", self.calls.len()));
        }
        if !self.delta.on_its_way()
            && !self.stopped
            && let Some(lane) = self.lanes.iter().position(|lane| lane.is_unsealed())
        {
            return Err(format!("records of lane {lane} wait for a checkpoint, and none is on its way"));
        }
        let recalled = self.cells.iter().filter(|(_, cell)| cell.recalled).count();
        if recalled != self.recalling {
            return Err(format!("{recalled} addresses are being recalled, {} by the count", self.recalling));
        }
        let probing: usize = self.functions.iter().map(|(_, function)| self.probe_bytes(function)).sum();
        if probing != self.probing_bytes {
            return Err(format!("{probing} bytes probe, {} by the count", self.probing_bytes));
        }
        let in_memory = |slot: &Slot| self.cells.iter().any(|(other, _)| other == *slot);
        if let Some(slot) = self.held.keys().chain(self.operations.keys()).find(|slot| !in_memory(slot)) {
            return Err(format!("somebody waits for {slot:?}, which left memory"));
        }
        self.functions.iter().try_for_each(|(id, function)| {
            let of_type = |slot: &Slot| self.cells[*slot].function == id;
            let mut line: Vec<Slot> = function.line.iter().chain(&function.retries).copied().collect();
            line.sort_unstable();
            let runnable = self.cells.iter().filter(|(_, cell)| cell.phase == Phase::Runnable).map(|(slot, _)| slot);
            let mut runnable: Vec<Slot> = runnable.filter(of_type).collect();
            runnable.sort_unstable();
            if line != runnable {
                return Err(format!("in line of {} stand {line:?}, runnable are {runnable:?}", function.name));
            }
            let parked = self.cells.iter().filter(|(slot, _)| of_type(slot)).filter_map(|(_, cell)| match cell.phase {
                Phase::Parked(timer) => Some(timer),
                _ => None,
            });
            let parked: BTreeSet<TimerKey> = parked.collect();
            if parked != function.parked || parked.iter().any(|timer| !self.timers.contains_key(timer)) {
                return Err(format!("parked of {} are {parked:?}, listed {:?}", function.name, function.parked));
            }
            Ok(())
        })
    }
}
