//! Signatures on which implementations of Ed25519 disagree: the classes of Chalkias, Garillot and Nikolaenko, "Taming
//! the many EdDSAs" (2020), and the small-order matrix of ZIP 215, made here from their definitions.

use super::*;

fn message(number: u64) -> Hash {
    super::super::super::hash(Context::SignVote, &number.to_le_bytes())
}

fn scalar(number: u64) -> Scalar {
    let mut wide = [0; 64];
    super::super::super::xof(Context::RingSecret, &number.to_le_bytes(), &mut wide);
    Scalar::from_bytes_mod_order_wide(&wide)
}

fn encode(point: EdwardsPoint) -> [u8; 32] {
    point.compress().to_bytes()
}

/// A signature by s = r + k·a for any encodings of R and A, whatever their components of small order.
fn sign(r: Scalar, R: &[u8; 32], a: Scalar, A: &[u8; 32], message: &Hash) -> [u8; 64] {
    let k = challenge(R, A, message.as_ref());
    join(R, (r + k * a).as_bytes())
}

#[test]
fn the_small_order_matrix_is_all_valid() {
    let mut encodings = canonical_small_order();
    encodings.extend(non_canonical_small_order());
    assert_eq!(encodings.len(), 14);
    for (number, A) in encodings.iter().enumerate() {
        for R in &encodings {
            let message = message(number as u64);
            assert!(both(A, &message, &join(R, &[0; 32])));
            assert!(!both(A, &message, &join(R, Scalar::ONE.as_bytes())));
        }
    }
}

#[test]
fn components_of_small_order_do_not_count() {
    let (a, r) = (scalar(1), scalar(2));
    let mut only_with_cofactor = 0;
    for (i, T) in EIGHT_TORSION.iter().enumerate() {
        for (j, U) in EIGHT_TORSION.iter().enumerate() {
            let message = message((8 * i + j) as u64);
            // Key and R with the component; key of small order alone; R of small order alone.
            for (a, r) in [(a, r), (Scalar::ZERO, r), (a, Scalar::ZERO)] {
                let (A, R) = (encode(a * B + T), encode(r * B + U));
                let signature = sign(r, &R, a, &A, &message);
                assert!(both(&A, &message, &signature));
                assert!(zip215(&A, message.as_ref(), &signature));
                only_with_cofactor += usize::from(!cofactorless(&A, message.as_ref(), &signature));

                let mut wrong = signature;
                wrong[32] ^= 1;
                assert!(!both(&A, &message, &wrong));
            }
        }
    }
    // The cases mean something only if the other equation would refuse most of them.
    assert!(only_with_cofactor > 96);
}

#[test]
fn s_must_be_below_the_group_order() {
    // ℓ = 2^252 + 27742317777372353535851937790883648493, so that s + j·ℓ fits 256 bits for j up to 14.
    let order_minus_one = (-Scalar::ONE).to_bytes();
    let key = SigningKey::from_seed(&[3; 32]);
    let message = message(0);
    let signature = key.sign_digest(&message).to_bytes();
    let mut shifted: [u8; 32] = signature[32..].try_into().unwrap();
    assert!(both(key.public_key().as_bytes(), &message, &signature));
    for _ in 0..14 {
        let mut carry = 1u16;
        for (byte, order) in shifted.iter_mut().zip(order_minus_one) {
            carry += u16::from(*byte) + u16::from(order);
            *byte = carry as u8;
            carry >>= 8;
        }
        assert_eq!(carry, 0);
        let same_scalar = Scalar::from_bytes_mod_order(shifted).to_bytes();
        assert_eq!(same_scalar, signature[32..]);
        let R: [u8; 32] = signature[..32].try_into().unwrap();
        assert!(!both(
            key.public_key().as_bytes(),
            &message,
            &join(&R, &shifted)
        ));
    }
}

#[test]
fn encodings_are_hashed_as_they_came() {
    let (a, r) = (scalar(1), scalar(2));
    let honest_A = encode(a * B);
    let honest_R = encode(r * B);
    for (number, odd) in non_canonical_small_order().iter().enumerate() {
        let message = message(number as u64);
        let tidy = encode(CompressedEdwardsY(*odd).decompress().unwrap());
        assert_ne!(tidy, *odd);

        // R odd: valid as signed, invalid once R is written canonically, since k differs.
        let signature = sign(Scalar::ZERO, odd, a, &honest_A, &message);
        assert!(both(&honest_A, &message, &signature));
        let s: [u8; 32] = signature[32..].try_into().unwrap();
        assert!(!both(&honest_A, &message, &join(&tidy, &s)));

        // A odd: of small order, k does not matter, valid under either encoding.
        let signature = sign(r, &honest_R, Scalar::ZERO, odd, &message);
        assert!(both(odd, &message, &signature));
        assert!(both(&tidy, &message, &signature));
    }
}

#[test]
fn what_decodes_to_no_point_is_invalid() {
    let mut none = [0; 32];
    none[0] = 2;
    assert!(CompressedEdwardsY(none).decompress().is_none());
    let (message, zero) = (message(0), Scalar::ZERO.to_bytes());
    let identity = encode(EIGHT_TORSION[0]);
    assert!(
        CompressedEdwardsY(identity)
            .decompress()
            .unwrap()
            .is_identity()
    );
    assert!(both(&identity, &message, &join(&identity, &zero)));
    assert!(!both(&none, &message, &join(&identity, &zero)));
    assert!(!both(&identity, &message, &join(&none, &zero)));
}
