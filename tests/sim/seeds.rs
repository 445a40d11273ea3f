//! Many runs, two at a time or as many as there are cores.

use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use votenode::planted::{self, Fault};

use crate::invariants::{NO_PANIC, Verdict, Violation};
use crate::world::{self, Report};

/// A run that is over.
#[derive(Clone, Debug)]
pub struct Run {
    pub seed: u64,
    pub verdict: Verdict,
    pub report: Report,
}

thread_local! {
    static QUIET: Cell<bool> = const { Cell::new(false) };
}

/// Runs one seed. A panic is a violation like any other.
pub fn one(seed: u64, fault: Option<(Fault, Option<usize>)>) -> Run {
    let mut report = Report::default();
    QUIET.set(fault.is_some());
    let verdict = catch_unwind(AssertUnwindSafe(|| world::run(seed, fault, &mut report)));
    QUIET.set(false);
    planted::set(None);
    let verdict = verdict.unwrap_or_else(|panic| {
        Err(Violation {
            invariant: NO_PANIC,
            what: words_of(panic.as_ref()),
        })
    });
    Run {
        seed,
        verdict,
        report,
    }
}

fn words_of(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("a panic without words").to_owned()
}

/// Lets planted faults panic without a word.
pub fn silence_planted_panics() {
    let loud = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        if !QUIET.get() {
            loud(info);
        }
    }));
}

/// Does so many pieces of work on all cores, and gives their results in order.
pub fn in_parallel<T: Send>(count: u64, work: impl Fn(u64) -> T + Sync) -> Vec<T> {
    let next = AtomicU64::new(0);
    let done = Mutex::new(Vec::new());
    let cores = std::thread::available_parallelism().map_or(2, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    if index >= count {
                        return;
                    }
                    let result = work(index);
                    done.lock().unwrap().push((index, result));
                }
            });
        }
    });
    let mut done = done.into_inner().unwrap();
    done.sort_by_key(|(index, _)| *index);
    done.into_iter().map(|(_, result)| result).collect()
}

/// How this very run is seen again; without optimisation and without `just` it is the same run.
pub fn replay_command(seed: u64) -> String {
    format!(
        "just sim 1 {seed}, or VOTENODE_SIM_SEEDS=1 VOTENODE_SIM_FIRST={seed} \
         cargo test --test sim -- --nocapture every_seed_keeps_every_invariant"
    )
}
