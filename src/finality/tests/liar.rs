//! What a finaliser with a valid key can say that an honest one would not.

use super::sim::*;
use crate::chain::block::BlockId;
use crate::chain::checkpoint::{MAX_ROUND, SignedFinalityMessage};
use crate::chain::transaction::FinalityMessage;
use crate::crypto::Signature;
use crate::wire::{self, Blob};

/// Where the liar's victim is.
struct Victim {
    node: usize,
    checkpoint: u64,
    round: u64,
}

impl Net {
    fn victim(&mut self, liar: usize) -> Option<Victim> {
        let node = self.draw(self.nodes.len() as u64) as usize;
        let engine = self.nodes[node].engine.as_ref()?;
        let (checkpoint, round) = (engine.checkpoint()?, engine.round()?);
        (node != liar).then_some(Victim {
            node,
            checkpoint,
            round,
        })
    }

    /// A block that somebody might propose, or not.
    fn any_block(&mut self, checkpoint: u64, round: u64) -> BlockId {
        let proposer = self.draw(self.nodes.len() as u64) as usize;
        match self.draw(8) {
            0 => bad_block(checkpoint * 1_000 + round),
            1 => unknown_block(checkpoint * 1_000 + round),
            _ => block(checkpoint, proposer, round.saturating_sub(self.draw(3))),
        }
    }

    fn speak(&mut self, liar: usize, to: usize, message: FinalityMessage) {
        let signed = SignedFinalityMessage::sign(&key(liar), &NETWORK, message);
        // A liar lies with no delay, and more than once.
        for _ in 0..1 + self.draw(2) {
            self.send(liar, to, signed.clone());
        }
    }

    /// A message for about this round that may or may not be one that an engine looks at.
    pub(super) fn any_message(&mut self, checkpoint: u64, around: u64) -> FinalityMessage {
        let round = match self.draw(8) {
            0 => around.saturating_sub(self.draw(6)),
            1 => around + self.draw(15),
            2 => self.draw(MAX_ROUND + 10),
            3 if self.draw(50) == 0 => wire::MAX_UINT - self.draw(2),
            _ => around,
        };
        let kind = self.draw(31) as u8 / 10;
        let value = match self.draw(40) {
            0 => Blob::of([0; 5]),
            1..14 => Blob::of([]),
            _ => Blob::of(self.any_block(checkpoint, round).to_bytes()),
        };
        let lock_round = match kind {
            FinalityMessage::PROPOSAL => self.draw(3) * self.draw(round + 2) % wire::MAX_UINT,
            _ => self.draw(60) / 59,
        };
        FinalityMessage {
            kind,
            height: checkpoint,
            round,
            lock_round,
            value,
        }
    }

    pub(super) fn lie_at_random(&mut self, liar: usize) {
        if let Some(victim) = self.victim(liar) {
            let message = self.any_message(victim.checkpoint, victim.round);
            self.speak(liar, victim.node, message);
        }
    }

    /// Votes for whatever is proposed to the victims with an even number, for nil to the others, and proposes something
    /// else to each of them. What convinces one is hidden from the other.
    pub(super) fn lie_to_half(&mut self, liar: usize) {
        let Some(victim) = self.victim(liar) else {
            return;
        };
        let Victim {
            node,
            checkpoint,
            round,
        } = victim;
        let engine = self.nodes[node].engine.as_ref().unwrap();
        let held = engine.held_messages();
        let proposal = held
            .iter()
            .map(|held| &held.message)
            .find(|said| said.kind == FinalityMessage::PROPOSAL && said.round == round);
        let value = match proposal {
            Some(proposal) if node % 2 == 0 => proposal.value.clone(),
            _ => Blob::of([]),
        };
        let proposal = FinalityMessage {
            kind: FinalityMessage::PROPOSAL,
            height: checkpoint,
            round,
            lock_round: 0,
            value: Blob::of(block(checkpoint, node, round).to_bytes()),
        };
        self.speak(liar, node, proposal);
        for kind in [FinalityMessage::PREVOTE, FinalityMessage::PRECOMMIT] {
            // To commit what only half of them saw is what it is after.
            if kind == FinalityMessage::PREVOTE || self.draw(3) == 0 {
                let vote = FinalityMessage {
                    kind,
                    height: checkpoint,
                    round,
                    lock_round: 0,
                    value: value.clone(),
                };
                self.speak(liar, node, vote);
            }
        }
    }
}

