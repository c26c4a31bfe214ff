//! How what left memory comes back: in *passes* over the addresses that the ledger lists with pending invocations.
//!
//! A pass skips the function types that have no room; as long as one has left something behind that it has room for now,
//! another pass follows, and begins where the last one had to leave the first address behind. A start is nothing else:
//! everything was left behind.

use std::collections::{BTreeSet, VecDeque};

use millpond_protocol::Address;

use crate::cells::Slot;
use crate::engine::Engine;
use crate::functions::FunctionId;
use crate::phase::Phase;
use crate::{Load, Place};

/// A pass over the addresses that the ledger lists: from its start to the end, and from the beginning to its start.
#[derive(Debug, Default)]
struct Pass {
    start: Option<Address>,
    /// It is between the beginning and its start.
    wrapped: bool,
    /// The last address of the last page.
    after: Option<Address>,
    /// What is left of the page.
    page: VecDeque<Address>,
    /// The last address that was looked at.
    before: Option<Address>,
    /// It left an address behind.
    skipped: bool,
    /// The page that is being read.
    asked: Option<u64>,
    /// There is no page behind this one.
    last: bool,
}

/// What is in the ledger only, and the pass that brings it back.
#[derive(Debug)]
pub(crate) struct Recall {
    /// Function types with addresses in the ledger only that should come back when there is room.
    pub(crate) left_behind: BTreeSet<FunctionId>,
    pass: Option<Pass>,
    /// Where the next pass begins: where the last one had to leave the first address behind, so that all get their turn.
    start: Option<Address>,
    /// Pages asked for since the start.
    pages: u64,
}

impl Recall {
    /// A start begins with a pass.
    pub(crate) fn new() -> Recall {
        Recall { left_behind: BTreeSet::new(), pass: Some(Pass::default()), start: None, pages: 0 }
    }
}

impl Engine {
    /// Brings back what was left behind, as long as there is room.
    pub(crate) fn bring_back(&mut self) {
        if self.stopping {
            return;
        }
        if self.recall.pass.is_none() && !self.begin_pass() {
            return;
        }
        while self.recalling < self.config.limits.recall_window.max(1) {
            let Some(pass) = &mut self.recall.pass else { return };
            if let Some(address) = pass.page.pop_front() {
                let start = pass.start.as_ref().filter(|_| pass.wrapped);
                if start.is_some_and(|start| Place::new(address.clone()) > Place::new(start.clone())) {
                    pass.page.clear();
                    pass.last = true;
                } else if !self.bring_back_one(address) {
                    return;
                }
            } else if !pass.last {
                if pass.asked.is_none() {
                    let (page, after) = (self.recall.pages, pass.after.clone());
                    pass.asked = Some(page);
                    self.recall.pages += 1;
                    self.load(Load::Pending { page, after, limit: self.config.limits.recall_window.max(1) });
                }
                return;
            } else if pass.start.is_some() && !pass.wrapped {
                pass.wrapped = true;
                pass.last = false;
                pass.after = None;
            } else {
                if !pass.skipped {
                    self.recall.start = None;
                }
                self.recall.pass = None;
                if !self.begin_pass() {
                    return;
                }
            }
        }
    }

    /// Begins a pass when a function type has room for what it left behind.
    fn begin_pass(&mut self) -> bool {
        self.make_room();
        let ready: Vec<FunctionId> =
            self.recall.left_behind.iter().copied().filter(|function| self.admits(*function)).collect();
        if ready.is_empty() {
            return false;
        }
        for function in ready {
            self.recall.left_behind.remove(&function);
        }
        let start = self.recall.start.clone();
        self.recall.pass = Some(Pass { after: start.clone(), start, ..Pass::default() });
        true
    }

    /// Looks at one address of a pass. False when there may be room for it soon.
    fn bring_back_one(&mut self, address: Address) -> bool {
        let function = self.functions.enter(&address.function, &self.config.endpoints);
        let here = self.cells.find(&address).is_some_and(|slot| self.cells[slot].phase != Phase::Away);
        let served = self.functions[function].endpoint.is_some();
        let room = self.admits(function);
        let Some(pass) = &mut self.recall.pass else { return false };
        if served && !here && !room && self.recalling > 0 {
            // What is being loaded takes room that it may not need.
            pass.page.push_front(address);
            return false;
        }
        let before = pass.before.replace(address.clone());
        if here || !served {
            return true;
        }
        if room {
            self.recall(address);
            return true;
        }
        if !std::mem::replace(&mut pass.skipped, true) {
            self.recall.start = before;
        }
        self.left_behind(function);
        true
    }

    /// Loads an address on behalf of a pass or a walk. So many at a time, whatever traffic loads beside it.
    pub(crate) fn recall(&mut self, address: Address) -> Slot {
        let slot = self.touch_loaded(address);
        let cell = &mut self.cells[slot];
        if cell.phase == Phase::Loading && !std::mem::replace(&mut cell.recalled, true) {
            self.recalling += 1;
        }
        slot
    }

    /// A page of a pass.
    pub(crate) fn pending_loaded(&mut self, page: u64, addresses: Vec<Address>, more: bool) {
        let asked = |pass: &&mut Pass| pass.asked == Some(page);
        let Some(pass) = self.recall.pass.as_mut().filter(asked) else { return };
        pass.asked = None;
        pass.last = !more || addresses.is_empty();
        pass.after = addresses.last().cloned();
        pass.page = addresses.into();
    }

    /// Some of a function type's addresses are in the ledger only.
    pub(crate) fn left_behind(&mut self, function: FunctionId) {
        // Without an endpoint they stay there until a start knows one.
        if self.functions[function].endpoint.is_some() {
            self.recall.left_behind.insert(function);
        }
    }
}
