//! Networks whose organisers decide checkpoints.

use std::collections::BTreeMap;

use super::*;
use crate::chain::block::BlockId;
use crate::chain::checkpoint::{CommitCertificate, SignedFinalityMessage};
use crate::chain::genesis::Finaliser;
use crate::chain::state::View;
use crate::chain::transaction::{Approval, FinalityMessage};
use crate::crypto::{PublicKey, SigningKey};
use crate::node::Input;
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

/// A chain of an attacker who leaves out a vote and has done more work.
#[test]
fn more_work_does_not_displace_a_checkpoint() {
    let network = finalising(4);
    let mut net = hosts(&network, 4, 1);
    register(&mut net, 1..4);
    net.until("settled", 30_000, settled);
    let honest = net.tip(0).1;
    let mut attack = Forge::new(&network);
    attack.extend(0, vec![testing::register(&network, 1)]);
    attack.extend_empty(net.tip(0).0 as usize + 40);
    net.add_puppet(Puppet::new(200, &attack, Manner::Honest), &[0, 1, 2, 3, 4]);
    net.run(30_000);
    assert!(
        net.tips().iter().all(|tip| tip.1 == honest),
        "{:?}",
        net.tips()
    );

    // Somebody who joins and hears the attacker first.
    let joiner = net.add(host(None));
    for other in 0..joiner {
        net.unlink(other, joiner);
    }
    net.run(10);
    net.input(joiner, Input::PeerReady { peer: peer_id(200) });
    net.until("the attacker's chain", 20_000, |net| {
        net.tip(joiner).1 == attack.tip()
    });
    assert_eq!(last_certificate(&net, joiner), None);
    let status = net.node(joiner).status().finality.unwrap();
    assert_eq!(status.checkpoint, 0);
    net.link(0, joiner);
    net.until("the checkpoints' chain", 30_000, |net| {
        net.tip(joiner).1 == honest && last_certificate(net, joiner) == last_certificate(net, 0)
    });
    net.run(30_000);
    assert_eq!(net.tip(joiner).1, honest);
}

