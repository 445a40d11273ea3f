//! The part of a finaliser: when to begin, what to propose, what to think of others' proposals.
//!
//! The consensus itself is [`crate::finality::Engine`]; here it meets the chain. It runs only while there is a block
//! above the last checkpoint, or while more than a third of the power says that there is.

use std::collections::BTreeSet;

use tracing::{error, info, warn};

use super::promise::{Promise, Promised};
use super::release::Release;
use crate::chain::block::{BlockId, CompactBlock};
use crate::chain::checkpoint::SignedFinalityMessage;
use crate::chain::genesis::NetworkId;
use crate::chain::invalid::Failure;
use crate::chain::overlay::Overlay;
use crate::chain::rules;
use crate::chain::transaction::FinalityMessage;
use crate::chain::verify::Verified;
use crate::crypto::{PublicKey, SigningKey};
use crate::finality::{Engine, Guard, GuardState, LogEntry, Output, Timeouts};
use crate::node::{Effect, Node};
use crate::planted::{self, Fault};
use crate::protocol::names::Topic;
use crate::store::{Snapshot, StoreError};
use crate::wire::{self, List};

/// Name of the note that keeps the guard's state.
pub(super) const GUARD_NOTE: &str = "finality-guard";
/// Most blocks of a branch that are shown with one proposal; those above them with the next.
const MAX_SHOWN: usize = 64;
/// Proposals under judgement: one a round is honest.
const MAX_JUDGING: usize = 64;

/// What makes a node a finaliser's.
pub struct Finaliser {
    /// The finaliser's key. It is not the key of the node among its peers.
    pub key: SigningKey,
    /// Where it is kept how far the key has signed, apart from the node's store.
    pub promise: Box<dyn Promise>,
}

/// Why a finaliser does not sign for a checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Silence {
    /// The key is not in the set in force.
    NotInSet,
    /// Something was signed up to this checkpoint of which this node's store knows nothing.
    Restored { through: u64 },
    /// Peers are asked first what this key signed before the start.
    Unknown,
    /// Another node signs with the same key.
    Twin,
    /// How far the key has signed cannot be written beside it.
    PromiseFailed,
}

/// The part of a finaliser in this node.
pub(super) struct Duty {
    key: PublicKey,
    engine: Engine,
    pub(super) release: Release,
    /// Nothing is signed up to this checkpoint.
    forbidden_through: u64,
    /// The first checkpoint for which this key signed something that this node did not, as heard since the start.
    foreign_since: Option<u64>,
    /// Another node uses the key: nothing is signed any more.
    twin: bool,
    /// Whether a peer that has come as far as this node told what it holds since the start.
    armed: bool,
    /// The log of the consensus as of the start.
    log: Vec<LogEntry>,
    /// A round of which this node is the proposer, and has nothing to propose yet.
    wanted: Option<u64>,
    judging: BTreeSet<(u64, BlockId)>,
    /// How many blocks of the branch that is shown with proposals were shown already.
    shown: usize,
    silence: Option<Silence>,
}

impl Duty {
    /// What the store and what stands beside the key say of this finaliser's past.
    pub(super) fn load(
        finaliser: Finaliser,
        network: NetworkId,
        snapshot: &Snapshot,
    ) -> Result<Self, StoreError> {
        let corrupt = |what: &str| StoreError::Corrupt(format!("the note {what} is damaged"));
        let guard: Option<GuardState> = match snapshot.note(GUARD_NOTE)? {
            Some(bytes) => Some(wire::decode(&bytes).map_err(|_| corrupt(GUARD_NOTE))?),
            None => None,
        };
        let Finaliser { key, promise } = finaliser;
        let release = Release::load(promise)
            .map_err(|error| StoreError::Corrupt(format!("the finaliser's state: {error}")))?;
        let mut forbidden_through = guard.as_ref().map_or(0, |state| state.forbidden_through);
        if let Some(promised) = release.promised()
            && guard
                .as_ref()
                .map(Promised::remembered_by)
                .unwrap_or_default()
                < promised
        {
            forbidden_through = forbidden_through.max(promised.checkpoint);
            warn!(
                checkpoint = promised.checkpoint,
                "this store is older than what this finaliser has signed: it was restored from a backup, or lost. Nothing \
                 is signed up to that checkpoint"
            );
        }
        let log = snapshot
            .finality_log()?
            .into_iter()
            .map_while(|bytes| LogEntry::from_bytes(&bytes))
            .collect();
        let public = key.public_key();
        Ok(Self {
            key: public,
            engine: Engine::new(network, key, Timeouts::default(), Guard::resume(guard)),
            release,
            forbidden_through,
            foreign_since: None,
            twin: false,
            armed: false,
            log,
            wanted: None,
            judging: BTreeSet::new(),
            shown: 0,
            silence: None,
        })
    }

