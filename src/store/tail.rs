//! The tail: what the blocks above the flushed one inserted, in memory.
//!
//! A block is a [`TailBlock`]. Looking a key up in every block would take time in proportion to their number, so that
//! neighbouring blocks are indexed together in runs, each at least twice as heavy as the next: a tail of n entries has
//! about log₂ n runs, and an entry is indexed anew about log₂ n times. Runs are immutable and shared, so that a snapshot
//! costs a clone of a short vector.

use std::collections::HashMap;
use std::hash::Hash as Key;
use std::sync::Arc;

use super::record::Counts;
use super::roll::is_kept;
use crate::chain::block::{BlockId, Header};
use crate::chain::election::ElectionId;
use crate::chain::genesis::Group;
use crate::chain::merkle::Frontier;
use crate::chain::state::{
    Conviction, Delta, ElectionRecord, Invitation, InvitationUse, Position, RollEntry, SetChange,
    VoteRecord, Voter, VoterTag,
};
use crate::chain::transaction::TxId;
use crate::crypto::{Hash, PublicKey};

/// A block of the main chain whose insertions are not in the tables yet.
pub(super) struct TailBlock {
    pub id: BlockId,
    pub header: Header,
    pub delta: Delta,
    pub transactions: Vec<TxId>,
    /// Perfect subtrees of the roll log that its registrations completed, of the levels that are kept.
    pub nodes: Vec<((u8, u64), Hash)>,
    /// The roll log after it.
    pub roll: Frontier,
    /// Counts after it.
    pub counts: Counts,
    /// Registrations in it, by group.
    pub groups: Vec<(Group, u64)>,
}

impl TailBlock {
    /// Prepares a block whose parent's roll log and counts are given.
    pub fn new(
        id: BlockId,
        header: Header,
        transactions: Vec<TxId>,
        delta: Delta,
        mut roll: Frontier,
        mut counts: Counts,
    ) -> Self {
        let mut nodes = Vec::new();
        let mut groups: Vec<(Group, u64)> = Vec::new();
        for (entry, _) in &delta.voters {
            roll.push_with(entry.leaf(), |level, index, root| {
                if is_kept(level) {
                    nodes.push(((level as u8, index), *root));
                }
            });
            match groups.iter_mut().find(|(group, _)| *group == entry.group) {
                Some((_, count)) => *count += 1,
                None => groups.push((entry.group.clone(), 1)),
            }
        }
        let spent = delta
            .invitation_uses
            .iter()
            .filter(|(_, used)| matches!(used, InvitationUse::Spent(_)))
            .count() as u64;
        counts.transactions += transactions.len() as u64;
        counts.voters += delta.voters.len() as u64;
        counts.invitations += delta.invitations.len() as u64;
        counts.invitations_spent += spent;
        counts.invitations_revoked += delta.invitation_uses.len() as u64 - spent;
        counts.elections += delta.elections.len() as u64;
        counts.votes += delta.votes.len() as u64;
        Self {
            id,
            header,
            delta,
            transactions,
            nodes,
            roll,
            counts,
            groups,
        }
    }

    /// Entries that indexing it costs, at least one.
    fn weight(&self) -> usize {
        let delta = &self.delta;
        1 + self.transactions.len()
            + delta.voters.len()
            + delta.invitations.len()
            + delta.invitation_uses.len()
            + delta.elections.len()
            + delta.votes.len()
            + delta.convictions.len()
    }
}

/// Where an entry is: height of its block and index in the vector that holds it.
#[derive(Clone, Copy)]
struct Spot {
    height: u64,
    item: u32,
}

/// Consecutive blocks, indexed together.
#[derive(Default)]
struct Run {
    blocks: Vec<Arc<TailBlock>>,
    weight: usize,
    transactions: HashMap<TxId, Spot>,
    voters: HashMap<PublicKey, Spot>,
    invitations: HashMap<PublicKey, Spot>,
    invitation_uses: HashMap<PublicKey, Spot>,
    elections: HashMap<ElectionId, Spot>,
    votes: HashMap<(ElectionId, VoterTag), Spot>,
    vote_counts: HashMap<ElectionId, u64>,
    set_changes: HashMap<u64, Spot>,
    convictions: HashMap<PublicKey, Spot>,
    nodes: HashMap<(u8, u64), Hash>,
}

fn enter<K: Key + Eq>(
    map: &mut HashMap<K, Spot>,
    height: u64,
    keys: impl ExactSizeIterator<Item = K>,
) {
    map.reserve(keys.len());
    for (item, key) in keys.enumerate() {
        map.insert(
            key,
            Spot {
                height,
                item: item as u32,
            },
        );
    }
}

impl Run {
    fn of(blocks: impl IntoIterator<Item = Arc<TailBlock>>) -> Self {
        let mut run = Self::default();
        for block in blocks {
            run.add(block);
        }
        run
    }

