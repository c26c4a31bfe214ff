//! The concurrency layer: at most `pool_size` calls of one function type are under way.
//!
//! Who comes when all are busy waits, in order of arrival, for at most `connect`: upstream takes that property for both
//! kinds of waiting for a connection.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::sync::Semaphore;
use tower::{Layer, Service};

use super::error::CallError;
use super::exchange::Attempt;

/// Makes a [`Slots`].
#[derive(Debug, Clone)]
pub(super) struct SlotsLayer {
    /// How many.
    pub(super) size: usize,
    /// How long to wait for one.
    pub(super) wait: Duration,
}

/// Lets so many attempts through.
#[derive(Debug, Clone)]
pub(super) struct Slots<S> {
    inner: S,
    free: Arc<Semaphore>,
    size: usize,
    wait: Duration,
}

impl<S> Layer<S> for SlotsLayer {
    type Service = Slots<S>;

    fn layer(&self, inner: S) -> Slots<S> {
        let size = self.size.clamp(1, Semaphore::MAX_PERMITS);
        Slots { inner, free: Arc::new(Semaphore::new(size)), size, wait: self.wait }
    }
}

impl<S> Service<Attempt> for Slots<S>
where
    S: Service<Attempt, Error = CallError> + Clone + Send + 'static,
    S::Future: Send,
    S::Response: Send,
{
    type Response = S::Response;
    type Error = CallError;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, CallError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), CallError>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, attempt: Attempt) -> Self::Future {
        // The service that was polled ready is the one to call.
        let clone = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, clone);
        let (free, size, wait) = (Arc::clone(&self.free), self.size, self.wait);
        Box::pin(async move {
            let _slot = match free.try_acquire() {
                Ok(slot) => slot,
                Err(_) => match tokio::time::timeout(wait, free.acquire()).await {
                    Ok(Ok(slot)) => slot,
                    // It is never closed, so this is time.
                    _ => return Err(CallError::NoSlot { size, waited_ms: wait.as_millis() }),
                },
            };
            inner.call(attempt).await
        })
    }
}
