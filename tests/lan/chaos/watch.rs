//! Whoever sits before the machines and looks: checkpoints, and where acknowledged transactions are.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::sleep;
use std::time::Duration;

use serde_json::Value;

use super::history::{Event, History, State, now_ms};
use crate::harness::http::Http;

/// Pause between two looks at a node.
const PAUSE: Duration = Duration::from_millis(250);
/// Transactions that a node is asked for at one look.
const AT_ONCE: usize = 20;

/// A node's picture of itself is at most so old unless something is wrong, in milliseconds.
const STALE_MS: u64 = 2_000;

/// Transactions that a node acknowledged and that nobody has seen final yet, by node.
#[derive(Default)]
pub struct Open(Mutex<BTreeMap<usize, BTreeSet<String>>>);

impl Open {
    pub fn add(&self, node: usize, tx: &str) {
        let mut all = self.0.lock().unwrap();
        all.entry(node).or_default().insert(tx.to_owned());
    }

    /// The next ones at a node behind this one, from the first again when there are none.
    fn after(&self, node: usize, tx: &str) -> Vec<String> {
        let all = self.0.lock().unwrap();
        let Some(here) = all.get(&node) else {
            return Vec::new();
        };
        let (before, behind): (Vec<_>, Vec<_>) = here.iter().partition(|id| id.as_str() <= tx);
        behind
            .into_iter()
            .chain(before)
            .take(AT_ONCE)
            .cloned()
            .collect()
    }

    fn remove(&self, node: usize, tx: &str) {
        if let Some(here) = self.0.lock().unwrap().get_mut(&node) {
            here.remove(tx);
        }
    }

    /// Those at a node.
    pub fn at(&self, node: usize) -> BTreeSet<String> {
        let all = self.0.lock().unwrap();
        all.get(&node).cloned().unwrap_or_default()
    }
}

/// Effects of faults that a node was seen to notice.
#[derive(Debug, Default)]
pub struct Noticed {
    /// Looks at which a disk was full.
    pub full_disk: AtomicU64,
    /// Looks at which the clock was off.
    pub wrong_clock: AtomicU64,
    /// Looks at which a node noticed that its clock and its peers' are apart by seconds.
    pub clock_offset: AtomicU64,
    /// Looks at which a node did not mine although something waited.
    pub no_mining: AtomicU64,
    /// Looks at which a node had fewer than half of its peers.
    pub few_peers: AtomicU64,
}

/// One who looks at one node.
pub struct Watcher<'a> {
    pub node: usize,
    pub http: Http,
    pub history: &'a History,
    pub open: &'a Open,
    pub noticed: &'a Noticed,
    /// Checkpoints that were noted already, and the last one that the node named.
    pub noted: BTreeSet<Checkpoint>,
    pub newest: Option<Checkpoint>,
}

/// Number, block and height.
pub type Checkpoint = (u64, String, u64);

impl Watcher<'_> {
    /// Looks until the flag is raised. A node that does not answer is looked at again later.
    pub fn watch(&mut self, ended: &AtomicBool) {
        let mut last = String::new();
        while !ended.load(Ordering::SeqCst) {
            let _ = self.look(&mut last);
            sleep(PAUSE);
        }
    }

    /// Looks once. `last` is the transaction that was asked for last.
    pub fn look(&mut self, last: &mut String) -> Result<(), String> {
        let asked_ms = now_ms();
        let status = self.http.read("/api/v1/status")?;
        self.note_status(&status, asked_ms);
        let finality = self.http.read("/api/v1/finality")?;
        let checkpoints = finality["checkpoints"].as_array().unwrap();
        // Newest first.
        for checkpoint in checkpoints.iter().rev().map(checkpoint) {
            if self.noted.insert(checkpoint.clone()) {
                self.note_checkpoint(checkpoint);
            }
        }
        let newest = checkpoints.first().map(checkpoint);
        if newest < self.newest {
            let back = newest.clone().unwrap_or_default();
            self.note_checkpoint(back);
        }
        self.newest = newest;
        for tx in self.open.after(self.node, last) {
            self.ask(&tx)?;
            *last = tx;
        }
        Ok(())
    }

    /// Asks where a transaction is, and notes it.
    pub fn ask(&self, tx: &str) -> Result<State, String> {
        let asked_ms = now_ms();
        let state = where_is(&self.http, tx)?;
        let at_ms = match state {
            State::Unknown => now_ms(),
            _ => asked_ms,
        };
        if matches!(state, State::Final { .. } | State::Dropped { .. }) {
            self.open.remove(self.node, tx);
        }
        let event = Event::Seen {
            tx: tx.to_owned(),
            state: state.clone(),
        };
        self.history.note(at_ms, self.node, event);
        Ok(state)
    }

    fn note_status(&self, status: &Value, asked_ms: u64) {
        let count = |counter: &AtomicU64, seen: bool| {
            counter.fetch_add(u64::from(seen), Ordering::SeqCst);
        };
        count(&self.noticed.full_disk, status["disk_full"] == true);
        let theirs = status["now_ms"].as_u64().unwrap();
        let is_right = (asked_ms.saturating_sub(STALE_MS)..=now_ms()).contains(&theirs);
        count(&self.noticed.wrong_clock, !is_right);
        let offset = status["clock_offset_ms"].as_i64().unwrap_or_default();
        count(&self.noticed.clock_offset, offset.abs() > 1_000);
        count(
            &self.noticed.no_mining,
            !status["mining"]["paused"].is_null(),
        );
        count(&self.noticed.few_peers, status["peers"].as_u64() < Some(3));
    }

    fn note_checkpoint(&self, (number, block, height): Checkpoint) {
        let event = Event::Checkpoint {
            number,
            block,
            height,
        };
        self.history.note(now_ms(), self.node, event);
    }
}

fn checkpoint(told: &Value) -> Checkpoint {
    (
        told["number"].as_u64().unwrap(),
        told["block"].as_str().unwrap().to_owned(),
        told["height"].as_u64().unwrap(),
    )
}

/// Where a node says that a transaction is.
fn where_is(http: &Http, tx: &str) -> Result<State, String> {
    let (status, body) = http.get(&format!("/api/v1/transactions/{tx}"))?;
    let block = || body["inclusion"]["block"].as_str().unwrap().to_owned();
    match (status, body["status"].as_str()) {
        (200, Some("pending")) => Ok(State::Pending),
        (200, Some("included")) => Ok(State::Included { block: block() }),
        (200, Some("final")) => Ok(State::Final { block: block() }),
        (410, _) => Ok(State::Dropped {
            reason: body["error"]["message"].as_str().unwrap().to_owned(),
        }),
        (404, _) => Ok(State::Unknown),
        _ => Err(format!("{status}: {body}")),
    }
}
