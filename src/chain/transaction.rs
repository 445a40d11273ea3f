//! Transactions: everything that a block can hold, and what each of them signs.

use crate::chain::block::BlockId;
use crate::chain::election::{Ballot, Election, ElectionId};
use crate::chain::genesis::{Finaliser, Group, NetworkTag};
use crate::crypto::{Context, PublicKey, RingKey, RingProof, Signature, hash};
use crate::wire::{self, Blob, List, Message, array_struct, fixed_bytes, tagged_enum};

fixed_bytes! {
    /// Hash of a whole transaction, signatures included.
    pub struct TxId([u8; 32]);
}

/// Most keys in an invitation batch or a revocation.
pub const MAX_INVITATION_KEYS: usize = 1024;

tagged_enum! {
    /// By what right a voter registers.
    pub enum Admission {
        /// Open admission, into the group `open`.
        0 => Open {
            /// Hashcash stamp over everything else in the registration.
            stamp: u64,
        },
        /// With an invitation, into the group of its batch.
        1 => Invited {
            /// The single-use invitation key.
            invitation: PublicKey,
            /// Its signature over the voter key and the ring key.
            signature: Signature,
        },
    }
}

array_struct! {
    /// A voter joins the electoral roll.
    pub struct Registration {
        /// The key that will sign this voter's pseudonymous votes.
        pub voter: PublicKey,
        /// The key that stands for this voter in rings.
        pub ring_key: RingKey,
        /// Proof that the registrant knows the ring key's secret.
        pub ring_proof: RingProof,
        /// By what right.
        pub admission: Admission,
        /// The voter key's signature over all of the above but the stamp.
        pub signature: Signature,
    }
}

impl Registration {
    /// What the voter key signs.
    pub fn payload(&self) -> Vec<u8> {
        match &self.admission {
            Admission::Open { .. } => {
                wire::encode(&(&self.voter, &self.ring_key, &self.ring_proof, (0u8,)))
            }
            Admission::Invited { .. } => wire::encode(&(
                &self.voter,
                &self.ring_key,
                &self.ring_proof,
                &self.admission,
            )),
        }
    }

    /// What the invitation key signs.
    pub fn invitation_payload(&self) -> Vec<u8> {
        wire::encode(&(&self.voter, &self.ring_key))
    }

    /// What the stamp is over: the payload and the signature.
    pub fn stamp_payload(&self) -> Vec<u8> {
        wire::encode(&(
            &self.voter,
            &self.ring_key,
            &self.ring_proof,
            &self.signature,
        ))
    }
}

array_struct! {
    /// An organiser makes invitations valid.
    pub struct InvitationBatch {
        /// The group that their users will belong to; not `open`.
        pub group: Group,
        /// The invitations' public keys, all different.
        pub keys: List<PublicKey, 1, MAX_INVITATION_KEYS>,
        /// The organiser.
        pub organiser: PublicKey,
        /// The organiser's signature.
        pub signature: Signature,
    }
}

impl InvitationBatch {
    /// What the organiser signs.
    pub fn payload(&self) -> Vec<u8> {
        wire::encode(&(&self.group, &self.keys, &self.organiser))
    }
}

array_struct! {
    /// An organiser takes unspent invitations back.
    pub struct InvitationRevoke {
        /// Public keys of the invitations, all different.
        pub keys: List<PublicKey, 1, MAX_INVITATION_KEYS>,
        /// The organiser.
        pub organiser: PublicKey,
        /// The organiser's signature.
        pub signature: Signature,
    }
}

impl InvitationRevoke {
    /// What the organiser signs.
    pub fn payload(&self) -> Vec<u8> {
        wire::encode(&(&self.keys, &self.organiser))
    }
}

tagged_enum! {
    /// What entitles to a vote.
    pub enum Credential {
        /// A registered voter key.
        0 => Pseudonymous {
            /// The voter key.
            voter: PublicKey,
            /// Its signature over election and ballot.
            signature: Signature,
        },
        /// Membership of a ring of the frozen roll.
        1 => Anonymous {
            /// Linking tag: the same for every vote of this voter in this election.
            tag: RingKey,
            /// Which ring.
            ring: u64,
            /// Linkable ring signature (Triptych).
            proof: Blob<1, 4096>,
            /// Hashcash stamp over everything else in the vote.
            stamp: u64,
        },
    }
}

