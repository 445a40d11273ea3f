//! `signatures.json` and `ring_proofs.json`: good ones, bad ones, and those on which implementations disagree.

use curve25519_dalek::constants::{ED25519_BASEPOINT_POINT as B, EIGHT_TORSION};
use curve25519_dalek::edwards::{CompressedEdwardsY, EdwardsPoint};
use curve25519_dalek::ristretto::RistrettoPoint;
use curve25519_dalek::scalar::Scalar;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha512};
use votenode::crypto::{
    BatchVerifier, Context, Hash, KeyError, PublicKey, RingBatchVerifier, RingKey, RingKeyError,
    RingProof, Signature, signing_digest, xof,
};

use crate::samples;
use crate::vectors::{hex, settle};

/// ℓ, the order of the basepoint, little-endian.
const ORDER: [u8; 32] = [
    0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
];

fn scalar(number: u8) -> Scalar {
    let mut wide = [0; 64];
    xof(Context::RingSecret, &[number], &mut wide);
    Scalar::from_bytes_mod_order_wide(&wide)
}

fn encode(point: EdwardsPoint) -> [u8; 32] {
    point.compress().to_bytes()
}

fn join(left: &[u8; 32], right: &[u8; 32]) -> [u8; 64] {
    [left.as_slice(), right].concat().try_into().unwrap()
}

/// s = r + k·a for any encodings of R and A.
fn sign(r: Scalar, r_bytes: &[u8; 32], a: Scalar, a_bytes: &[u8; 32], digest: &Hash) -> [u8; 64] {
    let mut sha = Sha512::new();
    sha.update(r_bytes);
    sha.update(a_bytes);
    sha.update(digest);
    let k = Scalar::from_bytes_mod_order_wide(&sha.finalize().into());
    join(r_bytes, (r + k * a).as_bytes())
}

/// The sum of two little-endian numbers that fits.
fn add(left: &[u8; 32], right: &[u8; 32]) -> [u8; 32] {
    let mut carry = 0u16;
    std::array::from_fn(|index| {
        carry = (carry >> 8) + u16::from(left[index]) + u16::from(right[index]);
        carry as u8
    })
}

fn top_bit(mut bytes: [u8; 32]) -> [u8; 32] {
    bytes[31] |= 0x80;
    bytes
}

fn canonical_small_order() -> Vec<[u8; 32]> {
    EIGHT_TORSION.iter().map(|point| encode(*point)).collect()
}

/// The encodings of points of small order that are not the canonical ones: y + p, or the sign of x = 0 set.
fn non_canonical_small_order() -> Vec<[u8; 32]> {
    let mut high = [0xff; 32];
    let mut candidates = Vec::new();
    for low in [0xed, 0xee] {
        high[0] = low;
        for top in [0x7f, 0xff] {
            high[31] = top;
            candidates.push(high);
        }
    }
    let mut one = [0; 32];
    (one[0], one[31]) = (1, 0x80);
    let mut minus_one = [0xff; 32];
    minus_one[0] = 0xec;
    candidates.extend([one, minus_one]);
    for candidate in &candidates {
        let point = CompressedEdwardsY(*candidate).decompress().unwrap();
        assert!(point.is_small_order() && encode(point) != *candidate);
    }
    candidates
}

fn flaw(key: &PublicKey) -> Value {
    match key.check_strict() {
        Ok(()) => Value::Null,
        Err(KeyError::NotAPoint) => "not_a_point".into(),
        Err(KeyError::NotCanonical) => "not_canonical".into(),
        Err(KeyError::SmallOrder) => "small_order".into(),
        Err(KeyError::Torsion) => unreachable!("only asked of trustees and finalisers"),
    }
}

