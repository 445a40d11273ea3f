//! Full disks.

use super::*;
use crate::node::simulated::forge::{Forge, compact};
use crate::node::simulated::host::peer_id;
use crate::protocol::names::Topic;
use crate::protocol::submit::Outcome;

#[test]
fn a_full_disk_accepts_nothing_and_recovers_by_itself() {
    let mut net = net(1);
    register(&mut net, 1..3);
    let id = open(&mut net, 0, 600_000);
    net.run(5_000);
    let disk = net.hosts[0].disk.clone();
    disk.set_quota(disk.to_bytes().len() as u64);
    // Registrations fill what room is left in the database.
    let mut refused = None;
    for number in 10..250 {
        let outcomes = net.submit(0, vec![testing::register(&net.network, number)]);
        if outcomes == [Outcome::Busy {}] {
            refused = Some(number);
            break;
        }
        assert_eq!(outcomes, [Outcome::Accepted {}]);
    }
    let refused = testing::register(&net.network, refused.unwrap());
    assert!(net.node(0).status().disk_full);
    assert!(!net.node(0).knows(&refused.id()));
    let vote = testing::vote(&net.network, 1, id, &[0]);
    assert_eq!(net.submit(0, vec![vote.clone()]), [Outcome::Busy {}]);
    let gossiped = net.gossip(0, peer_id(200), Topic::Vote, batch(vec![vote.clone()]));
    net.run(10_000);
    assert_eq!(
        net.verdict(0, &gossiped),
        Some(votenode_p2p::Verdict::Ignore)
    );
    assert!(!net.node(0).knows(&vote.id()));
    let height = net.tip(0).0;

    disk.set_quota(u64::MAX);
    net.run(10_000);
    assert!(!net.node(0).status().disk_full);
    assert!(net.tip(0).0 > height);
    net.accept(0, vec![vote.clone(), refused]);
    net.run(5_000);
    assert!(net.is_included(0, vote.id()));
}

#[test]
fn a_block_that_came_while_the_disk_was_full_connects_afterwards() {
    let mut net = Net::with(
        network(),
        vec![crate::node::simulated::host::Setup {
            mine: false,
            ..Default::default()
        }],
    );
    net.run(100);
    let disk = net.hosts[0].disk.clone();
    let mut forge = Forge::new(&net.network);
    disk.set_quota(0);
    // Whatever room the database has left is used up by blocks.
    for number in 1..200 {
        forge.extend(0, vec![testing::register(&net.network, number)]);
        let ((header, transactions), known) = (forge.last().clone(), forge.last().1.clone());
        for transaction in known {
            net.submit(0, vec![transaction]);
        }
        let block = wire::encode(&compact(&(header, transactions)));
        net.gossip(0, peer_id(200), Topic::Block, block);
        net.run(10);
        if net.node(0).status().disk_full {
            break;
        }
    }
    assert!(net.node(0).status().disk_full);
    let peer = {
        use crate::node::simulated::puppet::{Manner, Puppet};
        net.add_puppet(Puppet::new(201, &forge, Manner::Honest), &[0])
    };
    net.run(6_000);
    assert!(net.tip(0).0 < forge.height());
    disk.set_quota(u64::MAX);
    net.until("caught up", 10_000, |net| net.tip(0).1 == forge.tip());
    assert!(net.penalties.iter().all(|penalty| penalty.peer != peer));
}

#[test]
fn what_waits_to_be_written_is_not_forgotten_over_a_full_disk() {
    let mut net = net(1);
    net.run(1_000);
    let disk = net.hosts[0].disk.clone();
    disk.set_quota(disk.to_bytes().len() as u64);
    let entry = vec![7; 64 * 1024 * 1024];
    let bans = vec![(b"somebody".to_vec(), Some(entry))];
    net.input(
        0,
        crate::node::Input::Remember {
            peers: Vec::new(),
            bans,
        },
    );
    net.run(1_000);
    assert!(net.node(0).status().disk_full);
    disk.set_quota(u64::MAX);
    net.run(5_000);
    assert!(!net.node(0).status().disk_full);
    assert_eq!(net.node(0).store().snapshot().bans().unwrap().len(), 1);
}

#[test]
fn nobody_hears_accepted_for_what_a_full_disk_took_back() {
    let mut net = net(1);
    register(&mut net, 1..3);
    let (id, opening) = election(&net, 0, 600_000);
    let disk = net.hosts[0].disk.clone();
    // The registrations come at once, the vote waits for its election: the array is answered when it has come.
    let mut array: Vec<_> = (10..110)
        .map(|number| testing::register(&net.network, number))
        .collect();
    array.push(testing::vote(&net.network, 1, id, &[0]));
    let number = net.submit_only(0, array.clone());
    disk.set_quota(0);
    // Too much for whatever room the database has left.
    let peers = vec![(b"somebody".to_vec(), Some(vec![7; 64 * 1024 * 1024]))];
    let bans = Vec::new();
    net.input(0, crate::node::Input::Remember { peers, bans });
    net.run(1_000);
    assert!(net.node(0).status().disk_full);
    assert!(!net.hosts[0].answers.contains_key(&number));
    disk.set_quota(u64::MAX);
    net.run(4_000);
    net.submit_only(0, vec![opening]);
    net.until("the answer", 20_000, |net| {
        net.hosts[0].answers.contains_key(&number)
    });
    for (transaction, outcome) in array.iter().zip(&net.hosts[0].answers[&number]) {
        assert_eq!(
            *outcome == Outcome::Accepted {},
            net.node(0).knows(&transaction.id())
        );
    }
    assert!(net.hosts[0].answers[&number].contains(&Outcome::Busy {}));
}
