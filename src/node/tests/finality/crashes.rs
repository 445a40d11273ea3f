//! Finalisers that are killed, restored from a backup, or run twice.

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
        let pause_ms = net.draw(1_200);
        net.run(pause_ms);
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

/// The disk of a finaliser goes back to an earlier state; the number beside its key does not.
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

/// The backup is of a stopped node, in the middle of a checkpoint that nobody can decide for a while.
#[test]
fn a_backup_from_the_middle_of_a_checkpoint_is_noticed() {
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
    net.crash(0);
    let backup = net.hosts[0].disk.to_bytes();
    net.start(0);
    net.run(20_000);
    record.check(&net);
    net.crash(0);
    net.hosts[0].disk = crate::store::MemoryDisk::from_bytes(backup);
    net.start(0);
    net.run(10_000);
    record.check(&net);
    let status = net.node(0).status().finality.unwrap();
    assert!(
        status
            .waiting
            .is_some_and(|why| why.contains("signs nothing up to")),
        "not noticed"
    );
    net.start(2);
    net.start(3);
    net.until("settled", 60_000, settled);
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
