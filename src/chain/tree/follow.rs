//! Ways through the tree: from one tip to another, and between this node's chain and a peer's.

use super::{Body, HeaderSource, HeaderTree};
use crate::chain::block::BlockId;
use crate::chain::state::ViewError;

/// Most ids in a locator.
pub const MAX_LOCATOR: usize = 64;

/// Ids of a locator before the steps begin to double. With 53 doublings of a height that fits the wire, 63 in all.
const DENSE: u64 = 10;

/// How to get from one block to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path {
    /// Blocks to leave, the highest first.
    pub leave: Vec<BlockId>,
    /// Blocks to join, the lowest first.
    pub join: Vec<BlockId>,
    /// The last block that both chains share.
    pub fork: BlockId,
    /// Height of that.
    pub fork_height: u64,
}

impl HeaderTree {
    /// The path between two blocks of the tree.
    pub fn path(&self, from: &BlockId, to: &BlockId) -> Option<Path> {
        let (mut low, mut high) = (*from, *to);
        let (mut leave, mut join) = (Vec::new(), Vec::new());
        while low != high {
            let (left, right) = (self.get(&low)?, self.get(&high)?);
            if left.height >= right.height {
                leave.push(low);
                low = left.parent;
            } else {
                join.push(high);
                high = right.parent;
            }
        }
        join.reverse();
        Some(Path {
            fork_height: self.get(&low)?.height,
            fork: low,
            leave,
            join,
        })
    }

    /// Blocks without bodies on the way to [`Self::best_header`], the lowest first, at most `max`.
    pub fn missing_bodies(&self, max: usize) -> Vec<BlockId> {
        let mut missing = Vec::new();
        let mut id = self.best_header();
        while let Some(entry) = self.entries.get(&id) {
            if entry.ready {
                break;
            }
            if entry.body == Body::Missing {
                missing.push(id);
            }
            id = entry.header.parent;
        }
        missing.reverse();
        missing.truncate(max);
        missing
    }

    /// Ids from a block of the tree down, dense at first and then in steps that double: where a peer finds the last
    /// block that it shares. The genesis block goes without saying.
    pub fn locator(
        &self,
        from: &BlockId,
        source: &dyn HeaderSource,
    ) -> Result<Vec<BlockId>, ViewError> {
        let mut locator = Vec::new();
        let (mut id, mut step) = (*from, 1);
        let Some(mut height) = self.get(from).map(|header| header.height) else {
            return Ok(locator);
        };
        while height > 0 && locator.len() < MAX_LOCATOR {
            locator.push(id);
            if locator.len() as u64 >= DENSE {
                step *= 2;
            }
            height = height.saturating_sub(step);
            let next = if height >= self.root_height {
                self.ancestor_at(&id, height)
            } else {
                source.id_at(height)?
            };
            match next {
                Some(next) => id = next,
                None => break,
            }
        }
        Ok(locator)
    }
}
