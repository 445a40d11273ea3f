//! What was heard about one checkpoint: bounded per finaliser, so that one who talks without end takes nobody's room.
//!
//! Messages in here are well-formed, by members of the set, and their signatures were checked. A finaliser that says two
//! things at one place is a liar, and both count: one may be what convinced the others.

use std::collections::BTreeMap;

use crate::chain::block::BlockId;
use crate::chain::checkpoint::{CommitCertificate, FinaliserSet, SignedFinalityMessage};
use crate::chain::transaction::{Approval, Equivocation, FinalityMessage};
use crate::crypto::PublicKey;
use crate::protocol::finality::MAX_MESSAGES;
use crate::wire::List;

/// Places kept of one finaliser: ten rounds and some. Honest ones are in the same round or the next.
const MAX_PER_FINALISER: usize = 32;
/// Versions kept of what a finaliser says at one place: two prove that it lies.
const VERSIONS: usize = 2;
/// The same of a prevote that a proposal builds on: two others must not hide it.
const VERSIONS_NEEDED: usize = 4;

/// What a message is to what was heard before.
#[derive(Debug, PartialEq)]
pub(super) enum Heard {
    /// Something new.
    New,
    /// The same again.
    Known,
    /// The finaliser said something else at this place: the proof.
    Conflict(Box<Equivocation>),
    /// Too far from everything else that this finaliser said, or one version too many.
    Ignored,
}

/// Place of a message within a checkpoint: round and kind.
type Place = (u64, u8);

fn place_of(message: &SignedFinalityMessage) -> Place {
    (message.message.round, message.message.kind)
}

/// The messages about one checkpoint.
#[derive(Clone, Debug)]
pub(super) struct Votes {
    checkpoint: u64,
    /// What each said, in the order in which it came.
    said: BTreeMap<PublicKey, BTreeMap<Place, Vec<SignedFinalityMessage>>>,
}

impl Votes {
    pub(super) fn new(checkpoint: u64) -> Self {
        Self {
            checkpoint,
            said: BTreeMap::new(),
        }
    }

    pub(super) fn checkpoint(&self) -> u64 {
        self.checkpoint
    }

    pub(super) fn is_empty(&self) -> bool {
        self.said.is_empty()
    }

    fn all(&self) -> impl Iterator<Item = &SignedFinalityMessage> {
        self.said.values().flat_map(BTreeMap::values).flatten()
    }

    fn at(&self, message: &SignedFinalityMessage) -> &[SignedFinalityMessage] {
        let said = self.said.get(&message.finaliser);
        said.and_then(|said| said.get(&place_of(message)))
            .map_or(&[], Vec::as_slice)
    }

    /// Whether exactly this message was heard before: then its signature need not be looked at.
    pub(super) fn knows(&self, message: &SignedFinalityMessage) -> bool {
        self.at(message).contains(message)
    }

    /// Whether a message would be kept.
    pub(super) fn wants(&self, message: &SignedFinalityMessage) -> bool {
        let versions = self.at(message);
        if versions.is_empty() {
            let said = self.said.get(&message.finaliser);
            let full = said.filter(|said| said.len() >= MAX_PER_FINALISER);
            let lowest = full.and_then(BTreeMap::first_key_value);
            return lowest.is_none_or(|(lowest, _)| *lowest < place_of(message));
        }
        let known = versions
            .iter()
            .any(|known| known.message == message.message);
        let room = versions.len() < VERSIONS
            || versions.len() < VERSIONS_NEEDED && self.is_built_on(&message.message);
        !known && room
    }

    /// Whether it is a prevote that a proposal builds on.
    fn is_built_on(&self, said: &FinalityMessage) -> bool {
        let locked = said.round.saturating_add(1);
        said.kind == FinalityMessage::PREVOTE
            && said.block().is_some()
            && self.all().any(|other| {
                let other = &other.message;
                other.kind == FinalityMessage::PROPOSAL
                    && other.lock_round == locked
                    && other.value == said.value
            })
    }

