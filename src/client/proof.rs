//! Checking what nodes claim: that a transaction is in a block, that headers are a chain, that a checkpoint was decided.
//!
//! A node can leave things out or show another branch, but it cannot invent a block: that takes the work the genesis
//! asks for, and the Merkle path ties the transaction to it. Everything here needs the genesis and nothing else.

use std::collections::BTreeSet;

use crate::chain::block::{BlockId, Header};
use crate::chain::merkle::{Tree, verify_inclusion};
use crate::chain::network::Network;
use crate::chain::transaction::{FinalityMessage, TxId};
use crate::crypto::signing_digest;
use crate::protocol::submit::Inclusion;
use crate::protocol::sync::CommitCertificate;
use crate::wire::Blob;

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
    /// The certificate names a set of finalisers that the genesis alone does not tell.
    #[error(
        "the certificate is by set {0} of finalisers, which the genesis alone cannot vouch for"
    )]
    UnknownSet(u64),
    /// Two thirds of the power or less, keys that stand there twice, or signatures that do not fit.
    #[error(
        "the certificate does not carry valid signatures of more than two thirds of the finalisers' power"
    )]
    Certificate,
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
    if certificate.set != 0 {
        return Err(ProofError::UnknownSet(certificate.set));
    }
    let message = FinalityMessage {
        kind: FinalityMessage::PRECOMMIT,
        height: certificate.checkpoint,
        round: certificate.round,
        lock_round: 0,
        value: Blob::new(block.as_bytes().to_vec()).map_err(|_| ProofError::Certificate)?,
    };
    let digest = signing_digest(
        message.context(),
        network.id().as_bytes(),
        &message.payload(),
    );
    let mut signers = BTreeSet::new();
    let mut power = 0;
    for precommit in certificate.precommits.iter() {
        let finaliser = network
            .finalisers
            .iter()
            .find(|finaliser| finaliser.key == precommit.key)
            .filter(|_| signers.insert(precommit.key))
            .filter(|finaliser| finaliser.key.verify(&digest, &precommit.signature))
            .ok_or(ProofError::Certificate)?;
        power += finaliser.power;
    }
    let total: u64 = network
        .finalisers
        .iter()
        .map(|finaliser| finaliser.power)
        .sum();
    // The genesis bounds the total, so that three times it fits.
    if total > 0 && 3 * power > 2 * total {
        Ok(())
    } else {
        Err(ProofError::Certificate)
    }
}

#[cfg(test)]
mod tests;
