//! Writing the lower part of the tail into the tables, in sorted runs: neighbouring keys share pages, so that a page is
//! read and written once for all of them.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use redb::{ReadableTable as _, ReadableTableMetadata as _, WriteTransaction};

use super::apply::write_point;
use super::error::StoreError;
use super::record::{
    StoredElection, StoredInvitation, StoredSetChange, StoredVoter, conviction_bytes,
    position_bytes, use_bytes, vote_bytes,
};
use super::snapshot::Snapshot;
use super::tables::{self, group_key, meta, node_key, vote_key};
use super::tail::TailBlock;
use super::writer::Store;
use crate::chain::election::ElectionId;
use crate::chain::genesis::Group;
use crate::chain::state::Position;
use crate::wire;

impl Store {
    /// Writes the tail up to `height` into the tables.
    pub(super) fn flush(&mut self, height: u64) -> Result<(), StoreError> {
        let blocks: Vec<Arc<TailBlock>> = self
            .tail
            .blocks()
            .take_while(|block| block.header.height <= height)
            .cloned()
            .collect();
        let Some(last) = blocks.last() else {
            return Ok(());
        };
        let tail = self.tail.above(last.header.height);
        self.write(|store, transaction| {
            let run = Run {
                transaction,
                snapshot: &store.snapshot,
                blocks: &blocks,
            };
            run.write_transactions()?;
            run.write_roll()?;
            run.write_groups()?;
            run.write_invitations()?;
            let numbers = run.write_elections()?;
            run.write_votes(&numbers)?;
            run.write_finalisers()?;
            write_point(transaction, meta::FLUSHED, &last.id, last.header.height)?;
            transaction
                .open_table(tables::META)?
                .insert(meta::COUNTS, wire::encode(&last.counts).as_slice())?;
            Ok(())
        })?;
        self.install(tail, self.elections.clone());
        Ok(())
    }
}

/// Blocks on their way into the tables.
struct Run<'a> {
    transaction: &'a WriteTransaction,
    snapshot: &'a Snapshot,
    blocks: &'a [Arc<TailBlock>],
}

