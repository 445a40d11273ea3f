//! The whole state in memory, for audits, tests and simulations: about 115 bytes per voter who voted once.
//!
//! Keys are stored once and numbered; groups, batches and ballots, of which there are few different ones, are interned.

mod keys;

use std::borrow::Borrow;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::chain::election::{Choices, ElectionId};
use crate::chain::genesis::Group;
use crate::chain::memory::keys::KeyIndex;
use crate::chain::merkle::{Frontier, Tree};
use crate::chain::state::{
    Conviction, Delta, ElectionRecord, Invitation, InvitationUse, Position, SetChange, View,
    ViewError, VoteRecord, Voter, VoterTag,
};
use crate::crypto::{PublicKey, RingKey};

/// A state that grows by deltas.
#[derive(Clone, Debug)]
pub struct MemoryState {
    voter_keys: KeyIndex,
    /// By number of the voter key, which is the roll index.
    voters: Vec<VoterSlot>,
    groups: Interned<Group>,
    /// Per group, its number of voters as of the timestamps at which it changed, ascending.
    group_sizes: Vec<Vec<(u64, u64)>>,
    invitation_keys: KeyIndex,
    /// By number of the invitation key.
    invitations: Vec<InvitationSlot>,
    batches: Interned<(u32, Position)>,
    /// In chain order.
    elections: Vec<ElectionSlot>,
    election_numbers: BTreeMap<ElectionId, usize>,
    choices: Interned<Choices>,
    /// In order: the first makes set 1.
    set_changes: Vec<Arc<SetChange>>,
    /// In chain order.
    convictions: Vec<Conviction>,
    convicted: BTreeMap<PublicKey, Position>,
    roll: Frontier,
}

#[derive(Clone, Copy, Debug)]
struct VoterSlot {
    registered_at_ms: u64,
    position: Position,
    group: u32,
}

#[derive(Clone, Copy, Debug)]
struct InvitationSlot {
    used: Option<InvitationUse>,
    batch: u32,
}

#[derive(Clone, Debug)]
struct ElectionSlot {
    record: Arc<ElectionRecord>,
    /// Votes by number of the voter key.
    votes: Vec<VoteSlot>,
    by_voter: HashMap<u32, u32>,
    /// Votes by linking tag.
    tags: KeyIndex,
    tagged_votes: Vec<VoteSlot>,
}

#[derive(Clone, Copy, Debug)]
struct VoteSlot {
    position: Position,
    /// Number of the voter key or the linking tag.
    voter: u32,
    choices: u32,
}

impl MemoryState {
    /// The state of the genesis block: nothing.
    pub fn new() -> Self {
        Self {
            voter_keys: KeyIndex::new(),
            voters: Vec::new(),
            groups: Interned::new(),
            group_sizes: Vec::new(),
            invitation_keys: KeyIndex::new(),
            invitations: Vec::new(),
            batches: Interned::new(),
            elections: Vec::new(),
            election_numbers: BTreeMap::new(),
            choices: Interned::new(),
            set_changes: Vec::new(),
            convictions: Vec::new(),
            convicted: BTreeMap::new(),
            roll: Frontier::new(Tree::Roll),
        }
    }

    /// Adds what a block inserts. The delta has to be one that the rules gave for exactly this state; keys that are
    /// there already, or uses of what is not, are passed over.
    pub fn insert(&mut self, delta: impl Borrow<Delta>) {
        let delta = delta.borrow();
        for (entry, voter) in &delta.voters {
            self.insert_voter(&entry.voter, voter);
        }
        for (key, invitation) in &delta.invitations {
            let group = self.groups.number(&invitation.group);
            let batch = self.batches.number(&(group, invitation.batch));
            let number = self.invitation_keys.insert(key.as_bytes());
            if number as usize == self.invitations.len() {
                self.invitations.push(InvitationSlot {
                    used: invitation.used,
                    batch,
                });
            }
        }
        for (key, used) in &delta.invitation_uses {
            if let Some(number) = self.invitation_keys.get(key.as_bytes()) {
                self.invitations[number as usize].used = Some(*used);
            }
        }
        for record in &delta.elections {
            let number = self.elections.len();
            if *self.election_numbers.entry(record.id).or_insert(number) == number {
                self.elections.push(ElectionSlot {
                    record: Arc::clone(record),
                    votes: Vec::new(),
                    by_voter: HashMap::new(),
                    tags: KeyIndex::new(),
                    tagged_votes: Vec::new(),
                });
            }
        }
        for (election, voter, vote) in &delta.votes {
            self.insert_vote(election, voter, vote);
        }
        self.set_changes.extend(delta.set_changes.iter().cloned());
        for conviction in &delta.convictions {
            let position = conviction.position;
            let finaliser = conviction.offence.finaliser;
            if *self.convicted.entry(finaliser).or_insert(position) == position {
                self.convictions.push(*conviction);
            }
        }
        if let Some(roll) = &delta.roll {
            self.roll.clone_from(roll);
        }
    }

