//! Floods of distinct garbage: everything that grows has an end.

use votenode_p2p::Verdict;

use super::*;
use crate::node::mempool::MempoolLimits;
use crate::node::simulated::forge::{Forge, compact, seal};
use crate::node::simulated::host::{Setup, peer_id};
use crate::protocol::names::Topic;
use crate::protocol::submit::Outcome;

#[test]
fn a_full_mempool_says_busy_and_keeps_what_it_acknowledged_through_a_reorganisation() {
    let setup = Setup {
        mempool: MempoolLimits {
            max_transactions: 5,
            ..MempoolLimits::default()
        },
        ..Setup::default()
    };
    let mut net = Net::with(network(), vec![setup]);
    net.run(100);
    let network = Arc::clone(&net.network);
    for number in 1..5 {
        net.accept(0, vec![testing::register(&network, number)]);
    }
    net.run(3_000);
    for number in 11..14 {
        net.accept(0, vec![testing::register(&network, number)]);
    }
    net.run(3_000);
    // All seven come back at once, into a pool with room for five.
    let mut forge = Forge::new(&network);
    forge.extend_empty(40);
    {
        use crate::node::simulated::puppet::{Manner, Puppet};
        net.add_puppet(Puppet::new(200, &forge, Manner::Honest), &[0]);
    }
    net.until("reorganised", 20_000, |net| {
        net.node(0).status().counters.reorganisations == 1
    });
    net.run(10_000);
    assert_eq!(net.node(0).status().tip.roll_size, 7);

    let many: Vec<_> = (21..31)
        .map(|number| testing::register(&network, number))
        .collect();
    let outcomes = net.submit(0, many);
    let accepted = outcomes
        .iter()
        .filter(|outcome| **outcome == Outcome::Accepted {})
        .count();
    let busy = outcomes
        .iter()
        .filter(|outcome| **outcome == Outcome::Busy {})
        .count();
    assert_eq!((accepted, busy), (5, 5));
}

#[test]
fn votes_for_nothing_fill_a_bounded_pool_and_are_forgotten() {
    let mut net = net(1);
    register(&mut net, 1..2);
    let (never, _) = election(&net, 0, 60_000);
    let network = Arc::clone(&net.network);
    let mut ids = Vec::new();
    for round in 0..8 {
        let votes: Vec<_> = (0..100)
            .map(|number| testing::vote(&network, 100 + number, never, &[round]))
            .collect();
        ids.push(net.gossip(0, peer_id(200), Topic::Vote, batch(votes)));
    }
    net.run(500);
    assert!(net.node(0).intake.held() > 0);
    net.run(10_000);
    assert_eq!(net.node(0).intake.held(), 0);
    assert!(net.node(0).jobs.is_empty());
    for id in &ids {
        assert_eq!(net.verdict(0, id), Some(Verdict::Ignore));
    }
}

#[test]
fn future_blocks_tickets_and_bodies_stay_within_their_bounds() {
    let setup = Setup {
        mine: false,
        ..Setup::default()
    };
    let mut net = Net::with(network(), vec![setup]);
    net.run(100);
    let forge = Forge::new(&net.network);
    for number in 0..600u64 {
        let (mut block, _) = forge.next(net.wall_ms() + 30_000, Vec::new());
        block.0.timestamp_ms += number;
        block.0 = seal(&net.network, block.0);
        let data = wire::encode(&compact(&block));
        net.gossip(0, peer_id(200), Topic::Block, data);
        let (mut block, _) = forge.next(net.wall_ms(), vec![testing::register(&net.network, 1)]);
        block.0.timestamp_ms = net.wall_ms() - number;
        block.0 = seal(&net.network, block.0);
        let data = wire::encode(&compact(&block));
        net.gossip(0, peer_id(200), Topic::Block, data);
    }
    net.run(500);
    assert!(net.node(0).future.len() <= 64);
    assert!(net.node(0).bodies.len() <= 384);
    assert!(net.node(0).tree.len() <= 2 + 65);
    assert!(
        net.node(0).block_tickets.len() <= 128,
        "{}",
        net.node(0).block_tickets.len()
    );
    net.run(60_000);
    assert_eq!(net.node(0).future.len(), 0);
    assert_eq!(net.node(0).block_tickets.len(), 0);
}