    /// Takes a message in.
    pub(super) fn hear(&mut self, message: SignedFinalityMessage) -> Heard {
        if !self.wants(&message) {
            let versions = self.at(&message);
            let known = versions
                .iter()
                .any(|known| known.message == message.message);
            return if known { Heard::Known } else { Heard::Ignored };
        }
        let place = place_of(&message);
        let said = self.said.entry(message.finaliser).or_default();
        if !said.contains_key(&place) && said.len() >= MAX_PER_FINALISER {
            // Of old rounds only what a lock may rest on matters, and that is with the consensus itself.
            said.pop_first();
        }
        let versions = said.entry(place).or_default();
        versions.push(message);
        match versions.as_slice() {
            [first, second] => match first.contradicts(second) {
                Some(proof) => Heard::Conflict(Box::new(proof)),
                None => Heard::New,
            },
            _ => Heard::New,
        }
    }

    /// The certificate, if more than two thirds of the power precommit this block in this round.
    pub(super) fn certificate(
        &self,
        set: &FinaliserSet,
        round: u64,
        block: &BlockId,
    ) -> Option<CommitCertificate> {
        let place = (round, FinalityMessage::PRECOMMIT);
        // In the order of the keys, as the certificate has to be.
        let precommits: Vec<Approval> = self
            .said
            .iter()
            .filter_map(|(key, said)| {
                let mut versions = said.get(&place)?.iter();
                let vote = versions.find(|vote| vote.message.block() == Some(*block))?;
                Some(Approval {
                    key: *key,
                    signature: vote.signature,
                })
            })
            .collect();
        let power = precommits
            .iter()
            .filter_map(|precommit| set.member(&precommit.key))
            .map(|member| member.power)
            .sum();
        if !set.is_quorum(power) {
            return None;
        }
        Some(CommitCertificate {
            set: set.number(),
            checkpoint: self.checkpoint,
            round,
            block: *block,
            precommits: List::new(precommits).ok()?,
        })
    }

    /// Power of those who said anything.
    pub(super) fn power(&self, set: &FinaliserSet) -> u64 {
        self.said
            .keys()
            .filter_map(|key| set.member(key))
            .map(|member| member.power)
            .sum()
    }

    /// Who said anything in this round or a later one.
    pub(super) fn present(&self, round: u64) -> impl Iterator<Item = &PublicKey> {
        self.said
            .iter()
            .filter(move |(_, said)| said.range((round, 0)..).next().is_some())
            .map(|(key, _)| key)
    }

    /// The latest round that more than a third of the power has reached, as far as it was heard: a liar alone can name
    /// any.
    pub(super) fn round(&self, set: &FinaliserSet) -> u64 {
        let mut reached: Vec<(u64, u64)> = self
            .said
            .iter()
            .filter_map(|(key, said)| {
                let ((round, _), _) = said.last_key_value()?;
                Some((*round, set.member(key)?.power))
            })
            .collect();
        reached.sort_unstable_by(|a, b| b.cmp(a));
        let mut power = 0;
        let round = reached.into_iter().find(|(_, theirs)| {
            power += theirs;
            set.has_honest(power)
        });
        round.map_or(0, |(round, _)| round)
    }

    /// What others may lack, the latest rounds first.
    pub(super) fn to_serve(&self) -> Vec<SignedFinalityMessage> {
        let mut messages: Vec<&SignedFinalityMessage> = self.all().collect();
        messages.sort_by_key(|message| {
            let (round, kind) = place_of(message);
            (std::cmp::Reverse(round), kind, message.finaliser)
        });
        messages.into_iter().take(MAX_MESSAGES).cloned().collect()
    }

    /// Every message, to hand it on.
    pub(super) fn into_messages(self) -> impl Iterator<Item = SignedFinalityMessage> {
        self.said
            .into_values()
            .flat_map(BTreeMap::into_values)
            .flatten()
    }

    /// How many messages are kept.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.all().count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chain::testing::{finalising_network, prevote};

    #[test]
    fn the_round_is_one_that_somebody_honest_is_in() {
        let network = finalising_network();
        let set = FinaliserSet::genesis(&network);
        let mut votes = Votes::new(1);
        assert_eq!(votes.round(&set), 0);
        for (number, round) in [(1, 10_000), (2, 3), (3, 2)] {
            votes.hear(prevote(&network, number, 1, round, 0));
        }
        assert_eq!(votes.round(&set), 3);
        votes.hear(prevote(&network, 4, 1, 4, 0));
        assert_eq!(votes.round(&set), 4);
    }
}
