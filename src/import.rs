//! Importing an exported chain into the store of a stopped node.
//!
//! Every block is checked as if it came from a peer: nothing in the file is trusted. Blocks that the store has are
//! passed over, so that an import that was interrupted can be repeated; a file whose chain departs from the store's is
//! refused, because which of two chains holds is for a running node to decide.

use std::io::Read;
use std::sync::Arc;

use crate::chain::block::{BlockId, Header};
use crate::chain::checkpoint::{CertificateError, Checkpoints, CommitCertificate};
use crate::chain::genesis::NetworkId;
use crate::chain::invalid::{BlockInvalid, Failure, Invalid};
use crate::chain::network::Network;
use crate::chain::overlay::Overlay;
use crate::chain::rules::apply_block;
use crate::chain::state::{Delta, View, ViewError};
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
    /// A certificate does not make its block final.
    #[error("block {height}: {error}")]
    Certificate {
        /// Height of the block.
        height: u64,
        /// Why not.
        error: CertificateError,
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
    /// Certificates that are new.
    pub certificates: u64,
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
    let mut checkpoints = followed(store)?;
    let mut batch = Vec::new();
    let mut waiting = 0;
    let mut certificates = Vec::new();
    for block in reader {
        let ChainBlock { block, certificate } = block?;
        let height = block.header.height;
        if height <= tip_height {
            if store.snapshot().main_id(height)? != Some(block.header.id()) {
                return Err(ImportError::Departs { height });
            }
            done.known += 1;
            if let Some(certificate) = certificate {
                certificates.extend(unknown(store, &mut checkpoints, height, certificate)?);
            }
            if certificates.len() >= BATCH_BLOCKS {
                certify(store, std::mem::take(&mut certificates), &mut done)?;
            }
            continue;
        }
        certify(store, std::mem::take(&mut certificates), &mut done)?;
        if height == tip_height + 1 && block.header.parent != store.snapshot().tip().id {
            return Err(ImportError::Departs { height: tip_height });
        }
        waiting += block.transactions.len();
        batch.push(NextBlock {
            header: block.header,
            transactions: block.transactions.into_vec(),
            certificate,
        });
        if waiting >= BATCH_TRANSACTIONS || batch.len() >= BATCH_BLOCKS {
            append(
                store,
                &network,
                &verifier,
                std::mem::take(&mut batch),
                &mut checkpoints,
                &mut done,
            )?;
            waiting = 0;
            progress(done);
        }
    }
    certify(store, certificates, &mut done)?;
    append(
        store,
        &network,
        &verifier,
        batch,
        &mut checkpoints,
        &mut done,
    )?;
    progress(done);
    Ok(done)
}

/// A block on top of the store's chain, with its certificate.
struct NextBlock {
    header: Header,
    transactions: Vec<Transaction>,
    certificate: Option<CommitCertificate>,
}

/// How far the store follows the checkpoints.
fn followed(store: &Store) -> Result<Checkpoints, ImportError> {
    let snapshot = store.snapshot();
    let network = snapshot.network();
    let Some(last) = snapshot.last_certificate()? else {
        return Ok(Checkpoints::new(network));
    };
    let state = snapshot.at(last.height).ok_or(StoreError::Inconsistent(
        "a checkpoint above the end of the chain",
    ))?;
    let set = state.latest_finaliser_set(network)?;
    Ok(Checkpoints::after(last.certificate.checkpoint, set))
}

/// The certificate of a block that the store has, if it lacks the certificate.
fn unknown(
    store: &Store,
    checkpoints: &mut Checkpoints,
    height: u64,
    certificate: CommitCertificate,
) -> Result<Option<CommitCertificate>, ImportError> {
    let snapshot = store.snapshot();
    let known = snapshot.certificate(certificate.checkpoint)?;
    if known.is_some_and(|known| known.certificate.block == certificate.block) {
        return Ok(None);
    }
    let state = snapshot
        .at(height)
        .ok_or(StoreError::Inconsistent("a known block above the tip"))?;
    let network = snapshot.network();
    follow(
        checkpoints,
        network,
        &state,
        height,
        &certificate,
        certificate.block,
    )?;
    Ok(Some(certificate))
}

/// Checks the certificate of the next checkpoint, `state` being the one after its block, and goes on to it.
fn follow<V: View + ?Sized>(
    checkpoints: &mut Checkpoints,
    network: &Network,
    state: &V,
    height: u64,
    certificate: &CommitCertificate,
    block: BlockId,
) -> Result<(), ImportError> {
    checkpoints
        .check(&network.id(), certificate, &block)
        .map_err(|error| ImportError::Certificate { height, error })?;
    checkpoints.advance(state.latest_finaliser_set(network)?);
    Ok(())
}

/// Commits certificates of blocks that the store has.
fn certify(
    store: &mut Store,
    certificates: Vec<CommitCertificate>,
    done: &mut Imported,
) -> Result<(), ImportError> {
    done.certificates += certificates.len() as u64;
    store.commit(Commit {
        certificates,
        ..Commit::default()
    })?;
    Ok(())
}

