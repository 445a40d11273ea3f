//! Verdicts on arrays of transactions.

use votenode_p2p::Verdict;

use super::*;
use crate::chain::transaction::{Credential, Payload};
use crate::crypto::Signature;
use crate::node::simulated::host::peer_id;
use crate::protocol::names::Topic;

fn forged_vote(net: &Net, number: u8, id: ElectionId) -> Transaction {
    let mut forged = testing::vote(&net.network, number, id, &[0]);
    if let Payload::Vote { vote } = &mut forged.payload
        && let Credential::Pseudonymous { signature, .. } = &mut vote.credential
    {
        *signature = Signature::ZERO;
    }
    forged
}

#[test]
fn an_array_with_a_rejectable_item_is_rejected_and_nothing_of_it_is_kept() {
    let mut net = net(1);
    register(&mut net, 1..5);
    let id = open(&mut net, 0, 60_000);
    let peer = peer_id(200);
    let good = testing::vote(&net.network, 1, id, &[0]);
    let with_forged = batch(vec![good.clone(), forged_vote(&net, 2, id)]);
    let forged = net.gossip(0, peer, Topic::Vote, with_forged);
    let elsewhere = network_with(|genesis| genesis.name = testing::text("elsewhere"));
    let with_alien = batch(vec![good.clone(), testing::vote(&elsewhere, 2, id, &[0])]);
    let alien = net.gossip(0, peer, Topic::Vote, with_alien);
    let unstamped = {
        let mut registration = testing::register(&net.network, 9);
        if let Payload::Registration { registration } = &mut registration.payload {
            registration.admission = crate::chain::transaction::Admission::Open { stamp: 1 << 40 };
        }
        net.gossip(0, peer, Topic::Registration, batch(vec![registration]))
    };
    let mut trailing = batch(vec![good.clone()]);
    trailing.push(0);
    let trailing = net.gossip(0, peer, Topic::Vote, trailing);
    // An array head of two bytes where one would do.
    let mut long_head = batch(vec![good.clone()]);
    assert_eq!(long_head[1], 0x81);
    long_head.splice(1..2, [0x98, 0x01]);
    let long_head = net.gossip(0, peer, Topic::Vote, long_head);
    let wrong_topic = net.gossip(0, peer, Topic::Registration, batch(vec![good.clone()]));
    net.run(500);
    for id in [forged, alien, unstamped, trailing, long_head, wrong_topic] {
        assert_eq!(net.verdict(0, &id), Some(Verdict::Reject));
    }
    assert!(!net.node(0).knows(&good.id()));
}

#[test]
fn half_new_is_accepted_less_is_ignored_and_the_valid_are_kept() {
    let mut net = net(1);
    register(&mut net, 1..9);
    let id = open(&mut net, 0, 60_000);
    let peer = peer_id(200);
    let vote = |number: u8| testing::vote(&net.network, number, id, &[0]);
    let votes: Vec<_> = (1..9).map(vote).collect();
    let double = testing::vote(&net.network, 1, id, &[1]);
    net.accept(0, vec![votes[0].clone(), votes[1].clone()]);
    let half = batch(vec![votes[0].clone(), votes[2].clone()]);
    let half = net.gossip(0, peer, Topic::Vote, half);
    let third = batch(vec![double, votes[1].clone(), votes[3].clone()]);
    let third = net.gossip(0, peer, Topic::Vote, third);
    net.run(500);
    assert_eq!(net.verdict(0, &half), Some(Verdict::Accept));
    assert_eq!(net.verdict(0, &third), Some(Verdict::Ignore));
    for vote in &votes[..4] {
        assert!(net.node(0).knows(&vote.id()));
    }
}

#[test]
fn what_comes_before_its_voter_or_election_is_held_and_then_accepted_or_ignored() {
    let mut net = net(1);
    register(&mut net, 1..2);
    let peer = peer_id(200);
    let (id, opening) = election(&net, 0, 60_000);
    let (never, _) = election(&net, 0, 61_000);
    let unknown_voter = testing::vote(&net.network, 7, id, &[0]);
    let known_voter = testing::vote(&net.network, 1, id, &[0]);
    let waits = net.gossip(
        0,
        peer,
        Topic::Vote,
        batch(vec![known_voter, unknown_voter]),
    );
    let hopeless = testing::vote(&net.network, 1, never, &[0]);
    let hopeless = net.gossip(0, peer, Topic::Vote, batch(vec![hopeless]));
    net.run(100);
    assert_eq!(net.verdict(0, &waits), None);
    assert_eq!(net.verdict(0, &hopeless), None);
    assert_eq!(net.node(0).intake.held(), 3);
    let registration = testing::register(&net.network, 7);
    net.gossip(0, peer, Topic::Registration, batch(vec![registration]));
    net.gossip(0, peer, Topic::Election, batch(vec![opening]));
    net.run(2_500);
    assert_eq!(net.verdict(0, &waits), Some(Verdict::Accept));
    net.run(6_000);
    assert_eq!(net.verdict(0, &hopeless), Some(Verdict::Ignore));
    assert_eq!(net.node(0).intake.held(), 0);
    assert!(net.penalties.is_empty());
}

#[test]
fn a_peer_that_submits_what_is_wrong_everywhere_is_scored_down() {
    use crate::node::{Input, Submitter};
    let mut net = net(1);
    let peer = crate::node::simulated::host::peer_id(200);
    let submit = |transaction, number| Input::Submit {
        submitter: Submitter::Peer {
            peer,
            request: votenode_p2p::RequestId(number),
        },
        transactions: vec![transaction],
    };
    net.input(0, submit(testing::register(&net.network, 1), 1));
    net.run(10);
    assert_eq!(net.penalties.len(), 0);
    let mut foreign = testing::register(&net.network, 2);
    foreign.network = network_with(|genesis| genesis.block_time_ms += 1).tag();
    net.input(0, submit(foreign, 2));
    net.run(10);
    assert_eq!(net.penalties.len(), 1);
    assert_eq!(net.penalties[0].peer, peer);
}

#[test]
fn nothing_is_said_about_checkpoints_where_nobody_finalises() {
    let mut net = net(1);
    let evidence = crate::protocol::finality::FinalityGossip::Transactions {
        transactions: List::new(vec![testing::evidence(
            &testing::finalising_network(),
            1,
            1,
            0,
        )])
        .unwrap(),
    };
    let peer = crate::node::simulated::host::peer_id(200);
    let topic = crate::protocol::names::Topic::Finality;
    let id = net.gossip(0, peer, topic, wire::encode(&evidence));
    net.run(10);
    assert_eq!(net.verdict(0, &id), Some(votenode_p2p::Verdict::Reject));
}
