//! The state of the chain, read from a snapshot: at its tip, or as it was after any block of its main chain.
//!
//! State is insert-only and every entry says where it was inserted, so that an earlier state is the present one without
//! what stands higher.

use std::sync::Arc;

use super::error::StoreError;
use super::record::{self, StoredElection, StoredInvitation, StoredVoter, decode};
use super::snapshot::Snapshot;
use super::tables::{group_key, vote_key};
use super::{MAX_ROLL_RANGE, roll};
use crate::chain::block::BlockId;
use crate::chain::election::ElectionId;
use crate::chain::genesis::Group;
use crate::chain::merkle::{self, Frontier, Tree};
use crate::chain::state::{
    Conviction, ElectionRecord, Invitation, Position, RollEntry, SetChange, View, ViewError,
    VoteRecord, Voter, VoterTag,
};
use crate::crypto::{Hash, PublicKey};
use crate::wire;

/// The state after a block of a snapshot's main chain.
#[derive(Clone)]
pub struct StateAt {
    snapshot: Snapshot,
    height: u64,
}

/// A run of the roll with its proof.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RollRange {
    /// The entries.
    pub entries: Vec<RollEntry>,
    /// Roots of the subtrees outside the run, from left to right: see [`merkle::verify_range`].
    pub proof: Vec<Hash>,
}

impl Snapshot {
    /// The state after the block of the main chain at `height`; `None` above the tip.
    pub fn at(&self, height: u64) -> Option<StateAt> {
        (height <= self.tip().height).then(|| StateAt {
            snapshot: self.clone(),
            height,
        })
    }

    /// The state after the tip.
    pub fn state(&self) -> StateAt {
        StateAt {
            snapshot: self.clone(),
            height: self.tip().height,
        }
    }

    /// An entry of the roll, which has to be there.
    pub(super) fn roll_entry(&self, index: u64) -> Result<RollEntry, StoreError> {
        if let Some(entry) = self.tail().roll_entry(index) {
            return Ok(entry.clone());
        }
        let stored = self
            .tables()
            .roll
            .get(index)?
            .ok_or_else(|| StoreError::Corrupt("the roll lacks an entry".to_owned()))?;
        decode_leaf(stored.value())
    }

    /// Entries of the roll from `start` on, at most `max` (and at most [`MAX_ROLL_RANGE`]), with the proof under the
    /// roll root of `block`. `None` if the block isn't on the main chain or `start` is beyond its roll.
    pub fn roll_range(
        &self,
        block: &BlockId,
        start: u64,
        max: u64,
    ) -> Result<Option<RollRange>, StoreError> {
        let Some(header) = self.header(block)? else {
            return Ok(None);
        };
        if self.main_id(header.height)? != Some(*block) || start > header.roll_size {
            return Ok(None);
        }
        let end = header
            .roll_size
            .min(start.saturating_add(max.min(MAX_ROLL_RANGE)));
        let entries = (start..end)
            .map(|index| self.roll_entry(index))
            .collect::<Result<_, _>>()?;
        let kept = |level, index| self.kept_node(level, index);
        let proof =
            merkle::range_proof(Tree::Roll, start, end, header.roll_size, |level, index| {
                roll::node(level, index, &kept)
            })?;
        Ok(proof.map(|proof| RollRange { entries, proof }))
    }

    /// Number and record of an election in the tables.
    fn flushed_election(
        &self,
        id: &ElectionId,
    ) -> Result<Option<(u64, Arc<ElectionRecord>)>, StoreError> {
        // The cache is shared with later commits: what they flushed is not in this one's tables.
        let flushed = self.tail().base().counts.elections;
        if let Some((number, record)) = self.0.elections.get(id)
            && number < flushed
        {
            return Ok(Some((number, record)));
        }
        let Some(number) = self.tables().election_numbers.get(id.as_bytes())? else {
            return Ok(None);
        };
        let number = number.value();
        let record = self.numbered_election(number)?;
        self.0.elections.insert(*id, number, record.clone());
        Ok(Some((number, record)))
    }

    fn numbered_election(&self, number: u64) -> Result<Arc<ElectionRecord>, StoreError> {
        let stored = self
            .tables()
            .elections
            .get(number)?
            .ok_or_else(|| StoreError::Corrupt("an election is lacking".to_owned()))?;
        Ok(decode::<StoredElection>("elections", stored.value())?.into())
    }

    /// An election of the main chain.
    pub fn election(&self, id: &ElectionId) -> Result<Option<Arc<ElectionRecord>>, StoreError> {
        if let Some(record) = self.tail().election(id) {
            return Ok(Some(record.clone()));
        }
        Ok(self.flushed_election(id)?.map(|(_, record)| record))
    }

