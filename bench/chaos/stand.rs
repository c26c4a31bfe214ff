//! One application under load: broker, function servers, runtime, sender, reader.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use millpond_stage::{Installation, Process};

use crate::clients::Kafka;
use crate::cluster::Cluster;
use crate::functions::{SEEN, Server};
use crate::judge::{Follower, Seen, expected, read_all, records};
use crate::report::{Findings, say};
use crate::sender::{Sender, key};
use crate::{APP, COUNTS, NUMBERS, QUARTERS};

/// What an application is made of.
#[derive(Debug, Clone)]
pub struct Shape {
    /// Keys that numbers are sent under.
    pub keys: u64,
    /// Partitions of each topic.
    pub partitions: i32,
    /// Records a second.
    pub rate: u64,
    /// Nodes of the broker: 1 or 3.
    pub nodes: usize,
}

/// All of it, running.
pub struct Stand {
    /// What it is made of.
    pub shape: Shape,
    /// The broker.
    pub cluster: Cluster,
    /// The way to it.
    pub kafka: Kafka,
    /// Of `chaos/counter`, and of `chaos/quarter`.
    pub servers: [Server; 2],
    /// When it began.
    pub began: Instant,
    /// Highest resident memory of the runtime so far, in bytes.
    pub memory_max: u64,
    /// Longest start of the runtime so far.
    pub start_max: Duration,
    installation: Installation,
    runtime: Option<Process>,
    sender: Sender,
    follower: Follower,
}

/// How long nothing may come while everything runs.
const SILENCE: Duration = Duration::from_secs(120);

impl Stand {
    /// Starts everything. `program` serves functions when it is called with `serve --port PORT`.
    pub async fn start(shape: Shape, program: &Path) -> anyhow::Result<Stand> {
        let mut installation = Installation::new(&Installation::binary())?;
        installation.keep(true);
        say(format_args!("logs are in {} unless all goes well", installation.folder().display()));
        let log = |name: &str| installation.folder().join(name);
        let servers = [Server::start(program, log("counter.log"))?, Server::start(program, log("quarter.log"))?];
        let cluster = Cluster::start(shape.nodes)?;
        let kafka = Kafka::new(cluster.address(), shape.partitions);
        kafka.make(&[NUMBERS, COUNTS, QUARTERS]).await?;
        installation.install(&module(&servers, &cluster), "")?;
        let runtime = start(&installation)?;
        let follower = Follower::start(&kafka, shape.keys)?;
        let sender = Sender::start(&kafka, shape.rate, shape.keys)?;
        let start_max = runtime.ready_after;
        Ok(Stand {
            shape,
            cluster,
            kafka,
            servers,
            began: Instant::now(),
            memory_max: 0,
            start_max,
            installation,
            runtime: Some(runtime),
            sender,
            follower,
        })
    }

    /// Records that were sent, and records that were seen.
    pub fn progress(&self) -> (u64, u64) {
        (self.sender.sent(), self.follower.records())
    }

