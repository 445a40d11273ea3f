//! Mining states: advice that is shown, honoured within bounds, and otherwise changes nothing.

use votenode_p2p::{MessageId, Verdict};

use super::*;
use crate::chain::block::BlockId;
use crate::crypto::{Context, Signature, SigningKey};
use crate::node::simulated::host::peer_id;
use crate::protocol::gossip::{MiningState, Phase};
use crate::protocol::names::Topic;

fn state(net: &Net, miner: &SigningKey, parent: (u64, BlockId), sequence: u64) -> MiningState {
    let mut state = MiningState {
        parent: parent.1,
        height: parent.0 + 1,
        phase: Phase::Mining as u8,
        counts: List::new(vec![0; 8]).unwrap(),
        lease_ms: 60_000,
        hash_rate: 1,
        sequence,
        miner: miner.public_key(),
        signature: Signature::ZERO,
    };
    state.signature = miner.sign(
        Context::SignMiningState,
        net.network.id().as_bytes(),
        &state.payload(),
    );
    state
}

fn gossip(net: &mut Net, state: &MiningState) -> MessageId {
    net.gossip(0, peer_id(200), Topic::Mining, wire::encode(state))
}

/// The key of the host with this index, as [`crate::node::simulated::host`] makes it.
fn miner_of(host: u8) -> SigningKey {
    SigningKey::from_seed(&[host + 1; 32])
}

#[test]
fn a_lease_of_a_recent_miner_is_honoured_for_half_a_block_time_and_no_longer() {
    let mut net = net(2);
    register(&mut net, 1..12);
    net.run(10_000);
    let recent = net.node(0).store().snapshot().tip_header().miner;
    let miner = [miner_of(0), miner_of(1)]
        .into_iter()
        .find(|key| key.public_key() == recent)
        .unwrap();
    net.partition(&[0], &[1]);
    net.run(100);
    let tip = net.tip(0);
    let lease = state(&net, &miner, tip, net.wall_ms() + 1_000_000);
    let id = gossip(&mut net, &lease);
    net.run(1);
    assert_eq!(net.verdict(0, &id), Some(Verdict::Accept));
    let asked_ms = net.now_ms;
    net.accept(0, vec![testing::register(&net.network, 77)]);
    net.run(300);
    assert_eq!(net.tip(0), tip);
    assert_eq!(net.node(0).status().mining.phase, Some(Phase::StandingBy));
    net.until("mined", 2_000, |net| net.tip(0).0 == tip.0 + 1);
    assert!(net.now_ms >= asked_ms + 500, "{}", net.now_ms - asked_ms);
    assert!(net.now_ms <= asked_ms + 700, "{}", net.now_ms - asked_ms);
}

#[test]
fn a_stranger_gets_no_lease_and_a_wasted_one_is_the_last() {
    let mut net = net(1);
    register(&mut net, 1..3);
    net.run(10_000);
    let stranger = SigningKey::from_seed(&[88; 32]);
    let lease = state(&net, &stranger, net.tip(0), net.wall_ms());
    gossip(&mut net, &lease);
    net.accept(0, vec![testing::register(&net.network, 77)]);
    let height = net.tip(0).0;
    net.until("mined at once", 400, |net| net.tip(0).0 > height);
    net.run(10_000);
    let wasted = state(&net, &miner_of(0), net.tip(0), net.wall_ms() + 1_000_000);
    gossip(&mut net, &wasted);
    net.accept(0, vec![testing::register(&net.network, 78)]);
    net.run(10_000);
    let again = state(&net, &miner_of(0), net.tip(0), net.wall_ms() + 1_000_000);
    gossip(&mut net, &again);
    net.run(1);
    let height = net.tip(0).0;
    net.accept(0, vec![testing::register(&net.network, 79)]);
    net.until("mined at once", 400, |net| net.tip(0).0 > height);
}

