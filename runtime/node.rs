//! The node: opens the stages in the order in which a message meets them, and runs them until it is told to stop.
//!
//! What comes in: [`RunOptions`], already checked. What goes out: a process that serves. Who owns what: the engine thread
//! (`node/driver.rs`) owns the engine; two threads beside it block on the ledger, one to commit and one to load
//! (`node/storage.rs`); sockets belong to the tokio runtime. A message's way: ingress, router, engine, invoker, engine,
//! ledger, engine, egress. Every arrow between the last five passes through the engine thread.

pub mod application;
mod clock;
mod disk;
mod driver;
mod kafka;
mod notices;
mod open_files;
mod stages;
mod storage;

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use millpond_engine::Engine;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tracing::{error, info, warn};

use crate::admin::{Access, Admin, EndpointName, Token};
use crate::cli::run::RunOptions;
use crate::edge::{ConnectionLimits, listen, serve};
use crate::egress::kafka::{self as kafka_egress, EgressHalted, KafkaStanding, Outlet};
use crate::egress::{EgressLimits, HttpEgress};
use crate::handle::{EngineGone, EngineHandle, Readiness};
use crate::ingress::kafka::{self as kafka_ingress, Inlet};
use crate::ingress::{HttpIngress, IngressLimits};
use crate::invoker::{InvalidEndpoint, Invoker};
use crate::kafka::aside;
use crate::ledger::local::LocalLedger;
use crate::ledger::{Ledger, LedgerError, Watched};
use crate::measures::Measures;

use application::Application;
use driver::{Driver, Ending, Message};
use stages::Stages;

