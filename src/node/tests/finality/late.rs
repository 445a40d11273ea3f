//! What is said about checkpoints that are decided.

use super::*;
use crate::node::finality::MAX_PAST;

/// Waits until every host's chain convicts exactly these.
fn convicted(net: &mut Net, seeds: &[u8]) {
    let want: std::collections::BTreeSet<PublicKey> =
        seeds.iter().map(|seed| key(*seed).public_key()).collect();
    let found = |net: &Net, host: usize| -> std::collections::BTreeSet<PublicKey> {
        let state = net.node(host).store().snapshot().state();
        let all = state.convictions(0, 100).unwrap();
        all.iter().map(|one| one.offence.finaliser).collect()
    };
    net.until("convicted", 60_000, |net| {
        settled(net) && (0..net.hosts.len()).all(|host| found(net, host) == want)
    });
}

/// Seed of somebody whose precommit is in a certificate.
fn signer(certificate: &CommitCertificate, but: u8) -> u8 {
    let signed = |seed: &u8| {
        let signer = key(*seed).public_key();
        certificate.precommits.iter().any(|p| p.key == signer)
    };
    (1..=4).find(|seed| *seed != but && signed(seed)).unwrap()
}

#[test]
fn what_contradicts_a_decided_checkpoint_is_evidence_however_late() {
    let network = finalising(4);
    let mut net = hosts(&network, 4, 1);
    register(&mut net, 1..4);
    net.until("settled", 30_000, settled);

    // A precommit for another block, in the round that decided.
    let decided = last_certificate(&net, 4).unwrap();
    let (number, round) = (decided.checkpoint, decided.round);
    let first = signer(&decided, 0);
    let (precommit, prevote) = (FinalityMessage::PRECOMMIT, FinalityMessage::PREVOTE);
    let late = say(&network, first, precommit, number, round, &[7; 32]);
    gossip(&mut net, 4, vec![late]);
    convicted(&mut net, &[first]);

    // Nobody remembers anything but the certificates, each the one that it put together.
    let last = last_certificate(&net, 2).unwrap();
    for host in 0..5 {
        net.crash(host);
        net.start(host);
    }
    net.run(1_000);
    let second = signer(&last, first);
    let late = say(
        &network,
        second,
        precommit,
        last.checkpoint,
        last.round,
        &[],
    );
    gossip(&mut net, 2, vec![late]);
    convicted(&mut net, &[first, second]);

    // Two versions that both come late, in a round that never was.
    let third = (1..=4)
        .find(|seed| ![first, second].contains(seed))
        .unwrap();
    for value in [[1; 32], [2; 32]] {
        let late = say(&network, third, prevote, last.checkpoint, 77, &value);
        gossip(&mut net, 1, vec![late]);
        net.run(100);
    }
    convicted(&mut net, &[first, second, third]);
    assert!(net.penalties.is_empty(), "{:?}", net.penalties);
}

#[test]
fn what_is_remembered_of_decided_checkpoints_is_bounded() {
    let network = finalising(4);
    let mut net = hosts(&network, 3, 1);
    for voter in 1..15 {
        make_final(&mut net, 3, testing::register(&network, voter));
    }
    let last = last_certificate(&net, 0).unwrap().checkpoint;
    let past = MAX_PAST as u64;
    assert!(last > past + 1);
    // Of one that is forgotten nothing counts any more.
    for value in [[1; 32], [2; 32]] {
        gossip(
            &mut net,
            0,
            vec![say(&network, 4, 1, last - past, 0, &value)],
        );
    }
    for checkpoint in last - past + 1..=last {
        for round in 0..80 {
            gossip(
                &mut net,
                0,
                vec![say(&network, 4, 1, checkpoint, round, &[])],
            );
        }
        // As much as is taken of one finaliser in a second.
        net.run(2_000);
    }
    let snapshot = net.node(0).store().snapshot();
    assert_eq!(snapshot.state().conviction_count().unwrap(), 0);
    let kept = net.node(0).finality_kept();
    let past = &kept[3..];
    assert_eq!(past.len(), MAX_PAST);
    // What was said in time, and of the liar no more than of anybody.
    assert!(past.iter().all(|kept| (32..60).contains(kept)), "{past:?}");
    // Somebody else's name under it makes it wrong.
    let mut forged = say(&network, 4, 1, last, 3, &[9; 32]);
    forged.finaliser = key(1).public_key();
    let messages = List::new(vec![forged]).unwrap();
    let data = wire::encode(&FinalityGossip::Messages { messages });
    let id = net.gossip(0, peer_id(222), Topic::Finality, data);
    net.run(100);
    assert_eq!(net.verdict(0, &id), Some(votenode_p2p::Verdict::Reject));
}
