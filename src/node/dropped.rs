//! Why transactions that had waited here can no longer be mined, for those who ask.
//!
//! A reason goes to disk with the commit that takes its transaction off the list of those that wait, so that a restart
//! takes back no word: what was acknowledged is on the chain, waits, or has a reason.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{PoisonError, RwLock};

use crate::chain::transaction::TxId;
use crate::protocol::submit::Reason;
use crate::store::{Snapshot, StoreError};
use crate::wire::{self, Message, array_struct};

/// Reasons that are remembered; the oldest goes first. More than all the invalid and late votes of a large club.
pub(super) const MAX_DROPPED: usize = 10_000;

array_struct! {
    /// A reason as it is kept among the store's notes.
    pub struct Kept {
        /// Counts reasons, from 0.
        pub number: u64,
        /// The transaction.
        pub transaction: TxId,
        /// Why.
        pub reason: Reason,
    }
}

impl Message for Kept {
    const MAX_BYTES: usize = 2 * 1024;
}

/// Name of the note in which the reason with this number is kept: the newest takes the place of the oldest.
fn note_of(number: u64) -> String {
    format!("dropped-{}", number % MAX_DROPPED as u64)
}

#[derive(Default)]
struct Log {
    reasons: BTreeMap<TxId, Reason>,
    order: VecDeque<TxId>,
    /// Reasons ever given.
    given: u64,
}

/// Where a dropped transaction's reason is found. Written by the node thread.
#[derive(Default)]
pub struct DropLog(RwLock<Log>);

impl DropLog {
    /// What the store holds.
    pub(super) fn load(snapshot: &Snapshot) -> Result<Self, StoreError> {
        let mut kept = Vec::new();
        for slot in 0..MAX_DROPPED as u64 {
            let Some(bytes) = snapshot.note(&note_of(slot))? else {
                break;
            };
            let reason: Kept = wire::decode(&bytes)
                .map_err(|error| StoreError::Corrupt(format!("a dropped reason: {error}")))?;
            kept.push(reason);
        }
        kept.sort_by_key(|kept| kept.number);
        let log = Self::default();
        for Kept {
            number,
            transaction,
            reason,
        } in kept
        {
            log.write().given = number;
            log.add(transaction, reason);
        }
        Ok(log)
    }

    fn write(&self) -> std::sync::RwLockWriteGuard<'_, Log> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Why a transaction that had waited here can no longer be mined.
    pub fn reason(&self, id: &TxId) -> Option<Reason> {
        let log = self.0.read().unwrap_or_else(PoisonError::into_inner);
        log.reasons.get(id).cloned()
    }

    /// How many reasons are remembered.
    #[cfg(any(test, feature = "simulation"))]
    pub(crate) fn len(&self) -> usize {
        let log = self.0.read().unwrap_or_else(PoisonError::into_inner);
        log.order.len()
    }

    /// Remembers a reason. Gives the note that keeps it: its name and contents.
    pub(crate) fn add(&self, id: TxId, reason: Reason) -> (String, Vec<u8>) {
        let mut log = self.write();
        let kept = Kept {
            number: log.given,
            transaction: id,
            reason: reason.clone(),
        };
        log.given += 1;
        if log.reasons.insert(id, reason).is_none() {
            log.order.push_back(id);
        }
        while log.order.len() > MAX_DROPPED {
            if let Some(oldest) = log.order.pop_front() {
                log.reasons.remove(&oldest);
            }
        }
        (note_of(kept.number), wire::encode(&kept))
    }
}
