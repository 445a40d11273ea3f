//! What the chain amounts to: the roll, the invitations, the elections, who voted, the sets of finalisers and who of them
//! was convicted, read through [`View`].
//!
//! State only ever grows: a transaction inserts keys and never changes or removes one. So a block's effect is a
//! [`Delta`], and leaving a block in a reorganisation means dropping its delta.

use std::sync::Arc;

use crate::chain::block::BlockId;
use crate::chain::checkpoint::FinaliserSet;
use crate::chain::election::{Choices, Election, ElectionId};
use crate::chain::genesis::{Finaliser, Group};
use crate::chain::merkle::{Frontier, Tree};
use crate::chain::network::Network;
use crate::chain::transaction::{FinaliserChange, Offence, TxId};
use crate::crypto::{Hash, PublicKey, RingKey};
use crate::wire::{self, array_struct};

/// Reading the state failed (disk, corruption). Never a statement about the chain.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the state cannot be read: {0}")]
pub struct ViewError(pub String);

/// Where a transaction stands. Positions are ordered as the chain is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// Height of the block.
    pub height: u64,
    /// Index within the block.
    pub index: u32,
}

/// A registered voter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Voter {
    /// Place on the roll, from 0.
    pub roll_index: u64,
    /// The group that the voter belongs to.
    pub group: Group,
    /// Timestamp of the block of the registration, Unix milliseconds.
    pub registered_at_ms: u64,
    /// Where the registration stands.
    pub position: Position,
}

array_struct! {
    /// An entry of the roll log, as it is hashed and as it travels.
    pub struct RollEntry {
        /// The voter key.
        pub voter: PublicKey,
        /// The ring key.
        pub ring_key: RingKey,
        /// The group.
        pub group: Group,
    }
}

impl RollEntry {
    /// Its leaf in the roll log: the hash of its canonical encoding.
    pub fn leaf(&self) -> Hash {
        Tree::Roll.leaf(&wire::encode(self))
    }
}

/// An invitation that an organiser made valid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invitation {
    /// The group that its user will belong to.
    pub group: Group,
    /// Where the batch stands.
    pub batch: Position,
    /// What became of it.
    pub used: Option<InvitationUse>,
}

/// How an invitation was used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InvitationUse {
    /// Somebody registered with it.
    Spent(Position),
    /// An organiser took it back.
    Revoked(Position),
}

/// An election on the chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ElectionRecord {
    /// Its identity.
    pub id: ElectionId,
    /// The transaction that opened it.
    pub transaction: TxId,
    /// Where that stands.
    pub position: Position,
    /// Timestamp of its block, Unix milliseconds.
    pub included_at_ms: u64,
    /// The election itself.
    pub election: Election,
}

/// What a voter is known by within an election: the voter key or the linking tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum VoterTag {
    /// Pseudonymous: the voter key.
    Key(PublicKey),
    /// Anonymous: the linking tag.
    Link(RingKey),
}

/// A vote on the chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VoteRecord {
    /// Where it stands.
    pub position: Position,
    /// What was chosen, of an open ballot.
    pub choices: Choices,
}

/// A change of the finalisers on the chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetChange {
    /// Where it stands.
    pub position: Position,
    /// The change itself.
    pub change: FinaliserChange,
}

/// A finaliser's conviction on the chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conviction {
    /// Of what.
    pub offence: Offence,
    /// Where the evidence stands.
    pub position: Position,
}

