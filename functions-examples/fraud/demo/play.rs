//! The play: traffic, readers, a kill in the middle, and the end.
//!
//! Each account belongs to one sender, which sends one message behind the other and each until it is delivered: alerts
//! depend on the order of an account's messages, so a kill must not change it.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use millpond_fraud::{ALERTS, Acknowledge, NOTIFICATIONS};
use millpond_sdk::Value as _;
use millpond_stage::{Event, states};
use serde_json::Value;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::judge::{agrees, difference};
use crate::oracle::{self, Account, Expected, account_of};
use crate::report::{Outcome, Population, conclude};
use crate::screen::Screen;
use crate::stage::Stage;
use crate::traffic::Arrival;

/// Who reads a topic asks again after this long without news.
const WAIT: Duration = Duration::from_millis(500);
/// What the last messages have to take effect in.
const SETTLE: Duration = Duration::from_secs(30);
/// One notification of so many is not acknowledged, so that there are reminders to see.
const IGNORED: usize = 20;

/// What has happened so far.
#[derive(Default)]
pub struct Progress {
    sent: AtomicU64,
    /// How long it took until a message was delivered, in microseconds.
    delivered_us: Mutex<Vec<u64>>,
    /// When each transaction was first sent.
    sent_at: Mutex<HashMap<String, Instant>>,
    /// How long it took from a transaction to its alert, in microseconds.
    alert_us: Mutex<Vec<u64>>,
    alerts: Mutex<BTreeMap<String, Vec<Value>>>,
    notifications: Mutex<BTreeMap<String, Vec<Value>>>,
    alert_count: AtomicU64,
    notification_count: AtomicU64,
    reminders: AtomicU64,
}

/// Runs the demo; whether everything holds.
pub async fn play(populations: Vec<Population>, rate: f64, kafka: bool) -> anyhow::Result<bool> {
    let screen = Arc::new(Screen::new());
    let arrivals = Arc::new(merged(&populations));
    let episodes: usize = populations.iter().map(|(_, (_, episodes))| episodes).sum();
    screen.say("Millpond demo: card fraud, caught while it happens, through a kill -9\n");
    if kafka {
        screen.note("starting a Kafka broker");
    }
    let stage = Arc::new(Stage::open(kafka).await?);
    screen.say(&format!(
        "{} messages of {} accounts in {} made-up populations, with {episodes} episodes of fraud among late records,\n\
         repetitions, travellers, new phones and sofas. Functions in Rust, state on disk, {}.\n",
        arrivals.len(),
        count_accounts(&arrivals),
        populations.len(),
        stage.way.scene(),
    ));
    screen.note(&format!("functions and runtime are up, pid {}", stage.pid()));
    let progress = Arc::new(Progress::default());
    let began = Instant::now();
    let (over, _) = watch::channel(false);
    let mut readers = JoinSet::new();
    readers.spawn(read_alerts(stage.clone(), progress.clone(), screen.clone(), over.subscribe()));
    readers.spawn(read_notifications(stage.clone(), progress.clone(), over.subscribe()));
    let ticking = tokio::spawn(tick(stage.clone(), progress.clone(), screen.clone(), arrivals.len()));
    let mut senders = send_all(&stage, &progress, &arrivals, rate);

    // The half of the way, wherever that is.
    let half = arrivals.len() as u64 / 2;
    while progress.sent.load(Ordering::Relaxed) < half {
        tokio::select! {
            ended = senders.join_next() => ended.context("the senders ended early")???,
            () = tokio::time::sleep(Duration::from_millis(20)) => {}
        }
    }
    let killed = stage.pid();
    stage.kill().await?;
    screen.note(&format!("---- kill -9 {killed}: the runtime is gone, in the middle of everything"));
    let (took, recovered) = stage.restart().await?;
    let pid = stage.pid();
    screen
        .note(&format!("---- pid {pid} on the same folder, ready after {took} ms, {recovered} ms of them to recover"));
    while let Some(ended) = senders.join_next().await {
        ended??;
    }
    let sending = began.elapsed();
    ticking.abort();
    screen.still();
    screen.note("every message is sent; recomputing, and looking at the state of every account");

    let recomputing = arrivals.clone();
    let expected = tokio::task::spawn_blocking(move || oracle::recompute(&recomputing)).await??;
    wait_for_records(&progress, &expected, &mut readers).await?;
    let wrong = accounts_differ(&stage, &expected.accounts).await?;
    let counted = stage.counted().await?;
    let memory = stage.memory();
    let data_bytes = stage.installation.data_bytes();
    // What comes twice, comes late: one more look.
    tokio::time::sleep(WAIT * 2).await;
    over.send_replace(true);
    while let Some(ended) = readers.join_next().await {
        ended??;
    }
    let words = stage.way.words();
    let stage = Arc::into_inner(stage).context("nobody needs the stage any more")?;
    let closed = stage.close().await;

    let alerts = std::mem::take(&mut *lock(&progress.alerts));
    let notifications = std::mem::take(&mut *lock(&progress.notifications));
    let outcome = Outcome {
        messages: arrivals.len(),
        words,
        sending,
        alert_difference: difference(&alerts, &expected.alerts),
        notification_difference: difference(&notifications, &expected.notifications),
        state_difference: wrong,
        accounts: expected.accounts.len(),
        alerts,
        notifications: progress.notification_count.load(Ordering::Relaxed),
        reminders: progress.reminders.load(Ordering::Relaxed),
        delivered_us: std::mem::take(&mut *lock(&progress.delivered_us)),
        alert_us: std::mem::take(&mut *lock(&progress.alert_us)),
        counted,
        memory,
        data_bytes,
        closed: closed.err().map(|error| format!("{error:#}")),
    };
    Ok(conclude(&screen, &populations, outcome))
}

