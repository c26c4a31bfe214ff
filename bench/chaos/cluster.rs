//! The broker's processes, as `deploy/dev/kafka` starts them.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, ensure};
use rustix::process::{Pid, Signal, kill_process};

/// One node or three, in a folder of their own. They end with the value.
pub struct Cluster {
    folder: tempfile::TempDir,
    nodes: usize,
    address: String,
}

/// Whether a broker can be started here.
pub fn has_java() -> bool {
    let has = |program: &str| Command::new(program).arg("--version").stdout(Stdio::null()).status().is_ok();
    has("java") && has("mvn")
}

impl Cluster {
    /// A new cluster that answers.
    pub fn start(nodes: usize) -> anyhow::Result<Cluster> {
        let mut cluster = Cluster { folder: tempfile::tempdir()?, nodes, address: String::new() };
        cluster.start_again()?;
        Ok(cluster)
    }

    /// Starts the nodes that are dead, with the data that they have.
    pub fn start_again(&mut self) -> anyhow::Result<()> {
        let output = Command::new(script())
            .arg("start")
            .arg(self.folder.path())
            .arg(self.nodes.to_string())
            .output()
            .context("`deploy/dev/kafka` was not run")?;
        ensure!(output.status.success(), "the broker did not start: {}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8_lossy(&output.stdout);
        let address = text.lines().find_map(|line| line.strip_prefix("bootstrap="));
        self.address = address.context("`deploy/dev/kafka` did not say where it listens")?.to_owned();
        Ok(())
    }

    /// What clients connect to.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// How many nodes there are.
    pub fn nodes(&self) -> usize {
        self.nodes
    }

    /// All nodes are told to end, and waited for; their data stay.
    pub fn stop(&self) -> anyhow::Result<()> {
        let stopped = Command::new(script()).arg("stop").arg(self.folder.path()).status()?;
        ensure!(stopped.success(), "the broker was not stopped");
        Ok(())
    }

    /// `kill -9` for a node; nodes are counted from 1.
    pub fn kill(&self, node: usize) -> anyhow::Result<()> {
        self.signal(node, Signal::KILL)
    }

    /// A node stands still.
    pub fn pause(&self, node: usize) -> anyhow::Result<()> {
        self.signal(node, Signal::STOP)
    }

    /// It goes on.
    pub fn resume(&self, node: usize) -> anyhow::Result<()> {
        self.signal(node, Signal::CONT)
    }

    fn signal(&self, node: usize, signal: Signal) -> anyhow::Result<()> {
        let pid = std::fs::read_to_string(self.folder.path().join(format!("node{node}/pid")))?;
        let pid = Pid::from_raw(pid.trim().parse()?).context("a process id is not zero")?;
        kill_process(pid, signal).with_context(|| format!("node {node} of the broker is gone"))
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let _ = Command::new(script()).arg("stop").arg(self.folder.path()).status();
    }
}

fn script() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/dev/kafka")
}
