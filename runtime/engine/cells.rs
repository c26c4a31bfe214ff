//! The addresses in memory: a slab, an index by address, and the idle ones in the order of their last use.
//!
//! An address is in memory while it has something to do, and as long as it is among the recently used ones. It may leave only
//! when the ledger has everything that is known of it.

use std::collections::{HashMap, VecDeque};
use std::ops::{Index, IndexMut};

use foldhash::fast::FixedState;
use millpond_protocol::Address;

use crate::cell::Cell;
use crate::functions::FunctionId;

/// The place of a cell in the table, valid while the cell is in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Slot(u32);

/// All cells in memory.
pub(crate) struct Cells {
    slab: Vec<Option<Cell>>,
    free: Vec<u32>,
    index: HashMap<Address, Slot, FixedState>,
    idle: VecDeque<(Slot, u64)>,
    idle_bytes: usize,
    uses: u64,
}

impl Cells {
    pub(crate) fn new(hash: FixedState) -> Cells {
        Cells {
            slab: Vec::new(),
            free: Vec::new(),
            index: HashMap::with_hasher(hash),
            idle: VecDeque::new(),
            idle_bytes: 0,
            uses: 0,
        }
    }

    pub(crate) fn find(&self, address: &Address) -> Option<Slot> {
        self.index.get(address).copied()
    }

    pub(crate) fn insert(&mut self, address: Address, function: FunctionId) -> Slot {
        let cell = Cell::new(address.clone(), function);
        let slot = match self.free.pop() {
            Some(place) => {
                self.slab[place as usize] = Some(cell);
                Slot(place)
            }
            None => {
                self.slab.push(Some(cell));
                Slot(u32::try_from(self.slab.len() - 1).expect("limits keep cells in memory below 2^32"))
            }
        };
        self.index.insert(address, slot);
        slot
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (Slot, &Cell)> {
        (0..).map(Slot).zip(&self.slab).filter_map(|(slot, cell)| Some((slot, cell.as_ref()?)))
    }

    pub(crate) fn len(&self) -> usize {
        self.index.len()
    }

    pub(crate) fn idle_bytes(&self) -> usize {
        self.idle_bytes
    }

    /// The cell is used: it may not leave.
    pub(crate) fn used(&mut self, slot: Slot) {
        self.uses += 1;
        let uses = self.uses;
        let cell = &mut self[slot];
        cell.uses = uses;
        let bytes = std::mem::take(&mut cell.idle_bytes);
        self.idle_bytes -= bytes;
    }

    /// The cell has nothing to do: it may leave when room is needed.
    pub(crate) fn idle(&mut self, slot: Slot) {
        self.used(slot);
        let cell = &mut self[slot];
        cell.give_back_room();
        cell.idle_bytes = cell.bytes();
        let (bytes, uses) = (cell.idle_bytes, cell.uses);
        self.idle_bytes += bytes;
        self.idle.push_back((slot, uses));
        if self.idle.len() > 2 * self.index.len() + 1024 {
            let slab = &self.slab;
            self.idle.retain(|(slot, uses)| slab[slot.0 as usize].as_ref().is_some_and(|cell| cell.uses == *uses));
        }
    }

    /// Lets the cells leave that were idle longest, until the rest fits into `limit` bytes. A cell with a change that is
    /// not durable stays, and so do all that became idle after it.
    pub(crate) fn evict(&mut self, limit: usize, durable: u64) {
        while self.idle_bytes > limit {
            let Some((slot, uses)) = self.idle.front().copied() else { return };
            match &self.slab[slot.0 as usize] {
                Some(cell) if cell.uses == uses => {
                    if cell.dirty || cell.checkpoint > durable {
                        return;
                    }
                    self.remove(slot);
                }
                _ => {}
            }
            self.idle.pop_front();
        }
    }

    pub(crate) fn remove(&mut self, slot: Slot) {
        if let Some(cell) = self.slab[slot.0 as usize].take() {
            self.idle_bytes -= cell.idle_bytes;
            self.index.remove(&cell.address);
            self.free.push(slot.0);
        }
    }
}

impl Index<Slot> for Cells {
    type Output = Cell;

    fn index(&self, slot: Slot) -> &Cell {
        self.slab[slot.0 as usize].as_ref().expect("a slot is held only while its cell is in use")
    }
}

impl IndexMut<Slot> for Cells {
    fn index_mut(&mut self, slot: Slot) -> &mut Cell {
        self.slab[slot.0 as usize].as_mut().expect("a slot is held only while its cell is in use")
    }
}
