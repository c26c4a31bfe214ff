//! `notifications/platform`: counts what happened on one platform.

use millpond_sdk::{Context, Json, Message, Result, Value, ValueSpec};
use serde::{Deserialize, Serialize};

/// The one state of `notifications/platform`.
pub const COUNTS: ValueSpec<Counts> = ValueSpec::new("counts");

/// What a platform was asked for, and what came of it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Counts {
    /// Attempts.
    pub attempted: u64,
    /// Notifications that arrived.
    pub delivered: u64,
    /// Notifications that never did.
    pub dead: u64,
}

/// One more of these.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) enum Counted {
    Attempted,
    Delivered,
    Dead,
}

impl Value for Counts {
    const TYPENAME: &str = "notifications.types/Counts";
    type Format = Json;
}

impl Value for Counted {
    const TYPENAME: &str = "notifications.types/Counted";
    type Format = Json;
}

pub(crate) async fn platform(context: &mut Context, message: Message) -> Result {
    let mut counts = context.get(COUNTS)?.unwrap_or_default();
    match message.value()? {
        Counted::Attempted => counts.attempted += 1,
        Counted::Delivered => counts.delivered += 1,
        Counted::Dead => counts.dead += 1,
    }
    Ok(context.set(COUNTS, &counts)?)
}
