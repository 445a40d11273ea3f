//! Checkpoints: who decides them, and the certificates that prove them decided.
//!
//! A network's finalisers decide checkpoints 1, 2, …, each the id of a block above the last. The genesis names the first
//! set of finalisers; a change that more than two thirds of its power sign makes the next. A certificate can be checked
//! with nothing but the genesis and the changes since.

mod follow;

use std::collections::BTreeSet;

use crate::chain::block::BlockId;
use crate::chain::genesis::{Finaliser, NetworkId, check_finalisers};
use crate::chain::network::Network;
use crate::chain::transaction::{Approval, Equivocation, FinaliserChange, FinalityMessage};
use crate::crypto::{Context, Hash, PublicKey, Signature, SigningKey, signing_digest};
use crate::wire::{Blob, List, Message, array_struct};

pub use follow::Checkpoints;

/// Most changes of the finalisers in a network's life: as many as a receipt can carry, so that whoever holds nothing but
/// the genesis can always follow them.
pub const MAX_CHANGES: u64 = 64;

/// The last round of a checkpoint. Every round takes at least a timeout, and none begins while a third of the power is
/// away, so that honest finalisers come nowhere near it; it bounds what a checkpoint that cannot be decided costs, and
/// what a liar can say.
pub const MAX_ROUND: u64 = 10_000;

array_struct! {
    /// Proof that the finalisers of a set decided a checkpoint.
    pub struct CommitCertificate {
        /// Number of the finaliser set.
        pub set: u64,
        /// Number of the checkpoint.
        pub checkpoint: u64,
        /// Round in which it was decided.
        pub round: u64,
        /// The decided block.
        pub block: BlockId,
        /// Precommits of distinct finalisers with more than two thirds of the power.
        pub precommits: List<Approval, 1, 64>,
    }
}

impl Message for CommitCertificate {
    const MAX_BYTES: usize = 8 * 1024;
}

array_struct! {
    /// A message of the consensus with its signer.
    pub struct SignedFinalityMessage {
        /// The finaliser.
        pub finaliser: PublicKey,
        /// What it says.
        pub message: FinalityMessage,
        /// Its signature, under [`FinalityMessage::context`].
        pub signature: Signature,
    }
}

impl FinalityMessage {
    /// The precommit for a block: what every signature of a certificate is over.
    pub fn precommit(checkpoint: u64, round: u64, block: &BlockId) -> Self {
        Self {
            kind: Self::PRECOMMIT,
            height: checkpoint,
            round,
            lock_round: 0,
            value: Blob::of(*block.as_bytes()),
        }
    }

    /// Whether it is one that the consensus knows: a kind that exists, a checkpoint from 1 on, a round up to
    /// [`MAX_ROUND`], a block (votes: or nil), and of proposals only a lock, of a round before.
    pub fn is_well_formed(&self) -> bool {
        let block_or_nil = matches!(self.value.len(), 0 | 32);
        let fits = match self.kind {
            Self::PROPOSAL => !self.value.is_empty() && self.lock_round <= self.round,
            Self::PREVOTE | Self::PRECOMMIT => self.lock_round == 0,
            _ => false,
        };
        self.height > 0 && self.round <= MAX_ROUND && block_or_nil && fits
    }

    /// The block that it is about; none for a vote for nil.
    pub fn block(&self) -> Option<BlockId> {
        let bytes: &[u8] = &self.value;
        bytes.try_into().ok().map(BlockId::from_bytes)
    }

    /// The digest that is signed.
    pub fn digest(&self, network: &NetworkId) -> Hash {
        signing_digest(self.context(), network.as_bytes(), &self.payload())
    }
}

impl SignedFinalityMessage {
    /// Signs a message.
    pub fn sign(key: &SigningKey, network: &NetworkId, message: FinalityMessage) -> Self {
        let signature = key.sign(message.context(), network.as_bytes(), &message.payload());
        Self {
            finaliser: key.public_key(),
            message,
            signature,
        }
    }

