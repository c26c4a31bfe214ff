//! When state values expire, exact at the millisecond.
//!
//! A value keeps when it was written, not when it ends: the length of its life is what its function declares now. An
//! address keeps one stamp more, the last time that a request carried its values; it counts for those that live on with
//! each request (`AFTER_INVOKE`), and is written apart from the values. At `last + ttl <= now` a value is absent, is never
//! handed out again, and is removed with the next checkpoint of its address. Upstream: `ExpirationUtil`.

use crate::cell::Cell;
use crate::function::Function;
use crate::{Expiration, Millis};

impl Expiration {
    /// Whether a value that was written at `written`, of an address last called at `accessed`, is over at `now`.
    pub(crate) fn is_over(self, written: Millis, accessed: Option<Millis>, now: Millis) -> bool {
        let (last, ttl) = match self {
            Expiration::None => return false,
            Expiration::AfterWrite(ttl) => (written, ttl),
            Expiration::AfterInvoke(ttl) => (accessed.map_or(written, |accessed| accessed.max(written)), ttl),
        };
        last.saturating_add(ttl) <= now
    }
}

/// Removes the values that are over, and stamps those whose clock restarts. True when the cell changed.
pub(crate) fn touch(cell: &mut Cell, function: &Function, now: Millis) -> bool {
    let mut changed = false;
    let mut restarts = false;
    let accessed = cell.accessed;
    for state in &mut cell.states {
        let Some(spec) = function.specs.get(&state.name) else { continue };
        let Some(value) = &state.value else { continue };
        if spec.expiration.is_over(value.written, accessed, now) {
            state.value = None;
            state.dirty = true;
            changed = true;
        } else {
            restarts |= matches!(spec.expiration, Expiration::AfterInvoke(_));
        }
    }
    if restarts && accessed != Some(now) {
        cell.accessed = Some(now);
        cell.accessed_dirty = true;
        changed = true;
    }
    changed
}
