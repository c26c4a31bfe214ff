//! One function type: its endpoint, the states it declared, its pace, and the addresses that wait for their turn.
//!
//! Specs are learned anew at every start: the first request to a function type carries no state, so the SDK answers with
//! all it declares, and a changed type or expiration is noticed. Until that answer one call goes out, and one more for
//! each second without it; the other addresses of the type wait in line, and other types go on. Upstream stops the whole task
//! instead (`RequestReplyFunction`, first request).

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use millpond_protocol::TypeName;

use crate::cells::Slot;
use crate::timers::TimerKey;
use crate::window::Window;
use crate::{Backlog, FunctionMetrics, Millis, StateSpec};

/// A function type.
pub(crate) struct Function {
    pub(crate) name: TypeName,
    pub(crate) endpoint: Option<usize>,
    /// The states it declared since this start, by name.
    pub(crate) specs: BTreeMap<Arc<str>, StateSpec>,
    /// It answered since this start: requests carry its states.
    pub(crate) learned: bool,
    pub(crate) window: Window,
    /// Addresses with something to send, in the order in which they became so.
    pub(crate) line: VecDeque<Slot>,
    /// Those of them that failed last time: they come behind the others, so that they keep nobody waiting.
    pub(crate) retries: VecDeque<Slot>,
    /// Calls to the others since one of them had its turn.
    pub(crate) passed_by: u32,
    /// It stands among those that may have a call to make.
    pub(crate) offered: bool,
    /// Addresses that are parked, by the time of their next attempt; the keys of their timers.
    pub(crate) parked: BTreeSet<TimerKey>,
    /// The parked one that is tried more often than the others.
    pub(crate) probe: Option<Slot>,
    /// When those of its parked addresses are looked at again that are in the ledger only, if there are any.
    pub(crate) asleep: Option<Millis>,
    /// When all that was parked was woken last.
    pub(crate) woken: Millis,
    /// What it has in the ledger and in memory together.
    pub(crate) backlog: Backlog,
    /// Its backlog as the last seal had it.
    pub(crate) backlog_sealed: Backlog,
    /// Its backlog changed since the last seal, perhaps back again.
    pub(crate) backlog_dirty: bool,
    /// Bytes of its addresses that wait in memory.
    pub(crate) waiting_bytes: usize,
    pub(crate) metrics: FunctionMetrics,
}

impl Function {
    pub(crate) fn new(name: TypeName, endpoint: Option<usize>, calls_max: usize) -> Function {
        Function {
            name,
            endpoint,
            specs: BTreeMap::new(),
            learned: false,
            window: Window::new(calls_max),
            line: VecDeque::new(),
            retries: VecDeque::new(),
            passed_by: 0,
            offered: false,
            parked: BTreeSet::new(),
            probe: None,
            asleep: None,
            woken: 0,
            backlog: Backlog::default(),
            backlog_sealed: Backlog::default(),
            backlog_dirty: false,
            waiting_bytes: 0,
            metrics: FunctionMetrics::default(),
        }
    }

    /// Whether somebody stands in line.
    pub(crate) fn has_work(&self) -> bool {
        !(self.line.is_empty() && self.retries.is_empty())
    }
}
