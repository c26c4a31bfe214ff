//! A ledger that is watched: whoever meets an error of it, the node hears of it.
//!
//! Commits and loads of the engine are not the only ones who use a ledger: topics, the admin API and Kafka egresses read it
//! too, on threads of their own. Damage that any of them meets is the node's business, because what is damaged is not only
//! theirs. So all of them are given the ledger through here, and none of them has to know what is to be done about it.

use std::sync::Arc;

use bytes::Bytes;
use millpond_engine::{Checkpoint, DelayedMessage, LaneName, Load, Loaded, Millis, Restored, Sequence, StateSpec};
use millpond_protocol::TypeName;
use millpond_publisher::Incarnation;

use super::{Ledger, LedgerError, LedgerMeasures, RefusedByEgress};

/// Hands everything on to another ledger, and tells of each error that is [final](LedgerError::is_final).
pub struct Watched {
    ledger: Arc<dyn Ledger>,
    tell: Box<dyn Fn(LedgerError) + Send + Sync>,
}

impl Watched {
    /// Watches a ledger. `tell` is called by whichever thread met the error, before that one is told itself.
    pub fn new(ledger: Arc<dyn Ledger>, tell: impl Fn(LedgerError) + Send + Sync + 'static) -> Watched {
        Watched { ledger, tell: Box::new(tell) }
    }

    fn heard<T>(&self, result: Result<T, LedgerError>) -> Result<T, LedgerError> {
        if let Err(error) = &result
            && error.is_final()
        {
            (self.tell)(error.clone());
        }
        result
    }
}

impl Ledger for Watched {
    fn restore(&self) -> Result<Restored, LedgerError> {
        self.heard(self.ledger.restore())
    }

    fn commit(&self, checkpoint: &Checkpoint, lanes: &[LaneName]) -> Result<(), LedgerError> {
        self.heard(self.ledger.commit(checkpoint, lanes))
    }

    fn load(&self, load: &Load) -> Result<Loaded, LedgerError> {
        self.heard(self.ledger.load(load))
    }

    fn outbox(
        &self,
        lane: &LaneName,
        after: u64,
        limit: usize,
        bytes: usize,
    ) -> Result<Vec<(u64, Bytes)>, LedgerError> {
        self.heard(self.ledger.outbox(lane, after, limit, bytes))
    }

    fn lane(&self, lane: &LaneName) -> Result<(u64, u64), LedgerError> {
        self.heard(self.ledger.lane(lane))
    }

    fn specs(&self) -> Result<Vec<(TypeName, StateSpec)>, LedgerError> {
        self.heard(self.ledger.specs())
    }

    fn identity(&self) -> Result<u128, LedgerError> {
        self.heard(self.ledger.identity())
    }

    fn lineage(&self, lane: &LaneName) -> Result<Vec<Incarnation>, LedgerError> {
        self.heard(self.ledger.lineage(lane))
    }

    fn claim(&self, lane: &LaneName, lineage: &[Incarnation]) -> Result<(), LedgerError> {
        self.heard(self.ledger.claim(lane, lineage))
    }

    fn refuse(&self, lane: &LaneName, refused: &RefusedByEgress) -> Result<(), LedgerError> {
        self.heard(self.ledger.refuse(lane, refused))
    }

    fn refused(
        &self,
        lane: &LaneName,
        after: u64,
        limit: usize,
        bytes: usize,
    ) -> Result<Vec<RefusedByEgress>, LedgerError> {
        self.heard(self.ledger.refused(lane, after, limit, bytes))
    }

    fn refused_count(&self, lane: &LaneName) -> Result<u64, LedgerError> {
        self.heard(self.ledger.refused_count(lane))
    }

    fn discard(&self, lane: &LaneName, sequence: u64) -> Result<bool, LedgerError> {
        self.heard(self.ledger.discard(lane, sequence))
    }

    fn delayed(
        &self,
        group: u16,
        after: (Millis, Sequence),
        limit: usize,
    ) -> Result<Vec<(Millis, Sequence, DelayedMessage)>, LedgerError> {
        self.heard(self.ledger.delayed(group, after, limit))
    }

    fn committed_bytes(&self) -> u64 {
        self.ledger.committed_bytes()
    }

    fn measures(&self) -> LedgerMeasures {
        self.ledger.measures()
    }
}
