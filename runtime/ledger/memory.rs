//! The memory twin of the local ledger, behind the same trait: [`MemoryLedger`] says what it does.

use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use millpond_engine::{
    Checkpoint, DelayedMessage, LaneName, Load, Loaded, MemoryLedger, Millis, Restored, Sequence, StateSpec,
};
use millpond_protocol::TypeName;

use super::{Ledger, LedgerError};

/// A ledger for tests: nothing survives it.
#[derive(Debug, Default)]
pub struct SharedMemoryLedger(Mutex<MemoryLedger>);

impl SharedMemoryLedger {
    fn ledger(&self) -> MutexGuard<'_, MemoryLedger> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
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

    fn delayed(
        &self,
        group: u16,
        after: (Millis, Sequence),
        limit: usize,
    ) -> Result<Vec<(Millis, Sequence, DelayedMessage)>, LedgerError> {
        Ok(self.ledger().delayed_of(group, after, limit))
    }
}
