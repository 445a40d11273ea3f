//! What stands in the tables: small canonical records, and how they become the chain's types and back.

use std::sync::Arc;

use super::error::StoreError;
use crate::chain::block::{BlockId, Header};
use crate::chain::election::{Choices, Election};
use crate::chain::genesis::Group;
use crate::chain::state::{
    Conviction, ElectionRecord, Invitation, InvitationUse, Position, SetChange, VoteRecord, Voter,
    VoterTag,
};
use crate::chain::transaction::{FinaliserChange, Offence, TxId};
use crate::crypto::{PublicKey, RingKey};
use crate::wire::{self, Message, array_struct};

/// What the store knows of a block's validity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Validity {
    /// Its header is; its transactions were not checked.
    Unchecked = 0,
    /// It was valid after its parent.
    Valid = 1,
}

array_struct! {
    /// A known block.
    pub struct StoredHeader {
        /// The header.
        pub header: Header,
        /// A [`Validity`], by number.
        pub validity: u8,
        /// Length of the encoded body in bytes, plus one; 0 while it isn't there.
        pub body: u64,
    }
}

impl Message for StoredHeader {
    const MAX_BYTES: usize = Header::MAX_BYTES + 16;
}

impl StoredHeader {
    /// Its validity.
    pub fn validity(&self) -> Validity {
        match self.validity {
            1 => Validity::Valid,
            _ => Validity::Unchecked,
        }
    }

    /// Length of the encoded body in bytes, if it is there.
    pub fn body_len(&self) -> Option<u64> {
        self.body.checked_sub(1)
    }
}

array_struct! {
    /// A block of the main chain.
    pub struct StoredPoint {
        /// Its height.
        pub height: u64,
        /// Its id.
        pub id: BlockId,
    }
}

impl Message for StoredPoint {
    const MAX_BYTES: usize = 64;
}

array_struct! {
    /// How many of each thing the chain holds up to a block.
    #[derive(Default)]
    pub struct Counts {
        /// Transactions.
        pub transactions: u64,
        /// Registrations.
        pub voters: u64,
        /// Invitations issued.
        pub invitations: u64,
        /// Invitations that somebody registered with.
        pub invitations_spent: u64,
        /// Invitations taken back.
        pub invitations_revoked: u64,
        /// Elections.
        pub elections: u64,
        /// Votes.
        pub votes: u64,
    }
}

impl Message for Counts {
    const MAX_BYTES: usize = 80;
}

array_struct! {
    /// A [`Voter`] on disk.
    pub struct StoredVoter {
        /// Place on the roll.
        pub roll_index: u64,
        /// The group.
        pub group: Group,
        /// Timestamp of the block.
        pub registered_at_ms: u64,
        /// Height of the block.
        pub height: u64,
        /// Index in the block.
        pub index: u64,
    }
}

impl Message for StoredVoter {
    const MAX_BYTES: usize = 96;
}

impl From<&Voter> for StoredVoter {
    fn from(voter: &Voter) -> Self {
        Self {
            roll_index: voter.roll_index,
            group: voter.group.clone(),
            registered_at_ms: voter.registered_at_ms,
            height: voter.position.height,
            index: voter.position.index.into(),
        }
    }
}

impl From<StoredVoter> for Voter {
    fn from(stored: StoredVoter) -> Self {
        Self {
            roll_index: stored.roll_index,
            group: stored.group,
            registered_at_ms: stored.registered_at_ms,
            position: position(stored.height, stored.index),
        }
    }
}

array_struct! {
    /// An [`Invitation`] on disk; its use stands in a table of its own.
    pub struct StoredInvitation {
        /// The group.
        pub group: Group,
        /// Height of the batch.
        pub height: u64,
        /// Index of the batch in its block.
        pub index: u64,
    }
}

impl Message for StoredInvitation {
    const MAX_BYTES: usize = 80;
}

impl From<&Invitation> for StoredInvitation {
    fn from(invitation: &Invitation) -> Self {
        Self {
            group: invitation.group.clone(),
            height: invitation.batch.height,
            index: invitation.batch.index.into(),
        }
    }
}

impl StoredInvitation {
    /// The invitation, with what became of it.
    pub fn with_use(self, used: Option<InvitationUse>) -> Invitation {
        Invitation {
            batch: position(self.height, self.index),
            group: self.group,
            used,
        }
    }
}

array_struct! {
    /// An [`ElectionRecord`] on disk.
    pub struct StoredElection {
        /// The transaction.
        pub transaction: TxId,
        /// Height of the block.
        pub height: u64,
        /// Index in the block.
        pub index: u64,
        /// Timestamp of the block.
        pub included_at_ms: u64,
        /// The election.
        pub election: Election,
    }
}

impl Message for StoredElection {
    const MAX_BYTES: usize = 64 * 1024;
}

impl From<&ElectionRecord> for StoredElection {
    fn from(record: &ElectionRecord) -> Self {
        Self {
            transaction: record.transaction,
            height: record.position.height,
            index: record.position.index.into(),
            included_at_ms: record.included_at_ms,
            election: record.election.clone(),
        }
    }
}

impl From<StoredElection> for Arc<ElectionRecord> {
    fn from(stored: StoredElection) -> Self {
        Arc::new(ElectionRecord {
            id: stored.election.id(),
            transaction: stored.transaction,
            position: position(stored.height, stored.index),
            included_at_ms: stored.included_at_ms,
            election: stored.election,
        })
    }
}

