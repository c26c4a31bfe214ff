//! When state values expire, exact at the millisecond.
//!
//! A value keeps when it was written, not when it ends: the length of its life is what its function declares now. An
//! address keeps one stamp more, the last time that a request carried its values; it counts for those that live on with
//! each request (`AFTER_INVOKE`), and is written apart from the values. At `last + ttl <= now` a value is absent, is never
//! handed out again, and is removed with the next checkpoint of its address. Upstream: `ExpirationUtil`.

use std::sync::Arc;

use crate::cell::{Cell, State};
use crate::function::Function;
use crate::{Expiration, Millis};

impl Expiration {
    /// Whether a value that was written at `written`, of an address last called at `accessed`, is over at `now`.
    pub fn is_over(self, written: Millis, accessed: Option<Millis>, now: Millis) -> bool {
        self.ends(written, accessed).is_some_and(|end| end <= now)
    }

    /// When such a value is over; `None` when it never is.
    pub fn ends(self, written: Millis, accessed: Option<Millis>) -> Option<Millis> {
        match self {
            Expiration::None => None,
            Expiration::AfterWrite(ttl) => Some(written.saturating_add(ttl)),
            Expiration::AfterInvoke(ttl) => {
                Some(accessed.map_or(written, |accessed| accessed.max(written)).saturating_add(ttl))
            }
        }
    }
}

/// Removes the values that are over. True when the cell changed.
pub(crate) fn remove(cell: &mut Cell, function: &Function, now: Millis) -> bool {
    let accessed = cell.accessed;
    let over = |state: &State| {
        let life = function.specs.get(&state.name).map_or(Expiration::None, |spec| spec.expiration);
        state.value.as_ref().is_some_and(|value| life.is_over(value.written, accessed, now))
    };
    let names: Vec<Arc<str>> = cell.states.iter().filter(|state| over(state)).map(|state| state.name.clone()).collect();
    for name in &names {
        cell.set_state(name, None);
    }
    !names.is_empty()
}

/// A request carries the values: stamps those whose clock restarts. True when the cell changed.
pub(crate) fn stamp(cell: &mut Cell, function: &Function, now: Millis) -> bool {
    let restarts = cell.states.iter().filter(|state| state.value.is_some()).any(|state| {
        let spec = function.specs.get(&state.name);
        spec.is_some_and(|spec| matches!(spec.expiration, Expiration::AfterInvoke(_)))
    });
    let changed = restarts && cell.accessed != Some(now);
    if changed {
        cell.accessed = Some(now);
        cell.accessed_dirty = true;
    }
    changed
}