/// A message with bytes in the place of a signature, for tests with so many that signing would take long: engines rely
/// on signatures having been checked.
pub(super) fn signed_by_nobody(
    sender: usize,
    message: FinalityMessage,
    number: u64,
) -> SignedFinalityMessage {
    let mut signature = [1; 64];
    signature[..8].copy_from_slice(&number.to_be_bytes());
    SignedFinalityMessage {
        finaliser: key(sender).public_key(),
        message,
        signature: Signature::from_bytes(signature),
    }
}

/// Evidence convicts the liar and nobody else, and holds.
fn check_evidence(net: &Net, liar: Option<usize>) {
    for found in &net.evidence {
        assert_eq!(
            Some(found.finaliser),
            liar.map(|liar| key(liar).public_key())
        );
        let message = |message: &FinalityMessage, signature| SignedFinalityMessage {
            finaliser: found.finaliser,
            message: message.clone(),
            signature,
        };
        assert!(message(&found.first, found.first_signature).is_signed(&NETWORK));
        assert!(message(&found.second, found.second_signature).is_signed(&NETWORK));
        let (first, second) = (&found.first, &found.second);
        assert!(crate::wire::encode(first) < crate::wire::encode(second));
        let place = |said: &FinalityMessage| (said.kind, said.height, said.round);
        assert_eq!(place(first), place(second));
    }
}

#[test]
fn a_liar_among_four_can_neither_fork_nor_stop_the_others() {
    for seed in seeds(8) {
        for lies in [Lies::AtRandom, Lies::TwoFaced] {
            for powers in [&[1, 1, 1, 1][..], &[6, 8, 9, 10]] {
                let mut net = Net::new(powers, seed, 12);
                net.loss_percent = seed % 3 * 10;
                // Which number the liar has decides when its turn to propose comes.
                let liar = seed as usize % 3;
                let honest: Vec<usize> = (0..4).filter(|node| *node != liar).collect();
                net.boot(honest.clone());
                net.after(0, Event::Lie(liar, lies, u64::MAX));
                assert!(
                    net.finish(&honest, 300_000),
                    "seed {seed} {lies:?} {powers:?}: {}",
                    net.describe()
                );
                net.check();
                check_evidence(&net, Some(liar));
                assert!(!net.evidence.is_empty());
                assert!(net.most_held < 400, "{}", net.most_held);
            }
        }
    }
}

#[test]
fn whatever_the_schedule_nobody_disagrees_and_in_the_end_everybody_decides() {
    for seed in seeds(25) {
        let mut dice = Net::new(&[1], seed, 1);
        let count = 1 + dice.draw(7) as usize;
        let powers: Vec<u64> = (0..count).map(|_| 1 + dice.draw(9)).collect();
        let total: u64 = powers.iter().sum();
        let liar = (0..count).find(|node| 3 * powers[*node] < total && dice.draw(2) == 0);
        let mut net = Net::new(&powers, seed, u64::MAX);
        net.loses = [Loses::Nothing, Loses::Tail, Loses::Log][dice.draw(3) as usize];
        let honest: Vec<usize> = (0..count).filter(|node| Some(*node) != liar).collect();
        net.boot(honest.clone());
        if let Some(liar) = liar {
            let lies = [Lies::AtRandom, Lies::TwoFaced][dice.draw(2) as usize];
            net.after(0, Event::Lie(liar, lies, u64::MAX));
        }
        for _ in 0..10 {
            net.loss_percent = dice.draw(3) * dice.draw(30);
            net.crashes_per_10000 = dice.draw(3) * dice.draw(200);
            for node in &mut net.nodes {
                node.group = (dice.draw(4) == 0).into();
            }
            net.run(2_000);
        }
        net.loss_percent = 0;
        net.crashes_per_10000 = 0;
        for node in &mut net.nodes {
            node.group = 0;
        }
        net.target = net.decided.len() as u64 + 2;
        assert!(
            net.finish(&honest, 300_000),
            "seed {seed} {powers:?} liar {liar:?} {:?} {}",
            net.loses,
            net.describe()
        );
        net.check();
        check_evidence(&net, liar);
    }
}