array_struct! {
    /// A voter's ballot in an election.
    pub struct Vote {
        /// The election.
        pub election: ElectionId,
        /// The choice.
        pub ballot: Ballot,
        /// What entitles to it.
        pub credential: Credential,
    }
}

impl Vote {
    /// What a pseudonymous voter signs.
    pub fn payload(&self) -> Vec<u8> {
        wire::encode(&(&self.election, &self.ballot))
    }

    /// What the stamp of an anonymous vote is over: everything else in it. Pseudonymous votes carry none.
    pub fn stamp_payload(&self) -> Option<Vec<u8>> {
        match &self.credential {
            Credential::Pseudonymous { .. } => None,
            Credential::Anonymous {
                tag, ring, proof, ..
            } => Some(wire::encode(&(
                &self.election,
                &self.ballot,
                tag,
                ring,
                proof,
            ))),
        }
    }
}

array_struct! {
    /// A trustee publishes the key of a sealed election after its close.
    pub struct Reveal {
        /// The election.
        pub election: ElectionId,
        /// Its closing block.
        pub closing_block: BlockId,
        /// The trustee's index.
        pub trustee: u64,
        /// Seed of the trustee's Ed25519 key.
        pub seed: Blob<32, 32>,
        /// The trustee's signature.
        pub signature: Signature,
    }
}

impl Reveal {
    /// What the trustee signs.
    pub fn payload(&self) -> Vec<u8> {
        wire::encode(&(
            &self.election,
            &self.closing_block,
            self.trustee,
            &self.seed,
        ))
    }
}

array_struct! {
    /// A signature by a named key.
    pub struct Approval {
        /// Who signs.
        pub key: PublicKey,
        /// The signature.
        pub signature: Signature,
    }
}

/// The members of a set that a change makes.
pub type Finalisers = List<Finaliser, 1, 64>;

array_struct! {
    /// Another set of finalisers, agreed by more than two thirds of the present one.
    pub struct FinaliserChange {
        /// Number of the new set; the genesis holds set 0.
        pub set: u64,
        /// The new set.
        pub finalisers: Finalisers,
        /// Signatures of present finalisers.
        pub approvals: List<Approval, 1, 64>,
    }
}

impl FinaliserChange {
    /// What each present finaliser signs.
    pub fn payload(&self) -> Vec<u8> {
        Self::payload_of(self.set, &self.finalisers)
    }

    /// What each present finaliser signs to make this set, before there is a change.
    pub fn payload_of(set: u64, finalisers: &Finalisers) -> Vec<u8> {
        wire::encode(&(set, finalisers))
    }
}

array_struct! {
    /// A message of the finality protocol, without its signer.
    pub struct FinalityMessage {
        /// 0 proposal, 1 prevote, 2 precommit.
        pub kind: u8,
        /// Number of the checkpoint.
        pub height: u64,
        /// Round of the consensus.
        pub round: u64,
        /// Proposals: one more than the proof-of-lock round, 0 for none. Votes: 0.
        pub lock_round: u64,
        /// A block id, or nothing for a vote for nil.
        pub value: Blob<0, 32>,
    }
}

impl FinalityMessage {
    /// `kind` of a proposal.
    pub const PROPOSAL: u8 = 0;
    /// `kind` of a prevote.
    pub const PREVOTE: u8 = 1;
    /// `kind` of a precommit.
    pub const PRECOMMIT: u8 = 2;

    /// What the finaliser signs.
    pub fn payload(&self) -> Vec<u8> {
        wire::encode(self)
    }

    /// The purpose under which the finaliser signs it.
    pub const fn context(&self) -> Context {
        match self.kind {
            Self::PROPOSAL => Context::SignFinalityProposal,
            _ => Context::SignFinalityVote,
        }
    }
}

array_struct! {
    /// Proof that a finaliser signed two conflicting messages.
    pub struct Equivocation {
        /// The finaliser.
        pub finaliser: PublicKey,
        /// One message.
        pub first: FinalityMessage,
        /// Its signature.
        pub first_signature: Signature,
        /// The other.
        pub second: FinalityMessage,
        /// Its signature.
        pub second_signature: Signature,
    }
}

