//! The promise: every transaction that a client got a 200 for counts once, through any number of `kill -9`.
//!
//! Clients send per-account streams, many accounts at once, and send again with the same key until they get a 200.
//! The runtime is killed at three moments that a seed picks; afterwards some clients, who missed their 200, send old
//! transactions again. Balances, counts and the records about overdrawn accounts must be exactly those of the oracle.
//! With `MILLPOND_REPLAY_CSV` the transactions come from that file.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

use reqwest::Client;
use tokio::task::JoinSet;

use crate::delivery::Delivery;
use crate::functions::Functions;
use crate::http::{self, Event};
use crate::oracle;
use crate::runtime::{Installation, Runtime};
use crate::transactions::{self, Random, Transaction};
use crate::wait::eventually;

const CLIENTS: usize = 64;
const KILLS: u64 = 3;
const SEED: u64 = 20_260_101;

/// The seed of this run; `MILLPOND_REPLAY_SEED` gives another.
fn seed() -> u64 {
    let given = std::env::var("MILLPOND_REPLAY_SEED").ok();
    given.map_or(SEED, |text| text.parse().expect("MILLPOND_REPLAY_SEED is a number"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replay_is_exact_through_three_kills() {
    let Some(functions) = Functions::start("balance") else {
        return;
    };
    let _turn = crate::HEAVY.lock().await;
    let seed = seed();
    let transactions = match std::env::var_os("MILLPOND_REPLAY_CSV") {
        Some(path) => transactions::read_csv(Path::new(&path)),
        None => transactions::generate(seed, 3_000, 100),
    };
    let accounts = oracle::accounts(&transactions);
    crate::report(format_args!(
        "replay: seed {seed}: {} transactions of {} accounts, {CLIENTS} clients, {KILLS} kills",
        transactions.len(),
        accounts.len()
    ));

    let installation = Installation::new(&functions.module());
    let mut runtime = installation.start();
    let events: Vec<Event> = transactions.iter().map(event).collect();
    let delivery = Delivery::new(&events, runtime.field("ingress"));
    let started = Instant::now();
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        clients.spawn(delivery.clone().deliver());
    }

    let mut random = Random(seed);
    let total = transactions.len() as u64;
    for kill in 1..=KILLS {
        // Somewhere in its own fourth of the way, so that work lies before and behind each kill.
        let moment = total * kill / (KILLS + 1) + random.below(total / (2 * (KILLS + 1)));
        delivery.reaches(moment, &mut clients).await;
        delivery.interrupt();
        runtime.kill();
        runtime = installation.start();
        delivery.resume(runtime.field("ingress"));
        crate::report(format_args!(
            "replay: killed at {moment} acknowledged, back with recovered_ms={}",
            runtime.field("recovered_ms")
        ));
    }
    delivery.reaches(total, &mut clients).await;
    while let Some(ended) = clients.join_next().await {
        ended.expect("a client that was never refused");
    }
    let acknowledged = started.elapsed();

    let client = http::client();
    balances_are_exact(&client, &runtime, &accounts).await;
    let settled = started.elapsed();
    let repeats = delivery.repeat(&events).await;
    records_are_exact(&client, &runtime, &accounts).await;
    // Once more: an effect that came twice would have come by now.
    balances_are_exact(&client, &runtime, &accounts).await;
    runtime.terminate();

    crate::report(format_args!(
        "replay: exact accounts={} events={total} kills={KILLS} resends={} repeats={repeats} \
         acknowledged_s={:.1} settled_s={:.1} events_per_s={:.0}",
        accounts.len(),
        delivery.resends(),
        acknowledged.as_secs_f64(),
        settled.as_secs_f64(),
        total as f64 / settled.as_secs_f64(),
    ));
}

fn event(transaction: &Transaction) -> Event {
    let kind = if transaction.credit { "credit" } else { "debit" };
    Event {
        function: "bank/account",
        id: transaction.account.clone(),
        value_type: "bank.types/Transaction",
        value: serde_json::json!({ "type": kind, "amount": transaction.amount }).to_string(),
        key: format!("transaction-{}", transaction.id),
    }
}

/// Waits for each account to have seen all its transactions, then compares its balance.
async fn balances_are_exact(client: &Client, runtime: &Runtime, accounts: &BTreeMap<String, oracle::Account>) {
    for (name, expected) in accounts {
        let address = format!("bank/account/{name}");
        let (balance, transactions) = eventually(&format!("all transactions of account {name}"), async || {
            let states = http::states(client, runtime, &address).await;
            let transactions = http::integer(states.get("transactions")).unwrap_or(0);
            let balance = http::integer(states.get("balance_cents")).unwrap_or(0);
            (transactions >= expected.transactions).then_some((balance, transactions))
        })
        .await;
        assert_eq!(transactions, expected.transactions, "transactions of account {name}");
        assert_eq!(balance, expected.balance_cents, "balance of account {name}, in cents");
    }
}

/// Each account's records on topic `overdrawn` are there once, in order.
async fn records_are_exact(client: &Client, runtime: &Runtime, accounts: &BTreeMap<String, oracle::Account>) {
    let count = accounts.values().map(|account| account.overdrawn.len()).sum();
    let records = http::read_at_least(client, runtime, "overdrawn", count).await;
    for (name, account) in accounts {
        let prefix = format!("account {name} at ");
        let found: Vec<&String> =
            records.iter().map(|record| &record.payload).filter(|payload| payload.starts_with(&prefix)).collect();
        assert_eq!(found, account.overdrawn.iter().collect::<Vec<_>>(), "records about account {name}");
    }
    assert_eq!(records.len(), count, "records about overdrawn accounts");
    crate::report(format_args!("replay: {count} records about overdrawn accounts, each once"));
}
