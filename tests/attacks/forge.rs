//! Chains with whatever is in them: valid ones to begin with, and blocks that break a rule.

use std::sync::Arc;

use votenode::chain::block::{BlockId, CompactBlock, Header, Nonce, Transactions};
use votenode::chain::memory::MemoryState;
use votenode::chain::merkle::Tree;
use votenode::chain::network::Network;
use votenode::chain::rules::{TemplateLimits, apply_block, fill_template};
use votenode::chain::transaction::{Transaction, TxId};
use votenode::chain::verify::{Verified, Verifier};
use votenode::crypto::{Hash, SigningKey};
use votenode::protocol::sync::{MAX_HEADERS, Reply, Request, Status};
use votenode::wire::List;

use crate::arena::now_ms;
use crate::hostile::Answer;

/// A block.
#[derive(Clone, Debug)]
pub struct Block {
    pub header: Header,
    pub transactions: Vec<Transaction>,
}

impl Block {
    pub fn id(&self) -> BlockId {
        self.header.id()
    }

    /// As it is gossiped.
    pub fn compact(&self) -> CompactBlock {
        let ids = self.transactions.iter().map(Transaction::id).collect();
        CompactBlock {
            header: self.header.clone(),
            transactions: List::new(ids).unwrap(),
        }
    }
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

/// Spoils it.
pub fn unseal(network: &Network, mut header: Header) -> Header {
    let mut nonce = 0u64;
    while header.id().meets(network) {
        nonce += 1;
        header.nonce = Nonce::from_bytes(nonce.to_be_bytes());
    }
    header
}

/// The root that commits to these transactions.
pub fn root_of(transactions: &[Transaction]) -> Hash {
    let ids: Vec<TxId> = transactions.iter().map(Transaction::id).collect();
    Tree::Transactions.root(ids.iter().map(|id| Tree::Transactions.leaf(id.as_bytes())))
}

/// A chain from the genesis block on, with its state. Clones are where branches part.
#[derive(Clone)]
pub struct Forge {
    pub network: Arc<Network>,
    state: MemoryState,
    pub tip: Header,
    /// From height 1 on.
    pub blocks: Vec<Block>,
}

impl Forge {
    pub fn new(network: &Arc<Network>) -> Self {
        Self {
            network: Arc::clone(network),
            state: MemoryState::new(),
            tip: network.genesis_header().clone(),
            blocks: Vec::new(),
        }
    }

    fn verified(&self, transactions: Vec<Transaction>) -> Vec<Verified<Transaction>> {
        let verifier = Verifier::new(Arc::clone(&self.network), [0; 32]);
        let verdicts = verifier.verify(transactions).into_iter();
        verdicts.map(Result::unwrap).collect()
    }

    /// The header of a valid block on the tip with these transactions, in need of work.
    pub fn template(&self, timestamp_ms: u64, transactions: Vec<Transaction>) -> Block {
        let template = fill_template(
            &self.state,
            &self.network,
            &self.tip,
            timestamp_ms,
            miner().public_key(),
            self.verified(transactions),
            TemplateLimits::of(&self.network),
        )
        .unwrap();
        assert_eq!(template.skipped, []);
        let plain = template.transactions.iter().map(|t| (**t).clone());
        Block {
            header: template.header,
            transactions: plain.collect(),
        }
    }

    /// A block on the tip with these transactions, valid or not, and whatever else `change` makes of its header.
    pub fn broken(
        &self,
        transactions: Vec<Transaction>,
        change: impl FnOnce(&mut Header),
    ) -> Block {
        let mut header = self.template(0, Vec::new()).header;
        header.transaction_root = root_of(&transactions);
        change(&mut header);
        Block {
            header: seal(&self.network, header),
            transactions,
        }
    }

    /// Adds a valid block; its timestamp is at least the earliest that is allowed.
    pub fn extend(&mut self, timestamp_ms: u64, transactions: Vec<Transaction>) -> BlockId {
        let mut block = self.template(timestamp_ms, transactions);
        block.header = seal(&self.network, block.header);
        let verified = self.verified(block.transactions.clone());
        let delta = apply_block(
            &self.state,
            &self.network,
            &self.tip,
            &block.header,
            &verified,
        );
        self.state.insert(delta.unwrap());
        self.tip = block.header.clone();
        self.blocks.push(block);
        self.tip.id()
    }

    /// Adds so many empty blocks, one block time apart.
    pub fn extend_empty(&mut self, count: usize) {
        for _ in 0..count {
            self.extend(0, Vec::new());
        }
    }

    /// Where a node with this chain stands.
    pub fn status(&self) -> Status {
        Status {
            tip: self.tip.id(),
            height: self.tip.height,
            checkpoint: self.network.genesis_block(),
            checkpoint_height: 0,
            pending: 0,
            clock_ms: now_ms(),
        }
    }

    /// What a node with this chain answers.
    pub fn answer(&self, request: &Request) -> Answer {
        Answer::Reply(match request {
            Request::Status { .. } => Reply::Status {
                status: self.status(),
            },
            Request::Headers { locator, .. } => Reply::Headers {
                headers: List::new(self.headers_after(locator)).unwrap(),
            },
            Request::Bodies { blocks, .. } => {
                let bodies: Vec<Transactions> = blocks
                    .iter()
                    .map_while(|id| self.blocks.iter().find(|block| block.id() == *id))
                    .map(|block| List::new(block.transactions.clone()).unwrap())
                    .collect();
                Reply::Bodies {
                    bodies: List::new(bodies).unwrap(),
                }
            }
            Request::Transactions { ids, .. } => {
                let all = self.blocks.iter().flat_map(|block| &block.transactions);
                let found = all.filter(|transaction| ids.contains(&transaction.id()));
                Reply::Transactions {
                    transactions: List::new(found.cloned().collect()).unwrap(),
                }
            }
            Request::PendingIds { .. } => Reply::PendingIds {
                ids: List::new(Vec::new()).unwrap(),
            },
            _ => Reply::Unknown {},
        })
    }

    fn headers_after(&self, locator: &[BlockId]) -> Vec<Header> {
        let known = locator
            .iter()
            .find_map(|id| self.blocks.iter().position(|block| block.id() == *id));
        let after = known.map_or(0, |index| index + 1);
        let headers = self.blocks[after..].iter().take(MAX_HEADERS);
        headers.map(|block| block.header.clone()).collect()
    }
}

/// Whoever forges blocks.
pub fn miner() -> SigningKey {
    SigningKey::from_seed(&[66; 32])
}
