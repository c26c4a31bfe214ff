//! `fraud/account`: one instance for each account judges its transactions, in the order in which they come.
//!
//! In: transactions, feedback, blocks. Out: every hit, with all features, to `fraud/scorer` of the same id.
//! State: the profile. A message that makes no sense is counted and never an error: an error would hold up the account.

use millpond_sdk::{Context, Message, Result, Value};

use crate::judge::{euro_cents, judge};
use crate::messages::{BlockAccount, ConfirmFraud, Hit, Transaction, UnblockAccount};
use crate::profile::{PROFILE, Profile, Recorded};

const RISK_MAX: i64 = 5;
const TIMESTAMP_MAX: i64 = 1_000_000_000_000_000;

pub(crate) async fn account(context: &mut Context, message: Message) -> Result {
    let mut profile = context.get(PROFILE)?.unwrap_or_default();
    match message.typename() {
        Transaction::TYPENAME => match message.value().ok().and_then(valid) {
            Some((transaction, cents)) => {
                if let Some(hit) = profile.handle(&transaction, cents) {
                    context.send(("fraud/scorer", context.id()), &hit)?;
                }
            }
            None => profile.invalid += 1,
        },
        ConfirmFraud::TYPENAME => match message.value::<ConfirmFraud>() {
            Ok(feedback) if feedback.fraud => profile.risk = (profile.risk + 1).min(RISK_MAX),
            Ok(_) => profile.risk = (profile.risk - 1).max(0),
            Err(_) => profile.invalid += 1,
        },
        BlockAccount::TYPENAME => profile.blocked = true,
        UnblockAccount::TYPENAME => profile.blocked = false,
        _ => profile.invalid += 1,
    }
    Ok(context.set(PROFILE, &profile)?)
}

fn valid(transaction: Transaction) -> Option<(Transaction, i64)> {
    let cents = euro_cents(transaction.amount, &transaction.currency)?;
    (0..=TIMESTAMP_MAX).contains(&transaction.timestamp).then_some((transaction, cents))
}

impl Profile {
    fn handle(&mut self, transaction: &Transaction, cents: i64) -> Option<Hit> {
        if self.is_too_late(transaction.timestamp) {
            self.too_late += 1;
            return None;
        }
        if self.has(&transaction.transaction_id) {
            self.repeated += 1;
            return None;
        }
        if self.blocked {
            self.declined += 1;
            return None;
        }
        self.judged += 1;
        let judgement = judge(self, transaction, cents);
        let Transaction { transaction_id, timestamp, device_id, lat, lon, .. } = transaction;
        self.record(Recorded(transaction_id.clone(), *timestamp, cents, *lat, *lon), device_id);

        let (rules, words): (Vec<_>, Vec<_>) = judgement.hits.into_iter().unzip();
        (!rules.is_empty()).then(|| Hit {
            transaction_id: transaction_id.clone(),
            timestamp: *timestamp,
            rules: rules.into_iter().map(str::to_owned).collect(),
            explanation: words.join("; "),
            features: judgement.features,
        })
    }
}
