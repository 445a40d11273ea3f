//! One call of the engine: an input for the core, and all that follows from it at once.

use std::collections::BTreeSet;

use arc_malachitebft_core_consensus::{
    Error, Input, LocallyProposedValue, ProposedValue, State, process,
};
use arc_malachitebft_core_types as core;
use core::{PolkaCertificate, PolkaSignature, Timeout, Validity, ValueOrigin, VoteExtensionPolicy};

use super::Output;
use super::context::{Checkpoint, Ctx, Signed, number, round, signed};
use super::effects::{Hands, Verdict};
use super::log::{LogEntry, Record};
use crate::chain::block::BlockId;
use crate::chain::checkpoint::{MAX_ROUND, SignedFinalityMessage};
use crate::chain::transaction::FinalityMessage;

/// Proposals whose blocks are judged anew: one for each round that begins meanwhile is honest.
const MAX_DEFERRED: usize = 16;

/// The core and the hands that serve it.
pub(super) struct Turn<'a> {
    pub(super) state: &'a mut State<Ctx>,
    pub(super) hands: Hands<'a>,
}

fn drive(
    state: &mut State<Ctx>,
    hands: &mut Hands<'_>,
    input: Input<Ctx>,
) -> Result<(), Error<Ctx>> {
    process!(input: input, state: state, metrics: &(), with: effect => hands.serve(effect))
}

