//! Ed25519: keys, signatures and which of them are valid.
//!
//! What is signed is never a message itself but a 32-byte digest of it: [`signing_digest`] binds the purpose and the
//! network. Verification follows ZIP 215, whose answer is the same one by one and in a batch for every input;
//! RFC 8032 leaves that open, and nodes that differed would fork. ZIP 215 admits keys of small order, for which anyone
//! can forge, therefore a key must pass [`PublicKey::check_strict`] before it is let into any state.

use curve25519_dalek::edwards::{CompressedEdwardsY, EdwardsPoint};
use curve25519_dalek::scalar::Scalar;
use curve25519_dalek::traits::IsIdentity as _;
use ed25519_dalek::Signer as _;
use ed25519_zebra::VerificationKey;
use sha2::{Digest as _, Sha512};
use zeroize::Zeroizing;

use super::{Context, Hash, Hasher, RandomError, random_bytes};
use crate::wire::fixed_bytes;

#[cfg(test)]
mod tests;

fixed_bytes! {
    /// An Ed25519 public key. The bytes alone promise nothing; see [`PublicKey::check_strict`].
    pub struct PublicKey([u8; 32]);
}

fixed_bytes! {
    /// An Ed25519 signature: R ‖ s.
    pub struct Signature([u8; 64]);
}

/// Why a public key may not be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The bytes encode no point of the curve.
    #[error("the public key is not a point of the curve")]
    NotAPoint,
    /// The bytes encode a point, but not in the one canonical way.
    #[error("the public key is not encoded canonically")]
    NotCanonical,
    /// A point of order 1, 2, 4 or 8: anyone can sign for it.
    #[error("the public key is of small order, so that anyone could sign for it")]
    SmallOrder,
    /// The point has a component of small order.
    #[error("the public key is outside the group of prime order")]
    Torsion,
}

/// What is signed: the hash, under the signing context, of `network_id` ‖ `payload`.
pub fn signing_digest(context: Context, network_id: &[u8; 32], payload: &[u8]) -> Hash {
    Hasher::new(context)
        .update(network_id)
        .update(payload)
        .finish()
}

impl PublicKey {
    /// Whether `signature` is one of this key over `digest`, by the rules of ZIP 215.
    pub fn verify(&self, digest: &Hash, signature: &Signature) -> bool {
        self.verify_message(digest.as_bytes(), signature)
    }

    fn verify_message(&self, message: &[u8], signature: &Signature) -> bool {
        VerificationKey::try_from(self.to_bytes())
            .and_then(|key| key.verify(&signature.to_bytes().into(), message))
            .is_ok()
    }

    /// Checks that the key is encoded canonically and is not of small order: what every key must be before it may
    /// stand for anybody.
    pub fn check_strict(&self) -> Result<(), KeyError> {
        self.checked().map(drop)
    }

    /// [`Self::check_strict`], giving what was decoded for it: a signature by the key needs the same.
    pub fn checked(&self) -> Result<CheckedKey, KeyError> {
        let point = self.strict_point()?;
        Ok(CheckedKey { key: *self, point })
    }

    /// [`Self::check_strict`], and that the key is in the group of prime order: what trustees' and finalisers' keys
    /// must be.
    pub fn check_torsion_free(&self) -> Result<(), KeyError> {
        if self.strict_point()?.is_torsion_free() {
            Ok(())
        } else {
            Err(KeyError::Torsion)
        }
    }

    /// Whether the encoding of a point is the canonical one: y is below 2^255 − 19, and the sign of x is not set where x
    /// is zero, which it is only at y = 1 and y = −1. Encoding the point anew would tell the same for the price of a
    /// field inversion.
    fn is_canonical(&self) -> bool {
        const ONE: [u8; 32] = {
            let mut bytes = [0; 32];
            bytes[0] = 1;
            bytes
        };
        const MINUS_ONE: [u8; 32] = {
            let mut bytes = [0xff; 32];
            bytes[0] = 0xec;
            bytes[31] = 0x7f;
            bytes
        };
        let mut y = self.to_bytes();
        let negative = y[31] & 0x80 != 0;
        y[31] &= 0x7f;
        let reduced = y[0] < 0xed || y[31] < 0x7f || y[1..31].iter().any(|byte| *byte != 0xff);
        reduced && !(negative && (y == ONE || y == MINUS_ONE))
    }

