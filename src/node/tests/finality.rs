//! Networks whose organisers decide checkpoints.

mod byzantine;
mod conflicts;
mod crashes;
mod late;
mod liars;
mod misled;
mod pages;
mod span;
mod two_faced;

use std::collections::BTreeMap;

use super::*;
use crate::chain::block::BlockId;
use crate::chain::checkpoint::{CommitCertificate, SignedFinalityMessage};
use crate::chain::genesis::Finaliser;
use crate::chain::state::View;
use crate::chain::transaction::{Approval, FinalityMessage};
use crate::crypto::{PublicKey, SigningKey};
use crate::node::Input;
use crate::node::finality::{Promise as _, Promised};
use crate::node::simulated::forge::{Forge, compact};
use crate::node::simulated::host::{Setup, peer_id};
use crate::node::simulated::puppet::{Manner, Puppet};
use crate::protocol::finality::FinalityGossip;
use crate::protocol::names::Topic;
use crate::protocol::submit::TxStatus;
use crate::protocol::sync::Request;

fn key(seed: u8) -> SigningKey {
    SigningKey::from_seed(&[seed; 32])
}

fn finaliser(seed: u8, power: u64) -> Finaliser {
    Finaliser {
        key: key(seed).public_key(),
        power,
        name: testing::text(&format!("F{seed}")),
    }
}

/// Finalisers 1 to N with equal power.
fn finalising(count: u8) -> Arc<Network> {
    let finalisers = (1..=count).map(|seed| finaliser(seed, 1)).collect();
    network_with(|genesis| genesis.finalisers = List::new(finalisers).unwrap())
}

fn host(finaliser: Option<u8>) -> Setup {
    Setup {
        finaliser,
        ..Setup::default()
    }
}

/// A host for each of so many finalisers, the seeds of their keys from 1 on, and plain ones.
fn hosts(network: &Arc<Network>, finalisers: u8, plain: usize) -> Net {
    let mut setups: Vec<Setup> = (1..=finalisers).map(|seed| host(Some(seed))).collect();
    setups.extend((0..plain).map(|_| host(None)));
    let mut net = Net::with(Arc::clone(network), setups);
    net.run(100);
    net
}

fn is_final(net: &Net, host: usize, id: crate::chain::transaction::TxId) -> bool {
    matches!(net.status(host, id), TxStatus::Final { .. })
}

fn last_certificate(net: &Net, host: usize) -> Option<CommitCertificate> {
    net.node(host)
        .store()
        .snapshot()
        .last_certificate()
        .unwrap()
        .map(|last| last.certificate)
}

fn running(net: &Net) -> Vec<usize> {
    (0..net.hosts.len())
        .filter(|host| net.hosts[*host].running.is_some())
        .collect()
}

/// Whether every running host's tip is final.
fn settled(net: &Net) -> bool {
    let hosts = running(net);
    net.one_tip()
        && hosts
            .iter()
            .all(|host| last_certificate(net, *host).is_some_and(|c| c.block == net.tip(*host).1))
}

/// Waits until this is final on every running host, and everything else too.
fn finish(net: &mut Net, transaction: &Transaction) {
    let id = transaction.id();
    net.until("final everywhere", 120_000, |net| {
        running(net).iter().all(|host| is_final(net, *host, id)) && settled(net)
    });
}

/// Hands something in at a host and waits until it is final.
fn make_final(net: &mut Net, host: usize, transaction: Transaction) {
    net.accept(host, vec![transaction.clone()]);
    finish(net, &transaction);
}

/// The host whose finaliser proposes in the first round of a checkpoint, where so many have equal power.
fn proposer_of(finalisers: u8, checkpoint: u64) -> usize {
    let mut hosts: Vec<u8> = (0..finalisers).collect();
    hosts.sort_by_key(|host| key(host + 1).public_key());
    usize::from(hosts[(checkpoint % u64::from(finalisers)) as usize])
}

