//! Whoever sits before the machines and looks: checkpoints, and where acknowledged transactions are.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::history::{Event, History, State, now_ms};
use super::voters::Town;
use crate::harness::http::Http;

/// Pause between two looks at a node.
const PAUSE: Duration = Duration::from_millis(250);
/// Transactions that a node is asked for at one look.
const AT_ONCE: usize = 20;

/// How much before the question the time in an answer may lie if the clock goes right, in milliseconds: rounding.
const ROUNDING_MS: u64 = 10;

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

/// What a fault does to a node, as the node itself says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Effect {
    /// Its disk is full.
    FullDisk,
    /// Its clock is off.
    WrongClock,
    /// It notices that its clock and its peers' are apart by seconds.
    ClockOffset,
    /// It does not mine although something waits.
    NoMining,
    /// It is connected with less than half of the others.
    FewPeers,
}

/// At how many looks each effect was seen at each node, and when each node answered last.
#[derive(Default)]
pub struct Noticed {
    looks: Mutex<BTreeMap<(usize, Effect), u64>>,
    answered: Mutex<BTreeMap<usize, Instant>>,
}

impl Noticed {
    pub fn count(&self, node: usize, effect: Effect) {
        let mut looks = self.looks.lock().unwrap();
        *looks.entry((node, effect)).or_default() += 1;
    }

    fn answered(&self, node: usize, asked: Instant) {
        self.answered.lock().unwrap().insert(node, asked);
    }

    /// Whether the node was seen to answer something that it was asked after this.
    pub fn has_answered_since(&self, node: usize, start: Instant) -> bool {
        let answered = self.answered.lock().unwrap();
        answered.get(&node).is_some_and(|asked| *asked > start)
    }

    /// Looks at this node that showed this.
    pub fn at(&self, node: usize, effect: Effect) -> u64 {
        let all = self.looks.lock().unwrap();
        all.get(&(node, effect)).copied().unwrap_or_default()
    }

    /// Looks at any node by what they showed.
    pub fn totals(&self) -> BTreeMap<Effect, u64> {
        let mut totals = BTreeMap::new();
        for ((_, effect), looks) in &*self.looks.lock().unwrap() {
            *totals.entry(*effect).or_default() += looks;
        }
        totals
    }
}

/// One who looks at one node.
pub struct Watcher<'a> {
    node: usize,
    http: Http,
    history: &'a History,
    open: &'a Open,
    noticed: &'a Noticed,
    /// Checkpoints that were noted already, and the last one that the node named.
    noted: BTreeSet<Checkpoint>,
    newest: Option<Checkpoint>,
}

/// Number, block and height.
type Checkpoint = (u64, String, u64);

impl<'a> Watcher<'a> {
    pub fn new(node: usize, town: &'a Town<'_>, noticed: &'a Noticed) -> Self {
        Self {
            node,
            http: town.nodes[node],
            history: &town.history,
            open: &town.open,
            noticed,
            noted: BTreeSet::new(),
            newest: None,
        }
    }

    /// Looks until the flag is raised. A node that does not answer is looked at again later.
    pub fn watch(&mut self, ended: &AtomicBool) {
        let mut last = String::new();
        while !ended.load(Ordering::SeqCst) {
            let _ = self.look(&mut last);
            sleep(PAUSE);
        }
    }

    /// Looks once. `last` is the transaction that was asked for last.
    fn look(&mut self, last: &mut String) -> Result<(), String> {
        let (asked_ms, asked) = (now_ms(), Instant::now());
        let status = self.http.read("/api/v1/status")?;
        self.noticed.answered(self.node, asked);
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
        let theirs_ms = status["now_ms"].as_u64().unwrap();
        let is_right = (asked_ms.saturating_sub(ROUNDING_MS)..=now_ms()).contains(&theirs_ms);
        let offset_ms = status["clock_offset_ms"].as_i64().unwrap_or_default();
        let effects = [
            (Effect::FullDisk, status["disk_full"] == true),
            (Effect::WrongClock, !is_right),
            (Effect::ClockOffset, offset_ms.abs() > 1_000),
            (Effect::NoMining, !status["mining"]["paused"].is_null()),
            (Effect::FewPeers, status["peers"].as_u64() < Some(3)),
        ];
        for (effect, _) in effects.iter().filter(|(_, shows)| *shows) {
            self.noticed.count(self.node, *effect);
        }
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
