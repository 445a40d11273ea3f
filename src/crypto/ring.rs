//! Ring keys: Ristretto keys for anonymous elections, and the proof that their owner knows the secret.
//!
//! A ring key is x·G with G the standard Ristretto basepoint, which is also the generator of verification keys in
//! the ring signatures. It is registered with a Schnorr proof of possession R ‖ s: R = r·G,
//! c = the 64-byte hash of network_id ‖ voter key ‖ ring key ‖ R reduced modulo the group order ℓ, s = r + c·x; valid
//! if s is canonical, R and the key K are canonical encodings, K is not the identity, and s·G = R + c·K. The group
//! has no cofactor, so one by one and in a batch every proof gets the same answer.

use curve25519_dalek::ristretto::{CompressedRistretto, RistrettoPoint};
use curve25519_dalek::scalar::Scalar;
use curve25519_dalek::traits::IsIdentity as _;
use zeroize::{Zeroize as _, Zeroizing};

use super::hash::derive_secret;
use super::{Context, Hasher, PublicKey};
use crate::wire::fixed_bytes;

#[cfg(test)]
mod tests;

fixed_bytes! {
    /// A ring key: a Ristretto encoding. The bytes alone promise nothing; see [`RingKey::check`].
    pub struct RingKey([u8; 32]);
}

fixed_bytes! {
    /// Proof that whoever registered a ring key knows its secret: R ‖ s.
    pub struct RingProof([u8; 64]);
}

/// Why a ring key may not be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RingKeyError {
    /// Not the canonical encoding of a Ristretto element.
    #[error("the ring key is not a canonical Ristretto encoding")]
    NotCanonical,
    /// The identity, whose secret everybody knows.
    #[error("the ring key is the identity")]
    Identity,
}

impl RingKey {
    /// Checks that the key is a canonical encoding and not the identity.
    pub fn check(&self) -> Result<(), RingKeyError> {
        self.checked().map(drop)
    }

    /// [`Self::check`], giving what was decoded for it: the proof of possession needs the same.
    pub fn checked(&self) -> Result<CheckedRingKey, RingKeyError> {
        let point = CompressedRistretto(self.to_bytes())
            .decompress()
            .ok_or(RingKeyError::NotCanonical)?;
        if point.is_identity() {
            return Err(RingKeyError::Identity);
        }
        Ok(CheckedRingKey { key: *self, point })
    }
}

/// A ring key that passed [`RingKey::checked`], decoded.
#[derive(Clone, Copy, Debug)]
pub struct CheckedRingKey {
    key: RingKey,
    point: RistrettoPoint,
}

impl CheckedRingKey {
    /// The key.
    pub fn key(&self) -> &RingKey {
        &self.key
    }
}

/// A proof and its statement, decoded and ready for the equation s·G = R + c·K.
pub(super) struct Claim {
    /// R.
    pub commitment: RistrettoPoint,
    /// c.
    pub challenge: Scalar,
    /// K.
    pub key: RistrettoPoint,
    /// s.
    pub response: Scalar,
}

impl Claim {
    pub(super) fn holds(&self) -> bool {
        RistrettoPoint::vartime_double_scalar_mul_basepoint(
            &self.challenge,
            &-self.key,
            &self.response,
        ) == self.commitment
    }
}

impl RingProof {
    /// Whether this proves, in the network `network_id`, that the owner of `voter_key` knows the secret of `ring_key`.
    pub fn verify(&self, network_id: &[u8; 32], voter_key: &PublicKey, ring_key: &RingKey) -> bool {
        ring_key
            .checked()
            .ok()
            .and_then(|ring_key| self.claim(network_id, voter_key, &ring_key))
            .is_some_and(|claim| claim.holds())
    }

    /// Decodes; `None` if an encoding is not canonical.
    pub(super) fn claim(
        &self,
        network_id: &[u8; 32],
        voter_key: &PublicKey,
        ring_key: &CheckedRingKey,
    ) -> Option<Claim> {
        let (commitment, response) = self.as_bytes().split_at(32);
        let commitment = CompressedRistretto(commitment.try_into().ok()?);
        Some(Claim {
            key: ring_key.point,
            response: Scalar::from_canonical_bytes(response.try_into().ok()?).into_option()?,
            challenge: challenge(network_id, voter_key, &ring_key.key, &commitment),
            commitment: commitment.decompress()?,
        })
    }
}

fn challenge(
    network_id: &[u8; 32],
    voter_key: &PublicKey,
    ring_key: &RingKey,
    commitment: &CompressedRistretto,
) -> Scalar {
    let mut wide = [0; 64];
    Hasher::new(Context::RingProofChallenge)
        .update(network_id)
        .update(voter_key.as_bytes())
        .update(ring_key.as_bytes())
        .update(commitment.as_bytes())
        .finish_xof()
        .fill(&mut wide);
    Scalar::from_bytes_mod_order_wide(&wide)
}

/// The secret of a ring key, a scalar other than zero. Wiped when dropped.
pub struct RingSecret {
    scalar: Scalar,
    key: RingKey,
}

impl RingSecret {
    /// The secret that 64 uniform bytes give: the little-endian number reduced modulo ℓ. Zero, which uniform bytes
    /// never meet, gives one, so that the key is never the identity.
    pub fn from_uniform_bytes(bytes: &[u8; 64]) -> Self {
        let mut scalar = Scalar::from_bytes_mod_order_wide(bytes);
        if scalar == Scalar::ZERO {
            scalar = Scalar::ONE;
        }
        let key = RingKey::from_bytes(RistrettoPoint::mul_base(&scalar).compress().to_bytes());
        Self { scalar, key }
    }

    /// The ring key.
    pub fn ring_key(&self) -> RingKey {
        self.key
    }

    /// The secret as a canonical little-endian scalar, for the ring signature.
    pub fn scalar_bytes(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.scalar.to_bytes())
    }

    /// Proves to the network `network_id` that the owner of `voter_key` knows this secret.
    ///
    /// The nonce is derived from the secret and the statement, so that a bad generator reveals nothing; `hedge` is
    /// fresh randomness that also enters it (against faults), or zeros.
    pub fn prove(
        &self,
        network_id: &[u8; 32],
        voter_key: &PublicKey,
        hedge: &[u8; 32],
    ) -> RingProof {
        let wide = derive_secret(
            Context::RingProofNonce,
            &[
                self.scalar_bytes().as_slice(),
                network_id,
                voter_key.as_bytes(),
                self.key.as_bytes(),
                hedge,
            ],
        );
        let nonce = Zeroizing::new(Scalar::from_bytes_mod_order_wide(&wide));
        let commitment = RistrettoPoint::mul_base(&nonce).compress();
        let challenge = challenge(network_id, voter_key, &self.key, &commitment);
        let response = *nonce + challenge * self.scalar;

        let mut proof = [0; 64];
        proof[..32].copy_from_slice(commitment.as_bytes());
        proof[32..].copy_from_slice(response.as_bytes());
        RingProof::from_bytes(proof)
    }
}

impl Drop for RingSecret {
    fn drop(&mut self) {
        self.scalar.zeroize();
    }
}

impl std::fmt::Debug for RingSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RingSecret(of {})", self.key)
    }
}
