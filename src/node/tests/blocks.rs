//! Blocks from peers that err or lie.

use votenode_p2p::Verdict;

use super::*;
use crate::chain::block::CompactBlock;
use crate::crypto::Hash;
use crate::node::simulated::forge::{Forge, ForgedBlock, compact, seal, unseal};
use crate::node::simulated::host::{Setup, peer_id};
use crate::node::simulated::puppet::{Manner, Puppet};
use crate::protocol::names::Topic;

/// A node that does not mine, so that nothing but what the test brings extends its chain.
fn watcher() -> Net {
    let setup = Setup {
        mine: false,
        ..Setup::default()
    };
    let mut net = Net::with(network(), vec![setup]);
    net.run(100);
    net
}

fn gossip(net: &mut Net, number: u8, block: &CompactBlock) -> votenode_p2p::MessageId {
    net.gossip(0, peer_id(number), Topic::Block, wire::encode(block))
}

#[test]
fn what_a_compact_block_lacks_is_fetched_from_its_sender() {
    let mut net = watcher();
    let mut forge = Forge::new(&net.network);
    let known = testing::register(&net.network, 1);
    net.accept(0, vec![known.clone()]);
    forge.extend(
        net.wall_ms(),
        vec![known, testing::register(&net.network, 2)],
    );
    net.add_puppet(Puppet::new(200, &forge, Manner::Honest), &[]);
    let peer = net.puppets.keys().next().copied().unwrap();
    net.input(0, crate::node::Input::PeerReady { peer });
    let id = gossip(&mut net, 200, &compact(forge.last()));
    net.until("the block", 1_000, |net| net.tip(0).1 == forge.tip());
    assert_eq!(net.verdict(0, &id), Some(Verdict::Accept));
    assert_eq!(net.node(0).mempool.len(), 0);
}

#[test]
fn a_sender_that_keeps_the_transactions_back_does_not_keep_the_block_back() {
    for manner in [Manner::NoBodies, Manner::WrongBodies, Manner::Silent] {
        let mut net = watcher();
        let mut forge = Forge::new(&net.network);
        forge.extend(net.wall_ms(), vec![testing::register(&net.network, 2)]);
        net.add_puppet(Puppet::new(200, &forge, manner), &[0]);
        net.add_puppet(Puppet::new(201, &forge, Manner::Honest), &[0]);
        // The statuses that both peers give are no longer up to date when the block comes.
        for puppet in net.puppets.values_mut() {
            puppet.follow(&Forge::new(&net.network));
        }
        net.run(1_000);
        for puppet in net.puppets.values_mut() {
            puppet.follow(&forge);
        }
        gossip(&mut net, 200, &compact(forge.last()));
        net.until("the block from the other one", 15_000, |net| {
            net.tip(0).1 == forge.tip()
        });
    }
}

#[test]
fn a_block_that_contradicts_itself_is_rejected_at_sight() {
    let mut net = watcher();
    let forge = Forge::new(&net.network);
    let (block, _) = forge.next(net.wall_ms(), vec![testing::register(&net.network, 1)]);
    let mut other_root = compact(&block);
    other_root.header.transaction_root = Hash::from_bytes([9; 32]);
    other_root.header = seal(&net.network, other_root.header);
    let mut no_work = compact(&block);
    no_work.header = unseal(&net.network, no_work.header);
    let mut bad_height = compact(&block);
    bad_height.header.height = 7;
    bad_height.header = seal(&net.network, bad_height.header);
    for bad in [other_root, no_work, bad_height] {
        let id = gossip(&mut net, 200, &bad);
        net.run(100);
        assert_eq!(net.verdict(0, &id), Some(Verdict::Reject));
    }
    let garbage = net.gossip(0, peer_id(200), Topic::Block, vec![0x82, 0x00]);
    net.run(100);
    assert_eq!(net.verdict(0, &garbage), Some(Verdict::Reject));
}

/// A block whose work is done and whose second registration is the first again.
fn invalid_block(net: &Net, forge: &Forge) -> ForgedBlock {
    let (mut block, _) = forge.next(
        net.wall_ms(),
        vec![
            testing::register(&net.network, 1),
            testing::register(&net.network, 2),
        ],
    );
    block.0.roll_root = Hash::from_bytes([3; 32]);
    block.0 = seal(&net.network, block.0);
    block
}

#[test]
fn an_invalid_block_is_refused_for_good_and_held_against_its_sender() {
    let mut net = watcher();
    let forge = Forge::new(&net.network);
    let mut bad = forge.clone();
    bad.blocks.push(invalid_block(&net, &forge));
    let invalid = bad.last().clone();
    let mut child = invalid.clone();
    child.0.height = 2;
    child.0.parent = invalid.0.id();
    child.0.timestamp_ms += 1_000;
    child.0 = seal(&net.network, child.0);
    let peer = net.add_puppet(Puppet::new(200, &bad, Manner::Honest), &[]);
    net.input(0, crate::node::Input::PeerReady { peer });
    net.run(10);
    let id = gossip(&mut net, 200, &compact(&invalid));
    net.run(3_000);
    assert_eq!(net.verdict(0, &id), Some(Verdict::Reject));
    assert_eq!(net.tip(0).0, 0);
    let points: u32 = net.penalties.iter().map(|penalty| penalty.points).sum();
    assert!(points >= 60, "{points}");
    assert!(net.penalties.iter().all(|penalty| penalty.peer == peer));
    // Neither it nor what is built on it is tried again.
    let before = net.puppets[&peer].bodies_served;
    bad.blocks.push(child.clone());
    net.puppets.get_mut(&peer).unwrap().follow(&bad);
    gossip(&mut net, 200, &compact(&child));
    net.run(30_000);
    assert_eq!(net.puppets[&peer].bodies_served, before);
    assert_eq!(net.node(0).status().counters.blocks_invalid, 1);
    // The right chain is still taken.
    let mut good = forge;
    good.extend(net.wall_ms(), vec![testing::register(&net.network, 1)]);
    net.add_puppet(Puppet::new(201, &good, Manner::Honest), &[0]);
    net.until("the valid one", 20_000, |net| net.tip(0).1 == good.tip());
}

