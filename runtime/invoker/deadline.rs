//! The deadline layer: an attempt is over when its time is, whatever it waits for.

use std::task::{Context, Poll};

use futures_util::FutureExt;
use futures_util::future::Map;
use tokio::time::Timeout;
use tokio::time::error::Elapsed;
use tower::{Layer, Service};

use super::error::CallError;
use super::exchange::Attempt;

/// Makes a [`Deadline`].
#[derive(Debug, Clone, Copy)]
pub(super) struct DeadlineLayer;

/// Ends an attempt at [`Attempt::deadline`]: the future inside is dropped, and with it the connection that it uses.
#[derive(Debug, Clone)]
pub(super) struct Deadline<S> {
    inner: S,
}

type InTime<T> = Result<Result<T, CallError>, Elapsed>;

impl<S> Layer<S> for DeadlineLayer {
    type Service = Deadline<S>;

    fn layer(&self, inner: S) -> Deadline<S> {
        Deadline { inner }
    }
}

impl<S: Service<Attempt, Error = CallError>> Service<Attempt> for Deadline<S> {
    type Response = S::Response;
    type Error = CallError;
    type Future = Map<Timeout<S::Future>, fn(InTime<S::Response>) -> Result<S::Response, CallError>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), CallError>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, attempt: Attempt) -> Self::Future {
        let deadline = attempt.deadline;
        tokio::time::timeout_at(deadline, self.inner.call(attempt)).map(flatten)
    }
}

fn flatten<T>(result: InTime<T>) -> Result<T, CallError> {
    result.unwrap_or(Err(CallError::Deadline))
}
