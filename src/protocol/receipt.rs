//! Receipts: proof for a voter, offline, that a transaction is in the chain.

use crate::chain::block::Header;
use crate::chain::checkpoint::{CommitCertificate, MAX_CHANGES};
use crate::chain::genesis::NetworkId;
use crate::chain::transaction::{FinaliserChange, Transaction};
use crate::protocol::submit::Inclusion;
use crate::wire::{List, Message, array_struct};

/// Most headers between the block and the checkpoint above it.
pub const MAX_RECEIPT_HEADERS: usize = 4_096;

/// Most changes of finalisers that a receipt can carry.
pub const MAX_RECEIPT_CHANGES: usize = MAX_CHANGES as usize;

array_struct! {
    /// What a voter keeps.
    pub struct Receipt {
        /// Version of the format, 1.
        pub version: u64,
        /// The network.
        pub network: NetworkId,
        /// The transaction itself.
        pub transaction: Transaction,
        /// Its place in a block.
        pub inclusion: Inclusion,
        /// Headers on top of that block, up to the checkpoint or, without one, the tip when the receipt was made.
        pub headers: List<Header, 0, MAX_RECEIPT_HEADERS>,
        /// The checkpoint's certificate; without it the receipt is unanchored.
        pub certificate: List<CommitCertificate, 0, 1>,
        /// Every change of finalisers from the genesis to the certificate's set, so that it can be checked offline.
        pub changes: List<FinaliserChange, 0, MAX_RECEIPT_CHANGES>,
    }
}

impl Message for Receipt {
    const MAX_BYTES: usize = 2 * 1024 * 1024;
}
