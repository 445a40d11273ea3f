#![allow(clippy::unwrap_used)]

use super::*;
use crate::crypto::RingBatchVerifier;
use curve25519_dalek::constants::RISTRETTO_BASEPOINT_POINT;
use proptest::prelude::*;

const NETWORK: [u8; 32] = [0x11; 32];

/// The group order ℓ, little-endian.
const ORDER: [u8; 32] = [
    0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
];

fn secret(number: u8) -> RingSecret {
    RingSecret::from_uniform_bytes(&[number; 64])
}

fn voter(number: u8) -> PublicKey {
    PublicKey::from_bytes([number; 32])
}

fn proof(number: u8) -> RingProof {
    secret(number).prove(&NETWORK, &voter(number), &[0; 32])
}

fn plus_order(bytes: &[u8]) -> [u8; 32] {
    let mut sum = [0; 32];
    let mut carry = 0u16;
    for index in 0..32 {
        carry += u16::from(bytes[index]) + u16::from(ORDER[index]);
        sum[index] = carry as u8;
        carry >>= 8;
    }
    sum
}

fn both(network: &[u8; 32], voter: &PublicKey, key: &RingKey, proof: &RingProof) -> bool {
    let single = proof.verify(network, voter, key);
    let mut batch = RingBatchVerifier::new(network);
    // Two of them, so that the linear combination is what answers.
    batch.push(voter, key, proof);
    batch.push(voter, key, proof);
    assert_eq!(batch.verify(&[5; 32]), vec![single; 2]);
    single
}

#[test]
fn a_proof_convinces_for_its_statement_only() {
    let key = secret(1).ring_key();
    let proof = proof(1);
    assert!(both(&NETWORK, &voter(1), &key, &proof));
    assert!(!both(&[0x12; 32], &voter(1), &key, &proof));
    assert!(!both(&NETWORK, &voter(2), &key, &proof));
    assert!(!both(&NETWORK, &voter(1), &secret(2).ring_key(), &proof));
}

#[test]
fn every_changed_bit_breaks_the_proof() {
    let key = secret(1).ring_key();
    for bit in 0..512 {
        let mut bytes = proof(1).to_bytes();
        bytes[bit / 8] ^= 1 << (bit % 8);
        assert!(!RingProof::from_bytes(bytes).verify(&NETWORK, &voter(1), &key));
    }
    for bit in 0..256 {
        let mut bytes = key.to_bytes();
        bytes[bit / 8] ^= 1 << (bit % 8);
        assert!(!proof(1).verify(&NETWORK, &voter(1), &RingKey::from_bytes(bytes)));
    }
}

#[test]
fn the_key_is_the_secret_times_the_basepoint() {
    let secret = secret(3);
    let scalar = Scalar::from_canonical_bytes(*secret.scalar_bytes()).unwrap();
    let expected = (scalar * RISTRETTO_BASEPOINT_POINT).compress().to_bytes();
    assert_eq!(secret.ring_key().to_bytes(), expected);
    let one = RingSecret::from_uniform_bytes(&[0; 64]);
    assert_eq!(
        one.ring_key().to_bytes(),
        RISTRETTO_BASEPOINT_POINT.compress().to_bytes()
    );
}

#[test]
fn the_identity_is_refused_though_its_proof_adds_up() {
    let identity = RingKey::ZERO;
    assert_eq!(identity.check(), Err(RingKeyError::Identity));
    let nonce = Scalar::from(7u8);
    let mut bytes = [0; 64];
    bytes[..32].copy_from_slice(RistrettoPoint::mul_base(&nonce).compress().as_bytes());
    bytes[32..].copy_from_slice(nonce.as_bytes());
    assert!(!both(
        &NETWORK,
        &voter(1),
        &identity,
        &RingProof::from_bytes(bytes)
    ));
}

