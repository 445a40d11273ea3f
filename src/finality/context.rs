//! Our types as the consensus core wants to see them.
//!
//! The core is generic over a context: what a height, a value, a vote and a validator are. Here a height is the number
//! of a checkpoint, a value a block's id (which is its own id: blocks travel elsewhere), an address a finaliser's key.
//! What is signed is a [`FinalityMessage`]; this file translates between it and the core's view of it, and nothing
//! outside the module ever sees the latter.

use std::fmt;
use std::sync::Arc;

use arc_malachitebft_core_types as core;
use core::{NilOrVal, Round, SignedExtension, VoteType};

use super::proposer;
use crate::chain::block::BlockId;
use crate::chain::checkpoint::{FinaliserSet, SignedFinalityMessage};
use crate::chain::genesis::Finaliser;
use crate::chain::transaction::FinalityMessage;
use crate::crypto::{PublicKey, Signature};
use crate::wire::Blob;

/// The context.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ctx;

/// The number of a checkpoint, as a height.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Checkpoint(pub u64);

impl fmt::Display for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl core::Height for Checkpoint {
    const ZERO: Self = Self(0);
    const INITIAL: Self = Self(1);

    fn increment_by(&self, n: u64) -> Self {
        Self(self.0.saturating_add(n))
    }

    fn decrement_by(&self, n: u64) -> Option<Self> {
        self.0.checked_sub(n).map(Self)
    }

    fn as_u64(&self) -> u64 {
        self.0
    }
}

impl core::Address for PublicKey {}

impl core::Value for BlockId {
    type Id = Self;

    fn id(&self) -> Self {
        *self
    }
}

impl core::Validator<Ctx> for Finaliser {
    fn address(&self) -> &PublicKey {
        &self.key
    }

    fn public_key(&self) -> &PublicKey {
        &self.key
    }

    fn voting_power(&self) -> u64 {
        self.power
    }
}

/// A set of finalisers, sorted by key and never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Members(Arc<[Finaliser]>);

impl Members {
    /// The members of a set; nothing if it has none.
    pub(super) fn new(set: &FinaliserSet) -> Option<Self> {
        let mut members = set.members().to_vec();
        members.sort_by_key(|member| member.key);
        (!members.is_empty()).then(|| Self(members.into()))
    }

    /// Who proposes in a round.
    pub(super) fn proposer(&self, checkpoint: u64, round: u64) -> &Finaliser {
        proposer::select(&self.0, checkpoint, round)
    }

    /// Whether the sender of a message is a member and, for a proposal, the one whose turn it is.
    pub(super) fn may_say(&self, message: &SignedFinalityMessage) -> bool {
        let (sender, said) = (&message.finaliser, &message.message);
        if said.kind == FinalityMessage::PROPOSAL {
            self.proposer(said.height, said.round).key == *sender
        } else {
            core::ValidatorSet::get_by_address(self, sender).is_some()
        }
    }
}

impl core::ValidatorSet<Ctx> for Members {
    fn count(&self) -> usize {
        self.0.len()
    }

    fn total_voting_power(&self) -> u64 {
        self.0.iter().map(|member| member.power).sum()
    }

    fn get_by_address(&self, address: &PublicKey) -> Option<&Finaliser> {
        let at = self.0.binary_search_by_key(address, |member| member.key);
        at.ok().and_then(|at| self.0.get(at))
    }

    fn get_by_index(&self, index: usize) -> Option<&Finaliser> {
        self.0.get(index)
    }
}

/// A proposal, and who makes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Proposal {
    proposer: PublicKey,
    height: Checkpoint,
    round: Round,
    pol_round: Round,
    block: BlockId,
}

impl core::Proposal<Ctx> for Proposal {
    fn height(&self) -> Checkpoint {
        self.height
    }

    fn round(&self) -> Round {
        self.round
    }

    fn value(&self) -> &BlockId {
        &self.block
    }

    fn take_value(self) -> BlockId {
        self.block
    }

    fn pol_round(&self) -> Round {
        self.pol_round
    }

    fn validator_address(&self) -> &PublicKey {
        &self.proposer
    }
}

/// A proposal's body travels as a block, never in parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum NoPart {}

impl core::ProposalPart<Ctx> for NoPart {
    fn is_first(&self) -> bool {
        match *self {}
    }

    fn is_last(&self) -> bool {
        match *self {}
    }
}

/// A prevote or precommit, and who casts it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Vote {
    voter: PublicKey,
    kind: VoteType,
    height: Checkpoint,
    round: Round,
    value: NilOrVal<BlockId>,
}

impl core::Vote<Ctx> for Vote {
    fn height(&self) -> Checkpoint {
        self.height
    }

    fn round(&self) -> Round {
        self.round
    }

    fn value(&self) -> &NilOrVal<BlockId> {
        &self.value
    }

    fn take_value(self) -> NilOrVal<BlockId> {
        self.value
    }

    fn vote_type(&self) -> VoteType {
        self.kind
    }

    fn validator_address(&self) -> &PublicKey {
        &self.voter
    }

    fn extension(&self) -> Option<&SignedExtension<Ctx>> {
        None
    }

    fn take_extension(&mut self) -> Option<SignedExtension<Ctx>> {
        None
    }

    fn extend(self, _: SignedExtension<Ctx>) -> Self {
        self
    }
}

/// Ed25519, as far as the core has to know: it only carries signatures about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Scheme;

/// Bytes of the wrong length.
const LENGTH: &str = "wrong length";

