//! A small network for tests: named voters, invitations and organisers, and a chain that grows in memory.

#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use crate::chain::block::{BlockId, Header};
use crate::chain::checkpoint::{CommitCertificate, SignedFinalityMessage};
use crate::chain::election::{Choices, ElectionId, Method, Privacy, Terms};
use crate::chain::genesis::{
    Finaliser, Genesis, Group, OpenAdmission, Organiser, PROTOCOL_VERSION,
};
use crate::chain::invalid::{BlockInvalid, Failure, Invalid};
use crate::chain::memory::MemoryState;
use crate::chain::network::Network;
use crate::chain::rules::{
    BlockTime, Template, TemplateLimits, apply_block, apply_transaction, fill_template,
};
use crate::chain::sign;
use crate::chain::state::Delta;
use crate::chain::transaction::{Approval, Finalisers, FinalityMessage, Payload, Transaction};
use crate::chain::verify::{Verified, Verifier};
use crate::crypto::{Hash, PublicKey, SigningKey, VoterId};
use crate::wire::{Blob, List, Text};

/// Timestamp of the genesis block.
pub(crate) const START_MS: u64 = 1_000_000;
/// Zero bits of stamps.
pub(crate) const BITS: u8 = 4;

pub(crate) fn text<const MIN: usize, const MAX: usize>(text: &str) -> Text<MIN, MAX> {
    Text::new(text).unwrap()
}

/// May do everything an organiser may.
pub(crate) fn organiser() -> SigningKey {
    SigningKey::from_seed(&[101; 32])
}

/// May do neither.
pub(crate) fn stranger() -> SigningKey {
    SigningKey::from_seed(&[102; 32])
}

pub(crate) fn invitation(number: u8) -> SigningKey {
    SigningKey::from_seed(&[number; 32])
}

pub(crate) fn voter(number: u8) -> VoterId {
    VoterId::from_bytes([number; 32])
}

pub(crate) fn voter_key(number: u8) -> PublicKey {
    voter(number).signing_key().public_key()
}

/// Block time 1 s, grace 2 s, stamps of [`BITS`], one organiser, work for free.
pub(crate) fn genesis() -> Genesis {
    Genesis {
        version: PROTOCOL_VERSION,
        name: text("test"),
        timestamp_ms: START_MS,
        block_time_ms: 1_000,
        target: Hash::from_bytes([0xff; 32]),
        close_grace_ms: 2_000,
        confirmations: 2,
        max_block_bytes: 64 * 1024,
        max_block_transactions: 100,
        open_admission: OpenAdmission::Stamped { bits: BITS },
        vote_stamp_bits: BITS,
        elections_by: Genesis::ANYONE,
        organisers: List::new(vec![Organiser {
            key: organiser().public_key(),
            permissions: 3,
            name: text("organiser"),
        }])
        .unwrap(),
        finalisers: List::new(Vec::new()).unwrap(),
    }
}

pub(crate) fn network() -> Arc<Network> {
    network_with(|_| {})
}

pub(crate) fn network_with(change: impl FnOnce(&mut Genesis)) -> Arc<Network> {
    let mut genesis = genesis();
    change(&mut genesis);
    Arc::new(Network::new(genesis).unwrap())
}

/// Three options, for the groups `club` and `open`; polls from 10 s to 20 s after the genesis, the roll until 20 s.
pub(crate) fn terms() -> Terms {
    Terms {
        title: text("Colour"),
        question: text("Which colour?"),
        options: List::new(vec![text("red"), text("green"), text("blue")]).unwrap(),
        method: Method::Plurality as u8,
        seats: 1,
        score_maximum: 0,
        opens_at_ms: START_MS + 10_000,
        closes_at_ms: START_MS + 20_000,
        roll_closes_at_ms: START_MS + 20_000,
        reveal_until_ms: 0,
        min_ring: 0,
        groups: List::new(vec![text("club"), text("open")]).unwrap(),
        privacy: Privacy::Pseudonymous as u8,
    }
}

pub(crate) fn register(network: &Network, number: u8) -> Transaction {
    let never = AtomicBool::new(false);
    sign::register_open(&network.id(), &voter(number), &[0; 32], BITS, &never).unwrap()
}

pub(crate) fn register_with(network: &Network, number: u8, invited_by: u8) -> Transaction {
    sign::register_invited(
        &network.id(),
        &voter(number),
        &[0; 32],
        &invitation(invited_by),
    )
}

pub(crate) fn keys(numbers: &[u8]) -> sign::InvitationKeys {
    let keys = numbers.iter().map(|i| invitation(*i).public_key());
    List::new(keys.collect()).unwrap()
}

pub(crate) fn issue(network: &Network, group: &str, numbers: &[u8]) -> Transaction {
    let group = Group::new(group).unwrap();
    sign::issue_invitations(&network.id(), &organiser(), group, keys(numbers))
}

pub(crate) fn revoke(network: &Network, numbers: &[u8]) -> Transaction {
    sign::revoke_invitations(&network.id(), &organiser(), keys(numbers))
}

pub(crate) fn open(network: &Network, terms: Terms) -> (ElectionId, Transaction) {
    let transaction = sign::open_election(network, &organiser(), terms).unwrap();
    let Payload::Election { election } = &transaction.payload else {
        unreachable!()
    };
    (election.id(), transaction)
}

pub(crate) fn vote(
    network: &Network,
    number: u8,
    election: ElectionId,
    choices: &[u8],
) -> Transaction {
    let choices = Choices::new(choices.to_vec()).unwrap();
    sign::cast_vote(&network.id(), &voter(number), election, choices)
}

/// The key of a finaliser.
pub(crate) fn finaliser(number: u8) -> SigningKey {
    SigningKey::from_seed(&[200 + number; 32])
}

