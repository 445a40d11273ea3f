#![allow(clippy::unwrap_used)]

use std::mem::size_of;

use super::*;
use crate::chain::state::RollEntry;
use crate::chain::testing::*;
use crate::crypto::{Context, hash};

fn key(number: u32) -> PublicKey {
    PublicKey::from_bytes(hash(Context::Ballot, &number.to_be_bytes()).to_bytes())
}

fn election() -> Arc<ElectionRecord> {
    let mut chain = Chain::new(network());
    let (id, opened) = open(&chain.network, terms());
    chain.mine(1_000, vec![opened]);
    chain.state.election(&id).unwrap().unwrap()
}

fn at(number: u32) -> Position {
    Position {
        height: u64::from(number / 1_000),
        index: number % 1_000,
    }
}

/// `count` voters who voted, with made-up keys: the state trusts the rules.
fn busy(count: u32) -> (ElectionId, MemoryState) {
    let record = election();
    let id = record.id;
    let mut state = MemoryState::new();
    state.insert(Delta {
        elections: vec![record],
        ..Delta::default()
    });
    for number in 0..count {
        let entry = RollEntry {
            voter: key(number),
            ring_key: RingKey::ZERO,
            group: text(if number % 2 == 0 { "club" } else { "open" }),
        };
        let voter = Voter {
            roll_index: u64::from(number),
            group: entry.group.clone(),
            registered_at_ms: START_MS + at(number).height,
            position: at(number),
        };
        let vote = VoteRecord {
            position: at(number),
            choices: Choices::new(vec![(number % 3) as u8]).unwrap(),
        };
        state.insert(Delta {
            votes: vec![(id, VoterTag::Key(entry.voter), vote)],
            voters: vec![(entry, voter)],
            ..Delta::default()
        });
    }
    (id, state)
}

#[test]
fn a_voter_who_voted_takes_less_than_200_bytes() {
    const COUNT: u32 = 100_000;
    let (id, state) = busy(COUNT);
    let slot = state.slot(&id).unwrap();
    let indexed = state.voter_keys.bytes();
    let voters = state.voters.capacity() * size_of::<VoterSlot>();
    let votes = slot.votes.capacity() * size_of::<VoteSlot>();
    // A hash map has at most 16/7 buckets per entry right after it grew, each with a byte of its own.
    let by_voter = slot.by_voter.capacity() * 8 / 7 * (size_of::<(u32, u32)>() + 1);
    let per_voter = (indexed + voters + votes + by_voter) / COUNT as usize;
    assert!(per_voter < 200, "{per_voter} bytes per voter");
    assert!(state.choices.len() == 3 && state.groups.len() == 2);
}

#[test]
fn answers_are_those_that_were_inserted() {
    let (id, state) = busy(5_000);
    for number in [0, 1, 999, 1_000, 4_999] {
        let voter = state.voter(&key(number)).unwrap().unwrap();
        assert_eq!(voter.roll_index, u64::from(number));
        assert_eq!(voter.position, at(number));
        let vote = state.vote(&id, &VoterTag::Key(key(number)));
        assert_eq!(*vote.unwrap().unwrap().choices, [(number % 3) as u8]);
    }
    assert_eq!(state.voter(&key(5_000)).unwrap(), None);
    let (club, open) = (text("club"), text("open"));
    let count = |groups: &[Group], after| state.count_voters(groups, START_MS + after).unwrap();
    assert_eq!(count(&[club.clone(), open.clone()], 0), 0);
    assert_eq!(count(&[club.clone(), open.clone()], 1), 1_000);
    assert_eq!(count(std::slice::from_ref(&club), 3), 1_500);
    assert_eq!(count(&[open, text("nobody")], 99), 2_500);
    assert_eq!(count(&[], 99), 0);
}

#[test]
fn linking_tags_are_kept_beside_keys() {
    let record = election();
    let id = record.id;
    let tag = |byte| VoterTag::Link(RingKey::from_bytes([byte; 32]));
    let vote = |number| VoteRecord {
        position: at(number),
        choices: Choices::new(Vec::new()).unwrap(),
    };
    let mut state = MemoryState::new();
    state.insert(Delta {
        elections: vec![record],
        votes: vec![(id, tag(1), vote(1)), (id, tag(2), vote(2))],
        ..Delta::default()
    });
    assert_eq!(state.vote(&id, &tag(2)).unwrap(), Some(vote(2)));
    assert_eq!(state.vote(&id, &tag(3)).unwrap(), None);
    let same_bytes = VoterTag::Key(PublicKey::from_bytes([1; 32]));
    assert_eq!(state.vote(&id, &same_bytes).unwrap(), None);
    let mut seen = Vec::new();
    state
        .for_each_vote(&id, &mut |voter, vote| seen.push((*voter, vote.clone())))
        .unwrap();
    assert_eq!(seen, [(tag(1), vote(1)), (tag(2), vote(2))]);
}
