#![allow(clippy::unwrap_used)]

use super::*;
use crate::chain::checkpoint::{ChangeError, MAX_ROUND, SignedFinalityMessage};
use crate::chain::conflict::conflict_keys;
use crate::chain::election::Ballot;
use crate::chain::invalid::EvidenceRule;
use crate::chain::sign;
use crate::chain::testing::*;
use crate::chain::transaction::{Equivocation, FinaliserChange, Kind, Registration, Vote};
use crate::crypto::{KeyError, RingKey, RingKeyError, RingProof};
use crate::wire::{Blob, List};
use proptest::prelude::*;

fn verdict(transaction: Transaction) -> Result<Verified<Transaction>, Invalid> {
    Chain::new(network()).verdict(transaction)
}

fn refused(transaction: Transaction) -> Invalid {
    let reason = verdict(transaction).unwrap_err();
    assert!(reason.in_every_state());
    reason
}

fn registration(transaction: &mut Transaction) -> &mut Registration {
    match &mut transaction.payload {
        Payload::Registration { registration } => registration,
        _ => panic!("not a registration"),
    }
}

fn cast(transaction: &mut Transaction) -> &mut Vote {
    match &mut transaction.payload {
        Payload::Vote { vote } => vote,
        _ => panic!("not a vote"),
    }
}

/// One valid transaction of each kind that this release supports.
fn good() -> Vec<Transaction> {
    let network = network();
    let (election, opened) = open(&network, terms());
    vec![
        register(&network, 1),
        register_with(&network, 2, 1),
        issue(&network, "club", &[1, 2, 3]),
        revoke(&network, &[3]),
        opened,
        vote(&network, 1, election, &[2]),
    ]
}

/// Each of [`good`] spoiled in each way that only curve arithmetic shows.
fn bad() -> Vec<Transaction> {
    let other = network_with(|genesis| genesis.confirmations = 9);
    let (election, opened) = open(&other, terms());
    let mut all = vec![
        register_with(&other, 2, 1),
        issue(&other, "club", &[1]),
        revoke(&other, &[1]),
        opened,
        vote(&other, 1, election, &[]),
    ];
    all.iter_mut().for_each(|t| t.network = network().tag());
    let mut proof = register_with(&network(), 3, 1);
    registration(&mut proof).ring_proof = RingProof::ZERO;
    all.push(resigned(proof, 3));
    all
}

/// The registration signed anew by the voter, so that what else is wrong with it shows.
fn resigned(mut transaction: Transaction, number: u8) -> Transaction {
    let registration = registration(&mut transaction);
    registration.signature = voter(number).signing_key().sign(
        Context::SignRegistration,
        network().id().as_bytes(),
        &registration.payload(),
    );
    transaction
}

#[test]
fn what_is_signed_here_is_valid_and_measured_once() {
    for transaction in good() {
        let verified = verdict(transaction.clone()).unwrap();
        let encoded = wire::encode(&transaction);
        assert_eq!(*verified, transaction);
        assert_eq!(verified.id(), transaction.id());
        assert_eq!(verified.encoded_len(), encoded.len());
        assert_eq!(Verified::from_own_store(&encoded).unwrap(), verified);
        assert!(Verified::from_own_store(&encoded[1..]).is_err());
        let verifier = Verifier::new(network(), [0; 32]);
        assert_eq!(verifier.verify_encoded(&encoded), Ok(verified));
    }
}

#[test]
fn bytes_are_refused_by_length_or_form() {
    let verifier = Verifier::new(network(), [0; 32]);
    let code = |bytes: &[u8]| verifier.verify_encoded(bytes).unwrap_err().code();
    assert_eq!(code(&[0x80]), 1);
    assert_eq!(code(&[]), 1);
    assert_eq!(code(&vec![0; 60 * 1024 + 1]), 2);
    let mut trailing = wire::encode(&good()[0]);
    trailing.push(0);
    assert_eq!(code(&trailing), 1);
}

#[test]
fn another_network_is_recognised_by_label_and_by_signature() {
    let other = network_with(|genesis| genesis.name = text("other"));
    assert_eq!(refused(register(&other, 1)), Invalid::WrongNetwork);
    for mut transaction in [register(&other, 1), register_with(&other, 1, 1)] {
        transaction.network = network().tag();
        // An open registration is stopped by its stamp or its signature, whichever the other network's bytes break.
        assert!(matches!(refused(transaction).code(), 6 | 9));
    }
}

#[test]
fn signatures_have_to_fit() {
    let reasons: Vec<_> = bad().into_iter().map(refused).collect();
    let by = |whose| Invalid::BadSignature { whose };
    let expected = [
        by(KeyOf::Voter),
        by(KeyOf::Organiser),
        by(KeyOf::Organiser),
        by(KeyOf::Organiser),
        by(KeyOf::Voter),
        Invalid::BadRingProof,
    ];
    assert_eq!(reasons, expected);
}

