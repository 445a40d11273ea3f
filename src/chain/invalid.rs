//! Why a transaction or a block is refused: one list, with a number for programs and words for people.
//!
//! What is wrong in every state (codes below 100) can be held against whoever sent it; what depends on the state (100
//! and up) cannot, since another node's state may differ. A code never changes its meaning.

mod block;
mod details;

use crate::chain::checkpoint::ChangeError;
use crate::chain::genesis::Group;
use crate::chain::state::ViewError;
use crate::crypto::{KeyError, PublicKey, RingKeyError};
use crate::wire::DecodeError;

pub use block::BlockInvalid;
pub use details::{BallotRule, ElectionRule, EvidenceRule, Feature, KeyOf, Permission};

/// The rule that a transaction breaks.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    /// The bytes are not the canonical encoding of a transaction.
    #[error("this is not a well-formed transaction: {0}")]
    NotCanonical(DecodeError),
    /// Longer than a transaction may be.
    #[error("the transaction has {bytes} bytes and may have {max}")]
    TooLarge {
        /// Its length.
        bytes: usize,
        /// The bound.
        max: usize,
    },
    /// Made for another network.
    #[error(
        "the transaction was made for another network; make it again with this network's genesis"
    )]
    WrongNetwork,
    /// A key that may not stand for anybody.
    #[error("the {whose} is unusable: {error}")]
    BadKey {
        /// Whose.
        whose: KeyOf,
        /// Why.
        error: KeyError,
    },
    /// A ring key that may not stand for anybody.
    #[error("the registration is unusable: {0}")]
    BadRingKey(RingKeyError),
    /// A signature that its key did not make over this in this network.
    #[error("the signature by the {whose} does not fit the transaction and this network")]
    BadSignature {
        /// Whose.
        whose: KeyOf,
    },
    /// The proof does not show that the registrant knows the ring key's secret.
    #[error("the proof for the ring key does not fit this voter and this network")]
    BadRingProof,
    /// The invitation did not admit this voter.
    #[error(
        "the invitation's signature does not fit this voter and this network; register again with the invitation's code"
    )]
    BadInvitationSignature,
    /// The stamp is worth too little.
    #[error("the stamp does not have the {bits} zero bits that this network asks for")]
    BadStamp {
        /// Bits asked.
        bits: u8,
    },
    /// This network admits nobody without an invitation.
    #[error("this network admits voters by invitation only; ask an organiser for one")]
    OpenAdmissionForbidden,
    /// A key is named twice.
    #[error("the key {0} is named twice")]
    DuplicateKey(PublicKey),
    /// Invitations into the group that needs none.
    #[error("the group \"open\" is for those who come without an invitation; name another")]
    ReservedGroup,
    /// The election's own terms contradict the rules.
    #[error("the election cannot be held: {0}")]
    MalformedElection(ElectionRule),
    /// Defined, but not implemented by this release.
    #[error("this release of votenode does not support {0}")]
    Unsupported(Feature),
    /// The genesis does not give the key this permission.
    #[error("the genesis of this network does not permit this key to {0}")]
    NotPermitted(Permission),
    /// The genesis lists no finalisers.
    #[error("nobody finalises in this network, and its genesis says so for good")]
    NoFinalisers,
    /// A change of the finalisers that contradicts the rules.
    #[error("the change of finalisers is not one: {0}")]
    MalformedChange(ChangeError),
    /// Evidence that shows nothing.
    #[error("the evidence against a finaliser shows nothing: {0}")]
    MalformedEvidence(EvidenceRule),

    /// The voter key is not on the roll.
    #[error("the voter is not registered; register first")]
    NotRegistered,
    /// Registered, but not in time for this election.
    #[error("the voter was registered after the roll of this election had closed")]
    RegisteredTooLate,
    /// Registered in a group that the election is not for.
    #[error("the voter belongs to the group \"{group}\", which this election is not for")]
    NotEligible {
        /// The voter's group.
        group: Group,
    },
    /// The voter key is on the roll.
    #[error("the voter is registered already")]
    AlreadyRegistered,
    /// No organiser made this invitation valid, as far as is known.
    #[error("no organiser has issued the invitation {0} so far")]
    InvitationUnknown(PublicKey),
    /// Somebody registered with it.
    #[error("the invitation {0} was used already")]
    InvitationSpent(PublicKey),
    /// An organiser took it back.
    #[error("the invitation {0} was revoked by an organiser")]
    InvitationRevoked(PublicKey),
    /// Issued before.
    #[error("the invitation {0} was issued already; make fresh ones")]
    InvitationExists(PublicKey),
    /// No such election, as far as is known.
    #[error("the election is not known here so far")]
    UnknownElection,
    /// Opened before.
    #[error("the election is in the chain already")]
    ElectionExists,
    /// The election would reach the chain only after its own end.
    #[error("the election's polls would close before it is in the chain; choose later times")]
    ElectionOver,
    /// This voter has voted.
    #[error("the voter has voted in this election already; the first vote counts")]
    AlreadyVoted,
    /// Polls have not opened.
    #[error("polls have not opened yet; try again in {}", duration(*wait_ms))]
    TooEarly {
        /// Milliseconds until they do, by the block's time.
        wait_ms: u64,
    },
    /// Polls have closed.
    #[error("polls closed {} ago", duration(*late_ms))]
    TooLate {
        /// Milliseconds since polls closed, by the block's time.
        late_ms: u64,
    },
    /// The ballot is none that this election takes.
    #[error("the ballot does not fit the election: {0}")]
    WrongBallot(BallotRule),
    /// A pseudonymous vote in an anonymous election, or the reverse.
    #[error("the election asks for another kind of credential")]
    WrongCredential,
    /// The set of finalisers with this number was made before.
    #[error("set {0} of the finalisers is in the chain already")]
    SetExists(u64),
    /// A set of finalisers that comes later than the next.
    #[error("set {got} of the finalisers cannot follow yet; the next is set {next}")]
    SetTooEarly {
        /// The number in the change.
        got: u64,
        /// One more than the latest set's.
        next: u64,
    },
    /// Too little of the latest set's power is behind the change.
    #[error("the finalisers have not approved: {0}")]
    NotApproved(ChangeError),
    /// Evidence against somebody who was in no set so far.
    #[error("the key {0} is no finaliser's and never was")]
    NotAFinaliser(PublicKey),
    /// Convicted before, of this or of something else.
    #[error("the finaliser was convicted already; one proof is enough")]
    AlreadyConvicted,
}