    pub(super) fn key(&self) -> &PublicKey {
        &self.key
    }

    pub(super) fn is_running(&self) -> bool {
        self.engine.checkpoint().is_some()
    }

    /// The blocks that this finaliser's part in deciding a checkpoint rests on.
    pub(super) fn bound_to(&self, checkpoint: u64) -> Vec<BlockId> {
        self.engine.bound_to(checkpoint)
    }

    /// Whether the consensus has a use for a message, told before or not.
    pub(super) fn wants(&self, message: &SignedFinalityMessage) -> bool {
        // What this node said itself the engine knows.
        message.finaliser != self.key && self.engine.wants(message)
    }

    pub(super) fn held_messages(&self) -> Vec<SignedFinalityMessage> {
        self.engine.held_messages()
    }

    #[cfg(test)]
    pub(super) fn held_count(&self) -> usize {
        self.engine.held_count()
    }

    /// Whether a message of this finaliser is in the store and its position beside the key: positions are signed and
    /// noted in order.
    pub(super) fn may_leave(&self, message: &SignedFinalityMessage) -> bool {
        self.release.promised() >= Some(Promised::of(&message.message))
    }

    pub(super) fn silence(&self) -> Option<Silence> {
        let failed = self.release.retry_ms().is_some();
        self.silence.or(failed.then_some(Silence::PromiseFailed))
    }

    /// When there is something to do next: while nothing can be said, no more is signed.
    pub(super) fn next_deadline_ms(&self) -> Option<u64> {
        let retry = self.release.retry_ms();
        retry.or_else(|| self.engine.next_deadline_ms())
    }

    /// The checkpoint is decided.
    pub(super) fn rest(&mut self) {
        self.engine.stop();
        self.release.forget();
        self.log.clear();
        self.wanted = None;
        self.judging.clear();
    }

    /// A peer that has come as far as this node told what it holds: had this key signed something that this node knows nothing of, it would be among it.
    pub(super) fn heard_from_a_peer(&mut self) {
        self.armed = true;
    }

    /// Somebody passes on a message. If this finaliser's key signed it and this node did not, its key is elsewhere too or
    /// its data is old. What the guard has to remember of that is to be kept.
    pub(super) fn is_told_of(&mut self, message: &SignedFinalityMessage) -> Option<GuardState> {
        if message.finaliser != self.key || self.engine.is_own(&message.message) {
            return None;
        }
        let mut state = None;
        let checkpoint = message.message.height;
        if self.forbidden_through < checkpoint {
            self.forbidden_through = checkpoint;
            error!(
                checkpoint,
                "this finaliser's key signed something that this node did not: another node uses the same key, or this \
                 node's data was restored from a backup. Nothing is signed up to that checkpoint"
            );
            self.rest();
            state = Some(self.engine.forbid_through(checkpoint));
        }
        // What was signed before a backup is of one checkpoint, or of the next too. What comes later is signed now.
        let since = *self.foreign_since.get_or_insert(checkpoint);
        if checkpoint > since + 1 && !self.twin {
            self.twin = true;
            error!(
                "another node signs with this finaliser's key. This node signs nothing any more: end one of the two, and \
                 start the other anew"
            );
        }
        state
    }
}

impl Node {
    /// Takes part in deciding the next checkpoint, where this node is a finaliser's.
    pub(super) fn do_duty(&mut self) {
        if self.finality.conflict.is_some() || self.write_failure.is_some() {
            return;
        }
        let Some(mut duty) = self.finality.duty.take() else {
            return;
        };
        if !duty.is_running() {
            self.begin(&mut duty);
        }
        if duty.is_running() && duty.release.retry_ms().is_none() {
            let outputs = duty.engine.tick(self.now.mono_ms);
            self.carry_out(&mut duty, outputs);
            self.answer_engine(&mut duty);
        }
        self.finality.duty = Some(duty);
    }

