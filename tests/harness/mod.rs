//! Real nodes and clients as processes, for the tests that watch a network from outside.
//!
//! What is asserted is what a person or a program sees: exit codes, messages, `status --json`, results. Waiting is
//! polling for a condition until [`DEADLINE`]; no test passes or fails because a machine was fast or slow.
// Each test binary uses its own part of this.
#![allow(dead_code)]

pub mod checkpoints;
pub mod clock;
pub mod disk;
pub mod http;
pub mod isolate;
pub mod lan;
pub mod node;
pub mod process;
pub mod scene;
pub mod secrets;
pub mod seed;
pub mod voter;

use std::time::{Duration, Instant};

/// Generous: a test fails because something did not happen, never because the machine was busy.
pub const DEADLINE: Duration = Duration::from_secs(120);

/// Between two looks at a condition.
const PAUSE: Duration = Duration::from_millis(100);

/// Looks until `look` finds something. Panics with `what` and the last thing that `look` saw instead.
pub fn until<T>(what: &str, look: impl FnMut() -> Result<T, String>) -> T {
    within(DEADLINE, what, look)
}

/// The same with another deadline, where much has to happen.
pub fn within<T>(deadline: Duration, what: &str, mut look: impl FnMut() -> Result<T, String>) -> T {
    let start = Instant::now();
    loop {
        match look() {
            Ok(found) => return found,
            Err(seen) if start.elapsed() > deadline => {
                panic!("waited {deadline:?} for {what}; last seen: {seen}")
            }
            Err(_) => std::thread::sleep(PAUSE),
        }
    }
}

/// A program built with these tests.
pub fn program(name: &str) -> &'static str {
    match name {
        "votenode" => env!("CARGO_BIN_EXE_votenode"),
        "ballot" => env!("CARGO_BIN_EXE_ballot"),
        other => panic!("there is no program {other}"),
    }
}
