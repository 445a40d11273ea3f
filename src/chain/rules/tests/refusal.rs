//! Every reason that depends on the state, provoked.

use crate::chain::checkpoint::ChangeError;
use crate::chain::conflict::{ConflictKey, conflict_keys};
use crate::chain::election::{ElectionId, Method};
use crate::chain::invalid::{BallotRule, Invalid};
use crate::chain::state::{InvitationUse, Position, View as _, VoterTag};
use crate::chain::testing::*;
use crate::crypto::PublicKey;
use crate::wire::List;

fn key(number: u8) -> PublicKey {
    invitation(number).public_key()
}

/// Voter 1 came openly, voter 2 with invitation 1 into `club`; invitation 2 is free, 3 revoked, 4 for `guests`.
fn chain() -> Chain {
    let mut chain = Chain::new(network());
    let network = chain.network.clone();
    chain.mine(
        1_000,
        vec![
            register(&network, 1),
            issue(&network, "club", &[1, 2, 3]),
            issue(&network, "guests", &[4]),
            register_with(&network, 2, 1),
            revoke(&network, &[3]),
        ],
    );
    chain
}

#[test]
fn a_voter_registers_once_whatever_the_admission() {
    let chain = chain();
    let network = &chain.network;
    for again in [
        register(network, 1),
        register_with(network, 1, 2),
        register(network, 2),
        register_with(network, 2, 2),
    ] {
        assert_eq!(
            chain.apply(2_000, again).unwrap_err(),
            Invalid::AlreadyRegistered
        );
    }
}

#[test]
fn an_invitation_is_used_once() {
    let chain = chain();
    let network = &chain.network;
    let with = |number| chain.apply(2_000, register_with(network, 5, number));
    assert_eq!(with(1).unwrap_err(), Invalid::InvitationSpent(key(1)));
    assert_eq!(with(3).unwrap_err(), Invalid::InvitationRevoked(key(3)));
    assert_eq!(with(9).unwrap_err(), Invalid::InvitationUnknown(key(9)));
    let delta = with(4).unwrap();
    assert_eq!(delta.voters[0].1.group.as_str(), "guests");
    assert_eq!(delta.voters[0].1.roll_index, 2);
    assert_eq!(delta.roll.unwrap().size(), 3);

    let revoking = |numbers: &[u8]| chain.apply(2_000, revoke(network, numbers)).unwrap_err();
    assert_eq!(revoking(&[2, 1]), Invalid::InvitationSpent(key(1)));
    assert_eq!(revoking(&[2, 3]), Invalid::InvitationRevoked(key(3)));
    assert_eq!(revoking(&[2, 9]), Invalid::InvitationUnknown(key(9)));
    assert!(chain.apply(2_000, revoke(network, &[2, 4])).is_ok());

    for number in 1..=4 {
        let again = issue(network, "other", &[8, number]);
        assert_eq!(
            chain.apply(2_000, again).unwrap_err(),
            Invalid::InvitationExists(key(number))
        );
    }
}

#[test]
fn what_became_of_an_invitation_is_kept() {
    let state = chain().state;
    let used = |number| state.invitation(&key(number)).unwrap().unwrap().used;
    let at = |index| Position { height: 1, index };
    assert_eq!(used(1), Some(InvitationUse::Spent(at(3))));
    assert_eq!(used(2), None);
    assert_eq!(used(3), Some(InvitationUse::Revoked(at(4))));
}

#[test]
fn an_election_is_opened_once_and_before_it_ends() {
    let mut chain = chain();
    let network = chain.network.clone();
    let (_, opened) = open(&network, terms());
    assert_eq!(
        chain.apply(20_000, opened.clone()).unwrap_err(),
        Invalid::ElectionOver
    );
    assert!(chain.apply(19_999, opened.clone()).is_ok());
    chain.mine(2_000, vec![opened.clone()]);
    assert_eq!(
        chain.apply(3_000, opened).unwrap_err(),
        Invalid::ElectionExists
    );
}

#[test]
fn a_vote_is_cast_between_opening_and_grace() {
    let mut chain = chain();
    let network = chain.network.clone();
    let (election, opened) = open(&network, terms());
    let ballot = || vote(&network, 1, election, &[0]);
    let early = chain.apply(9_999, ballot()).unwrap_err();
    assert_eq!(early, Invalid::UnknownElection);
    chain.mine(2_000, vec![opened]);

    let at = |after_ms| chain.apply(after_ms, ballot());
    assert_eq!(at(9_999).unwrap_err(), Invalid::TooEarly { wait_ms: 1 });
    assert!(at(10_000).is_ok());
    assert!(at(21_999).is_ok());
    let late = Invalid::TooLate { late_ms: 2_000 };
    assert_eq!(at(22_000).unwrap_err(), late);
    let unknown = vote(&network, 1, ElectionId::ZERO, &[0]);
    assert_eq!(
        chain.apply(10_000, unknown).unwrap_err(),
        Invalid::UnknownElection
    );
}

