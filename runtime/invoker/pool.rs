//! The connections of one function type.
//!
//! The last one put back is the first one used, so that a quiet function type keeps few. A connection is not used again
//! once it is older than `pool_ttl` plus one to three random seconds (so that not all are opened again at once), and a busy
//! one is closed when it is put back. okhttp counts how long a connection lay idle instead. How many there are is bounded by
//! who may ask (`slots.rs`): a new one is opened only when none is idle, or, over HTTP/2, when none has a stream left.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::connect::Connector;
use super::error::CallError;
use super::gauge::Gauge;
use super::http1::Http1;
use super::http2::{Http2, Lease};
use super::socket::Wire;
use super::template::Server;

/// A connection that lay idle this long is looked at before it is used. Servers close idle ones after seconds; looking
/// costs a system call, which a busy connection does not need.
const LOOK_AFTER: Duration = Duration::from_millis(5);

/// `pool_ttl` is lengthened by this many milliseconds at least...
const TTL_SPREAD_MS_MIN: u64 = 1_000;
/// ...and by so many less one at most, as upstream.
const TTL_SPREAD_MS_MAX: u64 = 3_000;

/// A server that says nothing is asked whether it speaks TLS, and not again before this has passed.
const ASK_AGAIN_AFTER: Duration = Duration::from_secs(10);

/// How long connections are kept.
#[derive(Debug, Clone, Copy)]
pub(super) struct Keep {
    /// `pool_ttl`: their age; `None`: it does not matter.
    pub(super) ttl: Option<Duration>,
    /// How long they may lie idle; `None`: it does not matter.
    pub(super) idle: Option<Duration>,
    /// How many may lie idle.
    pub(super) idle_max: usize,
}

/// A connection, or a stream of one, in the hands of a call.
pub(super) enum Connection {
    /// HTTP/1.1: all of it. A boxed connection moves as one pointer; most of its bytes are hyper's.
    Whole(Box<Http1>),
    /// HTTP/2.
    Stream(Lease),
}

impl Connection {
    /// What its socket has seen.
    pub(super) fn wire(&self) -> &Wire {
        match self {
            Connection::Whole(it) => &it.wire,
            Connection::Stream(it) => it.wire(),
        }
    }
}

/// What nobody uses, and what can be used beside others.
#[derive(Default)]
struct Kept {
    /// Idle connections, the last one put back at the end.
    #[allow(clippy::vec_box)]
    idle: Vec<Box<Http1>>,
    /// HTTP/2 connections, the newest at the end.
    shared: Vec<Arc<Http2>>,
}

/// The pool.
pub(super) struct Pool {
    kept: Mutex<Kept>,
    connector: Connector,
    server: Server,
    keep: Keep,
    open: Gauge,
    /// Held while a connection is opened that others may be able to share.
    opening: tokio::sync::Mutex<()>,
    /// The server was offered HTTP/2 and chose HTTP/1.1.
    declined: AtomicBool,
    /// The server answered a request, or began to.
    heard: AtomicBool,
    /// When it was asked last whether it speaks TLS, and whether it does.
    asked: Mutex<Option<(Instant, bool)>>,
}

impl Pool {
    pub(super) fn new(connector: Connector, server: Server, keep: Keep) -> Pool {
        Pool {
            kept: Mutex::default(),
            connector,
            server,
            keep,
            open: Gauge::default(),
            opening: tokio::sync::Mutex::new(()),
            declined: AtomicBool::new(false),
            heard: AtomicBool::new(false),
            asked: Mutex::default(),
        }
    }

    /// A connection that is there, young enough and, as far as can be known, not closed.
    pub(super) fn take(&self) -> Option<Connection> {
        if self.connector.http2
            && let Some(lease) = self.lease()
        {
            return Some(Connection::Stream(lease));
        }
        loop {
            let mut connection = self.kept().idle.pop()?;
            let now = Instant::now();
            if self.is_over(&connection, now) {
                continue;
            }
            if now.duration_since(connection.idle_since) < LOOK_AFTER || connection.is_alive() {
                return Some(Connection::Whole(connection));
            }
        }
    }

    /// A stream of a connection that has one left.
    fn lease(&self) -> Option<Lease> {
        let now = Instant::now();
        let mut kept = self.kept();
        kept.shared.retain(|it| it.is_usable(now, self.keep.idle));
        kept.shared.iter().find_map(Http2::lease)
    }

    /// A new connection; over HTTP/2 also one that somebody else opened in the meantime.
    pub(super) async fn connect(&self) -> Result<Connection, CallError> {
        if !self.connector.http2 || self.declined.load(Ordering::Relaxed) {
            return self.open_one().await;
        }
        let waited = tokio::time::timeout(self.connector.limit, self.opening.lock()).await;
        let _gate = waited.map_err(|_| self.connector.timed_out("waiting for a connection that another call opens"))?;
        match self.lease() {
            Some(lease) => Ok(Connection::Stream(lease)),
            None => self.open_one().await,
        }
    }

