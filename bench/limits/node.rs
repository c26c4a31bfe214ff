//! A `millpond` process on a folder, what it takes of the machine, and what is sent to it.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use reqwest::Client;

use crate::Options;

/// Module, data and the running process.
pub struct Node {
    folder: tempfile::TempDir,
    child: Child,
    fields: BTreeMap<String, String>,
    client: Client,
}

impl Node {
    /// A node on an empty folder, whose functions are at this port.
    pub fn start(options: &Options, port: u16) -> anyhow::Result<Node> {
        let folder = match &options.folder {
            Some(folder) => tempfile::tempdir_in(folder)?,
            None => tempfile::tempdir()?,
        };
        std::fs::write(folder.path().join("module.yaml"), module(port))?;
        let (child, fields) = spawn(options, folder.path())?;
        let client = Client::builder().timeout(Duration::from_secs(60)).build()?;
        Ok(Node { folder, child, fields, client })
    }

    /// Kills the process and starts another one on the same folder: milliseconds until it was ready, as it says itself.
    pub fn start_again(&mut self, options: &Options) -> anyhow::Result<u64> {
        self.child.kill()?;
        self.child.wait()?;
        (self.child, self.fields) = spawn(options, self.folder.path())?;
        Ok(self.fields["recovered_ms"].parse()?)
    }

    /// Sends an event and waits for its 200, as often as it takes.
    pub async fn put(&self, address: &str, body: String) -> anyhow::Result<()> {
        for _ in 0..600 {
            let url = format!("http://{}/{address}", self.fields["ingress"]);
            let put = self.client.put(url).header("Content-Type", "application/vnd.limits/Number").body(body.clone());
            match put.send().await?.status().as_u16() {
                200 => return Ok(()),
                503 => tokio::time::sleep(Duration::from_millis(100)).await,
                other => anyhow::bail!("an event for {address} was answered {other}"),
            }
        }
        anyhow::bail!("an event for {address} was not taken in for a minute")
    }

    /// What the admin API says, as JSON.
    pub async fn address(&self, address: &str) -> anyhow::Result<serde_json::Value> {
        let url = format!("http://{}/v1/addresses/{address}", self.fields["admin"]);
        Ok(self.client.get(url).send().await?.json().await?)
    }

    /// Sum of all samples of a metric.
    pub async fn metric(&self, name: &str) -> anyhow::Result<f64> {
        let text = self.client.get(format!("http://{}/metrics", self.fields["admin"])).send().await?.text().await?;
        let samples =
            text.lines().filter(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with([' ', '{'])));
        let values = samples.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
        Ok(values.sum())
    }

    /// MiB of memory: a field of `/proc/<pid>/status`, such as `VmRSS` or `VmHWM`.
    pub fn memory_mib(&self, field: &str) -> anyhow::Result<f64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix(field)).context("the process runs")?;
        let kib: f64 = line.trim_start_matches(':').trim().trim_end_matches(" kB").parse()?;
        Ok(kib / 1024.0)
    }

    /// MiB that the ledger takes of the disk.
    pub fn disk_mib(&self) -> anyhow::Result<f64> {
        let mut bytes = 0;
        for entry in std::fs::read_dir(self.folder.path().join("data/rocksdb"))? {
            // A file may go while it is looked at.
            bytes += entry?.metadata().map_or(0, |file| file.len());
        }
        Ok(bytes as f64 / 1024.0 / 1024.0)
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(options: &Options, folder: &Path) -> anyhow::Result<(Child, BTreeMap<String, String>)> {
    let log = std::fs::File::options().create(true).append(true).open(folder.join("stderr.log"))?;
    let mut child = Command::new(&options.millpond)
        .arg("run")
        .arg(folder.join("module.yaml"))
        .arg("--data-dir")
        .arg(folder.join("data"))
        .args(["--admin", "127.0.0.1:0", "--disk-free-intake", "0", "--disk-free-calls", "0"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(log)
        .spawn()
        .with_context(|| format!("`{}` starts", options.millpond.display()))?;
    let mut line = String::new();
    BufReader::new(child.stdout.take().context("it is a pipe")?).read_line(&mut line)?;
    let log = std::fs::read_to_string(folder.join("stderr.log")).unwrap_or_default();
    ensure!(line.starts_with("ready "), "the node did not start:\n{log}");
    let pairs = line.split_whitespace().filter_map(|word| word.split_once('='));
    Ok((child, pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()))
}

fn module(port: u16) -> String {
    format!(
        "\
kind: io.statefun.endpoints.v2/http
spec:
  functions: limits/*
  urlPathTemplate: http://127.0.0.1:{port}/{{function.name}}
  transport:
    type: io.statefun.transports.v1/async
---
kind: io.statefun.playground.v1/ingress
spec:
  port: 0
---
kind: io.statefun.playground.v1/egress
spec:
  port: 0
  topics:
    - none
"
    )
}
