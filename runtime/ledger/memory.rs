//! The memory twin of the local ledger, behind the same trait: [`MemoryLedger`] says what it does.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use millpond_engine::{
    Checkpoint, DelayedMessage, LaneName, Load, Loaded, MemoryLedger, Millis, Restored, Sequence, StateSpec,
};
use millpond_protocol::TypeName;
use millpond_publisher::Incarnation;

use super::{Ledger, LedgerError, RefusedByEgress};

/// A ledger for tests: nothing survives it.
#[derive(Debug, Default)]
pub struct SharedMemoryLedger(Mutex<MemoryLedger>, Mutex<Books>);

/// What publishers keep beside checkpoints.
#[derive(Debug, Default)]
struct Books {
    lineages: BTreeMap<LaneName, Vec<Incarnation>>,
    refused: BTreeMap<LaneName, BTreeMap<u64, RefusedByEgress>>,
}

impl SharedMemoryLedger {
    fn ledger(&self) -> MutexGuard<'_, MemoryLedger> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        self.1.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ledger for SharedMemoryLedger {
    fn restore(&self) -> Result<Restored, LedgerError> {
        Ok(self.ledger().restore())
    }

    fn commit(&self, checkpoint: &Checkpoint, lanes: &[LaneName]) -> Result<(), LedgerError> {
        Ok(self.ledger().commit(checkpoint, lanes)?)
    }

    fn load(&self, load: &Load) -> Result<Loaded, LedgerError> {
        Ok(self.ledger().load(load))
    }

    fn outbox(
        &self,
        lane: &LaneName,
        after: u64,
        limit: usize,
        bytes: usize,
    ) -> Result<Vec<(u64, Bytes)>, LedgerError> {
        Ok(self.ledger().outbox(lane, after, limit, bytes))
    }

    fn lane(&self, lane: &LaneName) -> Result<(u64, u64), LedgerError> {
        Ok(self.ledger().lane(lane))
    }

    fn specs(&self) -> Result<Vec<(TypeName, StateSpec)>, LedgerError> {
        Ok(self.ledger().specs())
    }

    fn identity(&self) -> Result<u128, LedgerError> {
        Ok(1)
    }

    fn lineage(&self, lane: &LaneName) -> Result<Vec<Incarnation>, LedgerError> {
        Ok(self.books().lineages.get(lane).cloned().unwrap_or_default())
    }

    fn claim(&self, lane: &LaneName, lineage: &[Incarnation]) -> Result<(), LedgerError> {
        self.books().lineages.insert(lane.clone(), lineage.to_vec());
        Ok(())
    }

    fn refuse(&self, lane: &LaneName, refused: &RefusedByEgress) -> Result<(), LedgerError> {
        self.books().refused.entry(lane.clone()).or_default().insert(refused.sequence, refused.clone());
        Ok(())
    }

    fn refused(
        &self,
        lane: &LaneName,
        after: u64,
        limit: usize,
        bytes: usize,
    ) -> Result<Vec<RefusedByEgress>, LedgerError> {
        let books = self.books();
        let Some(refused) = books.refused.get(lane) else { return Ok(Vec::new()) };
        let mut left = bytes;
        let above = refused.values().filter(|refused| refused.sequence > after).take(limit).enumerate();
        let page = above.take_while(|(at, refused)| {
            let size = refused.record.len() + refused.error.len();
            let fits = *at == 0 || size <= left;
            left = left.saturating_sub(size);
            fits
        });
        Ok(page.map(|(_, refused)| refused.clone()).collect())
    }

    fn refused_count(&self, lane: &LaneName) -> Result<u64, LedgerError> {
        Ok(self.books().refused.get(lane).map_or(0, |refused| refused.len() as u64))
    }

    fn discard(&self, lane: &LaneName, sequence: u64) -> Result<bool, LedgerError> {
        Ok(self.books().refused.get_mut(lane).is_some_and(|refused| refused.remove(&sequence).is_some()))
    }

    fn delayed(
        &self,
        group: u16,
        after: (Millis, Sequence),
        limit: usize,
    ) -> Result<Vec<(Millis, Sequence, DelayedMessage)>, LedgerError> {
        Ok(self.ledger().delayed_of(group, after, limit))
    }
}
