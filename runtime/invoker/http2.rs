//! One HTTP/2 connection, shared by the calls that have a stream on it.
//!
//! A task of its own drives it, because no call is there from its beginning to its end. Who owns it: the pool, and each
//! [`Lease`]; with the last of them the task ends and the connection closes. A call that is dropped resets its stream, and
//! the connection stays. A peer that has vanished is found by pings while calls wait.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::connect::Opened;
use super::error::{CallError, Version};
use super::gauge::Open;
use super::socket::Wire;

/// A peer that is silent this long while calls wait is asked for a sign of life, and has as long again to give it.
const PING_AFTER: Duration = Duration::from_secs(10);

/// Bytes of the headers of one answer.
const HEADER_BYTES_MAX: u32 = 64 * 1024;

/// An open connection.
pub(super) struct Http2 {
    handle: http2::SendRequest<Full<Bytes>>,
    wire: Arc<Wire>,
    /// Streams that calls have.
    busy: AtomicUsize,
    /// Streams that the peer allows.
    most: Arc<AtomicUsize>,
    /// When it is too old to be used again; `None` is never.
    expires: Option<Instant>,
    /// When a stream was last given back.
    idle_since: Mutex<Instant>,
    task: AbortHandle,
    _open: Open,
}

/// A stream of a connection.
pub(super) struct Lease(Arc<Http2>);

impl Http2 {
    /// Starts HTTP/2 on a stream.
    pub(super) async fn start(opened: Opened, expires: Option<Instant>, open: Open) -> Result<Arc<Http2>, CallError> {
        let started = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .keep_alive_interval(PING_AFTER)
            .keep_alive_timeout(PING_AFTER)
            .max_header_list_size(HEADER_BYTES_MAX)
            .handshake(TokioIo::new(opened.stream))
            .await;
        let (handle, mut work) = started.map_err(|e| super::error::classify(e, Version::Http2))?;
        let most = Arc::new(AtomicUsize::new(work.current_max_send_streams().max(1)));
        let allowed = Arc::clone(&most);
        let task = tokio::spawn(poll_fn(move |cx| {
            // How it ended is told to the calls that were under way.
            let ended = Pin::new(&mut work).poll(cx).map(drop);
            allowed.store(work.current_max_send_streams().max(1), Ordering::Relaxed);
            ended
        }));
        Ok(Arc::new(Http2 {
            handle,
            wire: opened.wire,
            busy: AtomicUsize::new(0),
            most,
            expires,
            idle_since: Mutex::new(Instant::now()),
            task: task.abort_handle(),
            _open: open,
        }))
    }

    /// A stream, if the peer allows one more. Asked for under the lock of the pool.
    pub(super) fn lease(self: &Arc<Http2>) -> Option<Lease> {
        if self.busy.load(Ordering::Relaxed) >= self.most.load(Ordering::Relaxed) {
            return None;
        }
        self.busy.fetch_add(1, Ordering::Relaxed);
        Some(Lease(Arc::clone(self)))
    }

    /// Whether it can carry another request, as far as is known.
    pub(super) fn is_usable(&self, now: Instant, idle_max: Option<Duration>) -> bool {
        let idle = || now.saturating_duration_since(*self.idle_since.lock().unwrap_or_else(PoisonError::into_inner));
        let rested = !self.is_busy() && idle_max.is_some_and(|most| idle() >= most);
        !self.handle.is_closed() && !rested && self.expires.is_none_or(|expires| now < expires)
    }

    /// Whether a call has a stream on it.
    pub(super) fn is_busy(&self) -> bool {
        self.busy.load(Ordering::Relaxed) > 0
    }

    /// Makes it older than it is.
    #[cfg(test)]
    pub(super) fn age(this: &mut Arc<Http2>, by: Duration) {
        let this = Arc::get_mut(this).expect("nobody uses it");
        this.expires = this.expires.map(|expires| expires - by);
    }
}

impl Drop for Http2 {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Lease {
    /// Sends a request and does with the answer what `read` says.
    pub(super) async fn send<T, F>(
        &self,
        request: Request<Full<Bytes>>,
        read: impl FnOnce(http::Response<Incoming>) -> F,
    ) -> Result<T, CallError>
    where
        F: Future<Output = Result<T, CallError>>,
    {
        match self.0.handle.clone().try_send_request(request).await {
            Ok(answer) => read(answer).await,
            // It came back: it never left.
            Err(e) if e.message().is_some() => Err(CallError::Unseen(e.into_error())),
            Err(e) => Err(super::error::classify(e.into_error(), Version::Http2)),
        }
    }

    pub(super) fn wire(&self) -> &Wire {
        &self.0.wire
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        *self.0.idle_since.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        self.0.busy.fetch_sub(1, Ordering::Relaxed);
    }
}
