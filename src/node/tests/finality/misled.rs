//! Somebody who joins, hears an attacker first, and then gets a certificate: the attacker has more work, fills the
//! joiner's tree with branches, and answers what is asked.

use super::liars::certificate;
use super::*;
use crate::chain::tree::Limits;
use crate::node::simulated::forge::unseal;

/// More branches than a tree has room for.
const CROWD: u64 = 70;

/// A joiner on the attacker's chain, and the chain of the finalisers, whose last block is their first checkpoint.
struct Misled {
    net: Net,
    attack: Forge,
    /// The attacker's chain without its last two blocks.
    below: Forge,
    honest: Forge,
    crowds: u64,
}

const JOINER: usize = 0;

impl Misled {
    /// Both chains share so many blocks, and have so many of their own.
    fn new(shared: usize, attack_own: usize, honest_own: usize, tree: Limits) -> Self {
        let network = finalising(4);
        let joiner = Setup {
            tree,
            mine: false,
            ..host(None)
        };
        let mut net = Net::with(Arc::clone(&network), vec![joiner]);
        net.run(100);
        let mut trunk = Forge::new(&network);
        trunk.extend_empty(shared);
        let mut honest = trunk.clone();
        honest.extend(0, vec![testing::register(&network, 1)]);
        honest.extend_empty(honest_own - 1);
        let mut attack = trunk;
        let only_there = (100..150).map(|voter| testing::register(&network, voter));
        attack.extend(0, only_there.collect());
        attack.extend_empty(attack_own - 3);
        let below = attack.clone();
        attack.extend_empty(2);
        let mut misled = Self {
            net,
            attack,
            below,
            honest,
            crowds: 0,
        };
        let puppet = misled.attacker(200);
        misled.net.add_puppet(puppet, &[JOINER]);
        misled.net.until("the attacker's chain", 120_000, |net| {
            net.tip(JOINER).1 == misled.attack.tip()
        });
        misled.crowd();
        misled.net.run(200);
        misled
    }

    /// A peer that follows the attacker's chain.
    fn attacker(&self, number: u8) -> Puppet {
        Puppet::new(number, &self.attack, Manner::Honest)
    }

    fn certificate(&self) -> CommitCertificate {
        certificate(&self.net.network, 1, &self.honest.tip(), &[1, 2, 3])
    }

    /// A peer that follows the finalisers' chain.
    fn finaliser(&self, number: u8) -> Puppet {
        let mut puppet = Puppet::new(number, &self.honest, Manner::Honest);
        puppet.certificates = vec![self.certificate()];
        puppet
    }

    /// Fills the joiner's tree with new branches that have almost as much work as the attacker's chain.
    fn crowd(&mut self) {
        let earliest_ms = self.attack.last().0.timestamp_ms;
        for n in 0..CROWD {
            let later_ms = 1 + self.crowds * CROWD + n;
            let (block, _) = self.below.next(earliest_ms + later_ms, Vec::new());
            let data = wire::encode(&compact(&block));
            self.net.gossip(JOINER, peer_id(201), Topic::Block, data);
        }
        self.crowds += 1;
    }

    fn follows(net: &Net, checkpoint: &BlockId) -> bool {
        last_certificate(net, JOINER).is_some_and(|last| last.block == *checkpoint)
    }

    /// The joiner comes to the finalisers' checkpoint whatever branches are added meanwhile, and stays there.
    fn is_led_back(&mut self) {
        let checkpoint = self.honest.tip();
        for _ in 0..20 {
            self.crowd();
            self.net.run(20);
        }
        self.net.until("the checkpoint", 120_000, |net| {
            Self::follows(net, &checkpoint)
        });
        self.crowd();
        self.net.run(30_000);
        assert_eq!(self.net.tip(JOINER).1, checkpoint);
        assert_eq!(self.net.node(JOINER).status().counters.reorganisations, 1);
    }

    fn asked_for_ancestry(&self) -> usize {
        let requests = self.net.requests.iter();
        requests
            .filter(|(_, request)| is_for_ancestry(request))
            .count()
    }
}

