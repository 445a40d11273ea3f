//! Silence, loss, splits, and crashes between any two outputs.

use super::sim::*;

const ALL: [usize; 4] = [0, 1, 2, 3];

#[test]
fn one_of_four_may_be_silent() {
    let mut net = Net::new(&[1; 4], 2, 40);
    net.boot(0..3);
    assert!(net.finish(&[0, 1, 2], 200_000));
    net.check();
    // It catches up by certificates when it comes.
    net.boot([3]);
    assert!(net.finish(&ALL, 20_000));
    net.check();
}

#[test]
fn two_of_four_decide_nothing_cost_nothing_and_go_on_when_a_third_is_back() {
    let mut net = Net::new(&[1; 4], 3, 20);
    net.boot([0, 1]);
    net.run(3_600_000);
    net.check();
    assert!(net.decided.is_empty());
    // An hour of silence is one round, a handful of messages and a short log.
    for node in &net.nodes[..2] {
        let engine = node.engine.as_ref().unwrap();
        assert_eq!(engine.round(), Some(0));
        assert!(engine.held_count() <= 8, "{}", engine.held_count());
        assert!(node.disk.log.len() <= 16, "{}", node.disk.log.len());
    }
    net.boot([2]);
    assert!(net.finish(&[0, 1, 2], 100_000));
    net.check();
}

#[test]
fn lost_messages_are_pulled() {
    for seed in seeds(5) {
        let mut net = Net::new(&[1; 4], seed, 40);
        net.loss_percent = 20;
        net.boot(0..4);
        assert!(net.finish(&ALL, 200_000), "seed {seed}");
        net.check();
        assert!(net.evidence.is_empty());
    }
}

#[test]
fn a_split_in_two_halves_decides_nothing_and_heals_by_itself() {
    for seed in seeds(10) {
        let mut net = Net::new(&[1; 4], seed, 60);
        net.boot(0..4);
        let until_split_ms = 500 + net.draw(3_000);
        net.run(until_split_ms);
        let before = net.decided.len();
        for node in [2, 3] {
            net.nodes[node].group = 1;
        }
        net.run(60_000);
        // What was under way may still have been decided on one side.
        assert!(net.decided.len() <= before + 1, "seed {seed}");
        for node in [2, 3] {
            net.nodes[node].group = 0;
        }
        assert!(net.finish(&ALL, 200_000), "seed {seed}");
        net.check();
    }
}

/// Crashes at any output for a while, and then nobody does any more, so that it shows whether anything is stuck.
fn crash(powers: &[u64], seed: u64, loses: Loses) -> Net {
    let mut net = Net::new(powers, seed, u64::MAX);
    net.loses = loses;
    net.loss_percent = seed % 3 * 10;
    net.crashes_per_10000 = 100 + seed % 4 * 100;
    net.boot(0..powers.len());
    net.run(15_000);
    net.crashes_per_10000 = 0;
    net.loss_percent = 0;
    net.target = net.decided.len() as u64 + 2;
    net
}

fn survives(few: u64, loses: Loses) {
    let mut crashes = 0;
    for seed in seeds(few) {
        let powers: &[u64] = if seed % 2 == 0 {
            &[1; 4]
        } else {
            &[5, 9, 7, 6, 2]
        };
        let mut net = crash(powers, seed, loses);
        let all: Vec<usize> = (0..powers.len()).collect();
        assert!(net.finish(&all, 300_000), "seed {seed}");
        net.check();
        assert!(net.evidence.is_empty(), "seed {seed}");
        crashes += net.crashes;
    }
    println!("{crashes} crashes, of which each loses: {loses:?}");
    assert!(crashes > 10 * seeds(few).end, "{crashes}");
}

#[test]
fn a_crash_at_any_instant_makes_nobody_contradict_itself_and_stops_nothing() {
    survives(20, Loses::Nothing);
}

#[test]
fn a_log_may_be_torn_anywhere() {
    survives(12, Loses::Tail);
}

#[test]
fn the_guard_alone_keeps_a_finaliser_that_lost_its_log_from_contradicting_itself() {
    survives(12, Loses::Log);
}

#[test]
fn the_log_alone_keeps_a_finaliser_that_lost_its_guard_from_contradicting_itself() {
    survives(12, Loses::Guard);
}

/// That the checks can fail.
#[test]
fn without_log_and_guard_somebody_would_contradict_itself() {
    let nets = seeds(12).map(|seed| crash(&[1; 4], seed, Loses::LogAndGuard));
    let contradictions: u64 = nets.map(|net| net.contradictions).sum();
    println!("{contradictions} contradictions");
    assert!(contradictions > 0);
}
