//! What must come out, computed by one map on one thread, without any runtime.

use std::collections::BTreeMap;

use crate::transactions::Transaction;

/// An account after all its transactions.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Account {
    pub balance_cents: i64,
    pub transactions: i64,
    /// What topic `overdrawn` says about it, in order.
    pub overdrawn: Vec<String>,
}

/// Every account after all transactions, in the order given.
pub fn accounts(transactions: &[Transaction]) -> BTreeMap<String, Account> {
    let mut accounts: BTreeMap<String, Account> = BTreeMap::new();
    for transaction in transactions {
        let account = accounts.entry(transaction.account.clone()).or_default();
        let before = account.balance_cents;
        account.balance_cents += transaction.cents();
        account.transactions += 1;
        if account.balance_cents < 0 && before >= 0 {
            let cents = account.balance_cents;
            account.overdrawn.push(format!("account {} at {cents} cents", transaction.account));
        }
    }
    accounts
}
