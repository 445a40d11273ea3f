//! Importing an exported chain into the store of a stopped node.
//!
//! Every block is checked as if it came from a peer: nothing in the file is trusted. Blocks that the store has are
//! passed over, so that an import that was interrupted can be repeated; a file whose chain departs from the store's is
//! refused, because which of two chains holds is for a running node to decide.

use std::io::Read;
use std::sync::Arc;

use crate::chain::block::Header;
use crate::chain::genesis::NetworkId;
use crate::chain::invalid::{BlockInvalid, Failure, Invalid};
use crate::chain::network::Network;
use crate::chain::overlay::Overlay;
use crate::chain::rules::apply_block;
use crate::chain::state::ViewError;
use crate::chain::transaction::Transaction;
use crate::chain::verify::{Verified, Verifier};
use crate::crypto::{RandomError, random_bytes};
use crate::export::{ChainBlock, ChainReader, ExportError};
use crate::store::{Appended, Commit, NewBlock, Store, StoreError, Switch, encode_body};

/// Transactions that are verified and committed together: enough to keep every core busy.
const BATCH_TRANSACTIONS: usize = 8_192;
/// Blocks that are committed together where they hold few transactions.
const BATCH_BLOCKS: usize = 512;

/// Why an import ended. What was imported before stays.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The file is damaged, or is no chain file.
    #[error("the file: {0}")]
    File(#[from] ExportError),
    /// The store failed.
    #[error("{0}")]
    Store(#[from] StoreError),
    /// The file is of another network than the store.
    #[error("the file is of network {got}, and the data directory of network {wanted}")]
    WrongNetwork {
        /// The file's.
        got: NetworkId,
        /// The store's.
        wanted: NetworkId,
    },
    /// File and store have different blocks at a height.
    #[error(
        "the file and the data directory hold different chains from block {height} on; import into an empty directory, \
         or let the node find out from its peers which one holds"
    )]
    Departs {
        /// The first height where they differ.
        height: u64,
    },
    /// A block breaks a rule.
    #[error("block {height}: {reason}")]
    Block {
        /// Its height.
        height: u64,
        /// The rule.
        reason: BlockInvalid,
    },
    /// A transaction breaks a rule whatever the chain.
    #[error("block {height}, transaction {index}: {reason}")]
    Transaction {
        /// Height of its block.
        height: u64,
        /// Index within the block, from 0.
        index: usize,
        /// The rule.
        reason: Invalid,
    },
    /// The state failed. Never a statement about the chain.
    #[error(transparent)]
    State(#[from] ViewError),
    /// No randomness for the verification of batches.
    #[error(transparent)]
    Random(#[from] RandomError),
}

/// What an import did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Imported {
    /// Blocks that were there already.
    pub known: u64,
    /// Blocks that are new.
    pub blocks: u64,
    /// Transactions in the new ones.
    pub transactions: u64,
}

/// Imports the blocks of a chain file. `progress` is called after every commit.
pub fn import<R: Read>(
    store: &mut Store,
    reader: ChainReader<R>,
    mut progress: impl FnMut(Imported),
) -> Result<Imported, ImportError> {
    let network = Arc::clone(store.snapshot().network());
    if reader.network().id() != network.id() {
        return Err(ImportError::WrongNetwork {
            got: reader.network().id(),
            wanted: network.id(),
        });
    }
    let verifier = Verifier::new(Arc::clone(&network), *random_bytes()?);
    let mut done = Imported::default();
    let tip_height = store.snapshot().tip().height;
    let mut batch = Vec::new();
    let mut waiting = 0;
    for block in reader {
        let ChainBlock { block, .. } = block?;
        let height = block.header.height;
        if height <= tip_height {
            if store.snapshot().main_id(height)? != Some(block.header.id()) {
                return Err(ImportError::Departs { height });
            }
            done.known += 1;
            continue;
        }
        if height == tip_height + 1 && block.header.parent != store.snapshot().tip().id {
            return Err(ImportError::Departs { height: tip_height });
        }
        waiting += block.transactions.len();
        batch.push((block.header, block.transactions.into_vec()));
        if waiting >= BATCH_TRANSACTIONS || batch.len() >= BATCH_BLOCKS {
            append(
                store,
                &network,
                &verifier,
                std::mem::take(&mut batch),
                &mut done,
            )?;
            waiting = 0;
            progress(done);
        }
    }
    append(store, &network, &verifier, batch, &mut done)?;
    progress(done);
    Ok(done)
}

/// Verifies blocks on top of the store's chain and commits them. What came before the first wrong block is kept.
fn append(
    store: &mut Store,
    network: &Network,
    verifier: &Verifier,
    batch: Vec<(Header, Vec<Transaction>)>,
    done: &mut Imported,
) -> Result<(), ImportError> {
    if batch.is_empty() {
        return Ok(());
    }
    let lengths: Vec<usize> = batch.iter().map(|(_, list)| list.len()).collect();
    let (headers, lists): (Vec<_>, Vec<_>) = batch.into_iter().unzip();
    let mut verdicts = verifier
        .verify_parallel(lists.into_iter().flatten().collect())
        .into_iter();
    let snapshot = store.snapshot();
    let state = snapshot.state();
    let mut overlay = Overlay::new(&state);
    let mut parent = snapshot.tip_header().clone();
    let mut commit = Commit::default();
    let mut appended = Vec::new();
    let mut failure = None;
    for (header, length) in headers.into_iter().zip(lengths) {
        let checked = check(
            network,
            &overlay,
            &parent,
            &header,
            verdicts.by_ref().take(length),
        );
        let (transactions, delta) = match checked {
            Ok(checked) => checked,
            Err(error) => {
                failure = Some(error);
                break;
            }
        };
        overlay.push(delta.clone());
        let id = header.id();
        commit
            .pending_remove
            .extend(transactions.iter().map(Verified::id));
        commit.blocks.push(NewBlock {
            id,
            header: header.clone(),
            body: Some(encode_body(&transactions)),
        });
        appended.push(Appended { id, delta });
        parent = header;
    }
    done.blocks += appended.len() as u64;
    done.transactions += commit.pending_remove.len() as u64;
    commit.chain = Some(Switch {
        rewind_to: snapshot.tip().height,
        append: appended,
    });
    drop(overlay);
    drop(state);
    drop(snapshot);
    store.commit(commit)?;
    failure.map_or(Ok(()), Err)
}

