#![allow(clippy::unwrap_used)]
#![allow(non_snake_case)]

use super::*;
use crate::crypto::BatchVerifier;
use curve25519_dalek::constants::{ED25519_BASEPOINT_POINT as B, EIGHT_TORSION};
use curve25519_dalek::scalar::Scalar;
use proptest::prelude::*;

mod equations;
mod properties;

/// Verifies one by one and in a batch, insists that they agree, and says what they say.
fn both(key: &[u8; 32], message: &Hash, signature: &[u8; 64]) -> bool {
    let key = PublicKey::from_bytes(*key);
    let signature = Signature::from_bytes(*signature);
    let single = key.verify(message, &signature);

    // Beside a good signature and twice, so that the linear combination is what answers.
    let honest = SigningKey::from_seed(&[1; 32]);
    let mut batch = BatchVerifier::new();
    batch.push(&honest.public_key(), message, &honest.sign_digest(message));
    batch.push(&key, message, &signature);
    batch.push(&key, message, &signature);
    assert_eq!(batch.verify(&[9; 32]), [true, single, single]);
    single
}

/// k = SHA-512(R ‖ A ‖ M) modulo ℓ, over the bytes as they are given.
fn challenge(R: &[u8], A: &[u8], message: &[u8]) -> Scalar {
    let mut sha = Sha512::new();
    sha.update(R);
    sha.update(A);
    sha.update(message);
    Scalar::from_bytes_mod_order_wide(&sha.finalize().into())
}

fn join(R: &[u8; 32], s: &[u8; 32]) -> [u8; 64] {
    [R.as_slice(), s].concat().try_into().unwrap()
}

/// The rule of ZIP 215 once more, from its text: A and R decode (in any encoding), s < ℓ, [8][s]B = [8]R + [8][k]A.
fn zip215(A: &[u8; 32], message: &[u8], signature: &[u8; 64]) -> bool {
    let R: [u8; 32] = signature[..32].try_into().unwrap();
    let (Some(A_point), Some(R_point), Some(s)) = (
        CompressedEdwardsY(*A).decompress(),
        CompressedEdwardsY(R).decompress(),
        Scalar::from_canonical_bytes(signature[32..].try_into().unwrap()).into_option(),
    ) else {
        return false;
    };
    let k = challenge(&R, A, message);
    (s * B).mul_by_cofactor() == R_point.mul_by_cofactor() + (k * A_point).mul_by_cofactor()
}

/// The stricter equation without the cofactor, which RFC 8032 also allows and ZIP 215 forbids to use.
fn cofactorless(A: &[u8; 32], message: &[u8], signature: &[u8; 64]) -> bool {
    let R: [u8; 32] = signature[..32].try_into().unwrap();
    let s = Scalar::from_canonical_bytes(signature[32..].try_into().unwrap()).unwrap();
    let A_point = CompressedEdwardsY(*A).decompress().unwrap();
    let R_point = CompressedEdwardsY(R).decompress().unwrap();
    s * B == R_point + challenge(&R, A, message) * A_point
}

/// The eight canonical encodings of points of small order.
fn canonical_small_order() -> Vec<[u8; 32]> {
    EIGHT_TORSION
        .iter()
        .map(|point| point.compress().to_bytes())
        .collect()
}

/// Every encoding of a point that is not its canonical one: y from p to 2^255 − 1 with either sign, and y = ±1, whose
/// x is zero, with the sign set.
fn non_canonical() -> Vec<[u8; 32]> {
    let mut candidates = Vec::new();
    for low in 0xed..=0xffu8 {
        let mut bytes = [0xff; 32];
        bytes[0] = low;
        for sign in [0x7f, 0xff] {
            bytes[31] = sign;
            candidates.push(bytes);
        }
    }
    let mut one = [0; 32];
    one[0] = 1;
    one[31] = 0x80;
    candidates.push(one);
    let mut minus_one = [0xff; 32];
    minus_one[0] = 0xec;
    candidates.push(minus_one);
    candidates.retain(|bytes| CompressedEdwardsY(*bytes).decompress().is_some());
    candidates
}

