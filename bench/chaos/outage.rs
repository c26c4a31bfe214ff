//! The story of `make outage`: events come over HTTP at a steady rate, each makes many records for Kafka, and the broker is
//! away for longer than a transaction may last. The outbox grows to its bound, then events are held back; nothing is lost,
//! memory stays within its limits, and everything is as before soon after the broker is back.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use millpond_stage::{Delivery, Event, Installation, Process};
use rdkafka::message::Message as _;
use tokio::task::JoinSet;

use crate::clients::Kafka;
use crate::cluster::Cluster;
use crate::functions::{BURST, SEEN, Server};
use crate::report::{Findings, say};
use crate::{APP, BURSTS};

/// How much of it.
#[derive(Debug, Clone, Copy)]
pub struct Outage {
    /// Seconds for which the broker is away.
    pub seconds: u64,
    /// Events a second.
    pub rate: u64,
}

/// Each sends its events one behind the other, under an id of its own.
const CLIENTS: u64 = 32;
/// Records of one egress that may wait (docs/kafka.md).
const BOUND: f64 = 1_048_576.0;
/// What the engine's and the ledger's limits add up to, in MiB: 256 of invocations and 64 of addresses that wait, 64 of
/// addresses that are idle, 64 of changes before a checkpoint (8 in each of 8), 72 of RocksDB.
const LIMITS_MIB: u64 = 256 + 64 + 64 + 64 + 72;
/// What else a process may have.
const BESIDE_MIB: u64 = 64;
/// Before the outage, and behind the return of the broker.
const STEADY: Duration = Duration::from_secs(15);
/// In so much time behind its return all is as it was.
const RETURN: Duration = Duration::from_secs(30);
/// Lines of the log that tell it.
const LINES: usize = 10;

/// What clients and watchers share.
#[derive(Debug, Default)]
struct Flow {
    accepted: AtomicU64,
    over: AtomicBool,
}

/// What the node said of itself, and the system of it.
#[derive(Debug, Default, Clone, Copy)]
struct Gauges {
    waiting: f64,
    waiting_max: f64,
    paused: bool,
    was_paused: bool,
}

