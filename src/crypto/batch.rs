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

use std::convert::Infallible;
use std::ops::Range;

use curve25519_dalek::constants::RISTRETTO_BASEPOINT_POINT;
use curve25519_dalek::ristretto::RistrettoPoint;
use curve25519_dalek::scalar::Scalar;
use curve25519_dalek::traits::{IsIdentity as _, VartimeMultiscalarMul as _};
use ed25519_zebra::batch;
use rand_core::{TryCryptoRng, TryRng};

use super::ring::Claim;
use super::{Context, Hash, Hasher, PublicKey, RingKey, RingProof, Signature};

/// Items that are checked together when the whole batch has failed: large enough that a group of good items costs
/// half of singles, small enough that one bad item sends few others to be checked alone.
const GROUP: usize = 32;

/// Verifies many Ed25519 signatures over digests, by the rules of ZIP 215.
pub struct BatchVerifier {
    items: Vec<batch::Item>,
    transcript: Hasher,
}

impl BatchVerifier {
    /// An empty batch.
    pub fn new() -> Self {
        Self {
            items: Vec::new(),
            transcript: Hasher::new(Context::BatchCoefficients),
        }
    }

    /// Adds the claim that `signature` is one of `key` over `digest` (see [`super::signing_digest`]).
    pub fn push(&mut self, key: &PublicKey, digest: &Hash, signature: &Signature) {
        self.transcript
            .update(key.as_bytes())
            .update(digest.as_bytes())
            .update(signature.as_bytes());
        self.items.push(batch::Item::from((
            key.to_bytes().into(),
            signature.to_bytes().into(),
            digest.as_bytes(),
        )));
    }

    /// Number of claims.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether there are no claims.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// The verdict on each claim, in the order in which they were pushed.
    pub fn verify(self, seed: &[u8; 32]) -> Vec<bool> {
        let mut coefficients = Coefficients::new(self.transcript, seed);
        let items = self.items;
        verdicts(items.len(), |range| {
            if let [item] = &items[range.clone()] {
                return item.clone().verify_single().is_ok();
            }
            let mut verifier = batch::Verifier::new();
            for item in &items[range] {
                verifier.queue(item.clone());
            }
            verifier.verify(&mut coefficients).is_ok()
        })
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
    transcript: Hasher,
}

impl RingBatchVerifier {
    /// An empty batch of proofs made for the network `network_id`.
    pub fn new(network_id: &[u8; 32]) -> Self {
        let mut transcript = Hasher::new(Context::BatchCoefficients);
        transcript.update(network_id);
        Self {
            network_id: *network_id,
            claims: Vec::new(),
            transcript,
        }
    }

    /// Adds the claim that `proof` shows that the owner of `voter_key` knows the secret of `ring_key`.
    pub fn push(&mut self, voter_key: &PublicKey, ring_key: &RingKey, proof: &RingProof) {
        self.transcript
            .update(voter_key.as_bytes())
            .update(ring_key.as_bytes())
            .update(proof.as_bytes());
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
        let mut coefficients = Coefficients::new(self.transcript, seed);
        // What cannot be decoded is refused without dragging the rest out of the batch.
        let decoded: Vec<&Claim> = self.claims.iter().flatten().collect();
        let mut answers = verdicts(decoded.len(), |range| match &decoded[range] {
            [claim] => claim.holds(),
            claims => all_hold(claims, &mut coefficients),
        })
        .into_iter();
        self.claims
            .iter()
            .map(|claim| claim.is_some() && answers.next() == Some(true))
            .collect()
    }
}

/// Whether Σ zᵢ·(Rᵢ + cᵢ·Kᵢ − sᵢ·G) is the identity for random zᵢ of 128 bits.
fn all_hold(claims: &[&Claim], coefficients: &mut Coefficients) -> bool {
    let mut scalars = Vec::with_capacity(2 * claims.len() + 1);
    let mut points = Vec::with_capacity(2 * claims.len() + 1);
    let mut base = Scalar::ZERO;
    for claim in claims {
        let z = coefficients.next_scalar();
        base -= z * claim.response;
        scalars.push(z);
        points.push(claim.commitment);
        scalars.push(z * claim.challenge);
        points.push(claim.key);
    }
    scalars.push(base);
    points.push(RISTRETTO_BASEPOINT_POINT);
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
    fn new(mut transcript: Hasher, seed: &[u8; 32]) -> Self {
        Self(transcript.update(seed).finish_xof())
    }

    fn next_scalar(&mut self) -> Scalar {
        let mut bytes = [0; 16];
        self.0.fill(&mut bytes);
        Scalar::from(u128::from_le_bytes(bytes))
    }
}

impl TryRng for Coefficients {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let mut bytes = [0; 4];
        self.0.fill(&mut bytes);
        Ok(u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut bytes = [0; 8];
        self.0.fill(&mut bytes);
        Ok(u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        self.0.fill(bytes);
        Ok(())
    }
}

impl TryCryptoRng for Coefficients {}

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