    fn add(&mut self, block: Arc<TailBlock>) {
        let height = block.header.height;
        let delta = &block.delta;
        enter(
            &mut self.transactions,
            height,
            block.transactions.iter().copied(),
        );
        enter(
            &mut self.voters,
            height,
            delta.voters.iter().map(|(entry, _)| entry.voter),
        );
        enter(
            &mut self.invitations,
            height,
            delta.invitations.iter().map(|(key, _)| *key),
        );
        enter(
            &mut self.invitation_uses,
            height,
            delta.invitation_uses.iter().map(|(key, _)| *key),
        );
        enter(
            &mut self.elections,
            height,
            delta.elections.iter().map(|record| record.id),
        );
        enter(
            &mut self.votes,
            height,
            delta
                .votes
                .iter()
                .map(|(election, voter, _)| (*election, *voter)),
        );
        for (election, _, _) in &delta.votes {
            *self.vote_counts.entry(*election).or_default() += 1;
        }
        enter(
            &mut self.set_changes,
            height,
            delta.set_changes.iter().map(|record| record.change.set),
        );
        enter(
            &mut self.convictions,
            height,
            delta.convictions.iter().map(|one| one.offence.finaliser),
        );
        self.nodes.extend(block.nodes.iter().copied());
        self.weight += block.weight();
        self.blocks.push(block);
    }

    /// Both, which are neighbours, in one. The larger index is copied as a whole.
    fn merged(&self, next: &Self) -> Self {
        let mut run = Self {
            blocks: self.blocks.clone(),
            weight: self.weight,
            transactions: self.transactions.clone(),
            voters: self.voters.clone(),
            invitations: self.invitations.clone(),
            invitation_uses: self.invitation_uses.clone(),
            elections: self.elections.clone(),
            votes: self.votes.clone(),
            vote_counts: self.vote_counts.clone(),
            set_changes: self.set_changes.clone(),
            convictions: self.convictions.clone(),
            nodes: self.nodes.clone(),
        };
        for block in &next.blocks {
            run.add(block.clone());
        }
        run
    }

    fn first_height(&self) -> u64 {
        self.blocks[0].header.height
    }

    fn block(&self, height: u64) -> Option<&Arc<TailBlock>> {
        let index = height.checked_sub(self.first_height())?;
        self.blocks.get(usize::try_from(index).ok()?)
    }
}

/// The block below the tail, which the tables are the state after.
#[derive(Clone)]
pub(super) struct Base {
    pub id: BlockId,
    pub header: Header,
    pub roll: Frontier,
    pub counts: Counts,
}

/// All blocks above the flushed one. Clones are cheap.
#[derive(Clone)]
pub(super) struct Tail {
    base: Arc<Base>,
    runs: Vec<Arc<Run>>,
}

impl Tail {
    pub fn new(base: Base) -> Self {
        Self {
            base: Arc::new(base),
            runs: Vec::new(),
        }
    }

    pub fn base(&self) -> &Base {
        &self.base
    }

    fn last(&self) -> Option<&Arc<TailBlock>> {
        self.runs.last()?.blocks.last()
    }

    /// Id, header, roll log and counts of the last block.
    pub fn tip(&self) -> (&BlockId, &Header, &Frontier, &Counts) {
        match self.last() {
            Some(block) => (&block.id, &block.header, &block.roll, &block.counts),
            None => (
                &self.base.id,
                &self.base.header,
                &self.base.roll,
                &self.base.counts,
            ),
        }
    }

    pub fn height(&self) -> u64 {
        self.tip().1.height
    }

    /// Transactions in the tail.
    pub fn transactions(&self) -> u64 {
        self.tip().3.transactions - self.base.counts.transactions
    }

    /// Appends a block, the child of the last one.
    pub fn push(&mut self, block: Arc<TailBlock>) {
        debug_assert_eq!(block.header.height, self.height() + 1);
        let mut run = Run::of([block]);
        while let Some(last) = self
            .runs
            .last()
            .filter(|last| last.weight <= 2 * run.weight)
        {
            run = last.merged(&run);
            self.runs.pop();
        }
        self.runs.push(Arc::new(run));
    }

    /// The block at this height, if it is in the tail.
    pub fn block(&self, height: u64) -> Option<&Arc<TailBlock>> {
        let after = self
            .runs
            .partition_point(|run| run.first_height() <= height);
        self.runs[..after].last()?.block(height)
    }

    /// All blocks, lowest first.
    pub fn blocks(&self) -> impl Iterator<Item = &Arc<TailBlock>> {
        self.runs.iter().flat_map(|run| &run.blocks)
    }

