//! One HTTP/1.1 connection, driven by the call that uses it.
//!
//! hyper splits a connection into a handle and a future that does the work. Usually that future is a task of its own; here
//! the caller polls it together with its own work, which saves two task switches a call. The price: an idle connection is
//! polled by nobody, so its close is noticed only when someone looks ([`Http1::is_alive`]).
//! Who owns it: the call, then the pool, never both. A call that is dropped closes its connection.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::time::Instant;

use super::connect::Opened;
use super::error::{CallError, Version};
use super::gauge::Open;
use super::socket::{Stream, Wire};

/// An open connection.
pub(super) struct Http1 {
    handle: http1::SendRequest<Full<Bytes>>,
    /// The work; `None` once it has ended, and with it the connection.
    work: Option<http1::Connection<TokioIo<Stream>, Full<Bytes>>>,
    pub(super) wire: Arc<Wire>,
    /// When it is too old to be used again; `None` is never.
    pub(super) expires: Option<Instant>,
    /// When it was last put back.
    pub(super) idle_since: Instant,
    _open: Open,
}

impl Http1 {
    /// Starts HTTP on a stream.
    pub(super) async fn start(opened: Opened, expires: Option<Instant>, open: Open) -> Result<Http1, CallError> {
        let started = http1::handshake(TokioIo::new(opened.stream)).await;
        let (handle, work) = started.map_err(|e| super::error::classify(e, Version::Http1))?;
        let wire = opened.wire;
        Ok(Http1 { handle, work: Some(work), wire, expires, idle_since: Instant::now(), _open: open })
    }

    /// Sends a request and does with the answer what `read` says, all of it inside this future.
    pub(super) async fn send<T, F>(
        &mut self,
        request: Request<Full<Bytes>>,
        read: impl FnOnce(http::Response<Incoming>) -> F,
    ) -> Result<T, CallError>
    where
        F: Future<Output = Result<T, CallError>>,
    {
        self.wire.written.store(false, Ordering::Relaxed);
        let answer = self.handle.send_request(request);
        let result = self
            .drive(async {
                match answer.await {
                    Ok(answer) => read(answer).await,
                    Err(e) => Err(super::error::classify(e, Version::Http1)),
                }
            })
            .await;
        if !self.handle.is_ready() {
            // The work may need one more look to see that the exchange is over.
            self.poll_idle();
        }
        result
    }

    /// Whether the system took any byte of the last request. If not, the other side cannot have seen it.
    pub(super) fn has_written(&self) -> bool {
        self.wire.written.load(Ordering::Relaxed)
    }

    /// Whether it can carry another request, as far as is known.
    pub(super) fn is_reusable(&self) -> bool {
        self.work.is_some() && self.handle.is_ready()
    }

    /// Asks the system whether the other side has closed it or said something unasked.
    pub(super) fn is_alive(&mut self) -> bool {
        self.wire.probing.store(true, Ordering::Relaxed);
        self.poll_idle();
        self.wire.probing.store(false, Ordering::Relaxed);
        self.is_reusable()
    }

    /// Polls `future` and the connection's work side by side until the future has ended.
    async fn drive<F: Future>(&mut self, future: F) -> F::Output {
        let mut future = pin!(future);
        poll_fn(|cx| {
            poll_work(&mut self.work, cx);
            future.as_mut().poll(cx)
        })
        .await
    }

    /// Lets the work see what has happened; nobody is woken by what happens next.
    fn poll_idle(&mut self) {
        poll_work(&mut self.work, &mut Context::from_waker(Waker::noop()));
    }
}

/// How the work ended is told to the request that was under way; between requests nobody needs to know.
fn poll_work(work: &mut Option<http1::Connection<TokioIo<Stream>, Full<Bytes>>>, cx: &mut Context<'_>) {
    if let Some(running) = work
        && let Poll::Ready(_) = Pin::new(running).poll(cx)
    {
        *work = None;
    }
}