/// A case with the verdicts of this code, which are those of singles and of batches.
fn case(
    name: String,
    key: &[u8; 32],
    digest: &Hash,
    signature: &[u8; 64],
    expected: bool,
) -> Value {
    let key = PublicKey::from_bytes(*key);
    let signature = Signature::from_bytes(*signature);
    let valid = key.verify(digest, &signature);
    let mut batch = BatchVerifier::new();
    batch.push(&key, digest, &signature);
    batch.push(&key, digest, &signature);
    assert_eq!(batch.verify(&[0; 32]), [valid, valid], "{name}");
    assert_eq!(valid, expected, "{name}");
    json!({
        "name": name,
        "key": hex(key),
        "digest": hex(digest),
        "signature": hex(signature),
        "valid": valid,
        "key_flaw": flaw(&key),
        "torsion_free": key.check_torsion_free().is_ok(),
    })
}

fn signature_cases() -> Vec<Value> {
    let digest = signing_digest(Context::SignVote, samples::network().as_bytes(), b"payload");
    let other = signing_digest(
        Context::SignElection,
        samples::network().as_bytes(),
        b"payload",
    );
    let honest = samples::key(1);
    let key = honest.public_key().to_bytes();
    let good = honest.sign_digest(&digest).to_bytes();
    let good_s: [u8; 32] = good[32..].try_into().unwrap();
    let good_r: [u8; 32] = good[..32].try_into().unwrap();
    let changed = |at: usize| {
        let mut bytes = good;
        bytes[at] ^= 1;
        bytes
    };
    let mut cases = vec![
        case("honest".into(), &key, &digest, &good, true),
        case("over another digest".into(), &key, &other, &good, false),
        case(
            "by another key".into(),
            samples::key(2).public_key().as_bytes(),
            &digest,
            &good,
            false,
        ),
        case("R changed".into(), &key, &digest, &changed(0), false),
        case("s changed".into(), &key, &digest, &changed(32), false),
        case(
            "s + ℓ".into(),
            &key,
            &digest,
            &join(&good_r, &add(&good_s, &ORDER)),
            false,
        ),
        case(
            "s with its top bit set".into(),
            &key,
            &digest,
            &join(&good_r, &top_bit(good_s)),
            false,
        ),
        case(
            "s = ℓ where 0 is valid".into(),
            &encode(EIGHT_TORSION[1]),
            &digest,
            &join(&encode(EIGHT_TORSION[2]), &ORDER),
            false,
        ),
        case(
            "all zeros by an honest key".into(),
            &key,
            &digest,
            &[0; 64],
            false,
        ),
        case(
            "key that is no point".into(),
            &no_point(),
            &digest,
            &good,
            false,
        ),
        case(
            "R that is no point".into(),
            &key,
            &digest,
            &join(&no_point(), &good_s),
            false,
        ),
    ];
    // Components of small order in A, in R, in both: the cofactor removes them.
    let (a, r) = (scalar(1), scalar(2));
    for (torsion, component) in EIGHT_TORSION.iter().enumerate() {
        let (a_bytes, r_bytes) = (encode(a * B + component), encode(r * B + EIGHT_TORSION[3]));
        let signature = sign(r, &r_bytes, a, &a_bytes, &digest);
        cases.push(case(
            format!("A with component {torsion}, R with component 3"),
            &a_bytes,
            &digest,
            &signature,
            true,
        ));
        let honest_a = encode(a * B);
        let r_bytes = encode(r * B + component);
        let signature = sign(r, &r_bytes, a, &honest_a, &digest);
        cases.push(case(
            format!("R with component {torsion}"),
            &honest_a,
            &digest,
            &signature,
            true,
        ));
    }
    // Every pair of encodings of points of small order: valid with s = 0, whoever made it.
    let mut encodings = canonical_small_order();
    encodings.extend(non_canonical_small_order());
    for (i, a_bytes) in encodings.iter().enumerate() {
        for (j, r_bytes) in encodings.iter().enumerate() {
            let name = format!("small order {i}, {j}");
            cases.push(case(name, a_bytes, &digest, &join(r_bytes, &[0; 32]), true));
        }
    }
    cases
}

/// The first y for which there is no x.
fn no_point() -> [u8; 32] {
    (2..=255)
        .map(|low| {
            let mut bytes = [0; 32];
            bytes[0] = low;
            bytes
        })
        .find(|bytes| CompressedEdwardsY(*bytes).decompress().is_none())
        .unwrap()
}

