//! Elections from registration to result, and every refusal with its reason.

use super::*;
use crate::chain::transaction::{Credential, Payload};
use crate::crypto::Signature;
use crate::node::simulated::host::Setup;
use crate::protocol::submit::{Outcome, TxStatus};

#[test]
fn five_nodes_converge_to_one_tip_and_the_right_count() {
    let mut net = net(5);
    register(&mut net, 1..31);
    let id = open(&mut net, 0, 15_000);
    for number in 1..31 {
        let vote = testing::vote(&net.network, number, id, &[number % 3]);
        net.accept(usize::from(number) % 5, vec![vote]);
    }
    close(&mut net, &id);
    for host in 0..5 {
        let result = net.result(host, &id);
        assert_eq!(result.tally.totals.to_vec(), [10, 10, 10]);
        assert_eq!(result.eligible, 30);
    }
    // Every host mined, and none of what it said was held against it.
    assert_eq!(net.penalties.len(), 0, "{:?}", net.penalties);
}

#[test]
fn a_second_vote_is_refused_at_every_node_before_and_after_inclusion() {
    let mut net = net(3);
    register(&mut net, 1..3);
    let id = open(&mut net, 0, 60_000);
    let first = testing::vote(&net.network, 1, id, &[0]);
    let second = testing::vote(&net.network, 1, id, &[1]);
    let first_id = first.id();
    net.accept(0, vec![first.clone()]);
    net.until("gossiped", 1_000, |net| {
        net.node(1).mempool.contains(&first_id)
    });
    assert!(!net.is_included(1, first_id));
    assert_eq!(net.refused(1, second.clone()), 111);
    net.until("mined", 10_000, |net| {
        (0..3).all(|host| net.is_included(host, first_id))
    });
    for host in 0..3 {
        assert_eq!(net.refused(host, second.clone()), 111);
        assert_eq!(
            net.submit(host, vec![first.clone()]),
            [Outcome::Duplicate {}]
        );
    }
}

#[test]
fn every_refusal_has_a_reason_of_its_own() {
    let mut net = net(2);
    register(&mut net, 1..4);
    let later = open(&mut net, 100_000, 200_000);
    let now = open(&mut net, 0, 10_000);
    let (unknown, _) = election(&net, 0, 77_000);
    let elsewhere = network_with(|genesis| genesis.name = testing::text("elsewhere"));
    let network = Arc::clone(&net.network);

    let early = testing::vote(&network, 1, later, &[0]);
    assert_eq!(net.refused(0, early), 112);
    assert_eq!(
        net.refused(0, testing::vote(&network, 1, unknown, &[0])),
        108
    );
    assert_eq!(net.refused(0, testing::vote(&network, 9, now, &[0])), 100);
    assert_eq!(net.refused(0, testing::vote(&network, 1, now, &[7])), 114);
    assert_eq!(net.refused(0, testing::vote(&elsewhere, 1, now, &[0])), 3);
    let again = crate::chain::sign::register_open(
        &network.id(),
        &testing::voter(1),
        &[1; 32],
        testing::BITS,
        &std::sync::atomic::AtomicBool::new(false),
    );
    assert_eq!(net.refused(0, again.unwrap()), 103);
    let mut forged = testing::vote(&network, 1, now, &[0]);
    if let Payload::Vote { vote } = &mut forged.payload
        && let Credential::Pseudonymous { signature, .. } = &mut vote.credential
    {
        *signature = Signature::ZERO;
    }
    assert_eq!(net.refused(0, forged), 6);

    let in_time = testing::vote(&network, 2, now, &[0]);
    net.accept(0, vec![in_time.clone()]);
    net.run(10_000);
    assert_eq!(net.refused(0, testing::vote(&network, 1, now, &[0])), 113);
    // Whoever did not hear the answer asks again, whatever the time: the vote was not late.
    assert_eq!(net.submit(0, vec![in_time]), [Outcome::Duplicate {}]);
}

#[test]
fn two_voters_with_one_invitation_are_told_what_is_wrong() {
    let mut net = net(1);
    let network = Arc::clone(&net.network);
    net.accept(0, vec![testing::issue(&network, "club", &[50, 51])]);
    net.run(5_000);
    net.accept(0, vec![testing::register_with(&network, 1, 50)]);
    let outcomes = net.submit(0, vec![testing::register_with(&network, 2, 50)]);
    let Outcome::Rejected { reason } = &outcomes[0] else {
        panic!("{outcomes:?}");
    };
    assert_eq!(reason.code, 105, "{reason:?}");
}

#[test]
fn what_was_accepted_survives_a_crash_and_is_counted() {
    let mut net = net(3);
    register(&mut net, 1..6);
    let id = open(&mut net, 0, 30_000);
    net.run(5_000);
    // Nobody hears of these votes before the node is gone.
    net.partition(&[0], &[1, 2]);
    net.run(50);
    let votes: Vec<_> = (1..6)
        .map(|number| testing::vote(&net.network, number, id, &[0]))
        .collect();
    net.accept(0, votes.clone());
    assert!(votes.iter().all(|vote| !net.is_included(0, vote.id())));
    net.crash(0);
    net.run(3_000);
    net.heal();
    net.start(0);
    for vote in &votes {
        assert_eq!(net.status(0, vote.id()), TxStatus::Pending {});
    }
    close(&mut net, &id);
    for host in 0..3 {
        assert_eq!(net.result(host, &id).tally.totals.to_vec(), [5, 0, 0]);
    }
}

#[test]
fn nodes_that_do_not_mine_take_part_all_the_same() {
    let watcher = Setup {
        mine: false,
        ..Setup::default()
    };
    let mut net = Net::with(network(), vec![Setup::default(), watcher.clone(), watcher]);
    net.run(100);
    register(&mut net, 1..4);
    let id = open(&mut net, 0, 8_000);
    for number in 1..4 {
        net.accept(
            usize::from(number) % 3,
            vec![testing::vote(&net.network, number, id, &[1])],
        );
    }
    close(&mut net, &id);
    assert_eq!(net.result(2, &id).tally.totals.to_vec(), [0, 3, 0]);
}

#[test]
fn lost_messages_are_healed_by_the_comparison_of_pools() {
    // So many lost blocks part hosts that keep to a closing block after two confirmations: that is for another test.
    let mut net = Net::new(network_with(|genesis| genesis.confirmations = 12), 4);
    net.run(100);
    register(&mut net, 1..9);
    let id = open(&mut net, 0, 30_000);
    net.loss_percent = 60;
    for number in 1..9 {
        let vote = testing::vote(&net.network, number, id, &[2]);
        net.accept(usize::from(number) % 4, vec![vote]);
        net.run(300);
    }
    close(&mut net, &id);
    for host in 0..4 {
        assert_eq!(net.result(host, &id).tally.totals.to_vec(), [0, 0, 8]);
    }
}
