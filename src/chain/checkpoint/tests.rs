#![allow(clippy::unwrap_used)]

use super::*;
use crate::chain::testing;
use crate::wire::Text;

fn key(number: u8) -> SigningKey {
    SigningKey::from_seed(&[number; 32])
}

fn finaliser(number: u8, power: u64) -> Finaliser {
    Finaliser {
        key: key(number).public_key(),
        power,
        name: Text::new("F").unwrap(),
    }
}

/// Finalisers 1, 2, … with these powers.
fn network(powers: &[u64]) -> std::sync::Arc<Network> {
    let finalisers = (1..)
        .zip(powers)
        .map(|(number, power)| finaliser(number, *power));
    let finalisers = List::new(finalisers.collect()).unwrap();
    testing::network_with(|genesis| genesis.finalisers = finalisers)
}

fn certificate(network: &Network, signers: &[u8]) -> CommitCertificate {
    let block = BlockId::from_bytes([5; 32]);
    let message = FinalityMessage::precommit(4, 1, &block);
    let mut precommits: Vec<Approval> = signers
        .iter()
        .map(|number| {
            let signed = SignedFinalityMessage::sign(&key(*number), &network.id(), message.clone());
            assert!(signed.is_signed(&network.id()));
            Approval {
                key: signed.finaliser,
                signature: signed.signature,
            }
        })
        .collect();
    precommits.sort_by_key(|precommit| precommit.key);
    CommitCertificate {
        set: 0,
        checkpoint: 4,
        round: 1,
        block,
        precommits: List::new(precommits).unwrap(),
    }
}

fn change(
    network: &Network,
    set: u64,
    finalisers: Vec<Finaliser>,
    signers: &[u8],
) -> FinaliserChange {
    let mut change = FinaliserChange {
        set,
        finalisers: List::new(finalisers).unwrap(),
        approvals: List::new(vec![Approval {
            key: key(1).public_key(),
            signature: Signature::ZERO,
        }])
        .unwrap(),
    };
    let mut approvals: Vec<Approval> = signers
        .iter()
        .map(|number| Approval {
            key: key(*number).public_key(),
            signature: key(*number).sign(
                Context::SignFinaliserChange,
                network.id().as_bytes(),
                &change.payload(),
            ),
        })
        .collect();
    approvals.sort_by_key(|approval| approval.key);
    change.approvals = List::new(approvals).unwrap();
    change
}

#[test]
fn certificates_need_more_than_two_thirds_of_the_power() {
    let network = network(&[1, 1, 1]);
    let set = FinaliserSet::genesis(&network);
    let check = |certificate: &CommitCertificate| set.check(&network.id(), certificate);
    let good = certificate(&network, &[1, 2, 3]);
    assert_eq!(check(&good), Ok(()));
    for (few, power) in [(&[1][..], 1), (&[1, 2], 2)] {
        let few = certificate(&network, few);
        let total = 3;
        assert_eq!(check(&few), Err(CertificateError::Power { power, total }));
    }
    let twice = certificate(&network, &[1, 1, 2]);
    assert_eq!(check(&twice), Err(CertificateError::Order));
    let stranger = certificate(&network, &[1, 2, 9]);
    assert_eq!(check(&stranger), Err(CertificateError::Stranger));
    for break_it in [
        |c: &mut CommitCertificate| c.round = 2,
        |c: &mut CommitCertificate| c.checkpoint = 5,
        |c: &mut CommitCertificate| c.block = BlockId::ZERO,
    ] {
        let mut other = good.clone();
        break_it(&mut other);
        assert_eq!(check(&other), Err(CertificateError::Signature));
    }
    let mut other = good;
    other.set = 1;
    let (claimed, expected) = (1, 0);
    assert_eq!(
        check(&other),
        Err(CertificateError::OtherSet { claimed, expected })
    );
}

#[test]
fn power_counts_not_heads() {
    let network = network(&[7, 1, 1, 1]);
    let set = FinaliserSet::genesis(&network);
    let check = |signers: &[u8]| set.check(&network.id(), &certificate(&network, signers));
    assert_eq!(check(&[1]), Ok(()));
    let (power, total) = (3, 10);
    assert_eq!(
        check(&[2, 3, 4]),
        Err(CertificateError::Power { power, total })
    );
    assert!(!set.has_honest(3) && set.has_honest(4));
}

#[test]
fn sets_follow_one_another_by_consent() {
    let network = network(&[1, 1, 1, 1]);
    let (id, set) = (network.id(), FinaliserSet::genesis(&network));
    let new = vec![finaliser(5, 2), finaliser(6, 1)];
    let next = set
        .after(&change(&network, 1, new.clone(), &[1, 2, 4]), &id)
        .unwrap();
    assert_eq!((next.number(), next.members()), (1, &new[..]));
    assert_eq!(
        set.after(&change(&network, 1, new.clone(), &[1, 2]), &id),
        Err(ChangeError::Power { power: 2, total: 4 })
    );
    assert_eq!(
        set.after(&change(&network, 2, new.clone(), &[1, 2, 3]), &id),
        Err(ChangeError::Number {
            claimed: 2,
            expected: 1
        })
    );
    assert_eq!(
        set.after(&change(&network, 1, new.clone(), &[1, 2, 5]), &id),
        Err(ChangeError::Stranger)
    );
    assert_eq!(
        set.after(&change(&network, 1, new.clone(), &[1, 1, 2]), &id),
        Err(ChangeError::Order)
    );
    let mut forged = change(&network, 1, new.clone(), &[1, 2, 3]);
    forged.finalisers = List::new(vec![finaliser(9, 1)]).unwrap();
    assert_eq!(set.after(&forged, &id), Err(ChangeError::Signature));
    let twins = vec![finaliser(5, 1), finaliser(5, 1)];
    assert!(matches!(
        set.after(&change(&network, 1, twins, &[1, 2, 3]), &id),
        Err(ChangeError::Set(_))
    ));
    // The next change is for the new set to approve.
    let back = change(&network, 2, vec![finaliser(1, 1)], &[5, 6]);
    assert_eq!(next.after(&back, &id).unwrap().number(), 2);
}

#[test]
fn whoever_signed_both_is_named() {
    let network = network(&[1, 1, 1, 1]);
    let first = certificate(&network, &[1, 2, 3]);
    let second = certificate(&network, &[2, 3, 4]);
    let both = [2, 3].map(|number| key(number).public_key());
    assert_eq!(signers_of_both(&first, &second), both.into());
}
