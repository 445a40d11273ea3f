//! States that are another state and something on top: side branches, block templates, what is not on disk yet.
//!
//! State only grows and no two deltas of one branch insert the same key, so a look-up asks the layers one by one and
//! then the base; only an invitation and its use can stand in different ones.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::sync::Arc;

use crate::chain::election::ElectionId;
use crate::chain::genesis::Group;
use crate::chain::merkle::Frontier;
use crate::chain::state::{
    Conviction, Delta, ElectionRecord, Invitation, InvitationUse, Position, SetChange, View,
    ViewError, VoteRecord, Voter, VoterTag,
};
use crate::crypto::PublicKey;

/// A delta with indexes over it. The maps are only ever looked up, never walked, so their order cannot matter; keys are
/// chosen by strangers, so their hashes are seeded.
#[derive(Clone, Debug, Default)]
pub struct IndexedDelta {
    delta: Delta,
    voters: HashMap<PublicKey, usize>,
    invitations: HashMap<PublicKey, usize>,
    uses: HashMap<PublicKey, InvitationUse>,
    elections: HashMap<ElectionId, usize>,
    votes: HashMap<(ElectionId, VoterTag), usize>,
    convictions: HashMap<PublicKey, Position>,
}

impl IndexedDelta {
    /// Indexes a delta.
    pub fn new(delta: Delta) -> Self {
        let mut indexed = Self::default();
        indexed.push(delta);
        indexed
    }

    /// Adds what comes after.
    pub fn push(&mut self, delta: Delta) {
        let all = &mut self.delta;
        for voter in delta.voters {
            self.voters.insert(voter.0.voter, all.voters.len());
            all.voters.push(voter);
        }
        for invitation in delta.invitations {
            self.invitations.insert(invitation.0, all.invitations.len());
            all.invitations.push(invitation);
        }
        for (key, used) in delta.invitation_uses {
            self.uses.insert(key, used);
            all.invitation_uses.push((key, used));
        }
        for election in delta.elections {
            self.elections.insert(election.id, all.elections.len());
            all.elections.push(election);
        }
        for vote in delta.votes {
            self.votes.insert((vote.0, vote.1), all.votes.len());
            all.votes.push(vote);
        }
        all.set_changes.extend(delta.set_changes);
        for conviction in delta.convictions {
            self.convictions
                .insert(conviction.offence.finaliser, conviction.position);
            all.convictions.push(conviction);
        }
        if delta.roll.is_some() {
            all.roll = delta.roll;
        }
    }

    /// The delta itself.
    pub fn delta(&self) -> &Delta {
        &self.delta
    }

    /// The delta, without its indexes.
    pub fn into_delta(self) -> Delta {
        self.delta
    }

    fn voter(&self, key: &PublicKey) -> Option<&Voter> {
        self.voters
            .get(key)
            .map(|index| &self.delta.voters[*index].1)
    }

    fn invitation(&self, key: &PublicKey) -> Option<&Invitation> {
        self.invitations
            .get(key)
            .map(|index| &self.delta.invitations[*index].1)
    }

    fn election(&self, id: &ElectionId) -> Option<&Arc<ElectionRecord>> {
        self.elections
            .get(id)
            .map(|index| &self.delta.elections[*index])
    }

    fn vote(&self, election: &ElectionId, voter: &VoterTag) -> Option<&VoteRecord> {
        self.votes
            .get(&(*election, *voter))
            .map(|index| &self.delta.votes[*index].2)
    }

    fn count_voters(&self, groups: &[Group], before_ms: u64) -> u64 {
        self.delta
            .voters
            .iter()
            .filter(|(_, voter)| {
                voter.registered_at_ms < before_ms && groups.contains(&voter.group)
            })
            .count() as u64
    }

    fn for_each_vote(&self, election: &ElectionId, visit: &mut dyn FnMut(&VoterTag, &VoteRecord)) {
        for (of, voter, vote) in &self.delta.votes {
            if of == election {
                visit(voter, vote);
            }
        }
    }
}

