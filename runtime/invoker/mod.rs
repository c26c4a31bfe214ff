//! Calls functions over HTTP.
//!
//! What comes in: the engine's [`Call`]s, and the endpoints of the module files. What goes out: a [`Reply`] that is decoded
//! and checked as far as that needs no state, or a [`CallFailure`] with its kind, code and words. It reports, it does not
//! decide: one attempt a call, no retries; the engine does that. Who owns what: connections belong to a call while it
//! runs and to the pool of its function type otherwise; nothing here is durable.
//!
//! A call goes down through `deadline.rs`, `slots.rs` and `exchange.rs`, three tower layers around one request; `verdict.rs`
//! judges the head of the answer and collects its body, `answer.rs` its content. `pool.rs` keeps connections, `connect.rs`
//! opens one, `http1.rs` and `http2.rs` speak on it; `tls.rs` and `trust.rs` lie below them, `dialect.rs` is what is left of
//! the difference between upstream's two transports. Not here on purpose: a breaker. The engine has one for each function
//! type (`window.rs`), which sees what a connection cannot: answers that are no use.

pub mod answer;
mod codes;
#[doc(hidden)]
pub mod coding;
mod connect;
mod deadline;
mod dialect;
mod error;
mod exchange;
mod function;
mod gauge;
mod headers;
mod http1;
mod http2;
mod metrics;
mod pool;
#[doc(hidden)]
pub mod retry_after;
mod slots;
mod socket;
#[doc(hidden)]
pub mod template;
mod tls;
mod trust;
#[doc(hidden)]
pub mod verdict;
mod watch;

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock, Weak};
use std::time::Duration;

use millpond_engine::{Call, CallFailure, FailureKind, Limits, Reply};
use millpond_protocol::TypeName;
use tracing::{debug, warn};

pub use answer::EgressResolver;
pub use dialect::Dialect;
pub use metrics::{CallMetrics, LATENCY_BOUNDS_US, LatencyMetrics};
pub use tls::{ClientFiles, TlsTarget};

use crate::credentials::header::HeaderSource;

use connect::Connector;
use function::Function;
use headers::Headers;
use template::{Server, Template};
use tls::Tls;
use watch::Watched;

/// How often idle connections, and files, are looked at.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// Function types of one endpoint that are remembered while nobody calls them. Their names come from messages, so there may
/// be any number under a wildcard.
const FUNCTIONS_MAX: usize = 4096;

/// An endpoint of a module file, as far as a call needs it. How long a call may take comes with the call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndpointTarget {
    /// `urlPathTemplate`, as written.
    pub url: String,
    /// Property `connect`: the time to open a connection, and the time to wait for a free one.
    pub connect: Duration,
    /// Property `pool_ttl`: the age at which a connection is not used again; zero is never.
    pub pool_ttl: Duration,
    /// How long a connection may lie idle; `None` is for ever.
    pub pool_idle: Option<Duration>,
    /// How many connections to one function type may lie idle.
    pub pool_idle_max: usize,
    /// Property `pool_size`: connections to one function type.
    pub pool_size: usize,
    /// Property `payload_max_bytes`: the largest body of an answer.
    pub payload_max_bytes: usize,
    /// Which transport it is.
    pub dialect: Dialect,
    /// `http2` (ours): whether HTTP/2 is spoken: always, where the URL is plain; if the server wants it, over TLS.
    pub http2: bool,
    /// What TLS needs, where the URL asks for it.
    pub tls: TlsTarget,
    /// `headers` (ours): added to every request.
    pub headers: Vec<HeaderSource>,
}

/// An endpoint that cannot be called.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("endpoint `{url}` cannot be called: {why}")]
pub struct InvalidEndpoint {
    /// Its place in the list.
    pub endpoint: usize,
    /// Its template.
    pub url: String,
    /// What is wrong with it.
    pub why: String,
}

impl InvalidEndpoint {
    /// Its code.
    pub const CODE: &str = codes::ENDPOINT_URL;
}

/// Calls functions. Clones share connections and counters.
#[derive(Clone)]
pub struct Invoker {
    shared: Arc<Shared>,
}

struct Shared {
    endpoints: Vec<Endpoint>,
    egresses: Arc<dyn EgressResolver>,
    limits: Limits,
}

struct Endpoint {
    target: EndpointTarget,
    template: Template,
    connector: Connector,
    tls: Option<Arc<Tls>>,
    headers: Option<Arc<Headers>>,
    watched: Mutex<Watched>,
    functions: RwLock<HashMap<TypeName, Arc<Function>, foldhash::fast::RandomState>>,
}

impl Invoker {
    /// An invoker for these endpoints; [`Call::endpoint`] is a place in the list. It has to be made inside a tokio runtime,
    /// where it keeps tasks that close old connections and look at files, until the last clone is gone.
    ///
    /// # Errors
    /// [`InvalidEndpoint`] for the first endpoint whose URL cannot be called.
    pub fn new(
        endpoints: Vec<EndpointTarget>,
        limits: Limits,
        egresses: Arc<dyn EgressResolver>,
    ) -> Result<Invoker, InvalidEndpoint> {
        let endpoints: Result<Vec<Endpoint>, InvalidEndpoint> =
            endpoints.into_iter().enumerate().map(|(place, target)| Endpoint::new(place, target)).collect();
        let shared = Arc::new(Shared { endpoints: endpoints?, egresses, limits });
        tokio::spawn(sweep(Arc::downgrade(&shared)));
        if shared.endpoints.iter().any(Endpoint::has_files) {
            tokio::spawn(watch_files(Arc::downgrade(&shared)));
        }
        Ok(Invoker { shared })
    }

