//! The engine as the node sees it: inputs in, outputs out.

use std::collections::{BTreeMap, BTreeSet};

use arc_malachitebft_core_consensus::{Input, Params, State, ThresholdParams};
use arc_malachitebft_core_types::ValuePayload;

use super::context::{Checkpoint, Ctx, Members};
use super::effects::{Hands, Identity, Scene, Verdict};
use super::guard::{Guard, GuardState, Refusal, Seen};
use super::held::{Held, Taken};
use super::log::LogEntry;
use super::timers::{Timeouts, Timers};
use super::turn::Turn;
use crate::chain::block::BlockId;
use crate::chain::checkpoint::{CommitCertificate, FinaliserSet, SignedFinalityMessage};
use crate::chain::genesis::NetworkId;
use crate::chain::transaction::{Equivocation, FinalityMessage};
use crate::crypto::SigningKey;

/// What the engine wants done, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Append to the write-ahead log of the checkpoint: durable before any [`Output::Say`] that comes after it.
    Log(LogEntry),
    /// The guard's new state: durable before any [`Output::Say`] that comes after it.
    Guard(GuardState),
    /// Publish a message. It may repeat one that was said before.
    Say(SignedFinalityMessage),
    /// This node proposes in this round: answer with [`Engine::propose`] as soon as there is a candidate.
    Propose {
        /// The checkpoint under way.
        checkpoint: u64,
        /// The round that began.
        round: u64,
    },
    /// Is this block valid: here, fully validated, a descendant of the last checkpoint? Answer with [`Engine::judged`]
    /// when it is known, which may be much later or never. A block that is proposed in several rounds is asked for in
    /// each, unless it was found not valid; one answer is enough for all that are open.
    Judge {
        /// The checkpoint under way.
        checkpoint: u64,
        /// The round of the proposal.
        round: u64,
        /// The block.
        block: BlockId,
    },
    /// The checkpoint is decided, which nothing can change any more: the signatures are good, sorted by key, and more
    /// than two thirds of the power. The block may be one that this node was never shown, or does not have yet. Once
    /// for each [`Engine::start`]; nothing follows until the next.
    Decided(CommitCertificate),
    /// A finaliser contradicted itself; once for each finaliser, kind and round, and after a restart perhaps again.
    Evidence(Equivocation),
    /// The guard did not let the engine sign, or saw its own key sign elsewhere. The engine goes on without having
    /// said it.
    Refused {
        /// What would have been signed, or was signed elsewhere.
        message: FinalityMessage,
        /// Why.
        why: Refusal,
    },
}

/// The consensus of one finaliser, for one checkpoint after the other.
pub struct Engine {
    identity: Identity,
    guard: Guard,
    running: Option<Running>,
}

struct Running {
    state: State<Ctx>,
    scene: Scene,
}

impl Engine {
    /// An idle engine. `guard` has to be resumed from the state that its key had last.
    pub fn new(network: NetworkId, key: SigningKey, timeouts: Timeouts, guard: Guard) -> Self {
        let identity = Identity {
            network,
            public: key.public_key(),
            key,
            timeouts,
        };
        Self {
            identity,
            guard,
            running: None,
        }
    }

    /// Begins work on a checkpoint by the finalisers of `set`. `log` holds the entries of the write-ahead log for
    /// exactly this checkpoint, in order, and none if it is fresh. Whatever was under way is dropped.
    ///
    /// A node whose key is not in the set follows without a voice.
    pub fn start(
        &mut self,
        set: &FinaliserSet,
        checkpoint: u64,
        log: &[LogEntry],
        now_ms: u64,
    ) -> Vec<Output> {
        self.running = None;
        let Some(members) = Members::new(set) else {
            return Vec::new();
        };
        let params = Params {
            address: self.identity.public,
            threshold_params: ThresholdParams::default(),
            // Votes and proposals name blocks; blocks come another way and are judged by the node.
            value_payload: ValuePayload::ProposalAndParts,
            enabled: true,
        };
        // The core's queue for later checkpoints stays empty: the node holds their messages.
        let height = Checkpoint(checkpoint);
        let state = State::new(Ctx, height, members.clone(), params, 1, 1);
        let scene = Scene {
            members,
            checkpoint,
            round: 0,
            held: Held::new(set.clone()),
            timers: Timers::default(),
            wanted: None,
            verdicts: BTreeMap::new(),
            deferred: Vec::new(),
            polkas: BTreeSet::new(),
            replaying: None,
            instead: Vec::new(),
            instead_said: 0,
            diverged: false,
            decided: None,
        };
        self.running = Some(Running { state, scene });
        self.turn(now_ms, |turn| turn.start(log))
    }

