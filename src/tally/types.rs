//! What a count yields, as it travels in results.

use crate::wire::{List, array_struct};

array_struct! {
    /// A stage of a count by elimination.
    pub struct Round {
        /// Per option, in units of 10⁻⁵ votes.
        pub counts: List<u64, 2, 64>,
        /// Ballots that name no continuing option, in the same units.
        pub exhausted: u64,
        /// Options elected in this stage.
        pub elected: List<u8, 0, 64>,
        /// Options excluded in this stage.
        pub excluded: List<u8, 0, 64>,
    }
}

array_struct! {
    /// How an election came out. Integers only.
    pub struct Tally {
        /// Valid votes, blanks included.
        pub votes: u64,
        /// Votes that name no option.
        pub blank: u64,
        /// Ballots that could not be counted: sealed ones that do not open or break the method's rules.
        pub spoiled: u64,
        /// Per option, in whole votes, approvals or score points; empty for ranked methods.
        pub totals: List<u64, 0, 64>,
        /// Every stage of a count by elimination; empty for other methods.
        pub rounds: List<Round, 0, 128>,
        /// Row by row, how many prefer the row's option to the column's; empty unless the method compares pairs.
        pub pairwise: List<u64, 0, 4096>,
        /// Winning options, best first: as many as there are seats, or fewer if fewer were named by anyone.
        pub winners: List<u8, 0, 64>,
    }
}

impl Tally {
    /// Whether a lot decided between options with equal totals, one of which won and another did not.
    pub fn by_lot(&self) -> bool {
        let total = |winner: &u8| self.totals.get(usize::from(*winner)).copied();
        let Some(last) = self.winners.iter().filter_map(total).min() else {
            return false;
        };
        let tied = self.totals.iter().filter(|total| **total == last).count();
        let winning = self
            .winners
            .iter()
            .filter(|winner| total(winner) == Some(last));
        tied > winning.count()
    }
}
