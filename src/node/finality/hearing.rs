//! Messages of the consensus, from gossip and from peers that are asked for what gossip lost.
//!
//! Form first, then who says it, then the signature. What is wrong in every state is rejected; what is about another
//! checkpoint than the next two, or more than one finaliser needs to say, is ignored.

use std::collections::BTreeMap;

use tracing::{debug, warn};
use votenode_p2p::{MessageId, PeerId, Verdict};

use super::duty::GUARD_NOTE;
use super::votes::{Heard, Votes};
use crate::chain::checkpoint::SignedFinalityMessage;
use crate::chain::conflict::ConflictKey;
use crate::chain::sign::convict;
use crate::chain::state::View as _;
use crate::chain::transaction::{Equivocation, FinalityMessage};
use crate::crypto::PublicKey;
use crate::node::Node;
use crate::node::peers::Asked;
use crate::protocol::finality::FinalityGossip;
use crate::protocol::names::Topic;
use crate::protocol::sync::Request;
use crate::wire;

/// Time until peers are asked for what was missed, in milliseconds; it doubles while they have nothing new.
const PULL_MS: u64 = 250;
/// Longest such time, in milliseconds: finalisers may be away for days.
const PULL_MS_MAX: u64 = 4_000;
/// Signatures checked a second. Three messages a round of each finaliser are a few dozen; a second's worth of these
/// costs a core less than a tenth of it.
const MAX_CHECKS_PER_SECOND: u32 = 6_000;
/// Messages of one finaliser taken a second, so that one who talks without end takes nobody else's turn. Honest ones say
/// three a round.
const MAX_TAKEN_PER_SECOND: u32 = 64;
/// Score points for a reply with messages that no correct peer passes on.
const LIE_POINTS: u32 = 20;

/// When peers are asked for messages about the checkpoint under way.
#[derive(Debug, Default)]
pub(super) struct Pull {
    due_ms: u64,
    pause_ms: u64,
    /// Whom the next question goes to, in the order of their ids.
    turn: usize,
}

impl Pull {
    pub(super) fn due_ms(&self) -> u64 {
        self.due_ms
    }

    /// Whether peers were asked some times and had nothing new.
    pub(super) fn in_vain(&self) -> bool {
        self.pause_ms > 4 * PULL_MS
    }

    /// Another checkpoint began: the next question can wait, but not long.
    pub(super) fn reset(&mut self, now_ms: u64) {
        self.pause_ms = PULL_MS;
        self.due_ms = now_ms + PULL_MS;
    }

    /// Something new came. It never puts a question off: else one who talks without end would keep this node from asking.
    fn hasten(&mut self, now_ms: u64) {
        self.pause_ms = PULL_MS;
        self.due_ms = self.due_ms.min(now_ms + PULL_MS);
    }
}

/// Signatures checked in this second, and messages taken of each finaliser.
#[derive(Debug, Default)]
pub(super) struct Budget {
    second: u64,
    used: u32,
    taken: BTreeMap<PublicKey, u32>,
}

impl Budget {
    /// Whether another message under this key may be checked. What is forged under it does not count against it, and
    /// what was asked for does not depend on what else its signer says.
    fn allows(&mut self, finaliser: &PublicKey, asked: bool, now_ms: u64) -> bool {
        let second = now_ms / 1_000;
        if self.second != second {
            *self = Self {
                second,
                ..Self::default()
            };
        }
        if !asked && self.taken.get(finaliser).copied().unwrap_or(0) >= MAX_TAKEN_PER_SECOND {
            return false;
        }
        self.used += 1;
        self.used <= MAX_CHECKS_PER_SECOND
    }

    /// A message of this finaliser was taken.
    fn spend(&mut self, finaliser: PublicKey) {
        *self.taken.entry(finaliser).or_default() += 1;
    }
}

