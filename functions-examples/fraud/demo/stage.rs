//! The scene: functions, a runtime that may die, and how to reach it.

use std::path::Path;
use std::process::Command;
use std::sync::Mutex;

use anyhow::Context as _;
use millpond_stage::{Installation, Process, client, get, metric};
use reqwest::Client;
use tokio::sync::watch;

use crate::way::Way;

/// What processes that are gone had counted.
#[derive(Debug, Clone, Copy, Default)]
pub struct Counted {
    pub invocations: f64,
    pub calls: f64,
    pub checkpoints: f64,
}

/// Functions, runtime, and the way to them. Dropping it ends all.
pub struct Stage {
    pub client: Client,
    pub installation: Installation,
    functions: Process,
    runtime: Mutex<Option<Process>>,
    admin: watch::Sender<String>,
    counted: Mutex<Counted>,
    pub way: Way,
}

impl Stage {
    /// Starts a broker if `kafka`, the functions, and the runtime in an empty data folder.
    pub async fn open(kafka: bool) -> anyhow::Result<Stage> {
        let installation = Installation::new(&Installation::binary())?;
        let client = client();
        let way = if kafka { Way::kafka().await? } else { Way::http(&client) };
        tokio::task::block_in_place(|| {
            let mut command = Command::new(std::env::current_exe()?.with_file_name("fraud"));
            let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("model.json");
            command.args(["--listen", "127.0.0.1:0"]).arg("--model").arg(model).args(way.arguments());
            let log = installation.folder().join("functions.log");
            let functions = Process::start("the function server", command, &log)?;
            let url = functions.ready().strip_prefix("ready ").context("the function server says where it is")?;
            installation.install(&way.module(), url)?;
            let stage = Stage {
                client,
                installation,
                functions,
                runtime: Mutex::default(),
                admin: watch::Sender::default(),
                counted: Mutex::default(),
                way,
            };
            stage.start()?;
            Ok(stage)
        })
    }

    /// Where the admin API of the runtime is, or will be again.
    pub fn admin(&self) -> String {
        self.admin.borrow().clone()
    }

    /// Process id of the runtime.
    pub fn pid(&self) -> u32 {
        self.runtime.lock().expect("nobody panics with it").as_ref().map_or(0, Process::pid)
    }

    /// `kill -9` in the middle of everything; nobody is told.
    pub async fn kill(&self) -> anyhow::Result<()> {
        let counted = self.scrape().await.unwrap_or_default();
        if let Some(runtime) = self.runtime.lock().expect("nobody panics with it").take() {
            runtime.kill();
        }
        self.way.interrupt();
        let mut before = self.counted.lock().expect("nobody panics with it");
        before.invocations += counted.invocations;
        before.calls += counted.calls;
        before.checkpoints += counted.checkpoints;
        Ok(())
    }

    /// A new process on the same folder: how long it took to be ready, and how much of that to recover.
    pub async fn restart(&self) -> anyhow::Result<(u128, String)> {
        tokio::task::block_in_place(|| self.start())
    }

    fn start(&self) -> anyhow::Result<(u128, String)> {
        let runtime = self.installation.start()?;
        let took = runtime.ready_after.as_millis();
        let mut ready = runtime.fields();
        *self.runtime.lock().expect("nobody panics with it") = Some(runtime);
        self.way.resume(&ready)?;
        self.admin.send_replace(ready.remove("admin").context("the ready line has no `admin`")?);
        Ok((took, ready.remove("recovered_ms").unwrap_or_default()))
    }

    /// What all processes have counted so far. What the one that was killed did behind its last look is not in it.
    pub async fn counted(&self) -> anyhow::Result<Counted> {
        let now = self.scrape().await?;
        let before = *self.counted.lock().expect("nobody panics with it");
        Ok(Counted {
            invocations: before.invocations + now.invocations,
            calls: before.calls + now.calls,
            checkpoints: before.checkpoints + now.checkpoints,
        })
    }

    async fn scrape(&self) -> anyhow::Result<Counted> {
        let url = format!("http://{}/metrics", self.admin());
        let text = get(&self.client, &url).await?.context("the admin API has no metrics")?;
        Ok(Counted {
            invocations: metric(&text, "millpond_function_invocations_total", ""),
            calls: metric(&text, "statefun_function_remote_invocation_latency_seconds_count", ""),
            checkpoints: metric(&text, "millpond_checkpoints_total", ""),
        })
    }

    /// Highest resident memory in bytes: of the runtime that runs, and of the functions.
    pub fn memory(&self) -> (u64, u64) {
        let runtime = self.runtime.lock().expect("nobody panics with it");
        (runtime.as_ref().map_or(0, |runtime| runtime.memory().1), self.functions.memory().1)
    }

    /// SIGTERM to runtime and functions; each must end by itself, with exit code 0.
    pub async fn close(self) -> anyhow::Result<()> {
        tokio::task::block_in_place(|| {
            let runtime = self.runtime.into_inner().expect("nobody panics with it");
            runtime.map(Process::terminate).transpose()?;
            Ok(self.functions.terminate()?)
        })
    }
}
