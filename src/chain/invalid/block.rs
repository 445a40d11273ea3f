//! Why a block is refused.

use crate::chain::invalid::Invalid;

/// The rule that a block breaks.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BlockInvalid {
    /// Of another protocol version.
    #[error("the block is of protocol version {got}, this network of {want}")]
    Version {
        /// The block's.
        got: u64,
        /// The network's.
        want: u64,
    },
    /// Of another network.
    #[error("the block belongs to another network")]
    WrongNetwork,
    /// Does not follow its parent.
    #[error("the block has height {got} where its parent asks for {want}")]
    Height {
        /// The block's.
        got: u64,
        /// One above the parent's.
        want: u64,
    },
    /// Names another block as its parent.
    #[error("the block names another parent")]
    Parent,
    /// Too soon after its parent.
    #[error("the block's timestamp {got} is before {earliest}, the earliest its parent allows")]
    Timestamp {
        /// The block's, Unix milliseconds.
        got: u64,
        /// The parent's and the block time.
        earliest: u64,
    },
    /// The id is above the target.
    #[error("the block carries no proof of work")]
    Work,
    /// More transactions than the genesis allows.
    #[error("the block holds {got} transactions where {max} are allowed")]
    TooManyTransactions {
        /// In the block.
        got: usize,
        /// In the genesis.
        max: u64,
    },
    /// Longer than the genesis allows.
    #[error("the block has {got} bytes where {max} are allowed")]
    TooLarge {
        /// The block's.
        got: u64,
        /// In the genesis.
        max: u64,
    },
    /// The header commits to other transactions.
    #[error("the block's transactions are not those that its header commits to")]
    TransactionRoot,
    /// A transaction is invalid at its position.
    #[error("transaction {index} of the block is invalid: {reason}")]
    Transaction {
        /// Its index.
        index: u32,
        /// Why.
        #[source]
        reason: Invalid,
    },
    /// The header commits to another roll.
    #[error("the block commits to another roll than its transactions lead to")]
    Roll,
}

impl BlockInvalid {
    /// The names of all rules.
    pub const NAMES: [&'static str; 11] = [
        "version",
        "wrong_network",
        "height",
        "parent",
        "timestamp",
        "work",
        "too_many_transactions",
        "too_large",
        "transaction_root",
        "transaction",
        "roll",
    ];

    /// A name for programs, stable: one of [`BlockInvalid::NAMES`].
    pub const fn name(&self) -> &'static str {
        Self::NAMES[match self {
            Self::Version { .. } => 0,
            Self::WrongNetwork => 1,
            Self::Height { .. } => 2,
            Self::Parent => 3,
            Self::Timestamp { .. } => 4,
            Self::Work => 5,
            Self::TooManyTransactions { .. } => 6,
            Self::TooLarge { .. } => 7,
            Self::TransactionRoot => 8,
            Self::Transaction { .. } => 9,
            Self::Roll => 10,
        }]
    }
}
