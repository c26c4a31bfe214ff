//! Reads request bodies within limits of size, time and memory.
//!
//! What comes in: a body as it arrives. What goes out: its bytes with the memory they were granted, or the limit that it
//! broke. The grant is given back when it is dropped.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, HttpBody};
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout, timeout_at};

/// Limits on one body.
#[derive(Debug, Clone)]
pub struct BodyLimits {
    /// Bytes. Default 16 MiB, the largest argument.
    pub bytes: usize,
    /// Time without a byte. Default 30 s.
    pub idle: Duration,
    /// Time from the first byte to the last. Default 5 min, enough for 16 MiB at 0.5 Mbit/s.
    pub whole: Duration,
}

impl Default for BodyLimits {
    fn default() -> BodyLimits {
        BodyLimits { bytes: 16 << 20, idle: Duration::from_secs(30), whole: Duration::from_secs(300) }
    }
}

/// Memory that all bodies of an edge may take together.
#[derive(Debug, Clone)]
pub struct BodyBudget(Arc<Semaphore>);

impl BodyBudget {
    /// So many bytes.
    pub fn new(bytes: usize) -> BodyBudget {
        BodyBudget(Arc::new(Semaphore::new(bytes.min(Semaphore::MAX_PERMITS))))
    }

    fn grant(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        self.0.clone().try_acquire_many_owned(u32::try_from(bytes).ok()?).ok()
    }
}

/// The bytes of a body.
#[derive(Debug)]
pub struct Granted {
    /// The bytes.
    pub bytes: Bytes,
    /// Their memory, kept as long as something of this size is.
    pub memory: Option<OwnedSemaphorePermit>,
}

/// A body that was not read to its end.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// It is larger than one body may be.
    #[error("the body is larger than {0} bytes")]
    TooLarge(usize),
    /// It did not arrive in time.
    #[error("the body did not arrive in time: {0}")]
    TooSlow(&'static str),
    /// All bodies together are larger than their memory.
    #[error("the bodies of all requests together fill the memory that is set aside for them")]
    NoMemory,
    /// The connection or its framing broke.
    #[error("the body ended early")]
    Broken,
}

/// Whether a body says from the start that it is too large.
pub(crate) fn announces_too_much(body: &Body, limits: &BodyLimits) -> bool {
    body.size_hint().lower() > limits.bytes as u64
}

/// Reads a body to its end.
pub(crate) async fn read(mut body: Body, limits: &BodyLimits, budget: &BodyBudget) -> Result<Granted, BodyError> {
    let deadline = Instant::now() + limits.whole;
    let mut memory: Option<OwnedSemaphorePermit> = None;
    let mut bytes = BytesMut::new();
    loop {
        let chunk = match next(&mut body, limits.idle, deadline).await? {
            Some(chunk) if chunk.is_empty() => continue,
            Some(chunk) => chunk,
            None => return Ok(Granted { bytes: bytes.freeze(), memory }),
        };
        if bytes.len() + chunk.len() > limits.bytes {
            drop(chunk);
            drop((bytes, memory));
            discard(body, limits.bytes).await;
            return Err(BodyError::TooLarge(limits.bytes));
        }
        let grant = budget.grant(chunk.len()).ok_or(BodyError::NoMemory)?;
        match &mut memory {
            Some(memory) => memory.merge(grant),
            None => memory = Some(grant),
        }
        bytes.extend_from_slice(&chunk);
    }
}

async fn next(body: &mut Body, idle: Duration, deadline: Instant) -> Result<Option<Bytes>, BodyError> {
    let frame = timeout_at(deadline, timeout(idle, body.frame())).await;
    let frame = frame.map_err(|_| BodyError::TooSlow("its time as a whole is up"))?;
    match frame.map_err(|_| BodyError::TooSlow("no byte came for too long"))? {
        None => Ok(None),
        Some(Err(_)) => Err(BodyError::Broken),
        // Trailers are of no interest.
        Some(Ok(frame)) => Ok(Some(frame.into_data().unwrap_or_default())),
    }
}

/// Reads what is left of a body that nobody wants, within reason, so that a client that is still sending gets to read
/// its answer instead of a reset connection.
pub(crate) async fn discard(mut body: Body, bytes: usize) {
    const PATIENCE: Duration = Duration::from_secs(5);
    let _ = timeout(PATIENCE, async {
        let mut left = bytes.saturating_mul(4);
        while let Some(Ok(frame)) = body.frame().await {
            let read = frame.data_ref().map_or(0, Bytes::len);
            if read > left {
                break;
            }
            left -= read;
        }
    })
    .await;
}
