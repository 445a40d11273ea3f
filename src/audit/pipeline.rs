//! Reading, verifying and applying at the same time.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use super::AuditError;
use crate::chain::block::Header;
use crate::chain::checkpoint::CommitCertificate;
use crate::chain::invalid::Invalid;
use crate::chain::transaction::Transaction;
use crate::chain::verify::{Verified, Verifier};
use crate::export::ChainBlock;

/// Transactions that make a batch: enough for a few cores to be busy with batches of the best size.
const BATCH_TRANSACTIONS: usize = 8_192;

/// Blocks that make a batch where they hold few transactions.
const BATCH_BLOCKS: usize = 1_024;

/// Batches that wait between two stages. One is enough for neither stage to wait for the other's turn; each is at most
/// [`BATCH_TRANSACTIONS`] and one block long.
const WAITING: usize = 1;

/// A block whose transactions were verified by themselves.
pub(super) struct CheckedBlock {
    pub header: Header,
    pub verdicts: Vec<Result<Verified<Transaction>, Invalid>>,
    pub certificate: Option<CommitCertificate>,
}

/// A batch of blocks, or why there are no more.
type Batch<T> = Result<Vec<T>, AuditError>;

/// Calls `apply` with all blocks, verified and in order. Ends with the first error of the source or of `apply`,
/// whichever comes first in the chain.
pub(super) fn run<E: Into<AuditError> + Send>(
    verifier: &Verifier,
    blocks: impl Iterator<Item = Result<ChainBlock, E>> + Send,
    mut apply: impl FnMut(Vec<CheckedBlock>) -> Result<(), AuditError>,
) -> Result<(), AuditError> {
    thread::scope(|scope| {
        let (read, to_verify) = sync_channel(WAITING);
        let (verified, to_apply) = sync_channel(WAITING);
        scope.spawn(move || read_all(blocks, &read));
        scope.spawn(move || verify_all(verifier, to_verify, &verified));
        // When this ends early, the channels close and the other stages with them.
        for batch in to_apply {
            apply(batch?)?;
        }
        Ok(())
    })
}

fn read_all<E: Into<AuditError>>(
    blocks: impl Iterator<Item = Result<ChainBlock, E>>,
    out: &SyncSender<Batch<ChainBlock>>,
) {
    let mut batch = Vec::new();
    let mut transactions = 0;
    for block in blocks {
        match block {
            Ok(block) => {
                transactions += block.block.transactions.len();
                batch.push(block);
            }
            Err(error) => {
                // What came before the error is looked at first: it may be wrong already.
                let _ = out
                    .send(Ok(batch))
                    .and_then(|()| out.send(Err(error.into())));
                return;
            }
        }
        if transactions >= BATCH_TRANSACTIONS || batch.len() >= BATCH_BLOCKS {
            transactions = 0;
            if out.send(Ok(std::mem::take(&mut batch))).is_err() {
                return;
            }
        }
    }
    let _ = out.send(Ok(batch));
}

fn verify_all(
    verifier: &Verifier,
    batches: Receiver<Batch<ChainBlock>>,
    out: &SyncSender<Batch<CheckedBlock>>,
) {
    for batch in batches {
        let checked = batch.map(|blocks| verify_batch(verifier, blocks));
        if out.send(checked).is_err() {
            return;
        }
    }
}

/// Verifies the transactions of all blocks together and gives each block its own back.
fn verify_batch(verifier: &Verifier, blocks: Vec<ChainBlock>) -> Vec<CheckedBlock> {
    let mut transactions = Vec::new();
    let mut shells = Vec::with_capacity(blocks.len());
    for ChainBlock { block, certificate } in blocks {
        shells.push((block.header, block.transactions.len(), certificate));
        transactions.extend(block.transactions.into_vec());
    }
    let mut verdicts = verifier.verify_parallel(transactions).into_iter();
    shells
        .into_iter()
        .map(|(header, count, certificate)| CheckedBlock {
            header,
            verdicts: verdicts.by_ref().take(count).collect(),
            certificate,
        })
        .collect()
}