array_struct! {
    /// A [`SetChange`] on disk.
    pub struct StoredSetChange {
        /// Height of the block.
        pub height: u64,
        /// Index in the block.
        pub index: u64,
        /// The change.
        pub change: FinaliserChange,
    }
}

impl Message for StoredSetChange {
    const MAX_BYTES: usize = 64 * 1024;
}

impl From<&SetChange> for StoredSetChange {
    fn from(record: &SetChange) -> Self {
        Self {
            height: record.position.height,
            index: record.position.index.into(),
            change: record.change.clone(),
        }
    }
}

impl From<StoredSetChange> for Arc<SetChange> {
    fn from(stored: StoredSetChange) -> Self {
        Arc::new(SetChange {
            position: position(stored.height, stored.index),
            change: stored.change,
        })
    }
}

/// Decodes a record; bytes that aren't one are corruption, named by the table.
pub(super) fn decode<T: Message>(table: &'static str, bytes: &[u8]) -> Result<T, StoreError> {
    wire::decode(bytes).map_err(|error| StoreError::Corrupt(format!("table {table}: {error}")))
}

/// Decodes a lone integer.
pub(super) fn decode_number(table: &'static str, bytes: &[u8]) -> Result<u64, StoreError> {
    wire::decode_bounded(bytes, 9)
        .map_err(|error| StoreError::Corrupt(format!("table {table}: {error}")))
}

fn position(height: u64, index: u64) -> Position {
    Position {
        height,
        // What was written was a u32.
        index: u32::try_from(index).unwrap_or(u32::MAX),
    }
}

/// A position in 12 bytes.
pub(super) fn position_bytes(position: Position) -> [u8; 12] {
    super::tables::join(&[
        &position.height.to_be_bytes(),
        &position.index.to_be_bytes(),
    ])
}

/// Reads [`position_bytes`].
pub(super) fn read_position(bytes: &[u8; 12]) -> Position {
    let (height, index) = bytes.split_at(8);
    Position {
        height: big_endian(height),
        index: big_endian(index) as u32,
    }
}

/// A big-endian number of up to 8 bytes.
pub(super) fn big_endian(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0, |value, byte| value << 8 | u64::from(*byte))
}

/// How an invitation was used up, in 13 bytes.
pub(super) fn use_bytes(used: InvitationUse) -> [u8; 13] {
    let (kind, position) = match used {
        InvitationUse::Spent(position) => (0, position),
        InvitationUse::Revoked(position) => (1, position),
    };
    super::tables::join(&[&[kind], &position_bytes(position)])
}

/// Reads [`use_bytes`].
pub(super) fn read_use(bytes: &[u8; 13]) -> Result<InvitationUse, StoreError> {
    let mut at = [0; 12];
    at.copy_from_slice(&bytes[1..]);
    match bytes[0] {
        0 => Ok(InvitationUse::Spent(read_position(&at))),
        1 => Ok(InvitationUse::Revoked(read_position(&at))),
        _ => Err(StoreError::Corrupt(
            "table invitation_uses: not a use".to_owned(),
        )),
    }
}

/// Where an invitation was used up.
pub(super) fn use_position(used: InvitationUse) -> Position {
    match used {
        InvitationUse::Spent(position) | InvitationUse::Revoked(position) => position,
    }
}

/// A vote in the bytes of table `votes`.
pub(super) fn vote_bytes(vote: &VoteRecord) -> Vec<u8> {
    [&position_bytes(vote.position)[..], &vote.choices].concat()
}

/// Reads [`vote_bytes`].
pub(super) fn read_vote(bytes: &[u8]) -> Result<VoteRecord, StoreError> {
    let corrupt = || StoreError::Corrupt("table votes: not a vote".to_owned());
    let (position, choices) = bytes.split_first_chunk::<12>().ok_or_else(corrupt)?;
    Ok(VoteRecord {
        position: read_position(position),
        choices: Choices::new(choices.to_vec()).map_err(|_| corrupt())?,
    })
}

/// The voter tag in a key of table `votes`.
pub(super) fn read_vote_tag(key: &[u8; 41]) -> Result<VoterTag, StoreError> {
    let mut tag = [0; 32];
    tag.copy_from_slice(&key[9..]);
    match key[8] {
        0 => Ok(VoterTag::Key(PublicKey::from_bytes(tag))),
        1 => Ok(VoterTag::Link(RingKey::from_bytes(tag))),
        _ => Err(StoreError::Corrupt("table votes: not a voter".to_owned())),
    }
}

/// A conviction in 61 bytes.
pub(super) fn conviction_bytes(conviction: &Conviction) -> [u8; 61] {
    let offence = &conviction.offence;
    super::tables::join(&[
        offence.finaliser.as_ref(),
        &[offence.kind],
        &offence.height.to_be_bytes(),
        &offence.round.to_be_bytes(),
        &position_bytes(conviction.position),
    ])
}

/// Reads [`conviction_bytes`].
pub(super) fn read_conviction(bytes: &[u8; 61]) -> Conviction {
    let mut finaliser = [0; 32];
    finaliser.copy_from_slice(&bytes[..32]);
    let mut at = [0; 12];
    at.copy_from_slice(&bytes[49..]);
    Conviction {
        offence: Offence {
            finaliser: PublicKey::from_bytes(finaliser),
            kind: bytes[32],
            height: big_endian(&bytes[33..41]),
            round: big_endian(&bytes[41..49]),
        },
        position: read_position(&at),
    }
}