    /// What proves that the finaliser said this and the other, where there may be one of them; none if both can stand.
    /// The same whichever of them came first. Signatures and form are not looked at.
    pub fn contradicts(&self, other: &Self) -> Option<Equivocation> {
        let place = |signed: &Self| {
            let message = &signed.message;
            (
                signed.finaliser,
                message.kind,
                message.height,
                message.round,
            )
        };
        if place(self) != place(other) || self.message == other.message {
            return None;
        }
        let (first, second) = if self.message.payload() < other.message.payload() {
            (self, other)
        } else {
            (other, self)
        };
        Some(Equivocation {
            finaliser: first.finaliser,
            first: first.message.clone(),
            first_signature: first.signature,
            second: second.message.clone(),
            second_signature: second.signature,
        })
    }

    /// Whether the signature is that of the finaliser that it names.
    pub fn is_signed(&self, network: &NetworkId) -> bool {
        self.finaliser
            .verify(&self.message.digest(network), &self.signature)
    }
}

/// A set of finalisers and the power of each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FinaliserSet {
    number: u64,
    members: Vec<Finaliser>,
}

/// Why a certificate proves nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// It is not the next one.
    #[error("the certificate is of checkpoint {claimed}, and the next is checkpoint {expected}")]
    Number {
        /// The number in the certificate.
        claimed: u64,
        /// One more than the last one's.
        expected: u64,
    },
    /// It is for another block.
    #[error("the certificate is for another block")]
    Block,
    /// It names another set of finalisers.
    #[error("the certificate is by set {claimed} of finalisers, and set {expected} is in force")]
    OtherSet {
        /// The set that it names.
        claimed: u64,
        /// The set that it was held against.
        expected: u64,
    },
    /// The signatures are not sorted by key, or a key stands there twice.
    #[error("the certificate's signatures are not sorted by key, each key once")]
    Order,
    /// Somebody signed who is not in the set.
    #[error("the certificate has a signature by a key that is not in the set of finalisers")]
    Stranger,
    /// A signature does not fit.
    #[error("the certificate has a wrong signature")]
    Signature,
    /// Two thirds of the power or less.
    #[error("the certificate has the signatures of {power} of {total}, not more than two thirds")]
    Power {
        /// Power of those who signed.
        power: u64,
        /// Power of all.
        total: u64,
    },
}

/// Why a change does not make another set of finalisers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChangeError {
    /// The number is not one more than the present set's.
    #[error("the change makes set {claimed}, and the next is set {expected}")]
    Number {
        /// The number in the change.
        claimed: u64,
        /// One more than the present set's.
        expected: u64,
    },
    /// No set has this number.
    #[error("the change makes set {0}, and there are sets 0 to {MAX_CHANGES}")]
    Range(u64),
    /// The new set breaks a rule.
    #[error("the new set of finalisers: {0}")]
    Set(&'static str),
    /// The approvals are not sorted by key, or a key stands there twice.
    #[error("the change's approvals are not sorted by key, each key once")]
    Order,
    /// Somebody approved who is not in the present set.
    #[error("the change has an approval by a key that is not in the present set")]
    Stranger,
    /// An approval's signature does not fit.
    #[error("the change has an approval with a wrong signature")]
    Signature,
    /// Approved by two thirds of the power or less.
    #[error("the change has approvals of {power} of {total}, not more than two thirds")]
    Power {
        /// Power of those who approved.
        power: u64,
        /// Power of all.
        total: u64,
    },
}

impl FinaliserSet {
    /// The set that the genesis names: set 0. Nobody, where nobody finalises.
    pub fn genesis(network: &Network) -> Self {
        Self {
            number: 0,
            members: network.finalisers.iter().cloned().collect(),
        }
    }

    /// The set that a change makes, without asking whether it may.
    pub fn of_change(change: &FinaliserChange) -> Self {
        Self {
            number: change.set,
            members: change.finalisers.iter().cloned().collect(),
        }
    }

    /// The set after a change, if more than two thirds of this one's power approve it. For those who know nothing but
    /// the sets: what a transaction says of itself is checked again.
    pub fn after(
        &self,
        change: &FinaliserChange,
        network: &NetworkId,
    ) -> Result<Self, ChangeError> {
        check_change(change)?;
        self.entitles(change)?;
        let digest = change.digest(network);
        let signed = |approval: &Approval| approval.key.verify(&digest, &approval.signature);
        if change.approvals.iter().all(signed) {
            Ok(Self::of_change(change))
        } else {
            Err(ChangeError::Signature)
        }
    }