/// What finalisers said and what became final, over a whole run: whoever contradicts it panics.
#[derive(Default)]
struct Record {
    said: BTreeMap<(PublicKey, u64, u64, u8), SignedFinalityMessage>,
    read: usize,
    decided: BTreeMap<u64, BlockId>,
}

impl Record {
    /// Takes in what is new. Answers how many messages have been looked at.
    fn check(&mut self, net: &Net) -> usize {
        for published in &net.published[self.read..] {
            if published.topic != Topic::Finality {
                continue;
            }
            let Ok(FinalityGossip::Messages { messages }) = wire::decode(&published.data) else {
                continue;
            };
            for message in messages.into_vec() {
                let m = &message.message;
                let place = (message.finaliser, m.height, m.round, m.kind);
                let before = self.said.entry(place).or_insert_with(|| message.clone());
                assert_eq!(before.message, message.message, "signed twice: {place:?}");
                // Whoever says something has noted before how far it signed.
                let host = &net.hosts[published.by];
                if host.setup.finaliser.map(key).map(|key| key.public_key())
                    == Some(message.finaliser)
                {
                    let noted = host.promise.clone().read().unwrap();
                    assert!(noted >= Some(Promised::of(m)), "{noted:?} and {place:?}");
                }
            }
        }
        self.read = net.published.len();
        for host in running(net) {
            if let Some(certificate) = last_certificate(net, host) {
                let block = *self
                    .decided
                    .entry(certificate.checkpoint)
                    .or_insert(certificate.block);
                assert_eq!(
                    block, certificate.block,
                    "two checkpoints {}",
                    certificate.checkpoint
                );
            }
            let snapshot = net.node(host).store().snapshot();
            for (number, block) in self.decided.iter().rev().take(3) {
                if snapshot.certificate(*number).unwrap().is_some() {
                    assert!(snapshot.is_main(block).unwrap(), "checkpoint {number} left");
                }
            }
        }
        self.said.len()
    }
}

/// What somebody without a node passes on to a host.
fn gossip(net: &mut Net, host: usize, messages: Vec<SignedFinalityMessage>) {
    let messages = List::new(messages).unwrap();
    let data = wire::encode(&FinalityGossip::Messages { messages });
    net.gossip(host, peer_id(222), Topic::Finality, data);
}

/// What the finaliser with this seed says; its lock aside.
fn say(
    network: &Network,
    seed: u8,
    kind: u8,
    height: u64,
    round: u64,
    value: &[u8],
) -> SignedFinalityMessage {
    let message = FinalityMessage {
        kind,
        height,
        round,
        lock_round: 0,
        value: crate::wire::Blob::new(value.to_vec()).unwrap(),
    };
    SignedFinalityMessage::sign(&key(seed), &network.id(), message)
}

#[test]
fn votes_and_results_become_final_and_then_it_is_quiet() {
    let mut net = hosts(&finalising(4), 4, 1);
    register(&mut net, 1..6);
    let id = open(&mut net, 0, 8_000);
    let network = Arc::clone(&net.network);
    let votes: Vec<_> = (1..6)
        .map(|voter| testing::vote(&network, voter, id, &[0]))
        .collect();
    net.accept(4, votes.clone());
    net.until("every vote is final", 20_000, |net| {
        (0..5).all(|host| votes.iter().all(|vote| is_final(net, host, vote.id())))
    });
    net.until("the result is final", 60_000, |net| {
        (0..5).all(|host| {
            let result = net.result(host, &id);
            result.phase == ElectionPhase::Final as u8
                && result.tally.totals[0] == 5
                && result.checkpoint.first().is_some_and(|block| {
                    block.height >= result.closing_block.first().unwrap().height
                })
        })
    });
    net.until("settled", 20_000, settled);
    net.run(10_000);
    let tips = net.tips();
    net.published.clear();
    net.requests.clear();
    net.run(600_000);
    assert_eq!(net.tips(), tips);
    assert!(net.published.is_empty(), "{:?}", net.published);
    assert!(
        net.requests
            .iter()
            .all(|(_, request)| matches!(request, Request::Status { .. }))
    );
    assert!(net.penalties.is_empty(), "{:?}", net.penalties);
    for host in 0..5 {
        let status = net.node(host).status().finality.unwrap();
        assert_eq!(status.waiting, None);
        assert_eq!(status.block, tips[0].1);
    }
}

