//! The guard, the form of messages, the order of proposers and the log, each by itself.

use super::super::context::Members;
use super::super::proposer::select;
use super::super::*;
use super::sim::*;
use crate::chain::checkpoint::{MAX_ROUND, SignedFinalityMessage};
use crate::chain::genesis::Finaliser;
use crate::chain::transaction::FinalityMessage;
use crate::wire::{self, Blob};

const A: u64 = 1;
const B: u64 = 2;

fn say(kind: u8, height: u64, round: u64, value: u64) -> FinalityMessage {
    FinalityMessage {
        kind,
        ..FinalityMessage::precommit(height, round, &block(height, 0, value))
    }
}

fn nil(kind: u8, height: u64, round: u64) -> FinalityMessage {
    FinalityMessage {
        value: Blob::of([]),
        ..say(kind, height, round, 0)
    }
}

#[test]
fn the_guard_signs_once_for_each_position_and_never_goes_back() {
    let mut guard = Guard::resume(None);
    let prevote = say(1, 5, 2, A);
    assert_eq!(guard.allow(&NETWORK, &prevote, None), Ok(true));
    assert_eq!(guard.allow(&NETWORK, &prevote, None), Ok(false));
    let mut guard = Guard::resume(Some(guard.state().clone()));
    assert_eq!(guard.allow(&NETWORK, &prevote, None), Ok(false));
    for (message, why) in [
        (say(1, 5, 2, B), Refusal::Conflict),
        (nil(1, 5, 2), Refusal::Conflict),
        (say(0, 5, 2, A), Refusal::Passed),
        (nil(2, 5, 1), Refusal::Passed),
        (nil(2, 4, 9), Refusal::Passed),
        (say(2, 5, 2, A), Refusal::NoPolka),
    ] {
        assert_eq!(
            guard.allow(&NETWORK, &message, Some(1)),
            Err(why),
            "{message:?}"
        );
    }
    // Another network is another message.
    let elsewhere = crate::chain::genesis::NetworkId::from_bytes([8; 32]);
    assert_eq!(
        guard.allow(&elsewhere, &prevote, None),
        Err(Refusal::Conflict)
    );
    assert_eq!(guard.allow(&NETWORK, &nil(2, 5, 2), None), Ok(true));
    assert_eq!(guard.allow(&NETWORK, &say(0, 6, 0, A), None), Ok(true));
}

#[test]
fn the_guard_remembers_what_the_key_is_locked_on() {
    let mut guard = Guard::resume(None);
    assert_eq!(guard.lock(5), None);
    assert_eq!(guard.allow(&NETWORK, &say(2, 5, 2, A), Some(2)), Ok(true));
    assert_eq!(guard.lock(5), Some((2, block(5, 0, A))));
    let refused = guard.allow(&NETWORK, &say(1, 5, 3, B), None);
    assert_eq!(refused, Err(Refusal::Locked));
    let refused = guard.allow(&NETWORK, &say(1, 5, 3, B), Some(1));
    assert_eq!(refused, Err(Refusal::Locked));
    assert_eq!(guard.allow(&NETWORK, &say(1, 5, 3, A), None), Ok(true));
    assert_eq!(guard.allow(&NETWORK, &nil(1, 5, 4), None), Ok(true));
    // A later polka sets it free, and the next checkpoint does.
    assert_eq!(guard.allow(&NETWORK, &say(1, 5, 5, B), Some(3)), Ok(true));
    assert_eq!(guard.lock(5), Some((2, block(5, 0, A))));
    assert_eq!(guard.allow(&NETWORK, &say(2, 5, 5, B), Some(5)), Ok(true));
    assert_eq!(guard.lock(5), Some((5, block(5, 0, B))));
    assert_eq!(guard.allow(&NETWORK, &say(1, 6, 0, A), None), Ok(true));
    assert_eq!((guard.lock(5), guard.lock(6)), (None, None));
}