#[test]
fn a_vote_is_for_registered_members_of_the_groups() {
    let mut chain = chain();
    let network = chain.network.clone();
    let mut early_roll = terms();
    early_roll.roll_closes_at_ms = START_MS + 3_000;
    let (election, opened) = open(&network, early_roll);
    chain.mine(2_000, vec![opened, register_with(&network, 4, 4)]);
    chain.mine(3_000, vec![register(&network, 3)]);

    let by = |number| chain.apply(10_000, vote(&network, number, election, &[0]));
    assert!(by(1).is_ok());
    assert!(by(2).is_ok());
    assert_eq!(by(3).unwrap_err(), Invalid::RegisteredTooLate);
    let group = text("guests");
    assert_eq!(by(4).unwrap_err(), Invalid::NotEligible { group });
    assert_eq!(by(5).unwrap_err(), Invalid::NotRegistered);
}

#[test]
fn a_voter_votes_once_in_an_election_and_once_in_another() {
    let mut chain = chain();
    let network = chain.network.clone();
    let (first, opened) = open(&network, terms());
    let mut other = terms();
    other.title = text("Another");
    let (second, opened_too) = open(&network, other);
    chain.mine(2_000, vec![opened, opened_too]);
    chain.mine(10_000, vec![vote(&network, 1, first, &[1])]);
    for choices in [&[][..], &[0], &[1]] {
        assert_eq!(
            chain
                .apply(11_000, vote(&network, 1, first, choices))
                .unwrap_err(),
            Invalid::AlreadyVoted
        );
    }
    assert!(chain.apply(11_000, vote(&network, 1, second, &[1])).is_ok());
    assert!(chain.apply(11_000, vote(&network, 2, first, &[1])).is_ok());

    let tag = VoterTag::Key(voter_key(1));
    let kept = chain.state.vote(&first, &tag).unwrap().unwrap();
    assert_eq!(&*kept.choices, &[1]);
}

#[test]
fn ballots_follow_the_method() {
    let mut chain = chain();
    let network = chain.network.clone();
    let (plurality, opened) = open(&network, terms());
    let mut many = terms();
    many.method = Method::Approval as u8;
    let (approval, opened_too) = open(&network, many);
    chain.mine(2_000, vec![opened, opened_too]);

    let cast = |election, choices: &[u8]| {
        chain
            .apply(10_000, vote(&network, 1, election, choices))
            .map(|_| ())
    };
    let wrong = |rule| Err(Invalid::WrongBallot(rule));
    assert_eq!(cast(plurality, &[]), Ok(()));
    assert_eq!(cast(plurality, &[2]), Ok(()));
    assert_eq!(cast(plurality, &[3]), wrong(BallotRule::UnknownOption));
    assert_eq!(cast(plurality, &[0, 1]), wrong(BallotRule::OneOption));
    assert_eq!(cast(approval, &[]), Ok(()));
    assert_eq!(cast(approval, &[0, 1, 2]), Ok(()));
    assert_eq!(cast(approval, &[1, 0]), wrong(BallotRule::SortedUnique));
    assert_eq!(cast(approval, &[1, 1]), wrong(BallotRule::SortedUnique));
    assert_eq!(cast(approval, &[0, 255]), wrong(BallotRule::UnknownOption));
}

#[test]
fn the_credential_is_the_kind_that_the_election_asks_for() {
    let mut chain = chain();
    let network = chain.network.clone();
    let (election, opened) = open(&network, terms());
    // No such election can be opened in this release, so it is put into the state directly.
    let mut delta = chain.apply(2_000, opened).unwrap();
    let mut record = (*delta.elections[0]).clone();
    record.election.terms.privacy = 1;
    delta.elections = vec![record.into()];
    chain.state.insert(delta);
    assert_eq!(
        chain
            .apply(10_000, vote(&network, 1, election, &[0]))
            .unwrap_err(),
        Invalid::WrongCredential
    );
}

#[test]
fn times_at_the_end_of_the_range_do_not_overflow() {
    let mut chain = chain();
    let network = chain.network.clone();
    let mut forever = terms();
    forever.closes_at_ms = crate::chain::form::LATEST_MS;
    forever.groups = List::new(vec![text("open")]).unwrap();
    let (election, opened) = open(&network, forever);
    chain.mine(2_000, vec![opened]);
    let latest = u64::MAX - START_MS;
    assert!(matches!(
        chain.apply(latest, vote(&network, 1, election, &[0])),
        Err(Invalid::TooLate { .. })
    ));
    assert!(
        chain
            .apply(20_000_000, vote(&network, 1, election, &[0]))
            .is_ok()
    );
}