    async fn open_one(&self) -> Result<Connection, CallError> {
        let opened = self.connector.connect(&self.server).await?;
        // An age beyond what the clock can count is never reached.
        let expires = self.keep.ttl.and_then(|ttl| Instant::now().checked_add(ttl.saturating_add(spread())));
        if opened.http2 {
            let wire = Arc::clone(&opened.wire);
            let shared = match Http2::start(opened, expires, self.open.open()).await {
                Ok(shared) => shared,
                Err(error) => return Err(self.explain(error, &wire).await),
            };
            let mut kept = self.kept();
            let lease = shared.lease().expect("a new connection has a stream to give");
            kept.shared.push(shared);
            return Ok(Connection::Stream(lease));
        }
        self.declined.store(self.connector.http2, Ordering::Relaxed);
        Http1::start(opened, expires, self.open.open()).await.map(|it| Connection::Whole(Box::new(it)))
    }

    /// Says more about the failure of a new connection, where its bytes tell more than its error.
    pub(super) async fn explain(&self, error: CallError, wire: &Wire) -> CallError {
        let (CallError::Broken(_) | CallError::Unseen(_) | CallError::NotHttp { .. }) = error else {
            return error;
        };
        let silent = !wire.has_read();
        // TLS 1.3 judges a client's certificate behind the handshake. A server that took it sends something at once.
        let refused = wire.asked.get().filter(|_| silent).copied();
        let tls = self.is_plain() && (wire.begins_as_tls() || silent && self.would_speak_tls().await);
        match (error, refused) {
            (
                CallError::Broken(source) | CallError::Unseen(source) | CallError::NotHttp { source, .. },
                Some(shown),
            ) => CallError::TurnedAway { shown, source: source.into() },
            (CallError::Broken(source) | CallError::Unseen(source) | CallError::NotHttp { source, .. }, None)
                if tls =>
            {
                CallError::SpeaksTls(source)
            }
            (error, _) => error,
        }
    }

    fn is_plain(&self) -> bool {
        matches!(self.server, Server::Tcp { tls: None, .. })
    }

    /// Asks a server that was never heard; not more often than once in a while.
    async fn would_speak_tls(&self) -> bool {
        if self.heard.load(Ordering::Relaxed) {
            return false;
        }
        let asked = || self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, speaks)) = *asked()
            && at.elapsed() < ASK_AGAIN_AFTER
        {
            return speaks;
        }
        let speaks = self.connector.speaks_tls(&self.server).await;
        *asked() = Some((Instant::now(), speaks));
        speaks
    }

    /// Keeps a connection for the next call, or closes it.
    pub(super) fn put(&self, connection: Connection) {
        if connection.wire().has_read() {
            self.heard.store(true, Ordering::Relaxed);
        }
        let Connection::Whole(mut connection) = connection else { return };
        let now = Instant::now();
        if connection.is_reusable() && !is_old(&connection, now) {
            connection.idle_since = now;
            let mut kept = self.kept();
            if kept.idle.len() < self.keep.idle_max {
                kept.idle.push(connection);
            }
        }
    }

    /// Closes connections that nobody uses and that are too old or that the other side has closed.
    pub(super) fn sweep(&self) {
        let now = Instant::now();
        let mut kept = self.kept();
        kept.idle.retain_mut(|connection| !self.is_over(connection, now) && connection.is_alive());
        kept.shared.retain(|it| it.is_usable(now, self.keep.idle));
    }

    /// Connections open, busy and idle.
    pub(super) fn open(&self) -> u64 {
        self.open.value()
    }

    /// Connections that nobody uses.
    pub(super) fn idle_count(&self) -> usize {
        let kept = self.kept();
        kept.idle.len() + kept.shared.iter().filter(|it| !it.is_busy()).count()
    }

    /// Makes idle connections older than they are.
    #[cfg(test)]
    pub(super) fn age(&self, by: Duration) {
        let mut kept = self.kept();
        for connection in &mut kept.idle {
            connection.expires = connection.expires.map(|expires| expires - by);
            connection.idle_since -= by;
        }
        for connection in &mut kept.shared {
            Http2::age(connection, by);
        }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        // A panic elsewhere cannot leave a list half changed.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether an idle connection has been kept for long enough.
    fn is_over(&self, connection: &Http1, now: Instant) -> bool {
        let rested = self.keep.idle.is_some_and(|most| now.duration_since(connection.idle_since) >= most);
        rested || is_old(connection, now)
    }
}

fn is_old(connection: &Http1, now: Instant) -> bool {
    connection.expires.is_some_and(|expires| now >= expires)
}

fn spread() -> Duration {
    // Without randomness all get the same age, which is still correct.
    let random = getrandom::u64().unwrap_or(0);
    Duration::from_millis(TTL_SPREAD_MS_MIN + random % (TTL_SPREAD_MS_MAX - TTL_SPREAD_MS_MIN))
}