/// Reads the state after some block. Implemented by the store, a map in memory, and overlays over either.
pub trait View {
    /// The voter registered under this key.
    fn voter(&self, key: &PublicKey) -> Result<Option<Voter>, ViewError>;
    /// The invitation with this public key, with what became of it.
    fn invitation(&self, key: &PublicKey) -> Result<Option<Invitation>, ViewError>;
    /// The election with this id.
    fn election(&self, id: &ElectionId) -> Result<Option<Arc<ElectionRecord>>, ViewError>;
    /// The vote of this voter in this election.
    fn vote(
        &self,
        election: &ElectionId,
        voter: &VoterTag,
    ) -> Result<Option<VoteRecord>, ViewError>;
    /// The roll log's compact form: its size and the roots of its perfect subtrees.
    fn roll(&self) -> Result<Frontier, ViewError>;
    /// Number of voters of these groups (all different) registered in blocks with a timestamp below `before_ms`.
    fn count_voters(&self, groups: &[Group], before_ms: u64) -> Result<u64, ViewError>;
    /// Visits every election, in chain order.
    fn for_each_election(
        &self,
        visit: &mut dyn FnMut(&Arc<ElectionRecord>),
    ) -> Result<(), ViewError>;
    /// Visits every vote of an election once, in no particular order.
    fn for_each_vote(
        &self,
        election: &ElectionId,
        visit: &mut dyn FnMut(&VoterTag, &VoteRecord),
    ) -> Result<(), ViewError>;
    /// Changes of the finalisers so far, which is also the number of the latest set. At most
    /// [`MAX_CHANGES`](crate::chain::checkpoint::MAX_CHANGES).
    fn set_changes(&self) -> Result<u64, ViewError>;
    /// The change that made the set with this number; none for set 0, which the genesis names.
    fn set_change(&self, set: u64) -> Result<Option<Arc<SetChange>>, ViewError>;
    /// Convictions so far: at most one of each finaliser.
    fn conviction_count(&self) -> Result<u64, ViewError>;
    /// Where the finaliser with this key was convicted. That happens to a key once: one proof says what it is worth, and
    /// whoever lies could make others without end.
    fn conviction(&self, finaliser: &PublicKey) -> Result<Option<Position>, ViewError>;
    /// Convictions in chain order, after the first `skip`, at most `max`.
    fn convictions(&self, skip: u64, max: usize) -> Result<Vec<Conviction>, ViewError>;

    /// The set of finalisers with this number, as far as there is one yet.
    fn finaliser_set(
        &self,
        network: &Network,
        number: u64,
    ) -> Result<Option<FinaliserSet>, ViewError> {
        if number == 0 {
            return Ok(Some(FinaliserSet::genesis(network)));
        }
        let change = self.set_change(number)?;
        Ok(change.map(|record| FinaliserSet::of_change(&record.change)))
    }

    /// The latest set of finalisers. In the state after the block of checkpoint n, that is the set that decides
    /// checkpoint n + 1; in the state of the genesis, the one that decides checkpoint 1.
    fn latest_finaliser_set(&self, network: &Network) -> Result<FinaliserSet, ViewError> {
        let number = self.set_changes()?;
        self.finaliser_set(network, number)?
            .ok_or_else(|| ViewError(format!("set {number} of finalisers is lacking")))
    }

    /// Whether this key is in any set of finalisers so far.
    fn was_finaliser(&self, network: &Network, key: &PublicKey) -> Result<bool, ViewError> {
        let among = |members: &[Finaliser]| members.iter().any(|member| member.key == *key);
        if among(&network.finalisers) {
            return Ok(true);
        }
        for number in 1..=self.set_changes()? {
            let change = self.set_change(number)?;
            if change.is_some_and(|record| among(&record.change.finalisers)) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// What a block (or a part of one) inserts into the state. Vectors are in chain order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Delta {
    /// New voters with their leaves, the first at the roll size of the state before.
    pub voters: Vec<(RollEntry, Voter)>,
    /// New invitations; `used` is empty.
    pub invitations: Vec<(PublicKey, Invitation)>,
    /// Invitations used up.
    pub invitation_uses: Vec<(PublicKey, InvitationUse)>,
    /// New elections.
    pub elections: Vec<Arc<ElectionRecord>>,
    /// New votes.
    pub votes: Vec<(ElectionId, VoterTag, VoteRecord)>,
    /// Changes of the finalisers, the first making the set after the latest of the state before.
    pub set_changes: Vec<Arc<SetChange>>,
    /// New convictions.
    pub convictions: Vec<Conviction>,
    /// The roll log after it; `None` if nobody registered.
    pub roll: Option<Frontier>,
}

/// The block that the state is the state after.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tip {
    /// Its id.
    pub id: BlockId,
    /// Its height.
    pub height: u64,
    /// Its timestamp, Unix milliseconds.
    pub timestamp_ms: u64,
}
