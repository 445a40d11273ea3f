//! What was said about the last few checkpoints that are decided.
//!
//! It decides nothing any more. But whoever said one thing to some and another to others may be found out only now: a
//! version that comes late is held against the one that was heard in time, and against the certificate, whose signatures
//! are precommits too.

use std::collections::VecDeque;

use super::votes::{Heard, Votes};
use crate::chain::checkpoint::{CommitCertificate, FinaliserSet, SignedFinalityMessage};
use crate::chain::state::View as _;
use crate::chain::transaction::{Equivocation, FinalityMessage};
use crate::store::{Snapshot, StoreError};

/// Checkpoints that are remembered. One takes about as long as a block, and a message is on its way for seconds at most:
/// gossip forgets it then, and peers are asked about the checkpoint under way alone.
pub const MAX_PAST: usize = 8;

/// A checkpoint that is decided.
struct Decided {
    /// Who decided it.
    set: FinaliserSet,
    votes: Votes,
}

/// The last checkpoints, oldest first.
#[derive(Default)]
pub(super) struct Past(VecDeque<Decided>);

impl Past {
    /// The certificates of the last checkpoints: all that a store keeps of what was said.
    pub(super) fn load(snapshot: &Snapshot) -> Result<Self, StoreError> {
        let mut past = Self::default();
        let Some(last) = snapshot.last_certificate()? else {
            return Ok(past);
        };
        let last = last.certificate.checkpoint;
        let first = last.saturating_sub(MAX_PAST as u64 - 1).max(1);
        let state = snapshot.state();
        for number in first..=last {
            let Some(kept) = snapshot.certificate(number)? else {
                continue;
            };
            let set = state
                .finaliser_set(snapshot.network(), kept.certificate.set)
                .map_err(|error| StoreError::Corrupt(error.to_string()))?;
            if let Some(set) = set {
                past.add(set, Votes::new(number), &kept.certificate);
            }
        }
        Ok(past)
    }

    /// A checkpoint is decided: keeps what was heard about it. Gives the proofs that the certificate makes.
    pub(super) fn add(
        &mut self,
        set: FinaliserSet,
        mut votes: Votes,
        certificate: &CommitCertificate,
    ) -> Vec<Equivocation> {
        let message = FinalityMessage::precommit(
            certificate.checkpoint,
            certificate.round,
            &certificate.block,
        );
        let mut proofs = Vec::new();
        for precommit in certificate.precommits.iter() {
            let heard = votes.hear(SignedFinalityMessage {
                finaliser: precommit.key,
                message: message.clone(),
                signature: precommit.signature,
            });
            if let Heard::Conflict(proof) = heard {
                proofs.push(*proof);
            }
        }
        if self.0.len() >= MAX_PAST {
            self.0.pop_front();
        }
        self.0.push_back(Decided { set, votes });
        proofs
    }

    /// What was said about a checkpoint, if it is remembered and this is by one of those who decided it.
    pub(super) fn about(&mut self, message: &SignedFinalityMessage) -> Option<&mut Votes> {
        let decided = self
            .0
            .iter_mut()
            .find(|decided| decided.votes.checkpoint() == message.message.height)?;
        let member = decided.set.member(&message.finaliser);
        member.is_some().then_some(&mut decided.votes)
    }

    /// How many messages are kept of each.
    #[cfg(test)]
    pub(super) fn lens(&self) -> Vec<usize> {
        self.0.iter().map(|decided| decided.votes.len()).collect()
    }
}
