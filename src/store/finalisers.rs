//! What the state says of finalisers: the sets that changes made, and convictions. Both are numbered in chain order, the
//! tables holding the lower numbers and the tail the rest.

use std::sync::Arc;

use redb::ReadableTableMetadata as _;

use super::error::StoreError;
use super::record::{self, StoredSetChange, decode};
use super::snapshot::Snapshot;
use super::view::StateAt;
use crate::chain::state::{Conviction, Position, SetChange};
use crate::chain::transaction::FinaliserChange;
use crate::crypto::PublicKey;

fn lacking() -> StoreError {
    StoreError::Corrupt("what is known of the finalisers has a gap".to_owned())
}

impl Snapshot {
    fn flushed_set_changes(&self) -> Result<u64, StoreError> {
        match &self.tables().finalisers.set_changes {
            Some(table) => Ok(table.len()?),
            None => Ok(0),
        }
    }

    fn flushed_convictions(&self) -> Result<u64, StoreError> {
        match &self.tables().finalisers.convictions {
            Some(table) => Ok(table.len()?),
            None => Ok(0),
        }
    }

    /// A change that the main chain holds at its tip.
    fn read_set_change(&self, set: u64) -> Result<Option<Arc<SetChange>>, StoreError> {
        if let Some(record) = self.tail().set_change(set) {
            return Ok(Some(record.clone()));
        }
        let Some(table) = &self.tables().finalisers.set_changes else {
            return Ok(None);
        };
        match table.get(set)? {
            Some(stored) => Ok(Some(
                decode::<StoredSetChange>("set_changes", stored.value())?.into(),
            )),
            None => Ok(None),
        }
    }

    /// The changes that made sets 1 to `set`, as far as the main chain holds them: what leads from the genesis to a
    /// certificate's set.
    pub fn finaliser_changes(&self, set: u64) -> Result<Vec<FinaliserChange>, StoreError> {
        let mut changes = Vec::new();
        for number in 1..=set {
            let Some(record) = self.read_set_change(number)? else {
                break;
            };
            changes.push(record.change.clone());
        }
        Ok(changes)
    }

    /// The conviction with this number, from 0 in chain order, which has to be there.
    fn numbered_conviction(&self, number: u64) -> Result<Conviction, StoreError> {
        let flushed = self.flushed_convictions()?;
        if number >= flushed {
            let place = usize::try_from(number - flushed).map_err(|_| lacking())?;
            let in_tail = self.tail().blocks();
            return in_tail
                .flat_map(|block| &block.delta.convictions)
                .nth(place)
                .copied()
                .ok_or_else(lacking);
        }
        let stored = match &self.tables().finalisers.convictions {
            Some(table) => table.get(number)?,
            None => None,
        };
        Ok(record::read_conviction(stored.ok_or_else(lacking)?.value()))
    }
}

impl StateAt {
    pub(super) fn count_set_changes(&self) -> Result<u64, StoreError> {
        let snapshot = self.snapshot();
        let mut count = snapshot.flushed_set_changes()? + snapshot.tail().set_changes();
        // There are few, and those above the height are the last of them.
        while count > 0 {
            let record = snapshot.read_set_change(count)?.ok_or_else(lacking)?;
            if record.position.height <= self.height() {
                break;
            }
            count -= 1;
        }
        Ok(count)
    }

    pub(super) fn find_set_change(&self, set: u64) -> Result<Option<Arc<SetChange>>, StoreError> {
        let record = self.snapshot().read_set_change(set)?;
        Ok(record.filter(|record| record.position.height <= self.height()))
    }

    pub(super) fn count_convictions(&self) -> Result<u64, StoreError> {
        let snapshot = self.snapshot();
        let (mut low, mut high) = (
            0,
            snapshot.flushed_convictions()? + snapshot.tail().convictions(),
        );
        if self.height() == snapshot.tip().height {
            return Ok(high);
        }
        while low < high {
            let middle = low + (high - low) / 2;
            if snapshot.numbered_conviction(middle)?.position.height <= self.height() {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        Ok(low)
    }

    pub(super) fn find_conviction(
        &self,
        finaliser: &PublicKey,
    ) -> Result<Option<Position>, StoreError> {
        let snapshot = self.snapshot();
        let position = match snapshot.tail().conviction(finaliser) {
            Some(conviction) => Some(conviction.position),
            None => {
                let number = match &snapshot.tables().finalisers.convicted {
                    Some(table) => table.get(finaliser.as_bytes())?,
                    None => None,
                };
                match number {
                    Some(number) => Some(snapshot.numbered_conviction(number.value())?.position),
                    None => None,
                }
            }
        };
        Ok(position.filter(|position| position.height <= self.height()))
    }

    pub(super) fn list_convictions(
        &self,
        skip: u64,
        max: usize,
    ) -> Result<Vec<Conviction>, StoreError> {
        let snapshot = self.snapshot();
        let end = self
            .count_convictions()?
            .min(skip.saturating_add(max as u64));
        let flushed = snapshot.flushed_convictions()?;
        let mut found = (skip..end.min(flushed))
            .map(|number| snapshot.numbered_conviction(number))
            .collect::<Result<Vec<_>, _>>()?;
        let from = skip.max(flushed);
        let in_tail = snapshot
            .tail()
            .blocks()
            .flat_map(|block| &block.delta.convictions)
            .skip(usize::try_from(from - flushed).unwrap_or(usize::MAX));
        found.extend(in_tail.take(end.saturating_sub(from) as usize).copied());
        Ok(found)
    }
}
