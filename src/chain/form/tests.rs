#![allow(clippy::unwrap_used)]

use super::*;
use crate::chain::block::BlockId;
use crate::chain::checkpoint::ChangeError;
use crate::chain::election::{Election, ElectionId, SealedShare, Terms, Trustee};
use crate::chain::sign;
use crate::chain::testing::*;
use crate::chain::transaction::{Equivocation, FinaliserChange, FinalityMessage, Reveal};
use crate::crypto::{Hash, RingKey, Signature};
use crate::wire::{Blob, List};

fn refused(transaction: Transaction) -> Invalid {
    let reason = check_form(&network(), &transaction).unwrap_err();
    assert!(reason.in_every_state());
    reason
}

fn ballot() -> Transaction {
    vote(&network(), 1, ElectionId::ZERO, &[2])
}

fn cast(transaction: &mut Transaction) -> &mut Vote {
    match &mut transaction.payload {
        Payload::Vote { vote } => vote,
        _ => panic!("not a vote"),
    }
}

#[test]
fn open_admission_is_for_the_genesis_to_allow() {
    let closed = network_with(|genesis| genesis.open_admission = OpenAdmission::Forbidden {});
    let verdict = |transaction| check_form(&closed, &transaction);
    let forbidden = Err(Invalid::OpenAdmissionForbidden);
    assert_eq!(verdict(register(&closed, 1)), forbidden);
    assert_eq!(verdict(register_with(&closed, 1, 1)), Ok(()));
}

#[test]
fn invitations_are_for_organisers_into_groups_of_their_own() {
    let network = network();
    let refused_to_stranger = Invalid::NotPermitted(Permission::Invite);
    let batch = sign::issue_invitations(&network.id(), &stranger(), text("club"), keys(&[1]));
    assert_eq!(refused(batch), refused_to_stranger);
    let revocation = sign::revoke_invitations(&network.id(), &stranger(), keys(&[1]));
    assert_eq!(refused(revocation), refused_to_stranger);
    assert_eq!(
        refused(issue(&network, "open", &[1])),
        Invalid::ReservedGroup
    );
    let twice = Invalid::DuplicateKey(invitation(1).public_key());
    assert_eq!(refused(issue(&network, "club", &[1, 2, 1])), twice);
    assert_eq!(refused(revoke(&network, &[1, 1])), twice);
}

#[test]
fn elections_are_for_whom_the_genesis_names() {
    let reserved = network_with(|genesis| genesis.elections_by = Genesis::ORGANISERS);
    assert!(sign::open_election(&reserved, &organiser(), terms()).is_ok());
    assert_eq!(
        sign::open_election(&reserved, &stranger(), terms()),
        Err(Invalid::NotPermitted(Permission::OpenElections))
    );
    let anyone = sign::open_election(&network(), &stranger(), terms()).unwrap();
    assert_eq!(check_form(&network(), &anyone), Ok(()));
}

fn refused_terms(change: impl FnOnce(&mut Terms)) -> Invalid {
    let mut terms = terms();
    change(&mut terms);
    sign::open_election(&network(), &organiser(), terms).unwrap_err()
}

#[test]
fn terms_that_contradict_the_rules_are_refused() {
    type Change = fn(&mut Terms);
    let cases: [(ElectionRule, Change); 22] = [
        (ElectionRule::OptionsDiffer, |t| {
            t.options = List::new(vec![text("a"), text("b"), text("a")]).unwrap()
        }),
        (ElectionRule::Method, |t| t.method = 6),
        (ElectionRule::Privacy, |t| t.privacy = 2),
        (ElectionRule::Seats, |t| t.seats = 0),
        (ElectionRule::Seats, |t| t.seats = 3),
        (ElectionRule::Seats, |t| t.seats = u64::MAX),
        (ElectionRule::ScoreMaximum, |t| t.score_maximum = 1),
        (ElectionRule::ScoreMaximum, |t| t.method = 2),
        (ElectionRule::OpensBeforeClose, |t| {
            t.opens_at_ms = t.closes_at_ms
        }),
        (ElectionRule::OpensBeforeClose, |t| t.opens_at_ms = u64::MAX),
        (ElectionRule::TimeRange, |t| t.closes_at_ms = LATEST_MS + 1),
        (ElectionRule::TimeRange, |t| t.closes_at_ms = u64::MAX),
        (ElectionRule::TimeRange, |t| {
            t.reveal_until_ms = MAX_UINT + 1
        }),
        (ElectionRule::RollCloses, |t| {
            t.roll_closes_at_ms = t.closes_at_ms + 1
        }),
        (ElectionRule::RollCloses, |t| t.roll_closes_at_ms = u64::MAX),
        (ElectionRule::RollCloses, |t| t.privacy = 1),
        (ElectionRule::RevealUntil, |t| {
            t.reveal_until_ms = t.closes_at_ms + 3_000
        }),
        (ElectionRule::MinRing, |t| t.min_ring = 16),
        (ElectionRule::MinRing, |t| {
            (t.privacy, t.roll_closes_at_ms) = (1, t.opens_at_ms)
        }),
        (ElectionRule::MinRing, |t| {
            (t.privacy, t.roll_closes_at_ms, t.min_ring) = (1, 0, 4_097)
        }),
        (ElectionRule::Groups, |t| {
            t.groups = List::new(vec![text("open"), text("club")]).unwrap()
        }),
        (ElectionRule::Groups, |t| {
            t.groups = List::new(vec![text("club"), text("club")]).unwrap()
        }),
    ];
    for (index, (rule, change)) in cases.into_iter().enumerate() {
        assert_eq!(
            refused_terms(change),
            Invalid::MalformedElection(rule),
            "case {index}"
        );
    }
    let mut last = terms();
    last.closes_at_ms = LATEST_MS;
    assert!(sign::open_election(&network(), &organiser(), last).is_ok());
}