/// What to say of a message.
enum Opinion {
    New,
    Ignored,
    Wrong(&'static str),
}

impl Node {
    /// A message on the topic `finality`.
    pub(in crate::node) fn gossiped_finality(&mut self, id: MessageId, from: PeerId, data: &[u8]) {
        let gossip: FinalityGossip = match wire::decode(data) {
            Ok(gossip) => gossip,
            Err(error) => return self.reject_gossip(id, from, &error.to_string()),
        };
        if !self.network.finalises() {
            return self.reject_gossip(id, from, "nobody finalises in this network");
        }
        match gossip {
            FinalityGossip::Transactions { transactions } => {
                self.gossiped_batch(Topic::Finality, id, from, transactions.into_vec());
            }
            FinalityGossip::Messages { messages } => {
                let mut new = false;
                for message in messages.into_vec() {
                    match self.hear(message, from, false) {
                        Opinion::New => new = true,
                        Opinion::Ignored => {}
                        Opinion::Wrong(why) => return self.reject_gossip(id, from, why),
                    }
                }
                if new {
                    self.report(id, from, Verdict::Accept);
                } else {
                    self.ignore_useless(id, from);
                }
            }
        }
    }

    /// A peer gave what it holds of the checkpoint under way.
    pub(in crate::node) fn finality_messages_came(
        &mut self,
        peer: PeerId,
        messages: Vec<SignedFinalityMessage>,
    ) {
        // Who is behind cannot know what was said here.
        let status = self.peers.status_of(&peer);
        let is_here = status.is_some_and(|s| s.checkpoint_height >= self.finality.last_height());
        if let Some(duty) = self.finality.duty.as_mut().filter(|_| is_here) {
            duty.heard_from_a_peer();
        }
        for message in messages {
            if let Opinion::Wrong(why) = self.hear(message, peer, true) {
                return self.penalize(peer, LIE_POINTS, why);
            }
        }
    }

    /// Checks a message of somebody and takes it in. It was asked for, or came by gossip.
    fn hear(&mut self, message: SignedFinalityMessage, from: PeerId, asked: bool) -> Opinion {
        if !message.message.is_well_formed() {
            return Opinion::Wrong("a malformed message of the consensus");
        }
        let next = self.finality.next();
        let checkpoint = message.message.height;
        if checkpoint < next {
            return self.hear_late(message);
        }
        if checkpoint > next + 1 {
            // Whoever passes it on knows more than this node.
            self.ask_certificates(from);
            return Opinion::Ignored;
        }
        // The set may change with the next checkpoint: a stranger to this node need not be one.
        if self.finality.set.member(&message.finaliser).is_none() {
            return Opinion::Ignored;
        }
        let votes = if checkpoint == next {
            &self.finality.votes
        } else {
            &self.finality.early
        };
        if !votes.wants(&message) && !self.engine_wants(&message) {
            return Opinion::Ignored;
        }
        // The consensus may have refused before what it wants now.
        if votes.knows(&message) {
            self.heard(message);
            return Opinion::Ignored;
        }
        if !self
            .finality
            .budget
            .allows(&message.finaliser, asked, self.now.mono_ms)
        {
            return Opinion::Ignored;
        }
        if !message.is_signed(&self.network.id()) {
            return Opinion::Wrong("a message of the consensus with a wrong signature");
        }
        self.finality.budget.spend(message.finaliser);
        if let Some(duty) = &mut self.finality.duty
            && let Some(state) = duty.is_told_of(&message)
        {
            let note = (GUARD_NOTE.to_owned(), Some(wire::encode(&state)));
            self.stage.notes.extend([note]);
            // Nor is said what was signed in this batch, before this was known.
            let checkpoint = message.message.height;
            let says = &mut self.stage.finality.says;
            says.retain(|said| said.message.height > checkpoint);
        }
        if self.heard(message) {
            Opinion::New
        } else {
            Opinion::Ignored
        }
    }

    /// A message about a checkpoint that is decided is of use only if its signer said something else before.
    fn hear_late(&mut self, message: SignedFinalityMessage) -> Opinion {
        let finality = &mut self.finality;
        let Some(votes) = finality.past.about(&message) else {
            return Opinion::Ignored;
        };
        if !votes.wants(&message)
            || !finality
                .budget
                .allows(&message.finaliser, false, self.now.mono_ms)
        {
            return Opinion::Ignored;
        }
        if !message.is_signed(&self.network.id()) {
            return Opinion::Wrong("a message of the consensus with a wrong signature");
        }
        finality.budget.spend(message.finaliser);
        if let Heard::Conflict(proof) = votes.hear(message) {
            self.convict(*proof);
        }
        // The proof goes to everybody; the message itself is of no use to them.
        Opinion::Ignored
    }