    /// `kill -9` for the runtime.
    pub fn kill(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            self.memory_max = self.memory_max.max(runtime.memory().1);
            runtime.kill();
        }
    }

    /// It is started, and waited for.
    pub fn start_runtime(&mut self) -> anyhow::Result<()> {
        let runtime = start(&self.installation)?;
        self.start_max = self.start_max.max(runtime.ready_after);
        self.runtime = Some(runtime);
        Ok(())
    }

    /// It is started, and killed before it may be ready.
    pub fn start_and_kill(&self, after: Duration) -> anyhow::Result<()> {
        let log =
            std::fs::File::options().create(true).append(true).open(self.installation.folder().join("runtime.log"))?;
        let mut command = self.installation.command(&ARGUMENTS);
        let mut child = command.stdout(std::process::Stdio::null()).stderr(log).spawn()?;
        std::thread::sleep(after);
        child.kill()?;
        child.wait()?;
        Ok(())
    }

    /// Waits until records are seen that were not seen when this was called.
    pub fn goes_on(&self) -> anyhow::Result<()> {
        let (began, before) = (Instant::now(), self.follower.records());
        while self.follower.records() == before {
            if began.elapsed() > SILENCE {
                bail!("no record was seen in {SILENCE:?}, though everything runs");
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// No more is sent; everything is waited for, and held against what must be there.
    pub async fn judge(mut self, findings: &mut Findings) -> anyhow::Result<()> {
        let admin = self.runtime.as_ref().context("the runtime runs")?.fields()["admin"].clone();
        let sending = self.began.elapsed();
        let sent = tokio::task::block_in_place(|| self.sender.end())?;
        let keys = self.shape.keys;
        let (all, drained) = (records(sent, keys), Instant::now());
        say(format_args!("{sent} records are sent; waiting for {all}"));
        let (mut heard, mut before) = (Instant::now(), 0);
        while self.follower.records() < all && heard.elapsed() < SILENCE {
            let seen = self.follower.records();
            if seen > before {
                (heard, before) = (Instant::now(), seen);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let drained = drained.elapsed();
        let client = millpond_stage::client();
        let (waiting, lag) = rests(&client, &admin, &self.kafka).await?;
        if let Some(runtime) = &self.runtime {
            self.memory_max = self.memory_max.max(runtime.memory().1);
        }
        let live = tokio::task::block_in_place(|| self.follower.end())?;
        let later = tokio::task::block_in_place(|| read_all(&self.kafka, keys))?;
        let states = states(&client, &admin, sent, keys).await?;
        if let Some(runtime) = self.runtime.take() {
            tokio::task::block_in_place(|| runtime.terminate())?;
        }
        findings.figure("workload", format_args!("{keys} keys, {} partitions", self.shape.partitions));
        findings.figure("records sent", sent);
        findings.figure("records a second", format_args!("{:.0}", sent as f64 / sending.as_secs_f64()));
        findings.figure("records seen", live.records);
        findings.figure("wall time, s", format_args!("{:.0}", self.began.elapsed().as_secs_f64()));
        findings.figure("until all was seen, s", format_args!("{:.1}", drained.as_secs_f64()));
        findings.figure("longest start of the runtime, ms", self.start_max.as_millis());
        findings.figure("runtime's memory, highest, MiB", self.memory_max >> 20);
        let words = |seen: &Seen, own: bool| {
            let mut words = seen.wrong.clone();
            words.extend(seen.missing(sent, own));
            words.truncate(8);
            if words.is_empty() { "exact".to_owned() } else { words.join("; ") }
        };
        let (own, after, before) = (words(&later, true), words(&later, false), words(&live, false));
        let (own_is, after_is, before_is) = (own == "exact", after == "exact", before == "exact");
        findings.promise("the sender's own topic, each key", own, "1..n, once, in order", own_is);
        findings.promise("a reader beside it, each key", before, "1..n, once, in order", before_is);
        findings.promise("a reader afterwards, each key", after, "1..n, once, in order", after_is);
        let states_are = states.is_empty();
        let words = if states_are { "exact".to_owned() } else { states.join("; ") };
        findings.promise("states of both functions, each key", words, "as many as were sent", states_are);
        findings.promise("records in the outbox", waiting, "0", waiting == 0.0);
        findings.promise("lag of the consumer group", lag, "0", lag == 0);
        self.installation.keep(!findings.broken().is_empty());
        Ok(())
    }
}

const ARGUMENTS: [&str; 2] = ["--app", APP];

fn start(installation: &Installation) -> anyhow::Result<Process> {
    Ok(tokio::task::block_in_place(|| installation.start_with(&ARGUMENTS))?)
}

/// What is in the outbox, and the lag of the group, once both are nothing, or a while later.
async fn rests(client: &reqwest::Client, admin: &str, kafka: &Kafka) -> anyhow::Result<(f64, i64)> {
    let began = Instant::now();
    loop {
        let metrics = millpond_stage::get(client, &format!("http://{admin}/metrics")).await?.unwrap_or_default();
        let waiting = millpond_stage::metric(&metrics, "millpond_egress_records", "");
        let lag = tokio::task::block_in_place(|| kafka.lag(APP, NUMBERS))?;
        if (waiting == 0.0 && lag == 0) || began.elapsed() > Duration::from_secs(30) {
            return Ok((waiting, lag));
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// Which states are not what they must be, in words.
async fn states(client: &reqwest::Client, admin: &str, sent: u64, keys: u64) -> anyhow::Result<Vec<String>> {
    let mut wrong = Vec::new();
    for number in 0..keys {
        let numbers = expected(sent, keys, number);
        for (function, expected) in [("chaos/counter", numbers), ("chaos/quarter", numbers / crate::functions::EACH)] {
            let found = millpond_stage::states(client, admin, function, &key(number)).await?;
            let seen = found.get(SEEN.name()).and_then(serde_json::Value::as_u64).unwrap_or(0);
            if seen != expected && wrong.len() < 8 {
                wrong.push(format!("{function} {} has seen {seen} and not {expected}", key(number)));
            }
        }
    }
    Ok(wrong)
}

fn module(servers: &[Server; 2], cluster: &Cluster) -> String {
    format!(
        "kind: io.statefun.endpoints.v2/http
spec:
  functions: chaos/counter
  urlPathTemplate: {counter}
---
kind: io.statefun.endpoints.v2/http
spec:
  functions: chaos/quarter
  urlPathTemplate: {quarter}
---
kind: io.statefun.kafka.v1/ingress
spec:
  id: chaos/in
  address: {address}
  consumerGroupId: {APP}
  startupPosition:
    type: earliest
  topics:
    - topic: {NUMBERS}
      valueType: chaos.types/Number
      targets:
        - chaos/counter
---
kind: io.statefun.kafka.v1/egress
spec:
  id: chaos/out
  address: {address}
  deliverySemantic:
    type: exactly-once
    transactionTimeout: 15sec
",
        counter = servers[0].url(),
        quarter = servers[1].url(),
        address = cluster.address(),
    )
}
