//! The limit: what the public-key operations that the rules require for given transactions cost by themselves.
//!
//! The operations: a signature per claim (voter, invitation, organiser), a proof of possession per ring key, and that
//! each key that enters the state is canonical and not of small order. They are done in the best form that the
//! libraries offer, on all cores, with nothing around them: what is hashed and decoded for them is done before.
//! Signatures are tried in two forms, as batches of `ed25519-zebra` and as the same equation written out over
//! `curve25519-dalek` with the key of a registration decompressed once for its check and its signature; of both the
//! best batch size is searched.

use std::time::{Duration, Instant};

use super::machine;
use curve25519_dalek::constants::{ED25519_BASEPOINT_POINT, RISTRETTO_BASEPOINT_POINT};
use curve25519_dalek::edwards::{CompressedEdwardsY, EdwardsPoint};
use curve25519_dalek::ristretto::{CompressedRistretto, RistrettoPoint};
use curve25519_dalek::scalar::Scalar;
use curve25519_dalek::traits::{IsIdentity as _, VartimeMultiscalarMul as _};
use ed25519_zebra::batch;
use rayon::prelude::*;
use sha2::{Digest as _, Sha512};
use votenode::chain::network::Network;
use votenode::chain::transaction::{Admission, Credential, Payload, Registration, Transaction};
use votenode::crypto::{Context, Hash, Hasher, PublicKey, Signature, signing_digest};

/// Sizes of batches that are tried.
const SIZES: [usize; 8] = [64, 128, 256, 512, 1_024, 2_048, 4_096, 8_192];
/// How long each is tried.
const TRIAL: Duration = Duration::from_millis(300);
/// Operations in a trial.
const SAMPLE: usize = 32_768;

/// A claim that a key signed a digest. `strict`: the key enters the state by it.
struct Signed {
    key: [u8; 32],
    signature: Signature,
    digest: Hash,
    strict: bool,
}

/// A proof of possession R, c, K, s.
struct Proof {
    commitment: CompressedRistretto,
    challenge: Scalar,
    key: CompressedRistretto,
    response: [u8; 32],
}

/// Every public-key operation that some transactions need.
#[derive(Default)]
pub struct Work {
    signed: Vec<Signed>,
    proofs: Vec<Proof>,
    /// Keys that enter the state without a signature of theirs: those of invitations.
    keys: Vec<[u8; 32]>,
}

/// How the operations are done, and in batches of which size.
#[derive(Clone, Copy, Debug)]
pub struct Form {
    by_hand: bool,
    signatures: usize,
    proofs: usize,
}

impl Work {
    /// Lists the operations.
    pub fn of(network: &Network, transactions: &[Transaction]) -> Self {
        let parts = transactions.par_chunks(4_096).map(|part| {
            let mut work = Self::default();
            part.iter()
                .for_each(|transaction| work.add(network, transaction));
            work
        });
        parts
            .collect::<Vec<_>>()
            .into_iter()
            .fold(Self::default(), |mut all, part| {
                all.signed.extend(part.signed);
                all.proofs.extend(part.proofs);
                all.keys.extend(part.keys);
                all
            })
    }

    fn sign(
        &mut self,
        network: &Network,
        key: &PublicKey,
        signature: &Signature,
        context: Context,
        payload: &[u8],
    ) {
        self.signed.push(Signed {
            key: key.to_bytes(),
            signature: *signature,
            digest: signing_digest(context, network.id().as_bytes(), payload),
            strict: false,
        });
    }

    fn add(&mut self, network: &Network, transaction: &Transaction) {
        match &transaction.payload {
            Payload::Registration { registration } => self.register(network, registration),
            Payload::InvitationBatch { batch } => {
                self.keys
                    .extend(batch.keys.iter().map(|key| key.to_bytes()));
                self.sign(
                    network,
                    &batch.organiser,
                    &batch.signature,
                    Context::SignInvitationBatch,
                    &batch.payload(),
                );
            }
            Payload::Election { election } => {
                let payload = election.payload();
                self.sign(
                    network,
                    &election.organiser,
                    &election.signature,
                    Context::SignElection,
                    &payload,
                );
                self.mark_strict();
            }
            Payload::Vote { vote } => {
                let Credential::Pseudonymous { voter, signature } = &vote.credential else {
                    unreachable!("the fixtures hold no anonymous votes")
                };
                self.sign(
                    network,
                    voter,
                    signature,
                    Context::SignVote,
                    &vote.payload(),
                );
            }
            other => unreachable!("the fixtures hold no {other:?}"),
        }
    }

    fn mark_strict(&mut self) {
        if let Some(last) = self.signed.last_mut() {
            last.strict = true;
        }
    }

