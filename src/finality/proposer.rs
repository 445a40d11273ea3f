//! Who proposes in which round: part of what two implementations must agree on.
//!
//! Members are sorted by key and take turns by the number i = checkpoint + round.
//!
//! - Equal powers: plain round-robin, member i mod n.
//! - Otherwise each has turns in proportion to its power, spread evenly: let f be i × 0x9E3779B97F4A7C15 mod 2^64 (the
//!   golden ratio's fraction, whose multiples spread as evenly as multiples can) and p = f × total ÷ 2^64, rounded down;
//!   the proposer is the first member at which the powers, added up in order, exceed p.
//!
//! Nothing here can be steered by what anybody proposes or signs.

use crate::chain::genesis::Finaliser;

/// 2^64 divided by the golden ratio, odd.
const SPREAD: u64 = 0x9E37_79B9_7F4A_7C15;

/// The proposer of a round among `members`, which are sorted by key and not none.
pub(super) fn select(members: &[Finaliser], checkpoint: u64, round: u64) -> &Finaliser {
    let turn = checkpoint.wrapping_add(round);
    let equal = members
        .windows(2)
        .all(|pair| pair[0].power == pair[1].power);
    if equal {
        // Bounded by the length, which fits.
        return &members[(turn % members.len() as u64) as usize];
    }
    let total: u128 = members.iter().map(|member| u128::from(member.power)).sum();
    let fraction = u128::from(turn.wrapping_mul(SPREAD));
    // Below 2^64 × 2^37: genesis and changes bound the total.
    let mut point = (fraction * total) >> 64;
    for member in members {
        let power = u128::from(member.power);
        if point < power {
            return member;
        }
        point -= power;
    }
    // Not reached: the point is below the total.
    &members[0]
}