impl Turn<'_> {
    fn height(&self) -> Checkpoint {
        Checkpoint(self.hands.scene.checkpoint)
    }

    /// Gives the core an input. An error leaves a vote uncast or a proposal unmade, nothing worse: the round ends by
    /// its timeouts.
    pub(super) fn feed(&mut self, input: Input<Ctx>) -> bool {
        match drive(self.state, &mut self.hands, input) {
            Ok(()) => true,
            Err(error) => {
                tracing::warn!(%error, "the consensus core refused an input");
                false
            }
        }
    }

    /// Starts the checkpoint and brings the core to where the log ends.
    pub(super) fn start(&mut self, log: &[LogEntry]) {
        let checkpoint = self.hands.scene.checkpoint;
        let members = self.hands.scene.members.clone();
        let policy = VoteExtensionPolicy::Disabled;
        let start = Input::StartHeight(self.height(), members, false, None, policy);
        // A torn log is good up to where it was torn.
        let entries = log.iter().map_while(|entry| {
            let decoded = entry.decode()?;
            let input = decoded.input()?;
            (decoded.checkpoint == checkpoint).then_some((decoded.record, input))
        });
        let (records, inputs): (Vec<_>, Vec<_>) = entries.unzip();
        self.remember(log);
        self.hands.scene.replaying = Some(log.iter().cloned().collect());
        // What the core is held to is what it wanted itself.
        let wanted = records.iter().zip(&inputs);
        let wanted = wanted.filter(|(record, _)| !matches!(record, Record::Instead { .. }));
        self.state.index_wal_entries(wanted.map(|(_, input)| input));
        self.feed(start);
        for (record, input) in records.iter().zip(inputs) {
            self.replayed(record);
            if !self.feed(input) {
                self.hands.scene.diverged = true;
            }
        }
        self.state.reset_entries_index();
        self.hands.scene.replaying = None;
        let round = self.hands.scene.round;
        self.hands.out.retain(|output| match output {
            Output::Say(said) => said.message.round >= round,
            _ => true,
        });
        self.ask_again();
        self.settle();
        if self.hands.scene.decided.is_none() {
            self.leave_forgotten();
            self.settle();
        }
    }

    /// Lets the guard know of everything that the log says was signed, wherever the log is torn.
    fn remember(&mut self, log: &[LogEntry]) {
        let identity = self.hands.identity;
        let own = log.iter().filter_map(|entry| match entry.decode()?.record {
            Record::Said { message } | Record::Instead { message } => {
                (message.finaliser == identity.public).then_some(message)
            }
            _ => None,
        });
        let mut changed = false;
        for said in own {
            changed |= self.hands.guard.observe(&identity.network, &said.message);
        }
        if changed {
            let state = self.hands.guard.state().clone();
            self.hands.out.push(Output::Guard(state));
        }
    }

    /// Brings what is kept beside the core up to a record of the log, before the core gets it.
    fn replayed(&mut self, record: &Record) {
        match record {
            Record::Instead { message } => {
                self.hands.keep(message);
                self.hands.scene.instead.push(message.clone());
            }
            Record::Said { message } => {
                self.hands.keep(message);
                if message.message.kind == FinalityMessage::PROPOSAL
                    && let Some(block) = message.message.block()
                {
                    let verdicts = &mut self.hands.scene.verdicts;
                    verdicts.entry(block).or_insert(Verdict::Open);
                }
            }
            Record::Judged { block, valid, .. } => {
                let verdict = Verdict::Given(*valid == 1);
                self.hands.scene.verdicts.insert(*block, verdict);
            }
            Record::Polka {
                round,
                block,
                prevotes,
            } => {
                self.hands.scene.polkas.insert((*round, *block));
                for prevote in prevotes.iter() {
                    self.hands.keep(&SignedFinalityMessage {
                        finaliser: prevote.key,
                        message: FinalityMessage {
                            kind: FinalityMessage::PREVOTE,
                            ..FinalityMessage::precommit(self.hands.scene.checkpoint, *round, block)
                        },
                        signature: prevote.signature,
                    });
                }
            }
            Record::Elapsed { .. } => {}
        }
    }

    /// Asks again about proposals whose verdict was awaited when the log ended.
    fn ask_again(&mut self) {
        let scene = &self.hands.scene;
        let open = scene.held.proposals(scene.round).filter(|(_, block)| {
            let verdict = scene.verdicts.get(block);
            !matches!(verdict, Some(Verdict::Given(_)))
        });
        let open: BTreeSet<(u64, BlockId)> = open.collect();
        for (round, block) in open {
            self.ask(round, block);
        }
    }

    fn ask(&mut self, round: u64, block: BlockId) {
        self.hands.out.push(Output::Judge {
            checkpoint: self.hands.scene.checkpoint,
            round,
            block,
        });
    }

    /// Does all that can be done now: gives the core what it lacks, asks the node, notices the decision.
    pub(super) fn settle(&mut self) {
        // Ends: every turn of the loop gives the core a message, a polka or a round that it has not had.
        loop {
            if self.decide() {
                return;
            }
            let round = self.hands.scene.round;
            let valid = self.state.driver.valid_value();
            let valid = valid.and_then(|valid| number(valid.round));
            self.hands.scene.held.prune(round, valid);
            if let Some(message) = self.hands.scene.held.next_unfed(round) {
                self.hear(&message);
            } else if !self.skip() && !self.reveal_polka() {
                break;
            }
        }
        self.hands.say_instead();
        self.want();
    }

    /// Notices the decision. From then on nothing moves any more.
    fn decide(&mut self) -> bool {
        let scene = &mut *self.hands.scene;
        if scene.decided.is_some() {
            return true;
        }
        let Some(certificate) = scene.held.decision(scene.checkpoint) else {
            return false;
        };
        scene.decided = Some(certificate.round);
        scene.timers.clear();
        scene.wanted = None;
        self.hands.out.push(Output::Decided(certificate));
        true
    }

    /// Gives the core a message.
    fn hear(&mut self, message: &SignedFinalityMessage) {
        match signed(message) {
            Some(Signed::Vote(vote)) => {
                self.feed(Input::Vote(vote));
            }
            Some(Signed::Proposal(proposal)) => {
                let block = message.message.block();
                if block.is_some_and(|block| self.defer(message, block)) {
                    return;
                }
                self.feed(Input::Proposal(proposal));
                if let Some(block) = block {
                    self.consider(message.message.round, block);
                }
            }
            None => {}
        }
    }

    /// Keeps a proposal from the core for now, if its block was found valid in an earlier round.
    ///
    /// What breaks a rule does so for ever. But what was valid may have left the best chain since, and then only a polka
    /// makes it worth a vote. The core takes a verdict on a block for every later round of the checkpoint; so it hears of
    /// the proposal when the node was asked anew.
    fn defer(&mut self, message: &SignedFinalityMessage, block: BlockId) -> bool {
        let scene = &mut *self.hands.scene;
        let Some(verdict @ (Verdict::Given(true) | Verdict::Anew)) = scene.verdicts.get_mut(&block)
        else {
            return false;
        };
        *verdict = Verdict::Anew;
        let current = scene.round;
        scene.deferred.retain(|kept| kept.message.round >= current);
        if scene.deferred.len() < MAX_DEFERRED {
            scene.deferred.push(message.clone());
        }
        self.ask(message.message.round, block);
        true
    }

    /// Asks for the verdict on a proposed block, or tells the core of it if it is known already.
    fn consider(&mut self, number: u64, block: BlockId) {
        let verdicts = &mut self.hands.scene.verdicts;
        match *verdicts.entry(block).or_insert(Verdict::Open) {
            // A block that was asked for already is asked for again: the round is another.
            Verdict::Open | Verdict::Anew => self.ask(number, block),
            Verdict::Given(valid) => {
                let known =
                    self.state
                        .get_proposed_value_by_id(self.height(), round(number), &block);
                if known.is_none() {
                    self.feed_verdict(number, block, valid);
                }
            }
        }
    }

    fn feed_verdict(&mut self, number: u64, block: BlockId, valid: bool) {
        let scene = &*self.hands.scene;
        let value = ProposedValue {
            height: self.height(),
            round: round(number),
            valid_round: core::Round::Nil,
            proposer: scene.members.proposer(scene.checkpoint, number).key,
            value: block,
            validity: Validity::from_bool(valid),
        };
        self.feed(Input::ProposedValue(value, ValueOrigin::Consensus));
    }

    /// Goes to a round that a third of the power is in or past.
    fn skip(&mut self) -> bool {
        let before = self.hands.scene.round;
        if let Some(round) = self.hands.scene.held.skip(before) {
            self.advance(round);
        }
        self.hands.scene.round > before
    }

    /// Brings the core to a later round. It would come there by itself only by votes of a single round, of which it
    /// takes none that are far ahead. Safety does not depend on how a round is entered; a precommit timeout ends one
    /// from any step, and is in the log.
    fn advance(&mut self, to: u64) {
        while self.hands.scene.round < to.min(MAX_ROUND) {
            let before = self.hands.scene.round;
            self.feed(Input::TimeoutElapsed(Timeout::precommit(round(before))));
            if self.hands.scene.round <= before {
                break;
            }
        }
    }

    /// Leaves the round in which the guard knows of something signed that the log does not lead to: a log that was lost.
    /// Nothing could be said there again, and were others in the same state, all would wait for each other for ever.
    fn leave_forgotten(&mut self) {
        let signed = self.hands.guard.state();
        let scene = &*self.hands.scene;
        // A key that may not sign has nothing to say in any other round either.
        let forbidden = signed.forbidden_through >= scene.checkpoint;
        if signed.checkpoint != scene.checkpoint || forbidden {
            return;
        }
        let own = &self.hands.identity.public;
        if !scene.held.has(own, signed.round, signed.kind) {
            let next = signed.round.saturating_add(1);
            self.advance(next);
        }
    }

    /// Tells the core of a polka that it did not see because a liar voted twice.
    fn reveal_polka(&mut self) -> bool {
        let scene = &mut *self.hands.scene;
        let near = scene.round;
        let news = scene.held.polkas().find(|(number, block, _)| {
            *number <= near
                && !scene.polkas.contains(&(*number, *block))
                && self
                    .state
                    .polka_certificate(round(*number), block)
                    .is_none()
        });
        let Some((number, block, votes)) = news else {
            return false;
        };
        scene.polkas.insert((number, block));
        let polka_signatures = votes
            .into_iter()
            .map(|vote| PolkaSignature::new(vote.key, vote.signature))
            .collect();
        let certificate = PolkaCertificate {
            height: self.height(),
            round: round(number),
            value_id: block,
            polka_signatures,
        };
        self.feed(Input::PolkaCertificate(certificate));
        true
    }

    /// Finds a block to propose, if the core waits for one.
    fn want(&mut self) {
        let scene = &mut *self.hands.scene;
        let (checkpoint, Some((round, false))) = (scene.checkpoint, scene.wanted) else {
            return;
        };
        scene.wanted = Some((round, true));
        // Whoever is locked proposes what it is locked on, even where the core has forgotten.
        if let Some((_, block)) = self.hands.guard.lock(checkpoint) {
            self.propose(round, block);
        } else {
            self.hands.out.push(Output::Propose { checkpoint, round });
        }
    }

    /// Proposes a block, if the core waits for one in this round.
    pub(super) fn propose(&mut self, number: u64, block: BlockId) {
        let scene = &mut *self.hands.scene;
        if scene.wanted != Some((number, true)) {
            return;
        }
        scene.wanted = None;
        scene.verdicts.insert(block, Verdict::Given(true));
        let value = LocallyProposedValue::new(self.height(), round(number), block);
        self.feed(Input::Propose(value));
        self.settle();
    }

    /// Passes a verdict on, under the last round at hand in which the block is proposed. Where there is none any more,
    /// it is remembered for when the block is proposed again.
    pub(super) fn judged(&mut self, block: BlockId, valid: bool) {
        let scene = &mut *self.hands.scene;
        let Some(verdict @ (Verdict::Open | Verdict::Anew)) = scene.verdicts.get_mut(&block) else {
            return;
        };
        // The core cannot be told that what was valid is so no more. It goes on without the proposals that wait.
        if scene.decided.is_some() || *verdict == Verdict::Anew && !valid {
            return;
        }
        *verdict = Verdict::Given(valid);
        let about = |message: &mut SignedFinalityMessage| message.message.block() == Some(block);
        let deferred: Vec<_> = scene.deferred.extract_if(.., about).collect();
        for message in deferred.iter().filter(|_| valid) {
            if let Some(Signed::Proposal(proposal)) = signed(message) {
                self.feed(Input::Proposal(proposal));
            }
        }
        let known = self
            .state
            .get_proposed_value_by_id(self.height(), round(0), &block);
        if known.is_some() {
            return self.settle();
        }
        let scene = &mut *self.hands.scene;
        let proposals = scene
            .held
            .proposals(0)
            .filter(|(_, proposed)| *proposed == block);
        if let Some((number, _)) = proposals.last() {
            self.feed_verdict(number, block, valid);
            self.settle();
        }
    }
}
