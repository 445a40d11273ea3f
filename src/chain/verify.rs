//! Verification: everything about a transaction that needs no state, signatures and proofs in batches.
//!
//! A [`Verified`] transaction can be made here only, so that its type says that it never has to be verified again. A
//! verdict never depends on what else is in the batch: first the form, then the keys, then the signatures (of the voter,
//! then of the invitation; of finalisers in their order), then the ring key's proof; the first that fails is the reason.

use std::ops::Deref;
use std::sync::Arc;

use rayon::prelude::*;

use crate::chain::checkpoint::check_change;
use crate::chain::form::check_form;
use crate::chain::genesis::NetworkId;
use crate::chain::invalid::{Invalid, KeyOf};
use crate::chain::network::Network;
use crate::chain::transaction::{Admission, Approval, Credential, Payload, Transaction, TxId};
use crate::crypto::{
    BatchVerifier, CheckedKey, CheckedRingKey, Context, Hash, PublicKey, RingBatchVerifier,
    Signature, signing_digest,
};
use crate::planted::{self, Fault};
use crate::wire::{self, DecodeError};

/// Most transactions that one thread verifies together. A signature costs least in batches of some thousands, a tenth
/// more in batches of some hundreds.
const MAX_CHUNK: usize = 2_048;
/// Fewest transactions that are worth a thread of their own.
const MIN_CHUNK: usize = 256;

/// Something that passed the [`Verifier`], shared and cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified<T> {
    value: Arc<T>,
    id: TxId,
    encoded_len: usize,
}

impl Verified<Transaction> {
    /// The transaction's identity, computed once.
    pub fn id(&self) -> TxId {
        self.id
    }

    /// Length of its canonical encoding in bytes.
    pub fn encoded_len(&self) -> usize {
        self.encoded_len
    }

    /// Reads a transaction back that this node verified for this network before it stored it, without verifying it
    /// again. Only for bytes out of the node's own store; what comes from anywhere else goes through a [`Verifier`].
    pub(crate) fn from_own_store(encoded: &[u8]) -> Result<Self, DecodeError> {
        Ok(Self {
            value: Arc::new(wire::decode(encoded)?),
            id: Transaction::id_of(encoded),
            encoded_len: encoded.len(),
        })
    }
}

impl<T> Deref for Verified<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

/// Verifies transactions of one network.
#[derive(Clone, Debug)]
pub struct Verifier {
    network: Arc<Network>,
    seed: [u8; 32],
}

impl Verifier {
    /// A verifier whose batch coefficients are drawn from `seed`: from the operating system in a node, fixed in a
    /// simulation. Verdicts do not depend on it.
    pub fn new(network: Arc<Network>, seed: [u8; 32]) -> Self {
        Self { network, seed }
    }

    /// The verdict on each transaction, in order. On the calling thread.
    pub fn verify(
        &self,
        transactions: Vec<Transaction>,
    ) -> Vec<Result<Verified<Transaction>, Invalid>> {
        let mut signatures = BatchVerifier::new();
        let mut signature_claims = Vec::new();
        let mut proofs = RingBatchVerifier::new(self.network.id().as_bytes());
        let mut proof_claims = Vec::new();
        let mut verdicts = Vec::with_capacity(transactions.len());
        let mut checked_keys = Vec::with_capacity(transactions.len());
        for transaction in transactions {
            let (verdict, keys) = match self.prepare(transaction) {
                Ok((transaction, keys)) => (Ok(transaction), keys),
                Err(invalid) => (Err(invalid), CheckedKeys::default()),
            };
            verdicts.push(verdict);
            checked_keys.push(keys);
        }

        for (index, (verdict, keys)) in verdicts.iter().zip(&checked_keys).enumerate() {
            let Ok(transaction) = verdict else { continue };
            for claim in claims(&self.network.id(), &transaction.payload) {
                match &keys.signer {
                    Some(key) if key.key() == claim.key => {
                        signatures.push_checked(key, &claim.digest, claim.signature);
                    }
                    _ => signatures.push(claim.key, &claim.digest, claim.signature),
                }
                signature_claims.push((index, claim.reason));
            }
            if let Payload::Registration { registration } = &transaction.payload {
                let (voter, proof) = (&registration.voter, &registration.ring_proof);
                match &keys.ring {
                    Some(ring_key) => proofs.push_checked(voter, ring_key, proof),
                    None => proofs.push(voter, &registration.ring_key, proof),
                }
                proof_claims.push((index, Invalid::BadRingProof));
            }
        }

        let answers = signatures
            .verify(&self.seed)
            .into_iter()
            .zip(signature_claims);
        let proof_answers = proofs.verify(&self.seed).into_iter().zip(proof_claims);
        for (holds, (index, reason)) in answers.chain(proof_answers) {
            if !holds && verdicts[index].is_ok() && !planted::is(Fault::SignatureUnchecked) {
                verdicts[index] = Err(reason);
            }
        }
        verdicts
    }

    /// As [`Self::verify`], spread over the threads of the current rayon pool.
    pub fn verify_parallel(
        &self,
        mut transactions: Vec<Transaction>,
    ) -> Vec<Result<Verified<Transaction>, Invalid>> {
        let share = transactions.len().div_ceil(rayon::current_num_threads());
        let most = share.clamp(MIN_CHUNK, MAX_CHUNK);
        if transactions.len() <= most {
            return self.verify(transactions);
        }
        // All of one size, so that no thread waits for another's remainder.
        let size = transactions
            .len()
            .div_ceil(transactions.len().div_ceil(most));
        let mut chunks = Vec::with_capacity(transactions.len().div_ceil(size));
        while transactions.len() > size {
            let rest = transactions.split_off(size);
            chunks.push(std::mem::replace(&mut transactions, rest));
        }
        chunks.push(transactions);
        chunks
            .into_par_iter()
            .with_max_len(1)
            .flat_map_iter(|chunk| self.verify(chunk))
            .collect()
    }

