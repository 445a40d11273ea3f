//! What a commit can say.

use std::sync::Arc;

use super::record::Validity;
use crate::chain::block::{BlockId, Header};
use crate::chain::checkpoint::CommitCertificate;
use crate::chain::state::Delta;
use crate::chain::transaction::{Transaction, TxId};
use crate::chain::verify::Verified;
use crate::wire;

/// Changes that become durable together or not at all. Its parts apply in the order of the fields.
#[derive(Clone, Debug, Default)]
pub struct Commit {
    /// Blocks that were not known, or whose transactions came.
    pub blocks: Vec<NewBlock>,
    /// What was found out about blocks. Blocks of the main chain are valid without being named here.
    pub marks: Vec<(BlockId, Validity)>,
    /// Blocks off the main chain to forget, with their transactions.
    pub forget: Vec<BlockId>,
    /// A change of the main chain.
    pub chain: Option<Switch>,
    /// Certificates of the next checkpoints, in order, of blocks that are on the main chain by now. They are verified
    /// already, and never leave again: nor can the main chain leave their blocks.
    pub certificates: Vec<CommitCertificate>,
    /// Whether the consensus engine's log starts anew.
    pub finality_log_clear: bool,
    /// What is added to the consensus engine's log.
    pub finality_log: Vec<Vec<u8>>,
    /// Transactions that wait for a block from now on, in the order of their arrival: id and canonical encoding. One
    /// that waits already keeps its place.
    pub pending_insert: Vec<(TxId, Vec<u8>)>,
    /// Transactions that no longer wait.
    pub pending_remove: Vec<TxId>,
    /// Entries of the peer book by peer id; `None` removes one.
    pub peers: Vec<(Vec<u8>, Option<Vec<u8>>)>,
    /// Entries of the block list by peer id; `None` removes one.
    pub bans: Vec<(Vec<u8>, Option<Vec<u8>>)>,
    /// Small facts by name; `None` removes one.
    pub notes: Vec<(String, Option<Vec<u8>>)>,
}

impl Commit {
    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.blocks.is_empty()
            && self.marks.is_empty()
            && self.forget.is_empty()
            && self.chain.is_none()
            && self.certificates.is_empty()
            && !self.finality_log_clear
            && self.finality_log.is_empty()
            && self.pending_insert.is_empty()
            && self.pending_remove.is_empty()
            && self.peers.is_empty()
            && self.bans.is_empty()
            && self.notes.is_empty()
    }
}

/// A block, on the main chain or not.
#[derive(Clone, Debug)]
pub struct NewBlock {
    /// Its id: the hash of the header.
    pub id: BlockId,
    /// Its header.
    pub header: Header,
    /// The canonical encoding of its transactions, if they are here: see [`encode_body`].
    pub body: Option<Arc<[u8]>>,
}

/// A change of the main chain: blocks leave at its end and others take their place.
#[derive(Clone, Debug)]
pub struct Switch {
    /// Height of the last block that stays.
    pub rewind_to: u64,
    /// What follows it, in order. Headers and transactions are in the same commit or in the store.
    pub append: Vec<Appended>,
}

/// A block that joins the main chain.
#[derive(Clone, Debug)]
pub struct Appended {
    /// The block.
    pub id: BlockId,
    /// What it inserts into the state after its parent.
    pub delta: Delta,
}

/// The canonical encoding of a block's transactions.
pub fn encode_body(transactions: &[Verified<Transaction>]) -> Arc<[u8]> {
    let transactions: Vec<&Transaction> = transactions.iter().map(|verified| &**verified).collect();
    wire::encode(&transactions).into()
}
