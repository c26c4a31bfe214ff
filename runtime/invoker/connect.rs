//! Opens connections, TLS included, within `connect`: over TCP (name, addresses, both families side by side) or to a Unix
//! domain socket.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::{GaiAddrs, GaiResolver, Name};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tower::{Service, ServiceExt};

use super::error::CallError;
use super::socket::{Raw, Socket, Stream, Wire, is_tls};
use super::template::Server;
use super::tls::{self, Secured, Tls};

/// How long a port may take to answer the question whether it speaks TLS.
const QUESTION: Duration = Duration::from_secs(1);

/// How the connections of an endpoint are opened.
#[derive(Debug, Clone)]
pub(super) struct Connector {
    http: HttpConnector<Resolver>,
    /// `None` where no function of the endpoint is called over `https`.
    tls: Option<Arc<Tls>>,
    /// `http2`: to a plain endpoint nothing else is spoken, over TLS the server chooses.
    pub(super) http2: bool,
    /// Pauses of a connection are limited.
    timed: bool,
    pub(super) limit: Duration,
}

/// A connection on which nothing has been said.
pub(super) struct Opened {
    pub(super) stream: Stream,
    pub(super) wire: Arc<Wire>,
    /// HTTP/2 is to be spoken.
    pub(super) http2: bool,
}

impl Connector {
    pub(super) fn new(limit: Duration, tls: Option<Arc<Tls>>, http2: bool, timed: bool) -> Connector {
        let mut http = HttpConnector::new_with_resolver(Resolver(GaiResolver::new()));
        http.set_nodelay(true);
        // As upstream: a peer that vanished without a word is found while a call waits.
        http.set_keepalive(Some(Duration::from_secs(60)));
        http.set_connect_timeout(Some(limit));
        Connector { http, tls, http2, timed, limit }
    }

    pub(super) async fn connect(&self, server: &Server) -> Result<Opened, CallError> {
        // The connector's own limit is for each address; this one is for the name, all addresses and the handshake.
        let mut doing = "connecting";
        match tokio::time::timeout(self.limit, self.open(server, &mut doing)).await {
            Ok(opened) => opened,
            Err(_) => Err(self.timed_out(doing)),
        }
    }

    /// A wait for a connection was longer than `connect`.
    pub(super) fn timed_out(&self, doing: &'static str) -> CallError {
        CallError::ConnectTimeout { limit_ms: self.limit.as_millis(), doing }
    }

    async fn open(&self, server: &Server, doing: &mut &'static str) -> Result<Opened, CallError> {
        let wire = Arc::new(Wire::new(self.timed));
        let (raw, host) = match server {
            Server::Unix(path) => (Raw::Unix(unix(path).await?), None),
            Server::Tcp { address, tls } => (Raw::Tcp(self.tcp(address).await?), tls.as_ref()),
        };
        let socket = Socket::new(raw, Arc::clone(&wire));
        match (host, &self.tls) {
            (Some(host), Some(tls)) => {
                *doing = "waiting for the TLS handshake";
                let Secured { stream, http2, shown } = tls.connect(host, socket).await?;
                if let Some(shown) = shown {
                    let _ = wire.asked.set(shown);
                }
                // What was read so far was the handshake.
                wire.read.store(false, Ordering::Relaxed);
                Ok(Opened { stream: Stream::Tls(Box::new(stream)), wire, http2 })
            }
            _ => Ok(Opened { stream: Stream::Plain(socket), wire, http2: self.http2 }),
        }
    }

    /// Whether a port that is called without TLS would speak it. Many servers answer a plain request with nothing at all.
    pub(super) async fn speaks_tls(&self, server: &Server) -> bool {
        let Server::Tcp { address, tls: None } = server else { return false };
        let ask = async {
            let hello = tls::hello(address.host().unwrap_or_default().trim_matches(['[', ']']))?;
            let mut stream = self.tcp(address).await.ok()?;
            stream.write_all(&hello).await.ok()?;
            let mut first = [0; 2];
            stream.read_exact(&mut first).await.ok()?;
            Some(is_tls(first))
        };
        matches!(tokio::time::timeout(QUESTION, ask).await, Ok(Some(true)))
    }

    async fn tcp(&self, address: &Uri) -> Result<TcpStream, CallError> {
        let stream = self.http.clone().oneshot(address.clone()).await.map_err(|e| match cause(&e) {
            Cause::Name => CallError::Resolve(Box::new(e)),
            Cause::Time => self.timed_out("connecting"),
            Cause::Other => CallError::Connect(Box::new(e)),
        })?;
        Ok(stream.into_inner())
    }
}

async fn unix(path: &Path) -> Result<UnixStream, CallError> {
    let failed = |source| CallError::Connect(Box::new(SocketError { path: path.to_owned(), source }));
    UnixStream::connect(path).await.map_err(failed)
}

/// A Unix domain socket that cannot be connected to.
#[derive(Debug, thiserror::Error)]
#[error("Unix domain socket `{}`", path.display())]
struct SocketError {
    path: PathBuf,
    #[source]
    source: io::Error,
}

enum Cause {
    Name,
    Time,
    Other,
}

fn cause(error: &(dyn std::error::Error + 'static)) -> Cause {
    let mut next = Some(error);
    while let Some(error) = next {
        if error.is::<ResolveError>() {
            return Cause::Name;
        }
        if error.downcast_ref::<io::Error>().is_some_and(|io| io.kind() == io::ErrorKind::TimedOut) {
            return Cause::Time;
        }
        next = error.source();
    }
    Cause::Other
}

/// The system's resolver, with an error that can be told from that of a connect.
#[derive(Debug, Clone)]
struct Resolver(GaiResolver);

/// A name without an address.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
struct ResolveError(io::Error);

impl Service<Name> for Resolver {
    type Response = GaiAddrs;
    type Error = ResolveError;
    type Future = futures_util::future::MapErr<
        <GaiResolver as Service<Name>>::Future,
        fn(<GaiResolver as Service<Name>>::Error) -> ResolveError,
    >;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ResolveError>> {
        self.0.poll_ready(cx).map_err(ResolveError)
    }

    fn call(&mut self, name: Name) -> Self::Future {
        futures_util::TryFutureExt::map_err(self.0.call(name), ResolveError)
    }
}
