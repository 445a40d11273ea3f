//! `sync/1`: how nodes compare and exchange chains and pools, and how clients fetch headers.

use crate::chain::block::{BlockId, Header, Transactions};
use crate::chain::checkpoint::{CommitCertificate, MAX_CHANGES, SignedFinalityMessage};
use crate::chain::genesis::Genesis;
use crate::chain::state::RollEntry;
use crate::chain::transaction::{FinaliserChange, Transaction, TxId};
use crate::crypto::Hash;
use crate::protocol::finality::MAX_MESSAGES;
use crate::wire::{List, Message, array_struct, tagged_enum};

/// Most headers in a reply.
pub const MAX_HEADERS: usize = 2_000;
/// Most block ids in a request for bodies.
pub const MAX_BODIES: usize = 128;
/// Most transaction ids in a message.
pub const MAX_IDS: usize = 8_192;
/// Most roll entries in a reply.
pub const MAX_ROLL_ENTRIES: usize = 1_024;
/// Most commit certificates in a reply.
pub const MAX_CERTIFICATES: usize = 64;

array_struct! {
    /// Where a node stands.
    pub struct Status {
        /// Its best block.
        pub tip: BlockId,
        /// Height of that.
        pub height: u64,
        /// Its last checkpoint; the genesis block if there is none.
        pub checkpoint: BlockId,
        /// Height of that.
        pub checkpoint_height: u64,
        /// Transactions that wait for a block.
        pub pending: u64,
        /// Its clock, Unix milliseconds.
        pub clock_ms: u64,
    }
}

tagged_enum! {
    /// A request.
    pub enum Request {
        /// Where do you stand? The asker says where it stands.
        0 => Status {
            /// The asker's own.
            status: Status,
        },
        /// Headers that follow the first of these blocks that is on your best chain.
        1 => Headers {
            /// Ids from the asker's tip down, denser near it; the genesis block is always understood.
            locator: List<BlockId, 0, 64>,
            /// Most headers wanted.
            max: u64,
        },
        /// Bodies of these blocks, as many from the first on as fit.
        2 => Bodies {
            /// The blocks.
            blocks: List<BlockId, 1, MAX_BODIES>,
            /// Most bytes wanted; at least one body comes if the first block is known.
            max_bytes: u64,
        },
        /// Certificates of checkpoints.
        3 => Certificates {
            /// Number of the first.
            from: u64,
            /// Most wanted.
            max: u64,
        },
        /// A range of the roll as of a block, with its proof.
        4 => Roll {
            /// The block whose roll root the proof leads to.
            block: BlockId,
            /// First entry.
            start: u64,
            /// Most entries wanted.
            max: u64,
        },
        /// Ids of waiting transactions, in the order of the ids.
        5 => PendingIds {
            /// Only ids greater than this.
            after: TxId,
        },
        /// Transactions, waiting or on the best chain.
        6 => Transactions {
            /// Their ids.
            ids: List<TxId, 1, MAX_IDS>,
            /// Most bytes wanted.
            max_bytes: u64,
        },
        /// Messages of the consensus about a checkpoint that is under way.
        7 => FinalityMessages {
            /// Number of the checkpoint.
            checkpoint: u64,
        },
    }
}

impl Message for Request {
    const MAX_BYTES: usize = 320 * 1024;
}

tagged_enum! {
    /// A reply.
    pub enum Reply {
        /// To `Status`.
        0 => Status {
            /// The replier's.
            status: Status,
        },
        /// To `Headers`, in chain order.
        1 => Headers {
            /// Each the child of the one before.
            headers: List<Header, 0, MAX_HEADERS>,
        },
        /// To `Bodies`, in the order asked; it ends early where the next is unknown or does not fit.
        2 => Bodies {
            /// The blocks' transactions.
            bodies: List<Transactions, 0, MAX_BODIES>,
        },
        /// To `Certificates`.
        3 => Certificates {
            /// In order of their numbers.
            certificates: List<CommitCertificate, 0, MAX_CERTIFICATES>,
            /// The changes that made sets 1 to that of the last certificate, in order; none for set 0.
            changes: List<FinaliserChange, 0, { MAX_CHANGES as usize }>,
        },
        /// To `Roll`.
        4 => Roll {
            /// The entries from `start` on.
            entries: List<RollEntry, 0, MAX_ROLL_ENTRIES>,
            /// Hashes of the subtrees outside the range, from left to right.
            proof: List<Hash, 0, 128>,
        },
        /// To `PendingIds`; a full list says that there may be more.
        5 => PendingIds {
            /// The ids, ascending.
            ids: List<TxId, 0, MAX_IDS>,
        },
        /// To `Transactions`: those that are known and fit, in the order asked.
        6 => Transactions {
            /// The transactions.
            transactions: List<Transaction, 0, MAX_IDS>,
        },
        /// Too much at once; ask again later or elsewhere.
        7 => Busy {},
        /// The request cannot be served: an unknown block, a range outside the roll.
        8 => Unknown {},
        /// To `FinalityMessages`: those that the replier holds.
        9 => FinalityMessages {
            /// In no particular order.
            messages: List<SignedFinalityMessage, 0, MAX_MESSAGES>,
        },
    }
}

impl Message for Reply {
    const MAX_BYTES: usize = Genesis::MAX_BLOCK_BYTES as usize + 1024;
}
