//! Receipts: made from what nodes prove, checked with nothing but the genesis.

use std::sync::Arc;

use crate::chain::block::BlockId;
use crate::chain::invalid::Invalid;
use crate::chain::network::Network;
use crate::chain::transaction::{Transaction, TxId};
use crate::chain::verify::Verifier;
use crate::client::finality;
use crate::client::headers::headers_above;
use crate::client::proof::{ProofError, check_certificate, check_headers, check_inclusion};
use crate::client::session::Session;
use crate::client::submission::Included;
use crate::protocol::receipt::Receipt;
use crate::wire::List;

/// The version of receipts that this release writes and reads.
pub const VERSION: u64 = 1;

/// Headers above the block in a receipt without a checkpoint: what shows how deep it lay, and no more.
const UNANCHORED_HEADERS: usize = 64;

/// Why a receipt proves nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReceiptError {
    /// Of a later release.
    #[error("the receipt has version {0}, and this program knows version {VERSION} only")]
    Version(u64),
    /// For another network than the genesis is of.
    #[error("the receipt is for network {got}, and this is network {wanted}")]
    OtherNetwork {
        /// The network of the receipt.
        got: crate::chain::genesis::NetworkId,
        /// The network of the genesis.
        wanted: crate::chain::genesis::NetworkId,
    },
    /// The transaction breaks a rule or its signature does not fit.
    #[error("the transaction in the receipt is invalid: {0}")]
    Transaction(Invalid),
    /// A proof does not hold.
    #[error("the proof in the receipt does not hold: {0}")]
    Proof(#[from] ProofError),
}

/// What a receipt proves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proved {
    /// The transaction.
    pub transaction: TxId,
    /// The block that holds it.
    pub block: BlockId,
    /// Its height.
    pub height: u64,
    /// Its time, Unix milliseconds.
    pub timestamp_ms: u64,
    /// Blocks on top of it in the receipt.
    pub depth: u64,
    /// The checkpoint that makes it final. Without one the receipt is unanchored: it proves work, not that this is the
    /// chain that everybody went on with.
    pub checkpoint: Option<u64>,
    /// Number of the set of finalisers that decided it.
    pub set: Option<u64>,
}

/// Checks a receipt: work, linkage, Merkle path, the transaction's signature, the network, the checkpoint.
pub fn verify(network: &Arc<Network>, receipt: &Receipt) -> Result<Proved, ReceiptError> {
    if receipt.version != VERSION {
        return Err(ReceiptError::Version(receipt.version));
    }
    if receipt.network != network.id() {
        return Err(ReceiptError::OtherNetwork {
            got: receipt.network,
            wanted: network.id(),
        });
    }
    // Verdicts do not depend on the seed; nobody aims at a single receipt.
    let verdict = Verifier::new(Arc::clone(network), [0; 32])
        .verify(vec![receipt.transaction.clone()])
        .pop()
        .unwrap_or(Err(Invalid::WrongNetwork));
    let transaction = verdict.map_err(ReceiptError::Transaction)?.id();
    let block = check_inclusion(network, &transaction, &receipt.inclusion)?;
    let last = check_headers(network, &receipt.inclusion.header, &receipt.headers)?;
    let checkpoint = match receipt.certificate.first() {
        None => None,
        Some(certificate) => {
            check_certificate(network, &last, certificate, &receipt.changes)?;
            Some(certificate.checkpoint)
        }
    };
    Ok(Proved {
        transaction,
        block,
        height: receipt.inclusion.header.height,
        timestamp_ms: receipt.inclusion.header.timestamp_ms,
        depth: receipt.headers.len() as u64,
        checkpoint,
        set: receipt
            .certificate
            .first()
            .map(|certificate| certificate.set),
    })
}

/// Makes the receipt of a transaction that is in the chain. Headers on top of the block, and what leads from the genesis
/// to the checkpoint's finalisers, come from the first node that has them; a receipt without them still proves inclusion.
pub async fn make(session: &Session, transaction: Transaction, included: &Included) -> Receipt {
    let mut receipt = Receipt {
        version: VERSION,
        network: session.network().id(),
        transaction,
        inclusion: included.inclusion.clone(),
        headers: list(Vec::new()),
        changes: list(Vec::new()),
        certificate: list(Vec::new()),
    };
    let (link, base) = (session.link(), &included.inclusion.header);
    if let Some(certificate) = &included.certificate {
        for peer in session.nodes() {
            if let Ok(Some((anchor, headers))) =
                finality::anchor(link, peer, base, certificate).await
            {
                receipt.headers = list(headers);
                receipt.changes = list(anchor.changes);
                receipt.certificate = list(vec![anchor.certificate]);
                return receipt;
            }
        }
    }
    for peer in session.nodes() {
        if let Ok(found) = headers_above(link, peer, base, UNANCHORED_HEADERS).await
            && !found.is_empty()
        {
            receipt.headers = list(found);
            break;
        }
    }
    receipt
}

/// A list whose bound its maker kept.
fn list<T, const MAX: usize>(items: Vec<T>) -> List<T, 0, MAX> {
    List::new(items).expect("no more than was asked for")
}

#[cfg(test)]
mod tests;