#[test]
fn changes_and_evidence_are_signed_by_those_they_name() {
    let network = finalising_network();
    let chain = Chain::new(network.clone());
    let verdict = |transaction| chain.verdict(transaction).map(|_| ());
    let by_finaliser = Err(Invalid::BadSignature {
        whose: KeyOf::Finaliser,
    });
    let changed = |break_it: fn(&mut FinaliserChange)| {
        let mut transaction = change(&network, 1, &[5, 6], &[1, 2, 3]);
        let Payload::FinaliserChange { change } = &mut transaction.payload else {
            unreachable!()
        };
        break_it(change);
        verdict(transaction)
    };
    assert_eq!(changed(|_| {}), Ok(()));
    assert_eq!(changed(|change| change.set = 2), by_finaliser);
    assert_eq!(
        changed(|change| change.finalisers = finalisers(&[7])),
        by_finaliser
    );
    let twins = changed(|change| change.finalisers = finalisers(&[5, 5]));
    assert!(matches!(
        twins,
        Err(Invalid::MalformedChange(ChangeError::Set(_)))
    ));
    let small = changed(|change| {
        let mut member = change.finalisers[0].clone();
        member.key = PublicKey::ZERO;
        change.finalisers = List::new(vec![member]).unwrap();
    });
    assert!(matches!(
        small,
        Err(Invalid::MalformedChange(ChangeError::Set(_)))
    ));
    let mut forged = change(&network, 1, &[5, 6], &[1, 2, 3]);
    if let Payload::FinaliserChange { change } = &mut forged.payload {
        let mut approvals = change.approvals.to_vec();
        approvals[2].signature = approvals[1].signature;
        change.approvals = List::new(approvals).unwrap();
    }
    assert_eq!(verdict(forged), by_finaliser);

    let accused = |break_it: fn(&mut Equivocation)| {
        let mut transaction = evidence(&network, 1, 3, 0);
        let Payload::Equivocation { equivocation } = &mut transaction.payload else {
            unreachable!()
        };
        break_it(equivocation);
        verdict(transaction)
    };
    assert_eq!(accused(|_| {}), Ok(()));
    assert_eq!(
        accused(|e| e.finaliser = finaliser(2).public_key()),
        by_finaliser
    );
    assert_eq!(
        accused(|e| e.first_signature = e.second_signature),
        by_finaliser
    );
    assert_eq!(
        accused(|e| e.second_signature = e.first_signature),
        by_finaliser
    );
}

#[test]
fn only_what_excludes_each_other_is_evidence() {
    let network = finalising_network();
    let vote = |number, round, block| prevote(&network, number, 3, round, block);
    let verdict = |transaction| Chain::new(network.clone()).verdict(transaction);
    let accuse = |one: SignedFinalityMessage, other| one.contradicts(&other);
    let shown = accuse(vote(1, 0, 2), vote(1, 0, 0)).unwrap();
    assert_eq!(accuse(vote(1, 0, 0), vote(1, 0, 2)).as_ref(), Some(&shown));
    assert_eq!(verdict(sign::convict(&network.id(), shown)).err(), None);
    assert_eq!(accuse(vote(1, 0, 2), vote(1, 0, 2)), None);
    assert_eq!(accuse(vote(1, 0, 2), vote(1, 1, 3)), None);
    assert_eq!(accuse(vote(1, 0, 2), vote(2, 0, 3)), None);
    // The last round there is, and one more.
    let at = |round| evidence(&network, 1, 3, round);
    assert_eq!(verdict(at(MAX_ROUND)).err(), None);
    assert_eq!(
        verdict(at(MAX_ROUND + 1)).err(),
        Some(Invalid::MalformedEvidence(EvidenceRule::Message))
    );
}

#[test]
fn a_ballot_cannot_be_changed_under_its_signature() {
    let mut changed = good().pop().unwrap();
    cast(&mut changed).ballot = Ballot::Open {
        choices: Blob::new(vec![1]).unwrap(),
    };
    let whose = KeyOf::Voter;
    assert_eq!(refused(changed), Invalid::BadSignature { whose });
}

#[test]
fn an_invitation_admits_only_whom_it_signed_for() {
    let network = network();
    let mut stolen = register_with(&network, 1, 1);
    let mut other = register_with(&network, 2, 1);
    registration(&mut stolen).admission = registration(&mut other).admission.clone();
    assert_eq!(
        refused(resigned(stolen, 1)),
        Invalid::BadInvitationSignature
    );
}

