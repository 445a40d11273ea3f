//! `submit/1`: what a light client asks of a node.

use crate::chain::block::{BlockId, Header};
use crate::chain::checkpoint::CommitCertificate;
use crate::chain::election::{Election, ElectionId};
use crate::chain::genesis::Group;
use crate::chain::invalid::Invalid;
use crate::chain::transaction::{Transaction, TxId};
use crate::crypto::{Hash, PublicKey};
use crate::protocol::gossip::MAX_BATCH;
pub use crate::tally::{Round, Tally};
use crate::wire::{List, Message, Text, array_struct, tagged_enum};

/// Most elections in a reply.
pub const MAX_ELECTIONS: usize = 8;

array_struct! {
    /// Why a transaction is refused: a code for programs (listed in `proto/README.md`) and words for people.
    pub struct Reason {
        /// Number of the rule.
        pub code: u64,
        /// In words.
        pub text: Text<1, 300>,
    }
}

impl From<&Invalid> for Reason {
    fn from(invalid: &Invalid) -> Self {
        let words = invalid.to_string();
        let text = Text::new(&words).unwrap_or_else(|_| {
            // Words about undecodable input may quote some of it; what cannot travel as text is left out.
            let mut plain: String = words.chars().filter(|c| matches!(c, ' '..='~')).collect();
            plain.truncate(300);
            Text::new(&plain).expect("up to 300 printable ASCII characters")
        });
        Self {
            code: invalid.code(),
            text,
        }
    }
}

tagged_enum! {
    /// What became of a submitted transaction.
    pub enum Outcome {
        /// On this node's disk, and on its way to the others.
        0 => Accepted {},
        /// This node has it already, waiting or in a block.
        1 => Duplicate {},
        /// It breaks a rule.
        2 => Rejected {
            /// Which.
            reason: Reason,
        },
        /// Not now: a queue is full, the disk is full, or the node is far behind.
        3 => Busy {},
    }
}

array_struct! {
    /// Proof that a transaction is in a block.
    pub struct Inclusion {
        /// The block's header.
        pub header: Header,
        /// Index of the transaction.
        pub index: u64,
        /// Transactions in the block.
        pub count: u64,
        /// RFC 6962 audit path, from the leaf up.
        pub path: List<Hash, 0, 32>,
    }
}

tagged_enum! {
    /// Where a transaction is.
    pub enum TxStatus {
        /// Never heard of.
        0 => Unknown {},
        /// Waiting for a block.
        1 => Pending {},
        /// In a block of the best chain.
        2 => Included {
            /// The proof.
            inclusion: Inclusion,
            /// Blocks on top of it.
            depth: u64,
        },
        /// In a final block.
        3 => Final {
            /// The proof.
            inclusion: Inclusion,
            /// The certificate of the first checkpoint at or above the block.
            certificate: CommitCertificate,
        },
        /// It was waiting and can no longer be mined: another took its place, or it came too late.
        4 => Dropped {
            /// Why.
            reason: Reason,
        },
    }
}

array_struct! {
    /// An election with its place in time.
    pub struct ElectionInfo {
        /// The election; its hash is its id.
        pub election: Election,
        /// The transaction that opened it.
        pub transaction: TxId,
        /// Height of its block.
        pub height: u64,
        /// Votes on the chain so far.
        pub votes: u64,
        /// A [`ElectionPhase`], by number.
        pub phase: u8,
    }
}

/// Where an election stands, as of a node's tip and clock. The numbers are those of the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum ElectionPhase {
    /// Polls are not open yet.
    Scheduled = 0,
    /// Votes are taken.
    Open = 1,
    /// Polls are closed; the closing block is not there yet.
    Closing = 2,
    /// The closing block is there, not yet deep enough or not final.
    Provisional = 3,
    /// The closing block is final.
    Final = 4,
}

