//! One topic as its readers see it: what is taken, what can be read, what is new.
//!
//! Who owns the state: the records are the ledger's, their numbers the engine's. Here is only how far records were handed
//! to takers since the start, so that two takers never get the same one while a removal is on its way.

use std::sync::Arc;

use bytes::Bytes;
use millpond_engine::{Answer, LaneId, LaneName};
use tokio::sync::{Mutex, oneshot, watch};
use tracing::error;

use crate::edge::Complaints;
use crate::handle::{EngineGone, EngineHandle};
use crate::ledger::{Ledger, LedgerError};

/// A lane with those who read it.
pub(super) struct Topic {
    ledger: Arc<dyn Ledger>,
    engine: EngineHandle,
    lane: LaneId,
    name: LaneName,
    /// The highest sequence number handed to a taker.
    taken: Mutex<u64>,
    complaints: Complaints,
}

/// A record and its sequence number.
pub type Record = (u64, Bytes);

/// A read that failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReadError {
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    #[error(transparent)]
    EngineGone(#[from] EngineGone),
    #[error("the ledger's reader stopped")]
    ReaderGone,
}

impl Topic {
    pub(super) fn new(ledger: Arc<dyn Ledger>, engine: EngineHandle, lane: LaneId, name: LaneName) -> Topic {
        Topic { ledger, engine, lane, name, taken: Mutex::new(0), complaints: Complaints::default() }
    }

    /// Takes the oldest record that nobody took. It is handed out with the receipt of its removal: nobody may see it
    /// before the receipt says that it is durable.
    ///
    /// Takers are served one by one, in the order in which they came, but wait for their receipts together. A taker that
    /// goes away before its turn takes nothing: between the claim and the request to remove it, nothing is waited for.
    pub(super) async fn take(&self) -> Result<Option<(Record, oneshot::Receiver<Answer>)>, ReadError> {
        let mut taken = self.taken.lock().await;
        let Some(record) = self.page(*taken, 1, 0).await?.into_iter().next() else {
            return Ok(None);
        };
        let receipt = self.engine.free(self.lane, record.0)?;
        *taken = record.0;
        Ok(Some((record, receipt)))
    }

    /// The sequence number of the record that a taker would get now.
    pub(super) async fn oldest(&self) -> Result<Option<u64>, ReadError> {
        let taken = *self.taken.lock().await;
        Ok(self.page(taken, 1, 0).await?.first().map(|(sequence, _)| *sequence))
    }

    /// Durable records behind `after`, within limits of number and bytes, of which the first record is free.
    pub(super) async fn page(&self, after: u64, limit: usize, bytes: usize) -> Result<Vec<Record>, ReadError> {
        self.read(move |ledger, name| ledger.outbox(name, after, limit, bytes)).await
    }

    /// The lowest sequence number still kept.
    pub(super) async fn first(&self) -> Result<u64, ReadError> {
        Ok(self.read(|ledger, name| ledger.lane(name)).await?.0)
    }

    /// Frees everything up to and including `upto`.
    pub(super) fn free(&self, upto: u64) -> Result<oneshot::Receiver<Answer>, EngineGone> {
        self.engine.free(self.lane, upto)
    }

    /// Changes whenever records became durable.
    pub(super) fn published(&self) -> watch::Receiver<u64> {
        self.engine.published(self.lane).expect("the node has the lanes of the egress table")
    }

    /// Reads the ledger, on a thread that may wait. Whether an error ends the node is not decided here (`ledger/watched.rs`).
    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&dyn Ledger, &LaneName) -> Result<T, LedgerError> + Send + 'static,
    ) -> Result<T, ReadError> {
        let (ledger, name) = (Arc::clone(&self.ledger), self.name.clone());
        let read = tokio::task::spawn_blocking(move || read(&*ledger, &name)).await;
        let error = match read {
            Ok(Ok(read)) => return Ok(read),
            Ok(Err(error)) => ReadError::Ledger(error),
            Err(_) => ReadError::ReaderGone,
        };
        if let Some(suppressed) = self.complaints.due() {
            let topic = &self.name.part;
            error!(topic, %error, code = "MP6007", suppressed, "topic cannot be read");
        }
        Err(error)
    }
}
