//! The chain of a store, as an export or an audit wants it.

use super::ChainBlock;
use crate::chain::block::{Block, Transactions};
use crate::chain::genesis::Genesis;
use crate::store::{Snapshot, StoreError};
use crate::wire;

/// The blocks of the main chain from height 1 to the snapshot's tip.
pub fn stored_blocks(
    snapshot: Snapshot,
) -> impl Iterator<Item = Result<ChainBlock, StoreError>> + Send {
    (1..=snapshot.tip().height).map(move |height| stored_block(&snapshot, height))
}

fn stored_block(snapshot: &Snapshot, height: u64) -> Result<ChainBlock, StoreError> {
    let corrupt = |what: &str| StoreError::Corrupt(format!("block {height} {what}"));
    let (id, header) = snapshot
        .main_block(height)?
        .ok_or_else(|| corrupt("is missing"))?;
    let body = snapshot
        .body(&id)?
        .ok_or_else(|| corrupt("lacks its transactions"))?;
    let transactions =
        wire::decode_bounded::<Transactions>(&body, Genesis::MAX_BLOCK_BYTES as usize)
            .map_err(|error| corrupt(&format!("has unreadable transactions: {error}")))?;
    Ok(ChainBlock {
        block: Block {
            header,
            transactions,
        },
        certificate: None,
    })
}