    fn register(&mut self, network: &Network, registration: &Registration) {
        let Registration {
            voter,
            ring_key,
            ring_proof,
            ..
        } = registration;
        self.sign(
            network,
            voter,
            &registration.signature,
            Context::SignRegistration,
            &registration.payload(),
        );
        self.mark_strict();
        if let Admission::Invited {
            invitation,
            signature,
        } = &registration.admission
        {
            let payload = registration.invitation_payload();
            self.sign(
                network,
                invitation,
                signature,
                Context::SignInvitationUse,
                &payload,
            );
        }
        let (commitment, response) = ring_proof.as_bytes().split_at(32);
        let mut wide = [0; 64];
        Hasher::new(Context::RingProofChallenge)
            .update(network.id().as_bytes())
            .update(voter.as_bytes())
            .update(ring_key.as_bytes())
            .update(commitment)
            .finish_xof()
            .fill(&mut wide);
        self.proofs.push(Proof {
            commitment: CompressedRistretto(commitment.try_into().unwrap()),
            challenge: Scalar::from_bytes_mod_order_wide(&wide),
            key: CompressedRistretto(ring_key.to_bytes()),
            response: response.try_into().unwrap(),
        });
    }

    /// How many operations there are.
    pub fn len(&self) -> usize {
        self.signed.len() + self.proofs.len() + self.keys.len()
    }

    /// The best form on this machine, tried on one core.
    pub fn best_form(&self) -> Form {
        let signed = &self.signed[..self.signed.len().min(SAMPLE)];
        let proofs = &self.proofs[..self.proofs.len().min(SAMPLE)];
        let mut best: Option<(f64, Form)> = None;
        let best_proofs = SIZES
            .into_iter()
            .map(|size| (per_item(proofs, size, check_proofs), size))
            .min_by(|(one, _), (other, _)| one.total_cmp(other))
            .unwrap();
        eprintln!(
            "  limit: a proof {:.2} µs in batches of {}",
            best_proofs.0, best_proofs.1
        );
        for by_hand in [false, true] {
            for size in SIZES {
                let cost = per_item(
                    signed,
                    size,
                    if by_hand {
                        check_by_hand
                    } else {
                        check_by_library
                    },
                );
                if best.is_none_or(|(least, _)| cost < least) {
                    let form = Form {
                        by_hand,
                        signatures: size,
                        proofs: best_proofs.1,
                    };
                    best = Some((cost, form));
                }
            }
        }
        let (cost, form) = best.unwrap();
        eprintln!(
            "  limit: a signature {cost:.2} µs in batches of {}, {}",
            form.signatures,
            if form.by_hand {
                "written out"
            } else {
                "of ed25519-zebra"
            }
        );
        form
    }

    /// Does a slice of the operations, from `done` on and for about this long, on all cores. Gives how many were done.
    pub fn slice(&self, form: Form, done: usize, time: Duration) -> usize {
        let start = Instant::now();
        let mut at = done;
        while at < self.len() && start.elapsed() < time {
            at += self.step(form, at);
        }
        at - done
    }

    /// One round on all cores, of one kind of operation.
    fn step(&self, form: Form, at: usize) -> usize {
        let rounds = 4 * rayon::current_num_threads();
        let (signed, proofs) = (self.signed.len(), self.proofs.len());
        if at < signed {
            let part = &self.signed[at..signed.min(at + rounds * form.signatures)];
            let check = if form.by_hand {
                check_by_hand
            } else {
                check_by_library
            };
            spread(part, form.signatures, check)
        } else if at < signed + proofs {
            let at = at - signed;
            let part = &self.proofs[at..proofs.min(at + rounds * form.proofs)];
            spread(part, form.proofs, check_proofs)
        } else {
            let at = at - signed - proofs;
            let part = &self.keys[at..self.keys.len().min(at + rounds * 1_024)];
            spread(part, 1_024, check_keys)
        }
    }
}

/// Checks a part on all cores in batches of at most this size, of equal number for each core.
fn spread<T: Sync>(part: &[T], size: usize, check: fn(&[T]) -> bool) -> usize {
    let threads = rayon::current_num_threads();
    let rounds = part.len().div_ceil(size * threads);
    let size = part.len().div_ceil(rounds * threads).max(1);
    assert!(
        part.par_chunks(size).all(check),
        "the fixture holds something invalid"
    );
    part.len()
}

/// Microseconds of processor time for an item, in batches of this size.
fn per_item<T>(items: &[T], size: usize, check: fn(&[T]) -> bool) -> f64 {
    let (start, before) = (Instant::now(), machine::own_thread_seconds());
    let mut done = 0;
    for batch in items.chunks(size).cycle() {
        assert!(check(batch), "the fixture holds something invalid");
        done += batch.len();
        if start.elapsed() > TRIAL {
            break;
        }
    }
    (machine::own_thread_seconds() - before) * 1e6 / done as f64
}