    fn strict_point(&self) -> Result<EdwardsPoint, KeyError> {
        let encoded = CompressedEdwardsY(self.to_bytes());
        let point = encoded.decompress().ok_or(KeyError::NotAPoint)?;
        if !self.is_canonical() {
            return Err(KeyError::NotCanonical);
        }
        if point.is_small_order() {
            return Err(KeyError::SmallOrder);
        }
        Ok(point)
    }
}

/// A key that passed [`PublicKey::check_strict`], decoded.
#[derive(Clone, Copy, Debug)]
pub struct CheckedKey {
    key: PublicKey,
    point: EdwardsPoint,
}

impl CheckedKey {
    /// The key.
    pub fn key(&self) -> &PublicKey {
        &self.key
    }
}

/// A signature and its statement, decoded and ready for the equation 8·(s·B) = 8·R + 8·(k·A) of ZIP 215.
pub(super) struct SignatureClaim {
    /// R.
    pub commitment: EdwardsPoint,
    /// k.
    pub challenge: Scalar,
    /// A.
    pub key: EdwardsPoint,
    /// s.
    pub response: Scalar,
}

impl SignatureClaim {
    /// Decodes; `None` if key or R is no point of the curve, in whichever encoding, or s is not canonical.
    pub(super) fn decode(key: &PublicKey, digest: &Hash, signature: &Signature) -> Option<Self> {
        let point = CompressedEdwardsY(key.to_bytes()).decompress()?;
        Self::with(key, point, digest, signature)
    }

    /// As [`Self::decode`], for a key that was decoded already.
    pub(super) fn of_checked(
        key: &CheckedKey,
        digest: &Hash,
        signature: &Signature,
    ) -> Option<Self> {
        Self::with(&key.key, key.point, digest, signature)
    }

    fn with(
        key: &PublicKey,
        point: EdwardsPoint,
        digest: &Hash,
        signature: &Signature,
    ) -> Option<Self> {
        let (commitment, response) = signature.as_bytes().split_at(32);
        let challenge = Sha512::new()
            .chain_update(commitment)
            .chain_update(key.as_bytes())
            .chain_update(digest.as_bytes())
            .finalize();
        Some(Self {
            commitment: CompressedEdwardsY(commitment.try_into().ok()?).decompress()?,
            challenge: Scalar::from_bytes_mod_order_wide(&challenge.into()),
            key: point,
            response: Scalar::from_canonical_bytes(response.try_into().ok()?).into_option()?,
        })
    }

    pub(super) fn holds(&self) -> bool {
        let expected = EdwardsPoint::vartime_double_scalar_mul_basepoint(
            &self.challenge,
            &-self.key,
            &self.response,
        );
        (self.commitment - expected).mul_by_cofactor().is_identity()
    }
}

/// An Ed25519 secret key. Wiped when dropped; its `Debug` form shows the public key only.
#[derive(Clone)]
pub struct SigningKey(ed25519_dalek::SigningKey);

impl SigningKey {
    /// A new key from the operating system's generator.
    pub fn generate() -> Result<Self, RandomError> {
        random_bytes().map(|seed| Self::from_seed(&seed))
    }

    /// The key of a 32-byte seed (the private key of RFC 8032).
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self(ed25519_dalek::SigningKey::from_bytes(seed))
    }

    /// The 32-byte seed.
    pub fn seed(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.0.to_bytes())
    }

    /// The public key.
    pub fn public_key(&self) -> PublicKey {
        PublicKey::from_bytes(self.0.verifying_key().to_bytes())
    }

    /// Signs `payload` for the purpose `context` in the network `network_id`.
    pub fn sign(&self, context: Context, network_id: &[u8; 32], payload: &[u8]) -> Signature {
        self.sign_digest(&signing_digest(context, network_id, payload))
    }

    /// Signs a digest made by [`signing_digest`].
    pub fn sign_digest(&self, digest: &Hash) -> Signature {
        self.sign_message(digest.as_bytes())
    }

    fn sign_message(&self, message: &[u8]) -> Signature {
        Signature::from_bytes(self.0.sign(message).to_bytes())
    }
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SigningKey(of {})", self.public_key())
    }
}
