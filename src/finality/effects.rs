//! What the core wants done while it handles one input.
//!
//! The handler cannot touch the core's state and must not fail. It signs (through the guard), writes the log, keeps the
//! timers, and notes what has to be asked once the core is done. What the core would do for its own transport is left
//! out: here peers pull what they lack, so that repeated votes and certificates need no sending.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;

use arc_malachitebft_core_consensus::{Effect, Input, Resumable as _, Resume, SignedConsensusMsg};
use arc_malachitebft_core_types::SignedMessage;

use super::Output;
use super::context::{Ctx, Members, number};
use super::guard::{Guard, Refusal};
use super::held::{Held, Taken};
use super::log::LogEntry;
use super::timers::{Timeouts, Timers};
use crate::chain::block::BlockId;
use crate::chain::checkpoint::SignedFinalityMessage;
use crate::chain::genesis::NetworkId;
use crate::chain::transaction::FinalityMessage;
use crate::crypto::{PublicKey, Signature, SigningKey};
use crate::wire::Blob;

/// Stands where the guard refused to sign. It verifies under no key of prime order, and the core, told so, drops it.
const UNSIGNED: Signature = Signature::ZERO;

/// Who signs, and how patiently.
pub(super) struct Identity {
    pub(super) network: NetworkId,
    pub(super) key: SigningKey,
    pub(super) public: PublicKey,
    pub(super) timeouts: Timeouts,
}

/// The answer to a question about a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Asked, and not answered yet.
    Open,
    /// Valid when it was asked before; asked again, and not answered yet.
    Anew,
    /// Not valid, which holds for ever; or valid as of the last round in which it was proposed.
    Given(bool),
}

/// Everything about the checkpoint under way except the core's own state.
pub(super) struct Scene {
    pub(super) members: Members,
    pub(super) checkpoint: u64,
    pub(super) round: u64,
    pub(super) held: Held,
    pub(super) timers: Timers,
    /// The round for which the core waits for a block to propose, and whether the node was asked.
    pub(super) wanted: Option<(u64, bool)>,
    /// The blocks proposed.
    pub(super) verdicts: BTreeMap<BlockId, Verdict>,
    /// Proposals that the core hears of when their blocks were judged anew.
    pub(super) deferred: Vec<SignedFinalityMessage>,
    /// Polkas that the core was told of.
    pub(super) polkas: BTreeSet<(u64, BlockId)>,
    /// Entries of the log that is being replayed; they are not written again.
    pub(super) replaying: Option<BTreeSet<LogEntry>>,
    /// Votes for nil in the place of some that the guard refused: the core takes them as if they came from elsewhere.
    pub(super) instead: Vec<SignedFinalityMessage>,
    /// How many of those were said.
    pub(super) instead_said: usize,
    /// Nothing is signed: the log contradicts itself.
    pub(super) diverged: bool,
    /// The round that decided.
    pub(super) decided: Option<u64>,
}

impl Scene {
    /// Whether a message, new or not, can be part of what is decided here.
    pub(super) fn listens_to(&self, message: &SignedFinalityMessage) -> bool {
        let said = &message.message;
        let for_us = said.is_well_formed() && said.height == self.checkpoint;
        for_us && self.decided.is_none() && self.members.may_say(message)
    }
}

/// Serves the core's effects for one call of the engine.
pub(super) struct Hands<'a> {
    pub(super) identity: &'a Identity,
    pub(super) guard: &'a mut Guard,
    pub(super) scene: &'a mut Scene,
    pub(super) now_ms: u64,
    pub(super) out: Vec<Output>,
}