#[test]
fn two_states_of_a_guard_merge_into_the_stricter() {
    let after = |messages: &[FinalityMessage]| {
        let mut guard = Guard::resume(None);
        for message in messages {
            guard.allow(&NETWORK, message, Some(message.round)).unwrap();
        }
        guard
    };
    let old = after(&[say(2, 5, 1, A)]);
    let new = after(&[say(2, 5, 1, A), nil(1, 5, 3)]);
    for (mine, other) in [(&old, &new), (&new, &old), (&new, &new)] {
        let mut guard = mine.clone();
        guard.merge(other.state());
        assert_eq!(guard.state(), new.state());
    }
    // The higher one never locked: the lock is kept.
    let mut guard = after(&[nil(1, 5, 3)]);
    guard.merge(old.state());
    assert_eq!(guard.state(), new.state());
    // Contradictions end the checkpoint for this key.
    for other in [after(&[nil(2, 5, 1)]), after(&[say(2, 5, 1, B)])] {
        let mut guard = old.clone();
        guard.merge(other.state());
        assert_eq!(guard.forbidden_through(), 5);
        assert_eq!(
            guard.allow(&NETWORK, &nil(1, 5, 4), None),
            Err(Refusal::Forbidden)
        );
        assert_eq!(guard.allow(&NETWORK, &nil(1, 6, 0), None), Ok(true));
    }
    let mut guard = Guard::resume(None);
    guard.merge(&GuardState::fresh());
    assert_eq!(guard.state(), &GuardState::fresh());
    guard.forbid_through(9);
    let mut other = old.clone();
    other.merge(guard.state());
    assert_eq!(
        (other.forbidden_through(), other.lock(5).is_some()),
        (9, true)
    );
}

#[test]
fn the_state_of_a_guard_is_kept_as_canonical_bytes() {
    let mut guard = Guard::resume(None);
    guard.allow(&NETWORK, &say(2, 5, 2, A), Some(2)).unwrap();
    for state in [guard.state(), &GuardState::fresh()] {
        let bytes = wire::encode(state);
        assert_eq!(wire::decode::<GuardState>(&bytes).as_ref(), Ok(state));
    }
}

#[test]
fn a_key_that_signs_elsewhere_is_silent_here_until_the_next_checkpoint() {
    let set = set(&[1; 4]);
    let start = |guard| {
        let mut engine = Engine::new(NETWORK, key(0), Timeouts::default(), guard);
        let outputs = engine.start(&set, 5, &[], 0);
        (engine, outputs)
    };
    let (mut engine, _) = start(Guard::resume(None));
    // What this key said before its store was restored from a backup.
    let foreign = SignedFinalityMessage::sign(&key(0), &NETWORK, say(2, 5, 1, A));
    let outputs = engine.message(&foreign, 0);
    let refused = Output::Refused {
        message: foreign.message.clone(),
        why: Refusal::Foreign,
    };
    assert!(outputs.contains(&refused), "{outputs:?}");
    let mut states = outputs.iter().filter_map(|output| match output {
        Output::Guard(state) => Some(state.clone()),
        _ => None,
    });
    let state = states.next_back().unwrap();
    assert_eq!(state.forbidden_through, 5);
    assert_eq!(engine.guard().lock(5), Some((1, block(5, 0, A))));
    let said = |outputs: &[Output]| {
        outputs
            .iter()
            .any(|output| matches!(output, Output::Say(_)))
    };
    for _ in 0..10 {
        let Some(now_ms) = engine.next_deadline_ms() else {
            break;
        };
        assert!(!said(&engine.tick(now_ms)));
    }
    // What it knows of itself is nothing foreign.
    let (mut engine, _) = start(Guard::resume(None));
    let outputs = engine.tick(1_000_000);
    let own = outputs.iter().find_map(|output| match output {
        Output::Say(message) => Some(message.clone()),
        _ => None,
    });
    let state = engine.guard().state().clone();
    let (mut again, _) = start(Guard::resume(Some(state)));
    let outputs = again.message(&own.unwrap(), 0);
    assert_eq!(again.guard().forbidden_through(), 0, "{outputs:?}");
}

#[test]
fn only_what_can_be_part_of_the_consensus_is_well_formed() {
    let good = [
        say(0, 1, 0, A),
        FinalityMessage {
            lock_round: 3,
            ..say(0, 1, 3, A)
        },
        nil(1, 1, MAX_ROUND),
        say(2, wire::MAX_UINT, 0, A),
    ];
    for message in &good {
        assert!(message.is_well_formed(), "{message:?}");
    }
    let bad = [
        say(3, 1, 0, A),
        nil(0, 1, 0),
        FinalityMessage {
            lock_round: 4,
            ..say(0, 1, 3, A)
        },
        FinalityMessage {
            lock_round: 1,
            ..say(1, 1, 3, A)
        },
        FinalityMessage {
            value: Blob::of([0; 31]),
            ..say(1, 1, 3, A)
        },
        say(1, 0, 0, A),
        say(1, 1, MAX_ROUND + 1, A),
        say(1, 1, u64::MAX, A),
        FinalityMessage {
            lock_round: u64::MAX,
            ..say(0, 1, 3, A)
        },
    ];
    for message in &bad {
        assert!(!message.is_well_formed(), "{message:?}");
    }
}

