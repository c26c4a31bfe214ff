//! What the ledger gives of one address: its values and its first invocations, later the next ones, page by page.

use millpond_protocol::Address;

use crate::cells::Slot;
use crate::engine::Engine;
use crate::failure::Failure;
use crate::load::LoadedAddress;
use crate::phase::Phase;
use crate::{Invocation, Load, Sequence};

impl Engine {
    /// The cell of an address, loaded or being loaded.
    pub(crate) fn touch_loaded(&mut self, address: Address) -> Slot {
        let slot = self.touch(address);
        if self.cells[slot].phase == Phase::Away {
            self.start_loading(slot);
        }
        slot
    }

    /// Asks for all of an address.
    pub(crate) fn start_loading(&mut self, slot: Slot) {
        let cell = &mut self.cells[slot];
        cell.mailbox.await_load();
        let (address, bytes) = (cell.address.clone(), self.config.limits.mailbox_page_bytes());
        self.enter(slot, Phase::Loading);
        self.load(Load::Address { address, bytes });
    }

    pub(crate) fn address_loaded(&mut self, loaded: LoadedAddress) {
        let Some(slot) = self.cells.find(&loaded.address) else { return };
        let durable = self.delta.durable();
        let cell = &mut self.cells[slot];
        if cell.phase != Phase::Loading {
            return;
        }
        if std::mem::take(&mut cell.recalled) {
            self.recalling -= 1;
        }
        cell.load_states(loaded.states);
        cell.mailbox.join(loaded.pending, loaded.more, durable);
        cell.listed |= loaded.listed;
        cell.accessed = loaded.accessed;
        let next = loaded.failure.as_ref().map(|failure| failure.next);
        cell.failure = loaded.failure.map(Failure::restored);
        match next {
            Some(next) => self.parked_before(slot, next),
            None => self.go_on(slot),
        }
        if self.cells[slot].phase == Phase::Idle {
            self.remove_expired(slot);
        }
        if next.is_some() {
            self.goes_to_sleep(slot);
        }
    }

    /// Reads more invocations of an address, when there is room for them.
    pub(crate) fn read_on(&mut self, slot: Slot) {
        let cell = &mut self.cells[slot];
        let bytes = self.config.limits.mailbox_page_bytes();
        if let Some(from) = cell.mailbox.read_on(bytes) {
            let address = cell.address.clone();
            self.load(Load::Mailbox { address, from, bytes });
        }
    }

    /// More invocations of an address.
    pub(crate) fn mailbox_loaded(
        &mut self,
        address: &Address,
        from: Sequence,
        pending: Vec<(Sequence, Invocation)>,
        more: bool,
    ) {
        let Some(slot) = self.cells.find(address) else { return };
        let durable = self.delta.durable();
        let cell = &mut self.cells[slot];
        if cell.phase == Phase::Loading || !cell.mailbox.awaits(from) {
            return;
        }
        cell.mailbox.join(pending, more, durable);
        match self.cells[slot].phase {
            Phase::Refilling => self.go_on(slot),
            _ => self.recount(slot),
        }
    }

    /// The cell of an address. If it is not in memory its state is asked for, or, when there is no room, later.
    pub(crate) fn touch(&mut self, address: Address) -> Slot {
        if let Some(slot) = self.cells.find(&address) {
            return slot;
        }
        let function = self.functions.enter(&address.function, &self.config.endpoints);
        let room = self.admits(function);
        let slot = self.cells.insert(address, function);
        match room {
            true => self.start_loading(slot),
            false => self.left_behind(function),
        }
        slot
    }
}
