//! Approval: a ballot names any set of options, in ascending order; most approvals win.

use super::{Count, Mark, Outcome, TieBreak, highest};

pub(super) struct Approval {
    totals: Vec<u64>,
}

impl Approval {
    pub(super) fn new(options: usize) -> Self {
        Self {
            totals: vec![0; options],
        }
    }
}

impl Count for Approval {
    fn add(&mut self, choices: &[u8]) -> Mark {
        let ascending = choices.windows(2).all(|pair| pair[0] < pair[1]);
        let known = choices
            .last()
            .is_none_or(|last| usize::from(*last) < self.totals.len());
        if !ascending || !known {
            return Mark::Spoiled;
        }
        for option in choices {
            self.totals[usize::from(*option)] += 1;
        }
        if choices.is_empty() {
            Mark::Blank
        } else {
            Mark::Counted
        }
    }

    fn finish(self: Box<Self>, seats: u64, tie: &TieBreak) -> Outcome {
        Outcome {
            winners: highest(&self.totals, seats, tie),
            totals: self.totals,
            rounds: Vec::new(),
            pairwise: Vec::new(),
        }
    }
}
