//! Catching up.

use super::*;
use crate::node::Input;
use crate::node::simulated::forge::Forge;
use crate::node::simulated::host::{Setup, peer_id};
use crate::node::simulated::puppet::{Manner, Puppet};
use crate::protocol::submit::Outcome;
use crate::protocol::sync::{Reply, Request, Status};

fn watcher(network: &Arc<Network>) -> Net {
    let setup = Setup {
        mine: false,
        ..Setup::default()
    };
    let mut net = Net::with(Arc::clone(network), vec![setup]);
    net.run(100);
    net
}

fn long(network: &Arc<Network>, blocks: usize) -> Forge {
    let mut forge = Forge::new(network);
    for number in 1..60 {
        forge.extend(0, vec![testing::register(network, number)]);
    }
    forge.extend_empty(blocks - 59);
    forge
}

#[test]
fn a_late_joiner_fetches_bodies_from_several_peers_and_not_for_long_from_a_liar() {
    let network = network();
    let mut net = watcher(&network);
    let forge = long(&network, 1_200);
    let liar = net.add_puppet(Puppet::new(199, &forge, Manner::WrongBodies), &[0]);
    let honest: Vec<_> = (200..203)
        .map(|number| net.add_puppet(Puppet::new(number, &forge, Manner::Honest), &[0]))
        .collect();
    net.until("caught up", 20_000, |net| net.tip(0).1 == forge.tip());
    for peer in honest {
        assert!(net.puppets[&peer].bodies_served > 3);
    }
    assert!(net.penalties.iter().any(|penalty| penalty.peer == liar));
    assert!(net.penalties.iter().all(|penalty| penalty.peer == liar));
    assert_eq!(net.node(0).status().tip.roll_size, 59);
}

#[test]
fn a_peer_that_never_answers_does_not_stop_the_others() {
    let network = network();
    let mut net = watcher(&network);
    let forge = long(&network, 1_000);
    net.add_puppet(Puppet::new(199, &forge, Manner::Silent), &[0]);
    net.add_puppet(Puppet::new(200, &forge, Manner::Honest), &[0]);
    net.until("caught up", 60_000, |net| net.tip(0).1 == forge.tip());
}

#[test]
fn a_late_joiner_catches_up_with_nodes() {
    let mut net = net(2);
    register(&mut net, 1..9);
    net.run(30_000);
    let mut forge = Forge::new(&net.network);
    forge.extend_empty(300);
    net.add_puppet(Puppet::new(200, &forge, Manner::Honest), &[0, 1]);
    net.until("the network is high up", 60_000, |net| {
        net.one_tip() && net.tip(0).0 >= 300
    });
    let joiner = net.add(Setup::default());
    net.until("caught up", 30_000, |net| net.one_tip());
    assert!(net.tip(joiner).0 >= 300);
    net.run(10_000);
    assert_eq!(net.node(joiner).status().tip.roll_size, 8);
}

/// Headers cost next to nothing: a node must not sit and wait for bodies that never come.
#[test]
fn headers_without_bodies_do_not_silence_a_node() {
    let mut net = net(1);
    register(&mut net, 1..3);
    net.run(5_000);
    let mut forge = Forge::new(&net.network);
    forge.extend_empty(80);
    net.add_puppet(Puppet::new(200, &forge, Manner::NoBodies), &[0]);
    net.run(60_000);
    let outcomes = net.submit(0, vec![testing::register(&net.network, 9)]);
    assert_eq!(outcomes, [Outcome::Accepted {}]);
    let height = net.tip(0).0;
    net.until("mined", 30_000, |net| net.tip(0).0 > height);
}

#[test]
fn whoever_claims_a_chain_and_gives_none_of_its_blocks_is_let_go() {
    for blocks in [4, 4_500] {
        let network = network();
        let mut net = watcher(&network);
        let mut forge = Forge::new(&network);
        forge.extend_empty(blocks);
        net.add_puppet(Puppet::new(199, &forge, Manner::NoBodies), &[0]);
        net.run(60_000);
        let points: u32 = net.penalties.iter().map(|penalty| penalty.points).sum();
        assert!(points >= 150, "{blocks} blocks: {points} points");
    }
}

/// The best header's body is nowhere to be had; what lies below it is.
#[test]
fn a_withheld_tip_does_not_keep_the_rest_back() {
    let network = network();
    let mut net = watcher(&network);
    let mut forge = Forge::new(&network);
    forge.extend_empty(40);
    let mut withheld = forge.clone();
    withheld.extend_empty(1);
    net.add_puppet(Puppet::new(201, &withheld, Manner::NoBodies), &[0]);
    net.until("the headers", 1_000, |net| {
        net.node(0).best_header_height() == 41
    });
    net.add_puppet(Puppet::new(200, &forge, Manner::Honest), &[0]);
    net.until("all but the last", 10_000, |net| {
        net.tip(0).1 == forge.tip()
    });
}