#[test]
fn one_of_four_may_be_away_two_may_not() {
    let mut net = hosts(&finalising(4), 4, 1);
    let network = Arc::clone(&net.network);
    let mut record = Record::default();
    net.crash(0);
    let first = testing::register(&network, 1);
    net.accept(4, vec![first.clone()]);
    net.until("final without one", 30_000, |net| {
        running(net)
            .iter()
            .all(|host| is_final(net, *host, first.id()))
    });
    record.check(&net);
    net.crash(1);
    let second = testing::register(&network, 2);
    net.accept(4, vec![second.clone()]);
    net.until("included", 20_000, |net| net.is_included(4, second.id()));
    let height = net.tip(4).0;
    net.accept(4, vec![testing::register(&network, 3)]);
    net.until("blocks go on", 20_000, |net| net.tip(4).0 > height);
    net.run(60_000);
    assert!(!is_final(&net, 4, second.id()));
    for host in [2, 4] {
        let waiting = net.node(host).status().finality.unwrap().waiting.unwrap();
        assert!(waiting.contains("F1, F2"), "{waiting}");
    }
    record.check(&net);
    net.start(0);
    net.start(1);
    net.until("settled", 60_000, settled);
    assert!((0..5).all(|host| is_final(&net, host, second.id())));
    record.check(&net);
    assert!(net.penalties.is_empty(), "{:?}", net.penalties);
}

#[test]
fn one_who_finalises_alone_needs_nobody() {
    let mut net = hosts(&finalising(1), 1, 1);
    let vote = testing::register(&net.network, 1);
    net.accept(1, vec![vote.clone()]);
    net.until("final", 20_000, |net| {
        (0..2).all(|host| is_final(net, host, vote.id()))
    });
    net.crash(0);
    net.start(0);
    let last = testing::register(&net.network, 2);
    make_final(&mut net, 1, last);
}

/// Its certificate would be in the store, and with it the signature at its peers.
#[test]
fn nothing_signed_leaves_while_it_cannot_be_noted_beside_the_key() {
    let mut net = hosts(&finalising(1), 1, 1);
    register(&mut net, 1..3);
    net.until("settled", 20_000, settled);
    let last = last_certificate(&net, 0);
    net.hosts[0].promise.fail(true);
    let vote = testing::register(&net.network, 5);
    net.accept(1, vec![vote.clone()]);
    net.run(30_000);
    assert!((0..2).all(|host| net.is_included(host, vote.id())));
    assert!((0..2).all(|host| last_certificate(&net, host) == last));
    let status = net.node(0).status().finality.unwrap();
    let waiting = status.waiting.expect("it says nothing");
    assert!(waiting.contains("cannot be written"), "{waiting}");
    // Killed in this state it is like any node that was killed before it could say what it signed.
    net.crash(0);
    net.hosts[0].promise.fail(false);
    net.start(0);
    finish(&mut net, &vote);
    net.hosts[0].promise.fail(true);
    let vote = testing::register(&net.network, 6);
    net.accept(1, vec![vote.clone()]);
    net.run(10_000);
    assert!(!is_final(&net, 0, vote.id()));
    net.hosts[0].promise.fail(false);
    finish(&mut net, &vote);
    assert_eq!(net.node(0).status().finality.unwrap().waiting, None);
}

