//! The scene: functions, a runtime that may die, and how to reach it.

use std::path::Path;
use std::process::Command;
use std::sync::Mutex;

use anyhow::Context as _;
use millpond_stage::{Delivery, Installation, Process, client, get, metric};
use reqwest::Client;
use tokio::sync::watch;

/// Where the runtime of the moment listens.
#[derive(Debug, Clone, Default)]
pub struct Addresses {
    pub ingress: String,
    pub egress: String,
    pub admin: String,
}

/// What processes that are gone had counted.
#[derive(Debug, Clone, Copy, Default)]
pub struct Counted {
    pub invocations: f64,
    pub calls: f64,
    pub checkpoints: f64,
}

/// Functions and runtime. Dropping it ends both.
pub struct Stage {
    pub client: Client,
    pub delivery: Delivery,
    pub installation: Installation,
    functions: Process,
    runtime: Mutex<Option<Process>>,
    addresses: watch::Sender<Addresses>,
    counted: Mutex<Counted>,
}

impl Stage {
    /// Starts the functions, and the runtime in an empty data folder.
    pub async fn open() -> anyhow::Result<Stage> {
        tokio::task::block_in_place(|| {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
            let module = std::fs::read_to_string(folder.join("module.yaml"))?;
            let installation = Installation::new(&Installation::binary())?;
            let mut command = Command::new(std::env::current_exe()?.with_file_name("fraud"));
            command.args(["--listen", "127.0.0.1:0"]).arg("--model").arg(folder.join("model.json"));
            let log = installation.folder().join("functions.log");
            let functions = Process::start("the function server", command, &log)?;
            let url = functions.ready().strip_prefix("ready ").context("the function server says where it is")?;
            installation.install(&module, url)?;
            let runtime = installation.start()?;
            let addresses = addresses(&runtime)?;
            let client = client();
            Ok(Stage {
                delivery: Delivery::new(client.clone(), &addresses.ingress),
                client,
                installation,
                functions,
                runtime: Mutex::new(Some(runtime)),
                addresses: watch::Sender::new(addresses),
                counted: Mutex::default(),
            })
        })
    }

    /// Where the runtime is, or will be again.
    pub fn addresses(&self) -> Addresses {
        self.addresses.borrow().clone()
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
        self.delivery.interrupt();
        let mut before = self.counted.lock().expect("nobody panics with it");
        before.invocations += counted.invocations;
        before.calls += counted.calls;
        before.checkpoints += counted.checkpoints;
        Ok(())
    }

    /// A new process on the same folder: how long it took to be ready, and how much of that to recover.
    pub async fn restart(&self) -> anyhow::Result<(u128, String)> {
        let runtime = tokio::task::block_in_place(|| self.installation.start())?;
        let found = addresses(&runtime)?;
        let took = runtime.ready_after.as_millis();
        let recovered = runtime.fields().remove("recovered_ms").unwrap_or_default();
        *self.runtime.lock().expect("nobody panics with it") = Some(runtime);
        self.addresses.send_replace(found.clone());
        self.delivery.resume(&found.ingress);
        Ok((took, recovered))
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
        let url = format!("http://{}/metrics", self.addresses().admin);
        let text = get(&self.client, &url).await?.context("the admin API has no metrics")?;
        Ok(Counted {
            invocations: metric(&text, "statefun_function_in_total", ""),
            calls: metric(&text, "statefun_function_remote_invocation_latency_seconds_count", ""),
            checkpoints: metric(&text, "millpond_checkpoints_total", ""),
        })
    }

    /// Highest resident memory in bytes: of the runtime that runs, and of the functions.
    pub fn memory(&self) -> (u64, u64) {
        let runtime = self.runtime.lock().expect("nobody panics with it");
        (runtime.as_ref().map_or(0, |runtime| runtime.memory().1), self.functions.memory().1)
    }

    /// SIGTERM to both; each must end by itself, with exit code 0.
    pub async fn close(self) -> anyhow::Result<()> {
        tokio::task::block_in_place(|| {
            let runtime = self.runtime.into_inner().expect("nobody panics with it");
            runtime.map(Process::terminate).transpose()?;
            Ok(self.functions.terminate()?)
        })
    }
}

fn addresses(runtime: &Process) -> anyhow::Result<Addresses> {
    let mut fields = runtime.fields();
    let mut field = |name: &str| fields.remove(name).with_context(|| format!("the ready line has no `{name}`"));
    Ok(Addresses { ingress: field("ingress")?, egress: field("egress")?, admin: field("admin")? })
}
