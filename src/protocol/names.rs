//! Names of topics and protocols.

use crate::chain::genesis::NetworkId;
use crate::chain::transaction::Kind;

/// The one protocol that needs no network: a newcomer asks for the genesis.
pub const GENESIS_PROTOCOL: &str = "/votenode/genesis/1";

/// What a newcomer lists who has yet to learn which network it is; nothing is ever asked over it.
pub const NEWCOMER_PROTOCOL: &str = "/votenode/newcomer/1";

/// Gossip topics. Each kind of transaction has its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Topic {
    /// Registrations.
    Registration,
    /// Votes.
    Vote,
    /// Elections.
    Election,
    /// Invitation batches and revocations.
    Invitation,
    /// Reveals of trustees' keys.
    Reveal,
    /// Mining states.
    Mining,
    /// Compact blocks.
    Block,
    /// Messages of the finality protocol, changes of its members and evidence against them.
    Finality,
}

impl Topic {
    /// All topics.
    pub const ALL: [Self; 8] = [
        Self::Registration,
        Self::Vote,
        Self::Election,
        Self::Invitation,
        Self::Reveal,
        Self::Mining,
        Self::Block,
        Self::Finality,
    ];

    /// Topics that carry arrays of transactions.
    pub const TRANSACTIONS: [Self; 5] = [
        Self::Registration,
        Self::Vote,
        Self::Election,
        Self::Invitation,
        Self::Reveal,
    ];

    /// The topic's part of its full name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Registration => "registration",
            Self::Vote => "vote",
            Self::Election => "election",
            Self::Invitation => "invitation",
            Self::Reveal => "reveal",
            Self::Mining => "mining",
            Self::Block => "block",
            Self::Finality => "finality",
        }
    }

    /// The full name in a network.
    pub fn full_name(self, network: &NetworkId) -> String {
        format!("/votenode/{network}/{}/1", self.name())
    }

    /// The topic with this full name in a network.
    pub fn parse(full_name: &str, network: &NetworkId) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|topic| topic.full_name(network) == full_name)
    }

    /// The topic that transactions of this kind travel on.
    pub const fn of(kind: Kind) -> Self {
        match kind {
            Kind::Registration => Self::Registration,
            Kind::InvitationBatch | Kind::InvitationRevoke => Self::Invitation,
            Kind::Election => Self::Election,
            Kind::Vote => Self::Vote,
            Kind::Reveal => Self::Reveal,
            Kind::FinaliserChange | Kind::Equivocation => Self::Finality,
        }
    }
}

/// Block and chain exchange between nodes.
pub fn sync_protocol(network: &NetworkId) -> String {
    format!("/votenode/{network}/sync/1")
}

/// Submission and queries by clients.
pub fn submit_protocol(network: &NetworkId) -> String {
    format!("/votenode/{network}/submit/1")
}

/// The network's distributed hash table.
pub fn kademlia_protocol(network: &NetworkId) -> String {
    format!("/votenode/{network}/kad/1")
}

/// What identify announces; the same for all networks.
pub const IDENTIFY_PROTOCOL: &str = "/votenode/1";

/// What every member of the network lists, nodes and clients alike, so that others are recognised as foreign. Nothing
/// is ever asked over it.
pub fn member_protocol(network: &NetworkId) -> String {
    format!("/votenode/{network}/1")
}
