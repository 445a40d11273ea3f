//! Everything at once: links that fail and heal, messages lost, nodes that crash and come back, voters who vote twice.
//! Whatever happens, nothing that was acknowledged may vanish without a word.

use std::collections::BTreeMap;

use super::*;
use crate::chain::transaction::TxId;
use crate::protocol::submit::{Outcome, TxStatus};

const HOSTS: usize = 4;
const VOTERS: u8 = 24;

/// A vote that some host acknowledged.
struct Acknowledged {
    id: TxId,
    voter: u8,
    host: usize,
    /// How often that host had started: it knows why it dropped a vote for as long as it runs.
    incarnation: u64,
}

fn disturb(net: &mut Net) {
    let host = net.draw(HOSTS as u64) as usize;
    match net.draw(10) {
        0 => {
            let others: Vec<_> = (0..HOSTS).filter(|other| *other != host).collect();
            net.partition(&[host], &others);
        }
        1 => net.partition(&[0, 1], &[2, 3]),
        2 => net.heal(),
        3 if net.hosts[host].running.is_some() => net.crash(host),
        3 => net.start(host),
        4 => net.loss_percent = net.draw(40),
        5 => {
            let disk = net.hosts[host].disk.clone();
            disk.set_quota(disk.to_bytes().len() as u64);
        }
        6 => net.hosts[host].disk.set_quota(u64::MAX),
        _ => {}
    }
}

/// Gives the number of acknowledged votes.
fn run(seed: u64) -> usize {
    let mut net = Net::new(network(), HOSTS);
    net.random = seed;
    for host in 0..HOSTS {
        net.hosts[host].clock_offset_ms = net.draw(800) as i64 - 400;
    }
    net.run(100);
    register(&mut net, 1..VOTERS + 1);
    let id = open(&mut net, 0, 130_000);
    let mut submitted: BTreeMap<u64, (TxId, u8, usize, u64)> = BTreeMap::new();
    for voter in (1..=VOTERS).chain(1..=VOTERS / 3) {
        let host = net.draw(HOSTS as u64) as usize;
        if net.hosts[host].running.is_some() {
            let choice = net.draw(3) as u8;
            let vote = testing::vote(&net.network, voter, id, &[choice]);
            let made = (vote.id(), voter, host, net.hosts[host].incarnation);
            submitted.insert(net.submit_only(host, vec![vote]), made);
        }
        let pause_ms = net.draw(2_500);
        net.run(pause_ms);
        disturb(&mut net);
    }
    net.loss_percent = 0;
    for host in 0..HOSTS {
        net.hosts[host].disk.set_quota(u64::MAX);
        if net.hosts[host].running.is_none() {
            net.start(host);
        }
    }
    net.heal();
    close(&mut net, &id);
    net.run(10_000);

    let acknowledged: Vec<Acknowledged> = submitted
        .into_iter()
        .filter(|(number, made)| {
            net.hosts[made.2].answers.get(number) == Some(&vec![Outcome::Accepted {}])
        })
        .map(|(_, (id, voter, host, incarnation))| Acknowledged {
            id,
            voter,
            host,
            incarnation,
        })
        .collect();
    let counted: u64 = net.result(0, &id).tally.totals.iter().sum();
    let mut voters = std::collections::BTreeSet::new();
    for vote in &acknowledged {
        voters.insert(vote.voter);
        if net.is_included(0, vote.id) {
            continue;
        }
        let other = acknowledged
            .iter()
            .any(|other| other.voter == vote.voter && net.is_included(0, other.id));
        assert!(
            other,
            "seed {seed}: the vote of voter {} is gone",
            vote.voter
        );
        if net.hosts[vote.host].incarnation == vote.incarnation {
            let status = net.status(vote.host, vote.id);
            assert!(
                matches!(&status, TxStatus::Dropped { reason } if reason.code == 111),
                "seed {seed}: {status:?}"
            );
        }
    }
    assert!(counted >= voters.len() as u64, "seed {seed}");
    for host in 0..HOSTS {
        assert_eq!(net.result(host, &id).tally, net.result(0, &id).tally);
        assert_eq!(net.node(host).mempool.len(), 0, "seed {seed}");
        assert!(net.node(host).dubious.is_empty(), "seed {seed}");
        assert!(net.node(host).intake.held() == 0, "seed {seed}");
    }
    assert!(net.penalties.is_empty(), "seed {seed}");
    acknowledged.len()
}

#[test]
fn whatever_happens_acknowledged_votes_are_counted_or_accounted_for() {
    let seeds = std::env::var("VOTENODE_TEST_SEEDS").ok();
    let seeds: u64 = seeds.and_then(|seeds| seeds.parse().ok()).unwrap_or(5);
    let acknowledged: usize = (1..=seeds).map(run).sum();
    assert!(acknowledged as u64 > 8 * seeds, "{acknowledged}");
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let tips = |seed| {
        let mut net = Net::new(network(), 3);
        net.random = seed;
        net.loss_percent = 20;
        net.run(100);
        register(&mut net, 1..6);
        net.run(10_000);
        (net.tips(), net.published.len(), net.requests.len())
    };
    assert_eq!(tips(1), tips(1));
    assert_ne!(tips(1), tips(2));
}