    /// Number of an election in the tables.
    pub(super) fn election_number(&self, id: &ElectionId) -> Result<Option<u64>, StoreError> {
        Ok(self.flushed_election(id)?.map(|(number, _)| number))
    }

    /// Elections of the main chain, newest first, after the `skip` newest, at most `max`. How many there are stands in
    /// [`Snapshot::counts`].
    pub fn elections(&self, skip: u64, max: usize) -> Result<Vec<Arc<ElectionRecord>>, StoreError> {
        let newest: Vec<_> = self
            .tail()
            .blocks()
            .flat_map(|block| &block.delta.elections)
            .collect();
        let in_tail = newest.len() as u64;
        let total = in_tail + self.tail().base().counts.elections;
        (skip..total)
            .take(max)
            .map(|place| {
                if place < in_tail {
                    Ok(newest[(in_tail - 1 - place) as usize].clone())
                } else {
                    self.numbered_election(total - 1 - place)
                }
            })
            .collect()
    }

    /// Votes in an election on the main chain.
    pub fn vote_count(&self, election: &ElectionId) -> Result<u64, StoreError> {
        let flushed = match self.election_number(election)? {
            Some(number) => self
                .tables()
                .vote_counts
                .get(number)?
                .map_or(0, |count| count.value()),
            None => 0,
        };
        Ok(flushed + self.tail().votes(election))
    }
}

/// Longest encoding of an entry of the roll: two keys, a group and their heads.
const MAX_LEAF_BYTES: usize = 128;

/// Decodes an entry of table `roll`.
pub(super) fn decode_leaf(bytes: &[u8]) -> Result<RollEntry, StoreError> {
    wire::decode_bounded(bytes, MAX_LEAF_BYTES)
        .map_err(|error| StoreError::Corrupt(format!("table roll: {error}")))
}

impl StateAt {
    /// The height of the block that it is the state after.
    pub fn height(&self) -> u64 {
        self.height
    }

    /// The snapshot that it is read from.
    pub fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    pub(super) fn read_voter(&self, key: &PublicKey) -> Result<Option<Voter>, StoreError> {
        let voter = match self.snapshot.tail().voter(key) {
            Some(voter) => Some(voter.clone()),
            None => match self.snapshot.tables().voters.get(key.as_bytes())? {
                Some(stored) => Some(decode::<StoredVoter>("voters", stored.value())?.into()),
                None => None,
            },
        };
        Ok(voter.filter(|voter: &Voter| voter.position.height <= self.height))
    }

    fn read_invitation(&self, key: &PublicKey) -> Result<Option<Invitation>, StoreError> {
        let (tail, tables) = (self.snapshot.tail(), self.snapshot.tables());
        let invitation = match tail.invitation(key) {
            Some(invitation) => invitation.clone(),
            None => match tables.invitations.get(key.as_bytes())? {
                Some(stored) => {
                    decode::<StoredInvitation>("invitations", stored.value())?.with_use(None)
                }
                None => return Ok(None),
            },
        };
        if invitation.batch.height > self.height {
            return Ok(None);
        }
        let used = match tail.invitation_use(key) {
            Some(used) => Some(used),
            None => tables
                .invitation_uses
                .get(key.as_bytes())?
                .map(|used| record::read_use(used.value()))
                .transpose()?,
        };
        Ok(Some(Invitation {
            used: used.filter(|used| record::use_position(*used).height <= self.height),
            ..invitation
        }))
    }

    fn read_vote(
        &self,
        election: &ElectionId,
        voter: &VoterTag,
    ) -> Result<Option<VoteRecord>, StoreError> {
        let vote = match self.snapshot.tail().vote(election, voter) {
            Some(vote) => Some(vote.clone()),
            None => match self.snapshot.election_number(election)? {
                Some(number) => match self.snapshot.tables().votes.get(&vote_key(number, voter))? {
                    Some(stored) => Some(record::read_vote(stored.value())?),
                    None => None,
                },
                None => None,
            },
        };
        Ok(vote.filter(|vote| vote.position.height <= self.height))
    }

    pub(super) fn read_roll(&self) -> Result<Frontier, StoreError> {
        let tail = self.snapshot.tail();
        if self.height == self.snapshot.tip().height {
            return Ok(tail.tip().2.clone());
        }
        if let Some(block) = tail.block(self.height) {
            return Ok(block.roll.clone());
        }
        if self.height == tail.base().header.height {
            return Ok(tail.base().roll.clone());
        }
        let size = self.snapshot.expect_main(self.height)?.1.roll_size;
        roll::frontier(size, &|level, index| self.snapshot.kept_node(level, index))
    }

