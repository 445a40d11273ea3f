//! Chains made by hand.

use std::sync::Arc;

use crate::chain::block::{BlockId, CompactBlock, Header, Nonce};
use crate::chain::memory::MemoryState;
use crate::chain::network::Network;
use crate::chain::rules::{TemplateLimits, apply_block, fill_template};
use crate::chain::transaction::Transaction;
use crate::chain::verify::{Verified, Verifier};
use crate::crypto::SigningKey;
use crate::wire::List;

/// Whoever makes blocks by hand.
fn miner() -> SigningKey {
    SigningKey::from_seed(&[102; 32])
}

/// Does a header's work.
pub fn seal(network: &Network, mut header: Header) -> Header {
    let mut nonce = 0u64;
    while !header.id().meets(network) {
        nonce += 1;
        header.nonce = Nonce::from_bytes(nonce.to_be_bytes());
    }
    header
}

/// Spoils a header's work.
pub fn unseal(network: &Network, mut header: Header) -> Header {
    let mut nonce = 0u64;
    while header.id().meets(network) {
        nonce += 1;
        header.nonce = Nonce::from_bytes(nonce.to_be_bytes());
    }
    header
}

/// A block with its transactions.
pub type ForgedBlock = (Header, Vec<Transaction>);

/// As it is gossiped.
pub fn compact((header, transactions): &ForgedBlock) -> CompactBlock {
    CompactBlock {
        header: header.clone(),
        transactions: List::new(transactions.iter().map(Transaction::id).collect()).unwrap(),
    }
}

/// A chain from the genesis block on, with its state. Clones are where branches part.
#[derive(Clone)]
pub struct Forge {
    network: Arc<Network>,
    state: MemoryState,
    tip: Header,
    /// From height 1 on.
    pub blocks: Vec<ForgedBlock>,
}

impl Forge {
    /// The genesis block alone.
    pub fn new(network: &Arc<Network>) -> Self {
        Self {
            network: Arc::clone(network),
            state: MemoryState::new(),
            tip: network.genesis_header().clone(),
            blocks: Vec::new(),
        }
    }

    /// Id of the last block.
    pub fn tip(&self) -> BlockId {
        self.tip.id()
    }

    /// Height of the last block.
    pub fn height(&self) -> u64 {
        self.tip.height
    }

    /// A block on the tip that does not join the chain. The miner's key tells branches apart.
    pub fn next(
        &self,
        timestamp_ms: u64,
        transactions: Vec<Transaction>,
    ) -> (ForgedBlock, Vec<Verified<Transaction>>) {
        let verifier = Verifier::new(Arc::clone(&self.network), [0; 32]);
        let verified: Vec<_> = verifier
            .verify(transactions)
            .into_iter()
            .map(Result::unwrap)
            .collect();
        let template = fill_template(
            &self.state,
            &self.network,
            &self.tip,
            timestamp_ms,
            miner().public_key(),
            verified,
            TemplateLimits::of(&self.network),
        )
        .unwrap();
        assert_eq!(template.skipped, []);
        let header = seal(&self.network, template.header);
        let plain = template.transactions.iter().map(|t| (**t).clone());
        ((header, plain.collect()), template.transactions)
    }

    /// Adds a block; its timestamp is at least the earliest that is allowed.
    pub fn extend(&mut self, timestamp_ms: u64, transactions: Vec<Transaction>) -> BlockId {
        let (block, verified) = self.next(timestamp_ms, transactions);
        let delta = apply_block(&self.state, &self.network, &self.tip, &block.0, &verified)
            .unwrap_or_else(|failure| panic!("{failure}"));
        self.state.insert(delta);
        self.tip = block.0.clone();
        self.blocks.push(block);
        self.tip.id()
    }

    /// Adds a block that somebody else made.
    pub fn adopt(&mut self, header: Header, transactions: Vec<Transaction>) {
        let verifier = Verifier::new(Arc::clone(&self.network), [0; 32]);
        let verified: Vec<_> = verifier
            .verify(transactions.clone())
            .into_iter()
            .map(Result::unwrap)
            .collect();
        let delta = apply_block(&self.state, &self.network, &self.tip, &header, &verified).unwrap();
        self.state.insert(delta);
        self.tip = header.clone();
        self.blocks.push((header, transactions));
    }

    /// Adds so many empty blocks, one block time apart.
    pub fn extend_empty(&mut self, count: usize) {
        for _ in 0..count {
            self.extend(0, Vec::new());
        }
    }

    /// The last block that was added.
    pub fn last(&self) -> &ForgedBlock {
        self.blocks.last().unwrap()
    }
}
