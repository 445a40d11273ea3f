//! Proofs: that a leaf, or a run of leaves, is at its place in a tree.
//!
//! They are made from any source of perfect subtrees and checked with a root alone. Checking takes time in proportion
//! to the leaves and hashes given, whatever size, index or root is claimed; depth is at most 64.

use crate::chain::merkle::{Tree, split};
use crate::crypto::Hash;

/// Proof that a leaf is in a tree (RFC 6962 §2.1.1).
///
/// It always proves membership. It proves the index only where the count is known from elsewhere, as the roll's is from
/// the header: trees of different sizes can share a root's shape along one path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InclusionProof {
    /// Index of the leaf.
    pub index: u64,
    /// Leaves in the tree.
    pub count: u64,
    /// Hashes of the siblings, from the leaf up.
    pub path: Vec<Hash>,
}

impl InclusionProof {
    /// Whether it proves that `leaf` (a leaf hash) is at its place in the tree with this root.
    pub fn verify(&self, tree: Tree, leaf: Hash, root: &Hash) -> bool {
        verify_inclusion(tree, leaf, self.index, self.count, &self.path, root)
    }
}

/// The root over the leaves `start..end`, which must be a subtree of some tree of this shape; `node` gives perfect
/// subtrees by level and index. `None` for no leaves.
pub fn subtree_root<E>(
    tree: Tree,
    start: u64,
    end: u64,
    node: &mut impl FnMut(u32, u64) -> Result<Hash, E>,
) -> Result<Option<Hash>, E> {
    if start >= end {
        return Ok(None);
    }
    root_of(tree, start, end, node).map(Some)
}

fn root_of<E>(
    tree: Tree,
    start: u64,
    end: u64,
    node: &mut impl FnMut(u32, u64) -> Result<Hash, E>,
) -> Result<Hash, E> {
    let size = end - start;
    if size.is_power_of_two() {
        let level = size.trailing_zeros();
        return node(level, start >> level);
    }
    let middle = start + split(size);
    let left = root_of(tree, start, middle, node)?;
    let right = root_of(tree, middle, end, node)?;
    Ok(tree.node(&left, &right))
}

/// The path of the leaf at `index` in a tree of `count` leaves, from the leaf up; `None` if there is no such leaf.
/// `node` gives perfect subtrees by level and index.
pub fn inclusion_path<E>(
    tree: Tree,
    index: u64,
    count: u64,
    mut node: impl FnMut(u32, u64) -> Result<Hash, E>,
) -> Result<Option<Vec<Hash>>, E> {
    if index >= count {
        return Ok(None);
    }
    let (mut start, mut end) = (0, count);
    let mut path = Vec::new();
    while end - start > 1 {
        let middle = start + split(end - start);
        if index < middle {
            path.push(root_of(tree, middle, end, &mut node)?);
            end = middle;
        } else {
            path.push(root_of(tree, start, middle, &mut node)?);
            start = middle;
        }
    }
    path.reverse();
    Ok(Some(path))
}

/// Whether `path` proves that `leaf` (a leaf hash) is at `index` in the tree of `count` leaves with this root.
pub fn verify_inclusion(
    tree: Tree,
    leaf: Hash,
    index: u64,
    count: u64,
    path: &[Hash],
    root: &Hash,
) -> bool {
    if index >= count {
        return false;
    }
    let (mut place, mut last) = (index, count - 1);
    let mut computed = leaf;
    for sibling in path {
        if last == 0 {
            return false;
        }
        if place & 1 == 1 || place == last {
            computed = tree.node(sibling, &computed);
            // A last node without a sibling moves up as it is.
            while place & 1 == 0 && place != 0 {
                place >>= 1;
                last >>= 1;
            }
        } else {
            computed = tree.node(&computed, sibling);
        }
        place >>= 1;
        last >>= 1;
    }
    last == 0 && computed == *root
}

/// Proof for the leaves `from..to` of a tree of `count` leaves: the roots of the largest subtrees outside the range,
/// from left to right. `None` unless `from` ≤ `to` ≤ `count`. An empty range is proved by the root itself.
pub fn range_proof<E>(
    tree: Tree,
    from: u64,
    to: u64,
    count: u64,
    mut node: impl FnMut(u32, u64) -> Result<Hash, E>,
) -> Result<Option<Vec<Hash>>, E> {
    if from > to || to > count {
        return Ok(None);
    }
    let mut proof = Vec::new();
    if count > 0 {
        outside(tree, from, to, 0, count, &mut node, &mut proof)?;
    }
    Ok(Some(proof))
}

fn outside<E>(
    tree: Tree,
    from: u64,
    to: u64,
    start: u64,
    end: u64,
    node: &mut impl FnMut(u32, u64) -> Result<Hash, E>,
    proof: &mut Vec<Hash>,
) -> Result<(), E> {
    if disjoint(from, to, start, end) {
        proof.push(root_of(tree, start, end, node)?);
        return Ok(());
    }
    if from <= start && end <= to {
        return Ok(());
    }
    let middle = start + split(end - start);
    outside(tree, from, to, start, middle, node, proof)?;
    outside(tree, from, to, middle, end, node, proof)
}

fn disjoint(from: u64, to: u64, start: u64, end: u64) -> bool {
    from == to || end <= from || to <= start
}

/// Whether `leaves` (leaf hashes) are the run that begins at `from` in the tree of `count` leaves with this root.
pub fn verify_range(
    tree: Tree,
    leaves: &[Hash],
    from: u64,
    count: u64,
    proof: &[Hash],
    root: &Hash,
) -> bool {
    let Some(to) = from.checked_add(leaves.len() as u64) else {
        return false;
    };
    if to > count {
        return false;
    }
    if count == 0 {
        return proof.is_empty() && *root == tree.empty();
    }
    let mut rebuild = Rebuild {
        tree,
        from,
        to,
        leaves: leaves.iter(),
        proof: proof.iter(),
    };
    rebuild.root(0, count) == Some(*root) && rebuild.proof.next().is_none()
}

/// Rebuilds a root from a run of leaves and the subtrees outside it, both consumed from left to right.
struct Rebuild<'a> {
    tree: Tree,
    from: u64,
    to: u64,
    leaves: std::slice::Iter<'a, Hash>,
    proof: std::slice::Iter<'a, Hash>,
}

impl Rebuild<'_> {
    fn root(&mut self, start: u64, end: u64) -> Option<Hash> {
        if disjoint(self.from, self.to, start, end) {
            return self.proof.next().copied();
        }
        if end - start == 1 {
            return self.leaves.next().copied();
        }
        let middle = start + split(end - start);
        let left = self.root(start, middle)?;
        let right = self.root(middle, end)?;
        Some(self.tree.node(&left, &right))
    }
}
