//! Finalisers that are killed, restored from a backup, or run twice.

use super::liars::certificate;
use super::*;

/// Kills at random instants, between a commit and its effects too.
fn crashes(seed: u64) -> (usize, u64) {
    let network = finalising(4);
    let mut net = hosts(&network, 4, 1);
    net.random = seed;
    net.loss_percent = net.draw(25);
    let mut record = Record::default();
    let mut voter = 0;
    for _ in 0..60 {
        net.crash_per_mille = 12;
        let host = net.draw(5) as usize;
        if net.hosts[host].running.is_some() && voter < 200 {
            voter += 1;
            net.submit_only(host, vec![testing::register(&network, voter)]);
        }
        // Killed then, the node has its signatures in the store and nothing beside the key.
        let full = net.draw(10) == 0;
        let failing = net.draw(4) as usize;
        net.hosts[failing].promise.fail(full);
        let pause_ms = net.draw(1_200);
        net.run(pause_ms);
        net.hosts[failing].promise.fail(false);
        record.check(&net);
        for host in 0..5 {
            if net.hosts[host].running.is_none() && net.draw(3) > 0 {
                net.start(host);
            }
        }
    }
    net.crash_per_mille = 0;
    net.loss_percent = 0;
    for host in 0..5 {
        if net.hosts[host].running.is_none() {
            net.start(host);
        }
    }
    net.until("settled", 120_000, |net| {
        settled(net) && (0..5).all(|host| net.node(host).mempool.is_empty())
    });
    record.check(&net);
    assert!(net.hosts.iter().all(|host| host.conflict.is_none()));
    (record.said.len(), net.happened.crashes)
}

#[test]
fn whoever_is_killed_never_signs_twice_and_no_checkpoint_leaves() {
    let seeds = std::env::var("VOTENODE_TEST_SEEDS").ok();
    let seeds: u64 = seeds.and_then(|seeds| seeds.parse().ok()).unwrap_or(6);
    let (mut said, mut crashed) = (0, 0);
    for seed in 1..=seeds {
        let run = crashes(seed);
        said += run.0;
        crashed += run.1;
    }
    assert!(crashed >= 10 * seeds, "{crashed} crashes");
    assert!(said as u64 >= 50 * seeds, "{said} messages");
    println!("{seeds} seeds, {crashed} crashes, {said} messages of the consensus");
}

/// The disk of a finaliser goes back to an earlier state; what stands beside its key does not.
#[test]
fn a_restored_store_does_not_make_a_finaliser_sign_twice() {
    for beside_the_key_too in [false, true] {
        let network = finalising(4);
        let mut net = hosts(&network, 4, 0);
        let mut record = Record::default();
        register(&mut net, 1..3);
        net.until("settled", 30_000, settled);
        let backup = net.hosts[0].disk.to_bytes();
        // Something is signed that decides nothing: two of four are away.
        net.crash(2);
        net.crash(3);
        net.accept(0, vec![testing::register(&network, 5)]);
        net.run(5_000);
        record.check(&net);
        net.crash(0);
        net.hosts[0].disk = crate::store::MemoryDisk::from_bytes(backup.clone());
        if beside_the_key_too {
            net.hosts[0].promise = crate::node::finality::MemoryPromise::default();
        }
        net.start(0);
        net.run(5_000);
        record.check(&net);
        let status = net.node(0).status().finality.unwrap();
        assert!(
            status
                .waiting
                .as_ref()
                .is_some_and(|why| why.contains("signs nothing up to")),
            "{status:?}"
        );
        // The others decide without it, and it goes on with the next.
        net.start(2);
        net.start(3);
        net.until("settled", 60_000, settled);
        net.crash(1);
        make_final(&mut net, 0, testing::register(&network, 6));
        record.check(&net);
    }
}

/// A copy that knows the last signature is as good as the store itself, also in the middle of a checkpoint.
#[test]
fn a_copy_of_which_nothing_was_signed_since_goes_on() {
    let network = finalising(4);
    let mut net = hosts(&network, 4, 0);
    let mut record = Record::default();
    register(&mut net, 1..3);
    net.until("settled", 30_000, settled);
    net.crash(2);
    net.crash(3);
    net.accept(0, vec![testing::register(&network, 5)]);
    net.run(5_000);
    record.check(&net);
    let copy = net.hosts[0].disk.to_bytes();
    let noted = net.hosts[0].promise.clone().read().unwrap();
    net.run(20_000);
    record.check(&net);
    assert_eq!(net.hosts[0].promise.clone().read().unwrap(), noted);
    net.crash(0);
    net.hosts[0].disk = crate::store::MemoryDisk::from_bytes(copy);
    net.start(0);
    net.run(10_000);
    record.check(&net);
    // Without it nothing can be decided.
    net.crash(1);
    net.start(2);
    net.start(3);
    net.until("settled", 60_000, settled);
    record.check(&net);
}

/// The backup is a copy of a running node's disk, or of one that was killed, put back while the same checkpoint is open, and nobody is there who
/// could tell the node what it signed since.
#[test]
fn a_copy_from_the_middle_of_a_checkpoint_does_not_make_a_finaliser_sign_twice() {
    for stopped in [false, true] {
        put_back_a_copy(stopped);
    }
}