#[test]
fn what_this_release_cannot_hold_is_refused_by_name() {
    let named = |feature| Invalid::Unsupported(feature);
    assert_eq!(
        refused_terms(|t| (t.method, t.score_maximum) = (2, 9)),
        named(Feature::Score)
    );
    assert_eq!(
        refused_terms(|t| t.method = Method::Irv as u8),
        named(Feature::Irv)
    );
    assert_eq!(
        refused_terms(|t| t.method = Method::Schulze as u8),
        named(Feature::Schulze)
    );
    assert_eq!(
        refused_terms(|t| t.method = Method::Stv as u8),
        named(Feature::Stv)
    );
    let anonymous = refused_terms(|t| {
        t.privacy = Privacy::Anonymous as u8;
        t.roll_closes_at_ms = t.opens_at_ms;
        t.min_ring = 16;
    });
    assert_eq!(anonymous, named(Feature::AnonymousVotes));

    let mut tagged = ballot();
    cast(&mut tagged).credential = Credential::Anonymous {
        tag: RingKey::ZERO,
        ring: u64::MAX,
        proof: Blob::new(vec![0]).unwrap(),
        stamp: u64::MAX,
    };
    assert_eq!(refused(tagged), named(Feature::AnonymousVotes));

    let other = |payload| Transaction {
        network: network().tag(),
        payload,
    };
    let signature = Signature::ZERO;
    let reveal = other(Payload::Reveal {
        reveal: Reveal {
            election: ElectionId::ZERO,
            closing_block: BlockId::ZERO,
            trustee: 0,
            seed: Blob::new(vec![0; 32]).unwrap(),
            signature,
        },
    });
    assert_eq!(refused(reveal), named(Feature::Reveal));
}

#[test]
fn what_finalisers_sign_has_no_place_where_nobody_finalises() {
    let network = network();
    for transaction in [
        change(&network, 1, &[5], &[1, 2, 3]),
        evidence(&network, 1, 1, 0),
    ] {
        assert_eq!(refused(transaction), Invalid::NoFinalisers);
    }
}

#[test]
fn a_change_has_a_number_and_approvals_in_order() {
    let network = finalising_network();
    let broken = |break_it: fn(&mut FinaliserChange)| {
        let mut transaction = change(&network, 1, &[5, 6], &[1, 2, 3]);
        let Payload::FinaliserChange { change } = &mut transaction.payload else {
            unreachable!()
        };
        break_it(change);
        check_form(&network, &transaction)
    };
    assert_eq!(broken(|_| {}), Ok(()));
    assert_eq!(broken(|change| change.set = 64), Ok(()));
    let malformed = |error| Err(Invalid::MalformedChange(error));
    for (set, break_it) in [
        (0, (|change| change.set = 0) as fn(&mut FinaliserChange)),
        (65, |change| change.set = 65),
    ] {
        assert_eq!(broken(break_it), malformed(ChangeError::Range(set)));
    }
    fn reorder(change: &mut FinaliserChange, places: &[usize]) {
        let approvals = places.iter().map(|place| change.approvals[*place].clone());
        change.approvals = List::new(approvals.collect()).unwrap();
    }
    let unsorted = broken(|change| reorder(change, &[1, 0, 2]));
    assert_eq!(unsorted, malformed(ChangeError::Order));
    let twice = broken(|change| reorder(change, &[0, 0, 1, 2]));
    assert_eq!(twice, malformed(ChangeError::Order));
}

