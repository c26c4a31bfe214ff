//! What an account remembers: enough to judge the next transaction, and no more.
//!
//! Its size has a bound in time, not in number: a day of transactions, a month of sums, sixteen devices, the hours.

use std::collections::BTreeMap;

use millpond_sdk::{Json, Value, ValueSpec};
use serde::{Deserialize, Serialize};

/// The one state of `fraud/account`.
pub const PROFILE: ValueSpec<Profile> = ValueSpec::new("profile");

pub(crate) const MINUTE: i64 = 60_000;
pub(crate) const HOUR: i64 = 60 * MINUTE;
pub(crate) const DAY: i64 = 24 * HOUR;

/// Beyond these, what is older is forgotten.
const RECENT: i64 = DAY;
const DAYS: i64 = 30;
const DEVICES: usize = 16;

/// A recorded transaction: id, timestamp, euro cents, latitude, longitude.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Recorded(pub String, pub i64, pub i64, pub f64, pub f64);

/// Everything that an account remembers.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Profile {
    /// The greatest timestamp that was recorded.
    pub newest: Option<i64>,
    /// What was recorded within 24 h of it, in order of arrival.
    pub(crate) recent: Vec<Recorded>,
    /// Number and sum of what was recorded on each day.
    pub(crate) days: BTreeMap<i64, (i64, i64)>,
    /// Each known device, with the greatest timestamp that it was used at.
    pub(crate) devices: BTreeMap<String, i64>,
    /// How much was recorded in each hour of the day.
    pub(crate) hours: [i64; 24],
    /// How often fraud was confirmed, within 0 and 5.
    pub(crate) risk: i64,
    /// Whether transactions are declined.
    pub(crate) blocked: bool,
    /// What became of messages, in numbers.
    pub(crate) judged: u64,
    pub(crate) invalid: u64,
    pub(crate) too_late: u64,
    pub(crate) repeated: u64,
    pub(crate) declined: u64,
}

impl Value for Profile {
    const TYPENAME: &str = "fraud.types/Profile";
    type Format = Json;
}

impl Profile {
    /// Is this timestamp so far behind that nobody knows any more what was around it?
    pub(crate) fn is_too_late(&self, timestamp: i64) -> bool {
        self.newest.is_some_and(|newest| timestamp < newest - RECENT)
    }

    pub(crate) fn has(&self, transaction: &str) -> bool {
        self.recent.iter().any(|recorded| recorded.0 == transaction)
    }

    /// Remembers a transaction, and forgets what it makes too old.
    pub(crate) fn record(&mut self, transaction: Recorded, device: &str) {
        let Recorded(_, timestamp, cents, ..) = transaction;
        let newest = self.newest.map_or(timestamp, |newest| newest.max(timestamp));
        self.newest = Some(newest);
        self.recent.push(transaction);
        self.recent.retain(|recorded| recorded.1 >= newest - RECENT);

        let (count, sum) = self.days.entry(timestamp / DAY).or_default();
        *count += 1;
        *sum += cents;
        self.days.retain(|day, _| *day >= newest / DAY - DAYS);

        let used = self.devices.entry(device.to_owned()).or_default();
        *used = (*used).max(timestamp);
        if self.devices.len() > DEVICES {
            // The map is in the order of names, so the first of equal ones is the one to go.
            let oldest = self.devices.iter().min_by_key(|(_, used)| **used).map(|(name, _)| name.clone());
            self.devices.remove(&oldest.expect("there are many"));
        }
        self.hours[hour_of_day(timestamp)] += 1;
    }
}

pub(crate) fn hour_of_day(timestamp: i64) -> usize {
    usize::try_from(timestamp / HOUR % 24).expect("a timestamp is not negative")
}
