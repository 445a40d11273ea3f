//! What a snapshot holds besides the chain: the pool, peers and small facts.

use redb::ReadableTableMetadata as _;

use super::error::StoreError;
use super::snapshot::Snapshot;
use crate::chain::transaction::TxId;

/// A peer id and what is kept about the peer.
pub type PeerEntry = (Vec<u8>, Vec<u8>);

impl Snapshot {
    /// Transactions that wait for a block.
    pub fn pending_count(&self) -> Result<u64, StoreError> {
        Ok(self.0.tables.pending.len()?)
    }

    /// The canonical encoding of a transaction that waits.
    pub fn pending(&self, id: &TxId) -> Result<Option<Vec<u8>>, StoreError> {
        let Some(stored) = self.0.tables.pending.get(id.as_bytes())? else {
            return Ok(None);
        };
        Ok(Some(split_pending(stored.value())?.1.to_vec()))
    }

    /// Ids of waiting transactions that are greater than `after`, ascending, at most `max`.
    pub fn pending_ids(&self, after: &TxId, max: usize) -> Result<Vec<TxId>, StoreError> {
        use std::ops::Bound::{Excluded, Unbounded};
        self.0
            .tables
            .pending
            .range::<&[u8; 32]>((Excluded(after.as_bytes()), Unbounded))?
            .take(max)
            .map(|entry| Ok(TxId::from_bytes(*entry?.0.value())))
            .collect()
    }

    /// Every waiting transaction: arrival number, id and canonical encoding, in the order of the ids.
    pub fn for_each_pending(
        &self,
        mut visit: impl FnMut(u64, TxId, &[u8]),
    ) -> Result<(), StoreError> {
        for entry in self.0.tables.pending.range::<&[u8; 32]>(..)? {
            let (id, stored) = entry?;
            let (arrival, transaction) = split_pending(stored.value())?;
            visit(arrival, TxId::from_bytes(*id.value()), transaction);
        }
        Ok(())
    }

    /// The peer book: peer id and entry.
    pub fn peers(&self) -> Result<Vec<PeerEntry>, StoreError> {
        pairs(&self.0.tables.peers)
    }

    /// The block list: peer id and entry.
    pub fn bans(&self) -> Result<Vec<PeerEntry>, StoreError> {
        pairs(&self.0.tables.bans)
    }

    /// A small fact that the node keeps.
    pub fn note(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let note = self.0.tables.notes.get(name)?;
        Ok(note.map(|note| note.value().to_vec()))
    }
}

fn pairs(
    table: &redb::ReadOnlyTable<&'static [u8], &'static [u8]>,
) -> Result<Vec<PeerEntry>, StoreError> {
    table
        .range::<&[u8]>(..)?
        .map(|entry| {
            let (key, value) = entry?;
            Ok((key.value().to_vec(), value.value().to_vec()))
        })
        .collect()
}

/// The arrival number and the canonical encoding in an entry of table `pending`.
pub(super) fn split_pending(stored: &[u8]) -> Result<(u64, &[u8]), StoreError> {
    let (arrival, transaction) = stored
        .split_first_chunk::<8>()
        .ok_or_else(|| StoreError::Corrupt("table pending: too short".to_owned()))?;
    Ok((u64::from_be_bytes(*arrival), transaction))
}
