//! The compact form of an append-only log: enough to append and to know the root, and no more.

use crate::chain::merkle::Tree;
use crate::crypto::Hash;

/// The size of a log and the roots of its perfect subtrees, largest first: one for each bit set in the size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frontier {
    tree: Tree,
    size: u64,
    roots: Vec<Hash>,
}

impl Frontier {
    /// The log with no leaves.
    pub const fn new(tree: Tree) -> Self {
        Self {
            tree,
            size: 0,
            roots: Vec::new(),
        }
    }

    /// A log of which size and roots were kept; `None` if their number does not match the size.
    pub fn from_parts(tree: Tree, size: u64, roots: Vec<Hash>) -> Option<Self> {
        (roots.len() == size.count_ones() as usize).then_some(Self { tree, size, roots })
    }

    /// Which tree.
    pub const fn tree(&self) -> Tree {
        self.tree
    }

    /// Number of leaves.
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Roots of the perfect subtrees, largest first.
    pub fn roots(&self) -> &[Hash] {
        &self.roots
    }

    /// Appends a leaf hash.
    pub fn push(&mut self, leaf: Hash) {
        self.push_with(leaf, |_, _, _| {});
    }

    /// Appends a leaf hash and reports every perfect subtree that this completes, the leaf first, by level and index:
    /// what a store keeps in order to make proofs later.
    pub fn push_with(&mut self, leaf: Hash, mut completed: impl FnMut(u32, u64, &Hash)) {
        let mut root = leaf;
        completed(0, self.size, &root);
        for level in 1..=self.size.trailing_ones() {
            let Some(left) = self.roots.pop() else {
                unreachable!("a root for each bit of the size")
            };
            root = self.tree.node(&left, &root);
            completed(level, self.size >> level, &root);
        }
        self.roots.push(root);
        self.size += 1;
    }

    /// The root of the tree over all leaves.
    pub fn root(&self) -> Hash {
        let mut smallest_first = self.roots.iter().rev();
        let Some(smallest) = smallest_first.next() else {
            return self.tree.empty();
        };
        smallest_first.fold(*smallest, |right, left| self.tree.node(left, &right))
    }
}
