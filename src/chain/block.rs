//! Blocks: a header with its proof of work, and the transactions it commits to.

use crate::chain::genesis::{Genesis, NetworkId};
use crate::chain::transaction::{Transaction, TxId};
use crate::crypto::{Context, Hash, PublicKey, hash};
use crate::wire::{self, List, Message, array_struct, fixed_bytes};

fixed_bytes! {
    /// Hash of a header, and its proof of work.
    pub struct BlockId([u8; 32]);
}

fixed_bytes! {
    /// What a miner varies. A byte string, so that a header's length does not depend on it.
    pub struct Nonce([u8; 8]);
}

impl Default for Nonce {
    fn default() -> Self {
        Self::ZERO
    }
}

array_struct! {
    /// A block's header.
    pub struct Header {
        /// Protocol version, that of the genesis.
        pub version: u64,
        /// The network.
        pub network: NetworkId,
        /// Distance from the genesis block, which has height 0.
        pub height: u64,
        /// The block before; zeros in the genesis block.
        pub parent: BlockId,
        /// RFC 6962 Merkle root over the transaction ids, in order.
        pub transaction_root: Hash,
        /// Registrations in the chain up to and including this block.
        pub roll_size: u64,
        /// RFC 6962 Merkle root over all registrations so far, in order.
        pub roll_root: Hash,
        /// Unix milliseconds.
        pub timestamp_ms: u64,
        /// Key of the miner, which also signs its mining states.
        pub miner: PublicKey,
        /// Varied until the id is at or under the target.
        pub nonce: Nonce,
    }
}

impl Message for Header {
    const MAX_BYTES: usize = 256;
}

impl Header {
    /// The block's id: hash of the canonical header.
    pub fn id(&self) -> BlockId {
        BlockId(hash(Context::BlockId, &wire::encode(self)).to_bytes())
    }
}

impl BlockId {
    /// Whether the id, as a big-endian number, is at or under the network's target.
    pub fn meets(&self, genesis: &Genesis) -> bool {
        self.as_bytes() <= genesis.target.as_bytes()
    }
}

/// Transactions of a block, in order. `max_block_transactions` of the genesis is a tighter bound.
pub type Transactions = List<Transaction, 0, { Genesis::MAX_BLOCK_TRANSACTIONS as usize }>;

array_struct! {
    /// A block as it is exported and kept.
    pub struct Block {
        /// The header.
        pub header: Header,
        /// What it commits to.
        pub transactions: Transactions,
    }
}

impl Message for Block {
    const MAX_BYTES: usize = Genesis::MAX_BLOCK_BYTES as usize;
}

array_struct! {
    /// A block as it is gossiped: the receiver has most of the transactions already.
    pub struct CompactBlock {
        /// The header.
        pub header: Header,
        /// Ids of the transactions, in order.
        pub transactions: List<TxId, 0, { Genesis::MAX_BLOCK_TRANSACTIONS as usize }>,
    }
}

impl Message for CompactBlock {
    const MAX_BYTES: usize = 320 * 1024;
}