    /// Takes in a message whose signature is good: this node's own when it is on disk, others' when they were checked.
    /// Says whether it is new.
    pub(super) fn heard(&mut self, message: SignedFinalityMessage) -> bool {
        let next = self.finality.next();
        let wanted = self.engine_wants(&message);
        let Some(votes) = self.votes_of(message.message.height) else {
            return false;
        };
        match votes.hear(message.clone()) {
            Heard::New => {}
            // Others may have heard this version first, and rest a lock on it: both count.
            Heard::Conflict(proof) => self.convict(*proof),
            Heard::Known | Heard::Ignored if !wanted => return false,
            Heard::Known | Heard::Ignored => {}
        }
        self.finality.pull.hasten(self.now.mono_ms);
        self.finality.again = true;
        if message.message.height != next {
            return true;
        }
        if message.message.kind == FinalityMessage::PRECOMMIT
            && let Some(block) = message.message.block()
        {
            let finality = &self.finality;
            let round = message.message.round;
            if let Some(certificate) = finality.votes.certificate(&finality.set, round, &block) {
                self.put_together(certificate);
            }
        }
        self.tell_engine(&message);
        true
    }

    /// Whether the consensus has a use for a message. What matters is with it: it knows what the rounds rest on, and
    /// what is refused here for want of room, or was refused there before, may be just what it lacks.
    fn engine_wants(&self, message: &SignedFinalityMessage) -> bool {
        let duty = self.finality.duty.as_ref();
        duty.is_some_and(|duty| duty.wants(message))
    }

    fn votes_of(&mut self, checkpoint: u64) -> Option<&mut Votes> {
        let finality = &mut self.finality;
        [&mut finality.votes, &mut finality.early]
            .into_iter()
            .find(|votes| votes.checkpoint() == checkpoint)
    }

    /// A finaliser said two things at one place: the proof goes into the chain.
    pub(super) fn convict(&mut self, proof: Equivocation) {
        // Once is enough.
        let waits = self
            .mempool
            .uses_up(&ConflictKey::Conviction(proof.finaliser));
        let state = self.store.snapshot().state();
        if waits || matches!(state.conviction(&proof.finaliser), Ok(Some(_))) {
            return;
        }
        let name = self
            .finality
            .set
            .member(&proof.finaliser)
            .map_or_else(String::new, |member| member.name.to_string());
        warn!(
            finaliser = %proof.finaliser, name,
            checkpoint = proof.first.height, round = proof.first.round,
            "a finaliser signed two conflicting messages; the proof goes into the chain"
        );
        self.take_own(convict(&self.network.id(), proof));
    }

    /// Asks a peer for what gossip lost, while something is under way.
    pub(super) fn pull_messages(&mut self) {
        let now_ms = self.now.mono_ms;
        if !self.finality.is_under_way() || self.finality.pull.due_ms > now_ms {
            return;
        }
        let checkpoint = self.finality.next();
        let peers: Vec<PeerId> = self.peers.iter().map(|(peer, _)| *peer).collect();
        let pull = &mut self.finality.pull;
        pull.pause_ms = (2 * pull.pause_ms).clamp(PULL_MS, PULL_MS_MAX);
        pull.due_ms = now_ms + pull.pause_ms;
        if peers.is_empty() {
            return;
        }
        pull.turn = (pull.turn + 1) % peers.len();
        let peer = peers[pull.turn];
        debug!(%peer, checkpoint, "asks for messages of the consensus");
        self.ask_finality_messages(peer);
    }

    /// Asks a peer for what it holds of the checkpoint under way.
    pub(in crate::node) fn ask_finality_messages(&mut self, peer: PeerId) {
        let checkpoint = self.finality.next();
        if self
            .peers
            .is_asking(&peer, |asked| matches!(asked, Asked::FinalityMessages))
        {
            return;
        }
        self.request(
            peer,
            Asked::FinalityMessages,
            &Request::FinalityMessages { checkpoint },
        );
    }
}