#[test]
fn only_canonical_encodings_count() {
    let key = secret(1).ring_key();
    let good = proof(1).to_bytes();

    let mut response = good;
    response[32..].copy_from_slice(&plus_order(&good[32..]));
    assert!(!both(
        &NETWORK,
        &voter(1),
        &key,
        &RingProof::from_bytes(response)
    ));

    // p + 1 and a negative number: encodings that Ristretto refuses.
    let mut above = [0xff; 32];
    above[0] = 0xee;
    above[31] = 0x7f;
    let mut negative = [0; 32];
    negative[0] = 1;
    for bad in [above, negative, [0xff; 32]] {
        assert_eq!(
            RingKey::from_bytes(bad).check(),
            Err(RingKeyError::NotCanonical)
        );
        let mut commitment = good;
        commitment[..32].copy_from_slice(&bad);
        assert!(!both(
            &NETWORK,
            &voter(1),
            &key,
            &RingProof::from_bytes(commitment)
        ));
        assert!(!both(
            &NETWORK,
            &voter(1),
            &RingKey::from_bytes(bad),
            &RingProof::from_bytes(good)
        ));
    }
}

#[test]
fn nonces_depend_on_the_statement_and_the_hedge() {
    let secret = secret(1);
    let commit = |network: u8, voter_key: u8, hedge: u8| {
        secret
            .prove(&[network; 32], &voter(voter_key), &[hedge; 32])
            .to_bytes()[..32]
            .to_vec()
    };
    let all = [
        commit(1, 1, 0),
        commit(2, 1, 0),
        commit(1, 2, 0),
        commit(1, 1, 1),
    ];
    for (index, one) in all.iter().enumerate() {
        assert!(all[index + 1..].iter().all(|other| other != one));
    }
    assert_eq!(commit(1, 1, 0), all[0]);
    assert!(!format!("{secret:?}").contains(&format!(
        "{:02x}{:02x}",
        secret.scalar_bytes()[0],
        secret.scalar_bytes()[1]
    )));
}

#[test]
fn errors_that_cancel_out_do_not_pass_a_batch() {
    let shift = Scalar::from(1u8);
    let moved = |number: u8, by: Scalar| {
        let mut bytes = proof(number).to_bytes();
        let response = Scalar::from_canonical_bytes(bytes[32..].try_into().unwrap()).unwrap() + by;
        bytes[32..].copy_from_slice(response.as_bytes());
        RingProof::from_bytes(bytes)
    };
    let mut batch = RingBatchVerifier::new(&NETWORK);
    batch.push(&voter(1), &secret(1).ring_key(), &moved(1, shift));
    batch.push(&voter(2), &secret(2).ring_key(), &moved(2, -shift));
    batch.push(&voter(3), &secret(3).ring_key(), &proof(3));
    assert_eq!(batch.len(), 3);
    assert_eq!(batch.verify(&[0; 32]), [false, false, true]);
}

#[test]
fn an_empty_batch_has_no_verdicts() {
    let batch = RingBatchVerifier::new(&NETWORK);
    assert!(batch.is_empty());
    assert!(batch.verify(&[0; 32]).is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn a_batch_answers_like_singles(
        seed in any::<[u8; 32]>(),
        damage in prop::collection::vec((any::<u8>(), prop::option::weighted(0.2, 0usize..(64 + 32 + 32) * 8)), 0..70),
    ) {
        let mut batch = RingBatchVerifier::new(&NETWORK);
        let mut singles = Vec::new();
        for (number, bit) in damage {
            let mut bytes = [proof(number).as_ref(), secret(number).ring_key().as_ref(), voter(number).as_ref()].concat();
            if let Some(bit) = bit {
                bytes[bit / 8] ^= 1 << (bit % 8);
            }
            let proof = RingProof::from_bytes(bytes[..64].try_into().unwrap());
            let key = RingKey::from_bytes(bytes[64..96].try_into().unwrap());
            let voter = PublicKey::from_bytes(bytes[96..].try_into().unwrap());
            batch.push(&voter, &key, &proof);
            let single = proof.verify(&NETWORK, &voter, &key);
            prop_assert_eq!(single, bit.is_none());
            singles.push(single);
        }
        prop_assert_eq!(batch.verify(&seed), singles);
    }
}