fn members(powers: &[u64]) -> Vec<Finaliser> {
    let mut members = set(powers).members().to_vec();
    members.sort_by_key(|member| member.key);
    members
}

#[test]
fn equals_propose_in_turn_and_others_by_their_power() {
    let equal = members(&[3; 4]);
    for turn in 0..20 {
        assert_eq!(
            select(&equal, turn, 7).key,
            equal[(turn as usize + 7) % 4].key
        );
        // The next round is another's turn, and so is the next checkpoint.
        assert_eq!(select(&equal, turn, 1), select(&equal, turn + 1, 0));
    }
    let unequal = members(&[10, 20, 30, 40]);
    let mut gaps = [0; 4];
    let mut turns = [0; 4];
    for turn in 0..1_000 {
        let chosen = select(&unequal, 1, turn);
        for (at, member) in unequal.iter().enumerate() {
            gaps[at] += 1;
            if member.key == chosen.key {
                turns[at] += 1;
                // Nobody waits much longer than its share of the power says.
                assert!(
                    gaps[at] as u64 <= 300 / member.power,
                    "{member:?} {}",
                    gaps[at]
                );
                gaps[at] = 0;
            }
        }
    }
    for (member, turns) in unequal.iter().zip(turns) {
        assert!(
            (turns - member.power as i64 * 10).abs() <= 10,
            "{member:?} {turns}"
        );
    }
    let heavy = members(&[1_000_000_000, 999_999_999, 1]);
    select(&heavy, u64::MAX, MAX_ROUND);
}

#[test]
fn log_entries_are_read_back_and_nothing_else_is() {
    let set = set(&[1]);
    let mut engine = Engine::new(NETWORK, key(0), Timeouts::default(), Guard::resume(None));
    let mut outputs = engine.start(&set, 6, &[], 0);
    outputs.extend(engine.propose(0, block(6, 0, 0), 0));
    let mut entries = 0;
    for output in outputs {
        let Output::Log(entry) = output else { continue };
        entries += 1;
        let bytes = entry.as_bytes();
        assert_eq!(LogEntry::from_bytes(bytes), Some(entry.clone()));
        assert_eq!(entry.checkpoint(), Some(6));
        for end in 0..bytes.len() {
            assert_eq!(LogEntry::from_bytes(&bytes[..end]), None);
        }
    }
    assert!(entries >= 4, "{entries}");
}

/// A block that was valid in one round is asked for in the next: it may have left the best chain.
#[test]
fn a_good_verdict_holds_for_its_round() {
    let sign = |by: usize, message| SignedFinalityMessage::sign(&key(by), &NETWORK, message);
    let set = set(&[1, 1, 1, 1]);
    let turns = |round| {
        let proposer = Members::new(&set).unwrap().proposer(1, round).key;
        (0..4).find(|n| key(*n).public_key() == proposer).unwrap()
    };
    let proposers = [turns(0), turns(1)];
    let others: Vec<usize> = (0..4).filter(|n| !proposers.contains(n)).collect();
    let us = others[0];
    for again in [None, Some(true)] {
        let guard = Guard::resume(None);
        let mut engine = Engine::new(NETWORK, key(us), Timeouts::default(), guard);
        engine.start(&set, 1, &[], 0);
        let x = block(1, 0, A);
        let judge = |round| Output::Judge {
            checkpoint: 1,
            round,
            block: x,
        };
        let prevotes = |outputs: &[Output], round| {
            let mut said = outputs.iter().filter_map(|output| match output {
                Output::Say(message) => Some(&message.message),
                _ => None,
            });
            said.any(|said| *said == say(1, 1, round, A))
        };
        let outputs = engine.message(&sign(proposers[0], say(0, 1, 0, A)), 0);
        assert!(outputs.contains(&judge(0)));
        let outputs = engine.judged(0, x, true, 0);
        assert!(prevotes(&outputs, 0));
        assert_eq!(engine.bound_to(1), [x]);
        // Two of four are in the next round.
        for by in [proposers[0], others[1]] {
            engine.message(&sign(by, nil(1, 1, 1)), 0);
        }
        assert_eq!(engine.round(), Some(1));
        assert!(engine.bound_to(1).is_empty());
        let outputs = engine.message(&sign(proposers[1], say(0, 1, 1, A)), 0);
        assert!(outputs.contains(&judge(1)));
        assert!(!prevotes(&outputs, 1));
        if let Some(valid) = again {
            let outputs = engine.judged(1, x, valid, 0);
            assert!(prevotes(&outputs, 1));
        }
    }
}