#[test]
fn a_block_from_the_future_is_held_until_it_is_due() {
    let mut net = watcher();
    let mut forge = Forge::new(&net.network);
    forge.extend(net.wall_ms() + 4_000, Vec::new());
    let id = gossip(&mut net, 200, &compact(forge.last()));
    net.run(3_900);
    assert_eq!(net.tip(0).0, 0);
    assert_eq!(net.verdict(0, &id), None);
    net.run(200);
    assert_eq!(net.tip(0).1, forge.tip());
    assert_eq!(net.verdict(0, &id), Some(Verdict::Accept));
    let (far, _) = forge.next(net.wall_ms() + 90_000, Vec::new());
    let far = gossip(&mut net, 200, &compact(&far));
    net.run(100);
    assert_eq!(net.verdict(0, &far), Some(Verdict::Ignore));
}

#[test]
fn an_orphan_leads_to_the_headers_before_it() {
    let mut net = watcher();
    let mut forge = Forge::new(&net.network);
    forge.extend_empty(30);
    let peer = net.add_puppet(
        Puppet::new(200, &Forge::new(&net.network), Manner::Honest),
        &[0],
    );
    net.run(1_000);
    net.puppets.get_mut(&peer).unwrap().follow(&forge);
    let id = gossip(&mut net, 200, &compact(forge.last()));
    net.until("the whole chain", 1_500, |net| net.tip(0).1 == forge.tip());
    assert_eq!(net.verdict(0, &id), Some(Verdict::Ignore));
}

#[test]
fn a_block_of_the_next_moment_finds_a_place_among_many_of_the_next_minute() {
    let mut net = watcher();
    let forge = Forge::new(&net.network);
    let at = |net: &Net, ahead_ms| forge.next(net.wall_ms() + ahead_ms, Vec::new()).0;
    for number in 0..100 {
        let late = at(&net, 50_000 + number);
        gossip(&mut net, 200, &compact(&late));
    }
    let soon = at(&net, 1_000);
    gossip(&mut net, 201, &compact(&soon));
    net.run(2_000);
    assert_eq!(net.tip(0).1, soon.0.id());
}

/// Before a branch has as much work as the best chain its bodies are of no use, and on disk they would stay.
#[test]
fn nobody_is_asked_for_bodies_below_the_tip() {
    let mut net = watcher();
    let mut forge = Forge::new(&net.network);
    forge.extend_empty(5);
    net.add_puppet(Puppet::new(200, &forge, Manner::Honest), &[0]);
    net.until("the chain", 5_000, |net| net.tip(0).1 == forge.tip());
    let mut fork = Forge::new(&net.network);
    fork.extend(0, vec![testing::register(&net.network, 1)]);
    net.add_puppet(Puppet::new(201, &fork, Manner::Honest), &[0]);
    net.run(100);
    let id = gossip(&mut net, 201, &compact(fork.last()));
    net.run(1_000);
    assert_eq!(net.verdict(0, &id), Some(Verdict::Ignore));
    let kept = net.node(0).store().snapshot().block_body(&fork.tip());
    assert!(kept.unwrap().is_none());
    // Once it is the better one, it is followed.
    fork.extend_empty(8);
    net.add_puppet(Puppet::new(202, &fork, Manner::Honest), &[0]);
    net.until("the better chain", 5_000, |net| net.tip(0).1 == fork.tip());
}

/// Bodies that nothing connects to the tip must not use up the room of those that would.
#[test]
fn blocks_on_top_of_one_that_is_withheld_keep_no_honest_block_out() {
    let mut net = watcher();
    let mut honest = Forge::new(&net.network);
    honest.extend(net.wall_ms(), vec![testing::register(&net.network, 1)]);
    let mut withheld = Forge::new(&net.network);
    withheld.extend(0, vec![testing::register(&net.network, 2)]);
    withheld.extend_empty(500);
    net.add_puppet(
        Puppet::new(200, &Forge::new(&net.network), Manner::NoBodies),
        &[0],
    );
    net.run(10);
    for block in &withheld.blocks {
        gossip(&mut net, 200, &compact(block));
    }
    net.run(100);
    assert!(net.node(0).bodies.len() <= 128 + 2);
    net.add_puppet(Puppet::new(201, &honest, Manner::Honest), &[0]);
    gossip(&mut net, 201, &compact(honest.last()));
    net.until("the honest block", 5_000, |net| {
        net.tip(0).1 == honest.tip()
    });
}