/// Whether this asks for the way up from the genesis block or one block above it.
fn is_for_ancestry(request: &Request) -> bool {
    matches!(request, Request::Headers { locator, .. } if locator.len() == 1)
}

fn asks_for_ancestry(net: &Net) -> bool {
    net.requests
        .iter()
        .any(|(_, request)| is_for_ancestry(request))
}

fn window(window: u64) -> Limits {
    Limits {
        window,
        ..Limits::default()
    }
}

#[test]
fn a_crowd_of_branches_does_not_keep_the_certified_one_out() {
    let mut misled = Misled::new(0, 60, 20, Limits::default());
    let puppet = misled.finaliser(210);
    misled.net.add_puppet(puppet, &[JOINER]);
    misled.is_led_back();
    assert!(
        misled
            .net
            .penalties
            .iter()
            .all(|penalty| penalty.peer != peer_id(210))
    );
}

/// The way takes more than one reply, and branches come between them.
#[test]
fn a_long_way_is_found_page_by_page() {
    let mut misled = Misled::new(2_020, 60, 20, Limits::default());
    let puppet = misled.finaliser(210);
    misled.net.add_puppet(puppet, &[JOINER]);
    misled.is_led_back();
    assert!(misled.asked_for_ancestry() >= 2);
}

/// The chains part where the tree has forgotten how.
#[test]
fn a_way_that_parts_below_the_root_is_found() {
    let mut misled = Misled::new(30, 120, 20, window(50));
    let puppet = misled.finaliser(210);
    misled.net.add_puppet(puppet, &[JOINER]);
    misled.is_led_back();
    // What both chains share was not left.
    let counters = misled.net.node(JOINER).status().counters;
    assert_eq!(counters.blocks_disconnected, 120);
    misled.net.crash(JOINER);
    misled.net.start(JOINER);
    assert_eq!(misled.net.tip(JOINER).1, misled.honest.tip());
}

/// The attackers are asked too: one gives its own chain, one what is no header of this network, one nothing.
#[test]
fn one_honest_peer_among_three_attackers_is_enough() {
    for tree in [Limits::default(), window(50)] {
        let mut misled = Misled::new(0, 120, 20, tree);
        // The certificate comes from one that has another chain.
        let mut giver = misled.attacker(202);
        giver.certificates = vec![misled.certificate()];
        let mut liar = misled.attacker(203);
        let network = Arc::clone(&misled.net.network);
        let rubbish = unseal(&network, misled.honest.blocks[0].0.clone());
        liar.headers = Some(vec![rubbish]);
        liar.certificates = vec![misled.certificate()];
        let mut silent = misled.attacker(204);
        silent.headers = Some(Vec::new());
        silent.certificates = vec![misled.certificate()];
        for puppet in [giver, liar, silent] {
            misled.net.add_puppet(puppet, &[JOINER]);
        }
        misled.net.run(60_000);
        assert_eq!(misled.net.tip(JOINER).1, misled.attack.tip());
        // Nobody can help: the joiner asks, and not without end.
        assert!(
            (6..60).contains(&misled.asked_for_ancestry()),
            "{}",
            misled.asked_for_ancestry()
        );
        let status = misled.net.node(JOINER).status().finality.unwrap();
        assert_eq!(status.checkpoint, 0);
        let puppet = misled.finaliser(210);
        misled.net.add_puppet(puppet, &[JOINER]);
        misled.is_led_back();
        let scored = |number| {
            let mut penalties = misled.net.penalties.iter();
            penalties.any(|penalty| penalty.peer == peer_id(number))
        };
        assert!(scored(203) && !scored(210));
    }
}

/// Whoever leaves in the middle of a reply is no loss, and a chain that grows too long for a checkpoint is no way.
#[test]
fn a_peer_that_leaves_and_one_that_leads_nowhere_are_passed_over() {
    let mut misled = Misled::new(0, 60, 20, Limits::default());
    let mut silent = misled.attacker(202);
    silent.headers = Some(Vec::new());
    silent.certificates = vec![misled.certificate()];
    misled.net.add_puppet(silent, &[JOINER]);
    misled.net.until("asked", 10_000, asks_for_ancestry);
    misled
        .net
        .input(JOINER, Input::PeerGone { peer: peer_id(202) });
    let puppet = misled.finaliser(210);
    misled.net.add_puppet(puppet, &[JOINER]);
    misled.is_led_back();
}

