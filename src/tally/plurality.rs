//! Plurality: a ballot names one option or none; most votes win.

use super::{Count, Mark, Outcome, TieBreak, highest};

pub(super) struct Plurality {
    totals: Vec<u64>,
}

impl Plurality {
    pub(super) fn new(options: usize) -> Self {
        Self {
            totals: vec![0; options],
        }
    }
}

impl Count for Plurality {
    fn add(&mut self, choices: &[u8]) -> Mark {
        match choices {
            [] => Mark::Blank,
            [option] => match self.totals.get_mut(usize::from(*option)) {
                Some(total) => {
                    *total += 1;
                    Mark::Counted
                }
                None => Mark::Spoiled,
            },
            _ => Mark::Spoiled,
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
