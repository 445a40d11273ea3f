//! Merkle trees as in RFC 6962 §2, over BLAKE3 under one context per tree.
//!
//! A leaf is the hash of `0x00 ‖ data`, a node that of `0x01 ‖ left ‖ right`, the empty tree that of nothing. A tree of
//! n leaves splits at the largest power of two below n, so that every left subtree is perfect and never changes again
//! when leaves are appended. A perfect subtree is named by its level (a leaf has level 0) and its index among those of
//! its level. The module knows leaves and hashes; it must not know what they stand for.

mod frontier;
mod proof;

use crate::crypto::{Context, Hash, Hasher, hash};

pub use frontier::Frontier;
pub use proof::{
    InclusionProof, inclusion_path, range_proof, subtree_root, verify_inclusion, verify_range,
};

/// Which tree: hashes of one never answer for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tree {
    /// The transactions of a block. A leaf's data is a transaction id.
    Transactions,
    /// The log of all registrations. A leaf's data is an encoded [`crate::chain::state::RollEntry`].
    Roll,
}

impl Tree {
    const fn context(self) -> Context {
        match self {
            Self::Transactions => Context::TransactionTree,
            Self::Roll => Context::RollTree,
        }
    }

    /// The root of the tree with no leaves.
    pub fn empty(self) -> Hash {
        hash(self.context(), &[])
    }

    /// The hash of a leaf with this data.
    pub fn leaf(self, data: &[u8]) -> Hash {
        Hasher::new(self.context())
            .update(&[0])
            .update(data)
            .finish()
    }

    /// The hash of a node with these children.
    pub fn node(self, left: &Hash, right: &Hash) -> Hash {
        Hasher::new(self.context())
            .update(&[1])
            .update(left.as_bytes())
            .update(right.as_bytes())
            .finish()
    }

    /// The root over these leaf hashes, in order.
    pub fn root(self, leaves: impl IntoIterator<Item = Hash>) -> Hash {
        let mut frontier = Frontier::new(self);
        for leaf in leaves {
            frontier.push(leaf);
        }
        frontier.root()
    }
}

/// Where a tree of `size` ≥ 2 leaves splits: the largest power of two below `size`.
fn split(size: u64) -> u64 {
    1 << (u64::BITS - 1 - (size - 1).leading_zeros())
}

/// All perfect subtrees of a tree that fits in memory, for proofs out of a single block.
#[derive(Clone, Debug)]
pub struct PerfectNodes {
    levels: Vec<Vec<Hash>>,
}

impl PerfectNodes {
    /// Hashes the tree over these leaf hashes once.
    pub fn new(tree: Tree, leaves: Vec<Hash>) -> Self {
        let mut levels = vec![leaves];
        while let Some(last) = levels.last().filter(|level| level.len() > 1) {
            let next = last
                .chunks_exact(2)
                .map(|pair| tree.node(&pair[0], &pair[1]))
                .collect();
            levels.push(next);
        }
        Self { levels }
    }

    /// Number of leaves.
    pub fn size(&self) -> u64 {
        self.levels[0].len() as u64
    }

    /// The root of a perfect subtree, if the tree has it.
    pub fn node(&self, level: u32, index: u64) -> Option<Hash> {
        self.levels
            .get(level as usize)?
            .get(usize::try_from(index).ok()?)
            .copied()
    }

    /// The proof that the leaf at `index` is in the tree; `None` if there is no such leaf.
    pub fn inclusion(&self, tree: Tree, index: u64) -> Option<InclusionProof> {
        let count = self.size();
        let path = inclusion_path(tree, index, count, |level, index| {
            self.node(level, index).ok_or(())
        });
        Some(InclusionProof {
            index,
            count,
            path: path.ok()??,
        })
    }
}

#[cfg(test)]
mod tests;