/// A disk that takes no writes when the attacker's chain has to be left: nothing is left half done.
#[test]
fn a_retreat_that_fails_is_made_again() {
    let mut misled = Misled::new(0, 120, 20, window(50));
    let disk = misled.net.hosts[JOINER].disk.clone();
    let headers = misled.net.node(JOINER).tree.len();
    let puppet = misled.finaliser(210);
    misled.net.add_puppet(puppet, &[JOINER]);
    misled.net.until("asked", 10_000, asks_for_ancestry);
    disk.refuse_writes(true);
    misled.net.run(30_000);
    let node = misled.net.node_mut(JOINER);
    assert!(node.write_failure.is_some());
    for _ in 0..2 {
        assert!(node.retreat(5).is_err());
        assert_eq!(node.tree.tip(), misled.attack.tip());
        assert_eq!(node.tree.len(), headers);
        assert_eq!(node.store().snapshot().tip().id, misled.attack.tip());
        assert_eq!(node.mempool.len(), 0);
        assert_eq!(node.status().counters.reorganisations, 0);
        assert!(node.stage.forget.is_empty());
    }
    disk.refuse_writes(false);
    misled.is_led_back();
    let kept = testing::register(&misled.net.network, 100).id();
    assert!(misled.net.node(JOINER).mempool.get(&kept).is_some());
}

/// The certified branch stays in the tree while nobody gives its bodies, and its first peer that does is enough.
#[test]
fn a_certified_branch_is_neither_set_aside_nor_crowded_out() {
    let mut misled = Misled::new(5, 60, 20, Limits::default());
    let mut puppet = misled.finaliser(209);
    puppet.manner = Manner::NoBodies;
    misled.net.add_puppet(puppet, &[JOINER]);
    for _ in 0..60 {
        misled.crowd();
        misled.net.run(2_000);
    }
    let node = misled.net.node(JOINER);
    assert!(node.tree.get(&misled.honest.tip()).is_some());
    // The attacker's chain is left at once.
    assert_eq!(misled.net.tip(JOINER).0, 5);
    assert_eq!(node.status().finality.unwrap().checkpoint, 0);
    let puppet = misled.finaliser(210);
    misled.net.add_puppet(puppet, &[JOINER]);
    misled.is_led_back();
}

/// Peers that come and go: each claims the highest checkpoint, names the certificate, says nothing more, and has a
/// smaller id than all that came before. Until the joiner follows the finalisers.
fn is_led_back_past_fresh_identities(misled: &mut Misled, identities: u64) {
    let checkpoint = misled.honest.tip();
    let mut numbers: Vec<u8> = (100..200).collect();
    numbers.sort_by_key(|number| std::cmp::Reverse(peer_id(*number)));
    let mut present = None;
    for number in numbers.into_iter().take(identities as usize) {
        let mut fresh = misled.attacker(number);
        fresh.manner = Manner::Silent;
        fresh.headers = Some(Vec::new());
        fresh.certificates = vec![misled.certificate()];
        let fresh = misled.net.add_puppet(fresh, &[JOINER]);
        misled.net.run(100);
        if let Some(peer) = present.replace(fresh) {
            misled.net.puppets.remove(&peer);
            misled.net.input(JOINER, Input::PeerGone { peer });
        }
        misled.net.run(2_900);
    }
    assert!(
        Misled::follows(&misled.net, &checkpoint),
        "{:?}",
        misled.net.tips()
    );
}

