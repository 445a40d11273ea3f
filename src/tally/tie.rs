//! Ties: whoever led at the latest stage that separates them goes first, then a lot that anyone can draw again.

use std::cmp::Ordering;

use crate::chain::election::ElectionId;
use crate::crypto::{Context, Hash, Hasher};

/// Orders the options of one election where counts do not.
pub struct TieBreak {
    lots: Vec<Hash>,
}

impl TieBreak {
    /// Draws a lot for each option: the hash of the election's id and the option's index as one byte. The lowest wins.
    pub fn new(election: &ElectionId, options: usize) -> Self {
        let lots = (0..=u8::MAX)
            .take(options)
            .map(|option| {
                Hasher::new(Context::TieBreak)
                    .update(election.as_bytes())
                    .update(&[option])
                    .finish()
            })
            .collect();
        Self { lots }
    }

    /// Which of two options goes first, given the counts of every stage so far, the latest last.
    pub fn order(&self, a: u8, b: u8, stages: &[&[u64]]) -> Ordering {
        let (a, b) = (usize::from(a), usize::from(b));
        stages
            .iter()
            .rev()
            .map(|counts| counts[b].cmp(&counts[a]))
            .find(|order| order.is_ne())
            .unwrap_or_else(|| self.lots[a].cmp(&self.lots[b]))
    }
}
