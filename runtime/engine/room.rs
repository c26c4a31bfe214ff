//! Room in memory: what each address is counted with, and whether there is room for one more, which a type in trouble has
//! less of.
//!
//! Counted anew as often as something changes; the sums are of a function type and of all together.

use crate::cells::Slot;
use crate::engine::Engine;
use crate::function::Function;
use crate::functions::FunctionId;

/// Addresses of one function type in line, beyond which no more are brought back while it is in trouble.
const TROUBLED_LINE: usize = 64;

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

    pub(crate) fn probe_bytes(&self, function: &Function) -> usize {
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
}
