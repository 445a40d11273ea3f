//! What the demo's voters are asked, and how they make up their minds.

use crate::crypto::random_bytes;

/// The question that the demo asks.
pub(super) const ELECTION: &str = r#"
title = "The club's summer"
question = "Where shall the club go this summer?"
options = ["To the lake", "To the mountains", "To the sea", "Nowhere, we stay"]
"#;

/// Of 256 voters so many want each option, on average: the outcome is drawn, the race is close.
pub(super) const LEANINGS: [u8; 3] = [74, 86, 72];

/// Draws an option.
pub(super) fn draw() -> Result<u8, String> {
    let mut place = random_bytes::<1>().map_err(|error| error.to_string())?[0];
    for (option, share) in (0u8..).zip(LEANINGS) {
        match place.checked_sub(share) {
            None => return Ok(option),
            Some(rest) => place = rest,
        }
    }
    Ok(LEANINGS.len() as u8)
}

pub(super) fn count(choices: &[u8]) -> Vec<u64> {
    let mut counts = vec![0; LEANINGS.len() + 1];
    for choice in choices {
        counts[usize::from(*choice)] += 1;
    }
    counts
}
