//! What the functions say to each other and to the world. All of it is JSON; `RULES.md` has the fields.

use millpond_sdk::{Json, Value};
use serde::{Deserialize, Serialize};

/// A payment by card.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Transaction {
    /// Names it within its account.
    pub transaction_id: String,
    /// Whose card it is.
    pub account_id: String,
    /// In units of the currency.
    pub amount: f64,
    /// `EUR`, `USD`, `GBP` or `CHF`.
    pub currency: String,
    /// When it happened, in milliseconds since 1970.
    pub timestamp: i64,
    /// Where, for people.
    pub location: String,
    /// What it was made with.
    pub device_id: String,
    /// Latitude, in degrees.
    pub lat: f64,
    /// Longitude, in degrees.
    pub lon: f64,
}

/// Somebody found out whether an alert was right.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ConfirmFraud {
    /// Whose account it is about.
    pub account_id: String,
    /// The alert that was looked at.
    pub alert_id: String,
    /// Whether it was fraud.
    pub fraud: bool,
}

/// No transaction of the account is accepted any more.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BlockAccount {
    /// Whose account it is.
    pub account_id: String,
}

/// They are accepted again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UnblockAccount {
    /// Whose account it is.
    pub account_id: String,
}

/// Somebody has seen a notification.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Acknowledge {
    /// The notification that was seen.
    pub notification_id: String,
}

/// A notification was not acknowledged in time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Remind {
    pub(crate) notification_id: String,
}

/// What is known of a transaction when it is judged.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Features {
    /// Euro cents of the transaction.
    pub amount_cents: i64,
    /// Transactions over 2,000 EUR in 5 minutes.
    #[serde(rename = "largeIn5m")]
    pub large_in_5m: i64,
    /// Transactions in 2 minutes.
    #[serde(rename = "countIn2m")]
    pub count_in_2m: i64,
    /// Metres to the one before, within an hour.
    pub distance_m: i64,
    /// Hundredths of the 30-day average.
    pub average_ratio: i64,
    /// 1 when the device was not known.
    pub new_device: i64,
    /// Ten-thousandths of all that were near this hour of the day.
    pub hour_share: i64,
    /// What feedback has made of the account, 0 to 5.
    pub risk: i64,
}

/// A transaction that at least one rule speaks against.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Hit {
    pub(crate) transaction_id: String,
    pub(crate) timestamp: i64,
    pub(crate) rules: Vec<String>,
    pub(crate) explanation: String,
    pub(crate) features: Features,
}

/// A transaction that the model speaks against, too.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Alert {
    /// Account and transaction.
    pub alert_id: String,
    /// Whose account it is.
    pub account_id: String,
    /// The transaction.
    pub transaction_id: String,
    /// When it happened, in milliseconds since 1970.
    pub timestamp: i64,
    /// The rules that hit.
    pub rules: Vec<String>,
    /// Why, for people.
    pub explanation: String,
    /// What was known of it.
    pub features: Features,
    /// How likely fraud is, 0 to 1.
    pub score: f64,
    /// Which model says so.
    pub model_name: String,
    /// Its version.
    pub model_version: String,
}

/// What a person gets to see.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Notification {
    /// The id of its alert.
    pub notification_id: String,
    /// Whose account it is.
    pub account_id: String,
    /// When the transaction happened, in milliseconds since 1970.
    pub timestamp: i64,
    /// 0, then how often it was repeated.
    pub reminder: u32,
    /// What people read.
    pub text: String,
}

macro_rules! json {
    ($($message:ident = $typename:literal)*) => {
        $(impl Value for $message {
            const TYPENAME: &str = $typename;
            type Format = Json;
        })*
    };
}

json! {
    Transaction = "fraud.types/Transaction"
    ConfirmFraud = "fraud.types/ConfirmFraud"
    BlockAccount = "fraud.types/BlockAccount"
    UnblockAccount = "fraud.types/UnblockAccount"
    Acknowledge = "fraud.types/Acknowledge"
    Remind = "fraud.types/Remind"
    Hit = "fraud.types/Hit"
    Alert = "fraud.types/Alert"
}
