//! Payloads of the `finality` topic: what finalisers say to one another, and transactions about them.

use crate::chain::checkpoint::SignedFinalityMessage;
use crate::chain::transaction::Transaction;
use crate::wire::{List, Message, tagged_enum};

/// Most consensus messages in one gossip message: the votes of a whole set, twice.
pub const MAX_MESSAGES: usize = 128;
/// Most transactions in one message of the topic.
pub const MAX_TRANSACTIONS: usize = 16;

tagged_enum! {
    /// What the topic carries.
    pub enum FinalityGossip {
        /// Proposals and votes.
        0 => Messages {
            /// In the order in which they were made.
            messages: List<SignedFinalityMessage, 1, MAX_MESSAGES>,
        },
        /// Changes of finalisers and evidence against them.
        1 => Transactions {
            /// All different.
            transactions: List<Transaction, 1, MAX_TRANSACTIONS>,
        },
    }
}

impl Message for FinalityGossip {
    const MAX_BYTES: usize = 64 * 1024;
}
