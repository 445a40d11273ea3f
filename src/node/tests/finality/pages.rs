//! Peers that make a node ask for certificates again and again.

use super::liars::certificate;
use super::*;
use crate::protocol::sync::MAX_CERTIFICATES;

/// A node that follows a chain of which every block is a checkpoint, and a liar on a short chain of its own.
fn beside_a_liar(
    certificates: impl FnOnce(Vec<CommitCertificate>) -> Vec<CommitCertificate>,
) -> (Net, votenode_p2p::PeerId) {
    let network = finalising(4);
    let mut net = hosts(&network, 0, 1);
    let mut chain = Forge::new(&network);
    chain.extend_empty(MAX_CERTIFICATES + 10);
    let all: Vec<CommitCertificate> = (1..)
        .zip(&chain.blocks)
        .map(|(number, (header, _))| certificate(&network, number, &header.id(), &[1, 2, 3]))
        .collect();
    // They come as from a finaliser's node that is asked for one page after the other.
    let mut honest = Puppet::new(200, &chain, Manner::Honest);
    let (first, rest) = all.split_at(MAX_CERTIFICATES);
    honest.certificates = first.to_vec();
    let giver = net.add_puppet(honest, &[0]);
    let count = MAX_CERTIFICATES as u64;
    net.until("the first page", 60_000, |net| {
        last_certificate(net, 0).is_some_and(|last| last.checkpoint == count)
    });
    net.puppets.get_mut(&giver).unwrap().certificates = rest.to_vec();
    net.until("all", 60_000, |net| {
        last_certificate(net, 0).is_some_and(|last| last.checkpoint == count + 10)
    });
    let mut attack = Forge::new(&network);
    attack.extend_empty(5);
    let mut liar = Puppet::new(202, &attack, Manner::Honest);
    liar.certificates = certificates(all);
    net.requests.clear();
    let liar = net.add_puppet(liar, &[0]);
    net.run(50_000);
    (net, liar)
}

/// Numbers from which certificates were asked for, the last few of the honest peer aside.
fn asked(net: &Net, from: impl Fn(u64) -> bool) -> usize {
    let requests = net.requests.iter();
    requests
        .filter(
            |(_, request)| matches!(request, Request::Certificates { from: at, .. } if from(*at)),
        )
        .count()
}

#[test]
fn the_same_page_of_certificates_for_ever() {
    let (net, _) = beside_a_liar(|all| all[..MAX_CERTIFICATES].to_vec());
    let count = MAX_CERTIFICATES as u64;
    assert_eq!(asked(&net, |from| from == 1), 1);
    assert_eq!(asked(&net, |from| from == count + 1), 1);
}

#[test]
fn certificates_of_a_set_that_nobody_shows() {
    let (net, liar) = beside_a_liar(|all| {
        let mut other = all[5..8].to_vec();
        for certificate in &mut other {
            certificate.set = 7;
            certificate.block = BlockId::ZERO;
        }
        other[2].block = all[0].block;
        other
    });
    assert_eq!(asked(&net, |from| from == 1), 1);
    assert!(net.penalties.iter().any(|penalty| penalty.peer == liar));
}