/// Verifies blocks on top of the store's chain and commits them. What came before the first wrong block is kept.
fn append(
    store: &mut Store,
    network: &Network,
    verifier: &Verifier,
    batch: Vec<NextBlock>,
    checkpoints: &mut Checkpoints,
    done: &mut Imported,
) -> Result<(), ImportError> {
    if batch.is_empty() {
        return Ok(());
    }
    let mut shells = Vec::with_capacity(batch.len());
    let mut transactions = Vec::new();
    for block in batch {
        shells.push((block.header, block.transactions.len(), block.certificate));
        transactions.extend(block.transactions);
    }
    let mut verdicts = verifier.verify_parallel(transactions).into_iter();
    let snapshot = store.snapshot();
    let state = snapshot.state();
    let mut overlay = Overlay::new(&state);
    let mut parent = snapshot.tip_header().clone();
    let mut commit = Commit::default();
    let mut appended = Vec::new();
    let mut failure = None;
    for (header, length, certificate) in shells {
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
        if let Some(certificate) = certificate {
            let height = header.height;
            match follow(checkpoints, network, &overlay, height, &certificate, id) {
                Ok(()) => commit.certificates.push(certificate),
                // The block itself is sound, but a file that lies about it is not read on.
                Err(error) => failure = Some(error),
            }
        }
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
        if failure.is_some() {
            break;
        }
    }
    done.certificates += commit.certificates.len() as u64;
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

fn check<V: View + ?Sized>(
    network: &Network,
    state: &V,
    parent: &Header,
    header: &Header,
    verdicts: impl Iterator<Item = Result<Verified<Transaction>, Invalid>>,
) -> Result<(Vec<Verified<Transaction>>, Delta), ImportError> {
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

    /// A file of four blocks: the second, which also changes the finalisers, and the last are checkpoints. `change`
    /// alters the certificates.
    fn finalised(
        network: &Arc<Network>,
        certified: usize,
        change: impl FnOnce(&mut Vec<(usize, CommitCertificate)>),
    ) -> Vec<u8> {
        let blocks = vec![
            vec![testing::register(network, 1)],
            vec![testing::change(network, 1, &[5, 6], &[1, 2, 3])],
            vec![testing::evidence(network, 5, 9, 0)],
            vec![],
        ];
        let plain = file(network, blocks);
        let reader = ChainReader::new(&plain[..]).unwrap();
        let blocks: Vec<Block> = reader.map(|block| block.unwrap().block).collect();
        let id = |index: usize| blocks[index].header.id();
        let mut certificates = vec![
            (1, testing::certificate(network, 0, 1, id(1), &[1, 2, 4])),
            (3, testing::certificate(network, 1, 2, id(3), &[5, 6])),
        ];
        certificates.truncate(certified);
        change(&mut certificates);
        let mut writer =
            ChainWriter::new(Vec::new(), network.genesis(), network.genesis_block()).unwrap();
        for (index, block) in blocks.into_iter().enumerate() {
            writer.block(block).unwrap();
            for (_, certificate) in certificates.iter().filter(|(at, _)| *at == index) {
                writer.certificate(certificate.clone()).unwrap();
            }
        }
        writer.finish().unwrap()
    }

    #[test]
    fn certificates_come_with_their_blocks_or_after_them() {
        let network = testing::finalising_network();
        let whole = finalised(&network, 2, |_| {});
        for before in [0, 1, 2] {
            let mut store = Store::in_memory(&network, StoreConfig::default()).unwrap();
            let first = imported(&mut store, &finalised(&network, before, |_| {})).unwrap();
            assert_eq!((first.blocks, first.certificates), (4, before as u64));
            let second = imported(&mut store, &whole).unwrap();
            let added = (second.known, second.certificates);
            assert_eq!(added, (4, 2 - before as u64));
            let snapshot = store.snapshot();
            let checkpoints = snapshot.certificates(1, 9).unwrap();
            let heights: Vec<_> = checkpoints.iter().map(|one| one.height).collect();
            assert_eq!(heights, [2, 4]);
            // What is exported is what was imported.
            let mut writer =
                ChainWriter::new(Vec::new(), network.genesis(), network.genesis_block()).unwrap();
            for block in crate::export::stored_blocks(snapshot) {
                let block = block.unwrap();
                writer.block(block.block).unwrap();
                if let Some(certificate) = block.certificate {
                    writer.certificate(certificate).unwrap();
                }
            }
            assert_eq!(writer.finish().unwrap(), whole);
        }
    }

    #[test]
    fn a_wrong_certificate_is_refused_and_its_block_stays() {
        let network = testing::finalising_network();
        let other_set = |certificates: &mut Vec<(usize, CommitCertificate)>| {
            let block = certificates[1].1.block;
            certificates[1].1 = testing::certificate(&network, 0, 2, block, &[1, 2, 3]);
        };
        let bytes = finalised(&network, 2, other_set);
        for known in [false, true] {
            let mut store = Store::in_memory(&network, StoreConfig::default()).unwrap();
            if known {
                imported(&mut store, &finalised(&network, 0, |_| {})).unwrap();
            }
            let error = imported(&mut store, &bytes).unwrap_err();
            assert!(
                matches!(error, ImportError::Certificate { height: 4, .. }),
                "{error}"
            );
            assert_eq!(store.snapshot().tip().height, 4);
            // Of known blocks the good ones wait for the end of the run.
            let last = store.snapshot().last_certificate().unwrap();
            assert_eq!(last.map(|last| last.height), (!known).then_some(2));
        }
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
