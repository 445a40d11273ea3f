//! The audit: a chain is checked from its first byte to its last, by the rules that nodes use and with no trust in any.
//!
//! Blocks stream through three stages at once: one thread reads and decodes, the cores verify signatures and proofs in
//! batches, and the caller's thread applies what is verified to a state in memory, in order. Between the stages wait at
//! most two batches each, so that a chain of any length needs only the memory of its state.
//!
//! The audit says what is in the chain, who won, and what the result is worth. It finds the first thing that is wrong
//! and names the block, the transaction and the rule; a chain with any error has no result.

mod finality;
mod ledger;
mod pipeline;
mod render;
mod report;

#[cfg(test)]
mod tests;

use std::io::Read;
use std::sync::Arc;

use crate::chain::block::{BlockId, Header};
use crate::chain::checkpoint::{CertificateError, Checkpoints, CommitCertificate};
use crate::chain::genesis::NetworkId;
use crate::chain::invalid::{BlockInvalid, Failure, Invalid};
use crate::chain::memory::MemoryState;
use crate::chain::network::Network;
use crate::chain::rules::{apply_block, check_header};
use crate::chain::state::{View as _, ViewError};
use crate::chain::verify::{Verified, Verifier};
use crate::crypto::{RandomError, random_bytes};
use crate::export::{ChainBlock, ChainReader, ExportError};
use crate::store::StoreError;
use crate::tally::TallyError;

use ledger::Ledger;
use pipeline::CheckedBlock;

pub use render::render;
pub use report::{
    AdmissionKind, BatchReport, BlockReport, CheckpointReport, ConvictionReport, ElectionReport,
    FinaliserReport, FinalityReport, OptionReport, Registrations, Report, SetReport,
};

/// Why a chain does not pass.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// The file is damaged, or is no chain file.
    #[error("the file: {0}")]
    File(#[from] ExportError),
    /// The data directory cannot be read.
    #[error("the store: {0}")]
    Store(#[from] StoreError),
    /// A chain of another network than the one that was asked for.
    #[error("the chain is of network {got}, not of {wanted}")]
    WrongNetwork {
        /// The chain's.
        got: NetworkId,
        /// The one asked for.
        wanted: NetworkId,
    },
    /// A block breaks a rule.
    #[error("block {height}: {reason}")]
    Block {
        /// Its height, counted from its place in the chain.
        height: u64,
        /// The rule.
        reason: BlockInvalid,
    },
    /// A transaction breaks a rule.
    #[error("block {height}, transaction {index}: {reason}")]
    Transaction {
        /// Height of its block.
        height: u64,
        /// Index within the block, from 0.
        index: u32,
        /// The rule.
        reason: Invalid,
    },
    /// A certificate does not make its block final.
    #[error("block {height}: {error}")]
    Certificate {
        /// Height of the block that it stands behind.
        height: u64,
        /// Why not.
        error: CertificateError,
    },
    /// An election cannot be counted.
    #[error("election {election}: {error}")]
    Tally {
        /// Which.
        election: crate::chain::election::ElectionId,
        /// Why not.
        error: TallyError,
    },
    /// The state in memory failed. Never a statement about the chain.
    #[error(transparent)]
    State(#[from] ViewError),
    /// The system gave no randomness for the verification of batches.
    #[error(transparent)]
    Random(#[from] RandomError),
}

impl AuditError {
    /// A name for programs: `file`, `store`, `network`, the rule that a block breaks, `transaction` or `certificate`.
    pub fn rule(&self) -> &'static str {
        match self {
            Self::File(_) => "file",
            Self::Store(_) => "store",
            Self::WrongNetwork { .. } => "network",
            Self::Block { reason, .. } => reason.name(),
            Self::Transaction { .. } => "transaction",
            Self::Certificate { .. } => "certificate",
            Self::Tally { .. } => "tally",
            Self::State(_) => "state",
            Self::Random(_) => "random",
        }
    }
}

/// How far an audit is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Blocks that passed.
    pub blocks: u64,
    /// Transactions in them.
    pub transactions: u64,
    /// Timestamp of the last of them, Unix milliseconds.
    pub timestamp_ms: u64,
}

/// Audits a chain file. With `expected`, a chain of any other network is refused before anything else is read.
pub fn audit_file(
    input: impl Read + Send,
    expected: Option<NetworkId>,
    progress: impl FnMut(Progress),
) -> Result<Report, AuditError> {
    let reader = ChainReader::new(input)?;
    let network = Arc::new(reader.network().clone());
    if let Some(wanted) = expected.filter(|wanted| *wanted != network.id()) {
        return Err(AuditError::WrongNetwork {
            got: network.id(),
            wanted,
        });
    }
    audit(network, reader, progress)
}

/// Audits the blocks of a network's chain from height 1 on, such as those of a store
/// ([`crate::export::stored_blocks`]). `progress` is called after every batch of blocks.
pub fn audit<E: Into<AuditError> + Send>(
    network: Arc<Network>,
    blocks: impl Iterator<Item = Result<ChainBlock, E>> + Send,
    mut progress: impl FnMut(Progress),
) -> Result<Report, AuditError> {
    let verifier = Verifier::new(Arc::clone(&network), *random_bytes()?);
    let mut chain = Chain::new(&network);
    pipeline::run(&verifier, blocks, |batch| {
        for block in batch {
            chain.append(block)?;
        }
        progress(chain.progress);
        Ok(())
    })?;
    chain.ledger.report(&network, &chain.tip, &chain.state)
}

/// The chain as far as it passed.
struct Chain<'a> {
    network: &'a Network,
    tip: Header,
    state: MemoryState,
    checkpoints: Checkpoints,
    ledger: Ledger,
    progress: Progress,
}

