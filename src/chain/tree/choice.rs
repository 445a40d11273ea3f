//! Which branch to follow: most work, then the lower id, within what checkpoint and pin allow.

use std::collections::BTreeSet;

use super::room::HELD_WINDOWS;
use super::{Entry, HeaderSource, HeaderTree, rank};
use crate::chain::block::{BlockId, Header};
use crate::chain::state::ViewError;
use crate::planted::{self, Fault};

/// Two checkpoints that no chain contains both: more than a third of the finalisers signed both, or this node is on
/// the wrong network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("checkpoint {new} at height {new_height} conflicts with {old} at height {old_height}")]
pub struct CheckpointConflict {
    /// The checkpoint that this node holds, or the settled block in place of the new one.
    pub old: BlockId,
    /// Its height.
    pub old_height: u64,
    /// The one that came.
    pub new: BlockId,
    /// Its height.
    pub new_height: u64,
}

/// A chain that has more work than the active one and is not followed, because it does not contain the pinned block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Competing {
    /// Its last block.
    pub tip: BlockId,
    /// Height of that.
    pub height: u64,
    /// Whether all of its blocks are here.
    pub complete: bool,
    /// The last block that it shares with the active chain.
    pub fork: BlockId,
    /// Height of that.
    pub fork_height: u64,
}

impl HeaderTree {
    /// The block that ought to be the tip: of all blocks whose bodies are here down to the root, and that checkpoint
    /// and pin allow, the one with most work, or of equals the one with the lower id. Unless it is [`Self::tip`], the
    /// driver applies it along [`Self::path`]; if a block turns out invalid it says so and asks again.
    pub fn best(&self) -> BlockId {
        let best = self.ready.last();
        if let Some((most, _)) = best
            && planted::is(Fault::HigherIdWins)
        {
            let higher = self.ready.iter().find(|(work, _)| work == most);
            return higher.map_or(self.tip(), |higher| higher.1.0);
        }
        best.map_or(self.tip(), |best| best.1.0)
    }

    /// The end of the best chain as far as headers tell, whether bodies are here or not.
    pub fn best_header(&self) -> BlockId {
        let leaf = self.leaves.iter().rev().find(|leaf| {
            let entry = &self.entries[&leaf.1.0];
            !entry.off_pin && !entry.off_checkpoint
        });
        match (leaf, self.ready.last()) {
            (Some(leaf), Some(ready)) => leaf.max(ready).1.0,
            (Some(leaf), None) => leaf.1.0,
            (None, _) => self.best(),
        }
    }

    /// The best chain that the pin keeps this node from following, if it has more claim to it than the active one.
    pub fn competing(&self) -> Option<Competing> {
        let ours = rank(&self.tip(), self.get(&self.tip())?);
        let leaf = self.leaves.iter().rev().find(|leaf| {
            let entry = &self.entries[&leaf.1.0];
            entry.off_pin && !entry.off_checkpoint
        })?;
        if *leaf < ours {
            return None;
        }
        let tip = leaf.1.0;
        let path = self.path(&self.tip(), &tip)?;
        let entry = &self.entries[&tip];
        Some(Competing {
            tip,
            height: entry.header.height,
            complete: entry.ready,
            fork: path.fork,
            fork_height: path.fork_height,
        })
    }

    /// Moves the active chain to a block that was applied. What falls out of the window is settled: its headers are
    /// read from the source from now on, and side branches that fork off there are given up.
    ///
    /// Answers whether the block is in the tree.
    pub fn set_tip(&mut self, id: &BlockId) -> bool {
        let Some(path) = self.path(&self.tip(), id) else {
            return false;
        };
        for _ in &path.leave {
            self.active.pop_back();
        }
        for joined in path.join {
            self.set_valid(&joined);
            self.active.push_back(joined);
        }
        self.settle();
        true
    }

    /// The last checkpoint, if there is one.
    pub fn checkpoint(&self) -> Option<(BlockId, u64)> {
        self.checkpoint
    }

    /// Whether the active chain does not contain the checkpoint yet.
    pub fn awaits_checkpoint(&self) -> bool {
        self.checkpoint.is_some_and(|(id, height)| {
            height > self.root_height && self.active_at(height) != Some(id)
        })
    }

    /// Notes a checkpoint: from now on only chains that contain it are followed and taken in. The active chain stays
    /// until the driver leaves it, even if the checkpoint rules it out. The checkpoint's header may still be unknown.
    pub fn set_checkpoint(
        &mut self,
        id: BlockId,
        height: u64,
        source: &dyn HeaderSource,
    ) -> Result<Result<(), CheckpointConflict>, ViewError> {
        let conflict = |old, old_height| CheckpointConflict {
            old,
            old_height,
            new: id,
            new_height: height,
        };
        if planted::is(Fault::CheckpointCrossed) {
            return Ok(Ok(()));
        }
        if height <= self.root_height {
            return Ok(match source.id_at(height)? {
                Some(settled) if settled != id => Err(conflict(settled, height)),
                _ => Ok(()),
            });
        }
        if let Some((old, old_height)) = self.checkpoint {
            let (lower, upper) = if old_height <= height {
                ((old, old_height), (id, height))
            } else {
                ((id, height), (old, old_height))
            };
            let contained = self.ancestor_at(&upper.0, lower.1);
            if contained.is_some_and(|contained| contained != lower.0)
                || (lower.1 == upper.1 && lower.0 != upper.0)
            {
                return Ok(Err(conflict(old, old_height)));
            }
            if old_height >= height {
                return Ok(Ok(()));
            }
        }
        self.checkpoint = Some((id, height));
        self.choose_again();
        self.settle();
        Ok(Ok(()))
    }

