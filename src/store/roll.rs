//! The roll log on disk: its leaves, and the roots of perfect subtrees at every fourth level.
//!
//! One kept root per sixteen leaves (and one per sixteen of those, and so on) makes any proof a matter of a few hundred
//! hashes, for a fifteenth of the entries that keeping every root would take.

use super::error::StoreError;
use crate::chain::merkle::{Frontier, Tree};
use crate::crypto::Hash;

/// Levels between two that are kept.
const STEP: u32 = 4;

/// Whether the roots of this level are kept.
pub(super) const fn is_kept(level: u32) -> bool {
    level > 0 && level.is_multiple_of(STEP)
}

/// Levels that are kept, of a log of up to 2^53 leaves.
pub(super) fn kept_levels() -> impl Iterator<Item = u8> {
    (1..=13u8).map(|step| step * STEP as u8)
}

/// The root of a perfect subtree, computed from what is kept: `kept` gives the roots of kept levels, and of level 0 the
/// hashes of the leaves.
pub(super) fn node(
    level: u32,
    index: u64,
    kept: &impl Fn(u32, u64) -> Result<Hash, StoreError>,
) -> Result<Hash, StoreError> {
    if level.is_multiple_of(STEP) {
        return kept(level, index);
    }
    let left = node(level - 1, 2 * index, kept)?;
    let right = node(level - 1, 2 * index + 1, kept)?;
    Ok(Tree::Roll.node(&left, &right))
}

/// The compact form of the log of the first `size` leaves.
pub(super) fn frontier(
    size: u64,
    kept: &impl Fn(u32, u64) -> Result<Hash, StoreError>,
) -> Result<Frontier, StoreError> {
    let roots = (0..u64::BITS)
        .rev()
        .filter(|level| size >> level & 1 == 1)
        .map(|level| node(level, (size >> level) - 1, kept))
        .collect::<Result<Vec<_>, _>>()?;
    Frontier::from_parts(Tree::Roll, size, roots)
        .ok_or_else(|| StoreError::Corrupt("roll log".to_owned()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::cell::RefCell;
    use std::collections::HashMap;

    use super::*;

    #[test]
    fn every_frontier_can_be_rebuilt_from_what_is_kept() {
        let mut log = Frontier::new(Tree::Roll);
        let kept = RefCell::new(HashMap::new());
        let read = |level: u32, index: u64| {
            assert!(level == 0 || is_kept(level));
            Ok(kept.borrow()[&(level, index)])
        };
        for size in 0..700u64 {
            assert_eq!(frontier(size, &read).unwrap(), log);
            log.push_with(
                Tree::Roll.leaf(&size.to_be_bytes()),
                |level, index, root| {
                    if level == 0 || is_kept(level) {
                        kept.borrow_mut().insert((level, index), *root);
                    }
                },
            );
        }
        assert!(kept_levels().all(|level| is_kept(level.into())));
        assert_eq!(kept_levels().last(), Some(52));
    }
}
