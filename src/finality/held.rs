//! The messages of one checkpoint that a finaliser holds: to count them itself, and to hand them to whoever lacks them.
//!
//! The core counts votes too, but takes the first vote of everybody alone. A liar who tells different things to
//! different finalisers could so hide from one what convinced another, and the messages of a liar who is caught are
//! still votes. Here both are kept, each counts for its own block, and what the core missed is given to it as a
//! certificate. Counting twice also makes the [`Guard`](super::Guard)'s proofs independent of the core.
//!
//! Memory is bounded whatever is sent: two messages per sender, kind and round, and such others as a proposal at hand
//! builds on; rounds in a window around the current
//! one, the few before it that a lock needs, and [`FAR_ROUNDS`] beyond it per sender. Whose signature a message bears
//! was checked before it comes here.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use crate::chain::block::BlockId;
use crate::chain::checkpoint::{CommitCertificate, FinaliserSet, SignedFinalityMessage};
use crate::chain::transaction::{Approval, Equivocation, FinalityMessage};
use crate::crypto::PublicKey;
use crate::wire::List;

/// How far above its own round the core takes messages.
pub(super) const AHEAD: u64 = arc_malachitebft_core_consensus::MAX_FUTURE_ROUND_LOOKAHEAD as u64;

/// Rounds below the current one whose messages are kept: votes that were under way when it began.
const BEHIND: u64 = 4;

/// Rounds beyond [`AHEAD`] that are kept per sender, its highest: enough to notice that a third of the power is there,
/// and all that a liar can fill.
pub(super) const FAR_ROUNDS: usize = 2;

/// Different messages kept of one sender, kind and round: two prove that it lies.
const VERSIONS: usize = 2;

/// Convictions per finaliser and checkpoint. The chain takes one; the rest is for whoever studies what went wrong.
const CONVICTIONS: usize = 8;

/// Most messages that are handed to somebody at once: what one payload holds.
pub const MAX_HELD_MESSAGES: usize = 128;

/// What became of a message.
pub(super) enum Taken {
    /// It is new.
    New,
    /// It is new and contradicts another of the same sender.
    Convicts(Box<Equivocation>),
    /// It is there already, or there is no room for it.
    Ignored,
}

/// Whether there is room for a message.
enum Room {
    /// There is none.
    None,
    /// There is.
    Free,
    /// There is, where the sender's messages of this far round were.
    InPlaceOf(u64),
}

/// A message, and whether the core has had it.
#[derive(Debug)]
struct Kept {
    message: SignedFinalityMessage,
    fed: bool,
}

/// By kind, then sender.
type Round = BTreeMap<(u8, PublicKey), Vec<Kept>>;

/// The keys of all messages of a kind.
fn kind(kind: u8) -> RangeInclusive<(u8, PublicKey)> {
    (kind, PublicKey::ZERO)..=(kind, PublicKey::from_bytes([u8::MAX; 32]))
}

#[derive(Debug)]
pub(super) struct Held {
    set: FinaliserSet,
    rounds: BTreeMap<u64, Round>,
    convicted: BTreeSet<(PublicKey, u8, u64)>,
    /// The round of the polka that the core would propose again.
    valid: Option<u64>,
}

impl Held {
    pub(super) fn new(set: FinaliserSet) -> Self {
        Self {
            set,
            rounds: BTreeMap::new(),
            convicted: BTreeSet::new(),
            valid: None,
        }
    }

    /// Whether [`Held::take`] would keep a message.
    pub(super) fn wants(&self, message: &SignedFinalityMessage, current: u64) -> bool {
        let (sender, said) = (message.finaliser, &message.message);
        !matches!(self.room(sender, said, current), Room::None) && self.is_news(message, current)
    }