/// Plays it and judges it. `program` serves functions when it is called with `serve --port PORT`.
///
/// # Errors
/// When something does not happen at all: a process does not start or ends, or nothing is seen any more.
pub async fn run(outage: Outage, program: &Path) -> anyhow::Result<Findings> {
    let mut cluster = Cluster::start(1)?;
    let kafka = Kafka::new(cluster.address(), 12);
    kafka.make(&[BURSTS]).await?;
    let mut installation = Installation::new(&Installation::binary())?;
    installation.keep(true);
    say(format_args!("logs are in {} unless all goes well", installation.folder().display()));
    let log = installation.folder().join("runtime.log");
    let server = Server::start(program, installation.folder().join("functions.log"))?;
    installation.install(&module(&server, &cluster), "")?;
    let runtime = tokio::task::block_in_place(|| installation.start_with(&["--app", APP]))?;
    let (fields, client) = (runtime.fields(), millpond_stage::client());
    let (flow, mut clients) = (Arc::<Flow>::default(), JoinSet::new());
    let delivery = Delivery::new(client.clone(), &fields["ingress"]);
    for number in 0..CLIENTS {
        clients.spawn(send(number, outage.rate, delivery.clone(), flow.clone()));
    }
    let mut watch =
        Watch { client: client.clone(), admin: fields["admin"].clone(), runtime, gauges: Gauges::default() };

    say(format_args!("outage: {} events/s, each {BURST} records", outage.rate));
    let before = watch.rate_over(&flow, STEADY).await?;
    let memory_before = watch.runtime.memory().0 >> 20;
    let lines_before = lines(&log);
    tokio::task::block_in_place(|| cluster.stop())?;
    say(format_args!("the broker is away; {before:.0} events/s before, {memory_before} MiB"));
    let away = Instant::now();
    let mut paused_after = None;
    while away.elapsed() < Duration::from_secs(outage.seconds) {
        watch.look().await?;
        if watch.gauges.paused && paused_after.is_none() {
            paused_after = Some(away.elapsed());
            say(format_args!(
                "intake pauses after {} s, {} records wait",
                away.elapsed().as_secs(),
                watch.gauges.waiting
            ));
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    let memory_away = watch.runtime.memory().1 >> 20;
    say(format_args!("{} records wait, {memory_away} MiB; the broker comes back", watch.gauges.waiting));
    tokio::task::block_in_place(|| cluster.start_again())?;
    let back = Instant::now();
    let (mut full_after, mut empty_after) = (None, None);
    while back.elapsed() < RETURN * 4 && (full_after.is_none() || empty_after.is_none()) {
        let rate = watch.rate_over(&flow, Duration::from_secs(2)).await?;
        if rate >= before * 0.95 {
            full_after.get_or_insert(back.elapsed());
        }
        // What is published within a second is nothing that is left over.
        if watch.gauges.waiting <= (outage.rate * BURST) as f64 {
            empty_after.get_or_insert(back.elapsed());
        }
        say(format_args!(
            "{:>3} s  {rate:.0} events/s, {} records wait",
            back.elapsed().as_secs(),
            watch.gauges.waiting
        ));
    }
    tokio::time::sleep(RETURN.saturating_sub(back.elapsed())).await;
    let told = lines(&log) - lines_before;
    flow.over.store(true, Ordering::Relaxed);
    let mut sent = vec![0; CLIENTS as usize];
    while let Some(ended) = clients.join_next().await {
        let (number, count) = ended??;
        sent[number as usize] = count;
    }
    say("all events are delivered; reading the topic");
    let all = sent.iter().sum::<u64>() * BURST;
    watch.until_empty().await?;
    let seen = tokio::task::block_in_place(|| read(&kafka, all))?;
    let exact = (0..CLIENTS as usize).all(|number| seen[number] == sent[number] * BURST);
    let mut states = true;
    for number in 0..CLIENTS {
        let found = millpond_stage::states(&client, &watch.admin, "chaos/burst", &id(number)).await?;
        states &= found.get(SEEN.name()).and_then(serde_json::Value::as_u64) == Some(sent[number as usize]);
    }
    let (gauges, memory) = (watch.gauges, watch.runtime.memory().1 >> 20);
    tokio::task::block_in_place(|| watch.runtime.terminate())?;

    let seconds = |time: Option<Duration>| time.map_or("never".to_owned(), |time| format!("{:.1}", time.as_secs_f64()));
    let within = |time: Option<Duration>| time.is_some_and(|time| time <= RETURN);
    let mut findings = Findings::default();
    findings.figure("broker away, s", format_args!("{} (transactions last 30 s)", outage.seconds));
    findings.figure("events a second before", format_args!("{before:.0}, {:.0} records", before * BURST as f64));
    findings.figure("memory before, MiB", memory_before);
    findings.figure("memory at the end of the outage, highest, MiB", memory_away);
    let limit = LIMITS_MIB + BESIDE_MIB;
    findings.promise("memory, highest, MiB", memory, &format!("limits and {BESIDE_MIB}: {limit}"), memory <= limit);
    let bound = gauges.waiting_max >= BOUND && gauges.waiting_max < BOUND * 1.1;
    findings.promise("outbox, most records", gauges.waiting_max, "its bound, 1048576", bound);
    findings.promise("intake paused, s after it began", seconds(paused_after), "seen in /metrics", gauges.was_paused);
    findings.promise("events at full rate, s after its return", seconds(full_after), "30", within(full_after));
    findings.figure("outbox empty, s after its return", seconds(empty_after));
    findings.promise("lines in the log", told, "under 10", told < LINES);
    findings.promise("records, each key", all, "1..n, once, in order", exact);
    findings.promise("states, each key", if states { "exact" } else { "wrong" }, "as many as were sent", states);
    for line in std::fs::read_to_string(&log)?.lines().skip(lines_before).take(told) {
        say(line);
    }
    installation.keep(!findings.broken().is_empty());
    Ok(findings)
}

fn id(client: u64) -> String {
    format!("client-{client}")
}

/// One client: an event whenever it is time, until it is over. How many were accepted.
async fn send(client: u64, rate: u64, delivery: Delivery, flow: Arc<Flow>) -> anyhow::Result<(u64, u64)> {
    let mut ticks = tokio::time::interval(Duration::from_micros(1_000_000 * CLIENTS / rate));
    // An event that was held back is no reason to send more of them afterwards.
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut count = 0;
    while !flow.over.load(Ordering::Relaxed) {
        ticks.tick().await;
        let event = Event {
            address: format!("chaos/burst/{}", id(client)),
            typename: "chaos.types/Number",
            value: (count + 1).to_string(),
            key: format!("{client} {count}"),
        };
        delivery.deliver(&event).await?;
        count += 1;
        flow.accepted.fetch_add(1, Ordering::Relaxed);
    }
    Ok((client, count))
}

/// Looks at the node.
struct Watch {
    client: reqwest::Client,
    admin: String,
    runtime: Process,
    gauges: Gauges,
}

impl Watch {
    async fn look(&mut self) -> anyhow::Result<()> {
        let url = format!("http://{}/metrics", self.admin);
        let text = millpond_stage::get(&self.client, &url).await.context("the node is gone")?.unwrap_or_default();
        let gauges = &mut self.gauges;
        gauges.waiting = millpond_stage::metric(&text, "millpond_egress_records", "");
        gauges.waiting_max = gauges.waiting_max.max(gauges.waiting);
        gauges.paused = millpond_stage::metric(&text, "millpond_intake_paused", "") > 0.0;
        gauges.was_paused |= gauges.paused;
        Ok(())
    }

    /// Events a second over this time.
    async fn rate_over(&mut self, flow: &Flow, time: Duration) -> anyhow::Result<f64> {
        let (began, before) = (Instant::now(), flow.accepted.load(Ordering::Relaxed));
        tokio::time::sleep(time).await;
        let count = flow.accepted.load(Ordering::Relaxed) - before;
        let rate = count as f64 / began.elapsed().as_secs_f64();
        self.look().await?;
        Ok(rate)
    }

    /// Until nothing waits for Kafka.
    async fn until_empty(&mut self) -> anyhow::Result<()> {
        let began = Instant::now();
        while self.gauges.waiting > 0.0 {
            ensure!(began.elapsed() < Duration::from_secs(120), "{} records still wait", self.gauges.waiting);
            tokio::time::sleep(Duration::from_millis(100)).await;
            self.look().await?;
        }
        Ok(())
    }
}

/// The last number of each key, once so many records are read.
fn read(kafka: &Kafka, all: u64) -> anyhow::Result<Vec<u64>> {
    let consumer = kafka.consumer(&[BURSTS])?;
    let (mut last, mut count, mut heard) = (vec![0; CLIENTS as usize], 0, Instant::now());
    // A moment longer than needed: one record too many would come then.
    while count < all || heard.elapsed() < Duration::from_secs(3) {
        match consumer.poll(Duration::from_millis(100)) {
            Some(Ok(message)) => {
                let text = |bytes: Option<&[u8]>| String::from_utf8_lossy(bytes.unwrap_or_default()).into_owned();
                let (key, value) = (text(message.key()), text(message.payload()));
                let place: usize = key.strip_prefix("client-").context("a key of ours")?.parse()?;
                let last = last.get_mut(place).context("a key of ours")?;
                ensure!(value == (*last + 1).to_string(), "`{value}` comes behind {last} under `{key}`");
                *last += 1;
                count += 1;
                heard = Instant::now();
            }
            _ => ensure!(heard.elapsed() < Duration::from_secs(60), "{count} of {all} records are there"),
        }
    }
    Ok(last)
}

fn lines(log: &Path) -> usize {
    std::fs::read_to_string(log).unwrap_or_default().lines().count()
}

fn module(server: &Server, cluster: &Cluster) -> String {
    format!(
        "kind: io.statefun.endpoints.v2/http
spec:
  functions: chaos/burst
  urlPathTemplate: {url}
  transport:
    type: io.statefun.transports.v1/async
---
kind: io.statefun.playground.v1/ingress
spec:
  port: 0
---
kind: io.statefun.kafka.v1/egress
spec:
  id: chaos/out
  address: {address}
  deliverySemantic:
    type: exactly-once
    transactionTimeout: 30sec
",
        url = server.url(),
        address = cluster.address(),
    )
}