fn member(number: u8) -> Finaliser {
    Finaliser {
        key: finaliser(number).public_key(),
        power: 1,
        name: text(&format!("finaliser {number}")),
    }
}

/// These finalisers, of power 1 each.
pub(crate) fn finalisers(numbers: &[u8]) -> Finalisers {
    List::new(numbers.iter().map(|number| member(*number)).collect()).unwrap()
}

/// [`network`] with finalisers 1 to 4.
pub(crate) fn finalising_network() -> Arc<Network> {
    let members = (1..=4).map(member).collect();
    network_with(|genesis| genesis.finalisers = List::new(members).unwrap())
}

/// Makes `members` the set with this number, approved by `approvers`.
pub(crate) fn change(network: &Network, set: u64, members: &[u8], approvers: &[u8]) -> Transaction {
    let members = finalisers(members);
    let approvals = approvers
        .iter()
        .map(|number| sign::approve_change(&network.id(), &finaliser(*number), set, &members));
    let approvals = List::new(approvals.collect()).unwrap();
    sign::change_finalisers(&network.id(), set, members, approvals).unwrap()
}

/// What a finaliser prevotes for; 0 is nil.
pub(crate) fn prevote(
    network: &Network,
    number: u8,
    height: u64,
    round: u64,
    block: u8,
) -> SignedFinalityMessage {
    let value = if block == 0 { vec![] } else { vec![block; 32] };
    let message = FinalityMessage {
        kind: FinalityMessage::PREVOTE,
        height,
        round,
        lock_round: 0,
        value: Blob::new(value).unwrap(),
    };
    SignedFinalityMessage::sign(&finaliser(number), &network.id(), message)
}

/// Evidence that a finaliser prevoted for two blocks.
pub(crate) fn evidence(network: &Network, number: u8, height: u64, round: u64) -> Transaction {
    let one = prevote(network, number, height, round, 1);
    let other = prevote(network, number, height, round, 2);
    sign::convict(&network.id(), one.contradicts(&other).unwrap())
}

/// What these finalisers decided.
pub(crate) fn certificate(
    network: &Network,
    set: u64,
    checkpoint: u64,
    block: BlockId,
    signers: &[u8],
) -> CommitCertificate {
    let mut precommits: Vec<_> = signers
        .iter()
        .map(|number| {
            let message = FinalityMessage::precommit(checkpoint, 0, &block);
            let signed = SignedFinalityMessage::sign(&finaliser(*number), &network.id(), message);
            Approval {
                key: signed.finaliser,
                signature: signed.signature,
            }
        })
        .collect();
    precommits.sort_by_key(|precommit| precommit.key);
    CommitCertificate {
        set,
        checkpoint,
        round: 0,
        block,
        precommits: List::new(precommits).unwrap(),
    }
}

/// A chain whose state is in memory.
#[derive(Clone)]
pub(crate) struct Chain {
    pub(crate) network: Arc<Network>,
    pub(crate) state: MemoryState,
    pub(crate) tip: Header,
}

impl Chain {
    pub(crate) fn new(network: Arc<Network>) -> Self {
        Self {
            state: MemoryState::new(),
            tip: network.genesis_header().clone(),
            network,
        }
    }

    pub(crate) fn verdict(
        &self,
        transaction: Transaction,
    ) -> Result<Verified<Transaction>, Invalid> {
        let verifier = Verifier::new(Arc::clone(&self.network), [0; 32]);
        verifier.verify(vec![transaction]).pop().unwrap()
    }

    pub(crate) fn verified(&self, transactions: Vec<Transaction>) -> Vec<Verified<Transaction>> {
        let verifier = Verifier::new(Arc::clone(&self.network), [0; 32]);
        let verdicts = verifier.verify(transactions);
        verdicts.into_iter().collect::<Result<_, _>>().unwrap()
    }

    /// What the next block, so many milliseconds after the genesis, would say to this transaction.
    pub(crate) fn apply(&self, after_ms: u64, transaction: Transaction) -> Result<Delta, Invalid> {
        let at = BlockTime {
            height: self.tip.height + 1,
            index: 0,
            timestamp_ms: START_MS + after_ms,
        };
        let transaction = self.verdict(transaction)?;
        apply_transaction(&self.state, &self.network, at, &transaction).map_err(|failure| {
            match failure {
                Failure::Invalid(reason) => reason,
                Failure::State(error) => panic!("{error}"),
            }
        })
    }

    pub(crate) fn template(
        &self,
        after_ms: u64,
        candidates: Vec<Verified<Transaction>>,
    ) -> Template {
        fill_template(
            &self.state,
            &self.network,
            &self.tip,
            START_MS + after_ms,
            stranger().public_key(),
            candidates,
            TemplateLimits::of(&self.network),
        )
        .unwrap()
    }

    pub(crate) fn check(
        &self,
        header: &Header,
        transactions: &[Verified<Transaction>],
    ) -> Result<Delta, BlockInvalid> {
        match apply_block(&self.state, &self.network, &self.tip, header, transactions) {
            Ok(delta) => Ok(delta),
            Err(Failure::Invalid(reason)) => Err(reason),
            Err(Failure::State(error)) => panic!("{error}"),
        }
    }

    /// Mines these transactions, all of which have to be valid, so many milliseconds after the genesis.
    pub(crate) fn mine(&mut self, after_ms: u64, transactions: Vec<Transaction>) {
        let template = self.template(after_ms, self.verified(transactions));
        assert_eq!(template.skipped, []);
        let delta = self
            .check(&template.header, &template.transactions)
            .unwrap();
        self.state.insert(delta);
        self.tip = template.header;
    }
}
