//! The promise: every transaction that a client got a 200 for counts once, through any number of `kill -9`.
//!
//! Clients send per-account streams, many accounts at once, and send again with the same key until they get a 200.
//! The runtime is killed at three moments that a seed picks; afterwards some clients, who missed their 200, send old
//! transactions again. Balances, counts and the records about overdrawn accounts must be exactly those of the oracle. With `MILLPOND_REPLAY_CSV` the transactions come from that file.

use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use reqwest::{Client, StatusCode};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::functions::Functions;
use crate::http::{self, Event};
use crate::oracle;
use crate::runtime::{Installation, Runtime};
use crate::transactions::{self, Random, Transaction};
use crate::wait::eventually;

const CLIENTS: usize = 64;
const KILLS: u64 = 3;
const SEED: u64 = 20_260_101;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replay_is_exact_through_three_kills() {
    let Some(functions) = Functions::start("balance") else {
        return;
    };
    let _turn = crate::HEAVY.lock().await;
    let transactions = match std::env::var_os("MILLPOND_REPLAY_CSV") {
        Some(path) => transactions::read_csv(Path::new(&path)),
        None => transactions::generate(SEED, 3_000, 100),
    };
    let installation = Installation::new(&functions.module());
    let mut runtime = installation.start();

    let delivery = Delivery::new(&transactions, runtime.field("ingress"));
    crate::report(format_args!(
        "replay: {} transactions of {} accounts, {CLIENTS} clients, {KILLS} kills, seed {SEED}",
        transactions.len(),
        delivery.accounts()
    ));
    let started = Instant::now();
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        clients.spawn(delivery.clone().deliver());
    }

    let mut random = Random(SEED);
    let total = transactions.len() as u64;
    for kill in 1..=KILLS {
        // Somewhere in its own fourth of the way, so that work lies before and behind each kill.
        let moment = total * kill / (KILLS + 1) + random.below(total / (2 * (KILLS + 1)));
        delivery.reaches(moment, &mut clients).await;
        delivery.ingress.send_replace(None);
        runtime.kill();
        runtime = installation.start();
        delivery.ingress.send_replace(Some(runtime.field("ingress").to_owned()));
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
    let repeats = delivery.repeat(&transactions).await;

    let client = http::client();
    let accounts = oracle::accounts(&transactions);
    balances_are_exact(&client, &runtime, &accounts).await;
    let settled = started.elapsed();
    records_are_exact(&client, &runtime, &accounts).await;
    // Once more: an effect that came twice would have come by now.
    balances_are_exact(&client, &runtime, &accounts).await;
    assert_eq!(runtime.terminate().code(), Some(0), "exit after SIGTERM");

    crate::report(format_args!(
        "replay: exact: accounts={} events={total} kills={KILLS} resends={} repeats={repeats} acknowledged_s={:.1} settled_s={:.1} events_per_s={:.0}",
        accounts.len(),
        delivery.progress.borrow().resends,
        acknowledged.as_secs_f64(),
        settled.as_secs_f64(),
        total as f64 / settled.as_secs_f64(),
    ));
}

/// What all clients share: what is left to send, where to, and how far they are.
#[derive(Clone)]
struct Delivery {
    client: Client,
    queue: Arc<Mutex<Queue>>,
    /// `None` while the runtime is down.
    ingress: watch::Sender<Option<String>>,
    progress: watch::Sender<Progress>,
}

#[derive(Clone, Copy, Default)]
struct Progress {
    acknowledged: u64,
    resends: u64,
}

/// The transactions of each account in order, and the accounts that no client is busy with, earliest transaction first.
#[derive(Default)]
struct Queue {
    accounts: BTreeMap<String, VecDeque<(usize, Transaction)>>,
    idle: BTreeMap<usize, String>,
}

impl Queue {
    fn new(transactions: &[Transaction]) -> Queue {
        let mut queue = Queue::default();
        for (position, transaction) in transactions.iter().enumerate() {
            let account = queue.accounts.entry(transaction.account.clone()).or_default();
            if account.is_empty() {
                queue.idle.insert(position, transaction.account.clone());
            }
            account.push_back((position, transaction.clone()));
        }
        queue
    }