#[test]
fn keys_that_anyone_could_sign_for_are_refused() {
    let mut identity = [0; 32];
    identity[0] = 1;
    let bad_key = |whose, error| Invalid::BadKey { whose, error };

    let mut transaction = register_with(&network(), 1, 1);
    registration(&mut transaction).voter = PublicKey::from_bytes(identity);
    assert_eq!(
        refused(transaction.clone()),
        bad_key(KeyOf::Voter, KeyError::SmallOrder)
    );
    registration(&mut transaction).voter = PublicKey::from_bytes([0xff; 32]);
    assert_eq!(refused(transaction).code(), 4);

    let invitations = List::new(vec![PublicKey::from_bytes(identity)]).unwrap();
    let batch = sign::issue_invitations(&network().id(), &organiser(), text("club"), invitations);
    assert_eq!(
        refused(batch),
        bad_key(KeyOf::Invitation, KeyError::SmallOrder)
    );

    let (_, mut opened) = open(&network(), terms());
    if let Payload::Election { election } = &mut opened.payload {
        election.organiser = PublicKey::from_bytes(identity);
    }
    assert_eq!(
        refused(opened),
        bad_key(KeyOf::Organiser, KeyError::SmallOrder)
    );
}

#[test]
fn ring_keys_are_canonical_and_not_the_identity() {
    for (bytes, error) in [
        ([0; 32], RingKeyError::Identity),
        ([0xff; 32], RingKeyError::NotCanonical),
    ] {
        let mut transaction = register_with(&network(), 1, 1);
        registration(&mut transaction).ring_key = RingKey::from_bytes(bytes);
        assert_eq!(refused(transaction), Invalid::BadRingKey(error));
    }
}

#[test]
fn stamps_are_paid_and_twins_are_the_same_registration() {
    let network = network();
    let mut transaction = register(&network, 1);
    let first = transaction.id();
    let mut nonces = 0..10_000;
    let mut verdict_of_next = || {
        registration(&mut transaction).admission = Admission::Open {
            stamp: nonces.next().unwrap(),
        };
        (transaction.clone(), verdict(transaction.clone()))
    };
    let mut bad_stamps = 0;
    loop {
        let (twin, verdict) = verdict_of_next();
        match verdict {
            Err(reason) => {
                assert_eq!(reason, Invalid::BadStamp { bits: BITS });
                bad_stamps += 1;
            }
            Ok(verified) if verified.id() != first => {
                assert_eq!(conflict_keys(&twin), conflict_keys(&register(&network, 1)));
                break;
            }
            Ok(_) => {}
        }
    }
    assert!(bad_stamps > 0);
}

#[test]
fn many_chunks_give_the_verdicts_of_singles_in_order() {
    let pool: Vec<_> = good().into_iter().chain(bad()).collect();
    let singles: Vec<_> = pool.iter().cloned().map(verdict).collect();
    let count = 2 * MIN_CHUNK + 17;
    let many: Vec<_> = pool.iter().cycle().take(count).cloned().collect();
    let verifier = Verifier::new(network(), [7; 32]);
    let expected: Vec<_> = singles.iter().cycle().take(count).cloned().collect();
    assert_eq!(verifier.verify_parallel(many), expected);
    assert_eq!(verifier.verify_parallel(Vec::new()), Vec::new());
}

#[test]
fn the_largest_transaction_fits() {
    let all = (0..1_024u32).map(|i| {
        let mut seed = [0; 32];
        seed[..4].copy_from_slice(&i.to_be_bytes());
        crate::crypto::SigningKey::from_seed(&seed).public_key()
    });
    let batch = sign::issue_invitations(
        &network().id(),
        &organiser(),
        text(&"g".repeat(32)),
        List::new(all.collect()).unwrap(),
    );
    let verified = verdict(batch).unwrap();
    assert_eq!(verified.kind(), Kind::InvitationBatch);
    assert!(verified.encoded_len() < <Transaction as wire::Message>::MAX_BYTES);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn a_verdict_does_not_depend_on_the_rest_of_the_batch(picks in prop::collection::vec(0usize..12, 0..40), seed in any::<[u8; 32]>()) {
        let pool: Vec<_> = good().into_iter().chain(bad()).collect();
        let batch: Vec<_> = picks.iter().map(|pick| pool[*pick].clone()).collect();
        let singles: Vec<_> = batch.iter().cloned().map(verdict).collect();
        prop_assert_eq!(Verifier::new(network(), seed).verify(batch), singles);
    }

    #[test]
    fn flipped_bits_are_refused_without_a_panic(pick in 0usize..6, place in any::<prop::sample::Index>(), bit in 0u8..8) {
        let original = wire::encode(&good()[pick]);
        let mut changed = original.clone();
        changed[place.index(original.len())] ^= 1 << bit;
        let verifier = Verifier::new(network(), [0; 32]);
        if let Ok(verified) = verifier.verify_encoded(&changed) {
            // Only a stamp can be changed and still hold.
            prop_assert_eq!(verified.kind(), Kind::Registration);
            prop_assert!(pick == 0 && verified.id() != Transaction::id_of(&original));
        }
    }
}
