//! The simulator: whole elections among nodes of the real state machine and store, in one thread and in virtual time, with
//! everything going wrong that one seed can think of.
//!
//! A run has five or six nodes, some of them finalisers or none, and 180 voters with two elections. While they vote,
//! messages are lost, doubled and overtaken, links fail, disks are slow or full, clocks jump, and nodes lose their power
//! between a commit and its effects. Then everything is mended, and the network has to come to rest on one chain.
//!
//! - `world`: one run from beginning to end
//! - `people`: organiser, voters, troublemakers
//! - `trouble`: what befalls machines and links
//! - `invariants`: what must hold, each under its name
//! - `recount`, `signed`, `reasons`: the count again, from the raw blocks, and what it says of signatures and of excuses
//! - `planted`: faults in the node, each of which has to be found
//! - `seeds`, `counters`: many runs, and what happened in them
//!
//! `just sim 1000 1` runs a thousand seeds from the first on. A seed that fails says how it is run again.

#![allow(clippy::unwrap_used)]

mod counters;
mod digest;
mod invariants;
mod people;
mod planted;
mod reasons;
mod recount;
mod seeds;
mod signed;
mod trouble;
mod world;

use counters::{COUNTED, Counters, TROUBLES};

/// Seeds of the run that is part of all tests.
const SEEDS: u64 = 200;

fn number(name: &str, default: u64) -> u64 {
    let text = std::env::var(name).ok();
    text.and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// `VOTENODE_SIM_LOG=info`, as with `RUST_LOG`, shows what the nodes of a run say.
fn show_logs() {
    if let Ok(filter) = std::env::var("VOTENODE_SIM_LOG") {
        let _ = tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_writer(std::io::stderr)
            .without_time()
            .try_init();
    }
}

#[test]
fn every_seed_keeps_every_invariant() {
    show_logs();
    let count = number("VOTENODE_SIM_SEEDS", SEEDS);
    let first = number("VOTENODE_SIM_FIRST", 1);
    let begin = std::time::Instant::now();
    let runs = seeds::in_parallel(count, |index| {
        let run = seeds::one(first + index, None);
        if let Err(violation) = &run.verdict {
            println!(
                "seed {}: {}: {}\n    again: {}",
                run.seed,
                violation.invariant,
                violation.what,
                seeds::replay_command(run.seed)
            );
        }
        run
    });
    let mut counters = Counters::default();
    let (mut failed, mut simulated_ms) = (0, 0);
    for run in &runs {
        counters.merge(&run.report.counters);
        failed += u64::from(run.verdict.is_err());
        simulated_ms += run.report.simulated_ms;
        if count <= 10 {
            println!("seed {}: trace {}", run.seed, run.report.trace);
        }
    }
    for name in TROUBLES.into_iter().chain(invariants::ALL).chain([COUNTED]) {
        println!("{:>12}  {name}", counters.of(name));
    }
    println!(
        "{} simulated hours in {} s",
        simulated_ms / 3_600_000,
        begin.elapsed().as_secs()
    );
    println!("{} passed, {failed} failed", count - failed);
    assert_eq!(failed, 0);
    // One seed alone need not bring about everything.
    if count >= 100 {
        for name in TROUBLES.into_iter().chain(invariants::ALL) {
            assert!(counters.of(name) > 0, "never: {name}");
        }
        assert!(counters.of(COUNTED) > count * 3 / 4, "seldom: {COUNTED}");
    }
}

#[test]
fn a_seed_replays_exactly() {
    let traces = |seed| seeds::one(seed, None).report.trace;
    for seed in [7, 8] {
        let both = seeds::in_parallel(2, |_| traces(seed));
        assert_eq!(both[0], both[1], "seed {seed}");
    }
    assert_ne!(traces(7), traces(8));
}