    /// Begins with the next checkpoint, if there is a reason to and nothing against it.
    fn begin(&mut self, duty: &mut Duty) {
        let finality = &self.finality;
        let next = finality.next();
        let candidate = self.store.snapshot().tip().height > finality.last_height();
        let woken = finality.set.has_honest(finality.votes.power(&finality.set));
        let interrupted = duty
            .log
            .iter()
            .any(|entry| entry.checkpoint() == Some(next));
        if !(candidate || woken || interrupted) {
            // What goes with the next checkpoint needs no word while there is nothing to decide.
            duty.silence = duty.twin.then_some(Silence::Twin);
            return;
        }
        duty.silence = self.silence(duty, next);
        if duty.silence.is_some() {
            return;
        }
        let log: Vec<LogEntry> = std::mem::take(&mut duty.log)
            .into_iter()
            .filter(|entry| entry.checkpoint() == Some(next))
            .collect();
        let set = self.finality.set.clone();
        self.finality.pull.reset(self.now.mono_ms);
        let outputs = duty.engine.start(&set, next, &log, self.now.mono_ms);
        self.carry_out(duty, outputs);
        let heard: Vec<SignedFinalityMessage> =
            self.finality.votes.clone().into_messages().collect();
        for message in heard {
            let outputs = duty.engine.message(&message, self.now.mono_ms);
            self.carry_out(duty, outputs);
        }
    }

    /// Why this finaliser signs nothing for a checkpoint.
    fn silence(&self, duty: &Duty, checkpoint: u64) -> Option<Silence> {
        let set = &self.finality.set;
        let Some(member) = set.member(&duty.key) else {
            return Some(Silence::NotInSet);
        };
        if duty.twin {
            return Some(Silence::Twin);
        }
        if checkpoint <= duty.forbidden_through {
            let through = duty.forbidden_through;
            return Some(Silence::Restored { through });
        }
        // Who can decide alone has nobody to ask.
        (!duty.armed && !set.is_quorum(member.power)).then_some(Silence::Unknown)
    }

    /// Tells the consensus a message of the checkpoint under way.
    pub(super) fn tell_engine(&mut self, message: &SignedFinalityMessage) {
        let Some(mut duty) = self.finality.duty.take() else {
            return;
        };
        // What this node said itself the engine knows.
        if duty.is_running() && message.finaliser != duty.key {
            let outputs = duty.engine.message(message, self.now.mono_ms);
            self.carry_out(&mut duty, outputs);
        }
        self.finality.duty = Some(duty);
    }

    /// What the consensus wants done. What it says waits for the commit.
    fn carry_out(&mut self, duty: &mut Duty, outputs: Vec<Output>) {
        for output in outputs {
            match output {
                Output::Log(_) | Output::Guard(_) if planted::is(Fault::NoGuard) => {}
                Output::Log(entry) => self.stage.finality.log.push(entry.as_bytes().to_vec()),
                Output::Guard(state) => {
                    let note = (GUARD_NOTE.to_owned(), Some(wire::encode(&state)));
                    self.stage.notes.extend([note]);
                }
                Output::Say(message) => {
                    if message.message.kind == FinalityMessage::PROPOSAL
                        && let Some(block) = message.message.block()
                        && let Err(failure) = self.show_branch(duty, &block)
                    {
                        // Others ask for what they miss; what was signed counts more.
                        self.store_failed(&failure.to_string());
                    }
                    self.stage.finality.says.push(message);
                }
                Output::Propose { round, .. } => duty.wanted = Some(round),
                Output::Judge { round, block, .. } => {
                    if duty.judging.len() >= MAX_JUDGING {
                        duty.judging.pop_first();
                    }
                    duty.judging.insert((round, block));
                }
                Output::Decided(certificate) => {
                    info!(
                        checkpoint = certificate.checkpoint,
                        round = certificate.round,
                        "decided"
                    );
                    if let Some(certificate) = duty.release.show(&duty.key, certificate) {
                        self.put_together(certificate);
                    }
                }
                Output::Evidence(proof) => self.convict(proof),
                Output::Refused { .. } => {
                    error!(
                        ?output,
                        "the guard kept this finaliser from contradicting itself"
                    );
                }
            }
        }
    }

