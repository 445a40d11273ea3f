//! What was heard about one checkpoint: bounded per finaliser, so that one who talks without end takes nobody's room.
//!
//! Messages in here are well-formed, by members of the set, and their signatures were checked.

use std::collections::{BTreeMap, BTreeSet};

use crate::chain::block::BlockId;
use crate::chain::checkpoint::{CommitCertificate, FinaliserSet, SignedFinalityMessage};
use crate::chain::transaction::{Approval, Equivocation, FinalityMessage};
use crate::crypto::PublicKey;
use crate::protocol::finality::MAX_MESSAGES;
use crate::wire::List;

/// Messages kept of one finaliser: ten rounds and some. Honest ones are in the same round or the next.
const MAX_PER_FINALISER: usize = 32;

/// Contradictions that are remembered, of all finalisers.
const MAX_CONTRADICTED: usize = 1_024;

/// What a message is to what was heard before.
#[derive(Debug, PartialEq)]
pub(super) enum Heard {
    /// Something new.
    New,
    /// The same again.
    Known,
    /// The finaliser said something else at this place: the proof.
    Conflict(Box<Equivocation>),
    /// Too far from everything else that this finaliser said.
    Ignored,
}

/// Place of a message within a checkpoint: round and kind.
type Place = (u64, u8);

/// The messages about one checkpoint.
#[derive(Clone, Debug)]
pub(super) struct Votes {
    checkpoint: u64,
    said: BTreeMap<PublicKey, BTreeMap<Place, SignedFinalityMessage>>,
    /// Where a finaliser contradicted itself: further versions say nothing new.
    contradicted: BTreeSet<(PublicKey, Place)>,
}

impl Votes {
    pub(super) fn new(checkpoint: u64) -> Self {
        Self {
            checkpoint,
            said: BTreeMap::new(),
            contradicted: BTreeSet::new(),
        }
    }

    pub(super) fn checkpoint(&self) -> u64 {
        self.checkpoint
    }

    pub(super) fn is_empty(&self) -> bool {
        self.said.is_empty()
    }

    /// Whether exactly this message was heard before: then its signature need not be looked at.
    pub(super) fn knows(&self, message: &SignedFinalityMessage) -> bool {
        self.at(message).is_some_and(|known| known == message)
    }

    /// Whether nothing that this finaliser says at this place is of use any more: it was caught there.
    pub(super) fn is_contradicted(&self, message: &SignedFinalityMessage) -> bool {
        let place = (message.message.round, message.message.kind);
        self.contradicted.contains(&(message.finaliser, place))
    }

    fn at(&self, message: &SignedFinalityMessage) -> Option<&SignedFinalityMessage> {
        let place = (message.message.round, message.message.kind);
        self.said.get(&message.finaliser)?.get(&place)
    }

    /// Takes a message in.
    pub(super) fn hear(&mut self, message: SignedFinalityMessage) -> Heard {
        if let Some(known) = self.at(&message) {
            return if known.message == message.message {
                Heard::Known
            } else if self.is_contradicted(&message) || self.contradicted.len() >= MAX_CONTRADICTED
            {
                Heard::Ignored
            } else {
                let known = known.clone();
                let place = (message.message.round, message.message.kind);
                self.contradicted.insert((message.finaliser, place));
                match message.contradicts(&known) {
                    Some(proof) => Heard::Conflict(Box::new(proof)),
                    None => Heard::Ignored,
                }
            };
        }
        let place = (message.message.round, message.message.kind);
        let said = self.said.entry(message.finaliser).or_default();
        if said.len() >= MAX_PER_FINALISER {
            // Of old rounds only what a lock may rest on matters, and that is with the consensus itself.
            match said.first_key_value() {
                Some((lowest, _)) if *lowest < place => said.pop_first(),
                _ => return Heard::Ignored,
            };
        }
        said.insert(place, message);
        Heard::New
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
            .filter_map(|(key, said)| Some((key, said.get(&place)?)))
            .filter(|(_, said)| said.message.block() == Some(*block))
            .map(|(key, said)| Approval {
                key: *key,
                signature: said.signature,
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

    /// Whether more than two thirds of the power prevoted for this block in some round.
    pub(super) fn has_polka(&self, set: &FinaliserSet, block: &BlockId) -> bool {
        let mut rounds: BTreeMap<u64, u64> = BTreeMap::new();
        for (key, said) in &self.said {
            let power = set.member(key).map_or(0, |member| member.power);
            for ((round, kind), message) in said {
                if *kind == FinalityMessage::PREVOTE && message.message.block() == Some(*block) {
                    *rounds.entry(*round).or_default() += power;
                }
            }
        }
        rounds.values().any(|power| set.is_quorum(*power))
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

    /// The latest round that anything was heard of.
    pub(super) fn round(&self) -> u64 {
        self.said
            .values()
            .filter_map(|said| said.last_key_value())
            .map(|((round, _), _)| *round)
            .max()
            .unwrap_or(0)
    }

    /// What others may lack, the latest rounds first.
    pub(super) fn to_serve(&self) -> Vec<SignedFinalityMessage> {
        let mut messages: Vec<(Place, &SignedFinalityMessage)> = self
            .said
            .values()
            .flat_map(|said| said.iter().map(|(place, message)| (*place, message)))
            .collect();
        messages.sort_by_key(|((round, kind), message)| {
            (std::cmp::Reverse(*round), *kind, message.finaliser)
        });
        messages
            .into_iter()
            .take(MAX_MESSAGES)
            .map(|(_, message)| message.clone())
            .collect()
    }

    /// Every message, to hand it on.
    pub(super) fn into_messages(self) -> impl Iterator<Item = SignedFinalityMessage> {
        self.said.into_values().flat_map(BTreeMap::into_values)
    }
}