    fn insert_voter(&mut self, key: &PublicKey, voter: &Voter) {
        let number = self.voter_keys.insert(key.as_bytes());
        if (number as usize) < self.voters.len() {
            return;
        }
        let group = self.groups.number(&voter.group);
        self.group_sizes.resize(self.groups.len(), Vec::new());
        self.voters.push(VoterSlot {
            registered_at_ms: voter.registered_at_ms,
            position: voter.position,
            group,
        });
        let sizes = &mut self.group_sizes[group as usize];
        match sizes.last_mut() {
            Some((at_ms, size)) if *at_ms == voter.registered_at_ms => *size += 1,
            last => {
                let size = last.map_or(0, |(_, size)| *size) + 1;
                sizes.push((voter.registered_at_ms, size));
            }
        }
    }

    fn insert_vote(&mut self, election: &ElectionId, voter: &VoterTag, vote: &VoteRecord) {
        let Some(number) = self.election_numbers.get(election) else {
            return;
        };
        let choices = self.choices.number(&vote.choices);
        let slot = |voter| VoteSlot {
            position: vote.position,
            voter,
            choices,
        };
        let election = &mut self.elections[*number];
        match voter {
            VoterTag::Key(key) => {
                let Some(voter) = self.voter_keys.get(key.as_bytes()) else {
                    return;
                };
                let next = election.votes.len() as u32;
                if *election.by_voter.entry(voter).or_insert(next) == next {
                    election.votes.push(slot(voter));
                }
            }
            VoterTag::Link(tag) => {
                let tag = election.tags.insert(tag.as_bytes());
                if tag as usize == election.tagged_votes.len() {
                    election.tagged_votes.push(slot(tag));
                }
            }
        }
    }

    fn slot(&self, election: &ElectionId) -> Option<&ElectionSlot> {
        self.election_numbers
            .get(election)
            .map(|number| &self.elections[*number])
    }

    fn record(&self, slot: &VoteSlot) -> VoteRecord {
        VoteRecord {
            position: slot.position,
            choices: self.choices.get(slot.choices).clone(),
        }
    }
}

impl Default for MemoryState {
    fn default() -> Self {
        Self::new()
    }
}

impl View for MemoryState {
    fn voter(&self, key: &PublicKey) -> Result<Option<Voter>, ViewError> {
        Ok(self.voter_keys.get(key.as_bytes()).map(|number| {
            let slot = &self.voters[number as usize];
            Voter {
                roll_index: u64::from(number),
                group: self.groups.get(slot.group).clone(),
                registered_at_ms: slot.registered_at_ms,
                position: slot.position,
            }
        }))
    }

    fn invitation(&self, key: &PublicKey) -> Result<Option<Invitation>, ViewError> {
        Ok(self.invitation_keys.get(key.as_bytes()).map(|number| {
            let slot = &self.invitations[number as usize];
            let (group, batch) = self.batches.get(slot.batch);
            Invitation {
                group: self.groups.get(*group).clone(),
                batch: *batch,
                used: slot.used,
            }
        }))
    }

    fn election(&self, id: &ElectionId) -> Result<Option<Arc<ElectionRecord>>, ViewError> {
        Ok(self.slot(id).map(|slot| Arc::clone(&slot.record)))
    }