    /// The earliest transaction of an account that no client is busy with.
    fn take(&mut self) -> Option<Transaction> {
        let (_, name) = self.idle.pop_first()?;
        let account = self.accounts.get_mut(&name)?;
        account.pop_front().map(|(_, transaction)| transaction)
    }

    /// The account's transaction in hand is acknowledged: its next one may go.
    fn done(&mut self, name: &str) {
        if let Some((position, _)) = self.accounts.get(name).and_then(VecDeque::front) {
            self.idle.insert(*position, name.to_owned());
        }
    }
}

impl Delivery {
    fn new(transactions: &[Transaction], ingress: &str) -> Delivery {
        Delivery {
            client: http::client(),
            queue: Arc::new(Mutex::new(Queue::new(transactions))),
            ingress: watch::Sender::new(Some(ingress.to_owned())),
            progress: watch::Sender::new(Progress::default()),
        }
    }

    fn accounts(&self) -> usize {
        self.queue.lock().expect("no client panics with it").accounts.len()
    }

    /// One client: takes transactions until none is left.
    async fn deliver(self) {
        let mut progress = self.progress.subscribe();
        loop {
            let taken = self.queue.lock().expect("no client panics with it").take();
            let Some(transaction) = taken else {
                // Every account left is in another client's hands; it may come back with more, or this was the end.
                let left = self
                    .queue
                    .lock()
                    .expect("no client panics with it")
                    .accounts
                    .values()
                    .any(|account| !account.is_empty());
                if !left || progress.changed().await.is_err() {
                    return;
                }
                continue;
            };
            self.send(&transaction).await;
            self.queue.lock().expect("no client panics with it").done(&transaction.account);
            self.progress.send_modify(|progress| progress.acknowledged += 1);
        }
    }

    /// Sends one transaction until it is acknowledged, always with the same key.
    async fn send(&self, transaction: &Transaction) {
        let event = event(transaction);
        let mut ingress = self.ingress.subscribe();
        loop {
            let address = match ingress.wait_for(Option::is_some).await {
                Ok(address) => address.clone().expect("it was waited for"),
                Err(_) => return,
            };
            match http::put(&self.client, &address, &event).await {
                Ok(answer) if answer.status() == StatusCode::OK => return,
                Ok(answer) if answer.status() == StatusCode::SERVICE_UNAVAILABLE => {
                    let seconds =
                        answer.headers().get("Retry-After").and_then(|value| value.to_str().ok()?.parse().ok());
                    tokio::time::sleep(Duration::from_secs(seconds.unwrap_or(1))).await;
                }
                Ok(answer) => panic!("transaction {} was answered {}", transaction.id, answer.status()),
                // Nobody knows whether it counts: the same key again, as soon as there is somebody to ask.
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
            self.progress.send_modify(|progress| progress.resends += 1);
        }
    }

    /// Sends every twentieth transaction again, with its old key: from before, between and after the kills.
    async fn repeat(&self, transactions: &[Transaction]) -> usize {
        let old: Vec<&Transaction> = transactions.iter().step_by(20).collect();
        for transaction in &old {
            self.send(transaction).await;
        }
        old.len()
    }

    /// Waits until so many are acknowledged, or a client fails. Says every now and then how far they are.
    async fn reaches(&self, count: u64, clients: &mut JoinSet<()>) {
        let mut progress = self.progress.subscribe();
        let mut said = Instant::now();
        loop {
            let acknowledged = progress.borrow_and_update().acknowledged;
            if acknowledged >= count {
                return;
            }
            if said.elapsed() > Duration::from_secs(15) {
                said = Instant::now();
                crate::report(format_args!("replay: {acknowledged} acknowledged"));
            }
            tokio::select! {
                changed = tokio::time::timeout(crate::wait::DEADLINE, progress.changed()) => {
                    changed.unwrap_or_else(|_| panic!("no transaction was acknowledged for {:?}", crate::wait::DEADLINE)).expect("the sender is ours");
                }
                Some(ended) = clients.join_next() => ended.expect("a client that was never refused"),
            }
        }
    }
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
