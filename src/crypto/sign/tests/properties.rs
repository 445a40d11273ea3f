//! A batch answers like singles, and singles like ZIP 215, for whatever is thrown at them.

use super::*;

#[derive(Clone, Debug)]
enum Damage {
    None,
    Bit(usize),
    Torsion(usize),
    SmallOrder(usize, usize),
    Noise([u8; 32]),
    ShiftedResponse(bool),
}

fn damage() -> impl Strategy<Value = Damage> {
    prop_oneof![
        12 => Just(Damage::None),
        3 => (0usize..128 * 8).prop_map(Damage::Bit),
        2 => (0usize..8).prop_map(Damage::Torsion),
        1 => (0usize..14, 0usize..14).prop_map(|(a, r)| Damage::SmallOrder(a, r)),
        1 => any::<[u8; 32]>().prop_map(Damage::Noise),
        1 => any::<bool>().prop_map(Damage::ShiftedResponse),
    ]
}

/// Key, digest and signature of one claim.
fn claim(signer: u8, text: u8, damage: &Damage) -> ([u8; 32], [u8; 32], [u8; 64]) {
    let secret = SigningKey::from_seed(&[signer; 32]);
    let mut key = secret.public_key().to_bytes();
    let mut digest = signing_digest(Context::SignVote, &[0; 32], &[text]).to_bytes();
    let mut signature = secret.sign_digest(&Hash::from_bytes(digest)).to_bytes();
    match damage {
        Damage::None => {}
        Damage::Bit(bit) => {
            let (byte, mask) = (bit / 8, 1 << (bit % 8));
            match byte {
                0..32 => key[byte] ^= mask,
                32..64 => digest[byte - 32] ^= mask,
                _ => signature[byte - 64] ^= mask,
            }
        }
        Damage::Torsion(index) => {
            // Valid only where k·T and the untouched s happen to agree up to the cofactor: the hash changes.
            let point = CompressedEdwardsY(key).decompress().unwrap() + EIGHT_TORSION[*index];
            key = point.compress().to_bytes();
        }
        Damage::SmallOrder(a, r) => {
            let mut all = canonical_small_order();
            all.extend(non_canonical_small_order());
            key = all[*a];
            signature = join(&all[*r], &[0; 32]);
        }
        Damage::Noise(noise) => signature[..32].copy_from_slice(noise),
        Damage::ShiftedResponse(up) => {
            let s = Scalar::from_canonical_bytes(signature[32..].try_into().unwrap()).unwrap();
            let s = if *up {
                s + Scalar::ONE
            } else {
                s - Scalar::ONE
            };
            signature[32..].copy_from_slice(s.as_bytes());
        }
    }
    (key, digest, signature)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn a_batch_answers_like_singles_and_like_the_rule(
        seed in any::<[u8; 32]>(),
        claims in prop::collection::vec((0u8..40, any::<u8>(), damage()), 0..100),
    ) {
        let mut batch = BatchVerifier::new();
        let mut singles = Vec::new();
        for (signer, text, damage) in &claims {
            let (key, digest, signature) = claim(*signer, *text, damage);
            let single = PublicKey::from_bytes(key)
                .verify(&Hash::from_bytes(digest), &Signature::from_bytes(signature));
            prop_assert_eq!(single, zip215(&key, &digest, &signature));
            singles.push(single);
            batch.push(&PublicKey::from_bytes(key), &Hash::from_bytes(digest), &Signature::from_bytes(signature));
        }
        prop_assert_eq!(batch.len(), claims.len());
        prop_assert_eq!(batch.verify(&seed), singles);
    }
}

#[test]
fn errors_that_cancel_out_do_not_pass_a_batch() {
    let mut batch = BatchVerifier::new();
    for damage in [
        Damage::ShiftedResponse(true),
        Damage::ShiftedResponse(false),
        Damage::None,
    ] {
        let (key, digest, signature) = claim(1, 1, &damage);
        batch.push(
            &PublicKey::from_bytes(key),
            &Hash::from_bytes(digest),
            &Signature::from_bytes(signature),
        );
    }
    assert_eq!(batch.verify(&[0; 32]), [false, false, true]);
}

#[test]
fn an_empty_batch_has_no_verdicts() {
    let batch = BatchVerifier::default();
    assert!(batch.is_empty());
    assert!(batch.verify(&[0; 32]).is_empty());
}
