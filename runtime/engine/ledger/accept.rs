//! What every ledger asks of a checkpoint before it takes it: its number, and that its lanes go on where they stood.
//!
//! A ledger that finds one of these broken changes nothing. They are promises of the engine, so a refusal is a defect and
//! no condition of the machine: stopping is better than writing wrong state.

use std::collections::BTreeMap;
use std::fmt;

use crate::{Checkpoint, LaneId, LaneName, Write};

/// Lanes by name: the lowest sequence number still kept, and the next one to be given out.
pub type Lanes = BTreeMap<LaneName, (u64, u64)>;

/// Where a lane stands that never had a record.
pub const NEW_LANE: (u64, u64) = (1, 1);

/// Why a ledger does not take a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refused {
    /// Another number comes next.
    OutOfOrder {
        /// The number that came.
        found: u64,
        /// The number that should have come.
        expected: u64,
    },
    /// It contradicts itself, or what is there.
    Contradiction {
        /// Its number.
        checkpoint: u64,
        /// What does not fit.
        what: String,
    },
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refused::OutOfOrder { found, expected } => {
                write!(f, "checkpoint {found} was to be made durable, but {expected} comes next")
            }
            Refused::Contradiction { checkpoint, what } => {
                write!(f, "checkpoint {checkpoint} does not fit the ledger: {what}")
            }
        }
    }
}

impl std::error::Error for Refused {}

/// One lane that a checkpoint moves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MovedLane<'a> {
    /// Which one.
    pub name: &'a LaneName,
    /// Where it stood, as [`Lanes`] says it.
    pub before: (u64, u64),
    /// Where it stands then.
    pub after: (u64, u64),
}

/// The lanes that a checkpoint moves, by number, each checked against where it stood.
///
/// # Errors
/// [`Refused::Contradiction`] when a lane has no name, records do not go on where the lane stood, or what was freed was
/// not there.
pub fn moved_lanes<'a>(
    checkpoint: &Checkpoint,
    names: &'a [LaneName],
    before: &Lanes,
) -> Result<BTreeMap<LaneId, MovedLane<'a>>, Refused> {
    let refuse = |what: String| Refused::Contradiction { checkpoint: checkpoint.meta.checkpoint, what };
    let mut moved = BTreeMap::new();
    for write in &checkpoint.writes {
        let &Write::Lane { lane, first, next, first_before } = write else { continue };
        let name = names.get(lane.0 as usize);
        let name = name.ok_or_else(|| refuse(format!("lane {} has no name", lane.0)))?;
        let stood = before.get(name).copied().unwrap_or(NEW_LANE);
        let fits = first_before == stood.0 && stood.0 <= first && first <= stood.1 && stood.1 <= next;
        if !fits {
            return Err(refuse(format!("lane {} goes from {stood:?} to {:?}", lane.0, (first, next))));
        }
        moved.insert(lane, MovedLane { name, before: stood, after: (first, next) });
    }
    let mut records_end: BTreeMap<LaneId, u64> = BTreeMap::new();
    for write in &checkpoint.writes {
        let Write::Outbox { lane, first, records } = write else { continue };
        let stood = moved.get(lane).map(|moved| moved.before.1);
        if stood != Some(*first) || records_end.contains_key(lane) {
            return Err(refuse(format!("records of lane {} begin at {first}, it stands at {stood:?}", lane.0)));
        }
        records_end.insert(*lane, first + records.len() as u64);
    }
    for (lane, moved) in &moved {
        let end = records_end.get(lane).copied().unwrap_or(moved.before.1);
        if end != moved.after.1 {
            return Err(refuse(format!("records of lane {} end at {end}, it goes to {}", lane.0, moved.after.1)));
        }
    }
    Ok(moved)
}
