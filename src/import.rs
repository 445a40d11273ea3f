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
mod tests;