/// All populations at once, in the order of arrival.
fn merged(populations: &[Population]) -> Vec<Arrival> {
    let mut all: Vec<Arrival> = populations.iter().flat_map(|(_, (arrivals, _))| arrivals.clone()).collect();
    all.sort_by_key(Arrival::at);
    all
}

fn count_accounts(arrivals: &[Arrival]) -> usize {
    arrivals.iter().map(|arrival| &arrival.account).collect::<std::collections::BTreeSet<_>>().len()
}

/// Starts the senders. Message `i` is sent at its time, or when those of its sender before it are delivered.
fn send_all(
    stage: &Arc<Stage>,
    progress: &Arc<Progress>,
    arrivals: &Arc<Vec<Arrival>>,
    rate: f64,
) -> JoinSet<anyhow::Result<()>> {
    let mut sender_of = HashMap::new();
    let senders = stage.way.senders().min(count_accounts(arrivals));
    let mut shares = vec![Vec::new(); senders];
    for (index, arrival) in arrivals.iter().enumerate() {
        let next = sender_of.len() % senders;
        shares[*sender_of.entry(arrival.account.as_str()).or_insert(next)].push(index);
    }
    let mut senders = JoinSet::new();
    let start = Instant::now();
    for share in shares {
        let (stage, progress, arrivals) = (stage.clone(), progress.clone(), arrivals.clone());
        senders.spawn(async move {
            for index in share {
                tokio::time::sleep_until((start + Duration::from_secs_f64(index as f64 / rate)).into()).await;
                send(&stage, &progress, &arrivals[index], index).await?;
            }
            Ok(())
        });
    }
    senders
}

async fn send(stage: &Stage, progress: &Progress, arrival: &Arrival, index: usize) -> anyhow::Result<()> {
    if let Some(transaction) = &arrival.transaction {
        lock(&progress.sent_at).entry(format!("{}-{transaction}", arrival.account)).or_insert_with(Instant::now);
    }
    let event = Event {
        address: format!("fraud/account/{}", arrival.account),
        typename: arrival.typename,
        value: arrival.value.clone(),
        key: format!("message-{index}"),
    };
    let took = stage.way.deliver(&event).await?;
    lock(&progress.delivered_us).push(micros(took));
    progress.sent.fetch_add(1, Ordering::Relaxed);
    Ok(())
}

async fn read_alerts(
    stage: Arc<Stage>,
    progress: Arc<Progress>,
    screen: Arc<Screen>,
    over: watch::Receiver<bool>,
) -> anyhow::Result<()> {
    let mut records = stage.way.records(ALERTS)?;
    while !*over.borrow() {
        for record in records.next(WAIT).await? {
            let alert: Value = serde_json::from_str(&record)?;
            let id = alert["alertId"].as_str().context("an alert has an id")?;
            if let Some(sent) = lock(&progress.sent_at).get(id) {
                lock(&progress.alert_us).push(micros(sent.elapsed()));
            }
            progress.alert_count.fetch_add(1, Ordering::Relaxed);
            screen.alert(&format!(
                "ALERT {:<9} {:.2}  {}",
                alert["accountId"].as_str().unwrap_or_default(),
                alert["score"].as_f64().unwrap_or_default(),
                alert["explanation"].as_str().unwrap_or_default(),
            ));
            lock(&progress.alerts).entry(account_of(&alert)).or_default().push(alert);
        }
    }
    Ok(())
}