impl ElectionPhase {
    /// The phase with this number.
    pub fn from_number(number: u8) -> Option<Self> {
        [
            Self::Scheduled,
            Self::Open,
            Self::Closing,
            Self::Provisional,
            Self::Final,
        ]
        .get(usize::from(number))
        .copied()
    }
}

array_struct! {
    /// An election's result as of a node's best chain.
    pub struct ElectionResult {
        /// The election.
        pub election: ElectionId,
        /// An [`ElectionPhase`], by number.
        pub phase: u8,
        /// The closing block and its height; empty before there is one.
        pub closing_block: List<BlockAt, 0, 1>,
        /// The checkpoint that makes it final; empty before there is one.
        pub checkpoint: List<BlockAt, 0, 1>,
        /// Registered members of the eligible groups when the roll closed (or now, if it has not).
        pub eligible: u64,
        /// The count.
        pub tally: Tally,
    }
}

array_struct! {
    /// A block by id and height.
    pub struct BlockAt {
        /// Id.
        pub id: BlockId,
        /// Height.
        pub height: u64,
    }
}

array_struct! {
    /// A registration as a node sees it.
    pub struct VoterInfo {
        /// The transaction.
        pub transaction: TxId,
        /// Place on the roll.
        pub roll_index: u64,
        /// Group.
        pub group: Group,
        /// Height of its block.
        pub height: u64,
    }
}

tagged_enum! {
    /// A request.
    pub enum Request {
        /// Take these transactions.
        0 => Submit {
            /// At most 64 KiB together.
            transactions: List<Transaction, 1, MAX_BATCH>,
        },
        /// Where are these transactions?
        1 => Status {
            /// Their ids.
            ids: List<TxId, 1, 64>,
        },
        /// Elections, newest first.
        2 => Elections {
            /// How many to pass over.
            skip: u64,
        },
        /// One election.
        3 => Election {
            /// Its id.
            election: ElectionId,
        },
        /// The result of an election.
        4 => Result {
            /// Its id.
            election: ElectionId,
        },
        /// Is this key registered?
        5 => Voter {
            /// The voter key.
            voter: PublicKey,
        },
        /// Which transaction holds this key's vote in an election?
        6 => VoteOf {
            /// The election.
            election: ElectionId,
            /// The voter key.
            voter: PublicKey,
        },
        /// Which of these transactions do you hold, waiting or in a block? Cheaper than `Status`.
        7 => Have {
            /// Their ids.
            ids: List<TxId, 1, MAX_BATCH>,
        },
    }
}

impl Message for Request {
    const MAX_BYTES: usize = 72 * 1024;
}

tagged_enum! {
    /// A reply.
    pub enum Reply {
        /// To `Submit`, in its order.
        0 => Submit {
            /// One per transaction.
            outcomes: List<Outcome, 1, MAX_BATCH>,
        },
        /// To `Status`, in its order.
        1 => Status {
            /// One per id.
            statuses: List<TxStatus, 1, 64>,
        },
        /// To `Elections` and `Election`.
        2 => Elections {
            /// What there is.
            elections: List<ElectionInfo, 0, MAX_ELECTIONS>,
            /// How many there are altogether.
            total: u64,
        },
        /// To `Result`; empty if the election is unknown.
        3 => Result {
            /// The result.
            result: List<ElectionResult, 0, 1>,
        },
        /// To `Voter`; empty if the key is not registered.
        4 => Voter {
            /// The registration.
            voter: List<VoterInfo, 0, 1>,
        },
        /// To `VoteOf`; empty if there is none.
        5 => VoteOf {
            /// The transaction.
            transaction: List<TxId, 0, 1>,
        },
        /// To `Have`, in its order: 1 for held, 0 for not.
        6 => Have {
            /// One per id.
            held: List<u8, 1, MAX_BATCH>,
        },
        /// Too much at once; ask again later or elsewhere.
        7 => Busy {},
    }
}

impl Message for Reply {
    const MAX_BYTES: usize = 512 * 1024;
}
