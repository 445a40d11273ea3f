//! Checking that a result is final: that the block which closes the election lies at or below a checkpoint.
//!
//! What is proved is that the chain with the election in it reaches the named closing block, that this block is the one
//! that closes the election by its terms, and that finalisers decided a block at or above it. The count itself stays the
//! nodes' word; whoever wants to count again audits an exported chain.

use std::collections::BTreeMap;

use votenode_p2p::PeerId;

use crate::chain::block::{BlockId, Header};
use crate::chain::checkpoint::CommitCertificate;
use crate::chain::network::Network;
use crate::chain::schedule;
use crate::chain::transaction::{Payload, Transaction};
use crate::client::answers::ElectionView;
use crate::client::exchange::ask_statuses;
use crate::client::finality::{self, AnchorError};
use crate::client::headers::{Way, headers_to};
use crate::client::link::{AskError, Link};
use crate::client::proof::{ProofError, check_inclusion};
use crate::client::session::Session;
use crate::protocol::receipt::MAX_RECEIPT_HEADERS;
use crate::protocol::submit::{BlockAt, ElectionResult, TxStatus};
use crate::protocol::sync;

/// The checkpoint that makes a result final, checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FinalBy {
    /// Its number.
    pub checkpoint: u64,
    /// Number of the set of finalisers that decided it.
    pub set: u64,
}

impl Session {
    /// Checks that a result which nodes call final is. `None` if no node could show it: more blocks lie between than are
    /// fetched, or none answered. An error if every node that tried gave a proof that does not hold.
    pub async fn prove_final(
        &self,
        view: &ElectionView,
        result: &ElectionResult,
    ) -> Result<Option<FinalBy>, ProofError> {
        let (Some(closing), Some(checkpoint)) =
            (result.closing_block.first(), result.checkpoint.first())
        else {
            return Err(ProofError::Closing);
        };
        let mut refuted = None;
        let mut unproved = false;
        for peer in self.nodes() {
            match prove(self.link(), peer, view, closing, checkpoint).await {
                Ok(Some(by)) => return Ok(Some(by)),
                Ok(None) => unproved = true,
                Err(AnchorError::Ask(error)) => {
                    tracing::debug!(%peer, %error, "a node did not show that a result is final");
                    unproved = true;
                }
                Err(AnchorError::Proof(error)) => {
                    self.link().distrust(peer, &error.to_string());
                    refuted = Some(error);
                }
            }
        }
        match refuted {
            Some(error) if !unproved => Err(error),
            _ => Ok(None),
        }
    }
}

async fn prove(
    link: &Link,
    peer: PeerId,
    view: &ElectionView,
    closing: &BlockAt,
    checkpoint: &BlockAt,
) -> Result<Option<FinalBy>, AnchorError> {
    let network = link.network();
    let opened = Transaction {
        network: network.tag(),
        payload: Payload::Election {
            election: view.info.election.clone(),
        },
    };
    let id = opened.id();
    let status = ask_statuses(link, peer, std::iter::once(id)).await?.pop();
    let Some(TxStatus::Final {
        inclusion,
        certificate: first,
    }) = status
    else {
        return Err(AskError::Unfit.into());
    };
    check_inclusion(network, &id, &inclusion)?;
    let base = inclusion.header;
    let way = headers_to(link, peer, &base, &checkpoint.id, MAX_RECEIPT_HEADERS).await?;
    let headers = match way {
        Way::Reached(headers) => headers,
        Way::TooFar => return Ok(None),
        Way::Apart => return Err(ProofError::Apart.into()),
    };
    let chain: Vec<&Header> = std::iter::once(&base).chain(&headers).collect();
    check_closing(network, view, &chain, closing)?;
    let places: BTreeMap<BlockId, usize> = chain
        .iter()
        .enumerate()
        .map(|(place, header)| (header.id(), place))
        .collect();
    let certificate = find_certificate(link, peer, first, &places).await?;
    let anchor = finality::check(link, peer, &certificate).await?;
    Ok(Some(FinalBy {
        checkpoint: anchor.certificate.checkpoint,
        set: anchor.certificate.set,
    }))
}

/// Checks that a block of the chain is the first with a timestamp from which on blocks bring no votes.
fn check_closing(
    network: &Network,
    view: &ElectionView,
    chain: &[&Header],
    closing: &BlockAt,
) -> Result<(), ProofError> {
    let closing_ms = schedule::closing_ms(network, &view.info.election.terms);
    let first = chain
        .iter()
        .find(|header| header.timestamp_ms >= closing_ms)
        .ok_or(ProofError::Closing)?;
    if first.id() == closing.id && first.height == closing.height {
        Ok(())
    } else {
        Err(ProofError::Closing)
    }
}

/// The certificate for the last of these blocks. Certificates have numbers and do not say heights, so it is searched for
/// between the first at or above the election and as many further ones as there are blocks.
async fn find_certificate(
    link: &Link,
    peer: PeerId,
    first: CommitCertificate,
    places: &BTreeMap<BlockId, usize>,
) -> Result<CommitCertificate, AnchorError> {
    let last = places.len().saturating_sub(1);
    let mut low = first.checkpoint;
    let mut high = low.saturating_add(last as u64);
    let mut looked_at = Some(first);
    loop {
        // None: there are not that many yet.
        if let Some(certificate) = looked_at {
            match places.get(&certificate.block) {
                Some(place) if *place == last => return Ok(certificate),
                Some(_) => low = certificate.checkpoint.saturating_add(1),
                // Above the block that is wanted.
                None => high = certificate.checkpoint.saturating_sub(1),
            }
        }
        if low > high {
            return Err(ProofError::Apart.into());
        }
        let from = low + (high - low) / 2;
        let request = sync::Request::Certificates { from, max: 1 };
        let sync::Reply::Certificates { certificates, .. } = link.ask_sync(peer, &request).await?
        else {
            return Err(AskError::Unfit.into());
        };
        looked_at = certificates.into_vec().pop();
        match &looked_at {
            None => high = from.saturating_sub(1),
            Some(certificate) if certificate.checkpoint == from => {}
            Some(_) => return Err(AskError::Unfit.into()),
        }
    }
}
