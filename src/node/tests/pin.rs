//! Keeping to the closing block that was seen first, until the operator says otherwise.

use super::*;
use crate::node::Input;
use crate::node::simulated::forge::Forge;
use crate::node::simulated::puppet::{Manner, Puppet};

/// A node with a closed election, `confirmations` deep, and a longer chain without it.
fn closed(longer_by: usize) -> (Net, Forge) {
    let mut net = net(1);
    register(&mut net, 1..3);
    let id = open(&mut net, 0, 5_000);
    net.accept(0, vec![testing::vote(&net.network, 1, id, &[0])]);
    close(&mut net, &id);
    net.run(20_000);
    assert!(net.node(0).tree.pin().is_some());
    let mut other = Forge::new(&net.network);
    other.extend_empty(net.tip(0).0 as usize + longer_by);
    assert!(other.height() > net.tip(0).0);
    (net, other)
}

#[test]
fn a_longer_chain_without_the_closing_block_is_reported_and_followed_at_the_operators_word() {
    let (mut net, other) = closed(50);
    let ours = net.tip(0).1;
    net.add_puppet(Puppet::new(200, &other, Manner::Honest), &[0]);
    net.run(30_000);
    assert_eq!(net.tip(0).1, ours);
    let competing = net.node(0).status().competing.unwrap();
    assert_eq!(competing.tip, other.tip());
    assert_eq!(competing.forks_at_height, 0);
    assert!(
        net.node(0)
            .status()
            .warnings
            .iter()
            .any(|w| w.contains("more work"))
    );
    // After a restart as before it.
    net.crash(0);
    net.start(0);
    let peer = *net.puppets.keys().next().unwrap();
    net.input(0, Input::PeerReady { peer });
    net.run(30_000);
    assert_eq!(net.tip(0).1, ours);
    assert_eq!(net.node(0).status().competing.unwrap().tip, other.tip());

    net.input(0, Input::ReleasePin);
    net.until("the other chain", 20_000, |net| net.tip(0).1 == other.tip());
    assert!(net.node(0).status().competing.is_none());
    assert_eq!(
        net.node(0).status().counters.dropped,
        1,
        "the vote is too late for it"
    );
}

#[test]
fn a_block_on_the_old_chain_does_not_undo_the_release() {
    let (mut net, other) = closed(10);
    let mut puppet = Puppet::new(200, &other, Manner::Silent);
    puppet.pool.clear();
    let peer = net.add_puppet(puppet, &[0]);
    net.run(20_000);
    // The other chain's bodies take their time; meanwhile this node goes on on its own.
    net.input(0, Input::ReleasePin);
    net.accept(0, vec![testing::register(&net.network, 40)]);
    let height = net.tip(0).0;
    net.until("another block of ours", 5_000, |net| net.tip(0).0 > height);
    net.puppets.get_mut(&peer).unwrap().manner = Manner::Honest;
    net.until("the other chain", 120_000, |net| {
        net.node(0)
            .store()
            .snapshot()
            .is_main(&other.tip())
            .unwrap()
    });
}
