//! Checkpoints as a light client follows them: certificates checked against the set of finalisers that the approved
//! changes lead to from the genesis.
//!
//! Changes are asked from the node whose certificate needs them and remembered for the session once a certificate held
//! under them. Not before: finalisers may have approved a change that never got into the chain, and a node that hands it
//! out must not make the others look like liars.

use std::sync::{Mutex, PoisonError};

use votenode_p2p::PeerId;

use crate::chain::block::Header;
use crate::chain::checkpoint::{CommitCertificate, FinaliserSet};
use crate::chain::network::Network;
use crate::chain::transaction::FinaliserChange;
use crate::client::headers::{Way, headers_to};
use crate::client::link::{AskError, Link};
use crate::client::proof::{ProofError, follow_changes};
use crate::protocol::receipt::MAX_RECEIPT_HEADERS;
use crate::protocol::sync;

/// Sets of finalisers that a session has followed.
#[derive(Debug)]
pub struct KnownSets(Mutex<Followed>);

#[derive(Clone, Debug)]
struct Followed {
    /// From set 0 on.
    sets: Vec<FinaliserSet>,
    /// What made sets 1 and up.
    changes: Vec<FinaliserChange>,
}

impl KnownSets {
    /// What the genesis says.
    pub fn new(network: &Network) -> Self {
        Self(Mutex::new(Followed {
            sets: vec![FinaliserSet::genesis(network)],
            changes: Vec::new(),
        }))
    }

    /// The changes up to the certificate's set, if that is known and the certificate holds under it.
    fn check(
        &self,
        network: &Network,
        certificate: &CommitCertificate,
    ) -> Option<Vec<FinaliserChange>> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let number = usize::try_from(certificate.set).ok()?;
        known
            .sets
            .get(number)?
            .check(&network.id(), certificate)
            .ok()?;
        Some(known.changes[..number].to_vec())
    }

    fn keep(&self, followed: Followed) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = followed;
    }
}

/// A certificate that holds, with what it takes to check it from the genesis on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Anchor {
    /// The certificate.
    pub certificate: CommitCertificate,
    /// The changes from set 1 to the certificate's.
    pub changes: Vec<FinaliserChange>,
}

/// Why a certificate does not show what a node says.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AnchorError {
    /// The node did not give what it takes to check it.
    #[error(transparent)]
    Ask(#[from] AskError),
    /// It does not hold.
    #[error(transparent)]
    Proof(#[from] ProofError),
}

/// Checks a certificate that a node gave. Changes that are not known are asked from that node.
pub async fn check(
    link: &Link,
    peer: PeerId,
    certificate: &CommitCertificate,
) -> Result<Anchor, AnchorError> {
    let network = link.network();
    if let Some(changes) = link.known_sets().check(network, certificate) {
        return Ok(Anchor {
            certificate: certificate.clone(),
            changes,
        });
    }
    let changes = match certificate.set {
        0 => Vec::new(),
        _ => ask_changes(link, peer, certificate).await?,
    };
    let sets = follow_changes(network, &changes)?;
    let set = sets.last().filter(|set| set.number() == certificate.set);
    let set = set.ok_or(ProofError::Changes {
        claimed: certificate.set,
        known: changes.len() as u64,
    })?;
    set.check(&network.id(), certificate)
        .map_err(ProofError::from)?;
    link.known_sets().keep(Followed {
        sets,
        changes: changes.clone(),
    });
    Ok(Anchor {
        certificate: certificate.clone(),
        changes,
    })
}

async fn ask_changes(
    link: &Link,
    peer: PeerId,
    certificate: &CommitCertificate,
) -> Result<Vec<FinaliserChange>, AskError> {
    let request = sync::Request::Certificates {
        from: certificate.checkpoint,
        max: 1,
    };
    match link.ask_sync(peer, &request).await? {
        sync::Reply::Certificates { changes, .. } => Ok(changes.into_vec()),
        _ => Err(AskError::Unfit),
    }
}

/// Checks that a certificate makes a block final: it holds, and headers lead from the block to the checkpoint. They are
/// empty if the block is the checkpoint; `None` if there are more than a receipt can carry, so that nothing is proved.
pub async fn anchor(
    link: &Link,
    peer: PeerId,
    base: &Header,
    certificate: &CommitCertificate,
) -> Result<Option<(Anchor, Vec<Header>)>, AnchorError> {
    let anchor = check(link, peer, certificate).await?;
    let way = headers_to(link, peer, base, &certificate.block, MAX_RECEIPT_HEADERS).await?;
    match way {
        Way::Reached(headers) => Ok(Some((anchor, headers))),
        Way::TooFar => Ok(None),
        Way::Apart => Err(ProofError::Apart.into()),
    }
}

#[cfg(test)]
mod tests;
