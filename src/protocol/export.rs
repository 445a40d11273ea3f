//! The exported chain: one file that holds everything an auditor needs.
//!
//! The file begins with [`MAGIC`]. Records follow, each its length as 4 bytes big-endian and then its canonical
//! encoding: the genesis, every block from height 1 on in chain order with the certificate of each checkpoint right
//! behind its block, and the end. A file without its end was cut off.

use crate::chain::block::{Block, BlockId};
use crate::chain::checkpoint::CommitCertificate;
use crate::chain::genesis::Genesis;
use crate::wire::{Message, tagged_enum};

/// How the file begins.
pub const MAGIC: &[u8; 17] = b"votenode chain 1\n";

tagged_enum! {
    /// A record of the file.
    pub enum Record {
        /// The network. The first record and no other.
        0 => Genesis {
            /// Its parameters.
            genesis: Genesis,
        },
        /// A block, the child of the one before.
        1 => Block {
            /// Header and transactions.
            block: Block,
        },
        /// What makes the block before it final.
        2 => Certificate {
            /// The certificate.
            certificate: CommitCertificate,
        },
        /// The last record and no other.
        3 => End {
            /// The last block; the genesis block if there is no other.
            tip: BlockId,
            /// Its height, which is the number of blocks in the file.
            height: u64,
        },
    }
}

impl Message for Record {
    const MAX_BYTES: usize = Genesis::MAX_BLOCK_BYTES as usize + 16;
}
