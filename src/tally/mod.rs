//! Counting: ballots in, an exact [`Tally`] out.
//!
//! Each method is a file that implements `Count`; [`Counter`] picks one by the election's terms. Everything is integer
//! arithmetic, and nothing depends on the order in which ballots arrive. Whose ballots count is decided elsewhere: this
//! module knows an election's terms and choices, not voters, transactions or blocks.

mod approval;
mod plurality;
mod tie;
mod types;

#[cfg(test)]
pub(crate) mod tests;

use crate::chain::election::{ElectionId, Method, Terms};
use crate::wire::List;

pub use tie::TieBreak;
pub use types::{Round, Tally};

/// An election that cannot be counted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TallyError {
    /// No method has this number.
    #[error("no counting method has the number {0}")]
    Unknown(u8),
    /// The method has a name, but this release cannot count by it.
    #[error("this release cannot count by the method {0}")]
    Unsupported(&'static str),
}

/// What a method made of one ballot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mark {
    /// It names options.
    Counted,
    /// It names none, which its method allows.
    Blank,
    /// It breaks the method's rules.
    Spoiled,
}

/// What a method reports when all ballots are in.
struct Outcome {
    totals: Vec<u64>,
    rounds: Vec<Round>,
    pairwise: Vec<u64>,
    winners: Vec<u8>,
}

/// A counting method at work.
trait Count: Send {
    /// Takes a ballot.
    fn add(&mut self, choices: &[u8]) -> Mark;
    /// Finds at most `seats` winners among the options.
    fn finish(self: Box<Self>, seats: u64, tie: &TieBreak) -> Outcome;
}

/// Counts one election, ballot by ballot.
pub struct Counter {
    method: Box<dyn Count>,
    seats: u64,
    tie: TieBreak,
    votes: u64,
    blank: u64,
    spoiled: u64,
}

impl Counter {
    /// Starts the count of an election with these terms.
    pub fn new(election: &ElectionId, terms: &Terms) -> Result<Self, TallyError> {
        let method = Method::from_number(terms.method).ok_or(TallyError::Unknown(terms.method))?;
        let options = terms.options.len();
        let method: Box<dyn Count> = match method {
            Method::Plurality => Box::new(plurality::Plurality::new(options)),
            Method::Approval => Box::new(approval::Approval::new(options)),
            Method::Score | Method::Irv | Method::Schulze | Method::Stv => {
                return Err(TallyError::Unsupported(method.name()));
            }
        };
        Ok(Self {
            method,
            seats: terms.seats,
            tie: TieBreak::new(election, options),
            votes: 0,
            blank: 0,
            spoiled: 0,
        })
    }

    /// Counts a ballot. One that breaks the method's rules is counted as spoiled.
    pub fn add(&mut self, choices: &[u8]) {
        match self.method.add(choices) {
            Mark::Counted => self.votes += 1,
            Mark::Blank => {
                self.votes += 1;
                self.blank += 1;
            }
            Mark::Spoiled => self.spoiled += 1,
        }
    }

    /// The result.
    pub fn finish(self) -> Tally {
        let outcome = self.method.finish(self.seats, &self.tie);
        Tally {
            votes: self.votes,
            blank: self.blank,
            spoiled: self.spoiled,
            totals: bounded(outcome.totals),
            rounds: bounded(outcome.rounds),
            pairwise: bounded(outcome.pairwise),
            winners: bounded(outcome.winners),
        }
    }
}

/// Counts all of an election's ballots.
pub fn count<'a>(
    election: &ElectionId,
    terms: &Terms,
    ballots: impl IntoIterator<Item = &'a [u8]>,
) -> Result<Tally, TallyError> {
    let mut counter = Counter::new(election, terms)?;
    for choices in ballots {
        counter.add(choices);
    }
    Ok(counter.finish())
}

/// The `seats` options with the highest totals, best first. An option that nobody named wins nothing.
fn highest(totals: &[u64], seats: u64, tie: &TieBreak) -> Vec<u8> {
    let mut options: Vec<u8> = (0..=u8::MAX)
        .zip(totals)
        .filter_map(|(option, total)| (*total > 0).then_some(option))
        .collect();
    options.sort_by(|a, b| tie.order(*a, *b, &[totals]));
    options.truncate(usize::try_from(seats).unwrap_or(usize::MAX));
    options
}

/// The terms bound the number of options, and that bounds every list of a tally.
fn bounded<T, const MAX: usize>(items: Vec<T>) -> List<T, 0, MAX> {
    List::new(items).expect("an election has at most 64 options")
}