/// Decompresses a key that enters the state: canonical and not of small order. A key whose y is below the field's
/// modulus is canonical unless it is one of two points of small order.
fn strict_key(bytes: &[u8; 32]) -> Option<EdwardsPoint> {
    let mut y = *bytes;
    y[31] &= 0x7f;
    y.reverse();
    let mut modulus = [0xff; 32];
    modulus[0] = 0x7f;
    modulus[31] = 0xed;
    let point = CompressedEdwardsY(*bytes).decompress()?;
    (y < modulus && !point.is_small_order()).then_some(point)
}

fn check_keys(keys: &[[u8; 32]]) -> bool {
    keys.iter().all(|key| strict_key(key).is_some())
}

fn check_by_library(claims: &[Signed]) -> bool {
    let mut verifier = batch::Verifier::new();
    for claim in claims {
        let (key, signature) = (claim.key.into(), claim.signature.to_bytes().into());
        verifier.queue((key, signature, claim.digest.as_bytes()));
    }
    claims
        .iter()
        .filter(|claim| claim.strict)
        .all(|claim| strict_key(&claim.key).is_some())
        && verifier.verify(Coefficients::new()).is_ok()
}

fn check_by_hand(claims: &[Signed]) -> bool {
    let mut coefficients = Coefficients::new();
    let mut scalars = Vec::with_capacity(2 * claims.len() + 1);
    let mut points = Vec::with_capacity(2 * claims.len() + 1);
    let mut base = Scalar::ZERO;
    for claim in claims {
        let signature = claim.signature.to_bytes();
        let (commitment, response) = signature.split_at(32);
        let point = if claim.strict {
            strict_key(&claim.key)
        } else {
            CompressedEdwardsY(claim.key).decompress()
        };
        let commitment = CompressedEdwardsY(commitment.try_into().unwrap());
        let response = Scalar::from_canonical_bytes(response.try_into().unwrap()).into_option();
        let (Some(key), Some(nonce), Some(response)) = (point, commitment.decompress(), response)
        else {
            return false;
        };
        let hash = Sha512::new()
            .chain_update(commitment.as_bytes())
            .chain_update(claim.key)
            .chain_update(claim.digest.as_bytes())
            .finalize();
        let z = coefficients.next();
        base -= z * response;
        scalars.push(z);
        points.push(nonce);
        scalars.push(z * Scalar::from_bytes_mod_order_wide(&hash.into()));
        points.push(key);
    }
    scalars.push(base);
    points.push(ED25519_BASEPOINT_POINT);
    EdwardsPoint::vartime_multiscalar_mul(scalars, points)
        .mul_by_cofactor()
        .is_identity()
}

fn check_proofs(proofs: &[Proof]) -> bool {
    let mut coefficients = Coefficients::new();
    let mut scalars = Vec::with_capacity(2 * proofs.len() + 1);
    let mut points = Vec::with_capacity(2 * proofs.len() + 1);
    let mut base = Scalar::ZERO;
    for proof in proofs {
        let response = Scalar::from_canonical_bytes(proof.response).into_option();
        let (Some(key), Some(nonce), Some(response)) = (
            proof.key.decompress(),
            proof.commitment.decompress(),
            response,
        ) else {
            return false;
        };
        if key.is_identity() {
            return false;
        }
        let z = coefficients.next();
        base -= z * response;
        scalars.push(z);
        points.push(nonce);
        scalars.push(z * proof.challenge);
        points.push(key);
    }
    scalars.push(base);
    points.push(RISTRETTO_BASEPOINT_POINT);
    RistrettoPoint::vartime_multiscalar_mul(scalars, points).is_identity()
}

/// Batch coefficients: a stream that costs next to nothing. Nobody attacks a measurement.
struct Coefficients(blake3::OutputReader);

impl Coefficients {
    fn new() -> Self {
        Self(blake3::Hasher::new().finalize_xof())
    }

    fn next(&mut self) -> Scalar {
        let mut bytes = [0; 16];
        self.0.fill(&mut bytes);
        Scalar::from(u128::from_le_bytes(bytes))
    }
}

impl rand_core::TryRng for Coefficients {
    type Error = std::convert::Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
        let mut bytes = [0; 4];
        self.0.fill(&mut bytes);
        Ok(u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
        let mut bytes = [0; 8];
        self.0.fill(&mut bytes);
        Ok(u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Self::Error> {
        self.0.fill(bytes);
        Ok(())
    }
}

impl rand_core::TryCryptoRng for Coefficients {}
