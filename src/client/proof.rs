//! Checking what nodes claim: that a transaction is in a block, that headers are a chain, that a checkpoint was decided.
//!
//! A node can leave things out or show another branch, but it cannot invent a block: that takes the work the genesis
//! asks for, and the Merkle path ties the transaction to it. Everything here needs the genesis and nothing else.

use crate::chain::block::{BlockId, Header};
use crate::chain::checkpoint::{CertificateError, ChangeError, CommitCertificate, FinaliserSet};
use crate::chain::merkle::{Tree, verify_inclusion};
use crate::chain::network::Network;
use crate::chain::transaction::{FinaliserChange, TxId};
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
    /// The headers above the block end, and the checkpoint is not among them.
    #[error("the headers do not lead from the block to the checkpoint")]
    Apart,
    /// The block is not the one that closes the election by its terms.
    #[error("the block that is named is not the one that closes the election")]
    Closing,
    /// The changes do not lead to the set that signed.
    #[error(
        "the certificate is by set {claimed} of finalisers, and the changes beside it lead from the genesis to set {known}"
    )]
    Changes {
        /// The set that the certificate names.
        claimed: u64,
        /// The set that the changes lead to.
        known: u64,
    },
    /// A change does not follow on the set before it, or that set did not approve it.
    #[error("change {number} of the finalisers does not hold: {error}")]
    Change {
        /// Which, counted from 1.
        number: u64,
        /// What is wrong.
        error: ChangeError,
    },
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

/// The sets of finalisers from the genesis on, each made by the change that the one before approved: set 0 and one more
/// per change.
pub fn follow_changes(
    network: &Network,
    changes: &[FinaliserChange],
) -> Result<Vec<FinaliserSet>, ProofError> {
    let mut sets = vec![FinaliserSet::genesis(network)];
    for (number, change) in (1..).zip(changes) {
        let next = sets
            .last()
            .map(|set| set.after(change, &network.id()))
            .transpose()
            .map_err(|error| ProofError::Change { number, error })?;
        sets.extend(next);
    }
    Ok(sets)
}

/// Checks that finalisers decided `block`: those of the set that `changes` lead to from the genesis, which must be the
/// one that the certificate names.
pub fn check_certificate(
    network: &Network,
    block: &BlockId,
    certificate: &CommitCertificate,
    changes: &[FinaliserChange],
) -> Result<(), ProofError> {
    if certificate.block != *block {
        return Err(ProofError::OtherCheckpoint);
    }
    let sets = follow_changes(network, changes)?;
    match sets.last() {
        Some(set) if set.number() == certificate.set => Ok(set.check(&network.id(), certificate)?),
        _ => Err(ProofError::Changes {
            claimed: certificate.set,
            known: changes.len() as u64,
        }),
    }
}

#[cfg(test)]
mod tests;
