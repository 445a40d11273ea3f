//! Filling a block: from what waits, in its order, everything that is valid at its position and has room.

use crate::chain::block::{Header, Nonce};
use crate::chain::invalid::{Failure, Invalid};
use crate::chain::network::Network;
use crate::chain::overlay::{IndexedDelta, Overlay};
use crate::chain::rules::block::transaction_root;
use crate::chain::rules::transaction::{BlockTime, apply_transaction};
use crate::chain::state::{View, ViewError};
use crate::chain::transaction::{Transaction, TxId};
use crate::chain::verify::Verified;
use crate::crypto::PublicKey;
use crate::wire::Message;

/// Transactions that had no room after which the block counts as full: one large transaction does not keep small ones
/// out, and a long queue is not searched to its end.
const MAX_MISFITS: usize = 64;
/// Longest head of the arrays around a block's parts, in bytes: the block's own and that of its transactions.
const ARRAY_HEADS: u64 = 1 + 3;

/// How much of what waits goes into a block. Bounds of the genesis hold besides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TemplateLimits {
    /// Most transactions in the block.
    pub transactions: u64,
    /// Most bytes of the block.
    pub bytes: u64,
    /// Most candidates that are looked at.
    pub candidates: usize,
}

impl TemplateLimits {
    /// As much as the network allows, out of any number of candidates.
    pub fn of(network: &Network) -> Self {
        Self {
            transactions: network.max_block_transactions,
            bytes: network.max_block_bytes,
            candidates: usize::MAX,
        }
    }
}

/// Why a candidate is not in the template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Skip {
    /// It is invalid at the position that it would have had.
    Invalid(Invalid),
    /// It did not fit.
    NoRoom,
}

/// A block that lacks nothing but work.
#[derive(Clone, Debug)]
pub struct Template {
    /// The header; the nonce is zero.
    pub header: Header,
    /// What it commits to, in order.
    pub transactions: Vec<Verified<Transaction>>,
    /// What the block inserts.
    pub delta: IndexedDelta,
    /// Candidates that were looked at and left out, in their order.
    pub skipped: Vec<(TxId, Skip)>,
}

/// Fills a block on `parent`, of which `view` is the state after, with this timestamp. It is raised to the earliest that
/// the parent allows.
pub fn fill_template<V: View + ?Sized>(
    view: &V,
    network: &Network,
    parent: &Header,
    timestamp_ms: u64,
    miner: PublicKey,
    candidates: impl IntoIterator<Item = Verified<Transaction>>,
    limits: TemplateLimits,
) -> Result<Template, ViewError> {
    let height = parent.height.saturating_add(1);
    let timestamp_ms = timestamp_ms.max(parent.timestamp_ms.saturating_add(network.block_time_ms));
    let most = limits.transactions.min(network.max_block_transactions);
    let mut room = (limits.bytes.min(network.max_block_bytes))
        .saturating_sub(Header::MAX_BYTES as u64 + ARRAY_HEADS);

    let mut overlay = Overlay::new(view);
    let mut transactions: Vec<Verified<Transaction>> = Vec::new();
    let mut skipped = Vec::new();
    let mut misfits = 0;
    for candidate in candidates.into_iter().take(limits.candidates) {
        if transactions.len() as u64 >= most || misfits >= MAX_MISFITS {
            break;
        }
        let bytes = candidate.encoded_len() as u64;
        if bytes > room {
            misfits += 1;
            skipped.push((candidate.id(), Skip::NoRoom));
            continue;
        }
        let at = BlockTime {
            height,
            index: transactions.len() as u32,
            timestamp_ms,
        };
        match apply_transaction(&overlay, network, at, &candidate) {
            Ok(delta) => {
                overlay.push(delta);
                room -= bytes;
                transactions.push(candidate);
            }
            Err(Failure::Invalid(reason)) => skipped.push((candidate.id(), Skip::Invalid(reason))),
            Err(Failure::State(error)) => return Err(error),
        }
    }

    let roll = overlay.roll()?;
    let header = Header {
        version: network.version,
        network: network.id(),
        height,
        parent: parent.id(),
        transaction_root: transaction_root(&transactions),
        roll_size: roll.size(),
        roll_root: roll.root(),
        timestamp_ms,
        miner,
        nonce: Nonce::ZERO,
    };
    Ok(Template {
        header,
        transactions,
        delta: overlay.into_indexed(),
        skipped,
    })
}