    /// Takes a message in while the core is at round `current`.
    pub(super) fn take(&mut self, message: &SignedFinalityMessage, current: u64) -> Taken {
        let (sender, said) = (message.finaliser, &message.message);
        if !self.is_news(message, current) {
            return Taken::Ignored;
        }
        match self.room(sender, said, current) {
            Room::None => return Taken::Ignored,
            Room::Free => {}
            Room::InPlaceOf(round) => self.forget(round, sender),
        }
        let versions = self.rounds.entry(said.round).or_default();
        let versions = versions.entry((said.kind, sender)).or_default();
        let other = versions.first().map(|kept| kept.message.clone());
        versions.push(Kept {
            message: message.clone(),
            fed: false,
        });
        match other.and_then(|other| self.convict(&other, message)) {
            Some(equivocation) => Taken::Convicts(Box::new(equivocation)),
            None => Taken::New,
        }
    }

    /// Whether a message says something that its sender has not said, and another version than all that count.
    fn is_news(&self, message: &SignedFinalityMessage, current: u64) -> bool {
        let said = &message.message;
        let round = self.rounds.get(&said.round);
        let versions = round.and_then(|round| round.get(&(said.kind, message.finaliser)));
        let versions = versions.map_or(&[][..], Vec::as_slice);
        if versions.iter().any(|kept| kept.message.message == *said) {
            return false;
        }
        // Or a liar could use up the room with other votes, and hide the one that makes a polka.
        versions.len() < VERSIONS || self.justifies(said, current)
    }

    /// Where a message can go.
    fn room(&self, sender: PublicKey, said: &FinalityMessage, current: u64) -> Room {
        let round = said.round;
        let near = current.saturating_add(AHEAD);
        if round < current.saturating_sub(BEHIND) {
            let needed =
                said.kind == FinalityMessage::PREVOTE && self.needed(current).contains(&round);
            return if needed { Room::Free } else { Room::None };
        }
        if round <= near {
            return Room::Free;
        }
        let far: Vec<u64> = self
            .rounds
            .range(near + 1..)
            .filter(|(_, messages)| messages.keys().any(|(_, key)| *key == sender))
            .map(|(round, _)| *round)
            .collect();
        if far.contains(&round) || far.len() < FAR_ROUNDS {
            return Room::Free;
        }
        match far.first() {
            Some(lowest) if *lowest < round => Room::InPlaceOf(*lowest),
            _ => Room::None,
        }
    }

    fn forget(&mut self, round: u64, sender: PublicKey) {
        if let Some(messages) = self.rounds.get_mut(&round) {
            messages.retain(|(_, key), _| *key != sender);
            if messages.is_empty() {
                self.rounds.remove(&round);
            }
        }
    }