    /// Decodes and verifies one transaction, such as one out of a file.
    pub fn verify_encoded(&self, encoded: &[u8]) -> Result<Verified<Transaction>, Invalid> {
        let transaction = wire::decode(encoded)?;
        self.verify(vec![transaction])
            .pop()
            .expect("as many verdicts as transactions")
    }

    /// All but the signatures and proofs. Gives the keys that were decoded too.
    fn prepare(
        &self,
        transaction: Transaction,
    ) -> Result<(Verified<Transaction>, CheckedKeys), Invalid> {
        check_form(&self.network, &transaction)?;
        let keys = check_keys(&transaction.payload)?;
        let encoded = wire::encode(&transaction);
        let transaction = Verified {
            id: Transaction::id_of(&encoded),
            encoded_len: encoded.len(),
            value: Arc::new(transaction),
        };
        Ok((transaction, keys))
    }
}

/// What was decoded of a transaction's keys when they were checked; its signatures and proofs need the same.
#[derive(Default)]
struct CheckedKeys {
    /// The key whose signature is the transaction's first.
    signer: Option<CheckedKey>,
    /// The ring key of a registration.
    ring: Option<CheckedRingKey>,
}

/// Checks the keys that would enter the state: nobody may be able to sign for them without the secret.
fn check_keys(payload: &Payload) -> Result<CheckedKeys, Invalid> {
    let strict = |whose, key: &PublicKey| {
        key.checked()
            .map_err(|error| Invalid::BadKey { whose, error })
    };
    let mut keys = CheckedKeys::default();
    match payload {
        Payload::Registration { registration } => {
            keys.signer = Some(strict(KeyOf::Voter, &registration.voter)?);
            let ring_key = registration.ring_key.checked();
            keys.ring = Some(ring_key.map_err(Invalid::BadRingKey)?);
        }
        Payload::InvitationBatch { batch } => {
            for key in batch.keys.iter() {
                strict(KeyOf::Invitation, key)?;
            }
        }
        Payload::Election { election } => {
            keys.signer = Some(strict(KeyOf::Organiser, &election.organiser)?);
        }
        Payload::FinaliserChange { change } => {
            check_change(change).map_err(Invalid::MalformedChange)?;
        }
        // Revoked keys, the keys of votes, of approvals and of the accused count only if they are in the state already.
        _ => {}
    }
    Ok(keys)
}

/// The claim that a key signed something, and the reason to give if it did not.
struct SignatureClaim<'a> {
    key: &'a PublicKey,
    digest: Hash,
    signature: &'a Signature,
    reason: Invalid,
}

/// The signatures that a transaction carries, in the order in which they are looked at.
fn claims<'a>(network: &NetworkId, payload: &'a Payload) -> Vec<SignatureClaim<'a>> {
    let digest = |context, payload: Vec<u8>| signing_digest(context, network.as_bytes(), &payload);
    let claim = |key, context, payload, signature, whose| SignatureClaim {
        key,
        digest: digest(context, payload),
        signature,
        reason: Invalid::BadSignature { whose },
    };
    match payload {
        Payload::Registration { registration } => {
            let mut claims = vec![claim(
                &registration.voter,
                Context::SignRegistration,
                registration.payload(),
                &registration.signature,
                KeyOf::Voter,
            )];
            if let Admission::Invited {
                invitation,
                signature,
            } = &registration.admission
            {
                claims.push(SignatureClaim {
                    key: invitation,
                    digest: digest(
                        Context::SignInvitationUse,
                        registration.invitation_payload(),
                    ),
                    signature,
                    reason: Invalid::BadInvitationSignature,
                });
            }
            claims
        }
        Payload::InvitationBatch { batch } => vec![claim(
            &batch.organiser,
            Context::SignInvitationBatch,
            batch.payload(),
            &batch.signature,
            KeyOf::Organiser,
        )],
        Payload::InvitationRevoke { revoke } => vec![claim(
            &revoke.organiser,
            Context::SignInvitationRevoke,
            revoke.payload(),
            &revoke.signature,
            KeyOf::Organiser,
        )],
        Payload::Election { election } => vec![claim(
            &election.organiser,
            Context::SignElection,
            election.payload(),
            &election.signature,
            KeyOf::Organiser,
        )],
        Payload::Vote { vote } => match &vote.credential {
            Credential::Pseudonymous { voter, signature } => vec![claim(
                voter,
                Context::SignVote,
                vote.payload(),
                signature,
                KeyOf::Voter,
            )],
            Credential::Anonymous { .. } => Vec::new(),
        },
        Payload::FinaliserChange { change } => {
            let digest = change.digest(network);
            let approval = |approval: &'a Approval| SignatureClaim {
                key: &approval.key,
                digest,
                signature: &approval.signature,
                reason: Invalid::BadSignature {
                    whose: KeyOf::Finaliser,
                },
            };
            change.approvals.iter().map(approval).collect()
        }
        Payload::Equivocation { equivocation } => [
            (&equivocation.first, &equivocation.first_signature),
            (&equivocation.second, &equivocation.second_signature),
        ]
        .map(|(message, signature)| SignatureClaim {
            key: &equivocation.finaliser,
            digest: message.digest(network),
            signature,
            reason: Invalid::BadSignature {
                whose: KeyOf::Finaliser,
            },
        })
        .into(),
        Payload::Reveal { .. } => Vec::new(),
    }
}

#[cfg(test)]
mod tests;