/// Reads notifications, and acknowledges most of them, as the people would for whom they are.
async fn read_notifications(
    stage: Arc<Stage>,
    progress: Arc<Progress>,
    over: watch::Receiver<bool>,
) -> anyhow::Result<()> {
    let mut records = stage.way.records(NOTIFICATIONS)?;
    let mut seen = 0;
    while !*over.borrow() {
        for record in records.next(WAIT).await? {
            let notification: Value = serde_json::from_str(&record)?;
            if notification["reminder"] != 0 {
                progress.reminders.fetch_add(1, Ordering::Relaxed);
                continue;
            }
            progress.notification_count.fetch_add(1, Ordering::Relaxed);
            seen += 1;
            let id = notification["notificationId"].as_str().context("a notification has an id")?.to_owned();
            let account = account_of(&notification);
            lock(&progress.notifications).entry(account.clone()).or_default().push(notification);
            if seen % IGNORED != 0 {
                let event = Event {
                    address: format!("fraud/notifier/{account}"),
                    typename: Acknowledge::TYPENAME,
                    key: format!("acknowledge-{id}"),
                    value: serde_json::to_string(&Acknowledge { notification_id: id })?,
                };
                stage.way.deliver(&event).await?;
            }
        }
    }
    Ok(())
}

/// Keeps the live line alive.
async fn tick(stage: Arc<Stage>, progress: Arc<Progress>, screen: Arc<Screen>, total: usize) {
    let mut sent_before = 0;
    let mut before = Instant::now();
    let mut seen = 0;
    loop {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let sent = progress.sent.load(Ordering::Relaxed);
        let rate = (sent - sent_before) as f64 / before.elapsed().as_secs_f64();
        (sent_before, before) = (sent, Instant::now());
        let mut lately: Vec<u64> = {
            let all = lock(&progress.delivered_us);
            let lately = all[seen.min(all.len())..].to_vec();
            seen = all.len();
            lately
        };
        let latency = match stage.pid() {
            0 => "the runtime is away".to_owned(),
            _ => format!(
                "{} in {:.1} ms (p50), {:.1} ms (p99)",
                stage.way.delivered(),
                percentile(&mut lately, 50),
                percentile(&mut lately, 99)
            ),
        };
        let alerts = progress.alert_count.load(Ordering::Relaxed);
        screen.live(&format!("{sent} of {total} messages, {rate:.0} a second, {latency}, {alerts} alerts"));
    }
}

async fn wait_for_records(
    progress: &Progress,
    expected: &Expected,
    readers: &mut JoinSet<anyhow::Result<()>>,
) -> anyhow::Result<()> {
    let alerts: usize = expected.alerts.values().map(Vec::len).sum();
    let notifications: usize = expected.notifications.values().map(Vec::len).sum();
    let deadline = Instant::now() + SETTLE;
    loop {
        let found = progress.alert_count.load(Ordering::Relaxed) as usize;
        let notified = progress.notification_count.load(Ordering::Relaxed) as usize;
        // What is missing then, the checks will say.
        if (found >= alerts && notified >= notifications) || Instant::now() > deadline {
            return Ok(());
        }
        tokio::select! {
            Some(ended) = readers.join_next() => ended??,
            () = tokio::time::sleep(Duration::from_millis(50)) => {}
        }
    }
}

/// Compares the state of every account with its recomputation; the first difference, in words.
async fn accounts_differ(stage: &Stage, accounts: &[Account]) -> anyhow::Result<Option<String>> {
    for account in accounts {
        let deadline = Instant::now() + SETTLE;
        loop {
            let (profile, notifier) = kept(stage, &account.account).await?;
            // An account without an alert has no notifier.
            let quiet = notifier.is_null() && account.notifier["notified"] == 0;
            if agrees(&profile, &account.profile) && (quiet || agrees(&notifier, &account.notifier)) {
                break;
            }
            // The last messages may still be on their way, but not for long.
            if Instant::now() > deadline {
                let Account { account, profile: wanted, notifier: wanted_too } = account;
                return Ok(Some(format!("{account} keeps\n{profile}\n{notifier}\nand not\n{wanted}\n{wanted_too}")));
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    Ok(None)
}

/// What `fraud/account` and `fraud/notifier` of an account keep, by the admin API.
async fn kept(stage: &Stage, account: &str) -> anyhow::Result<(Value, Value)> {
    let admin = stage.admin();
    let mut profile = states(&stage.client, &admin, "fraud/account", account).await?;
    let mut notifier = states(&stage.client, &admin, "fraud/notifier", account).await?;
    Ok((profile.remove("profile").unwrap_or_default(), notifier.remove("notifier").unwrap_or_default()))
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().expect("nobody panics with a lock")
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// In milliseconds; sorts what it is given.
pub fn percentile(values: &mut [u64], percent: usize) -> f64 {
    values.sort_unstable();
    let at = (values.len() * percent / 100).min(values.len().saturating_sub(1));
    values.get(at).map_or(0.0, |us| *us as f64 / 1000.0)
}