/// The consensus of a node that cannot write goes on with its timers once it can; until then it costs nothing.
#[test]
fn a_finaliser_with_a_full_disk_waits_for_room() {
    let network = finalising(4);
    let mut net = hosts(&network, 4, 0);
    register(&mut net, 1..3);
    net.until("settled", 30_000, settled);
    // Nothing can be decided, so that its timers keep running.
    net.crash(2);
    net.crash(3);
    net.accept(0, vec![testing::register(&network, 3)]);
    net.run(3_000);
    let disk = net.hosts[0].disk.clone();
    disk.set_quota(0);
    for voter in 10..110 {
        net.submit_only(0, vec![testing::register(&network, voter)]);
    }
    net.until("the disk is full", 30_000, |net| {
        net.node(0).status().disk_full
    });
    net.run(20_000);
    assert!(net.node(0).status().disk_full);
    disk.set_quota(u64::MAX);
    net.start(2);
    net.start(3);
    net.until("settled", 60_000, settled);
}

#[test]
fn a_split_in_halves_decides_nothing_and_heals() {
    let mut net = hosts(&finalising(4), 4, 0);
    let network = Arc::clone(&net.network);
    register(&mut net, 1..3);
    net.until("settled", 30_000, settled);
    let mut record = Record::default();
    net.partition(&[0, 1], &[2, 3]);
    net.accept(0, vec![testing::register(&network, 3)]);
    net.accept(2, vec![testing::register(&network, 4)]);
    let before = last_certificate(&net, 0).unwrap().checkpoint;
    net.run(60_000);
    assert!((0..4).all(|host| last_certificate(&net, host).unwrap().checkpoint == before));
    net.heal();
    net.until("settled", 60_000, settled);
    assert_eq!(net.node(0).status().tip.roll_size, 4);
    record.check(&net);
}

#[test]
fn who_was_away_catches_up_by_certificates() {
    let network = finalising(4);
    let mut net = hosts(&network, 4, 0);
    net.crash(3);
    for voter in 1..40 {
        net.submit_only(
            usize::from(voter) % 3,
            vec![testing::register(&network, voter)],
        );
        net.run(1_500);
    }
    net.until("many checkpoints", 60_000, |net| {
        last_certificate(net, 0).is_some_and(|c| c.checkpoint >= 20)
    });
    net.start(3);
    let joiner = net.add(host(None));
    net.until("caught up", 60_000, |net| {
        settled(net) && last_certificate(net, joiner) == last_certificate(net, 0)
    });
    // It holds every certificate, and takes part again.
    let snapshot = net.node(joiner).store().snapshot();
    let last = snapshot
        .last_certificate()
        .unwrap()
        .unwrap()
        .certificate
        .checkpoint;
    assert!((1..=last).all(|number| snapshot.certificate(number).unwrap().is_some()));
    net.crash(0);
    make_final(&mut net, 1, testing::register(&network, 50));
}

#[test]
fn another_set_takes_over_by_consent() {
    let network = finalising(4);
    let mut net = hosts(&network, 4, 0);
    for seed in [5, 6, 7] {
        net.add(host(Some(seed)));
    }
    register(&mut net, 1..3);
    net.until("settled", 30_000, settled);
    let new: Vec<Finaliser> = [5, 6, 7].map(|seed| finaliser(seed, 1)).into();
    let new = List::new(new).unwrap();
    let approve = |seed: u8| crate::chain::sign::approve_change(&network.id(), &key(seed), 1, &new);
    let approvals = List::new((1..4).map(approve).collect()).unwrap();
    let change =
        crate::chain::sign::change_finalisers(&network.id(), 1, new.clone(), approvals).unwrap();
    net.accept(0, vec![change.clone()]);
    net.until("the change is final", 30_000, |net| {
        is_final(net, 6, change.id())
    });
    net.until("settled", 30_000, settled);
    // The old ones are not needed any more.
    for host in 0..4 {
        net.crash(host);
    }
    make_final(&mut net, 5, testing::register(&network, 5));
    let last = last_certificate(&net, 4).unwrap();
    assert_eq!(last.set, 1);
    assert_eq!(net.node(4).status().finality.unwrap().set, 1);
    // Whoever comes late follows.
    let joiner = net.add(host(None));
    net.until("caught up", 30_000, |net| {
        last_certificate(net, joiner).as_ref() == Some(&last)
    });
}