#[test]
fn a_request_that_died_with_its_peer_is_made_again() {
    let network = network();
    let mut net = watcher(&network);
    let forge = long(&network, 100);
    let peer = net.add_puppet(Puppet::new(200, &forge, Manner::Silent), &[0]);
    net.run(3_000);
    assert_eq!(net.tip(0).0, 0);
    net.input(0, Input::PeerGone { peer });
    net.run(10);
    assert_eq!(net.node(0).peers.under_way(net.now_ms).count(), 0);
    net.add_puppet(Puppet::new(201, &forge, Manner::Honest), &[0]);
    net.until("caught up", 5_000, |net| net.tip(0).1 == forge.tip());
}

#[test]
fn a_peer_that_sends_pages_without_end_is_not_asked_without_end() {
    let network = network();
    let mut net = watcher(&network);
    let forge = long(&network, 70);
    net.add_puppet(Puppet::new(200, &forge, Manner::Honest), &[0]);
    net.until("caught up", 20_000, |net| net.tip(0).1 == forge.tip());
    let peer = peer_id(201);
    net.input(0, Input::PeerReady { peer });
    net.run(1);
    // Answers by hand: the same full page of ids, whatever is asked.
    let ids: Vec<_> = (0..crate::protocol::sync::MAX_IDS as u64)
        .map(|number| {
            let mut id = [0; 32];
            id[..8].copy_from_slice(&number.to_be_bytes());
            crate::chain::transaction::TxId::from_bytes(id)
        })
        .collect();
    let status = Status {
        tip: forge.tip(),
        height: forge.height(),
        checkpoint: forge.tip(),
        checkpoint_height: 0,
        pending: 8_192,
        clock_ms: net.wall_ms(),
    };
    let now = net.now(0);
    let mut effects = net
        .node_mut(0)
        .handle(vec![Input::PeerStatus { peer, status }], now);
    let mut asked = 0;
    for _ in 0..100 {
        let mut answers = Vec::new();
        for effect in effects {
            let crate::node::Effect::Request {
                tag,
                peer: to,
                data,
            } = effect
            else {
                continue;
            };
            if to != peer {
                continue;
            }
            let request: Request = wire::decode(&data).unwrap();
            let reply = match request {
                Request::PendingIds { .. } => {
                    asked += 1;
                    Reply::PendingIds {
                        ids: List::new(ids.clone()).unwrap(),
                    }
                }
                Request::Transactions { .. } => Reply::Transactions {
                    transactions: List::new(Vec::new()).unwrap(),
                },
                _ => Reply::Busy {},
            };
            answers.push(Input::Response {
                tag,
                peer,
                reply: Some(wire::encode(&reply)),
            });
        }
        effects = net.node_mut(0).handle(answers, now);
    }
    assert!((1..5).contains(&asked), "{asked}");
}

#[test]
fn whoever_claims_a_chain_and_does_not_give_it_is_scored_down() {
    let network = network();
    let mut net = watcher(&network);
    let peer = peer_id(201);
    net.input(0, Input::PeerReady { peer });
    net.run(1);
    let status = Status {
        tip: crate::chain::block::BlockId::from_bytes([9; 32]),
        height: 1_000_000,
        checkpoint: network.genesis_block(),
        checkpoint_height: 0,
        pending: 0,
        clock_ms: net.wall_ms(),
    };
    let nothing = Reply::Headers {
        headers: List::new(Vec::new()).unwrap(),
    };
    let mut now = net.now(0);
    // Twice it may have changed its mind meanwhile.
    for turn in 0..3 {
        now.mono_ms += 60_000;
        now.wall_ms += 60_000;
        let node = net.node_mut(0);
        let status = status.clone();
        let effects = node.handle(vec![Input::PeerStatus { peer, status }], now);
        let tag = effects.iter().find_map(|effect| match effect {
            crate::node::Effect::Request { tag, data, .. } => {
                let request: Request = wire::decode(data).unwrap();
                matches!(request, Request::Headers { .. }).then_some(*tag)
            }
            _ => None,
        });
        let response = Input::Response {
            tag: tag.unwrap(),
            peer,
            reply: Some(wire::encode(&nothing)),
        };
        let effects = node.handle(vec![response], now);
        let blamed = effects.iter().any(|effect| {
            matches!(effect, crate::node::Effect::Penalize { peer: whom, .. } if *whom == peer)
        });
        assert_eq!(blamed, turn == 2, "turn {turn}");
    }
}