    /// Whether a change, itself checked and signed, is the next one and has the power of this set behind it.
    pub fn entitles(&self, change: &FinaliserChange) -> Result<(), ChangeError> {
        let expected = self.number + 1;
        if change.set != expected {
            return Err(ChangeError::Number {
                claimed: change.set,
                expected,
            });
        }
        let keys = change.approvals.iter().map(|approval| &approval.key);
        let power = self.power_of(keys).ok_or(ChangeError::Stranger)?;
        if self.is_quorum(power) {
            Ok(())
        } else {
            Err(ChangeError::Power {
                power,
                total: self.total(),
            })
        }
    }

    /// Its number; the genesis holds set 0.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Its members, in the order of the genesis or the change.
    pub fn members(&self) -> &[Finaliser] {
        &self.members
    }

    /// The member with this key.
    pub fn member(&self, key: &PublicKey) -> Option<&Finaliser> {
        self.members.iter().find(|member| member.key == *key)
    }

    /// The power of all members. Genesis and changes bound it, so that three times it fits.
    pub fn total(&self) -> u64 {
        self.members.iter().map(|member| member.power).sum()
    }

    /// Whether this is more than two thirds of the power: enough to decide.
    pub fn is_quorum(&self, power: u64) -> bool {
        3 * power > 2 * self.total()
    }

    /// Whether this is more than one third of the power: some of it is honest, if less than a third is not.
    pub fn has_honest(&self, power: u64) -> bool {
        3 * power > self.total()
    }

    /// The power of these members together; none if one is not in the set. A key counts each time that it is named.
    fn power_of<'a>(&self, keys: impl Iterator<Item = &'a PublicKey>) -> Option<u64> {
        keys.map(|key| self.member(key).map(|member| member.power))
            .sum()
    }

    /// Checks that this set decided what the certificate says.
    pub fn check(
        &self,
        network: &NetworkId,
        certificate: &CommitCertificate,
    ) -> Result<(), CertificateError> {
        if certificate.set != self.number {
            return Err(CertificateError::OtherSet {
                claimed: certificate.set,
                expected: self.number,
            });
        }
        let precommits = &certificate.precommits;
        if !precommits.is_sorted_by(|a, b| a.key < b.key) {
            return Err(CertificateError::Order);
        }
        let power = self
            .power_of(precommits.iter().map(|precommit| &precommit.key))
            .ok_or(CertificateError::Stranger)?;
        if !self.is_quorum(power) {
            return Err(CertificateError::Power {
                power,
                total: self.total(),
            });
        }
        let message = FinalityMessage::precommit(
            certificate.checkpoint,
            certificate.round,
            &certificate.block,
        );
        let digest = message.digest(network);
        let signed = |precommit: &Approval| precommit.key.verify(&digest, &precommit.signature);
        if precommits.iter().all(signed) {
            Ok(())
        } else {
            Err(CertificateError::Signature)
        }
    }
}

impl FinaliserChange {
    /// The digest that each present finaliser signs.
    pub fn digest(&self, network: &NetworkId) -> Hash {
        signing_digest(
            Context::SignFinaliserChange,
            network.as_bytes(),
            &self.payload(),
        )
    }
}

/// Checks what a change says of itself, but for the signatures: its number, the order of the approvals and the new set.
pub fn check_change(change: &FinaliserChange) -> Result<(), ChangeError> {
    check_change_shape(change)?;
    check_finalisers(&change.finalisers).map_err(|error| ChangeError::Set(error.rule))
}

/// What of [`check_change`] takes no arithmetic on curves.
pub fn check_change_shape(change: &FinaliserChange) -> Result<(), ChangeError> {
    if !(1..=MAX_CHANGES).contains(&change.set) {
        return Err(ChangeError::Range(change.set));
    }
    if change.approvals.is_sorted_by(|a, b| a.key < b.key) {
        Ok(())
    } else {
        Err(ChangeError::Order)
    }
}

/// Whoever signed both of two certificates that no chain contains both: more than a third of the power, or the
/// certificates are by different sets.
pub fn signers_of_both(
    first: &CommitCertificate,
    second: &CommitCertificate,
) -> BTreeSet<PublicKey> {
    let keys = |certificate: &CommitCertificate| -> BTreeSet<PublicKey> {
        certificate.precommits.iter().map(|p| p.key).collect()
    };
    &keys(first) & &keys(second)
}

#[cfg(test)]
mod tests;