fn check<V: crate::chain::state::View + ?Sized>(
    network: &Network,
    state: &V,
    parent: &Header,
    header: &Header,
    verdicts: impl Iterator<Item = Result<Verified<Transaction>, Invalid>>,
) -> Result<(Vec<Verified<Transaction>>, crate::chain::state::Delta), ImportError> {
    let height = header.height;
    let transactions = verdicts
        .enumerate()
        .map(|(index, verdict)| {
            verdict.map_err(|reason| ImportError::Transaction {
                height,
                index,
                reason,
            })
        })
        .collect::<Result<Vec<_>, _>>()?;
    match apply_block(state, network, parent, header, &transactions) {
        Ok(delta) => Ok((transactions, delta)),
        Err(Failure::Invalid(reason)) => Err(ImportError::Block { height, reason }),
        Err(Failure::State(error)) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::chain::block::Block;
    use crate::chain::testing::{self, Chain};
    use crate::export::ChainWriter;
    use crate::store::StoreConfig;
    use crate::wire::List;

    /// A chain file with a block per list of transactions, a second apart.
    fn file(network: &Arc<Network>, blocks: Vec<Vec<Transaction>>) -> Vec<u8> {
        let mut chain = Chain::new(Arc::clone(network));
        let mut writer =
            ChainWriter::new(Vec::new(), network.genesis(), network.genesis_block()).unwrap();
        for (height, transactions) in (1u64..).zip(blocks) {
            let template = chain.template(height * 1_000, chain.verified(transactions));
            let delta = chain
                .check(&template.header, &template.transactions)
                .unwrap();
            chain.state.insert(delta);
            chain.tip = template.header.clone();
            let transactions = template
                .transactions
                .iter()
                .map(|t| (**t).clone())
                .collect();
            writer
                .block(Block {
                    header: template.header,
                    transactions: List::new(transactions).unwrap(),
                })
                .unwrap();
        }
        writer.finish().unwrap()
    }

    fn imported(store: &mut Store, file: &[u8]) -> Result<Imported, ImportError> {
        import(store, ChainReader::new(file)?, |_| {})
    }

    #[test]
    fn a_longer_file_continues_and_another_chain_is_refused() {
        let network = testing::network();
        let mut store = Store::in_memory(&network, StoreConfig::default()).unwrap();
        let register = |number| testing::register(&network, number);
        let short = file(&network, vec![vec![register(1)]]);
        let long = file(
            &network,
            vec![vec![register(1)], vec![register(2), register(3)]],
        );
        let other = file(&network, vec![vec![register(4)], vec![register(5)], vec![]]);
        let first = imported(&mut store, &short).unwrap();
        assert_eq!((first.known, first.blocks, first.transactions), (0, 1, 1));
        let second = imported(&mut store, &long).unwrap();
        assert_eq!(
            (second.known, second.blocks, second.transactions),
            (1, 1, 2)
        );
        assert_eq!(store.snapshot().counts().voters, 3);
        let error = imported(&mut store, &other).unwrap_err();
        assert!(matches!(error, ImportError::Departs { height: 1 }));
        assert_eq!(store.snapshot().tip().height, 2);
    }

    #[test]
    fn what_comes_before_a_wrong_block_stays() {
        let network = testing::network();
        let mut store = Store::in_memory(&network, StoreConfig::default()).unwrap();
        let good = testing::register(&network, 1);
        let bytes = file(
            &network,
            vec![vec![good], vec![testing::register(&network, 2)]],
        );
        // The same blocks, the second with another's transaction in place of its own.
        let reader = ChainReader::new(&bytes[..]).unwrap();
        let mut blocks: Vec<Block> = reader.map(|block| block.unwrap().block).collect();
        blocks[1].transactions = List::new(vec![testing::register(&network, 3)]).unwrap();
        let mut writer =
            ChainWriter::new(Vec::new(), network.genesis(), network.genesis_block()).unwrap();
        for block in blocks {
            writer.block(block).unwrap();
        }
        let error = imported(&mut store, &writer.finish().unwrap()).unwrap_err();
        assert!(
            matches!(error, ImportError::Block { height: 2, .. }),
            "{error}"
        );
        assert_eq!(store.snapshot().tip().height, 1);
    }

    #[test]
    fn a_file_of_another_network_is_refused() {
        let network = testing::network();
        let other = testing::network_with(|genesis| genesis.timestamp_ms += 1);
        let mut store = Store::in_memory(&network, StoreConfig::default()).unwrap();
        let error = imported(&mut store, &file(&other, vec![])).unwrap_err();
        assert!(matches!(error, ImportError::WrongNetwork { .. }));
    }
}