impl Run<'_> {
    fn write_transactions(&self) -> Result<(), StoreError> {
        let mut entries: Vec<_> = self
            .blocks
            .iter()
            .flat_map(|block| {
                (0u32..).zip(&block.transactions).map(|(index, id)| {
                    let height = block.header.height;
                    (*id, Position { height, index })
                })
            })
            .collect();
        entries.sort_unstable();
        let mut table = self.transaction.open_table(tables::TRANSACTIONS)?;
        for (id, position) in entries {
            table.insert(id.as_bytes(), &position_bytes(position))?;
        }
        Ok(())
    }

    fn write_roll(&self) -> Result<(), StoreError> {
        let mut voters: Vec<_> = self
            .blocks
            .iter()
            .flat_map(|block| &block.delta.voters)
            .collect();
        let mut roll = self.transaction.open_table(tables::ROLL)?;
        for (entry, voter) in &voters {
            roll.insert(voter.roll_index, wire::encode(entry).as_slice())?;
        }
        voters.sort_unstable_by_key(|(entry, _)| entry.voter);
        let mut table = self.transaction.open_table(tables::VOTERS)?;
        for (entry, voter) in voters {
            let stored = wire::encode(&StoredVoter::from(voter));
            table.insert(entry.voter.as_bytes(), stored.as_slice())?;
        }
        let mut nodes: Vec<_> = self.blocks.iter().flat_map(|block| &block.nodes).collect();
        nodes.sort_unstable();
        let mut table = self.transaction.open_table(tables::NODES)?;
        for ((level, index), root) in nodes {
            table.insert(&node_key(*level, *index), root.as_bytes())?;
        }
        Ok(())
    }

    fn write_groups(&self) -> Result<(), StoreError> {
        let mut totals: BTreeMap<Group, u64> = BTreeMap::new();
        let mut table = self.transaction.open_table(tables::GROUPS)?;
        for block in self.blocks {
            for (group, count) in &block.groups {
                let total = match totals.get(group) {
                    Some(total) => *total,
                    None => {
                        let (from, to) = (group_key(group, 0), group_key(group, u64::MAX));
                        let mut range = table.range(from.as_slice()..=to.as_slice())?;
                        match range.next_back() {
                            Some(entry) => entry?.1.value(),
                            None => 0,
                        }
                    }
                };
                let total = total + count;
                table.insert(group_key(group, block.header.height).as_slice(), total)?;
                totals.insert(group.clone(), total);
            }
        }
        Ok(())
    }

    fn write_invitations(&self) -> Result<(), StoreError> {
        let mut issued: Vec<_> = self
            .blocks
            .iter()
            .flat_map(|block| &block.delta.invitations)
            .collect();
        issued.sort_unstable_by_key(|(key, _)| *key);
        let mut table = self.transaction.open_table(tables::INVITATIONS)?;
        for (key, invitation) in issued {
            let stored = wire::encode(&StoredInvitation::from(invitation));
            table.insert(key.as_bytes(), stored.as_slice())?;
        }
        let mut used: Vec<_> = self
            .blocks
            .iter()
            .flat_map(|block| &block.delta.invitation_uses)
            .collect();
        used.sort_unstable_by_key(|(key, _)| *key);
        let mut table = self.transaction.open_table(tables::INVITATION_USES)?;
        for (key, used) in used {
            table.insert(key.as_bytes(), &use_bytes(*used))?;
        }
        Ok(())
    }

    /// The numbers of the elections in the run.
    fn write_elections(&self) -> Result<HashMap<ElectionId, u64>, StoreError> {
        let mut numbers = HashMap::new();
        let mut elections = self.transaction.open_table(tables::ELECTIONS)?;
        let mut by_id = self.transaction.open_table(tables::ELECTION_NUMBERS)?;
        let first = self.snapshot.tail().base().counts.elections;
        let records = self.blocks.iter().flat_map(|block| &block.delta.elections);
        for (number, record) in (first..).zip(records) {
            let stored = wire::encode(&StoredElection::from(&**record));
            elections.insert(number, stored.as_slice())?;
            by_id.insert(record.id.as_bytes(), number)?;
            numbers.insert(record.id, number);
        }
        Ok(numbers)
    }

    fn write_votes(&self, new: &HashMap<ElectionId, u64>) -> Result<(), StoreError> {
        let mut known = new.clone();
        let mut counts: BTreeMap<u64, u64> = BTreeMap::new();
        let mut entries = Vec::new();
        for (election, voter, vote) in self.blocks.iter().flat_map(|block| &block.delta.votes) {
            let number = match known.get(election) {
                Some(number) => *number,
                None => {
                    let number = self
                        .snapshot
                        .election_number(election)?
                        .ok_or(StoreError::Inconsistent("a vote without its election"))?;
                    known.insert(*election, number);
                    number
                }
            };
            *counts.entry(number).or_default() += 1;
            entries.push((vote_key(number, voter), vote));
        }
        entries.sort_unstable_by_key(|(key, _)| *key);
        let mut table = self.transaction.open_table(tables::VOTES)?;
        for (key, vote) in entries {
            table.insert(&key, vote_bytes(vote).as_slice())?;
        }
        let mut table = self.transaction.open_table(tables::VOTE_COUNTS)?;
        for (number, count) in counts {
            let before = table.get(number)?.map_or(0, |before| before.value());
            table.insert(number, before + count)?;
        }
        Ok(())
    }

    fn write_finalisers(&self) -> Result<(), StoreError> {
        let mut table = self.transaction.open_table(tables::SET_CHANGES)?;
        let changes = self
            .blocks
            .iter()
            .flat_map(|block| &block.delta.set_changes);
        for record in changes {
            let stored = wire::encode(&StoredSetChange::from(&**record));
            table.insert(record.change.set, stored.as_slice())?;
        }
        let mut table = self.transaction.open_table(tables::CONVICTIONS)?;
        let mut numbers = self.transaction.open_table(tables::CONVICTED)?;
        let convictions = self
            .blocks
            .iter()
            .flat_map(|block| &block.delta.convictions);
        for (number, conviction) in (table.len()?..).zip(convictions) {
            table.insert(number, &conviction_bytes(conviction))?;
            numbers.insert(conviction.offence.finaliser.as_bytes(), number)?;
        }
        Ok(())
    }
}
