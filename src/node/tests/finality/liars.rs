//! Attackers with work, a finaliser that lies, certificates that are wrong or contradict each other.

use super::*;
use crate::chain::invalid::Invalid;

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
    let warnings = net.node(3).status().warnings;
    assert!(
        warnings
            .iter()
            .any(|warning| warning.contains("signed two things"))
    );
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

pub(super) fn certificate(
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

/// Whoever holds fewer checkpoints notices that they part from another's.
#[test]
fn a_contradiction_is_seen_from_the_lower_side_too() {
    let network = finalising(4);
    let mut net = hosts(&network, 4, 0);
    for voter in 1..4 {
        make_final(&mut net, 0, testing::register(&network, voter));
    }
    assert!(last_certificate(&net, 0).unwrap().checkpoint > 1);
    let joiner = net.add(host(None));
    for other in 0..joiner {
        net.unlink(other, joiner);
    }
    net.run(10);
    let mut attack = Forge::new(&network);
    attack.extend_empty(1);
    let mut puppet = Puppet::new(200, &attack, Manner::Honest);
    puppet.certificates = vec![certificate(&network, 1, &attack.tip(), &[1, 2, 3])];
    net.add_puppet(puppet, &[joiner]);
    net.until("the attacker's checkpoint", 30_000, |net| {
        last_certificate(net, joiner).is_some()
    });
    net.link(0, joiner);
    net.until("stopped", 30_000, |net| {
        net.hosts[joiner].conflict.is_some()
    });
    let conflict = net.hosts[joiner].conflict.as_ref().unwrap();
    assert_eq!(conflict.ours.block, attack.tip());
    assert!(!conflict.signed_both.is_empty());
}

/// Evidence that somebody voted for two blocks in a round.
fn evidence(network: &Network, seed: u8, checkpoint: u64, round: u64) -> Transaction {
    let [one, other] = [1, 2].map(|value| say(network, seed, 1, checkpoint, round, &[value; 32]));
    crate::chain::sign::convict(&network.id(), one.contradicts(&other).unwrap())
}

/// A liar can make evidence against itself without end. The chain holds one proof.
#[test]
fn a_key_is_convicted_once_and_a_change_goes_before_evidence() {
    let network = finalising(4);
    let mut net = hosts(&network, 4, 0);
    let new = List::new((1..4).map(|seed| finaliser(seed, 1)).collect()).unwrap();
    let approve = |seed: u8| crate::chain::sign::approve_change(&network.id(), &key(seed), 1, &new);
    let approvals = List::new((1..4).map(approve).collect()).unwrap();
    let change =
        crate::chain::sign::change_finalisers(&network.id(), 1, new.clone(), approvals).unwrap();
    // Two halves hold different proofs against the same key, and each mines its own.
    net.partition(&[0, 1], &[2, 3]);
    let proofs = [(0, 1_000), (2, 2_000)].map(|(host, checkpoint)| {
        let proof = evidence(&network, 4, checkpoint, 0);
        net.accept(host, vec![proof.clone(), change.clone()]);
        for round in 1..20 {
            let more = evidence(&network, 4, checkpoint, round);
            assert_eq!(net.refused(host, more), Invalid::AlreadyConvicted.code());
        }
        (host, proof.id())
    });
    for (host, proof) in proofs {
        net.until("mined", 20_000, |net| net.is_included(host, proof));
        let snapshot = net.node(host).store().snapshot();
        let at = |id| snapshot.position(&id).unwrap().unwrap();
        assert!(at(change.id()) < at(proof), "the change comes first");
        assert_eq!(snapshot.state().conviction_count().unwrap(), 1);
    }
    // One half leaves its proof behind: it would be the second.
    net.heal();
    net.until("settled", 120_000, settled);
    for host in 0..4 {
        let node = net.node(host);
        assert_eq!(
            node.store().snapshot().state().conviction_count().unwrap(),
            1
        );
        assert_eq!(node.status().mempool.transactions.total(), 0);
    }
}