/// Why a node could not start, or ended before it was told to.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// The ledger cannot be opened.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// A listener's address cannot be had.
    #[error("{what} cannot listen on `{address}`")]
    Listen {
        /// What wanted to listen.
        what: &'static str,
        /// Where.
        address: SocketAddr,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// An endpoint cannot be called.
    #[error(transparent)]
    Endpoint(#[from] InvalidEndpoint),
    /// The admin token cannot be read.
    #[error("admin token file `{}` cannot be read", path.display())]
    Token {
        /// Its path.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// The data directory is another application's.
    #[error("`{}` belongs to application `{kept}`, and {by} says `{asked}`", path.display())]
    OtherApplication {
        /// The directory.
        path: PathBuf,
        /// The name that is kept there.
        kept: String,
        /// The name that was asked for.
        asked: String,
        /// By what.
        by: &'static str,
    },
    /// The file that says which application it is cannot be understood.
    #[error("file `APPLICATION` in `{}` cannot be understood: {why}", path.display())]
    UnknownApplication {
        /// The directory.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// The module lacks components that the ledger holds work for.
    #[error("the module has no place any more for what the ledger holds")]
    Removed {
        /// What it holds, a line each.
        work: Vec<String>,
    },
    /// The process lacks something of the machine.
    #[error("the system refused {what}")]
    System {
        /// What was refused.
        what: &'static str,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The ledger failed while the node ran. What was acknowledged is durable.
    #[error("the ledger failed, nothing is taken in any more")]
    LedgerFailed(#[source] LedgerError),
    /// An egress must not publish from this ledger. What was acknowledged is durable.
    #[error(transparent)]
    EgressHalted(EgressHalted),
    /// The engine thread is gone: a defect.
    #[error("the engine stopped by itself")]
    EngineGone,
}

impl NodeError {
    /// The page that explains it: `millpond explain CODE`.
    pub fn code(&self) -> &'static str {
        match self {
            NodeError::Ledger(error) | NodeError::LedgerFailed(error) => error.code(),
            NodeError::EgressHalted(error) => error.code(),
            NodeError::Listen { .. } => "MP7030",
            NodeError::Endpoint(_) => "MP4016",
            NodeError::Token { .. } => "MP7004",
            NodeError::OtherApplication { .. } | NodeError::UnknownApplication { .. } => "MP7032",
            NodeError::Removed { .. } => "MP7034",
            NodeError::System { .. } => "MP7031",
            NodeError::EngineGone => "MP3099",
        }
    }

    /// What to do about it, where that can be said.
    pub fn hint(&self) -> Option<String> {
        match self {
            NodeError::Ledger(error) | NodeError::LedgerFailed(error) => error.hint().map(str::to_owned),
            NodeError::EgressHalted(error) => error.hint(),
            NodeError::Listen { .. } => {
                Some("choose another port or address; port 0 takes any that is free".to_owned())
            }
            NodeError::OtherApplication { kept, .. } => {
                Some(format!("start it with `--app {kept}`, or name another folder with `--data-dir`"))
            }
            NodeError::UnknownApplication { .. } => Some(
                "bring the file back from a copy of the folder, or remove it and give the name with `--app`".to_owned(),
            ),
            NodeError::Removed { .. } => Some(
                "bring the components back, or start once with `--allow-removed`: the work is kept until they are back"
                    .to_owned(),
            ),
            _ => None,
        }
    }

    /// What belongs to it, a line each.
    pub fn notes(&self) -> &[String] {
        match self {
            NodeError::Removed { work } => work,
            _ => &[],
        }
    }
}

/// How long reads of the ledger that nobody waits for any more may hold up the end of the process.
const SHUTDOWN: Duration = Duration::from_secs(5);

/// How long the threads that read from Kafka may take to end, and those that publish. Nothing is lost with them.
const KAFKA_STOP: Duration = Duration::from_millis(1_200);

/// How long `/readyz` says what failed, and why, until the process ends.
const FAILED_SHOWN: Duration = Duration::from_secs(3);

/// Runs a node until SIGTERM or SIGINT, then makes everything durable and returns.
///
/// # Errors
/// [`NodeError`] when it cannot start, or cannot go on.
pub fn run(options: &RunOptions) -> Result<(), NodeError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("millpond-io")
        .build()
        .map_err(|source| NodeError::System { what: "threads", source })?;
    let result = runtime.block_on(start(options, open_files::raise()));
    // Connections that are still open belong to clients that were told, or do not read. They are dropped before the
    // process exits, because some hold the ledger: RocksDB aborts when it is closed during the exit.
    runtime.shutdown_timeout(SHUTDOWN);
    result
}

async fn start(options: &RunOptions, files: usize) -> Result<(), NodeError> {
    let began = Instant::now();
    // First of all, so that a signal during a long start ends it as politely as one behind it.
    let mut signals = Signals::new().map_err(|source| NodeError::System { what: "signal handlers", source })?;
    let token = read_token(options.admin_token_file.as_deref())?;
    let read_token = read_token(options.admin_read_token_file.as_deref())?;
    let stages = Stages::new(&options.module);
    let listeners = Listeners::bind(options)?;
    let open = if options.accept_data_loss { LocalLedger::open_accepting_data_loss } else { LocalLedger::open };
    let local = Arc::new(open(&options.data_dir)?);
    let restored = local.restore()?;
    let lanes = stages.egresses.lanes().to_vec();
    let hash_seed = stages::random_u64().map_err(|source| NodeError::System { what: "random bytes", source })?;
    let mut config = stages.engine_config(hash_seed);
    config.limits.calls_in_flight = config.limits.calls_in_flight.min(open_files::calls(files));
    if let Some(calls) = options.calls_in_flight {
        config.limits.calls_in_flight = calls.min(open_files::calls(files));
    }
    let application = settle(options, &local, &config, &restored)?;
    let (messages, inbox) = mpsc::channel::<Message>();
    // Whoever meets damage from here on ends the node: see `ledger/watched.rs`.
    let failed = messages.clone();
    let ledger = Watched::new(local, move |error| _ = failed.send(Message::LedgerFailed(error)));
    let ledger: Arc<dyn Ledger> = Arc::new(ledger);
    let engine = Engine::new(config.clone(), &restored);
    let invoker = Invoker::new(stages.targets.clone(), config.limits.clone(), Arc::new(stages.egresses.clone()))?;

    let to_engine = messages.clone();
    let (handle, node) = EngineHandle::new(lanes.len(), move |request| {
        to_engine.send(Message::Request(request)).map_err(|_| EngineGone)
    });
    for (lane, name) in (0..).map(millpond_engine::LaneId).zip(&lanes) {
        node.publish(lane, ledger.lane(name)?.1 - 1);
    }
    let node = Arc::new(node);
    let measures = Arc::<Measures>::default();
    let (storage, storage_threads) = storage::start(&ledger, &lanes, &messages, &measures);
    let outlets = start_egresses(&stages, &application, options, &ledger, &handle, &messages)?;
    let standings: Vec<Arc<KafkaStanding>> = outlets.iter().map(|outlet| Arc::clone(&outlet.standing)).collect();
    let mut kafka = kafka::Kafka::new(&outlets);
    let inlets = start_ingresses(&stages, &restored, &handle, &messages);
    for inlet in &inlets {
        kafka.add(inlet.id.clone(), inlet.words());
    }
    let driver = Driver::new(engine, inbox, messages.clone(), invoker.clone(), storage, Arc::clone(&node), kafka);
    let floors = disk::Floors { intake: options.disk_free_intake, calls: options.disk_free_calls };
    let disk = disk::watch(&options.data_dir, floors, Arc::clone(&node), messages.clone());
    let disk = disk.map_err(|source| NodeError::System { what: "a thread", source })?;
    let (ended, end) = tokio::sync::oneshot::channel();
    let thread = std::thread::Builder::new().name("millpond-engine".to_owned()).spawn(move || {
        let _ = ended.send(driver.run());
    });
    let thread = thread.map_err(|source| NodeError::System { what: "a thread", source })?;

    node.set_readiness(Readiness::Ready);
    let access = Access::new(listeners.admin.local_addr().unwrap_or(options.admin), token).with_read_token(read_token);
    let endpoints = stages.endpoints.iter().zip(&stages.targets);
    let endpoints = endpoints.map(|(config, target)| EndpointName::new(config, &target.url)).collect();
    let admin = Admin::new(handle.clone(), Arc::clone(&ledger), &config.lanes, access)
        .with_calls(invoker)
        .with_endpoints(endpoints)
        .with_measures(Arc::clone(&measures))
        .with_kafka_ingresses(inlets.iter().map(Inlet::handle).collect())
        .with_kafka_egresses(standings);
    tokio::spawn(admin.sampler());
    let (over, over_seen) = watch::channel(false);
    let servers = listeners.serve(&handle, &ledger, &config, admin, measures, over_seen);
    let ready = Ready {
        application,
        functions: config.endpoints.len(),
        recovered_ms: began.elapsed().as_millis(),
        ledger: options.data_dir.display().to_string(),
        bound: servers.bound.clone(),
    };
    ready.say();

    let mut kafka_threads = KafkaThreads { inlets, outlets };
    let mut end = end;
    let ending = tokio::select! {
        ending = &mut end => ending,
        () = signals.next() => {
            info!("stopping");
            node.set_readiness(Readiness::Stopping);
            // Nothing more is read; what is being published is published and freed; then the engine makes all durable.
            kafka_threads.take().stop().await;
            let _ = messages.send(Message::Stop);
            end.await
        }
    };
    let failed = match &ending {
        Ok(Ending::Stopped) => None,
        Ok(Ending::LedgerFailed(error)) => {
            let reason = node_error_line(error);
            error!(code = error.code(), error = reason, "the ledger failed, nothing is taken in any more");
            Some(reason)
        }
        Ok(Ending::EgressHalted(error)) => Some(format!("{error} ({})", error.code())),
        Err(_) => Some("the engine stopped by itself".to_owned()),
    };
    if let Some(reason) = &failed {
        node.set_readiness(Readiness::Failed(reason.as_str().into()));
    }
    kafka_threads.take().stop().await;
    if failed.is_some() {
        // Whoever watches the node learns why, before the process is gone.
        tokio::time::sleep(FAILED_SHOWN).await;
    }
    over.send_replace(true);
    servers.join().await;
    let _ = thread.join();
    for thread in storage_threads {
        let _ = thread.join();
    }
    disk.end();
    match ending {
        Ok(Ending::Stopped) => {
            info!("stopped, everything is durable");
            Ok(())
        }
        Ok(Ending::LedgerFailed(error)) => Err(NodeError::LedgerFailed(error)),
        Ok(Ending::EgressHalted(error)) => Err(NodeError::EgressHalted(error)),
        Err(_) => Err(NodeError::EngineGone),
    }
}

/// Starts what publishes to Kafka. Each has claimed its outbox before the first checkpoint of this process.
fn start_egresses(
    stages: &Stages,
    application: &str,
    options: &RunOptions,
    ledger: &Arc<dyn Ledger>,
    handle: &EngineHandle,
    messages: &mpsc::Sender<Message>,
) -> Result<Vec<Outlet>, LedgerError> {
    let start = |egress: &kafka_egress::KafkaEgress| {
        let lane = stages.egresses.lane(&egress.id, "").expect("a Kafka egress has one lane");
        let (handle, messages) = (handle.clone(), messages.clone());
        let surroundings = kafka_egress::Surroundings {
            app: application.to_owned(),
            lane,
            name: stages.egresses.lanes()[lane.0 as usize].clone(),
            ledger: Arc::clone(ledger),
            free: Arc::new(move |upto| handle.freed(lane, upto)),
            halt: Arc::new(move |halted| _ = messages.send(Message::EgressHalted(halted))),
            reset: options.reset_cursors.get(&egress.id).cloned(),
        };
        egress.clone().start(surroundings)
    };
    stages.kafka_egresses.iter().map(start).collect()
}

/// Starts what reads from Kafka.
fn start_ingresses(
    stages: &Stages,
    restored: &millpond_engine::Restored,
    handle: &EngineHandle,
    messages: &mpsc::Sender<Message>,
) -> Vec<Inlet> {
    let start = |ingress: &kafka_ingress::KafkaIngress| {
        let (handle, messages) = (handle.clone(), messages.clone());
        let surroundings = kafka_ingress::Surroundings {
            feed: Arc::new(move |feed| messages.send(Message::Feed(feed)).is_ok()),
            paused: Arc::new(move || handle.is_paused()),
        };
        ingress.clone().start(&restored.positions, surroundings)
    };
    stages.kafka_ingresses.iter().map(start).collect()
}

/// The threads that talk to Kafka.
#[derive(Default)]
struct KafkaThreads {
    inlets: Vec<Inlet>,
    outlets: Vec<Outlet>,
}

impl KafkaThreads {
    fn take(&mut self) -> KafkaThreads {
        std::mem::take(self)
    }

    /// Ends them, those that read first. A cluster that does not answer holds nobody up: what is left behind ends by itself.
    async fn stop(self) {
        let (inlets, outlets) = (self.inlets, self.outlets);
        beside(KAFKA_STOP, move || Inlet::stop_all(inlets)).await;
        beside(KAFKA_STOP, move || {
            outlets.iter().for_each(Outlet::tell_to_stop);
            outlets.into_iter().for_each(Outlet::stop);
        })
        .await;
    }
}

/// Does something that may block, and waits for it no longer than this.
async fn beside(patience: Duration, work: impl FnOnce() + Send + 'static) {
    let (over, is_over) = tokio::sync::oneshot::channel();
    let work = move || {
        work();
        let _ = over.send(());
    };
    if aside::beside("millpond-stop", work).is_ok() {
        let _ = tokio::time::timeout(patience, is_over).await;
    }
}

/// Settles which application this is, and that nothing it holds lost its place. Gives its name.
fn settle(
    options: &RunOptions,
    ledger: &LocalLedger,
    config: &millpond_engine::EngineConfig,
    restored: &millpond_engine::Restored,
) -> Result<String, NodeError> {
    let kept = ledger.application()?;
    let unknown = |why| NodeError::UnknownApplication { path: options.data_dir.clone(), why };
    let kept = kept.map(|text| Application::parse(&text).map_err(unknown)).transpose()?;
    let random = stages::random_u64().map_err(|source| NodeError::System { what: "random bytes", source })?;
    let asked = options.app.as_ref();
    let name = application::name(kept.as_ref(), asked, random).map_err(|kept| NodeError::OtherApplication {
        path: options.data_dir.clone(),
        kept,
        asked: asked.map(|asked| asked.name.clone()).unwrap_or_default(),
        by: asked.map_or("--app", |asked| asked.by),
    })?;
    match &kept {
        Some(kept) => {
            let work = kept.removed(config, restored, ledger)?;
            if !work.is_empty() && !options.allow_removed {
                return Err(NodeError::Removed { work });
            }
            for work in work {
                warn!(%work, "no place any more for what the ledger holds, it is kept");
            }
        }
        None if restored.meta.checkpoint > 0 && asked.is_none() => {
            return Err(unknown("it is missing, though the ledger holds data".to_owned()));
        }
        None if restored.meta.checkpoint > 0 => {
            warn!(application = name, "the data directory did not say which application it belongs to; now it does");
        }
        None => {}
    }
    let application = Application::new(name, config);
    if kept.as_ref() != Some(&application) {
        ledger.keep_application(&application.text())?;
    }
    Ok(application.name)
}

/// A ledger's error with its cause, in one line.
fn node_error_line(error: &LedgerError) -> String {
    match std::error::Error::source(error) {
        Some(cause) => format!("{error}: {cause} ({})", error.code()),
        None => format!("{error} ({})", error.code()),
    }
}

fn read_token(path: Option<&std::path::Path>) -> Result<Option<Token>, NodeError> {
    let Some(path) = path else { return Ok(None) };
    let failed = |source| NodeError::Token { path: path.to_owned(), source };
    let text = std::fs::read_to_string(path).map_err(failed)?;
    Token::new(&text).map(Some).map_err(|empty| failed(std::io::Error::other(empty)))
}

/// The line that says that events are taken in, on standard output.
struct Ready {
    application: String,
    functions: usize,
    recovered_ms: u128,
    ledger: String,
    bound: Vec<(&'static str, SocketAddr)>,
}

impl Ready {
    fn say(&self) {
        let bound: String = self.bound.iter().map(|(what, address)| format!("{what}={address} ")).collect();
        let line = format!(
            "ready {bound}app={} functions={} recovered_ms={} ledger={}",
            self.application, self.functions, self.recovered_ms, self.ledger
        );
        // Whoever started us may have closed our standard output; the log has the line too.
        let _ = writeln!(std::io::stdout().lock(), "{line}").and_then(|()| std::io::stdout().flush());
        info!("{line}");
    }
}

/// The moment to stop.
struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

impl Signals {
    fn new() -> std::io::Result<Signals> {
        Ok(Signals { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// Sockets that are bound before anything is opened, so that a port in use is said at once.
struct Listeners {
    ingress: Option<TcpListener>,
    egress: Option<TcpListener>,
    admin: TcpListener,
}

/// Tasks that serve.
struct Servers {
    bound: Vec<(&'static str, SocketAddr)>,
    tasks: tokio::task::JoinSet<()>,
    measures: Arc<Measures>,
}

impl Listeners {
    fn bind(options: &RunOptions) -> Result<Listeners, NodeError> {
        let (ingress, egress) = stages::playground_ports(&options.module);
        Ok(Listeners {
            ingress: match ingress {
                Some(port) => Some(bind("ingress", SocketAddr::new(options.listen, port))?),
                None => None,
            },
            egress: match egress {
                Some(port) => Some(bind("egress", SocketAddr::new(options.listen, port))?),
                None => None,
            },
            admin: bind("admin", options.admin)?,
        })
    }

    fn serve(
        self,
        handle: &EngineHandle,
        ledger: &Arc<dyn Ledger>,
        config: &millpond_engine::EngineConfig,
        admin: Admin,
        measures: Arc<Measures>,
        mut over: watch::Receiver<bool>,
    ) -> Servers {
        let stopping = || {
            let handle = handle.clone();
            async move { handle.stopping().await }
        };
        let mut servers = Servers { bound: Vec::new(), tasks: tokio::task::JoinSet::new(), measures };
        if let Some(listener) = self.ingress {
            let limits = IngressLimits::new(&config.limits);
            let ingress = HttpIngress::new(handle.clone(), &config.endpoints, limits);
            servers.add("ingress", listener, ingress.into_service(), stopping());
        }
        if let Some(listener) = self.egress {
            let egress = HttpEgress::new(handle.clone(), Arc::clone(ledger), &config.lanes, EgressLimits::default());
            servers.add("egress", listener, egress.into_service(), stopping());
        }
        // Probes are answered until everything is durable.
        let ended = async move { drop(over.wait_for(|over| *over).await) };
        servers.add("admin", self.admin, admin.into_service(), ended);
        servers
    }
}

impl Servers {
    fn add(
        &mut self,
        what: &'static str,
        listener: TcpListener,
        service: axum::Router,
        closing: impl Future<Output = ()> + Send + 'static,
    ) {
        if let Ok(address) = listener.local_addr() {
            self.bound.push((what, address));
        }
        let service = self.measures.count(what, service);
        self.tasks.spawn(serve(listener, service, ConnectionLimits::default(), closing));
    }

    async fn join(mut self) {
        while self.tasks.join_next().await.is_some() {}
    }
}

fn bind(what: &'static str, address: SocketAddr) -> Result<TcpListener, NodeError> {
    listen(address).map_err(|source| NodeError::Listen { what, address, source })
}
