//! Payloads of the gossip topics.

use crate::chain::block::BlockId;
use crate::chain::transaction::Transaction;
use crate::crypto::{PublicKey, Signature};
use crate::wire::{self, List, Message, array_struct};

/// Most transactions in one gossip message.
pub const MAX_BATCH: usize = 1024;

array_struct! {
    /// Transactions of the topic's kinds.
    pub struct TransactionBatch {
        /// The transactions, all different.
        pub transactions: List<Transaction, 1, MAX_BATCH>,
    }
}

impl Message for TransactionBatch {
    const MAX_BYTES: usize = 64 * 1024;
}

/// What a miner is doing. The numbers are those of the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum Phase {
    /// It will mine on this parent when the next timestamp is due.
    Waiting = 0,
    /// It is mining.
    Mining = 1,
    /// It stands by for another miner's lease.
    StandingBy = 2,
    /// It stopped: a block came, or nothing waits any more.
    Stopped = 3,
}

impl Phase {
    /// The phase with this number.
    pub fn from_number(number: u8) -> Option<Self> {
        [Self::Waiting, Self::Mining, Self::StandingBy, Self::Stopped]
            .get(usize::from(number))
            .copied()
    }
}

array_struct! {
    /// What a miner is about to do. Advice: validity of a block never depends on it.
    pub struct MiningState {
        /// The block that it mines on.
        pub parent: BlockId,
        /// Height of the block that it makes.
        pub height: u64,
        /// A [`Phase`], by number.
        pub phase: u8,
        /// Transactions in the template by kind, in the order of the kinds' discriminants.
        pub counts: List<u64, 8, 8>,
        /// How long others might stand by, in milliseconds from arrival.
        pub lease_ms: u64,
        /// Hashes a second.
        pub hash_rate: u64,
        /// Orders the states of one miner; a later one has a higher number (its clock, Unix milliseconds).
        pub sequence: u64,
        /// The miner's key, as in its blocks.
        pub miner: PublicKey,
        /// Its signature over all of the above.
        pub signature: Signature,
    }
}

impl Message for MiningState {
    const MAX_BYTES: usize = 512;
}

impl MiningState {
    /// What the miner signs.
    pub fn payload(&self) -> Vec<u8> {
        wire::encode(&(
            &self.parent,
            self.height,
            self.phase,
            &self.counts,
            self.lease_ms,
            self.hash_rate,
            self.sequence,
            &self.miner,
        ))
    }
}