impl<'a> Chain<'a> {
    fn new(network: &'a Network) -> Self {
        Self {
            network,
            tip: network.genesis_header().clone(),
            state: MemoryState::new(),
            checkpoints: Checkpoints::new(network),
            ledger: Ledger::new(network),
            progress: Progress {
                timestamp_ms: network.timestamp_ms,
                ..Progress::default()
            },
        }
    }

    /// Checks the next block and adds what it does.
    fn append(&mut self, block: CheckedBlock) -> Result<(), AuditError> {
        let height = self.tip.height + 1;
        let header = block.header;
        // A header that is wrong makes everything under it meaningless, so it is the first to be told.
        let id = check_header(self.network, &self.tip, &header)
            .map_err(|reason| AuditError::Block { height, reason })?;
        let transactions = (0u32..)
            .zip(block.verdicts)
            .map(|(index, verdict)| {
                verdict.map_err(|reason| AuditError::Transaction {
                    height,
                    index,
                    reason,
                })
            })
            .collect::<Result<Vec<Verified<_>>, _>>()?;
        let delta = apply_block(&self.state, self.network, &self.tip, &header, &transactions)
            .map_err(|failure| match failure {
                Failure::Invalid(BlockInvalid::Transaction { index, reason }) => {
                    AuditError::Transaction {
                        height,
                        index,
                        reason,
                    }
                }
                Failure::Invalid(reason) => AuditError::Block { height, reason },
                Failure::State(error) => AuditError::State(error),
            })?;
        self.state.insert(&delta);
        self.ledger.block(
            self.network,
            id,
            &header,
            &transactions,
            &delta,
            &self.state,
        )?;
        self.progress = Progress {
            blocks: height,
            transactions: self.progress.transactions + transactions.len() as u64,
            timestamp_ms: header.timestamp_ms,
        };
        self.tip = header;
        match block.certificate {
            Some(certificate) => self.certify(id, &certificate),
            None => Ok(()),
        }
    }

    /// Checks what makes the last block final.
    fn certify(
        &mut self,
        block: BlockId,
        certificate: &CommitCertificate,
    ) -> Result<(), AuditError> {
        let height = self.tip.height;
        self.checkpoints
            .check(&self.network.id(), certificate, &block)
            .map_err(|error| AuditError::Certificate { height, error })?;
        let set = self.state.latest_finaliser_set(self.network)?;
        self.checkpoints.advance(set);
        self.ledger
            .certificate(certificate, &self.tip, self.checkpoints.set().number());
        Ok(())
    }
}