    /// Stops: no timers, nothing under way.
    pub fn stop(&mut self) {
        self.running = None;
    }

    /// The checkpoint under way, or decided last and not yet followed by another.
    pub fn checkpoint(&self) -> Option<u64> {
        self.running
            .as_ref()
            .map(|running| running.scene.checkpoint)
    }

    /// Its round, from 0.
    pub fn round(&self) -> Option<u64> {
        self.running.as_ref().map(|running| running.scene.round)
    }

    /// The guard.
    pub fn guard(&self) -> &Guard {
        &self.guard
    }

    /// Whether a message under this engine's key can be its own: it is not above what the guard let it sign, and does not
    /// contradict it.
    pub fn is_own(&self, message: &FinalityMessage) -> bool {
        self.guard.judge(&self.identity.network, message) == Seen::Known
    }

    /// Signs nothing at this checkpoint and below, ever again: see [`Guard::forbid_through`]. The new state is to be
    /// made durable.
    pub fn forbid_through(&mut self, checkpoint: u64) -> GuardState {
        self.guard.forbid_through(checkpoint);
        self.guard.state().clone()
    }

    /// Takes a message whose signature was checked. What is not for the checkpoint under way, not from a member of the
    /// set, not [well-formed](FinalityMessage::is_well_formed) or a proposal by somebody whose turn it is not is ignored.
    pub fn message(&mut self, message: &SignedFinalityMessage, now_ms: u64) -> Vec<Output> {
        let Some(Running { scene, .. }) = &mut self.running else {
            return Vec::new();
        };
        if !scene.listens_to(message) {
            return Vec::new();
        }
        let said = &message.message;
        let round = scene.round;
        let taken = scene.held.take(message, round);
        if matches!(taken, Taken::Ignored) {
            return Vec::new();
        }
        let own = message.finaliser == self.identity.public;
        let network = self.identity.network;
        self.turn(now_ms, |turn| {
            if let Taken::Convicts(equivocation) = taken {
                turn.hands.out.push(Output::Evidence(*equivocation));
            }
            if own && turn.hands.guard.judge(&network, said) == Seen::Foreign {
                turn.hands.guard.observe(&network, said);
                turn.hands.guard.forbid_through(said.height);
                let state = turn.hands.guard.state().clone();
                turn.hands.out.push(Output::Guard(state));
                turn.hands.out.push(Output::Refused {
                    message: said.clone(),
                    why: Refusal::Foreign,
                });
            }
            turn.settle();
        })
    }

    /// Whether [`Engine::message`] has a use for a message, whoever signed it: it is about the checkpoint under way, new,
    /// and there is room for it. What was refused before may be wanted later, when the engine is at another round or has
    /// a proposal that builds on it.
    pub fn wants(&self, message: &SignedFinalityMessage) -> bool {
        self.running.as_ref().is_some_and(|Running { scene, .. }| {
            scene.listens_to(message) && scene.held.wants(message, scene.round)
        })
    }

    /// Whether more than two thirds of the power prevoted for this block in some round of the checkpoint under way. Who
    /// voted twice counts for both.
    pub fn has_polka(&self, block: &BlockId) -> bool {
        let running = self.running.as_ref();
        running.is_some_and(|running| running.scene.held.has_polka(block))
    }