    /// One attempt to call a function. Dropping the future ends the attempt and closes its connection.
    ///
    /// # Errors
    /// [`CallFailure`] when there is no answer that the engine could apply.
    ///
    /// # Panics
    /// When [`Call::endpoint`] is not a place in the list of endpoints: the engine and the invoker were built from different
    /// module files.
    pub async fn call(&self, call: &Call) -> Result<Reply, CallFailure> {
        let function = self.shared.endpoints[call.endpoint].function(&call.target.function)?;
        function.call(call, &self.shared.limits, &*self.shared.egresses).await
    }

    /// What the calls so far add up to, by function type.
    pub fn metrics(&self) -> Vec<CallMetrics> {
        let mut metrics: Vec<CallMetrics> = self.shared.functions().iter().map(|function| function.metrics()).collect();
        metrics.sort_by(|a, b| a.function.cmp(&b.function));
        metrics
    }
}

impl Shared {
    fn functions(&self) -> Vec<Arc<Function>> {
        self.endpoints
            .iter()
            .flat_map(|endpoint| {
                let functions = endpoint.functions.read().unwrap_or_else(PoisonError::into_inner);
                functions.values().cloned().collect::<Vec<_>>()
            })
            .collect()
    }
}

impl Endpoint {
    fn new(place: usize, target: EndpointTarget) -> Result<Endpoint, InvalidEndpoint> {
        let invalid = |why: String| InvalidEndpoint { endpoint: place, url: target.url.clone(), why };
        let template = Template::parse(&target.url).map_err(|e| invalid(e.to_string()))?;
        let ordinary = template.destination("name").map_err(|e| invalid(e.to_string()))?;
        let is_https = matches!(ordinary.server, Server::Tcp { tls: Some(_), .. });
        let mut files = target.headers.iter().filter_map(|it| it.file.as_deref()).collect::<Vec<_>>();
        if is_https {
            files.extend(target.tls.files());
        }
        let watched = Mutex::new(Watched::new(&files));
        let tls = match is_https {
            true => Some(Arc::new(Tls::new(target.tls.clone(), target.http2).map_err(invalid)?)),
            false => None,
        };
        let headers = Headers::new(target.headers.clone()).map_err(invalid)?.map(Arc::new);
        let timed = matches!(target.dialect, Dialect::OkHttp { .. });
        let connector = Connector::new(target.connect, tls.clone(), target.http2, timed);
        Ok(Endpoint { connector, template, tls, headers, watched, functions: RwLock::default(), target })
    }

    fn has_files(&self) -> bool {
        !self.watched.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    /// Reads the files again that have changed. Blocks on the disk.
    fn read_changed_files(&self) {
        if !self.watched.lock().unwrap_or_else(PoisonError::into_inner).have_changed() {
            return;
        }
        let endpoint = self.template.shown();
        let tls = self.tls.as_ref().map_or(Ok(()), |tls| tls.read_again());
        let headers = self.headers.as_ref().map_or(Ok(()), |headers| headers.read_again());
        match tls.and(headers) {
            Ok(()) => debug!(endpoint, "files of the endpoint changed, the new ones are used from now on"),
            Err(error) => warn!(endpoint, error, "files of the endpoint changed, the old ones are used still"),
        }
    }

    /// The way to a function type, made at its first call.
    fn function(&self, name: &TypeName) -> Result<Arc<Function>, CallFailure> {
        if let Some(function) = self.functions.read().unwrap_or_else(PoisonError::into_inner).get(name) {
            return Ok(Arc::clone(function));
        }
        let destination = self.template.destination(name.name()).map_err(|e| CallFailure {
            // No endpoint serves such a name: it waits until the module has one.
            kind: FailureKind::NoEndpoint,
            code: codes::FUNCTION_NAME,
            error: format!("`{name}` cannot be called through `{}`: {e}", self.template.shown()).into(),
            retry_after_ms: None,
        })?;
        let made = Arc::new(Function::new(name.clone(), self, &destination));
        let mut functions = self.functions.write().unwrap_or_else(PoisonError::into_inner);
        if functions.len() >= FUNCTIONS_MAX {
            functions.retain(|_, function| Arc::strong_count(function) > 1);
        }
        Ok(Arc::clone(functions.entry(name.clone()).or_insert(made)))
    }
}

/// Closes connections that are of no use any more, until the invoker is gone.
async fn sweep(shared: Weak<Shared>) {
    let mut every = tokio::time::interval(SWEEP_EVERY);
    loop {
        every.tick().await;
        let Some(shared) = shared.upgrade() else { return };
        for function in shared.functions() {
            function.sweep();
        }
    }
}

/// Reads files again that changed, until the invoker is gone. On a thread that may block: a disk that hangs keeps nothing
/// else waiting.
async fn watch_files(shared: Weak<Shared>) {
    let mut every = tokio::time::interval(SWEEP_EVERY);
    loop {
        every.tick().await;
        let Some(shared) = shared.upgrade() else { return };
        let read = move || shared.endpoints.iter().for_each(Endpoint::read_changed_files);
        let _ = tokio::task::spawn_blocking(read).await;
    }
}