#[test]
fn fresh_identities_do_not_keep_the_certified_chain_out() {
    let mut misled = Misled::new(0, 60, 20, Limits::default());
    // Nobody who is there for long gave the certificate.
    let network = Arc::clone(&misled.net.network);
    let block = misled.honest.tip();
    let precommits = [1, 2, 3].map(|seed| say(&network, seed, 2, 1, 0, block.as_bytes()));
    gossip(&mut misled.net, JOINER, precommits.into());
    let mut fresh = misled.attacker(202);
    fresh.headers = Some(Vec::new());
    fresh.certificates = vec![misled.certificate()];
    misled.net.add_puppet(fresh, &[JOINER]);
    misled.net.until("asked", 10_000, asks_for_ancestry);
    let puppet = misled.finaliser(210);
    misled.net.add_puppet(puppet, &[JOINER]);
    misled.net.run(100);
    is_led_back_past_fresh_identities(&mut misled, 20);
}

/// The one that knows the way was asked before it could give it. Its turn comes again, whoever else comes.
#[test]
fn fresh_identities_do_not_keep_a_round_from_ending() {
    let mut misled = Misled::new(0, 60, 20, Limits::default());
    let mut puppet = misled.finaliser(210);
    puppet.headers = Some(Vec::new());
    misled.net.add_puppet(puppet, &[JOINER]);
    misled.net.until("asked", 10_000, asks_for_ancestry);
    misled.net.run(5_000);
    misled.net.puppets.get_mut(&peer_id(210)).unwrap().headers = None;
    is_led_back_past_fresh_identities(&mut misled, 60);
}

/// Whoever says that it holds a checkpoint and never gives the way to it does not stay for ever.
#[test]
fn silence_about_the_way_costs() {
    let mut misled = Misled::new(0, 60, 20, Limits::default());
    let mut silent = misled.attacker(202);
    silent.headers = Some(Vec::new());
    silent.certificates = vec![misled.certificate()];
    let silent = misled.net.add_puppet(silent, &[JOINER]);
    misled.net.run(300_000);
    let penalties = misled.net.penalties.iter();
    let points: u32 = penalties
        .filter(|penalty| penalty.peer == silent)
        .map(|penalty| penalty.points)
        .sum();
    assert!(points >= 100, "{points}");
}

/// The commit that leaves the attacker's chain is reported as failed, and is on disk after all.
#[test]
fn a_retreat_in_doubt_loses_nothing() {
    let mut misled = Misled::new(30, 120, 20, window(50));
    // A side branch with bodies, as high as the chain.
    let mut near = misled.below.clone();
    near.extend_empty(1);
    let earliest_ms = misled.attack.last().0.timestamp_ms;
    let mut beside = (1..).map(|later_ms| near.next(earliest_ms + later_ms, Vec::new()).0);
    let tip = misled.attack.tip();
    let block = beside.find(|block| block.0.id() > tip).unwrap();
    let data = wire::encode(&compact(&block));
    misled.net.gossip(JOINER, peer_id(201), Topic::Block, data);
    misled.net.run(1_000);
    let kept = testing::register(&misled.net.network, 100);
    let disk = misled.net.hosts[JOINER].disk.clone();
    let left: Vec<BlockId> = misled.attack.blocks.iter().map(|b| b.0.id()).collect();
    let node = misled.net.node_mut(JOINER);
    let beside: Vec<BlockId> = node.tree.present_beside().collect();
    assert!(!beside.is_empty());
    disk.refuse_writes(true);
    assert!(node.retreat(30).is_err());
    disk.refuse_writes(false);
    let durable = crate::store::Commit {
        pending_insert: vec![(kept.id(), wire::encode(&kept))],
        chain: Some(crate::store::Switch {
            rewind_to: 30,
            append: Vec::new(),
        }),
        ..Default::default()
    };
    node.store.commit(durable).unwrap();
    node.retreat(30).unwrap();
    assert_eq!(node.tree.tip_height(), 30);
    assert!(left[30..].iter().all(|id| node.stage.forget.contains(id)));
    assert!(beside.iter().all(|id| node.stage.forget.contains(id)));
    assert!(node.mempool.get(&kept.id()).is_some());
    assert_eq!(node.status().counters.blocks_disconnected, 120);
}