/// Every rule's code and name, in the order of the codes.
pub const RULES: [(u64, &str); 39] = [
    (1, "not_canonical"),
    (2, "too_large"),
    (3, "wrong_network"),
    (4, "bad_key"),
    (5, "bad_ring_key"),
    (6, "bad_signature"),
    (7, "bad_ring_proof"),
    (8, "bad_invitation_signature"),
    (9, "bad_stamp"),
    (10, "open_admission_forbidden"),
    (11, "duplicate_key"),
    (12, "reserved_group"),
    (13, "malformed_election"),
    (14, "unsupported"),
    (15, "not_permitted"),
    (16, "no_finalisers"),
    (17, "malformed_change"),
    (18, "malformed_evidence"),
    (100, "not_registered"),
    (101, "registered_too_late"),
    (102, "not_eligible"),
    (103, "already_registered"),
    (104, "invitation_unknown"),
    (105, "invitation_spent"),
    (106, "invitation_revoked"),
    (107, "invitation_exists"),
    (108, "unknown_election"),
    (109, "election_exists"),
    (110, "election_over"),
    (111, "already_voted"),
    (112, "too_early"),
    (113, "too_late"),
    (114, "wrong_ballot"),
    (115, "wrong_credential"),
    (116, "set_exists"),
    (117, "set_too_early"),
    (118, "not_approved"),
    (119, "not_a_finaliser"),
    (120, "already_convicted"),
];

