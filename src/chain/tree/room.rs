//! Room in the tree: which branch goes when there are too many, and which never do.
//!
//! Whoever has computing power fills the tree with branches. What finality rests on must not go for them: the way to a
//! block that the finalisers decided on, and the blocks that this node's own part in the consensus is bound to.

use super::{Body, HeaderSource, HeaderTree, Inserted};
use crate::chain::block::{BlockId, Header};
use crate::chain::state::ViewError;

/// Most blocks that are held: one that is certified, and the few that one round of the consensus is about.
pub const MAX_HELD: usize = 8;

/// How many windows the root stays back for a held branch that forks off below it: at a block every two seconds a day
/// and a half without any checkpoint.
pub(super) const HELD_WINDOWS: u64 = 4;

impl HeaderTree {
    /// Keeps the branches of these blocks, up to each of them, whatever work others have; and no longer those that were
    /// held before. Of more than [`MAX_HELD`] the first count. They may still be unknown.
    pub fn hold(&mut self, blocks: impl IntoIterator<Item = BlockId>) {
        self.held = blocks.into_iter().take(MAX_HELD).collect();
    }

    /// Whether a block must not make room: it is held, or it is the checkpoint.
    pub(super) fn is_kept(&self, id: &BlockId) -> bool {
        self.held.contains(id)
            || self
                .checkpoint
                .is_some_and(|(checkpoint, _)| checkpoint == *id)
    }

    /// Whether a kept block is this one or builds on it.
    pub fn leads_to_kept(&self, id: &BlockId) -> bool {
        let Some(height) = self.get(id).map(|header| header.height) else {
            return false;
        };
        let checkpoint = self.checkpoint.map(|(checkpoint, _)| checkpoint);
        let mut kept = self.held.iter().chain(&checkpoint);
        kept.any(|kept| self.ancestor_at(kept, height) == Some(*id))
    }

    /// Takes in a whole branch, the lowest block first, whose last block is held. Nothing of it goes for want of room.
    ///
    /// Each header has to be checked by itself and against the one before. What is here already may be among them, and
    /// so may what lies below the root, as far as it is settled.
    pub fn insert_held(
        &mut self,
        branch: &[Header],
        source: &dyn HeaderSource,
    ) -> Result<Inserted, ViewError> {
        let Some(last) = branch.last() else {
            return Ok(Inserted::Known);
        };
        let last_id = last.id();
        let mut fresh = Vec::new();
        let mut linked = false;
        for header in branch {
            let id = header.id();
            if self.invalid.contains_key(&id) || self.invalid.contains_key(&header.parent) {
                self.remember_invalid(last_id, last.height);
                return Ok(Inserted::Invalid);
            }
            if linked {
                fresh.push((id, header));
            } else if let Some(parent) = self.entries.get(&header.parent) {
                if self.entries.contains_key(&id) {
                    continue;
                }
                if parent.off_checkpoint || self.misses(self.checkpoint, parent, &id, header) {
                    return Ok(Inserted::OffCheckpoint);
                }
                linked = true;
                fresh.push((id, header));
            } else if !self.entries.contains_key(&id) {
                match self.outside(&id, header, source)? {
                    Inserted::Known => {}
                    refused => return Ok(refused),
                }
            }
        }
        if fresh.is_empty() {
            return Ok(Inserted::Known);
        }
        let is_checkpoint = self
            .checkpoint
            .is_some_and(|(checkpoint, _)| fresh.iter().any(|(id, _)| *id == checkpoint));
        for (id, header) in fresh {
            self.link(id, header.clone(), Body::Missing);
        }
        if is_checkpoint {
            self.choose_again();
        }
        Ok(self.make_room(last_id))
    }

    /// Keeps the tree within its limits after `new` came in: the branch with the least work goes, those that the
    /// operator's choice rules out first. Branches that extend the tip stay, or anyone could crowd out the chain's
    /// next block with headers that have no bodies; and so do kept blocks with what they build on.
    pub(super) fn make_room(&mut self, new: BlockId) -> Inserted {
        loop {
            let tip = self.tip();
            let branches = self.leaves.iter().filter(|leaf| leaf.1.0 != tip).count();
            let side = self.entries.len() - self.active.len();
            if side <= self.limits.side_headers && branches <= self.limits.side_branches {
                return Inserted::New;
            }
            let victim = self
                .leaves
                .iter()
                .map(|leaf| leaf.1.0)
                .filter(|leaf| *leaf != tip && !self.is_kept(leaf))
                .min_by_key(|leaf| (self.extends_tip(leaf), !self.entries[leaf].off_pin));
            let victim = match victim {
                Some(victim) => victim,
                // Kept blocks are few: the limits give way.
                None if self.leads_to_kept(&new) => return Inserted::New,
                None => new,
            };
            if victim == new || self.only_leaf_above(&tip, &victim) {
                if self.leads_to_kept(&new) {
                    return Inserted::New;
                }
                self.unlink(new);
                return Inserted::Full;
            }
            self.unlink(self.fork_child(victim));
        }
    }

    /// Whether this leaf is the one branch that extends the tip.
    fn only_leaf_above(&self, tip: &BlockId, leaf: &BlockId) -> bool {
        self.extends_tip(leaf)
            && self.leaves.iter().all(|other| {
                other.1.0 == *leaf || other.1.0 == *tip || !self.extends_tip(&other.1.0)
            })
    }

    fn extends_tip(&self, id: &BlockId) -> bool {
        self.ancestor_at(id, self.tip_height()) == Some(self.tip())
    }

    /// The lowest block of a leaf's branch that no other branch shares, and no kept block.
    fn fork_child(&self, leaf: BlockId) -> BlockId {
        let mut lowest = leaf;
        loop {
            let parent = self.entries[&lowest].header.parent;
            match self.entries.get(&parent) {
                Some(entry)
                    if entry.children.len() == 1
                        && !self.is_active(&parent)
                        && !self.is_kept(&parent) =>
                {
                    lowest = parent;
                }
                _ => return lowest,
            }
        }
    }

    /// The height up to which the root may rise without cutting a held branch off.
    pub(super) fn lowest_held_fork(&self) -> Option<u64> {
        self.held.iter().filter_map(|id| self.fork_of(*id)).min()
    }

    /// Where the branch of a block beside the active chain forks off.
    fn fork_of(&self, block: BlockId) -> Option<u64> {
        let mut id = block;
        while let Some(header) = self.get(&id) {
            if self.is_active(&id) {
                return (id != block).then_some(header.height);
            }
            id = header.parent;
        }
        None
    }
}
