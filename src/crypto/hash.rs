//! BLAKE3-256 in `derive_key` mode.

use blake3::hazmat::HasherExt as _;
use zeroize::{Zeroize as _, Zeroizing};

use super::Context;
use crate::wire::fixed_bytes;

fixed_bytes! {
    /// A BLAKE3-256 hash made under some [`Context`].
    pub struct Hash([u8; 32]);
}

/// The hash of `bytes` for the purpose `context`.
pub fn hash(context: Context, bytes: &[u8]) -> Hash {
    Hasher::new(context).update(bytes).finish()
}

/// Fills `output` with the extended output (XOF) of `bytes` for the purpose `context`.
pub fn xof(context: Context, bytes: &[u8], output: &mut [u8]) {
    Hasher::new(context).update(bytes).finish_xof().fill(output);
}

/// `N` secret bytes: the extended output of `pieces`, which are of fixed size, for the purpose `context`. Nothing of
/// the secret stays behind in memory.
pub(super) fn derive_secret<const N: usize>(
    context: Context,
    pieces: &[&[u8]],
) -> Zeroizing<[u8; N]> {
    let mut hasher = blake3::Hasher::new_from_context_key(context.key());
    for piece in pieces {
        hasher.update(piece);
    }
    let mut reader = hasher.finalize_xof();
    let mut secret = Zeroizing::new([0; N]);
    reader.fill(secret.as_mut_slice());
    hasher.zeroize();
    reader.zeroize();
    secret
}

/// A hash that is made piece by piece.
///
/// What is concatenated must be of fixed size or length-prefixed ([`Self::update_prefixed`]): two lists of pieces
/// must never give the same bytes.
#[derive(Clone)]
pub struct Hasher(blake3::Hasher);

impl Hasher {
    /// Starts a hash for the purpose `context`.
    pub fn new(context: Context) -> Self {
        Self(blake3::Hasher::new_from_context_key(context.key()))
    }

    /// Absorbs a piece of fixed size, or the last piece.
    pub fn update(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.update(bytes);
        self
    }

    /// Absorbs a piece of any size after its length in bytes, as 8 bytes big-endian.
    pub fn update_prefixed(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.update(&(bytes.len() as u64).to_be_bytes());
        self.0.update(bytes);
        self
    }

    /// The hash of what was absorbed.
    pub fn finish(&self) -> Hash {
        Hash::from_bytes(*self.0.finalize().as_bytes())
    }

    /// A stream of the extended output of what was absorbed; its first 32 bytes are [`Self::finish`].
    pub fn finish_xof(&self) -> blake3::OutputReader {
        self.0.finalize_xof()
    }
}

/// Hashes many inputs that begin alike, such as a header under changing nonces: the beginning is absorbed once.
#[derive(Clone)]
pub struct PrefixHasher(blake3::Hasher);

impl PrefixHasher {
    /// Prepares the hash of `prefix ‖ …` for the purpose `context`.
    pub fn new(context: Context, prefix: &[u8]) -> Self {
        let mut hasher = blake3::Hasher::new_from_context_key(context.key());
        hasher.update(prefix);
        Self(hasher)
    }

    /// The hash of `prefix ‖ suffix`.
    pub fn finish(&self, suffix: &[u8]) -> Hash {
        let mut hasher = self.0.clone();
        hasher.update(suffix);
        Hash::from_bytes(*hasher.finalize().as_bytes())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn contexts_are_plain_derive_key() {
        for context in Context::ALL {
            let expected = blake3::derive_key(context.name(), b"some bytes");
            assert_eq!(hash(*context, b"some bytes").to_bytes(), expected);
        }
    }

    #[test]
    fn one_context_never_answers_for_another() {
        let hashes: std::collections::HashSet<_> =
            Context::ALL.iter().map(|c| hash(*c, b"x")).collect();
        assert_eq!(hashes.len(), Context::ALL.len());
    }

    #[test]
    fn prefixed_pieces_do_not_run_together() {
        let split = |left: &[u8], right: &[u8]| {
            Hasher::new(Context::Ballot)
                .update_prefixed(left)
                .update_prefixed(right)
                .finish()
        };
        assert_ne!(split(b"ab", b"c"), split(b"a", b"bc"));
    }

    proptest! {
        #[test]
        fn pieces_and_prefixes_equal_the_whole(bytes in prop::collection::vec(any::<u8>(), 0..3000), cut in any::<prop::sample::Index>()) {
            let (head, tail) = bytes.split_at(cut.index(bytes.len() + 1));
            let whole = hash(Context::BlockId, &bytes);
            prop_assert_eq!(Hasher::new(Context::BlockId).update(head).update(tail).finish(), whole);
            prop_assert_eq!(PrefixHasher::new(Context::BlockId, head).finish(tail), whole);
            let mut long = [0; 80];
            xof(Context::BlockId, &bytes, &mut long);
            prop_assert_eq!(&long[..32], whole.as_ref());
        }
    }
}