    /// The polkas that proposals of recent and coming rounds build on: round and block. Few: there are two proposals in
    /// each of a few rounds.
    fn built_on(&self, current: u64) -> impl Iterator<Item = (u64, BlockId)> + '_ {
        let from = current.saturating_sub(BEHIND);
        self.rounds.range(from..).flat_map(|(_, messages)| {
            let proposals = messages
                .range(kind(FinalityMessage::PROPOSAL))
                .flat_map(|(_, versions)| versions);
            proposals.filter_map(|kept| {
                let proposal = &kept.message.message;
                Some((proposal.lock_round.checked_sub(1)?, proposal.block()?))
            })
        })
    }

    /// Whether a message is a prevote that a proposal builds on.
    fn justifies(&self, said: &FinalityMessage, current: u64) -> bool {
        let polka = said.block().map(|block| (said.round, block));
        said.kind == FinalityMessage::PREVOTE
            && self
                .built_on(current)
                .any(|built_on| Some(built_on) == polka)
    }

    /// Rounds far behind whose prevotes matter still: those that proposals at hand build on, the one that the core would
    /// propose again, and the last with a polka.
    fn needed(&self, current: u64) -> BTreeSet<u64> {
        let mut needed: BTreeSet<u64> = self.built_on(current).map(|(round, _)| round).collect();
        needed.extend(self.valid);
        needed.extend(self.last_polka(current).map(|(round, _)| round));
        needed
    }

    /// Lets go of rounds that no longer matter, once round `current` began and the core would propose again what had a
    /// polka in round `valid`.
    pub(super) fn prune(&mut self, current: u64, valid: Option<u64>) {
        self.valid = valid;
        let oldest = current.saturating_sub(BEHIND);
        if self.rounds.range(..oldest).next().is_none() {
            return;
        }
        let needed = self.needed(current);
        self.rounds
            .retain(|round, _| *round >= oldest || needed.contains(round));
    }

    fn convict(
        &mut self,
        one: &SignedFinalityMessage,
        two: &SignedFinalityMessage,
    ) -> Option<Equivocation> {
        let finaliser = one.finaliser;
        let of = |convicted: &&(PublicKey, u8, u64)| convicted.0 == finaliser;
        if self.convicted.iter().filter(of).count() >= CONVICTIONS {
            return None;
        }
        let position = (finaliser, one.message.kind, one.message.round);
        if !self.convicted.insert(position) {
            return None;
        }
        one.contradicts(two)
    }

    /// The next message that the core has not had and is to have at round `current`; proposals before votes.
    ///
    /// The core takes proposals of later rounds too, and votes on them without another question when their rounds begin.
    /// But whether a block is worth a vote is a matter of that moment, so that they wait here.
    pub(super) fn next_unfed(&mut self, current: u64) -> Option<SignedFinalityMessage> {
        let near = self.rounds.range_mut(..=current.saturating_add(AHEAD));
        let mut kept = near.flat_map(|(round, messages)| {
            let early = *round > current;
            let due = messages
                .iter_mut()
                .filter(move |((kind, _), _)| !early || *kind != FinalityMessage::PROPOSAL);
            due.flat_map(|(_, versions)| versions)
        });
        let next = kept.find(|kept| !kept.fed)?;
        next.fed = true;
        Some(next.message.clone())
    }

    /// Notes that the core has a message already.
    pub(super) fn mark_fed(&mut self, said: &SignedFinalityMessage) {
        let round = self.rounds.get_mut(&said.message.round);
        let versions = round.and_then(|round| round.get_mut(&(said.message.kind, said.finaliser)));
        for kept in versions.into_iter().flatten() {
            kept.fed |= kept.message.message == said.message;
        }
    }

    /// The highest round above `current` that a third of the power has voted in or is past: fewer are faulty, so that one
    /// of them is honest, and in the rounds below the rest cannot decide without them.
    pub(super) fn skip(&self, current: u64) -> Option<u64> {
        let mut past = BTreeSet::new();
        let mut power = 0u64;
        for (round, messages) in self.rounds.range(current.saturating_add(1)..).rev() {
            for (kind, sender) in messages.keys() {
                if *kind != FinalityMessage::PROPOSAL && past.insert(sender) {
                    power += self.set.member(sender).map_or(0, |member| member.power);
                }
            }
            // Exactly a third blocks too, where the powers are such.
            if !self.set.is_quorum(self.set.total() - power) {
                return Some(*round);
            }
        }
        None
    }

    /// Whether a message of this sender for this round and of this kind is held.
    pub(super) fn has(&self, sender: &PublicKey, round: u64, kind: u8) -> bool {
        let messages = self.rounds.get(&round);
        messages.is_some_and(|messages| messages.contains_key(&(kind, *sender)))
    }

    /// The votes of a kind for each block in a round that have more than two thirds of the power, sorted by voter.
    fn quorum(messages: &Round, kind: u8, set: &FinaliserSet) -> Option<(BlockId, Vec<Approval>)> {
        let mut blocks: BTreeMap<BlockId, (u64, Vec<Approval>)> = BTreeMap::new();
        for ((_, key), versions) in messages.range(self::kind(kind)) {
            let Some(member) = set.member(key) else {
                continue;
            };
            for kept in versions {
                if let Some(block) = kept.message.message.block() {
                    let (power, votes) = blocks.entry(block).or_default();
                    *power += member.power;
                    votes.push(Approval {
                        key: *key,
                        signature: kept.message.signature,
                    });
                }
            }
        }
        let mut quorums = blocks.into_iter();
        quorums.find_map(|(block, (power, votes))| {
            let enough = set.is_quorum(power);
            enough.then_some((block, votes))
        })
    }

    /// Every polka: round, block and prevotes.
    pub(super) fn polkas(&self) -> impl Iterator<Item = (u64, BlockId, Vec<Approval>)> + '_ {
        let prevotes = FinalityMessage::PREVOTE;
        self.rounds.iter().filter_map(move |(round, messages)| {
            let (block, votes) = Self::quorum(messages, prevotes, &self.set)?;
            Some((*round, block, votes))
        })
    }

    /// The highest round up to `round` that has a polka for this block.
    pub(super) fn polka_for(&self, block: &BlockId, round: u64) -> Option<u64> {
        let polkas = self.polkas();
        polkas
            .filter(|(at, on, _)| *at <= round && on == block)
            .map(|(at, _, _)| at)
            .last()
    }

    /// The blocks proposed in this round and later ones.
    pub(super) fn proposals(&self, from: u64) -> impl Iterator<Item = (u64, BlockId)> + '_ {
        self.rounds.range(from..).flat_map(|(round, messages)| {
            let proposals = messages
                .iter()
                .filter(|((kind, _), _)| *kind == FinalityMessage::PROPOSAL);
            proposals
                .flat_map(|(_, versions)| versions)
                .filter_map(|kept| Some((*round, kept.message.message.block()?)))
        })
    }

    fn last_polka(&self, current: u64) -> Option<(u64, BlockId)> {
        let polkas = self.polkas();
        polkas
            .filter(|(round, _, _)| *round <= current)
            .map(|(round, block, _)| (round, block))
            .last()
    }

    /// Whether any round has a polka for this block.
    pub(super) fn has_polka(&self, block: &BlockId) -> bool {
        self.polkas().any(|(_, on, _)| on == *block)
    }

    /// The decision, once the precommits for it are there.
    pub(super) fn decision(&self, checkpoint: u64) -> Option<CommitCertificate> {
        let precommits = FinalityMessage::PRECOMMIT;
        self.rounds.iter().find_map(|(round, messages)| {
            let (block, votes) = Self::quorum(messages, precommits, &self.set)?;
            Some(CommitCertificate {
                set: self.set.number(),
                checkpoint,
                round: *round,
                block,
                precommits: List::new(votes).ok()?,
            })
        })
    }

    /// What others may lack, what matters most first: own messages and the proposal of the current round, the prevotes
    /// of the polkas that matter, the votes of this round and of the one before it. After the decision, what decided.
    pub(super) fn to_hand_on(
        &self,
        own: &PublicKey,
        current: u64,
        decided: Option<u64>,
    ) -> Vec<SignedFinalityMessage> {
        let current = decided.unwrap_or(current);
        let of = |round: u64| {
            let messages = self.rounds.get(&round).into_iter().flatten();
            messages.flat_map(|((kind, sender), versions)| {
                versions.iter().map(move |kept| (*kind, sender, kept))
            })
        };
        let mut chosen: Vec<SignedFinalityMessage> = Vec::new();
        let mut choose = |kept: &Kept| {
            if chosen.len() < MAX_HELD_MESSAGES && !chosen.contains(&kept.message) {
                chosen.push(kept.message.clone());
            }
        };
        for (_, _, kept) in of(current).filter(|(_, sender, _)| *sender == own) {
            choose(kept);
        }
        for (_, _, kept) in of(current).filter(|(kind, _, _)| *kind == FinalityMessage::PROPOSAL) {
            choose(kept);
        }
        if decided.is_some() {
            for (_, _, kept) in
                of(current).filter(|(kind, _, _)| *kind == FinalityMessage::PRECOMMIT)
            {
                choose(kept);
            }
        }
        let needed = self.needed(current);
        for (round, block, _) in self.polkas().filter(|(round, _, _)| needed.contains(round)) {
            let prevotes = of(round).filter(|(kind, _, kept)| {
                *kind == FinalityMessage::PREVOTE && kept.message.message.block() == Some(block)
            });
            for (_, _, kept) in prevotes {
                choose(kept);
            }
        }
        for (_, _, kept) in of(current) {
            choose(kept);
        }
        if let Some(before) = current.checked_sub(1) {
            for (_, _, kept) in of(before) {
                choose(kept);
            }
        }
        chosen
    }

    /// How many messages are held.
    pub(super) fn len(&self) -> usize {
        let messages = self.rounds.values().flat_map(BTreeMap::values);
        messages.map(Vec::len).sum()
    }
}