/// Finalisers 1 to 4; then, in one block, 3 to 6 and then 5 and 6.
fn finalising() -> Chain {
    let mut chain = Chain::new(finalising_network());
    let network = chain.network.clone();
    chain.mine(
        1_000,
        vec![
            change(&network, 1, &[3, 4, 5, 6], &[1, 2, 3]),
            change(&network, 2, &[5, 6], &[3, 4, 6]),
        ],
    );
    chain
}

#[test]
fn sets_follow_one_another_by_more_than_two_thirds_of_the_one_before() {
    let chain = finalising();
    let network = &chain.network;
    let latest = chain.state.latest_finaliser_set(network).unwrap();
    assert_eq!(
        (latest.number(), latest.members()),
        (2, &finalisers(&[5, 6])[..])
    );
    let first = chain.state.finaliser_set(network, 1).unwrap().unwrap();
    assert_eq!(first.members(), &finalisers(&[3, 4, 5, 6])[..]);
    assert_eq!(chain.state.finaliser_set(network, 3).unwrap(), None);
    let record = chain.state.set_change(2).unwrap().unwrap();
    let (height, index) = (1, 1);
    assert_eq!(record.position, Position { height, index });

    let refused = |transaction| chain.apply(2_000, transaction).unwrap_err();
    for number in [1, 2] {
        assert_eq!(
            refused(change(network, number, &[7], &[5, 6])),
            Invalid::SetExists(number)
        );
    }
    let early = refused(change(network, 4, &[7], &[5, 6]));
    assert_eq!(early, Invalid::SetTooEarly { got: 4, next: 3 });
    assert!(early.may_become_valid());
    let (power, total) = (1, 2);
    assert_eq!(
        refused(change(network, 3, &[7], &[5])),
        Invalid::NotApproved(ChangeError::Power { power, total })
    );
    assert_eq!(
        refused(change(network, 3, &[7], &[3, 5, 6])),
        Invalid::NotApproved(ChangeError::Stranger)
    );
    let third = change(network, 3, &[7], &[5, 6]);
    assert_eq!(conflict_keys(&third), [ConflictKey::FinaliserSet(3)]);
    let delta = chain.apply(2_000, third).unwrap();
    assert_eq!(delta.set_changes[0].change.set, 3);
}

#[test]
fn there_are_no_more_sets_than_a_receipt_can_follow() {
    let mut chain = Chain::new(finalising_network());
    let network = chain.network.clone();
    for set in 1..=64 {
        let approvers: &[u8] = if set == 1 { &[1, 2, 3] } else { &[1] };
        chain.mine(set * 1_000, vec![change(&network, set, &[1], approvers)]);
    }
    assert_eq!(chain.state.set_changes().unwrap(), 64);
}

#[test]
fn a_finaliser_of_any_set_is_convicted_once() {
    let mut chain = finalising();
    let network = chain.network.clone();
    let first = evidence(&network, 1, 3, 0);
    chain.mine(2_000, vec![first.clone(), evidence(&network, 6, 3, 0)]);
    let refused = |transaction| chain.apply(3_000, transaction).unwrap_err();
    assert_eq!(refused(first.clone()), Invalid::AlreadyConvicted);
    // Whatever else it did: the same vote cast for other blocks, another round, another checkpoint.
    let [one, other] = [2, 3].map(|block| prevote(&network, 1, 3, 0, block));
    let twin = crate::chain::sign::convict(&network.id(), one.contradicts(&other).unwrap());
    for more in [
        twin,
        evidence(&network, 1, 3, 1),
        evidence(&network, 1, 4, 0),
    ] {
        assert_eq!(conflict_keys(&more), conflict_keys(&first));
        assert_eq!(refused(more), Invalid::AlreadyConvicted);
    }
    assert_eq!(
        refused(evidence(&network, 7, 3, 0)),
        Invalid::NotAFinaliser(finaliser(7).public_key())
    );
    let convictions = chain.state.convictions(0, 9).unwrap();
    let found: Vec<_> = convictions
        .iter()
        .map(|one| (one.offence.finaliser, one.offence.round, one.position.index))
        .collect();
    let key = |number| finaliser(number).public_key();
    assert_eq!(found, [(key(1), 0, 0), (key(6), 0, 1)]);
    assert_eq!(chain.state.convictions(1, 1).unwrap(), convictions[1..2]);
    assert!(chain.apply(3_000, evidence(&network, 2, 3, 0)).is_ok());
}
