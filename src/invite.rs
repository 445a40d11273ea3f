//! Invitations: keys for single use, made offline by an organiser, and the transactions that make them valid or take
//! them back.
//!
//! The secrets go to people as codes on paper ([`page`]) or in a file; the chain learns the public keys alone. Nothing
//! here touches the network or a file.

use crate::chain::genesis::{Group, NetworkId, OPEN_GROUP};
use crate::chain::sign;
use crate::chain::transaction::{MAX_INVITATION_KEYS, Transaction};
use crate::crypto::{Invitation, PublicKey, RandomError, SigningKey};
use crate::wire::List;

pub mod page;

/// Most invitations of one command: their codes fit one secret file.
pub const MAX_COUNT: u32 = 10_000;

/// Why no invitations were made.
#[derive(Debug, thiserror::Error)]
pub enum InviteError {
    /// The group of open admission.
    #[error("'{OPEN_GROUP}' is the group of voters without an invitation: choose another name")]
    OpenGroup,
    /// Too few or too many.
    #[error("from 1 to {MAX_COUNT} invitations can be made at once")]
    Count,
    /// No randomness.
    #[error(transparent)]
    Random(#[from] RandomError),
}

/// Invitations and what makes them valid.
pub struct Invitations {
    /// The secrets.
    pub invitations: Vec<Invitation>,
    /// Signed batches, one per [`MAX_INVITATION_KEYS`] invitations, in their order.
    pub transactions: Vec<Transaction>,
}

/// Makes invitations into a group, signed by an organiser who may invite.
pub fn make(
    network: &NetworkId,
    group: &Group,
    count: u32,
    organiser: &SigningKey,
) -> Result<Invitations, InviteError> {
    if group.as_str() == OPEN_GROUP {
        return Err(InviteError::OpenGroup);
    }
    if !(1..=MAX_COUNT).contains(&count) {
        return Err(InviteError::Count);
    }
    let invitations = (0..count)
        .map(|_| Invitation::generate())
        .collect::<Result<Vec<_>, _>>()?;
    let transactions = invitations
        .chunks(MAX_INVITATION_KEYS)
        .map(|chunk| {
            let keys = chunk.iter().map(Invitation::public_key).collect();
            let keys = List::new(keys).expect("a chunk has 1 to MAX_INVITATION_KEYS keys");
            sign::issue_invitations(network, organiser, group.clone(), keys)
        })
        .collect();
    Ok(Invitations {
        invitations,
        transactions,
    })
}

/// Takes unspent invitations back: one transaction per key, so that one that is used meanwhile spoils no other.
pub fn revoke(network: &NetworkId, keys: &[PublicKey], organiser: &SigningKey) -> Vec<Transaction> {
    let mut keys = keys.to_vec();
    keys.sort_unstable();
    keys.dedup();
    keys.into_iter()
        .map(|key| {
            let keys = List::new(vec![key]).expect("one key is within the bounds");
            sign::revoke_invitations(network, organiser, keys)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::chain::transaction::Payload;
    use crate::crypto::{Context, signing_digest};
    use crate::wire;

    const NETWORK: NetworkId = NetworkId::from_bytes([5; 32]);

    fn members() -> Group {
        Group::new("members").unwrap()
    }

    #[test]
    fn a_large_number_is_split_into_signed_batches() {
        let organiser = SigningKey::from_seed(&[1; 32]);
        let made = make(&NETWORK, &members(), 1_500, &organiser).unwrap();
        assert_eq!(made.invitations.len(), 1_500);
        let mut published = Vec::new();
        for transaction in &made.transactions {
            assert!(wire::decode::<Transaction>(&wire::encode(transaction)).is_ok());
            let Payload::InvitationBatch { batch } = &transaction.payload else {
                panic!("another kind");
            };
            let digest = signing_digest(
                Context::SignInvitationBatch,
                NETWORK.as_bytes(),
                &batch.payload(),
            );
            assert!(batch.organiser.verify(&digest, &batch.signature));
            published.extend(batch.keys.iter().copied());
        }
        assert_eq!(made.transactions.len(), 2);
        let keys: Vec<_> = made
            .invitations
            .iter()
            .map(Invitation::public_key)
            .collect();
        assert_eq!(published, keys);
    }

    #[test]
    fn the_open_group_and_odd_counts_are_refused() {
        let organiser = SigningKey::from_seed(&[1; 32]);
        let open = Group::new(OPEN_GROUP).unwrap();
        assert!(matches!(
            make(&NETWORK, &open, 1, &organiser),
            Err(InviteError::OpenGroup)
        ));
        for count in [0, MAX_COUNT + 1] {
            assert!(matches!(
                make(&NETWORK, &members(), count, &organiser),
                Err(InviteError::Count)
            ));
        }
    }

    #[test]
    fn each_key_is_revoked_once_and_by_itself() {
        let organiser = SigningKey::from_seed(&[1; 32]);
        let key = |seed| SigningKey::from_seed(&[seed; 32]).public_key();
        let transactions = revoke(&NETWORK, &[key(3), key(4), key(3)], &organiser);
        let mut revoked = Vec::new();
        for transaction in &transactions {
            let Payload::InvitationRevoke { revoke } = &transaction.payload else {
                panic!("another kind");
            };
            let digest = signing_digest(
                Context::SignInvitationRevoke,
                NETWORK.as_bytes(),
                &revoke.payload(),
            );
            assert!(revoke.organiser.verify(&digest, &revoke.signature));
            assert_eq!(revoke.keys.len(), 1);
            revoked.extend(revoke.keys.iter().copied());
        }
        let mut wanted = vec![key(3), key(4)];
        wanted.sort_unstable();
        assert_eq!(revoked, wanted);
    }
}