fn put_back_a_copy(stopped: bool) {
    let network = finalising(4);
    let mut net = hosts(&network, 4, 1);
    let mut record = Record::default();
    register(&mut net, 1..3);
    net.until("settled", 30_000, settled);
    let next = last_certificate(&net, 0).unwrap().checkpoint + 1;
    let proposer = proposer_of(4, next);
    let victim = (proposer + 1) % 4;
    let own = key(victim as u8 + 1).public_key();
    let signed = |record: &Record| {
        let places = record.said.keys();
        places
            .filter(|(by, height, ..)| *by == own && *height == next)
            .count()
    };
    for host in (0..4).filter(|host| *host != victim) {
        net.crash(host);
    }
    let waits = testing::register(&network, 5);
    net.accept(4, vec![waits.clone()]);
    net.until("included", 10_000, |net| {
        net.is_included(victim, waits.id())
    });
    // It waits for a proposal.
    net.run(100);
    record.check(&net);
    assert_eq!(signed(&record), 0);
    if stopped {
        net.crash(victim);
    }
    let copy = net.hosts[victim].disk.to_bytes();
    if stopped {
        net.start(victim);
    }
    // Nobody proposes, and it votes for nil.
    net.run(30_000);
    record.check(&net);
    assert_eq!(signed(&record), 1);

    net.crash(victim);
    net.hosts[victim].disk = crate::store::MemoryDisk::from_bytes(copy);
    // What the other heard is forgotten too; and now there is a proposal.
    net.crash(4);
    for host in [4, proposer, victim] {
        net.start(host);
    }
    net.run(30_000);
    record.check(&net);
    let proposed = (
        key(proposer as u8 + 1).public_key(),
        next,
        0,
        FinalityMessage::PROPOSAL,
    );
    assert!(record.said.contains_key(&proposed));
    assert_eq!(signed(&record), 1, "it signs once more");
    let status = net.node(victim).status().finality.unwrap();
    let waiting = status.waiting.expect("it is not noticed");
    assert!(waiting.contains("signs nothing up to"), "{waiting}");

    for host in (0..4).filter(|host| *host != victim && *host != proposer) {
        net.start(host);
    }
    net.until("settled", 60_000, settled);
    // From the next checkpoint on it takes part again.
    net.crash(proposer);
    make_final(&mut net, victim, testing::register(&network, 6));
    record.check(&net);
}

/// The same key on two hosts: each signs at most until it has heard the other twice.
#[test]
fn two_nodes_with_one_key_fall_silent() {
    let network = finalising(4);
    let mut net = hosts(&network, 4, 0);
    let twin = net.add(host(Some(4)));
    let silent = |net: &Net, host: usize| {
        let status = net.node(host).status().finality.unwrap();
        status
            .waiting
            .is_some_and(|why| why.contains("another node signs"))
    };
    let mut voter = 0;
    net.run(1_000);
    while !silent(&net, 3) && !silent(&net, twin) {
        voter += 1;
        assert!(voter < 100, "both go on");
        make_final(&mut net, 0, testing::register(&network, voter));
    }
    // The others go on; whoever is convicted, it is that key.
    make_final(&mut net, 0, testing::register(&network, 200));
    let convicted = net
        .node(0)
        .store()
        .snapshot()
        .state()
        .convictions(0, 100)
        .unwrap();
    let twice = key(4).public_key();
    assert!(
        convicted
            .iter()
            .all(|conviction| conviction.offence.finaliser == twice)
    );
}

/// Finalisers decide on a block, and before they have put the certificate together other blocks with more work come, and
/// everybody is started anew. Then the block is on disks alone: beside the best chain, of which a start makes the tree.
#[test]
fn a_decided_block_that_left_the_best_chain_is_found_again_after_a_start() {
    let network = finalising(4);
    let mut net = hosts(&network, 0, 1);
    let mut decided = Forge::new(&network);
    decided.extend(0, vec![testing::register(&network, 1)]);
    decided.extend_empty(1);
    let mut other = Forge::new(&network);
    other.extend(0, vec![testing::register(&network, 2)]);
    other.extend_empty(3);
    let puppet = net.add_puppet(Puppet::new(200, &decided, Manner::Honest), &[0]);
    net.until("the block", 20_000, |net| net.tip(0).1 == decided.tip());
    // From here on nobody has it but this host.
    net.puppets.get_mut(&puppet).unwrap().follow(&other);
    net.until("more work", 60_000, |net| net.tip(0).1 == other.tip());
    net.crash(0);
    let certificate = certificate(&network, 1, &decided.tip(), &[1, 2, 3]);
    net.puppets.get_mut(&puppet).unwrap().certificates = vec![certificate.clone()];
    net.start(0);
    net.run(10);
    net.input(0, Input::PeerReady { peer: puppet });
    net.until("final", 60_000, |net| {
        last_certificate(net, 0).as_ref() == Some(&certificate)
    });
    assert!(
        net.node(0)
            .store()
            .snapshot()
            .is_main(&decided.tip())
            .unwrap()
    );
}

/// Whoever is behind knows nothing of what a finaliser signed for the checkpoint under way.
#[test]
fn a_finaliser_that_starts_waits_for_word_from_a_peer_that_is_not_behind() {
    let mut net = hosts(&finalising(4), 4, 0);
    let network = Arc::clone(&net.network);
    make_final(&mut net, 0, testing::register(&network, 1));
    net.partition(&[0], &[1, 2, 3]);
    net.crash(0);
    net.start(0);
    let behind = Puppet::new(200, &Forge::new(&network), Manner::Honest);
    net.add_puppet(behind, &[0]);
    net.published.clear();
    let vote = testing::register(&network, 2);
    net.accept(0, vec![vote.clone()]);
    net.until("included", 20_000, |net| net.is_included(0, vote.id()));
    net.run(30_000);
    let said = |net: &Net| {
        let mut published = net.published.iter();
        published.any(|published| published.by == 0 && published.topic == Topic::Finality)
    };
    assert!(!said(&net));
    net.heal();
    finish(&mut net, &vote);
    assert!(said(&net));
}