#[test]
fn signatures_follow_zip_215() {
    settle(
        "signatures.json",
        &json!({
            "about": "Ed25519 over a digest by README §3. key_flaw: why the key may not enter the state (null: it may), \
                      whatever the signature; torsion_free: whether it may be a finaliser's or trustee's.",
            "vectors": signature_cases(),
        }),
    );
}

fn proof_case(
    name: &str,
    network: &[u8; 32],
    voter: &PublicKey,
    key: [u8; 32],
    proof: [u8; 64],
    expected: bool,
) -> Value {
    let (key, proof) = (RingKey::from_bytes(key), RingProof::from_bytes(proof));
    let valid = proof.verify(network, voter, &key);
    let mut batch = RingBatchVerifier::new(network);
    batch.push(voter, &key, &proof);
    batch.push(voter, &key, &proof);
    assert_eq!(batch.verify(&[0; 32]), [valid, valid], "{name}");
    assert_eq!(valid, expected, "{name}");
    json!({
        "name": name,
        "network": hex(network),
        "voter": hex(voter),
        "ring_key": hex(key),
        "ring_proof": hex(proof),
        "valid": valid,
        "key_flaw": match key.check() {
            Ok(()) => Value::Null,
            Err(RingKeyError::NotCanonical) => "not_canonical".into(),
            Err(RingKeyError::Identity) => "identity".into(),
        },
    })
}

#[test]
fn ring_proofs_show_that_the_secret_is_known() {
    let network = samples::network().to_bytes();
    let voter = samples::voter(1);
    let key = voter.signing_key().public_key();
    let (ring_key, proof) = samples::ring(&voter);
    let (ring_key, proof) = (ring_key.to_bytes(), proof.to_bytes());
    let other_ring = samples::ring(&samples::voter(2)).0.to_bytes();
    let commitment: [u8; 32] = proof[..32].try_into().unwrap();
    let response: [u8; 32] = proof[32..].try_into().unwrap();
    let changed = |at: usize| {
        let mut bytes = proof;
        bytes[at] ^= 2;
        bytes
    };
    // With the identity as the key, R = s·G holds whatever the challenge.
    let free = (
        RistrettoPoint::mul_base(&Scalar::ONE).compress().to_bytes(),
        Scalar::ONE.to_bytes(),
    );
    let negative = {
        let mut bytes = [0; 32];
        bytes[0] = 1;
        bytes
    };
    let above = [0xff; 32];
    let order_pair = add(&response, &ORDER);

    let vectors = [
        proof_case("honest", &network, &key, ring_key, proof, true),
        proof_case(
            "for another network",
            &[7; 32],
            &key,
            ring_key,
            proof,
            false,
        ),
        proof_case(
            "for another voter",
            &network,
            &samples::key(9).public_key(),
            ring_key,
            proof,
            false,
        ),
        proof_case(
            "for another ring key",
            &network,
            &key,
            other_ring,
            proof,
            false,
        ),
        proof_case("R changed", &network, &key, ring_key, changed(0), false),
        proof_case("s changed", &network, &key, ring_key, changed(32), false),
        proof_case(
            "s + ℓ",
            &network,
            &key,
            ring_key,
            join(&commitment, &order_pair),
            false,
        ),
        proof_case("all zeros", &network, &key, ring_key, [0; 64], false),
        proof_case(
            "the identity as ring key",
            &network,
            &key,
            [0; 32],
            join(&free.0, &free.1),
            false,
        ),
        proof_case("negative ring key", &network, &key, negative, proof, false),
        proof_case(
            "ring key above the field",
            &network,
            &key,
            above,
            proof,
            false,
        ),
        proof_case(
            "R above the field",
            &network,
            &key,
            ring_key,
            join(&above, &response),
            false,
        ),
        proof_case(
            "Ed25519 key as ring key",
            &network,
            &key,
            key.to_bytes(),
            proof,
            false,
        ),
    ];
    settle(
        "ring_proofs.json",
        &json!({
            "about": "Proofs of possession of ring keys by README §4. key_flaw: why the ring key may not enter the state.",
            "vectors": vectors,
        }),
    );
}
