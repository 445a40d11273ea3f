//! Merkle trees as in RFC 6962.

use crate::crypto::Hash;

/// The compact form of a log: its size and the roots of its perfect subtrees, largest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frontier {
    size: u64,
    roots: Vec<Hash>,
}