/// The attacker's chain is longer than what the tree remembers.
#[test]
fn a_chain_followed_for_too_long_is_left_all_the_same() {
    let network = finalising(4);
    let mut net = hosts(&network, 4, 0);
    register(&mut net, 1..6);
    net.until("settled", 30_000, settled);
    let honest = net.tip(0).1;
    let mut attack = Forge::new(&network);
    attack.extend(0, vec![testing::register(&network, 1)]);
    attack.extend(0, vec![testing::register(&network, 9)]);
    attack.extend_empty(200);
    let tree = crate::chain::tree::Limits {
        window: 50,
        ..Default::default()
    };
    let joiner = net.add(Setup { tree, ..host(None) });
    for other in 0..joiner {
        net.unlink(other, joiner);
    }
    net.run(10);
    net.add_puppet(Puppet::new(200, &attack, Manner::Honest), &[joiner]);
    net.until("the attacker's chain", 30_000, |net| {
        net.tip(joiner).1 == attack.tip()
    });
    net.link(0, joiner);
    net.until("the checkpoints' chain", 60_000, |net| {
        last_certificate(net, joiner) == last_certificate(net, 0)
    });
    // What only the other chain held waits, and is mined.
    let kept = testing::register(&network, 9).id();
    net.until("kept", 60_000, |net| {
        is_final(net, joiner, kept) && settled(net)
    });
    assert!(net.node(0).store().snapshot().is_main(&honest).unwrap());
    assert_eq!(net.node(joiner).status().counters.reorganisations, 1);
    // A restart finds everything in order.
    net.crash(joiner);
    net.start(joiner);
    make_final(&mut net, joiner, testing::register(&network, 10));
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

/// Kills at random instants, between a commit and its effects too.
fn crashes(seed: u64) -> (usize, u64) {
    let network = finalising(4);
    let mut net = hosts(&network, 4, 1);
    net.random = seed;
    net.loss_percent = net.draw(25);
    let mut record = Record::default();
    let mut voter = 0;
    for _ in 0..60 {
        net.crash_per_mille = 12;
        let host = net.draw(5) as usize;
        if net.hosts[host].running.is_some() && voter < 200 {
            voter += 1;
            net.submit_only(host, vec![testing::register(&network, voter)]);
        }
        let pause_ms = net.draw(1_200);
        net.run(pause_ms);
        record.check(&net);
        for host in 0..5 {
            if net.hosts[host].running.is_none() && net.draw(3) > 0 {
                net.start(host);
            }
        }
    }
    net.crash_per_mille = 0;
    net.loss_percent = 0;
    for host in 0..5 {
        if net.hosts[host].running.is_none() {
            net.start(host);
        }
    }
    net.until("settled", 120_000, |net| {
        settled(net) && (0..5).all(|host| net.node(host).mempool.is_empty())
    });
    record.check(&net);
    assert!(net.hosts.iter().all(|host| host.conflict.is_none()));
    (record.said.len(), net.crashes)
}

#[test]
fn whoever_is_killed_never_signs_twice_and_no_checkpoint_leaves() {
    let seeds = std::env::var("VOTENODE_TEST_SEEDS").ok();
    let seeds: u64 = seeds.and_then(|seeds| seeds.parse().ok()).unwrap_or(6);
    let (mut said, mut crashed) = (0, 0);
    for seed in 1..=seeds {
        let run = crashes(seed);
        said += run.0;
        crashed += run.1;
    }
    assert!(crashed >= 10 * seeds, "{crashed} crashes");
    assert!(said as u64 >= 50 * seeds, "{said} messages");
    println!("{seeds} seeds, {crashed} crashes, {said} messages of the consensus");
}

/// One of four proposes a branch of its own that leaves out a vote; it is as long as the best chain.
#[test]
fn a_valid_branch_beside_the_best_chain_is_not_prevoted() {
    let network = finalising(4);
    let mut net = hosts(&network, 3, 1);
    // With equal powers members propose by turns, in the order of their keys. The liar's turn has to come.
    let mut keys: Vec<PublicKey> = (1..5).map(|seed| key(seed).public_key()).collect();
    keys.sort_unstable();
    let turn = keys.iter().position(|k| *k == key(4).public_key()).unwrap() as u64;
    let mut next = 0;
    for voter in 10.. {
        make_final(&mut net, 3, testing::register(&network, voter));
        next = last_certificate(&net, 0).unwrap().checkpoint + 1;
        if next % 4 == turn {
            break;
        }
    }
    // Nobody finalises for a while: both branches are there before anything is proposed.
    for host in 0..3 {
        net.crash(host);
    }
    let kept = testing::register(&network, 2);
    net.accept(3, vec![kept.clone()]);
    net.until("mined", 20_000, |net| net.is_included(3, kept.id()));
    let (height, best) = net.tip(3);
    let snapshot = net.node(3).store().snapshot();
    let mut branch = Forge::new(&network);
    for height in 1..height {
        let (id, header) = snapshot.main_block(height).unwrap().unwrap();
        branch.adopt(
            header,
            snapshot.transactions(&id).unwrap().unwrap().into_vec(),
        );
    }
    // As much work, and a higher id: nobody's best chain.
    let earliest_ms = snapshot.main_block(height).unwrap().unwrap().1.timestamp_ms;
    let block = (0..)
        .map(|later_ms| branch.next(earliest_ms + later_ms, Vec::new()).0)
        .find(|block| block.0.id() > best)
        .unwrap();
    let other = block.0.id();
    net.run(1_000);
    for host in 0..3 {
        net.start(host);
        net.until("the best chain", 20_000, |net| net.tip(host).1 == best);
        net.gossip(
            host,
            peer_id(200),
            Topic::Block,
            wire::encode(&compact(&block)),
        );
        net.until("the other branch", 1_000, |net| {
            net.node(host).has_body(&other)
        });
        let proposal = say(&network, 4, 0, next, 0, other.as_bytes());
        gossip(&mut net, host, vec![proposal]);
    }
    net.until("a checkpoint", 60_000, |net| {
        (0..4).all(|host| last_certificate(net, host).is_some_and(|c| c.checkpoint >= next))
    });
    let decided = net
        .node(0)
        .store()
        .snapshot()
        .certificate(next)
        .unwrap()
        .unwrap();
    assert_eq!(decided.certificate.block, best);
}

fn gossip(net: &mut Net, host: usize, messages: Vec<SignedFinalityMessage>) {
    let messages = List::new(messages).unwrap();
    let data = wire::encode(&FinalityGossip::Messages { messages });
    net.gossip(host, peer_id(222), Topic::Finality, data);
}

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

/// Finaliser 4 lies in every way it can; the other three go on.
#[test]
fn a_liar_among_four_is_convicted_and_stops_nothing() {
    let network = finalising(4);
    let mut net = hosts(&network, 3, 1);
    let mut record = Record::default();
    for voter in 1..8u8 {
        net.accept(3, vec![testing::register(&network, voter)]);
        for host in 0..4 {
            let next = last_certificate(&net, host).map_or(0, |c| c.checkpoint) + 1;
            let tip = net.tip(host).1;
            for kind in 0..3 {
                let round = net.draw(3);
                let one = say(&network, 4, kind, next, round, tip.as_bytes());
                let other = say(&network, 4, kind, next, round, &[voter; 32]);
                gossip(&mut net, host, vec![one]);
                gossip(&mut net, host, vec![other]);
            }
            for round in 0..30 {
                let far = say(&network, 4, 1, next, 1_000 * round, &[]);
                let ahead = say(&network, 4, 2, next + 1, round, &[]);
                gossip(&mut net, host, vec![far, ahead]);
            }
        }
        net.run(2_000);
        record.check(&net);
    }
    net.until("settled", 120_000, settled);
    record.check(&net);
    let convicted = |net: &Net, host: usize| {
        let snapshot = net.node(host).store().snapshot();
        snapshot.state().convictions(0, 10).unwrap().len()
    };
    assert!((0..4).all(|host| convicted(&net, host) > 0));
    // Forged in another's name: whoever passes it on is scored down, and nothing comes of it.
    let mut forged = say(&network, 4, 2, 1_000, 0, &[1; 32]);
    forged.finaliser = key(1).public_key();
    let next = last_certificate(&net, 0).unwrap().checkpoint + 1;
    forged.message.height = next;
    let id = {
        let messages = List::new(vec![forged]).unwrap();
        let data = wire::encode(&FinalityGossip::Messages { messages });
        net.gossip(0, peer_id(222), Topic::Finality, data)
    };
    net.run(100);
    assert_eq!(net.verdict(0, &id), Some(votenode_p2p::Verdict::Reject));
}

fn certificate(
    network: &Network,
    number: u64,
    block: &BlockId,
    signers: &[u8],
) -> CommitCertificate {
    let mut precommits: Vec<Approval> = signers
        .iter()
        .map(|seed| {
            let signed = say(network, *seed, 2, number, 0, block.as_bytes());
            Approval {
                key: signed.finaliser,
                signature: signed.signature,
            }
        })
        .collect();
    precommits.sort_by_key(|precommit| precommit.key);
    CommitCertificate {
        set: 0,
        checkpoint: number,
        round: 0,
        block: *block,
        precommits: List::new(precommits).unwrap(),
    }
}

#[test]
fn two_certificates_that_contradict_stop_a_node_with_the_evidence() {
    let network = finalising(4);
    let mut net = hosts(&network, 4, 1);
    register(&mut net, 1..3);
    net.until("settled", 30_000, settled);
    let mut attack = Forge::new(&network);
    attack.extend_empty(3);
    let mut puppet = Puppet::new(200, &attack, Manner::Honest);
    puppet.certificates = vec![certificate(&network, 1, &attack.tip(), &[1, 2, 3])];
    net.add_puppet(puppet, &[4]);
    net.until("stopped", 30_000, |net| net.hosts[4].conflict.is_some());
    let conflict = net.hosts[4].conflict.as_ref().unwrap();
    assert_eq!(conflict.theirs.block, attack.tip());
    assert_eq!(conflict.ours.checkpoint, 1);
    assert!(conflict.signed_both.len() >= 2, "{conflict:?}");
    // It does nothing any more.
    let tip = net.tip(4);
    net.accept(0, vec![testing::register(&network, 9)]);
    net.run(20_000);
    assert_eq!(net.tip(4), tip);
}

#[test]
fn a_certificate_without_power_is_worth_nothing() {
    let network = finalising(4);
    let mut net = hosts(&network, 0, 1);
    let mut attack = Forge::new(&network);
    attack.extend_empty(3);
    let mut puppet = Puppet::new(200, &attack, Manner::Honest);
    puppet.certificates = vec![certificate(&network, 1, &attack.tip(), &[1, 2])];
    let liar = net.add_puppet(puppet, &[0]);
    net.run(20_000);
    assert_eq!(last_certificate(&net, 0), None);
    assert!(net.penalties.iter().any(|penalty| penalty.peer == liar));
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

/// The disk of a finaliser goes back to an earlier state; the number beside its key does not.
#[test]
fn a_restored_store_does_not_make_a_finaliser_sign_twice() {
    for beside_the_key_too in [false, true] {
        let network = finalising(4);
        let mut net = hosts(&network, 4, 0);
        let mut record = Record::default();
        register(&mut net, 1..3);
        net.until("settled", 30_000, settled);
        let backup = net.hosts[0].disk.to_bytes();
        // Something is signed that decides nothing: two of four are away.
        net.crash(2);
        net.crash(3);
        net.accept(0, vec![testing::register(&network, 5)]);
        net.run(5_000);
        record.check(&net);
        net.crash(0);
        net.hosts[0].disk = crate::store::MemoryDisk::from_bytes(backup.clone());
        if beside_the_key_too {
            net.hosts[0].promise = crate::node::finality::MemoryPromise::default();
        }
        net.start(0);
        net.run(5_000);
        record.check(&net);
        let status = net.node(0).status().finality.unwrap();
        assert!(
            status
                .waiting
                .as_ref()
                .is_some_and(|why| why.contains("signs nothing up to")),
            "{status:?}"
        );
        // The others decide without it, and it goes on with the next.
        net.start(2);
        net.start(3);
        net.until("settled", 60_000, settled);
        net.crash(1);
        make_final(&mut net, 0, testing::register(&network, 6));
        record.check(&net);
    }
}

/// The same key on two hosts: each signs at most until it has heard the other twice.
#[test]
fn two_nodes_with_one_key_fall_silent() {
    let network = finalising(4);
    let mut net = hosts(&network, 4, 0);
    let twin = net.add(host(Some(4)));
    let silent = |net: &Net, host: usize| {
        let status = net.node(host).status().finality.unwrap();
        status
            .waiting
            .is_some_and(|why| why.contains("another node signs"))
    };
    let mut voter = 0;
    net.run(1_000);
    while !silent(&net, 3) && !silent(&net, twin) {
        voter += 1;
        assert!(voter < 100, "both go on");
        make_final(&mut net, 0, testing::register(&network, voter));
    }
    // The others go on; whoever is convicted, it is that key.
    make_final(&mut net, 0, testing::register(&network, 200));
    let convicted = net
        .node(0)
        .store()
        .snapshot()
        .state()
        .convictions(0, 100)
        .unwrap();
    let twice = key(4).public_key();
    assert!(
        convicted
            .iter()
            .all(|conviction| conviction.offence.finaliser == twice)
    );
}