    /// The blocks that this finaliser's part in deciding a checkpoint rests on, each once, a handful: what it is locked on
    /// and what the core found good in an earlier round; what is decided; whatever else more than two thirds of the power
    /// prevoted for, the last first, on which others may be locked; and proposals of the current round that were judged
    /// valid.
    pub fn bound_to(&self, checkpoint: u64) -> Vec<BlockId> {
        let mut blocks = Vec::new();
        blocks.extend(self.guard.lock(checkpoint).map(|(_, block)| block));
        let running = self.running.as_ref();
        if let Some(Running { state, scene }) =
            running.filter(|running| running.scene.checkpoint == checkpoint)
        {
            blocks.extend(state.driver.valid_value().map(|valid| valid.value));
            let decision = scene.held.decision(checkpoint);
            blocks.extend(decision.map(|certificate| certificate.block));
            let mut polkas: Vec<BlockId> = scene.held.polkas().map(|(_, block, _)| block).collect();
            polkas.reverse();
            blocks.extend(polkas);
            let proposals = scene.held.proposals(scene.round);
            let valid = |block: &BlockId| scene.verdicts.get(block) == Some(&Verdict::Given(true));
            blocks.extend(proposals.map(|(_, block)| block).filter(valid));
        }
        let mut seen = BTreeSet::new();
        blocks.retain(|block| seen.insert(*block));
        blocks
    }

    /// Answers [`Output::Propose`]. What nobody asked for, or asked for in a round that is over, is ignored.
    pub fn propose(&mut self, round: u64, block: BlockId, now_ms: u64) -> Vec<Output> {
        self.turn(now_ms, |turn| turn.propose(round, block))
    }

    /// Answers [`Output::Judge`]. What nobody asked is ignored, and so is a second answer for the same block. The round
    /// only says which question is answered: the verdict is on the block.
    pub fn judged(&mut self, _round: u64, block: BlockId, valid: bool, now_ms: u64) -> Vec<Output> {
        self.turn(now_ms, |turn| turn.judged(block, valid))
    }

    /// Lets time pass.
    pub fn tick(&mut self, now_ms: u64) -> Vec<Output> {
        self.turn(now_ms, |turn| {
            // Ends: a timer set on the way is due later than now.
            while let Some(timeout) = turn.hands.scene.timers.take_due(now_ms) {
                turn.feed(Input::TimeoutElapsed(timeout));
                turn.settle();
            }
        })
    }

    /// When [`Engine::tick`] has something to do next.
    pub fn next_deadline_ms(&self) -> Option<u64> {
        let running = self.running.as_ref()?;
        running.scene.timers.next_deadline_ms()
    }

    /// Messages that others may lack, own and others', at most [`MAX_HELD_MESSAGES`](super::MAX_HELD_MESSAGES): enough
    /// for a finaliser that heard nothing to come to the same round and decide. Deterministic. They must leave the node
    /// only after the outputs of all calls before are durable.
    pub fn held_messages(&self) -> Vec<SignedFinalityMessage> {
        let Some(Running { scene, .. }) = &self.running else {
            return Vec::new();
        };
        let own = &self.identity.public;
        scene.held.to_hand_on(own, scene.round, scene.decided)
    }

    /// How many messages are kept in memory, for metrics: bounded whatever anybody sends.
    pub fn held_count(&self) -> usize {
        let running = self.running.as_ref();
        running.map_or(0, |running| running.scene.held.len())
    }

    fn turn(&mut self, now_ms: u64, work: impl FnOnce(&mut Turn<'_>)) -> Vec<Output> {
        let Some(Running { state, scene }) = &mut self.running else {
            return Vec::new();
        };
        let hands = Hands {
            identity: &self.identity,
            guard: &mut self.guard,
            scene,
            now_ms,
            out: Vec::new(),
        };
        let mut turn = Turn { state, hands };
        work(&mut turn);
        turn.hands.out
    }
}
