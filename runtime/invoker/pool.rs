//! The connections of one function type.
//!
//! The last one put back is the first one used, so that a quiet function type keeps few. A connection is not used again
//! once it is older than `pool_ttl` plus one to three random seconds (so that not all are opened again at once), and a busy
//! one is closed when it is put back. How many there are is bounded by who may ask (`slots.rs`): a new one is opened only
//! when none is idle.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::Uri;
use tokio::time::Instant;

use super::connect::Connector;
use super::connection::Connection;
use super::error::CallError;
use super::gauge::Gauge;

/// A connection that lay idle this long is looked at before it is used. Servers close idle ones after seconds; looking
/// costs a system call, which a busy connection does not need.
const LOOK_AFTER: Duration = Duration::from_millis(5);

/// `pool_ttl` is lengthened by this many milliseconds at least...
const TTL_SPREAD_MS_MIN: u64 = 1_000;
/// ...and by so many less one at most, as upstream.
const TTL_SPREAD_MS_MAX: u64 = 3_000;

/// Idle connections, the last one put back at the end. A boxed connection moves as one pointer; most of its bytes are
/// hyper's.
#[allow(clippy::vec_box)]
type Idle = Vec<Box<Connection>>;

/// The pool.
pub(super) struct Pool {
    idle: Mutex<Idle>,
    connector: Connector,
    server: Uri,
    /// `None`: age does not matter.
    ttl: Option<Duration>,
    open: Gauge,
}

impl Pool {
    pub(super) fn new(connector: Connector, server: Uri, ttl: Duration) -> Pool {
        Pool {
            idle: Mutex::new(Vec::new()),
            connector,
            server,
            ttl: (!ttl.is_zero()).then_some(ttl),
            open: Gauge::default(),
        }
    }

    /// An idle connection that is young enough and, as far as can be known, not closed.
    pub(super) fn take(&self) -> Option<Box<Connection>> {
        loop {
            let mut connection = self.idle().pop()?;
            let now = Instant::now();
            if is_expired(&connection, now) {
                continue;
            }
            if now.duration_since(connection.idle_since) < LOOK_AFTER || connection.is_alive() {
                return Some(connection);
            }
        }
    }

    /// A new connection.
    pub(super) async fn connect(&self) -> Result<Box<Connection>, CallError> {
        let stream = self.connector.connect(&self.server).await?;
        // An age beyond what the clock can count is never reached.
        let expires = self.ttl.and_then(|ttl| Instant::now().checked_add(ttl.saturating_add(spread())));
        Connection::start(stream, expires, self.open.open()).await.map(Box::new)
    }

    /// Keeps a connection for the next call, or closes it.
    pub(super) fn put(&self, mut connection: Box<Connection>) {
        let now = Instant::now();
        if connection.is_reusable() && !is_expired(&connection, now) {
            connection.idle_since = now;
            self.idle().push(connection);
        }
    }

    /// Closes idle connections that are too old or that the other side has closed.
    pub(super) fn sweep(&self) {
        let now = Instant::now();
        self.idle().retain_mut(|connection| !is_expired(connection, now) && connection.is_alive());
    }

    /// Connections open, busy and idle.
    pub(super) fn open(&self) -> u64 {
        self.open.value()
    }

    /// Connections that nobody uses.
    pub(super) fn idle_count(&self) -> usize {
        self.idle().len()
    }

    /// Makes idle connections older than they are.
    #[cfg(test)]
    pub(super) fn age(&self, by: Duration) {
        for connection in self.idle().iter_mut() {
            connection.expires = connection.expires.map(|expires| expires - by);
        }
    }

    fn idle(&self) -> MutexGuard<'_, Idle> {
        // A panic elsewhere cannot leave a list half changed.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_expired(connection: &Connection, now: Instant) -> bool {
    connection.expires.is_some_and(|expires| now >= expires)
}

fn spread() -> Duration {
    // Without randomness all get the same age, which is still correct.
    let random = getrandom::u64().unwrap_or(0);
    Duration::from_millis(TTL_SPREAD_MS_MIN + random % (TTL_SPREAD_MS_MAX - TTL_SPREAD_MS_MIN))
}