/// A base with a stack of deltas over it, the last on top: a branch of blocks.
#[derive(Clone, Copy, Debug)]
pub struct Layered<'a, V: ?Sized, L = Arc<IndexedDelta>> {
    base: &'a V,
    layers: &'a [L],
}

impl<'a, V: View + ?Sized, L: Borrow<IndexedDelta>> Layered<'a, V, L> {
    /// `layers` over `base`, each the delta of a block on top of all before.
    pub fn new(base: &'a V, layers: &'a [L]) -> Self {
        Self { base, layers }
    }

    /// The first answer from the top down.
    fn find<T>(&self, mut ask: impl FnMut(&'a IndexedDelta) -> Option<T>) -> Option<T> {
        self.layers
            .iter()
            .rev()
            .find_map(|layer| ask(layer.borrow()))
    }
}

impl<V: View + ?Sized, L: Borrow<IndexedDelta>> View for Layered<'_, V, L> {
    fn voter(&self, key: &PublicKey) -> Result<Option<Voter>, ViewError> {
        match self.find(|layer| layer.voter(key)) {
            Some(voter) => Ok(Some(voter.clone())),
            None => self.base.voter(key),
        }
    }

    fn invitation(&self, key: &PublicKey) -> Result<Option<Invitation>, ViewError> {
        let issued = match self.find(|layer| layer.invitation(key)) {
            Some(invitation) => Some(invitation.clone()),
            None => self.base.invitation(key)?,
        };
        Ok(issued.map(|mut invitation| {
            if let Some(used) = self.find(|layer| layer.uses.get(key)) {
                invitation.used = Some(*used);
            }
            invitation
        }))
    }

    fn election(&self, id: &ElectionId) -> Result<Option<Arc<ElectionRecord>>, ViewError> {
        match self.find(|layer| layer.election(id)) {
            Some(election) => Ok(Some(Arc::clone(election))),
            None => self.base.election(id),
        }
    }

    fn vote(
        &self,
        election: &ElectionId,
        voter: &VoterTag,
    ) -> Result<Option<VoteRecord>, ViewError> {
        match self.find(|layer| layer.vote(election, voter)) {
            Some(vote) => Ok(Some(vote.clone())),
            None => self.base.vote(election, voter),
        }
    }

    fn roll(&self) -> Result<Frontier, ViewError> {
        match self.find(|layer| layer.delta.roll.as_ref()) {
            Some(roll) => Ok(roll.clone()),
            None => self.base.roll(),
        }
    }

    fn count_voters(&self, groups: &[Group], before_ms: u64) -> Result<u64, ViewError> {
        let below = self.base.count_voters(groups, before_ms)?;
        let above: u64 = self
            .layers
            .iter()
            .map(|layer| layer.borrow().count_voters(groups, before_ms))
            .sum();
        Ok(below + above)
    }

    fn for_each_election(
        &self,
        visit: &mut dyn FnMut(&Arc<ElectionRecord>),
    ) -> Result<(), ViewError> {
        self.base.for_each_election(visit)?;
        for layer in self.layers {
            layer.borrow().delta.elections.iter().for_each(&mut *visit);
        }
        Ok(())
    }

    fn for_each_vote(
        &self,
        election: &ElectionId,
        visit: &mut dyn FnMut(&VoterTag, &VoteRecord),
    ) -> Result<(), ViewError> {
        self.base.for_each_vote(election, visit)?;
        for layer in self.layers {
            layer.borrow().for_each_vote(election, visit);
        }
        Ok(())
    }

    fn set_changes(&self) -> Result<u64, ViewError> {
        match self.find(|layer| layer.delta.set_changes.last()) {
            Some(record) => Ok(record.change.set),
            None => self.base.set_changes(),
        }
    }

    fn set_change(&self, set: u64) -> Result<Option<Arc<SetChange>>, ViewError> {
        let is_it = |record: &&Arc<SetChange>| record.change.set == set;
        match self.find(|layer| layer.delta.set_changes.iter().find(is_it)) {
            Some(record) => Ok(Some(Arc::clone(record))),
            None => self.base.set_change(set),
        }
    }

