//! What the functions say to each other and to the world. All of it is JSON; `RULES.md` has the fields.

use millpond_sdk::{Json, Value};
use serde::{Deserialize, Serialize};

/// A payment by card.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs)]
pub struct Transaction {
    pub transaction_id: String,
    pub account_id: String,
    pub amount: f64,
    pub currency: String,
    pub timestamp: i64,
    pub location: String,
    pub device_id: String,
    pub lat: f64,
    pub lon: f64,
}

/// Somebody found out whether an alert was right.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs)]
pub struct ConfirmFraud {
    pub account_id: String,
    pub alert_id: String,
    pub fraud: bool,
}

/// No transaction of the account is accepted any more.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs)]
pub struct BlockAccount {
    pub account_id: String,
}

/// They are accepted again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs)]
pub struct UnblockAccount {
    pub account_id: String,
}

/// Somebody has seen a notification.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs)]
pub struct Acknowledge {
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
#[allow(missing_docs)]
pub struct Features {
    pub amount_cents: i64,
    #[serde(rename = "largeIn5m")]
    pub large_in_5m: i64,
    #[serde(rename = "countIn2m")]
    pub count_in_2m: i64,
    pub distance_m: i64,
    pub average_ratio: i64,
    pub new_device: i64,
    pub hour_share: i64,
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
#[allow(missing_docs)]
pub struct Alert {
    pub alert_id: String,
    pub account_id: String,
    pub transaction_id: String,
    pub timestamp: i64,
    pub rules: Vec<String>,
    pub explanation: String,
    pub features: Features,
    pub score: f64,
    pub model_name: String,
    pub model_version: String,
}

/// What a person gets to see.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs)]
pub struct Notification {
    pub notification_id: String,
    pub account_id: String,
    pub timestamp: i64,
    pub reminder: u32,
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
