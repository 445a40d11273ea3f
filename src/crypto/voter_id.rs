//! The voter_id: one secret from which all of a voter's keys follow.

use zeroize::Zeroizing;

use super::code::{self, CodeError, Kind};
use super::hash::derive_secret;
use super::{Context, RandomError, RingSecret, SigningKey, random_bytes};

/// A voter's secret, 32 bytes, shown as `voter1…`. Whoever has it can vote as the voter and prove the voter's votes.
///
/// Wiped when dropped; its `Debug` form shows nothing of it.
#[derive(Clone)]
pub struct VoterId(Zeroizing<[u8; 32]>);

impl VoterId {
    /// A new voter_id from the operating system's generator.
    pub fn generate() -> Result<Self, RandomError> {
        random_bytes().map(Self)
    }

    /// The voter_id of the given secret bytes.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The `voter1…` form, in lower case.
    pub fn to_text(&self) -> Zeroizing<String> {
        code::encode(Kind::VoterId, &self.0)
    }

    /// The Ed25519 voter key, which is registered and signs.
    pub fn signing_key(&self) -> SigningKey {
        SigningKey::from_seed(&derive_secret(Context::VoterKey, &[self.0.as_slice()]))
    }

    /// The secret of the ring key for anonymous elections.
    pub fn ring_secret(&self) -> RingSecret {
        RingSecret::from_uniform_bytes(&derive_secret(Context::RingSecret, &[self.0.as_slice()]))
    }
}

impl std::str::FromStr for VoterId {
    type Err = CodeError;

    fn from_str(text: &str) -> Result<Self, CodeError> {
        code::decode_as(Kind::VoterId, text).map(Self)
    }
}

impl std::fmt::Debug for VoterId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("VoterId(secret)")
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_text_alone_restores_every_key() {
        let id = VoterId::generate().unwrap();
        let back: VoterId = id.to_text().parse().unwrap();
        assert_eq!(
            back.signing_key().public_key(),
            id.signing_key().public_key()
        );
        assert_eq!(back.ring_secret().ring_key(), id.ring_secret().ring_key());
        assert!(id.to_text().starts_with("voter1"));
    }

    #[test]
    fn keys_are_the_named_derivations() {
        let id = VoterId::from_bytes([7; 32]);
        let seed = blake3::derive_key("votenode 2026-11 v1 voter key", &[7; 32]);
        assert_eq!(*id.signing_key().seed(), seed);
        let mut wide = [0; 64];
        blake3::Hasher::new_derive_key("votenode 2026-11 v1 ring secret")
            .update(&[7; 32])
            .finalize_xof()
            .fill(&mut wide);
        let expected = RingSecret::from_uniform_bytes(&wide);
        assert_eq!(id.ring_secret().ring_key(), expected.ring_key());
    }

    #[test]
    fn two_voters_share_nothing_and_debug_tells_nothing() {
        let (a, b) = (VoterId::generate().unwrap(), VoterId::generate().unwrap());
        assert_ne!(a.signing_key().public_key(), b.signing_key().public_key());
        assert_ne!(a.ring_secret().ring_key(), b.ring_secret().ring_key());
        assert_eq!(format!("{a:?}"), "VoterId(secret)");
    }
}