/// One of seven equal finalisers that proposes in none of the first rounds, which it is, and who proposes in each of them.
fn follower(rounds: u64) -> (Engine, usize, Vec<usize>) {
    let set = set(&[1, 1, 1, 1, 1, 1, 1]);
    let proposer = |round| {
        let key_of = Members::new(&set).unwrap().proposer(1, round).key;
        (0..7).find(|n| key(*n).public_key() == key_of).unwrap()
    };
    let proposers: Vec<usize> = (0..rounds).map(proposer).collect();
    let us = (0..7).find(|n| !proposers.contains(n)).unwrap();
    let guard = Guard::resume(None);
    let mut engine = Engine::new(NETWORK, key(us), Timeouts::default(), guard);
    engine.start(&set, 1, &[], 0);
    (engine, us, proposers)
}

fn by(number: usize, message: FinalityMessage) -> SignedFinalityMessage {
    SignedFinalityMessage::sign(&key(number), &NETWORK, message)
}

fn asks(outputs: &[Output], of: u64) -> bool {
    outputs
        .iter()
        .any(|output| matches!(output, Output::Judge { round, .. } if *round == of))
}

/// Rounds in which it prevotes for anything.
fn prevoted(outputs: &[Output]) -> Vec<u64> {
    let said = outputs.iter().filter_map(|output| match output {
        Output::Say(message) => Some(&message.message),
        _ => None,
    });
    said.filter(|said| said.kind == FinalityMessage::PREVOTE && said.block().is_some())
        .map(|said| said.round)
        .collect()
}

/// Brings it to a round: three of seven are there.
fn to_round(engine: &mut Engine, us: usize, round: u64) -> Vec<Output> {
    let others = (0..7).filter(|n| *n != us).take(3);
    let outputs = others.flat_map(|n| engine.message(&by(n, nil(1, 1, round)), 0));
    let outputs = outputs.collect();
    assert_eq!(engine.round(), Some(round));
    outputs
}

/// Neither a second proposal while the question about the first is open, nor another version, nor one that came ahead of
/// its round, gets a vote that nobody was asked about.
#[test]
fn no_proposal_gets_past_the_question_whether_its_block_is_still_good() {
    let (mut engine, us, proposers) = follower(4);
    let x = block(1, 0, A);
    engine.message(&by(proposers[0], say(0, 1, 0, A)), 0);
    let outputs = engine.judged(0, x, true, 0);
    assert_eq!(prevoted(&outputs), [0]);

    // Ahead of its round, while the block is still good.
    let outputs = engine.message(&by(proposers[2], say(0, 1, 2, A)), 0);
    assert!(prevoted(&outputs).is_empty());
    let outputs = engine.judged(2, x, true, 0);
    assert!(prevoted(&outputs).is_empty());

    // Two versions in one round, none of them answered.
    to_round(&mut engine, us, 1);
    let again = FinalityMessage {
        lock_round: 1,
        ..say(0, 1, 1, A)
    };
    for version in [again, say(0, 1, 1, A)] {
        let outputs = engine.message(&by(proposers[1], version), 0);
        assert!(prevoted(&outputs).is_empty());
    }

    // The round of the early one begins: it is asked about, and gets no vote before the answer.
    let outputs = to_round(&mut engine, us, 2);
    assert!(asks(&outputs, 2));
    assert!(prevoted(&outputs).is_empty());
    // And another, whose question is the third one open.
    let outputs = to_round(&mut engine, us, 3);
    assert!(prevoted(&outputs).is_empty());
    let outputs = engine.message(&by(proposers[3], say(0, 1, 3, A)), 0);
    assert!(asks(&outputs, 3));
    assert!(prevoted(&outputs).is_empty());
    let outputs = engine.judged(3, x, true, 0);
    assert_eq!(prevoted(&outputs), [3]);
}
