//! Faults in the node, each of which has to be found, and by the invariant that is there for it.

use votenode::planted::Fault;

use crate::invariants::{
    ACCEPTED, BOUNDS, CONVERGENCE, FINAL_STAYS, NO_PENALTY, ONCE, ONE_WORD, RECOUNT, SAME_STATE,
    SILENCE,
};
use crate::seeds::{self, Run};

/// Seeds within which every fault has to be found.
pub const MOST_SEEDS: u64 = 200;

/// A fault, the host that has it (or all), and the invariants that may be the first to tell.
struct Planted {
    fault: Fault,
    host: Option<usize>,
    found_by: &'static [&'static str],
}

const fn everywhere(fault: Fault, found_by: &'static [&'static str]) -> Planted {
    Planted {
        fault,
        host: None,
        found_by,
    }
}

/// In one node among correct ones.
const fn alone(fault: Fault, found_by: &'static [&'static str]) -> Planted {
    Planted {
        fault,
        host: Some(0),
        found_by,
    }
}

const PLANTED: [Planted; 20] = [
    alone(Fault::HigherIdWins, &[CONVERGENCE]),
    everywhere(Fault::NoRollCheck, &[RECOUNT]),
    everywhere(Fault::SecondVoteCounts, &[ONCE]),
    everywhere(Fault::LateVoteCounts, &[RECOUNT]),
    everywhere(Fault::NoGrace, &[RECOUNT, FINAL_STAYS]),
    // Or a host that showed what its full disk refused keeps to a chain that it cannot write.
    everywhere(
        Fault::EffectsBeforeSync,
        &[ACCEPTED, ONE_WORD, FINAL_STAYS, CONVERGENCE],
    ),
    everywhere(Fault::NoRequeue, &[ACCEPTED]),
    everywhere(Fault::PendingForgotten, &[ACCEPTED]),
    everywhere(Fault::DropUnsaid, &[ACCEPTED]),
    everywhere(Fault::EndlessLease, &[CONVERGENCE]),
    everywhere(Fault::CheckpointCrossed, &[FINAL_STAYS, CONVERGENCE]),
    everywhere(Fault::PinIgnored, &[FINAL_STAYS]),
    // Or a finaliser hears first what its key said elsewhere, and falls silent.
    everywhere(Fault::NoGuard, &[ONE_WORD, CONVERGENCE]),
    everywhere(Fault::BoundlessPool, &[BOUNDS]),
    everywhere(Fault::HeldForEver, &[CONVERGENCE]),
    // Or its neighbours have enough of it first.
    everywhere(Fault::IdleChatter, &[SILENCE, NO_PENALTY]),
    everywhere(Fault::NoPoolComparison, &[CONVERGENCE, ACCEPTED]),
    everywhere(Fault::UnknownIsLie, &[NO_PENALTY]),
    alone(Fault::VoteLost, &[SAME_STATE]),
    everywhere(Fault::SignatureUnchecked, &[RECOUNT]),
];

/// Looks for a fault, seed by seed, as many at a time as there are cores. Gives the first that finds it.
fn find(planted: &Planted, most: u64) -> Option<Run> {
    let at_once = std::thread::available_parallelism().map_or(2, usize::from) as u64;
    let first = super::number("VOTENODE_SIM_FIRST", 1);
    (first..=most).step_by(at_once as usize).find_map(|first| {
        let count = at_once.min(most + 1 - first);
        let runs = seeds::in_parallel(count, |index| {
            seeds::one(first + index, Some((planted.fault, planted.host)))
        });
        runs.into_iter().find(|run| run.verdict.is_err())
    })
}

/// That the same seeds hold without the faults is what `every_seed_keeps_every_invariant` shows.
#[test]
fn every_planted_fault_is_found() {
    super::show_logs();
    seeds::silence_planted_panics();
    let only = std::env::var("VOTENODE_SIM_FAULT").unwrap_or_default();
    let mut missed = Vec::new();
    for planted in &PLANTED {
        let name = format!("{:?}", planted.fault);
        if !name.contains(&only) {
            continue;
        }
        let Some(run) = find(planted, MOST_SEEDS) else {
            println!("{name:>18}  not found within {MOST_SEEDS} seeds");
            missed.push(name);
            continue;
        };
        let violation = run.verdict.expect_err("a run that found something");
        println!("{name:>18}  seed {:>3}  {}", run.seed, violation.invariant);
        if !planted.found_by.contains(&violation.invariant) {
            println!("    which was not expected: {}", violation.what);
            missed.push(name);
        }
    }
    assert!(missed.is_empty(), "{missed:?}");
}