#[test]
fn forged_states_are_rejected_old_ones_ignored_and_a_flood_is_not_read() {
    let mut net = net(1);
    register(&mut net, 1..3);
    net.run(10_000);
    let miner = SigningKey::from_seed(&[88; 32]);
    let tip = net.tip(0);
    let good = state(&net, &miner, tip, 1_000);
    let good = gossip(&mut net, &good);
    let old = state(&net, &miner, tip, 999);
    let old = gossip(&mut net, &old);
    let mut forged = state(&net, &miner, tip, 2_000);
    forged.height += 1;
    let forged = gossip(&mut net, &forged);
    let mut unknown = state(&net, &miner, tip, 3_000);
    unknown.phase = 9;
    let unknown = gossip(&mut net, &unknown);
    net.run(10);
    assert_eq!(net.verdict(0, &good), Some(Verdict::Accept));
    assert_eq!(net.verdict(0, &old), Some(Verdict::Ignore));
    assert_eq!(net.verdict(0, &forged), Some(Verdict::Reject));
    assert_eq!(net.verdict(0, &unknown), Some(Verdict::Reject));
    assert_eq!(net.node(0).status().mining_states.len(), 1);

    net.run(2_000 - net.now_ms % 1_000);
    let flood: Vec<_> = (0..300)
        .map(|number: u64| {
            let mut seed = [1; 32];
            seed[..8].copy_from_slice(&number.to_be_bytes());
            let state = state(&net, &SigningKey::from_seed(&seed), tip, 1);
            gossip(&mut net, &state)
        })
        .collect();
    net.run(10);
    let accepted = flood
        .iter()
        .filter(|id| net.verdict(0, id) == Some(Verdict::Accept))
        .count();
    // Keys cost nothing: strangers have less of a second than those who mine.
    assert_eq!(accepted, 40);
    assert!(net.node(0).status().mining_states.len() <= 64);
    assert!(net.penalties.iter().any(|p| p.peer == peer_id(200)));
    let known = state(&net, &miner_of(0), tip, net.wall_ms() + 1_000_000);
    let known = gossip(&mut net, &known);
    net.run(10);
    assert_eq!(net.verdict(0, &known), Some(Verdict::Accept));
}

#[test]
fn a_miner_of_the_last_blocks_has_a_part_of_a_second_that_others_cannot_use_up() {
    let mut net = net(1);
    register(&mut net, 1..3);
    net.run(10_000);
    net.run(2_000 - net.now_ms % 1_000);
    let (miner, tip, start) = (miner_of(0), net.tip(0), net.wall_ms() + 1_000_000);
    // In its name, but not by it.
    for number in 0..30 {
        let mut forged = state(&net, &miner, tip, start + number);
        forged.hash_rate += 1;
        net.gossip(0, peer_id(201), Topic::Mining, wire::encode(&forged));
    }
    let flood = |net: &mut Net, start: u64, count: u64| {
        let ids: Vec<_> = (0..count)
            .map(|number| {
                let state = state(net, &miner, tip, start + number);
                gossip(net, &state)
            })
            .collect();
        net.run(10);
        let accepted = |id: &&MessageId| net.verdict(0, id) == Some(Verdict::Accept);
        ids.iter().filter(accepted).count()
    };
    assert_eq!(flood(&mut net, start, 100), 10);
    let is_blamed = |net: &Net| net.penalties.iter().any(|p| p.peer == peer_id(200));
    assert!(!is_blamed(&net));
    net.run(1_000);
    assert_eq!(flood(&mut net, start + 1_000, 1), 1, "the next second");
    flood(&mut net, start + 2_000, 600);
    assert!(is_blamed(&net));
}

#[test]
fn states_that_nobody_needs_are_ignored_until_there_are_too_many() {
    let mut net = net(1);
    let miner = SigningKey::from_seed(&[88; 32]);
    let far = (1_000_000, BlockId::from_bytes([7; 32]));
    for number in 0..500 {
        let useless = state(&net, &miner, far, number);
        gossip(&mut net, &useless);
    }
    net.run(10);
    assert_eq!(net.penalties.len(), 0);
    for number in 500..600 {
        let useless = state(&net, &miner, far, number);
        gossip(&mut net, &useless);
    }
    net.run(10);
    assert_eq!(net.penalties.len(), 100);
}