/// What a finaliser is convicted of: two messages where there may be one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Offence {
    /// The finaliser.
    pub finaliser: PublicKey,
    /// `kind` of the messages.
    pub kind: u8,
    /// Number of the checkpoint.
    pub height: u64,
    /// Round of the consensus.
    pub round: u64,
}

impl Equivocation {
    /// What it shows, once it was checked.
    pub fn offence(&self) -> Offence {
        Offence {
            finaliser: self.finaliser,
            kind: self.first.kind,
            height: self.first.height,
            round: self.first.round,
        }
    }
}

tagged_enum! {
    /// What a transaction does.
    pub enum Payload {
        /// A voter joins the roll.
        0 => Registration {
            /// Contents.
            registration: Registration,
        },
        /// Invitations become valid.
        1 => InvitationBatch {
            /// Contents.
            batch: InvitationBatch,
        },
        /// Invitations are taken back.
        2 => InvitationRevoke {
            /// Contents.
            revoke: InvitationRevoke,
        },
        /// An election is opened.
        3 => Election {
            /// Contents.
            election: Election,
        },
        /// A vote is cast.
        4 => Vote {
            /// Contents.
            vote: Vote,
        },
        /// A trustee reveals a key.
        5 => Reveal {
            /// Contents.
            reveal: Reveal,
        },
        /// The finalisers change.
        6 => FinaliserChange {
            /// Contents.
            change: FinaliserChange,
        },
        /// A finaliser is convicted.
        7 => Equivocation {
            /// Contents.
            equivocation: Equivocation,
        },
    }
}

array_struct! {
    /// Anything that a block can hold.
    pub struct Transaction {
        /// The network it is for.
        pub network: NetworkTag,
        /// What it does.
        pub payload: Payload,
    }
}

impl Message for Transaction {
    const MAX_BYTES: usize = 60 * 1024;
}

impl Transaction {
    /// The transaction's identity.
    pub fn id(&self) -> TxId {
        Self::id_of(&wire::encode(self))
    }

    /// The identity of the transaction with this canonical encoding.
    pub fn id_of(encoded: &[u8]) -> TxId {
        TxId(hash(Context::TransactionId, encoded).to_bytes())
    }

    /// Its kind.
    pub fn kind(&self) -> Kind {
        match self.payload {
            Payload::Registration { .. } => Kind::Registration,
            Payload::InvitationBatch { .. } => Kind::InvitationBatch,
            Payload::InvitationRevoke { .. } => Kind::InvitationRevoke,
            Payload::Election { .. } => Kind::Election,
            Payload::Vote { .. } => Kind::Vote,
            Payload::Reveal { .. } => Kind::Reveal,
            Payload::FinaliserChange { .. } => Kind::FinaliserChange,
            Payload::Equivocation { .. } => Kind::Equivocation,
        }
    }
}

/// The kinds of transactions, in the order of their discriminants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// [`Registration`].
    Registration,
    /// [`InvitationBatch`].
    InvitationBatch,
    /// [`InvitationRevoke`].
    InvitationRevoke,
    /// [`Election`].
    Election,
    /// [`Vote`].
    Vote,
    /// [`Reveal`].
    Reveal,
    /// [`FinaliserChange`].
    FinaliserChange,
    /// [`Equivocation`].
    Equivocation,
}

impl Kind {
    /// All kinds, in the order of their discriminants.
    pub const ALL: [Self; 8] = [
        Self::Registration,
        Self::InvitationBatch,
        Self::InvitationRevoke,
        Self::Election,
        Self::Vote,
        Self::Reveal,
        Self::FinaliserChange,
        Self::Equivocation,
    ];

    /// The name in output and the API.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Registration => "registration",
            Self::InvitationBatch => "invitation_batch",
            Self::InvitationRevoke => "invitation_revoke",
            Self::Election => "election",
            Self::Vote => "vote",
            Self::Reveal => "reveal",
            Self::FinaliserChange => "finaliser_change",
            Self::Equivocation => "equivocation",
        }
    }
}