    fn vote(
        &self,
        election: &ElectionId,
        voter: &VoterTag,
    ) -> Result<Option<VoteRecord>, ViewError> {
        let Some(slot) = self.slot(election) else {
            return Ok(None);
        };
        let vote = match voter {
            VoterTag::Key(key) => self
                .voter_keys
                .get(key.as_bytes())
                .and_then(|voter| slot.by_voter.get(&voter))
                .map(|number| &slot.votes[*number as usize]),
            VoterTag::Link(tag) => slot
                .tags
                .get(tag.as_bytes())
                .map(|number| &slot.tagged_votes[number as usize]),
        };
        Ok(vote.map(|vote| self.record(vote)))
    }

    fn roll(&self) -> Result<Frontier, ViewError> {
        Ok(self.roll.clone())
    }

    fn count_voters(&self, groups: &[Group], before_ms: u64) -> Result<u64, ViewError> {
        let size = |group: u32| {
            let sizes = &self.group_sizes[group as usize];
            match sizes.partition_point(|(at_ms, _)| *at_ms < before_ms) {
                0 => 0,
                after => sizes[after - 1].1,
            }
        };
        Ok(groups
            .iter()
            .filter_map(|group| self.groups.find(group))
            // A group of which only invitations are known has no sizes.
            .filter(|group| (*group as usize) < self.group_sizes.len())
            .map(size)
            .sum())
    }

    fn for_each_election(
        &self,
        visit: &mut dyn FnMut(&Arc<ElectionRecord>),
    ) -> Result<(), ViewError> {
        self.elections.iter().for_each(|slot| visit(&slot.record));
        Ok(())
    }

    fn for_each_vote(
        &self,
        election: &ElectionId,
        visit: &mut dyn FnMut(&VoterTag, &VoteRecord),
    ) -> Result<(), ViewError> {
        let Some(slot) = self.slot(election) else {
            return Ok(());
        };
        for vote in &slot.votes {
            let key = PublicKey::from_bytes(*self.voter_keys.key(vote.voter));
            visit(&VoterTag::Key(key), &self.record(vote));
        }
        for vote in &slot.tagged_votes {
            let tag = RingKey::from_bytes(*slot.tags.key(vote.voter));
            visit(&VoterTag::Link(tag), &self.record(vote));
        }
        Ok(())
    }

    fn set_changes(&self) -> Result<u64, ViewError> {
        Ok(self.set_changes.len() as u64)
    }

    fn set_change(&self, set: u64) -> Result<Option<Arc<SetChange>>, ViewError> {
        let index = set.checked_sub(1).map(usize::try_from);
        Ok(match index {
            Some(Ok(index)) => self.set_changes.get(index).cloned(),
            _ => None,
        })
    }

    fn conviction_count(&self) -> Result<u64, ViewError> {
        Ok(self.convictions.len() as u64)
    }

    fn conviction(&self, finaliser: &PublicKey) -> Result<Option<Position>, ViewError> {
        Ok(self.convicted.get(finaliser).copied())
    }

    fn convictions(&self, skip: u64, max: usize) -> Result<Vec<Conviction>, ViewError> {
        let skip = usize::try_from(skip).unwrap_or(usize::MAX);
        Ok(self
            .convictions
            .iter()
            .skip(skip)
            .take(max)
            .copied()
            .collect())
    }
}

/// Values of which there are few different ones, each stored once.
#[derive(Clone, Debug)]
struct Interned<T> {
    values: Vec<T>,
    numbers: BTreeMap<T, u32>,
}

impl<T: Ord + Clone> Interned<T> {
    fn new() -> Self {
        Self {
            values: Vec::new(),
            numbers: BTreeMap::new(),
        }
    }

    fn len(&self) -> usize {
        self.values.len()
    }

    fn get(&self, number: u32) -> &T {
        &self.values[number as usize]
    }

    fn find(&self, value: &T) -> Option<u32> {
        self.numbers.get(value).copied()
    }

    fn number(&mut self, value: &T) -> u32 {
        if let Some(number) = self.find(value) {
            return number;
        }
        let number = u32::try_from(self.values.len()).expect("memory ends before 2^32 values");
        self.values.push(value.clone());
        self.numbers.insert(value.clone(), number);
        number
    }
}

#[cfg(test)]
mod tests;
