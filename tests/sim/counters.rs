//! What happened in runs and how often: faults that struck, invariants that had something to say.

use std::collections::BTreeMap;

/// Every kind of fault and of trouble that a set of seeds has to bring about.
pub const TROUBLES: [&str; 28] = [
    "networks with finalisers",
    "networks without finalisers",
    "gossip messages lost",
    "requests lost",
    "gossip messages repeated",
    "messages delayed and overtaken",
    "splits",
    "hosts cut off",
    "slow commits",
    "inputs that waited for a commit",
    "clocks set wrong",
    "clocks that jumped",
    "crashes between a commit and its effects",
    "losses of power",
    "restarts on what was durable",
    "hosts that left for long",
    "hosts that left while others stood by",
    "writes that a full disk refused",
    "identical bytes handed in again",
    "hand-ins at several hosts at once",
    "answers that got lost",
    "second votes and registrations",
    "votes of strangers and forgers",
    "registrations of forgers",
    "invitations taken back",
    "changes of the finalisers",
    "reorganisations",
    "transactions dropped with a reason",
];

/// Runs in which the election that closes has votes: nearly all. In a few, a host that is cut off holds every vote.
pub const COUNTED: &str = "runs with votes in an election that closed";

/// Counts by name.
#[derive(Clone, Debug, Default)]
pub struct Counters(BTreeMap<&'static str, u64>);

impl Counters {
    /// Counts something that happened so often.
    pub fn add(&mut self, name: &'static str, times: u64) {
        *self.0.entry(name).or_default() += times;
    }

    /// Adds what another run counted.
    pub fn merge(&mut self, other: &Self) {
        for (name, times) in &other.0 {
            self.add(name, *times);
        }
    }

    /// How often it happened.
    pub fn of(&self, name: &str) -> u64 {
        self.0.get(name).copied().unwrap_or(0)
    }
}
