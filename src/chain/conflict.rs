//! What transactions use up: of two that use up the same, only the first can be mined.
//!
//! A pool that keeps one transaction per key never holds two that exclude each other, whatever their ids: a twin with
//! another stamp or signature has the same keys.

use crate::chain::election::ElectionId;
use crate::chain::state::VoterTag;
use crate::chain::transaction::{Admission, Credential, Payload, Transaction};
use crate::crypto::PublicKey;

/// Something that exists once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ConflictKey {
    /// A voter key's place on the roll.
    Registration(PublicKey),
    /// An invitation's being issued.
    Issue(PublicKey),
    /// An invitation's being spent or revoked.
    Use(PublicKey),
    /// An election's being opened.
    Election(ElectionId),
    /// A voter's vote in an election.
    Vote(ElectionId, VoterTag),
    /// The number of a set of finalisers.
    FinaliserSet(u64),
    /// The conviction of a finaliser.
    Conviction(PublicKey),
}

/// What a transaction uses up. Kinds that this release refuses use up nothing.
pub fn conflict_keys(transaction: &Transaction) -> Vec<ConflictKey> {
    match &transaction.payload {
        Payload::Registration { registration } => {
            let mut keys = vec![ConflictKey::Registration(registration.voter)];
            if let Admission::Invited { invitation, .. } = &registration.admission {
                keys.push(ConflictKey::Use(*invitation));
            }
            keys
        }
        Payload::InvitationBatch { batch } => {
            batch.keys.iter().copied().map(ConflictKey::Issue).collect()
        }
        Payload::InvitationRevoke { revoke } => {
            revoke.keys.iter().copied().map(ConflictKey::Use).collect()
        }
        Payload::Election { election } => vec![ConflictKey::Election(election.id())],
        Payload::Vote { vote } => {
            let voter = match &vote.credential {
                Credential::Pseudonymous { voter, .. } => VoterTag::Key(*voter),
                Credential::Anonymous { tag, .. } => VoterTag::Link(*tag),
            };
            vec![ConflictKey::Vote(vote.election, voter)]
        }
        Payload::FinaliserChange { change } => vec![ConflictKey::FinaliserSet(change.set)],
        Payload::Equivocation { equivocation } => {
            vec![ConflictKey::Conviction(equivocation.finaliser)]
        }
        Payload::Reveal { .. } => Vec::new(),
    }
}