impl core::SigningScheme for Scheme {
    type DecodingError = &'static str;
    type Signature = Signature;
    type PublicKey = PublicKey;
    // Signing is an effect; no private key is ever shown to the core.
    type PrivateKey = ();

    fn decode_signature(bytes: &[u8]) -> Result<Signature, &'static str> {
        let bytes = bytes.try_into().map_err(|_| LENGTH)?;
        Ok(Signature::from_bytes(bytes))
    }

    fn encode_signature(signature: &Signature) -> Vec<u8> {
        signature.to_bytes().to_vec()
    }

    fn decode_public_key(bytes: &[u8]) -> Result<PublicKey, &'static str> {
        let bytes = bytes.try_into().map_err(|_| LENGTH)?;
        Ok(PublicKey::from_bytes(bytes))
    }

    fn encode_public_key(key: &PublicKey) -> Vec<u8> {
        key.to_bytes().to_vec()
    }
}

impl core::Context for Ctx {
    type Address = PublicKey;
    type Height = Checkpoint;
    type ProposalPart = NoPart;
    type Proposal = Proposal;
    type Validator = Finaliser;
    type ValidatorSet = Members;
    type Timeouts = core::LinearTimeouts;
    type Value = BlockId;
    type Vote = Vote;
    type Extension = ();
    type SigningScheme = Scheme;

    fn select_proposer<'a>(
        &self,
        members: &'a Members,
        height: Checkpoint,
        round: Round,
    ) -> &'a Finaliser {
        members.proposer(height.0, number(round).unwrap_or(0))
    }

    fn new_proposal(
        &self,
        height: Checkpoint,
        round: Round,
        block: BlockId,
        pol_round: Round,
        proposer: PublicKey,
    ) -> Proposal {
        Proposal {
            proposer,
            height,
            round,
            pol_round,
            block,
        }
    }

    fn new_prevote(
        &self,
        height: Checkpoint,
        round: Round,
        value: NilOrVal<BlockId>,
        voter: PublicKey,
    ) -> Vote {
        Vote {
            voter,
            kind: VoteType::Prevote,
            height,
            round,
            value,
        }
    }

    fn new_precommit(
        &self,
        height: Checkpoint,
        round: Round,
        value: NilOrVal<BlockId>,
        voter: PublicKey,
    ) -> Vote {
        Vote {
            voter,
            kind: VoteType::Precommit,
            height,
            round,
            value,
        }
    }
}

/// The number of a round; nothing for the core's round −1.
pub(super) fn number(round: Round) -> Option<u64> {
    round.as_u32().map(u64::from)
}

/// A round's number as the core's. Rounds are bounded far below its limit before they come here.
pub(super) fn round(number: u64) -> Round {
    u32::try_from(number).map_or(Round::Nil, Round::new)
}

/// A message as the core takes it.
pub(super) enum Signed {
    Proposal(core::SignedProposal<Ctx>),
    Vote(core::SignedVote<Ctx>),
}

/// Translates a message that [`is_well_formed`](FinalityMessage::is_well_formed).
pub(super) fn signed(message: &SignedFinalityMessage) -> Option<Signed> {
    let said = &message.message;
    let height = Checkpoint(said.height);
    let kind = match said.kind {
        FinalityMessage::PROPOSAL => {
            let proposal = Proposal {
                proposer: message.finaliser,
                height,
                round: round(said.round),
                pol_round: said.lock_round.checked_sub(1).map_or(Round::Nil, round),
                block: said.block()?,
            };
            let signed = core::SignedMessage::new(proposal, message.signature);
            return Some(Signed::Proposal(signed));
        }
        FinalityMessage::PREVOTE => VoteType::Prevote,
        FinalityMessage::PRECOMMIT => VoteType::Precommit,
        _ => return None,
    };
    let vote = Vote {
        voter: message.finaliser,
        kind,
        height,
        round: round(said.round),
        value: said.block().map_or(NilOrVal::Nil, NilOrVal::Val),
    };
    let signed = core::SignedMessage::new(vote, message.signature);
    Some(Signed::Vote(signed))
}

impl Vote {
    /// Who casts it.
    pub(super) fn voter(&self) -> PublicKey {
        self.voter
    }

    /// What the voter signs.
    pub(super) fn message(&self) -> FinalityMessage {
        FinalityMessage {
            kind: match self.kind {
                VoteType::Prevote => FinalityMessage::PREVOTE,
                VoteType::Precommit => FinalityMessage::PRECOMMIT,
            },
            height: self.height.0,
            round: number(self.round).unwrap_or(0),
            lock_round: 0,
            value: match self.value {
                NilOrVal::Nil => Blob::of([]),
                NilOrVal::Val(block) => Blob::of(block.to_bytes()),
            },
        }
    }

    /// With its signature, as it travels.
    pub(super) fn with(&self, signature: Signature) -> SignedFinalityMessage {
        SignedFinalityMessage {
            finaliser: self.voter,
            message: self.message(),
            signature,
        }
    }
}

impl Proposal {
    /// What the proposer signs.
    pub(super) fn message(&self) -> FinalityMessage {
        FinalityMessage {
            kind: FinalityMessage::PROPOSAL,
            height: self.height.0,
            round: number(self.round).unwrap_or(0),
            lock_round: number(self.pol_round).map_or(0, |round| round + 1),
            value: Blob::of(self.block.to_bytes()),
        }
    }

    /// With its signature, as it travels.
    pub(super) fn with(&self, signature: Signature) -> SignedFinalityMessage {
        SignedFinalityMessage {
            finaliser: self.proposer,
            message: self.message(),
            signature,
        }
    }
}
