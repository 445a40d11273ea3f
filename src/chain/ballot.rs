//! Which ballots an election takes.

use crate::chain::election::{Method, Terms};
use crate::chain::invalid::{BallotRule, ElectionRule, Feature, Invalid};

/// Checks the choices of an open ballot against the election's terms.
pub fn check_choices(terms: &Terms, choices: &[u8]) -> Result<(), Invalid> {
    let method = Method::from_number(terms.method)
        .ok_or(Invalid::MalformedElection(ElectionRule::Method))?;
    let known = |option: &u8| usize::from(*option) < terms.options.len();
    let rule = |holds: bool, broken| {
        if holds {
            Ok(())
        } else {
            Err(Invalid::WrongBallot(broken))
        }
    };
    match method {
        Method::Plurality => {
            rule(choices.len() <= 1, BallotRule::OneOption)?;
            rule(choices.iter().all(known), BallotRule::UnknownOption)
        }
        Method::Approval => {
            rule(
                choices.windows(2).all(|pair| pair[0] < pair[1]),
                BallotRule::SortedUnique,
            )?;
            rule(choices.iter().all(known), BallotRule::UnknownOption)
        }
        Method::Score => Err(Invalid::Unsupported(Feature::Score)),
        Method::Irv => Err(Invalid::Unsupported(Feature::Irv)),
        Method::Schulze => Err(Invalid::Unsupported(Feature::Schulze)),
        Method::Stv => Err(Invalid::Unsupported(Feature::Stv)),
    }
}
