//! How long each step of a round may take, and which of them are running.

use std::collections::BTreeMap;

use arc_malachitebft_core_types::{Timeout, TimeoutKind};

use super::context::number;
use crate::chain::checkpoint::MAX_ROUND;

/// Durations of the steps, in milliseconds: what the first round gets, and how much more each later one does. Safety
/// never depends on them. A step ends early as soon as enough messages are there, so that they cost time only in a
/// round that fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// From the start of a round until, without an acceptable proposal, a prevote for nil.
    pub propose_ms: u64,
    /// Its growth per round.
    pub propose_growth_ms: u64,
    /// From prevotes of two thirds, for whatever, until a precommit for nil.
    pub prevote_ms: u64,
    /// Its growth per round.
    pub prevote_growth_ms: u64,
    /// From precommits of two thirds, for whatever, until the next round.
    pub precommit_ms: u64,
    /// Its growth per round.
    pub precommit_growth_ms: u64,
    /// The most that any of them grows to.
    pub max_ms: u64,
}

impl Default for Timeouts {
    /// A proposal has to reach everybody and its block be validated: a second is generous on a LAN and enough across
    /// the internet. Votes are small. The growth makes up for whatever the network really needs.
    fn default() -> Self {
        Self {
            propose_ms: 1_000,
            propose_growth_ms: 500,
            prevote_ms: 500,
            prevote_growth_ms: 250,
            precommit_ms: 500,
            precommit_growth_ms: 250,
            max_ms: 20_000,
        }
    }
}

/// The three steps that end by a timer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Step {
    Propose,
    Prevote,
    Precommit,
}

impl Step {
    /// The step of a timeout; none for those of the core that this engine does without.
    fn of(kind: TimeoutKind) -> Option<Self> {
        match kind {
            TimeoutKind::Propose => Some(Self::Propose),
            TimeoutKind::Prevote => Some(Self::Prevote),
            TimeoutKind::Precommit => Some(Self::Precommit),
            TimeoutKind::Rebroadcast | TimeoutKind::FinalizeHeight(_) => None,
        }
    }

    fn kind(self) -> TimeoutKind {
        match self {
            Self::Propose => TimeoutKind::Propose,
            Self::Prevote => TimeoutKind::Prevote,
            Self::Precommit => TimeoutKind::Precommit,
        }
    }

    fn duration_ms(self, round: u64, timeouts: &Timeouts) -> u64 {
        let (base_ms, growth_ms) = match self {
            Self::Propose => (timeouts.propose_ms, timeouts.propose_growth_ms),
            Self::Prevote => (timeouts.prevote_ms, timeouts.prevote_growth_ms),
            Self::Precommit => (timeouts.precommit_ms, timeouts.precommit_growth_ms),
        };
        let grown_ms = base_ms.saturating_add(growth_ms.saturating_mul(round));
        // At least one, so that firing a timer always takes time.
        grown_ms.min(timeouts.max_ms).max(1)
    }
}

/// The timers of one checkpoint: at most three, all of the current round.
#[derive(Debug, Default)]
pub(super) struct Timers {
    deadlines: BTreeMap<(Step, u64), u64>,
}

impl Timers {
    pub(super) fn schedule(&mut self, timeout: Timeout, timeouts: &Timeouts, now_ms: u64) {
        let (Some(step), Some(round)) = (Step::of(timeout.kind), number(timeout.round)) else {
            return;
        };
        // Nothing follows the last round.
        if step == Step::Precommit && round >= MAX_ROUND {
            return;
        }
        let deadline_ms = now_ms.saturating_add(step.duration_ms(round, timeouts));
        self.deadlines.insert((step, round), deadline_ms);
    }

    pub(super) fn cancel(&mut self, timeout: Timeout) {
        if let (Some(step), Some(round)) = (Step::of(timeout.kind), number(timeout.round)) {
            self.deadlines.remove(&(step, round));
        }
    }

    pub(super) fn clear(&mut self) {
        self.deadlines.clear();
    }

    pub(super) fn next_deadline_ms(&self) -> Option<u64> {
        self.deadlines.values().min().copied()
    }

    /// Takes out the timer that is due for longest.
    pub(super) fn take_due(&mut self, now_ms: u64) -> Option<Timeout> {
        let due = self.deadlines.iter().filter(|(_, at_ms)| **at_ms <= now_ms);
        let (step, round) = *due.min_by_key(|(key, at_ms)| (**at_ms, **key))?.0;
        self.deadlines.remove(&(step, round));
        Some(Timeout::new(super::context::round(round), step.kind()))
    }
}