    fn conviction_count(&self) -> Result<u64, ViewError> {
        let above: usize = self
            .layers
            .iter()
            .map(|layer| layer.borrow().delta.convictions.len())
            .sum();
        Ok(self.base.conviction_count()? + above as u64)
    }

    fn conviction(&self, finaliser: &PublicKey) -> Result<Option<Position>, ViewError> {
        match self.find(|layer| layer.convictions.get(finaliser)) {
            Some(position) => Ok(Some(*position)),
            None => self.base.conviction(finaliser),
        }
    }

    fn convictions(&self, skip: u64, max: usize) -> Result<Vec<Conviction>, ViewError> {
        let mut found = self.base.convictions(skip, max)?;
        let passed = skip.saturating_sub(self.base.conviction_count()?);
        let above = self
            .layers
            .iter()
            .flat_map(|layer| &layer.borrow().delta.convictions)
            .skip(usize::try_from(passed).unwrap_or(usize::MAX));
        found.extend(above.take(max - found.len()).copied());
        Ok(found)
    }
}

/// A base with one layer that grows, such as a block that is being checked or filled.
#[derive(Clone, Debug)]
pub struct Overlay<'a, V: ?Sized> {
    base: &'a V,
    added: IndexedDelta,
}

impl<'a, V: View + ?Sized> Overlay<'a, V> {
    /// Nothing over `base` yet.
    pub fn new(base: &'a V) -> Self {
        Self {
            base,
            added: IndexedDelta::default(),
        }
    }

    /// Adds what a transaction or block inserts.
    pub fn push(&mut self, delta: Delta) {
        self.added.push(delta);
    }

    /// Everything added so far.
    pub fn delta(&self) -> &Delta {
        self.added.delta()
    }

    /// Everything that was added, with its indexes.
    pub fn into_indexed(self) -> IndexedDelta {
        self.added
    }

    fn layered(&self) -> Layered<'_, V, IndexedDelta> {
        Layered::new(self.base, std::slice::from_ref(&self.added))
    }
}

impl<V: View + ?Sized> View for Overlay<'_, V> {
    fn voter(&self, key: &PublicKey) -> Result<Option<Voter>, ViewError> {
        self.layered().voter(key)
    }

    fn invitation(&self, key: &PublicKey) -> Result<Option<Invitation>, ViewError> {
        self.layered().invitation(key)
    }

    fn election(&self, id: &ElectionId) -> Result<Option<Arc<ElectionRecord>>, ViewError> {
        self.layered().election(id)
    }

    fn vote(
        &self,
        election: &ElectionId,
        voter: &VoterTag,
    ) -> Result<Option<VoteRecord>, ViewError> {
        self.layered().vote(election, voter)
    }

    fn roll(&self) -> Result<Frontier, ViewError> {
        self.layered().roll()
    }

    fn count_voters(&self, groups: &[Group], before_ms: u64) -> Result<u64, ViewError> {
        self.layered().count_voters(groups, before_ms)
    }

    fn for_each_election(
        &self,
        visit: &mut dyn FnMut(&Arc<ElectionRecord>),
    ) -> Result<(), ViewError> {
        self.layered().for_each_election(visit)
    }

    fn for_each_vote(
        &self,
        election: &ElectionId,
        visit: &mut dyn FnMut(&VoterTag, &VoteRecord),
    ) -> Result<(), ViewError> {
        self.layered().for_each_vote(election, visit)
    }

    fn set_changes(&self) -> Result<u64, ViewError> {
        self.layered().set_changes()
    }

    fn set_change(&self, set: u64) -> Result<Option<Arc<SetChange>>, ViewError> {
        self.layered().set_change(set)
    }

    fn conviction_count(&self) -> Result<u64, ViewError> {
        self.layered().conviction_count()
    }

    fn conviction(&self, finaliser: &PublicKey) -> Result<Option<Position>, ViewError> {
        self.layered().conviction(finaliser)
    }

    fn convictions(&self, skip: u64, max: usize) -> Result<Vec<Conviction>, ViewError> {
        self.layered().convictions(skip, max)
    }
}
