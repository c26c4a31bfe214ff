//! Card fraud, caught while it happens: `RULES.md` says what an alert is, this says how.
//!
//! `fraud/account` (one instance for each account) keeps what it needs to judge a transaction, and hands every hit, with all
//! its features, to `fraud/scorer`. The scorer keeps nothing; over its threshold a hit becomes an alert. `fraud/notifier` (one
//! for each account) tells people, once in five minutes, and again until somebody has seen it.

mod account;
mod judge;
mod messages;
mod notifier;
mod out;
mod profile;
mod scorer;

pub use messages::{Acknowledge, Alert, BlockAccount, ConfirmFraud, Notification, Transaction, UnblockAccount};
pub use notifier::{NOTIFIER_STATE, NotifierState};
pub use out::{ALERTS, NOTIFICATIONS, Out};
pub use profile::{PROFILE, Profile};
pub use scorer::Model;

use millpond_sdk::{Functions, with};

/// The functions, with their model, and the egress that their records go to.
pub fn functions(model: Model, out: Out) -> Functions {
    Functions::new()
        .bind("fraud/account", PROFILE, account::account)
        .bind("fraud/scorer", (), with(scorer::Scorer { model, out: out.clone() }, scorer::scorer))
        .bind("fraud/notifier", NOTIFIER_STATE, with(out, notifier::notifier))
}