    /// Voters of these groups registered in blocks up to `last`.
    fn count_until(&self, groups: &[Group], last: u64) -> Result<u64, StoreError> {
        let tail = self.snapshot.tail();
        let base = tail.base().header.height;
        let mut total = 0;
        for group in groups {
            let (from, to) = (group_key(group, 0), group_key(group, last.min(base)));
            let mut range = self
                .snapshot
                .tables()
                .groups
                .range(from.as_slice()..=to.as_slice())?;
            if let Some(entry) = range.next_back() {
                total += entry?.1.value();
            }
        }
        let in_tail: u64 = tail
            .blocks()
            .take_while(|block| block.header.height <= last)
            .flat_map(|block| &block.groups)
            .filter(|(group, _)| groups.contains(group))
            .map(|(_, count)| count)
            .sum();
        Ok(total + in_tail)
    }

    fn read_count(&self, groups: &[Group], before_ms: u64) -> Result<u64, StoreError> {
        let last = match self.snapshot.first_block_from(before_ms)? {
            Some(block) if block.height == 0 => return Ok(0),
            Some(block) => self.height.min(block.height - 1),
            None => self.height,
        };
        self.count_until(groups, last)
    }

    fn visit_elections(
        &self,
        visit: &mut dyn FnMut(&Arc<ElectionRecord>),
    ) -> Result<(), StoreError> {
        let tail = self.snapshot.tail();
        for number in 0..tail.base().counts.elections {
            let record = self.snapshot.numbered_election(number)?;
            if record.position.height > self.height {
                return Ok(());
            }
            visit(&record);
        }
        tail.blocks()
            .take_while(|block| block.header.height <= self.height)
            .flat_map(|block| &block.delta.elections)
            .for_each(visit);
        Ok(())
    }

    fn visit_votes(
        &self,
        election: &ElectionId,
        visit: &mut dyn FnMut(&VoterTag, &VoteRecord),
    ) -> Result<(), StoreError> {
        if let Some(number) = self.snapshot.election_number(election)? {
            let from = super::tables::join::<41>(&[&number.to_be_bytes(), &[0; 33]]);
            let to = super::tables::join::<41>(&[&number.to_be_bytes(), &[0xff; 33]]);
            for entry in self
                .snapshot
                .tables()
                .votes
                .range::<&[u8; 41]>(&from..=&to)?
            {
                let (key, stored) = entry?;
                let vote = record::read_vote(stored.value())?;
                if vote.position.height <= self.height {
                    visit(&record::read_vote_tag(key.value())?, &vote);
                }
            }
        }
        self.snapshot
            .tail()
            .blocks()
            .take_while(|block| block.header.height <= self.height)
            .flat_map(|block| &block.delta.votes)
            .filter(|(id, _, _)| id == election)
            .for_each(|(_, voter, vote)| visit(voter, vote));
        Ok(())
    }
}

impl View for StateAt {
    fn voter(&self, key: &PublicKey) -> Result<Option<Voter>, ViewError> {
        Ok(self.read_voter(key)?)
    }

    fn invitation(&self, key: &PublicKey) -> Result<Option<Invitation>, ViewError> {
        Ok(self.read_invitation(key)?)
    }

    fn election(&self, id: &ElectionId) -> Result<Option<Arc<ElectionRecord>>, ViewError> {
        let record = self.snapshot.election(id)?;
        Ok(record.filter(|record| record.position.height <= self.height))
    }

    fn vote(
        &self,
        election: &ElectionId,
        voter: &VoterTag,
    ) -> Result<Option<VoteRecord>, ViewError> {
        Ok(self.read_vote(election, voter)?)
    }

    fn roll(&self) -> Result<Frontier, ViewError> {
        Ok(self.read_roll()?)
    }

    fn count_voters(&self, groups: &[Group], before_ms: u64) -> Result<u64, ViewError> {
        Ok(self.read_count(groups, before_ms)?)
    }

    fn for_each_election(
        &self,
        visit: &mut dyn FnMut(&Arc<ElectionRecord>),
    ) -> Result<(), ViewError> {
        Ok(self.visit_elections(visit)?)
    }

    fn for_each_vote(
        &self,
        election: &ElectionId,
        visit: &mut dyn FnMut(&VoterTag, &VoteRecord),
    ) -> Result<(), ViewError> {
        Ok(self.visit_votes(election, visit)?)
    }

    fn set_changes(&self) -> Result<u64, ViewError> {
        Ok(self.count_set_changes()?)
    }

    fn set_change(&self, set: u64) -> Result<Option<Arc<SetChange>>, ViewError> {
        Ok(self.find_set_change(set)?)
    }

    fn conviction_count(&self) -> Result<u64, ViewError> {
        Ok(self.count_convictions()?)
    }

    fn conviction(&self, finaliser: &PublicKey) -> Result<Option<Position>, ViewError> {
        Ok(self.find_conviction(finaliser)?)
    }

    fn convictions(&self, skip: u64, max: usize) -> Result<Vec<Conviction>, ViewError> {
        Ok(self.list_convictions(skip, max)?)
    }
}
