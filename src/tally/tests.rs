#![allow(clippy::unwrap_used)]

use std::cmp::Ordering;

use proptest::prelude::*;

use super::*;
use crate::crypto::{Context, hash};
use crate::wire::{List, Text};

pub(crate) fn terms(method: Method, options: usize, seats: u64) -> Terms {
    Terms {
        title: Text::new("title").unwrap(),
        question: Text::new("question").unwrap(),
        options: List::new(
            (0..options)
                .map(|option| Text::new(&format!("option {option}")).unwrap())
                .collect(),
        )
        .unwrap(),
        method: method as u8,
        seats,
        score_maximum: 0,
        opens_at_ms: 1,
        closes_at_ms: 2,
        roll_closes_at_ms: 2,
        reveal_until_ms: 0,
        min_ring: 0,
        groups: List::new(vec![Text::new("open").unwrap()]).unwrap(),
        privacy: 0,
    }
}

fn lot(election: &ElectionId, option: u8) -> [u8; 32] {
    let mut bytes = election.to_bytes().to_vec();
    bytes.push(option);
    hash(Context::TieBreak, &bytes).to_bytes()
}

fn tally(method: Method, options: usize, seats: u64, ballots: &[&[u8]]) -> Tally {
    let id = ElectionId::from_bytes([7; 32]);
    count(&id, &terms(method, options, seats), ballots.iter().copied()).unwrap()
}

#[test]
fn plurality_counts_blanks_as_votes_and_nothing_else() {
    let got = tally(
        Method::Plurality,
        3,
        1,
        &[&[1], &[1], &[0], &[], &[3], &[0, 1]],
    );
    assert_eq!((got.votes, got.blank, got.spoiled), (4, 1, 2));
    assert_eq!(&*got.totals, [1, 2, 0]);
    assert_eq!(&*got.winners, [1]);
}

#[test]
fn approval_refuses_what_is_not_a_sorted_set() {
    let ballots: [&[u8]; 6] = [&[0, 2], &[2], &[2, 0], &[1, 1], &[0, 3], &[]];
    let got = tally(Method::Approval, 3, 2, &ballots);
    assert_eq!((got.votes, got.blank, got.spoiled), (3, 1, 3));
    assert_eq!(&*got.totals, [1, 0, 2]);
    assert_eq!(&*got.winners, [2, 0]);
}

#[test]
fn nobody_wins_without_a_vote() {
    let got = tally(Method::Plurality, 3, 2, &[&[], &[1]]);
    assert_eq!(&*got.winners, [1]);
    assert!(tally(Method::Approval, 3, 2, &[]).winners.is_empty());
}

#[test]
fn the_lot_is_drawn_anew_for_every_election() {
    let terms = terms(Method::Plurality, 2, 1);
    let winners: std::collections::BTreeSet<u8> = (0..32u8)
        .map(|n| {
            let id = ElectionId::from_bytes([n; 32]);
            count(&id, &terms, [[0].as_slice(), &[1]]).unwrap().winners[0]
        })
        .collect();
    assert_eq!(winners.len(), 2);
}

#[test]
fn the_latest_stage_that_separates_decides_a_tie() {
    let id = ElectionId::from_bytes([1; 32]);
    let tie = TieBreak::new(&id, 3);
    let stages: [&[u64]; 3] = [&[9, 1, 1], &[1, 2, 2], &[5, 5, 5]];
    assert_eq!(tie.order(0, 1, &stages), Ordering::Greater);
    assert_eq!(tie.order(0, 1, &stages[..1]), Ordering::Less);
    assert_eq!(tie.order(1, 2, &stages), lot(&id, 1).cmp(&lot(&id, 2)));
}

#[test]
fn what_cannot_be_counted_is_said() {
    let id = ElectionId::ZERO;
    let refused = |terms: &Terms| count(&id, terms, []).unwrap_err();
    assert_eq!(
        refused(&terms(Method::Stv, 3, 1)),
        TallyError::Unsupported("stv")
    );
    let mut unknown = terms(Method::Stv, 3, 1);
    unknown.method = 6;
    assert_eq!(refused(&unknown), TallyError::Unknown(6));
}

/// Counts again, one option at a time: the winner of each seat is searched for among those left.
fn recount(id: &ElectionId, options: u8, seats: usize, ballots: &[Vec<u8>]) -> (Vec<u64>, Vec<u8>) {
    let total = |option: u8| {
        ballots
            .iter()
            .filter(|ballot| ballot.contains(&option))
            .count() as u64
    };
    let mut left: Vec<u8> = (0..options).filter(|option| total(*option) > 0).collect();
    let mut winners = Vec::new();
    while winners.len() < seats && !left.is_empty() {
        let most = left.iter().map(|option| total(*option)).max().unwrap();
        let best = left
            .iter()
            .copied()
            .filter(|option| total(*option) == most)
            .min_by_key(|option| lot(id, *option))
            .unwrap();
        left.retain(|option| *option != best);
        winners.push(best);
    }
    ((0..options).map(total).collect(), winners)
}

proptest! {
    #[test]
    fn counts_agree_with_a_naive_recount_in_any_order(
        id in any::<[u8; 32]>(),
        options in 2u8..=64,
        seats in 1usize..5,
        approval in any::<bool>(),
        seed in prop::collection::vec(prop::collection::vec(any::<prop::sample::Index>(), 0..6), 0..60),
    ) {
        let id = ElectionId::from_bytes(id);
        let limit = if approval { usize::MAX } else { 1 };
        let ballots: Vec<Vec<u8>> = seed
            .iter()
            .map(|set| {
                let named: std::collections::BTreeSet<u8> =
                    set.iter().take(limit).map(|index| index.index(usize::from(options)) as u8).collect();
                named.into_iter().collect()
            })
            .collect();
        let method = if approval { Method::Approval } else { Method::Plurality };
        let terms = terms(method, usize::from(options), seats as u64);
        let got = count(&id, &terms, ballots.iter().map(Vec::as_slice)).unwrap();
        let (totals, winners) = recount(&id, options, seats, &ballots);
        prop_assert_eq!(&*got.totals, totals.as_slice());
        prop_assert_eq!(&*got.winners, winners.as_slice());
        prop_assert_eq!(got.votes, ballots.len() as u64);
        prop_assert_eq!(got.blank, ballots.iter().filter(|b| b.is_empty()).count() as u64);
        prop_assert_eq!(count(&id, &terms, ballots.iter().rev().map(Vec::as_slice)).unwrap(), got);
    }

    #[test]
    fn what_the_rules_take_is_what_is_counted(
        choices in prop::collection::vec(0u8..6, 0..5),
        approval in any::<bool>(),
    ) {
        let method = if approval { Method::Approval } else { Method::Plurality };
        let terms = terms(method, 4, 1);
        let valid = crate::chain::ballot::check_choices(&terms, &choices).is_ok();
        let tally = count(&ElectionId::ZERO, &terms, [choices.as_slice()]).unwrap();
        prop_assert_eq!(tally.votes == 1, valid);
        prop_assert_eq!(tally.spoiled == 0, valid);
    }
}