    /// Keeps to chains that contain this block of the active chain, whatever work others have. A pin lower than the
    /// present one changes nothing.
    ///
    /// Answers whether the block can be kept to: it is on the active chain, or so deep that nothing can displace it.
    pub fn set_pin(&mut self, id: BlockId, height: u64) -> bool {
        if height > self.root_height {
            if self.active_at(height) != Some(id) {
                return false;
            }
            if self.pin.is_none_or(|(_, pinned)| pinned < height) {
                self.pin = Some((id, height));
                self.choose_again();
            }
        }
        true
    }

    /// The pinned block, if there is one.
    pub fn pin(&self) -> Option<(BlockId, u64)> {
        self.pin
    }

    /// Follows most work again, at the operator's word.
    pub fn unpin(&mut self) {
        self.pin = None;
        self.choose_again();
    }

    /// Whether a new child of `parent`, itself on no excluded branch, is on a branch that misses a required block.
    pub(super) fn misses(
        &self,
        required: Option<(BlockId, u64)>,
        parent: &Entry,
        id: &BlockId,
        header: &Header,
    ) -> bool {
        let Some((required, height)) = required else {
            return false;
        };
        if parent.header.height >= height || height <= self.root_height || *id == required {
            return false;
        }
        // All ancestors of a known block are known; a newcomer beside them is on another branch.
        header.height == height || self.entries.contains_key(&required)
    }

    /// Finds out anew which branches checkpoint and pin exclude, and drops those that can never come back.
    pub(super) fn choose_again(&mut self) {
        let mut order: Vec<(u64, BlockId)> = self
            .entries
            .iter()
            .map(|(id, entry)| (entry.header.height, *id))
            .collect();
        order.sort_unstable();
        let on_checkpoint = self.spine(self.checkpoint);
        let on_pin = self.spine(self.pin);
        self.ready.clear();
        let mut ruled_out = Vec::new();
        for (height, id) in order {
            let active = self.is_active(&id);
            let inherited = self
                .entries
                .get(&self.entries[&id].header.parent)
                .map_or((false, false), |parent| {
                    (parent.off_checkpoint, parent.off_pin)
                });
            let off_checkpoint =
                inherited.0 || Self::beside(&on_checkpoint, self.checkpoint, height, &id);
            let off_pin = inherited.1 || Self::beside(&on_pin, self.pin, height, &id);
            let Some(entry) = self.entries.get_mut(&id) else {
                continue;
            };
            entry.off_checkpoint = off_checkpoint;
            entry.off_pin = off_pin;
            if entry.ready && !off_checkpoint && !off_pin {
                self.ready.insert(rank(&id, &entry.header));
            }
            if off_checkpoint && !active && !inherited.0 {
                ruled_out.push(id);
            }
        }
        // Children of an active block that is itself ruled out go with it, when the driver has left it.
        for id in ruled_out {
            self.unlink(id);
        }
    }

    /// The blocks from the root to a required block; empty if that is unknown.
    fn spine(&self, required: Option<(BlockId, u64)>) -> BTreeSet<BlockId> {
        let mut spine = BTreeSet::new();
        let mut next = required.map(|(id, _)| id);
        while let Some((id, entry)) = next.and_then(|id| self.entries.get_key_value(&id)) {
            spine.insert(*id);
            next = Some(entry.header.parent);
        }
        spine
    }

    /// Whether a block at or below a required one's height is on another branch.
    fn beside(
        spine: &BTreeSet<BlockId>,
        required: Option<(BlockId, u64)>,
        height: u64,
        id: &BlockId,
    ) -> bool {
        match required {
            Some((required, at)) if spine.is_empty() => height == at && *id != required,
            Some((_, at)) => height <= at && !spine.contains(id),
            None => false,
        }
    }

    /// Moves the root up to the window's edge, or to the checkpoint once the active chain contains it.
    pub(super) fn settle(&mut self) {
        let mut target = self.tip_height().saturating_sub(self.limits.window);
        if let Some(fork) = self.lowest_held_fork().filter(|fork| *fork < target) {
            let most = self.limits.window.saturating_mul(HELD_WINDOWS);
            target = fork.max(self.tip_height().saturating_sub(most));
        }
        if let Some((id, height)) = self.checkpoint {
            if self.active_at(height) == Some(id) {
                target = target.max(height);
            }
            let left: Vec<BlockId> = self
                .entries
                .iter()
                .filter(|(id, entry)| entry.off_checkpoint && !self.is_active(id))
                .map(|(id, _)| *id)
                .collect();
            for id in left {
                self.unlink(id);
            }
        }
        while self.root_height < target {
            let Some(root) = self.active.pop_front() else {
                break;
            };
            self.root_height += 1;
            let kept = self.active.front().copied();
            if let Some(entry) = self.entries.get(&root) {
                let stale: Vec<BlockId> = (entry.children.iter().copied())
                    .filter(|child| Some(*child) != kept)
                    .collect();
                for child in stale {
                    self.unlink(child);
                }
            }
            if let Some(entry) = self.entries.remove(&root) {
                self.ready.remove(&rank(&root, &entry.header));
            }
        }
    }
}