#[test]
fn a_crowd_that_lies_about_the_time_stops_nobody_who_has_two_clocks_on_its_side() {
    use crate::node::simulated::forge::Forge;
    use crate::node::simulated::puppet::{Manner, Puppet};
    let mut net = net(1);
    let forge = Forge::new(&net.network);
    for number in 200..220 {
        let mut puppet = Puppet::new(number, &forge, Manner::Honest);
        puppet.ahead_ms = if number < 202 { 0 } else { 3_600_000 };
        net.add_puppet(puppet, &[0]);
    }
    net.run(1_000);
    net.accept(0, vec![testing::register(&net.network, 1)]);
    net.until("mined", 20_000, |net| net.tip(0).0 > 0);
}

#[test]
fn a_miner_whose_clock_is_far_off_pauses_until_it_is_right() {
    use crate::node::simulated::forge::Forge;
    use crate::node::simulated::puppet::{Manner, Puppet};
    let mut net = net(1);
    let forge = Forge::new(&net.network);
    for number in 200..203 {
        let mut puppet = Puppet::new(number, &forge, Manner::Honest);
        puppet.ahead_ms = 6_000;
        net.add_puppet(puppet, &[0]);
    }
    net.run(1_000);
    net.accept(0, vec![testing::register(&net.network, 1)]);
    net.run(20_000);
    assert_eq!(net.tip(0).0, 0);
    let status = net.node(0).status();
    assert!(status.mining.paused.is_some());
    assert!(status.warnings.iter().any(|w| w.contains("clock")));
    for puppet in net.puppets.values_mut() {
        puppet.ahead_ms = 4_000;
    }
    net.until("mined", 20_000, |net| net.tip(0).0 > 0);
}

#[test]
fn states_of_one_moment_are_told_apart() {
    let mut net = net(3);
    register(&mut net, 1..30);
    let mut last = std::collections::BTreeMap::new();
    for message in net.published.iter().filter(|m| m.topic == Topic::Mining) {
        let state: MiningState = wire::decode(&message.data).unwrap();
        let before = last.insert(message.by, state.sequence);
        assert!(before.is_none_or(|before| before < state.sequence));
    }
    assert_eq!(last.len(), 3);
    assert!(net.published.iter().all(|m| m.at_ms <= net.now_ms));
}

#[test]
fn whoever_waits_shows_what_waits_and_tells_it_again_as_it_grows() {
    let network = network_with(|genesis| genesis.block_time_ms = 10_000);
    let mut net = Net::new(network, 1);
    net.run(100);
    net.accept(0, vec![testing::register(&net.network, 1)]);
    net.until("mined", 60_000, |net| net.tip(0).0 == 1);
    net.accept(0, vec![testing::register(&net.network, 2)]);
    net.run(10);
    let quiet = net.published.len();
    for number in 3..40 {
        net.accept(0, vec![testing::register(&net.network, number)]);
        net.run(100);
    }
    assert_eq!(net.tip(0).0, 1);
    let own = net.node(0).status().mining;
    assert_eq!((own.phase, own.height), (Some(Phase::Waiting), Some(2)));
    assert_eq!(own.counts.total(), 38);
    net.run(2_000);
    let told: Vec<(u64, u64)> = net.published[quiet..]
        .iter()
        .filter(|message| message.topic == Topic::Mining)
        .map(|message| {
            let state: MiningState = wire::decode(&message.data).unwrap();
            assert_eq!((state.phase, state.height), (Phase::Waiting as u8, 2));
            (message.at_ms, state.counts.iter().sum())
        })
        .collect();
    assert!(told.len() >= 2, "{told:?}");
    assert_eq!(told.last().unwrap().1, 38, "{told:?}");
    assert!(
        told.windows(2).all(|pair| pair[1].0 >= pair[0].0 + 1_000),
        "{told:?}"
    );
}
