use super::*;

/// One of each, so that the compiler's exhaustive `code` and the table are compared whole.
fn samples() -> Vec<Invalid> {
    let key = PublicKey::ZERO;
    vec![
        Invalid::NotCanonical(DecodeError::Shape("x".into())),
        Invalid::TooLarge { bytes: 2, max: 1 },
        Invalid::WrongNetwork,
        Invalid::BadKey {
            whose: KeyOf::Voter,
            error: KeyError::SmallOrder,
        },
        Invalid::BadRingKey(RingKeyError::Identity),
        Invalid::BadSignature {
            whose: KeyOf::Organiser,
        },
        Invalid::BadRingProof,
        Invalid::BadInvitationSignature,
        Invalid::BadStamp { bits: 16 },
        Invalid::OpenAdmissionForbidden,
        Invalid::DuplicateKey(key),
        Invalid::ReservedGroup,
        Invalid::MalformedElection(ElectionRule::Seats),
        Invalid::Unsupported(Feature::SealedBallots),
        Invalid::NotPermitted(Permission::Invite),
        Invalid::NoFinalisers,
        Invalid::MalformedChange(ChangeError::Order),
        Invalid::MalformedEvidence(EvidenceRule::Order),
        Invalid::NotRegistered,
        Invalid::RegisteredTooLate,
        Invalid::NotEligible {
            group: Group::new("a").expect("a group"),
        },
        Invalid::AlreadyRegistered,
        Invalid::InvitationUnknown(key),
        Invalid::InvitationSpent(key),
        Invalid::InvitationRevoked(key),
        Invalid::InvitationExists(key),
        Invalid::UnknownElection,
        Invalid::ElectionExists,
        Invalid::ElectionOver,
        Invalid::AlreadyVoted,
        Invalid::TooEarly { wait_ms: 61_000 },
        Invalid::TooLate { late_ms: 7_200_000 },
        Invalid::WrongBallot(BallotRule::OneOption),
        Invalid::WrongCredential,
        Invalid::SetExists(1),
        Invalid::SetTooEarly { got: 3, next: 1 },
        Invalid::NotApproved(ChangeError::Power { power: 2, total: 3 }),
        Invalid::NotAFinaliser(key),
        Invalid::AlreadyConvicted,
    ]
}

#[test]
fn the_table_lists_every_rule_once() {
    let listed: Vec<_> = samples().iter().map(|s| (s.code(), s.name())).collect();
    assert_eq!(listed, RULES);
    assert!(RULES.windows(2).all(|pair| pair[0].0 < pair[1].0));
    let names: std::collections::BTreeSet<_> = RULES.iter().map(|rule| rule.1).collect();
    assert_eq!(names.len(), RULES.len());
}

#[test]
fn what_may_become_valid_is_not_held_against_the_sender() {
    for reason in samples() {
        assert_eq!(reason.in_every_state(), reason.code() < 100);
        assert!(!(reason.in_every_state() && reason.may_become_valid()));
    }
}

#[test]
fn words_fit_a_reply_and_name_the_time() {
    for reason in samples() {
        assert!((10..=250).contains(&reason.to_string().len()), "{reason}");
    }
    let early = Invalid::TooEarly { wait_ms: 61_000 }.to_string();
    assert!(early.contains("61 seconds"), "{early}");
    let late = Invalid::TooLate { late_ms: 7_200_000 }.to_string();
    assert!(late.contains("2 hours"), "{late}");
}

#[test]
fn decoding_errors_tell_length_from_form() {
    let long = Invalid::from(DecodeError::TooLong { len: 9, max: 8 });
    assert_eq!(long, Invalid::TooLarge { bytes: 9, max: 8 });
    assert_eq!(Invalid::from(DecodeError::Shape(String::new())).code(), 1);
}
