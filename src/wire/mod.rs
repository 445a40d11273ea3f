//! Canonical CBOR: the one encoding of every value that is sent, signed, hashed or stored.
//!
//! The profile (`proto/README.md` describes it for other implementations) is a subset of the deterministic encoding of
//! RFC 8949 §4.2: unsigned integers up to 2^53−1, byte strings, text and definite-length arrays, all with the
//! shortest head; no maps, negative integers, floats, simple values or tags. Structures are fixed arrays and variants
//! are arrays that begin with an integer discriminant, so that a value has exactly one encoding.
//!
//! This module knows bytes and limits. It knows nothing of what the messages mean.

pub(crate) mod bytes;
mod macros;
mod scan;
mod types;

use serde::Serialize;
use serde::de::DeserializeOwned;

pub use bytes::ParseBytesError;
pub(crate) use bytes::fixed_bytes;
pub(crate) use macros::{array_struct, tagged_enum};
pub use types::{Blob, LimitError, List, Text, TextError};

/// The largest integer on the wire, 2^53 − 1: what every language's JSON and float type holds exactly.
pub const MAX_UINT: u64 = (1 << 53) - 1;

/// Room that an encoding begins with: that of a registration, so that most encodings are made in one piece.
const USUAL_BYTES: usize = 512;

/// A value that travels or is stored by itself, with the bound on its encoding.
pub trait Message: Serialize + DeserializeOwned {
    /// Longest admissible encoding, in bytes. Checked before anything is decoded.
    const MAX_BYTES: usize;
}

/// Why bytes are not the canonical encoding of the expected value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The input is longer than the message may be.
    #[error("{len} bytes are more than the {max} that this message may have")]
    TooLong {
        /// Length of the input in bytes.
        len: usize,
        /// Bound of the message in bytes.
        max: usize,
    },
    /// The bytes are outside the canonical CBOR profile.
    #[error("not canonical CBOR at byte {offset}: {what}")]
    NotCanonical {
        /// Where in the input.
        offset: usize,
        /// Which rule was broken.
        what: &'static str,
    },
    /// Canonical CBOR, but not of the expected shape or outside the bounds of a field.
    #[error("not a valid message: {0}")]
    Shape(String),
}

/// The canonical encoding of `value`.
///
/// # Panics
/// Only if a type of this crate cannot be serialised at all, which is a bug that the tests of `proto/` would show.
pub fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(USUAL_BYTES);
    value
        .serialize(&mut serde_cbor::Serializer::new(&mut bytes))
        .expect("wire types always serialise");
    debug_assert_eq!(scan::check(&bytes), Ok(()), "a value left the profile");
    bytes
}

/// Decodes a message, refusing whatever is over its bound, not canonical, or not of its shape.
pub fn decode<T: Message>(bytes: &[u8]) -> Result<T, DecodeError> {
    decode_bounded(bytes, T::MAX_BYTES)
}

/// Decodes any wire type with an explicit bound, for values whose bound depends on the network's parameters.
pub fn decode_bounded<T: Serialize + DeserializeOwned>(
    bytes: &[u8],
    max_bytes: usize,
) -> Result<T, DecodeError> {
    if bytes.len() > max_bytes {
        return Err(DecodeError::TooLong {
            len: bytes.len(),
            max: max_bytes,
        });
    }
    scan::check(bytes)?;
    let value: T =
        serde_cbor::from_slice(bytes).map_err(|error| DecodeError::Shape(error.to_string()))?;
    // The scan and the fixed shapes already make the encoding unique; this holds every type to it.
    if encode(&value) != bytes {
        return Err(DecodeError::NotCanonical {
            offset: 0,
            what: "does not encode back to the same bytes",
        });
    }
    Ok(value)
}

#[cfg(test)]
mod tests;