fn non_canonical_small_order() -> Vec<[u8; 32]> {
    let mut encodings = non_canonical();
    encodings.retain(|bytes| {
        CompressedEdwardsY(*bytes)
            .decompress()
            .unwrap()
            .is_small_order()
    });
    encodings
}

fn unhex<const N: usize>(text: &str) -> [u8; N] {
    crate::wire::bytes::parse_hex(text).unwrap()
}

#[test]
fn rfc_8032_section_7_1() {
    let cases: [(&str, &str, &[u8], &str); 3] = [
        (
            "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
            "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
            &[],
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595b\
             be24655141438e7a100b",
        ),
        (
            "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
            "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
            &[0x72],
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb430\
             2aeeb00d291612bb0c00",
        ),
        (
            "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
            "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
            &[0xaf, 0x82],
            "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716e\
             d28dc027beceea1ec40a",
        ),
    ];
    for (seed, public, message, signature) in cases {
        let key = SigningKey::from_seed(&unhex(seed));
        let signature = Signature::from_bytes(unhex(signature));
        assert_eq!(key.public_key().to_bytes(), unhex(public));
        assert_eq!(key.sign_message(message), signature);
        assert!(key.public_key().verify_message(message, &signature));
        assert!(!key.public_key().verify_message(b"another", &signature));
        assert_eq!(*key.seed(), unhex(seed));
    }
}

#[test]
fn a_signature_is_bound_to_purpose_network_and_payload() {
    let key = SigningKey::generate().unwrap();
    let signature = key.sign(Context::SignVote, &[1; 32], b"payload");
    let verify = |context, network: u8, payload: &[u8]| {
        let digest = signing_digest(context, &[network; 32], payload);
        key.public_key().verify(&digest, &signature)
    };
    assert!(verify(Context::SignVote, 1, b"payload"));
    assert!(!verify(Context::SignRegistration, 1, b"payload"));
    assert!(!verify(Context::SignVote, 2, b"payload"));
    assert!(!verify(Context::SignVote, 1, b"payloaD"));
    let other = SigningKey::generate().unwrap().public_key();
    let digest = signing_digest(Context::SignVote, &[1; 32], b"payload");
    assert!(!other.verify(&digest, &signature));
}

#[test]
fn debug_shows_the_public_key_alone() {
    let key = SigningKey::from_seed(&[0xab; 32]);
    let shown = format!("{key:?}");
    assert!(shown.contains(&key.public_key().to_string()));
    assert!(!shown.contains("abab"));
}

#[test]
fn keys_that_may_not_enter_the_state_are_told_apart() {
    let check = |bytes: [u8; 32]| PublicKey::from_bytes(bytes).check_strict();
    for bytes in canonical_small_order() {
        assert_eq!(check(bytes), Err(KeyError::SmallOrder));
    }
    for bytes in non_canonical() {
        assert_eq!(check(bytes), Err(KeyError::NotCanonical));
    }
    // y = 2 belongs to no point: (y² − 1) / (d·y² + 1) is no square.
    let mut two = [0; 32];
    two[0] = 2;
    assert_eq!(check(two), Err(KeyError::NotAPoint));

    let honest = SigningKey::generate().unwrap().public_key();
    assert_eq!(honest.check_strict(), Ok(()));
    assert_eq!(honest.check_torsion_free(), Ok(()));
    let point = CompressedEdwardsY(honest.to_bytes()).decompress().unwrap();
    for torsion in &EIGHT_TORSION[1..] {
        let mixed = PublicKey::from_bytes((point + torsion).compress().to_bytes());
        assert_eq!(mixed.check_strict(), Ok(()));
        assert_eq!(mixed.check_torsion_free(), Err(KeyError::Torsion));
        assert_eq!(
            PublicKey::from_bytes(torsion.compress().to_bytes()).check_torsion_free(),
            Err(KeyError::SmallOrder)
        );
    }
}