impl Invalid {
    /// Number of the rule, from [`RULES`].
    pub const fn code(&self) -> u64 {
        match self {
            Self::NotCanonical(_) => 1,
            Self::TooLarge { .. } => 2,
            Self::WrongNetwork => 3,
            Self::BadKey { .. } => 4,
            Self::BadRingKey(_) => 5,
            Self::BadSignature { .. } => 6,
            Self::BadRingProof => 7,
            Self::BadInvitationSignature => 8,
            Self::BadStamp { .. } => 9,
            Self::OpenAdmissionForbidden => 10,
            Self::DuplicateKey(_) => 11,
            Self::ReservedGroup => 12,
            Self::MalformedElection(_) => 13,
            Self::Unsupported(_) => 14,
            Self::NotPermitted(_) => 15,
            Self::NoFinalisers => 16,
            Self::MalformedChange(_) => 17,
            Self::MalformedEvidence(_) => 18,
            Self::NotRegistered => 100,
            Self::RegisteredTooLate => 101,
            Self::NotEligible { .. } => 102,
            Self::AlreadyRegistered => 103,
            Self::InvitationUnknown(_) => 104,
            Self::InvitationSpent(_) => 105,
            Self::InvitationRevoked(_) => 106,
            Self::InvitationExists(_) => 107,
            Self::UnknownElection => 108,
            Self::ElectionExists => 109,
            Self::ElectionOver => 110,
            Self::AlreadyVoted => 111,
            Self::TooEarly { .. } => 112,
            Self::TooLate { .. } => 113,
            Self::WrongBallot(_) => 114,
            Self::WrongCredential => 115,
            Self::SetExists(_) => 116,
            Self::SetTooEarly { .. } => 117,
            Self::NotApproved(_) => 118,
            Self::NotAFinaliser(_) => 119,
            Self::AlreadyConvicted => 120,
        }
    }

    /// Name of the rule, from [`RULES`].
    pub fn name(&self) -> &'static str {
        let code = self.code();
        RULES
            .iter()
            .find(|rule| rule.0 == code)
            .map_or("unknown", |rule| rule.1)
    }

    /// Wrong in every state of this network, so that whoever sent it should have known.
    pub const fn in_every_state(&self) -> bool {
        self.code() < 100
    }

    /// What is missing may still come: what this depends on was not seen yet, or its time has not come.
    pub const fn may_become_valid(&self) -> bool {
        matches!(
            self,
            Self::NotRegistered
                | Self::InvitationUnknown(_)
                | Self::UnknownElection
                | Self::TooEarly { .. }
                | Self::SetTooEarly { .. }
        )
    }
}

impl From<DecodeError> for Invalid {
    fn from(error: DecodeError) -> Self {
        match error {
            DecodeError::TooLong { len, max } => Self::TooLarge { bytes: len, max },
            error => Self::NotCanonical(error),
        }
    }
}

/// A rule is broken, or the state could not be read and nothing is known.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Failure<R: std::error::Error + 'static> {
    /// The rule that is broken.
    #[error("{0}")]
    Invalid(#[source] R),
    /// The state could not be read. Says nothing about the transaction or block.
    #[error("{0}")]
    State(#[source] ViewError),
}

impl<R: std::error::Error + 'static> From<ViewError> for Failure<R> {
    fn from(error: ViewError) -> Self {
        Self::State(error)
    }
}

impl From<Invalid> for Failure<Invalid> {
    fn from(reason: Invalid) -> Self {
        Self::Invalid(reason)
    }
}

impl From<BlockInvalid> for Failure<BlockInvalid> {
    fn from(reason: BlockInvalid) -> Self {
        Self::Invalid(reason)
    }
}

/// Milliseconds in the largest unit that leaves two digits or so.
fn duration(ms: u64) -> String {
    const UNITS: [(u64, &str); 4] = [
        (86_400_000, "days"),
        (3_600_000, "hours"),
        (60_000, "minutes"),
        (1_000, "seconds"),
    ];
    UNITS
        .iter()
        .find(|(size, _)| ms / size >= 2)
        .map_or(format!("{ms} ms"), |(size, unit)| {
            format!("{} {unit}", ms / size)
        })
}

#[cfg(test)]
mod tests;
