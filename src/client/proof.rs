//! Checking what nodes claim: that a transaction is in a block, that headers are a chain, that a checkpoint was decided.
//!
//! A node can leave things out or show another branch, but it cannot invent a block: that takes the work the genesis
//! asks for, and the Merkle path ties the transaction to it. Everything here needs the genesis and nothing else.

use crate::chain::block::{BlockId, Header};
use crate::chain::checkpoint::{CertificateError, CommitCertificate, FinaliserSet};
use crate::chain::merkle::{Tree, verify_inclusion};
use crate::chain::network::Network;
use crate::chain::transaction::TxId;
use crate::protocol::submit::Inclusion;

/// Why a proof does not hold.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// The header names another network.
    #[error("the block belongs to another network")]
    OtherNetwork,
    /// The header's version is not the network's.
    #[error("the block has another protocol version")]
    Version,
    /// The block's id is above the target.
    #[error("block {0} does not carry the work that the network asks for")]
    Work(BlockId),
    /// The path does not lead from the transaction to the block's root.
    #[error("the transaction is not in the block at the place that is claimed")]
    Path,
    /// A header is not the child of the one before it.
    #[error("block {0} does not follow on the block before it")]
    Parent(BlockId),
    /// The certificate is not about the last header.
    #[error("the certificate is for another block")]
    OtherCheckpoint,
    /// The certificate does not prove that its block was decided.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
}

/// Checks a header by itself: network, version, work.
pub fn check_header(network: &Network, header: &Header) -> Result<BlockId, ProofError> {
    if header.network != network.id() {
        return Err(ProofError::OtherNetwork);
    }
    if header.version != network.version {
        return Err(ProofError::Version);
    }
    let id = header.id();
    // The genesis block holds nothing that could be proved.
    if header.height == 0 || !id.meets(network) {
        return Err(ProofError::Work(id));
    }
    Ok(id)
}

/// Checks that a transaction is in a block of this network, and returns the block's id.
pub fn check_inclusion(
    network: &Network,
    transaction: &TxId,
    inclusion: &Inclusion,
) -> Result<BlockId, ProofError> {
    let id = check_header(network, &inclusion.header)?;
    let holds = inclusion.count <= network.max_block_transactions
        && verify_inclusion(
            Tree::Transactions,
            Tree::Transactions.leaf(transaction.as_bytes()),
            inclusion.index,
            inclusion.count,
            &inclusion.path,
            &inclusion.header.transaction_root,
        );
    if holds { Ok(id) } else { Err(ProofError::Path) }
}

/// Checks that headers follow on `base` one by one, and returns the id of the last (`base`'s if there are none).
pub fn check_headers(
    network: &Network,
    base: &Header,
    headers: &[Header],
) -> Result<BlockId, ProofError> {
    let mut below = (base.id(), base.height, base.timestamp_ms);
    for header in headers {
        let id = check_header(network, header)?;
        let (parent, height, timestamp_ms) = below;
        // Between a block and its parent lies at least the block time: work alone does not tell when.
        let follows = header.parent == parent
            && height.checked_add(1) == Some(header.height)
            && timestamp_ms
                .checked_add(network.block_time_ms)
                .is_some_and(|earliest_ms| header.timestamp_ms >= earliest_ms);
        if !follows {
            return Err(ProofError::Parent(id));
        }
        below = (id, header.height, header.timestamp_ms);
    }
    Ok(below.0)
}

/// Checks that the finalisers of the genesis decided `block`.
pub fn check_certificate(
    network: &Network,
    block: &BlockId,
    certificate: &CommitCertificate,
) -> Result<(), ProofError> {
    if certificate.block != *block {
        return Err(ProofError::OtherCheckpoint);
    }
    Ok(FinaliserSet::genesis(network).check(&network.id(), certificate)?)
}

#[cfg(test)]
mod tests;
