//! Two certificates of one number, of which neither is a checkpoint of the node yet.

use super::liars::certificate;
use super::*;
use crate::node::finality::Conflict;

/// A plain node, and two chains that part above a common block with one certificate more than that block's number.
struct Parted {
    net: Net,
    /// The certificates that both chains have.
    shared: Vec<CommitCertificate>,
    /// Each with a certificate of its last block.
    chains: [(Forge, CommitCertificate); 2],
}

impl Parted {
    /// Both have this number of checkpoints in common, which the node holds, too.
    fn after(checkpoints: u64) -> Self {
        let network = finalising(4);
        let mut net = Net::with(Arc::clone(&network), vec![host(None)]);
        net.run(100);
        let mut trunk = Forge::new(&network);
        let mut shared = Vec::new();
        for number in 1..=checkpoints {
            trunk.extend_empty(2);
            shared.push(certificate(&network, number, &trunk.tip(), &[1, 2, 3]));
        }
        if checkpoints > 0 {
            let mut puppet = Puppet::new(200, &trunk, Manner::Honest);
            puppet.certificates.clone_from(&shared);
            net.add_puppet(puppet, &[0]);
            net.until("what both have", 30_000, |net| {
                last_certificate(net, 0).is_some_and(|last| last.checkpoint == checkpoints)
            });
        }
        let chains = [(1, [1, 2, 3]), (2, [2, 3, 4])].map(|(voter, signers)| {
            let mut chain = trunk.clone();
            chain.extend(0, vec![testing::register(&network, voter)]);
            let number = checkpoints + 1;
            let certificate = certificate(&network, number, &chain.tip(), &signers);
            (chain, certificate)
        });
        Self {
            net,
            shared,
            chains,
        }
    }

    /// A peer that follows the chain but gives no bodies.
    fn follower(&self, chain: usize) -> Puppet {
        let (forge, certificate) = &self.chains[chain];
        let mut puppet = Puppet::new(210 + chain as u8, forge, Manner::NoBodies);
        puppet.certificates.clone_from(&self.shared);
        puppet.certificates.push(certificate.clone());
        puppet
    }

    /// The first chain's certificate waits; its block is nowhere, or on a branch.
    fn first_waits(&mut self, block_is_known: bool) {
        let mut puppet = self.follower(0);
        if !block_is_known {
            puppet.headers = Some(Vec::new());
        }
        self.net.add_puppet(puppet, &[0]);
        self.net.run(5_000);
        let block = self.chains[0].0.tip();
        let node = self.net.node(0);
        assert_eq!(node.tree.get(&block).is_some(), block_is_known);
        assert_eq!(
            last_certificate(&self.net, 0).map_or(0, |last| last.checkpoint),
            self.shared.len() as u64
        );
        assert!(self.net.hosts[0].conflict.is_none());
    }

    /// Precommits for the second chain's block, as the finalisers gossip them.
    fn gossip_second(&mut self) {
        let (forge, certificate) = &self.chains[1];
        let block = forge.tip();
        let number = certificate.checkpoint;
        let precommits = [2, 3, 4]
            .map(|seed| say(&self.net.network, seed, 2, number, 0, block.as_bytes()))
            .into();
        gossip(&mut self.net, 0, precommits);
    }

    /// The node stops with both certificates, and with those who signed both: 2 and 3.
    fn stops(mut self) {
        self.net
            .until("stopped", 30_000, |net| net.hosts[0].conflict.is_some());
        let Conflict {
            ours,
            theirs,
            signed_both,
        } = *self.net.hosts[0].conflict.clone().unwrap();
        assert_eq!(ours, self.chains[0].1);
        assert_eq!(theirs.block, self.chains[1].0.tip());
        let keys: Vec<PublicKey> = signed_both.iter().map(|member| member.key).collect();
        let mut liars = [2, 3].map(|seed| key(seed).public_key());
        liars.sort_unstable();
        assert_eq!(keys, liars);
    }
}

#[test]
fn one_from_a_peer_is_held_against_one_that_waits() {
    for checkpoints in [0, 1] {
        for block_is_known in [false, true] {
            let mut parted = Parted::after(checkpoints);
            parted.first_waits(block_is_known);
            let puppet = parted.follower(1);
            parted.net.add_puppet(puppet, &[0]);
            parted.stops();
        }
    }
}

#[test]
fn one_put_together_is_held_against_one_that_waits() {
    for checkpoints in [0, 1] {
        for block_is_known in [false, true] {
            let mut parted = Parted::after(checkpoints);
            parted.first_waits(block_is_known);
            parted.gossip_second();
            parted.stops();
        }
    }
}

/// A forged one proves nothing, and whoever gives it is scored down.
#[test]
fn a_forged_one_stops_nothing() {
    let mut parted = Parted::after(1);
    parted.first_waits(true);
    let mut puppet = parted.follower(1);
    let network = Arc::clone(&parted.net.network);
    let forged = certificate(&network, 2, &parted.chains[1].0.tip(), &[3, 4]);
    puppet.certificates = vec![parted.shared[0].clone(), forged];
    let forger = parted.net.add_puppet(puppet, &[0]);
    parted.net.run(10_000);
    assert!(parted.net.hosts[0].conflict.is_none());
    assert!(parted.net.penalties.iter().any(|p| p.peer == forger));
    // The one that waits is still taken.
    parted.net.puppets.get_mut(&peer_id(210)).unwrap().manner = Manner::Honest;
    parted.net.until("the checkpoint", 60_000, |net| {
        last_certificate(net, 0).is_some_and(|last| last.checkpoint == 2)
    });
}

/// What cannot be checked yet is not displaced by what another gives.
#[test]
fn one_that_is_not_checked_yet_stays() {
    let network = finalising(4);
    let mut net = Net::with(Arc::clone(&network), vec![host(None)]);
    net.run(100);
    let mut chain = Forge::new(&network);
    let mut certificates = Vec::new();
    for number in 1..3 {
        chain.extend_empty(2);
        certificates.push(certificate(&network, number, &chain.tip(), &[1, 2, 3]));
    }
    let mut honest = Puppet::new(210, &chain, Manner::Honest);
    honest.certificates.clone_from(&certificates);
    honest.headers = Some(Vec::new());
    net.add_puppet(honest, &[0]);
    net.run(2_000);
    let mut forger = Puppet::new(211, &chain, Manner::Honest);
    forger.headers = Some(Vec::new());
    let forged = certificate(&network, 2, &chain.tip(), &[4]);
    forger.certificates = vec![certificates[0].clone(), forged];
    net.add_puppet(forger, &[0]);
    net.run(2_000);
    assert_eq!(last_certificate(&net, 0), None);
    net.puppets.get_mut(&peer_id(210)).unwrap().headers = None;
    net.until("both", 60_000, |net| {
        last_certificate(net, 0).is_some_and(|last| last == certificates[1])
    });
    assert!(net.penalties.is_empty(), "{:?}", net.penalties);
}
