//! A network with nothing to do.

use super::*;
use crate::protocol::sync::Request;

#[test]
fn after_an_election_nothing_is_said_and_nothing_is_mined() {
    let mut net = net(3);
    register(&mut net, 1..4);
    let id = open(&mut net, 0, 8_000);
    net.accept(1, vec![testing::vote(&net.network, 1, id, &[0])]);
    close(&mut net, &id);
    net.run(20_000);
    let tips = net.tips();
    assert!(net.one_tip());
    for host in 0..3 {
        assert_eq!(net.node(host).status().mining.phase, None);
    }
    net.published.clear();
    net.requests.clear();
    net.run(3_600_000);
    assert_eq!(net.tips(), tips);
    assert!(net.published.is_empty(), "{:?}", net.published);
    assert!(
        net.requests
            .iter()
            .all(|(_, request)| matches!(request, Request::Status { .. }))
    );
    // One every ten seconds to each of two peers.
    assert!(net.requests.len() <= 3 * 2 * 361, "{}", net.requests.len());
}

#[test]
fn a_lone_node_rests_until_an_election_opens_and_closes() {
    let mut net = net(1);
    register(&mut net, 1..2);
    let id = open(&mut net, 600_000, 1_200_000);
    net.run(20_000);
    let before = net.tip(0).0;
    net.published.clear();
    net.run(500_000);
    assert_eq!(net.tip(0).0, before);
    assert!(net.published.is_empty(), "{:?}", net.published);
    net.run(110_000);
    // The opening block and the confirmations on top of it, nothing else.
    assert_eq!(net.tip(0).0, before + 3);
    net.run(500_000);
    close(&mut net, &id);
    net.run(20_000);
    // The roll's closing block and one until the grace is over, the closing block, the confirmations.
    assert_eq!(net.tip(0).0, before + 8);
}
