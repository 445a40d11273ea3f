//! Hashcash stamps: a nonce under which the hash of something begins with enough zero bits.
//!
//! A stamp is no admission test, it only makes flooding cost more than answering. The nonce follows what is stamped
//! as 8 bytes big-endian.

use std::sync::atomic::{AtomicBool, Ordering};

use super::{Context, Hash, PrefixHasher};
use crate::wire::MAX_UINT;

/// The most zero bits that may be asked: about ten minutes of one core at 10 million hashes a second.
pub const MAX_BITS: u8 = 32;

/// Nonces tried between two looks at the cancel flag: about a millisecond.
const CANCEL_EVERY: u64 = 1 << 13;

/// Why no stamp was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StampError {
    /// The cancel flag was raised.
    #[error("the search for a stamp was cancelled")]
    Cancelled,
    /// More bits are asked than anyone should spend.
    #[error("a stamp of {0} bits is asked, more than {MAX_BITS}")]
    TooManyBits(u8),
    /// Every nonce was tried, which happens to nobody.
    #[error("no nonce gives the stamp")]
    Exhausted,
}

/// Number of leading zero bits of a hash, most significant bit of the first byte first: 0 to 256.
pub fn leading_zero_bits(hash: &Hash) -> u32 {
    let mut bits = 0;
    for byte in hash.as_bytes() {
        bits += byte.leading_zeros();
        if *byte != 0 {
            break;
        }
    }
    bits
}

/// The smallest nonce (at most 2^53 − 1) under which `stamped` carries a stamp of `bits` zero bits.
pub fn find_stamp(
    context: Context,
    stamped: &[u8],
    bits: u8,
    cancel: &AtomicBool,
) -> Result<u64, StampError> {
    if bits > MAX_BITS {
        return Err(StampError::TooManyBits(bits));
    }
    let hasher = PrefixHasher::new(context, stamped);
    for nonce in 0..=MAX_UINT {
        if nonce % CANCEL_EVERY == 0 && cancel.load(Ordering::Relaxed) {
            return Err(StampError::Cancelled);
        }
        if leading_zero_bits(&hasher.finish(&nonce.to_be_bytes())) >= u32::from(bits) {
            return Ok(nonce);
        }
    }
    Err(StampError::Exhausted)
}

/// Whether `nonce` gives `stamped` a stamp of at least `bits` zero bits.
pub fn check_stamp(context: Context, stamped: &[u8], nonce: u64, bits: u8) -> bool {
    nonce <= MAX_UINT
        && leading_zero_bits(&PrefixHasher::new(context, stamped).finish(&nonce.to_be_bytes()))
            >= u32::from(bits)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn zero_bits_are_counted_from_the_first() {
        let mut bytes = [0; 32];
        assert_eq!(leading_zero_bits(&Hash::from_bytes(bytes)), 256);
        for bit in 0..256 {
            bytes = [0xff; 32];
            bytes[..bit / 8].fill(0);
            bytes[bit / 8] = 0xff >> (bit % 8);
            assert_eq!(leading_zero_bits(&Hash::from_bytes(bytes)), bit as u32);
        }
    }

    #[test]
    fn the_stamp_found_is_the_first_and_holds() {
        let never = AtomicBool::new(false);
        let nonce = find_stamp(Context::RegistrationStamp, b"me", 10, &never).unwrap();
        let good = |nonce| check_stamp(Context::RegistrationStamp, b"me", nonce, 10);
        assert!(good(nonce));
        assert!((0..nonce).all(|earlier| !good(earlier)));
        let whole = [b"me".as_slice(), &nonce.to_be_bytes()].concat();
        assert!(leading_zero_bits(&super::super::hash(Context::RegistrationStamp, &whole)) >= 10);
    }

    #[test]
    fn stamps_do_not_serve_another_purpose_or_text() {
        let never = AtomicBool::new(false);
        let nonce = find_stamp(Context::RegistrationStamp, b"me", 16, &never).unwrap();
        assert!(!check_stamp(Context::VoteStamp, b"me", nonce, 16));
        assert!(!check_stamp(Context::RegistrationStamp, b"you", nonce, 16));
    }

    #[test]
    fn no_bits_cost_nothing_and_nonces_are_bounded() {
        let never = AtomicBool::new(false);
        assert_eq!(find_stamp(Context::VoteStamp, b"", 0, &never), Ok(0));
        assert!(check_stamp(Context::VoteStamp, b"", MAX_UINT, 0));
        assert!(!check_stamp(Context::VoteStamp, b"", MAX_UINT + 1, 0));
    }

    #[test]
    fn a_search_ends_when_told() {
        let raised = AtomicBool::new(true);
        assert_eq!(
            find_stamp(Context::VoteStamp, b"", 32, &raised),
            Err(StampError::Cancelled)
        );
        assert_eq!(
            find_stamp(Context::VoteStamp, b"", 33, &raised),
            Err(StampError::TooManyBits(33))
        );
    }
}