#[test]
fn evidence_shows_two_messages_where_there_may_be_one() {
    let network = finalising_network();
    let verdict = |first: (u8, u64, u64, u64, &[u8]), second: (u8, u64, u64, u64, &[u8])| {
        let message = |(kind, height, round, lock_round, value): (u8, u64, u64, u64, &[u8])| {
            FinalityMessage {
                kind,
                height,
                round,
                lock_round,
                value: Blob::new(value.to_vec()).unwrap(),
            }
        };
        let transaction = Transaction {
            network: network.tag(),
            payload: Payload::Equivocation {
                equivocation: Equivocation {
                    finaliser: finaliser(1).public_key(),
                    first: message(first),
                    first_signature: Signature::ZERO,
                    second: message(second),
                    second_signature: Signature::ZERO,
                },
            },
        };
        check_form(&network, &transaction)
    };
    let (a, b) = (&[1; 32][..], &[2; 32][..]);
    let broken = |rule| Err(Invalid::MalformedEvidence(rule));
    for (first, second, expected) in [
        ((1, 1, 0, 0, a), (1, 1, 0, 0, b), Ok(())),
        ((2, 9, 7, 0, &[][..]), (2, 9, 7, 0, a), Ok(())),
        ((0, 1, 3, 0, a), (0, 1, 3, 3, a), Ok(())),
        (
            (1, 1, 0, 0, b),
            (1, 1, 0, 0, a),
            broken(EvidenceRule::Order),
        ),
        (
            (1, 1, 0, 0, a),
            (1, 1, 0, 0, a),
            broken(EvidenceRule::Order),
        ),
        (
            (1, 1, 0, 0, a),
            (2, 1, 0, 0, b),
            broken(EvidenceRule::Conflict),
        ),
        (
            (1, 1, 0, 0, a),
            (1, 2, 0, 0, b),
            broken(EvidenceRule::Conflict),
        ),
        (
            (1, 1, 0, 0, a),
            (1, 1, 1, 0, b),
            broken(EvidenceRule::Conflict),
        ),
        // No checkpoint, no kind, a vote with a lock, a proposal of nothing, one locked in its own round, half an id.
        (
            (1, 0, 0, 0, a),
            (1, 0, 0, 0, b),
            broken(EvidenceRule::Message),
        ),
        (
            (3, 1, 0, 0, a),
            (3, 1, 0, 0, b),
            broken(EvidenceRule::Message),
        ),
        (
            (1, 1, 0, 0, a),
            (1, 1, 0, 1, b),
            broken(EvidenceRule::Message),
        ),
        (
            (0, 1, 0, 0, &[]),
            (0, 1, 0, 0, a),
            broken(EvidenceRule::Message),
        ),
        (
            (0, 1, 3, 0, a),
            (0, 1, 3, 4, a),
            broken(EvidenceRule::Message),
        ),
        (
            (1, 1, 0, 0, &a[..16]),
            (1, 1, 0, 0, b),
            broken(EvidenceRule::Message),
        ),
    ] {
        assert_eq!(verdict(first, second), expected, "{first:?} {second:?}");
    }
}

#[test]
fn sealed_elections_are_checked_before_they_are_refused_by_name() {
    let sealed = |threshold, trustees: &[u8], reveal_until_ms| {
        let trustees = trustees.iter().map(|number| Trustee {
            key: invitation(*number).public_key(),
            signature: Signature::ZERO,
        });
        let mut terms = terms();
        terms.reveal_until_ms = reveal_until_ms;
        let election = Election {
            terms,
            secrecy: Secrecy::Sealed {
                threshold,
                trustees: List::new(trustees.collect()).unwrap(),
            },
            organiser: organiser().public_key(),
            signature: Signature::ZERO,
        };
        refused(Transaction {
            network: network().tag(),
            payload: Payload::Election { election },
        })
    };
    let late = START_MS + 22_001;
    let named = Invalid::Unsupported(Feature::SealedBallots);
    assert_eq!(sealed(2, &[1, 2, 3], late), named);
    assert_eq!(sealed(1, &[1], late), named);
    for (threshold, trustees, until, rule) in [
        (1, &[1, 2][..], late, ElectionRule::Threshold),
        (3, &[1, 2], late, ElectionRule::Threshold),
        (0, &[1], late, ElectionRule::Threshold),
        (2, &[1, 2, 1], late, ElectionRule::TrusteesDiffer),
        (2, &[1, 2], late - 1, ElectionRule::RevealUntil),
        (2, &[1, 2], 0, ElectionRule::RevealUntil),
    ] {
        assert_eq!(
            sealed(threshold, trustees, until),
            Invalid::MalformedElection(rule)
        );
    }

    let mut ballot = ballot();
    cast(&mut ballot).ballot = Ballot::Sealed {
        ciphertext: Blob::new(vec![0; 17]).unwrap(),
        shares: List::new(vec![SealedShare {
            encapsulated: Hash::ZERO,
            ciphertext: Blob::new(vec![0; 48]).unwrap(),
        }])
        .unwrap(),
    };
    assert_eq!(refused(ballot), named);
}
