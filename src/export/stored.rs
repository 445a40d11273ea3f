//! The chain of a store, as an export or an audit wants it.

use super::ChainBlock;
use crate::chain::block::{Block, Transactions};
use crate::chain::checkpoint::CommitCertificate;
use crate::chain::genesis::Genesis;
use crate::store::{Checkpoint, Snapshot, StoreError};
use crate::wire;

/// The blocks of the main chain from height 1 to the snapshot's tip, with the certificates of those that have one.
pub fn stored_blocks(
    snapshot: Snapshot,
) -> impl Iterator<Item = Result<ChainBlock, StoreError>> + Send {
    let mut certificates = Certificates::default();
    (1..=snapshot.tip().height).map(move |height| {
        Ok(ChainBlock {
            block: stored_block(&snapshot, height)?,
            certificate: certificates.take(&snapshot, height)?,
        })
    })
}

/// Certificates in the order of their blocks, each read once.
#[derive(Default)]
struct Certificates {
    taken: u64,
    next: Option<Checkpoint>,
}

impl Certificates {
    /// The certificate of the block at this height, which is not below any asked for before.
    fn take(
        &mut self,
        snapshot: &Snapshot,
        height: u64,
    ) -> Result<Option<CommitCertificate>, StoreError> {
        if self.next.is_none() {
            self.next = snapshot.certificate(self.taken + 1)?;
        }
        let due = self.next.take_if(|next| next.height == height);
        self.taken += u64::from(due.is_some());
        Ok(due.map(|checkpoint| checkpoint.certificate))
    }
}

fn stored_block(snapshot: &Snapshot, height: u64) -> Result<Block, StoreError> {
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
    Ok(Block {
        header,
        transactions,
    })
}
