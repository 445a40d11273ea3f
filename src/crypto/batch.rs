//! Verification of many signatures or ring-key proofs at once.
//!
//! A batch gives each item the verdict that the item would get alone, whatever the input: the whole is checked with
//! one multiscalar multiplication, if that fails in groups of [`GROUP`], and in a group that fails one by one. A
//! single bad item among a thousand costs about two and a half times the good batch; nothing but bad items costs
//! about twice what it would cost to check each alone.
//!
//! The coefficients of the random linear combination are a hash of everything in the batch and a seed that the caller
//! brings. With a seed from the operating system nobody can aim at them; with a fixed one (a simulation) they are
//! still those of the Fiat–Shamir heuristic. Verdicts do not depend on the seed except with probability 2^-128.

use std::iter::once;
use std::ops::Range;

use curve25519_dalek::constants::{ED25519_BASEPOINT_POINT, RISTRETTO_BASEPOINT_POINT};
use curve25519_dalek::edwards::EdwardsPoint;
use curve25519_dalek::ristretto::RistrettoPoint;
use curve25519_dalek::scalar::Scalar;
use curve25519_dalek::traits::{IsIdentity as _, VartimeMultiscalarMul as _};

use super::ring::Claim;
use super::sign::SignatureClaim;
use super::{
    CheckedKey, CheckedRingKey, Context, Hash, Hasher, PublicKey, RingKey, RingProof, Signature,
};

/// Items that are checked together when the whole batch has failed: large enough that a group of good items costs
/// half of singles, small enough that one bad item sends few others to be checked alone.
const GROUP: usize = 32;

/// Verifies many Ed25519 signatures over digests, by the rules of ZIP 215.
///
/// The equation is the one of `ed25519-zebra`, which verifies single signatures here. It is written out so that a key
/// that was decoded for its check ([`PublicKey::checked`]) is not decoded again, which is a seventh of a signature.
pub struct BatchVerifier {
    claims: Vec<Option<SignatureClaim>>,
    transcript: Vec<u8>,
}

impl BatchVerifier {
    /// An empty batch.
    pub fn new() -> Self {
        Self {
            claims: Vec::new(),
            transcript: Vec::new(),
        }
    }

    /// Adds the claim that `signature` is one of `key` over `digest` (see [`super::signing_digest`]).
    pub fn push(&mut self, key: &PublicKey, digest: &Hash, signature: &Signature) {
        self.absorb(key, digest, signature);
        self.claims
            .push(SignatureClaim::decode(key, digest, signature));
    }

    /// As [`Self::push`], for a key that was decoded already.
    pub fn push_checked(&mut self, key: &CheckedKey, digest: &Hash, signature: &Signature) {
        self.absorb(key.key(), digest, signature);
        self.claims
            .push(SignatureClaim::of_checked(key, digest, signature));
    }

    fn absorb(&mut self, key: &PublicKey, digest: &Hash, signature: &Signature) {
        self.transcript.extend(key.as_bytes());
        self.transcript.extend(digest.as_bytes());
        self.transcript.extend(signature.as_bytes());
    }

    /// Number of claims.
    pub fn len(&self) -> usize {
        self.claims.len()
    }

    /// Whether there are no claims.
    pub fn is_empty(&self) -> bool {
        self.claims.is_empty()
    }

    /// The verdict on each claim, in the order in which they were pushed.
    pub fn verify(self, seed: &[u8; 32]) -> Vec<bool> {
        let Self { claims, transcript } = self;
        let alone = SignatureClaim::holds;
        decided(claims, &transcript, seed, alone, signatures_hold)
    }
}

impl Default for BatchVerifier {
    fn default() -> Self {
        Self::new()
    }
}

/// Verifies many proofs of possession of ring keys.
pub struct RingBatchVerifier {
    network_id: [u8; 32],
    claims: Vec<Option<Claim>>,
    transcript: Vec<u8>,
}

impl RingBatchVerifier {
    /// An empty batch of proofs made for the network `network_id`.
    pub fn new(network_id: &[u8; 32]) -> Self {
        Self {
            network_id: *network_id,
            claims: Vec::new(),
            transcript: network_id.to_vec(),
        }
    }

    /// Adds the claim that `proof` shows that the owner of `voter_key` knows the secret of `ring_key`.
    pub fn push(&mut self, voter_key: &PublicKey, ring_key: &RingKey, proof: &RingProof) {
        match ring_key.checked() {
            Ok(checked) => self.push_checked(voter_key, &checked, proof),
            Err(_) => self.claims.push(None),
        }
    }

    /// As [`Self::push`], for a ring key that was decoded already.
    pub fn push_checked(
        &mut self,
        voter_key: &PublicKey,
        ring_key: &CheckedRingKey,
        proof: &RingProof,
    ) {
        self.transcript.extend(voter_key.as_bytes());
        self.transcript.extend(ring_key.key().as_bytes());
        self.transcript.extend(proof.as_bytes());
        self.claims
            .push(proof.claim(&self.network_id, voter_key, ring_key));
    }

    /// Number of claims.
    pub fn len(&self) -> usize {
        self.claims.len()
    }

    /// Whether there are no claims.
    pub fn is_empty(&self) -> bool {
        self.claims.is_empty()
    }