    /// Publishes the blocks of a branch that this finaliser proposes although another chain is the best: it is locked on
    /// it. The others may never have heard of it, for nobody asks for a chain of less work. What the gossip layer has seen
    /// lately it does not take again; but there are other rounds.
    fn show_branch(&mut self, duty: &mut Duty, block: &BlockId) -> Result<(), StoreError> {
        let Some(path) = self.tree.path(&self.tree.tip(), block) else {
            return Ok(());
        };
        let from = Some(duty.shown).filter(|shown| *shown < path.join.len());
        let from = from.unwrap_or_default();
        duty.shown = from + MAX_SHOWN;
        for id in path.join.into_iter().skip(from).take(MAX_SHOWN) {
            let (Some(header), Some(body)) = (self.tree.get(&id).cloned(), self.load_body(&id)?)
            else {
                break;
            };
            let ids = body.iter().map(Verified::id).collect();
            let Ok(transactions) = List::new(ids) else {
                break;
            };
            self.out.push(Effect::Publish {
                topic: Topic::Block,
                data: wire::encode(&CompactBlock {
                    header,
                    transactions,
                }),
            });
        }
        Ok(())
    }

    /// Answers what the consensus asked, as far as this node can say.
    fn answer_engine(&mut self, duty: &mut Duty) {
        if let Some(round) = duty.wanted {
            match self.candidate() {
                Ok(Some(block)) => {
                    duty.wanted = None;
                    let outputs = duty.engine.propose(round, block, self.now.mono_ms);
                    self.carry_out(duty, outputs);
                }
                Ok(None) => {}
                Err(failure) => self.store_failed(&failure.to_string()),
            }
        }
        for (round, block) in duty.judging.clone() {
            match self.judge(&duty.engine, &block) {
                Ok(Some(valid)) => {
                    duty.judging.remove(&(round, block));
                    let outputs = duty.engine.judged(round, block, valid, self.now.mono_ms);
                    self.carry_out(duty, outputs);
                }
                Ok(None) => {}
                Err(failure) => self.store_failed(&failure.to_string()),
            }
        }
    }

    /// The block that this node would make the next checkpoint: the tip, or where that is too far above the last
    /// checkpoint, the highest block that is not; none if there is no block above.
    fn candidate(&self) -> Result<Option<BlockId>, StoreError> {
        let snapshot = self.store.snapshot();
        let (tip, last_height) = (snapshot.tip(), self.finality.last_height());
        let highest = last_height.saturating_add(self.finality.span);
        if tip.height > highest {
            return snapshot.main_id(highest);
        }
        Ok((tip.height > last_height).then_some(tip.id))
    }

    /// Whether a block may become the next checkpoint: it is here, valid, and descends from the last. Nothing, if it is
    /// not known yet.
    ///
    /// A block beside this node's best chain has to wait: were it taken because it is valid, a proposer could bring back a
    /// branch that leaves votes out. So has one that is too far above the last checkpoint. But once more than two thirds
    /// found it good, whoever they are locked on it need the others to go on.
    fn judge(&mut self, engine: &Engine, block: &BlockId) -> Result<Option<bool>, StoreError> {
        let snapshot = self.store.snapshot();
        let last_height = self.finality.last_height();
        if snapshot.is_main(block)? {
            let height = snapshot.header(block)?.map_or(0, |header| header.height);
            let near = height <= last_height.saturating_add(self.finality.span);
            let wanted = near || engine.has_polka(block);
            return Ok((height <= last_height || wanted).then_some(height > last_height));
        }
        if self.tree.is_invalid(block) {
            return Ok(Some(false));
        }
        if !self.recall_branch(block)? {
            return Ok(None);
        }
        let Some(path) = self.tree.path(&self.tree.tip(), block) else {
            return Ok(None);
        };
        if path.fork_height < last_height {
            return Ok(Some(false));
        }
        if !engine.has_polka(block) {
            return Ok(None);
        }
        let (Some(base), Some(mut parent)) =
            (snapshot.at(path.fork_height), snapshot.header(&path.fork)?)
        else {
            return Ok(None);
        };
        let mut missing = Vec::new();
        for id in &path.join {
            if self.load_body(id)?.is_none() {
                missing.push(*id);
            }
        }
        if !missing.is_empty() {
            self.ask_bodies_beside(missing);
            return Ok(None);
        }
        let mut overlay = Overlay::new(&base);
        for id in path.join {
            let (Some(header), Some(transactions)) =
                (self.tree.get(&id).cloned(), self.load_body(&id)?)
            else {
                return Ok(None);
            };
            match rules::apply_block(&overlay, &self.network, &parent, &header, &transactions) {
                Ok(delta) => overlay.push(delta),
                Err(Failure::State(failure)) => {
                    return Err(StoreError::Corrupt(failure.to_string()));
                }
                Err(Failure::Invalid(invalid)) => {
                    self.block_is_invalid(id, None, &invalid);
                    return Ok(Some(false));
                }
            }
            parent = header;
        }
        Ok(Some(true))
    }
}