impl Hands<'_> {
    pub(super) fn serve(&mut self, effect: Effect<Ctx>) -> Result<Resume<Ctx>, Infallible> {
        Ok(match effect {
            Effect::CancelAllTimeouts(r) => {
                self.scene.timers.clear();
                r.resume_with(())
            }
            Effect::CancelTimeout(timeout, r) => {
                self.scene.timers.cancel(timeout);
                r.resume_with(())
            }
            Effect::ScheduleTimeout(timeout, r) => {
                let timeouts = &self.identity.timeouts;
                self.scene.timers.schedule(timeout, timeouts, self.now_ms);
                r.resume_with(())
            }
            Effect::StartRound(_, round, _, _, r) => {
                self.scene.round = number(round).unwrap_or(0);
                self.scene.wanted = None;
                r.resume_with(())
            }
            Effect::GetValue(_, round, _, r) => {
                self.scene.wanted = number(round).map(|round| (round, false));
                r.resume_with(())
            }
            Effect::SignVote(vote, r) => {
                let signature = self.sign(vote.message());
                r.resume_with(SignedMessage::new(vote, signature))
            }
            Effect::SignProposal(proposal, r) => {
                let signature = self.sign(proposal.message());
                r.resume_with(SignedMessage::new(proposal, signature))
            }
            // Whatever was fed to the core had its signature checked before; its own are good unless refused.
            Effect::VerifySignature(message, _, r) => r.resume_with(message.signature != UNSIGNED),
            // Put together here from such messages, or by the core from them.
            Effect::VerifyPolkaCertificate(_, _, _, r) => r.resume_with(Ok(())),
            Effect::VerifyRoundCertificate(_, _, _, r) => r.resume_with(Ok(())),
            Effect::VerifyCommitCertificate(_, _, _, r) => r.resume_with(Ok(())),
            Effect::WalAppend(_, input, r) => {
                // In a replay the core takes its own vote from the log's index, ahead of its place in the log.
                if let Input::Vote(vote) = &input
                    && vote.message.voter() == self.identity.public
                {
                    self.keep(&vote.message.with(vote.signature));
                }
                let instead = |message: &_| self.scene.instead.contains(message);
                let entry = LogEntry::of_input(self.scene.checkpoint, &input, instead);
                if let Some(entry) = entry.filter(|entry| !self.is_logged(entry)) {
                    self.out.push(Output::Log(entry));
                }
                r.resume_with(())
            }
            Effect::PublishConsensusMsg(message, r) => {
                let message = match message {
                    SignedConsensusMsg::Vote(vote) => vote.message.with(vote.signature),
                    SignedConsensusMsg::Proposal(proposal) => {
                        proposal.message.with(proposal.signature)
                    }
                };
                self.say(message);
                r.resume_with(())
            }
            // The decision is taken from the votes held, which know more than the core.
            Effect::Decide(_, _, r) => r.resume_with(()),
            Effect::Finalize(_, _, _, r) => r.resume_with(()),
            // Peers pull.
            Effect::PublishLivenessMsg(_, r) => r.resume_with(()),
            Effect::RepublishVote(_, r) => r.resume_with(()),
            Effect::RepublishRoundCertificate(_, r) => r.resume_with(()),
            Effect::RestreamProposal(_, _, _, _, _, r) => r.resume_with(()),
            // Features that are off: nothing is synchronised through the core and votes have no extensions.
            Effect::CertVerifiedSyncValue(_, _, r) => r.resume_with(()),
            Effect::CertRejectedSyncValue(_, _, _, r) => r.resume_with(()),
            Effect::VerifyExtendedCommitCertificate(_, _, _, _, r) => r.resume_with(Ok(())),
            Effect::ExtendVote(_, _, _, _, r) => r.resume_with(None),
            Effect::VerifyVoteExtension(_, _, _, _, _, _, r) => r.resume_with(Ok(())),
        })
    }

    fn is_logged(&self, entry: &LogEntry) -> bool {
        let logged = self.scene.replaying.as_ref();
        logged.is_some_and(|logged| logged.contains(entry))
    }

    /// Signs what the guard allows.
    fn sign(&mut self, message: FinalityMessage) -> Signature {
        match self.try_sign(message.clone()) {
            Ok(signed) => {
                self.keep(&signed);
                signed.signature
            }
            Err(why) => {
                // In a replay the core wants once more what was refused before.
                if self.scene.replaying.is_none() {
                    self.vote_nil_instead(&message, why);
                    self.out.push(Output::Refused { message, why });
                }
                UNSIGNED
            }
        }
    }

    fn try_sign(&mut self, message: FinalityMessage) -> Result<SignedFinalityMessage, Refusal> {
        let Identity { network, key, .. } = self.identity;
        if self.scene.diverged {
            return Err(Refusal::Diverged);
        }
        let block = message.block();
        let polka = block.and_then(|block| self.scene.held.polka_for(&block, message.round));
        if self.guard.allow(network, &message, polka)? {
            self.out.push(Output::Guard(self.guard.state().clone()));
        }
        Ok(SignedFinalityMessage::sign(key, network, message))
    }

    /// A finaliser that may not vote for a block votes for nil, as the rules have it for one that is locked: the others
    /// wait for its vote, whatever it is.
    fn vote_nil_instead(&mut self, refused: &FinalityMessage, why: Refusal) {
        let vote = refused.kind != FinalityMessage::PROPOSAL && refused.block().is_some();
        if !vote || !matches!(why, Refusal::Locked | Refusal::NoPolka) {
            return;
        }
        let nil = FinalityMessage {
            value: Blob::of([]),
            ..refused.clone()
        };
        if let Ok(signed) = self.try_sign(nil) {
            // It is not marked as fed: the core gets it as soon as it is done with what it is at.
            self.count(&signed);
            self.scene.instead.push(signed);
        }
    }

    /// Counts a message that the core has by itself.
    pub(super) fn keep(&mut self, message: &SignedFinalityMessage) {
        self.count(message);
        self.scene.held.mark_fed(message);
    }

    fn count(&mut self, message: &SignedFinalityMessage) {
        let taken = self.scene.held.take(message, self.scene.round);
        if let Taken::Convicts(equivocation) = taken {
            self.out.push(Output::Evidence(*equivocation));
        }
    }

    /// Says the votes for nil that the core did not ask for, once they are in the log.
    pub(super) fn say_instead(&mut self) {
        let scene = &mut *self.scene;
        let unsaid = scene.instead.iter().skip(scene.instead_said).cloned();
        self.out.extend(unsaid.map(Output::Say));
        scene.instead_said = scene.instead.len();
    }

    fn say(&mut self, message: SignedFinalityMessage) {
        // The core also publishes others' proposals again.
        if message.finaliser == self.identity.public && message.signature != UNSIGNED {
            self.out.push(Output::Say(message));
        }
    }
}
