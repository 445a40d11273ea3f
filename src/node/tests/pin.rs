//! Keeping to the closing block that was seen first, until the operator says otherwise.

use votenode_p2p::PeerId;

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

/// A chain beside everybody's, so many blocks long, that differs from others by its first block.
fn beside(net: &Net, length: u64, number: u64) -> Forge {
    let mut other = Forge::new(&net.network);
    let first_ms = net.network.timestamp_ms + net.network.block_time_ms + number;
    other.extend(first_ms, Vec::new());
    other.extend_empty(length as usize - 1);
    other
}

/// A node on whose chain an election just closed, not yet deep, and a puppet that has a better chain and gives no bodies.
fn before_the_pin(manner: Manner) -> (Net, Forge, PeerId) {
    let mut net = net(1);
    // Rest: others may have made blocks meanwhile.
    net.run(120_000);
    register(&mut net, 1..3);
    let id = open(&mut net, 0, 5_000);
    net.accept(0, vec![testing::vote(&net.network, 1, id, &[0])]);
    close(&mut net, &id);
    assert_eq!(net.node(0).tree.pin(), None, "deep enough at once");
    let other = beside(&net, net.tip(0).0 + 10, 0);
    let peer = net.add_puppet(Puppet::new(200, &other, manner), &[0]);
    net.until("better headers", 900, better_headers);
    (net, other, peer)
}

fn better_headers(net: &Net) -> bool {
    net.node(0).best_header_height() > net.tip(0).0
}

fn is_pinned(net: &Net) -> bool {
    net.node(0).tree.pin().is_some()
}

/// Lets the chain go on until it comes to rest, with the confirmations on top of the closing block.
fn deep(net: &mut Net) {
    net.run(8_000);
    assert!(better_headers(net));
}

#[test]
fn a_better_chain_is_waited_for_and_followed_before_anything_is_pinned() {
    let (mut net, other, peer) = before_the_pin(Manner::Silent);
    deep(&mut net);
    assert!(!is_pinned(&net));
    net.puppets.get_mut(&peer).unwrap().manner = Manner::Honest;
    net.until("the better chain", 30_000, |net| {
        net.node(0)
            .store()
            .snapshot()
            .is_main(&other.tip())
            .unwrap()
    });
}

#[test]
fn better_headers_that_come_to_nothing_hold_the_pin_back_no_longer() {
    let (mut net, ..) = before_the_pin(Manner::NoBodies);
    deep(&mut net);
    assert!(!is_pinned(&net));
    // Nothing else happens at rest: the node wakes up for it by itself.
    net.until("the pin", 30_000, is_pinned);
}

#[test]
fn ever_new_headers_without_bodies_hold_the_pin_back_for_a_minute() {
    let (mut net, _, peer) = before_the_pin(Manner::Silent);
    deep(&mut net);
    for number in 1.. {
        assert!(!is_pinned(&net));
        if net.within(10_000, is_pinned) {
            break;
        }
        assert!(number < 8, "the pin is held back without end");
        assert!(better_headers(&net), "that is about something else");
        // Before the last ones are set aside.
        let next = beside(&net, net.tip(0).0 + 10 + number, number);
        net.puppets.get_mut(&peer).unwrap().follow(&next);
    }
}

#[test]
fn a_pin_that_was_not_written_is_found_again_at_start() {
    let (mut net, ..) = before_the_pin(Manner::Silent);
    deep(&mut net);
    assert!(!is_pinned(&net));
    net.crash(0);
    net.start(0);
    assert!(is_pinned(&net));
    let (_, height) = net.node(0).tree.pin().unwrap();
    assert!(height + net.network.confirmations <= net.tip(0).0);
}