    /// The verdict on each claim, in the order in which they were pushed.
    pub fn verify(self, seed: &[u8; 32]) -> Vec<bool> {
        decided(
            self.claims,
            &self.transcript,
            seed,
            Claim::holds,
            proofs_hold,
        )
    }
}

/// The verdict on each claim, where `holds` tells whether one holds and `all_hold` whether all of some do; `None` is a
/// claim that could not be decoded.
fn decided<C>(
    claims: Vec<Option<C>>,
    transcript: &[u8],
    seed: &[u8; 32],
    holds: impl Fn(&C) -> bool,
    all_hold: impl Fn(&[&C], &mut Coefficients) -> bool,
) -> Vec<bool> {
    let mut coefficients = Coefficients::new(transcript, seed);
    // What cannot be decoded is refused without dragging the rest out of the batch.
    let decoded: Vec<&C> = claims.iter().flatten().collect();
    let mut answers = verdicts(decoded.len(), |range| match &decoded[range] {
        [claim] => holds(claim),
        claims => all_hold(claims, &mut coefficients),
    })
    .into_iter();
    claims
        .iter()
        .map(|claim| claim.is_some() && answers.next() == Some(true))
        .collect()
}

/// Whether 8·Σ zᵢ·(Rᵢ + kᵢ·Aᵢ − sᵢ·B) is the identity for random zᵢ of 128 bits.
fn signatures_hold(claims: &[&SignatureClaim], coefficients: &mut Coefficients) -> bool {
    let equation = claims.iter().map(|claim| (claim.challenge, claim.response));
    let scalars = coefficients.combine(equation);
    let points = once(&ED25519_BASEPOINT_POINT)
        .chain(claims.iter().map(|claim| &claim.commitment))
        .chain(claims.iter().map(|claim| &claim.key));
    EdwardsPoint::vartime_multiscalar_mul(scalars, points)
        .mul_by_cofactor()
        .is_identity()
}

/// Whether Σ zᵢ·(Rᵢ + cᵢ·Kᵢ − sᵢ·G) is the identity for random zᵢ of 128 bits.
fn proofs_hold(claims: &[&Claim], coefficients: &mut Coefficients) -> bool {
    let equation = claims.iter().map(|claim| (claim.challenge, claim.response));
    let scalars = coefficients.combine(equation);
    let points = once(&RISTRETTO_BASEPOINT_POINT)
        .chain(claims.iter().map(|claim| &claim.commitment))
        .chain(claims.iter().map(|claim| &claim.key));
    RistrettoPoint::vartime_multiscalar_mul(scalars, points).is_identity()
}

/// The verdict on each of `count` items, where `all_valid` tells whether all of a range are valid. On a range of one
/// it must answer for the item alone.
fn verdicts(count: usize, mut all_valid: impl FnMut(Range<usize>) -> bool) -> Vec<bool> {
    if count == 0 || all_valid(0..count) {
        return vec![true; count];
    }
    if count == 1 {
        return vec![false];
    }
    let mut answers = Vec::with_capacity(count);
    for start in (0..count).step_by(GROUP) {
        let group = start..count.min(start + GROUP);
        // A batch of one group was refused above already.
        if group.len() < count && group.len() > 1 && all_valid(group.clone()) {
            answers.extend(group.map(|_| true));
        } else {
            answers.extend(group.map(|index| all_valid(index..index + 1)));
        }
    }
    answers
}

/// The stream of batch coefficients: the extended output of the hash of all claims and the seed.
struct Coefficients(blake3::OutputReader);

impl Coefficients {
    /// `transcript` holds all claims. It is hashed in one piece, for which BLAKE3 uses the processor's vectors.
    fn new(transcript: &[u8], seed: &[u8; 32]) -> Self {
        let mut hasher = Hasher::new(Context::BatchCoefficients);
        Self(hasher.update(transcript).update(seed).finish_xof())
    }

    /// The scalars of the combined equation of claims with these challenges and responses: −Σ zᵢ·sᵢ of the basepoint,
    /// then zᵢ of every commitment, then zᵢ·cᵢ of every key.
    fn combine(&mut self, claims: impl ExactSizeIterator<Item = (Scalar, Scalar)>) -> Vec<Scalar> {
        let count = claims.len();
        let mut scalars = vec![Scalar::ZERO; 1 + 2 * count];
        for (index, (challenge, response)) in claims.enumerate() {
            let z = self.next_scalar();
            scalars[0] -= z * response;
            scalars[1 + index] = z;
            scalars[1 + count + index] = z * challenge;
        }
        scalars
    }

    fn next_scalar(&mut self) -> Scalar {
        let mut bytes = [0; 16];
        self.0.fill(&mut bytes);
        Scalar::from(u128::from_le_bytes(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verdicts_are_those_of_singles_for_every_size_and_place() {
        for count in [0, 1, 2, GROUP - 1, GROUP, GROUP + 1, 3 * GROUP + 1] {
            for bad in 0..count {
                let valid: Vec<bool> = (0..count).map(|i| i != bad && i != count / 2).collect();
                let got = verdicts(count, |range| valid[range].iter().all(|v| *v));
                assert_eq!(got, valid);
            }
            assert_eq!(verdicts(count, |_| true), vec![true; count]);
        }
    }
}
