//! Networks that fall in halves and heal.

use super::*;
use crate::node::simulated::forge::Forge;
use crate::node::simulated::puppet::{Manner, Puppet};
use crate::protocol::submit::TxStatus;

#[test]
fn halves_merge_with_every_vote_that_is_not_in_conflict() {
    let mut net = net(4);
    register(&mut net, 1..9);
    let id = open(&mut net, 0, 40_000);
    net.run(5_000);
    net.partition(&[0, 1], &[2, 3]);
    net.run(100);
    let network = Arc::clone(&net.network);
    // Voter 8 votes on both sides; the others on one.
    for number in 1..8 {
        let host = usize::from(number) % 4;
        net.accept(host, vec![testing::vote(&network, number, id, &[0])]);
    }
    let twice = [
        testing::vote(&network, 8, id, &[1]),
        testing::vote(&network, 8, id, &[2]),
    ];
    net.accept(0, vec![twice[0].clone()]);
    net.accept(2, vec![twice[1].clone()]);
    net.until("both sides mined", 15_000, |net| {
        net.is_included(1, twice[0].id()) && net.is_included(3, twice[1].id())
    });
    net.heal();
    close(&mut net, &id);
    let totals = net.result(0, &id).tally.totals.to_vec();
    assert_eq!(totals[0], 7, "{totals:?}");
    assert_eq!(totals[1] + totals[2], 1, "{totals:?}");
    for host in 0..4 {
        assert_eq!(net.result(host, &id).tally.totals.to_vec(), totals);
    }
    // On the side that lost its branch the vote is reported, with its reason; on both, nothing waits any more.
    let lost = &twice[usize::from(totals[1] == 1)];
    let losers = if totals[1] == 1 { [2, 3] } else { [0, 1] };
    let reported = |net: &Net, host| match net.status(host, lost.id()) {
        TxStatus::Dropped { reason } => assert_eq!(reason.code, 111),
        status => panic!("{status:?}"),
    };
    for host in losers {
        reported(&net, host);
        assert_eq!(net.node(host).status().counters.dropped, 1);
        // Who asks after a restart is told the same.
        net.crash(host);
        net.start(host);
        reported(&net, host);
    }
    for host in 0..4 {
        assert_eq!(net.node(host).mempool.len(), 0);
    }
}

#[test]
fn an_election_and_its_votes_that_lost_their_branch_come_back() {
    let mut net = net(2);
    net.partition(&[0], &[1]);
    net.run(100);
    // Everything happens on the side that will lose: voters, the election, the votes.
    let network = Arc::clone(&net.network);
    for number in 1..4 {
        net.accept(0, vec![testing::register(&network, number)]);
    }
    let (id, opening) = election(&net, 0, 60_000);
    net.accept(0, vec![opening]);
    net.until("opened", 10_000, |net| knows_election(net, 0, &id));
    for number in 1..4 {
        net.accept(0, vec![testing::vote(&network, number, id, &[1])]);
    }
    net.run(6_000);
    for number in 11..30 {
        net.submit_only(1, vec![testing::register(&network, number)]);
        net.run(1_000);
    }
    assert!(net.tip(1).0 > net.tip(0).0);
    net.heal();
    close(&mut net, &id);
    for host in 0..2 {
        assert_eq!(net.result(host, &id).tally.totals.to_vec(), [0, 3, 0]);
        assert_eq!(net.node(host).status().counters.dropped, 0);
    }
}

/// A vote that waits when what it depends on is gone for good must not keep the network awake.
#[test]
fn what_can_never_be_mined_again_is_reported_and_lets_the_network_rest() {
    let mut net = net(1);
    let network = Arc::clone(&net.network);
    // The voter's only invitation is spent by somebody else on the branch that wins.
    let mut winner = Forge::new(&network);
    let issue = testing::issue(&network, "club", &[50]);
    winner.extend(net.wall_ms(), vec![issue.clone()]);
    net.accept(0, vec![issue]);
    net.run(4_000);
    net.accept(0, vec![testing::register_with(&network, 1, 50)]);
    net.run(4_000);
    let (id, opening) = election(&net, 0, 3_600_000);
    net.accept(0, vec![opening.clone()]);
    net.run(5_000);
    let vote = testing::vote(&network, 1, id, &[0]);
    net.accept(0, vec![vote.clone()]);
    winner.extend(0, vec![testing::register_with(&network, 2, 50)]);
    winner.extend(net.wall_ms() - 30_000, vec![opening]);
    winner.extend_empty(25);
    let host_tip = net.tip(0).0;
    assert!(winner.height() > host_tip);
    net.add_puppet(Puppet::new(200, &winner, Manner::Honest), &[0]);
    net.until("reorganised", 20_000, |net| net.tip(0).1 == winner.tip());
    assert_eq!(net.node(0).status().counters.reorganisations, 1);
    net.run(1_800_000);
    match net.status(0, vote.id()) {
        TxStatus::Dropped { reason } => assert_eq!(reason.code, 100),
        status => panic!("{status:?}"),
    }
    assert!(
        net.tip(0).0 <= winner.height() + 4,
        "{} blocks for nothing",
        net.tip(0).0 - winner.height()
    );
}

#[test]
fn a_branch_longer_than_what_fits_in_memory_wins() {
    let mut net = net(1);
    register(&mut net, 1..3);
    net.run(10_000);
    let ours = net.tip(0).0;
    let mut forge = Forge::new(&net.network);
    // Longer than one page of headers, too: the node has to ask on from where the page ended.
    forge.extend_empty(450);
    let peer = net.add_puppet(Puppet::new(200, &forge, Manner::Honest), &[0]);
    net.until("the longer branch", 60_000, |net| {
        net.tip(0).1 == forge.tip()
    });
    assert!(forge.height() > ours);
    assert!(net.penalties.iter().all(|penalty| penalty.peer != peer));
    // The registrations that left with the old branch are mined again.
    net.run(5_000);
    assert_eq!(net.node(0).status().tip.roll_size, 2);
}

#[test]
fn a_fork_deeper_than_a_page_of_headers_is_followed() {
    let mut net = net(1);
    let mut ours = Forge::new(&net.network);
    ours.extend_empty(10);
    let mut theirs = ours.clone();
    ours.extend(net.wall_ms() - 4_000_000, Vec::new());
    ours.extend_empty(2_150);
    theirs.extend_empty(2_300);
    let first = net.add_puppet(Puppet::new(200, &ours, Manner::Honest), &[0]);
    net.until("ours", 120_000, |net| net.tip(0).1 == ours.tip());
    net.puppets.get_mut(&first).unwrap().follow(&theirs);
    net.until("theirs", 300_000, |net| net.tip(0).1 == theirs.tip());
}