    /// The tail that ends at `height`, which is not below the base.
    pub fn rewound(&self, height: u64) -> Self {
        let mut tail = Self {
            base: self.base.clone(),
            runs: Vec::new(),
        };
        for run in &self.runs {
            if run.first_height() > height {
                break;
            }
            let kept = (height - run.first_height() + 1).min(run.blocks.len() as u64) as usize;
            if kept == run.blocks.len() {
                tail.runs.push(run.clone());
            } else {
                let part = Run::of(run.blocks[..kept].iter().cloned());
                tail.runs.push(Arc::new(part));
            }
        }
        tail
    }

    /// The tail above `height`, which becomes the base.
    pub fn above(&self, height: u64) -> Self {
        let Some(block) = self.block(height) else {
            return self.clone();
        };
        let mut tail = Self::new(Base {
            id: block.id,
            header: block.header.clone(),
            roll: block.roll.clone(),
            counts: block.counts.clone(),
        });
        for run in &self.runs {
            if run.first_height() > height {
                tail.runs.push(run.clone());
            } else if run.block(height + 1).is_some() {
                let from = (height + 1 - run.first_height()) as usize;
                let part = Run::of(run.blocks[from..].iter().cloned());
                tail.runs.push(Arc::new(part));
            }
        }
        tail
    }

    fn find<'a, K: Key + Eq + 'a>(
        &'a self,
        key: &K,
        index: impl Fn(&'a Run) -> &'a HashMap<K, Spot>,
    ) -> Option<(&'a TailBlock, usize)> {
        self.runs.iter().rev().find_map(|run| {
            let spot = index(run).get(key)?;
            Some((run.block(spot.height)?.as_ref(), spot.item as usize))
        })
    }

    pub fn transaction(&self, id: &TxId) -> Option<Position> {
        let (block, item) = self.find(id, |run| &run.transactions)?;
        Some(Position {
            height: block.header.height,
            index: item as u32,
        })
    }

    pub fn voter(&self, key: &PublicKey) -> Option<&Voter> {
        let (block, item) = self.find(key, |run| &run.voters)?;
        Some(&block.delta.voters[item].1)
    }

    pub fn invitation(&self, key: &PublicKey) -> Option<&Invitation> {
        let (block, item) = self.find(key, |run| &run.invitations)?;
        Some(&block.delta.invitations[item].1)
    }

    pub fn invitation_use(&self, key: &PublicKey) -> Option<InvitationUse> {
        let (block, item) = self.find(key, |run| &run.invitation_uses)?;
        Some(block.delta.invitation_uses[item].1)
    }

    pub fn election(&self, id: &ElectionId) -> Option<&Arc<ElectionRecord>> {
        let (block, item) = self.find(id, |run| &run.elections)?;
        Some(&block.delta.elections[item])
    }

    pub fn vote(&self, election: &ElectionId, voter: &VoterTag) -> Option<&VoteRecord> {
        let (block, item) = self.find(&(*election, *voter), |run| &run.votes)?;
        Some(&block.delta.votes[item].2)
    }

    /// Votes of an election in the tail.
    pub fn votes(&self, election: &ElectionId) -> u64 {
        self.runs
            .iter()
            .filter_map(|run| run.vote_counts.get(election))
            .sum()
    }

    /// The change that made a set of finalisers.
    pub fn set_change(&self, set: u64) -> Option<&Arc<SetChange>> {
        let (block, item) = self.find(&set, |run| &run.set_changes)?;
        Some(&block.delta.set_changes[item])
    }

    /// Changes of the finalisers in the tail.
    pub fn set_changes(&self) -> u64 {
        let changes = |run: &Arc<Run>| run.set_changes.len() as u64;
        self.runs.iter().map(changes).sum()
    }

    pub fn conviction(&self, finaliser: &PublicKey) -> Option<&Conviction> {
        let (block, item) = self.find(finaliser, |run| &run.convictions)?;
        Some(&block.delta.convictions[item])
    }

    /// Convictions in the tail.
    pub fn convictions(&self) -> u64 {
        let convictions = |run: &Arc<Run>| run.convictions.len() as u64;
        self.runs.iter().map(convictions).sum()
    }

    /// Root of a perfect subtree of the roll log that was completed in the tail.
    pub fn node(&self, level: u8, index: u64) -> Option<Hash> {
        self.runs
            .iter()
            .rev()
            .find_map(|run| run.nodes.get(&(level, index)).copied())
    }

    /// An entry of the roll that was made in the tail.
    pub fn roll_entry(&self, index: u64) -> Option<&RollEntry> {
        if index < self.base.roll.size() {
            return None;
        }
        let ends_below = |block: &TailBlock| block.roll.size() <= index;
        let run = self
            .runs
            .partition_point(|run| run.blocks.last().is_none_or(|block| ends_below(block)));
        let blocks = &self.runs.get(run)?.blocks;
        let block = blocks.get(blocks.partition_point(|block| ends_below(block)))?;
        let start = block.roll.size() - block.delta.voters.len() as u64;
        let item = usize::try_from(index - start).ok()?;
        Some(&block.delta.voters.get(item)?.0)
    }
}
