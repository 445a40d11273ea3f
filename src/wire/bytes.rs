//! Fixed-size byte strings: keys, hashes, signatures.

/// Why a text is not the hexadecimal form of a fixed-size byte string.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseBytesError {
    /// Not the right number of hexadecimal digits.
    #[error("{got} characters where {want} hexadecimal digits are wanted")]
    Length {
        /// Characters given.
        got: usize,
        /// Digits wanted.
        want: usize,
    },
    /// A character that is not a hexadecimal digit.
    #[error("not a hexadecimal number")]
    Digit,
}

/// Parses exactly `N` bytes of hexadecimal, either case.
pub(crate) fn parse_hex<const N: usize>(text: &str) -> Result<[u8; N], ParseBytesError> {
    let digits = text.as_bytes();
    if digits.len() != 2 * N {
        return Err(ParseBytesError::Length {
            got: digits.len(),
            want: 2 * N,
        });
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        let high = (pair[0] as char)
            .to_digit(16)
            .ok_or(ParseBytesError::Digit)?;
        let low = (pair[1] as char)
            .to_digit(16)
            .ok_or(ParseBytesError::Digit)?;
        *byte = (high << 4 | low) as u8;
    }
    Ok(bytes)
}

/// Writes bytes as lower-case hexadecimal.
pub(crate) fn write_hex(bytes: &[u8], f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
}

/// Serde visitor for a byte string of exactly `N` bytes.
pub(crate) struct FixedVisitor<const N: usize>;

impl<const N: usize> serde::de::Visitor<'_> for FixedVisitor<N> {
    type Value = [u8; N];

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "a byte string of {N} bytes")
    }

    fn visit_bytes<E: serde::de::Error>(self, bytes: &[u8]) -> Result<Self::Value, E> {
        bytes
            .try_into()
            .map_err(|_| E::invalid_length(bytes.len(), &self))
    }
}

/// Defines a `Copy` newtype over `[u8; N]` that is a CBOR byte string on the wire and hexadecimal in text and JSON.
macro_rules! fixed_bytes {
    ($(#[$meta:meta])* pub struct $name:ident([u8; $n:expr]);) => {
        $(#[$meta])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub(crate) [u8; $n]);

        impl $name {
            /// Length in bytes.
            pub const LEN: usize = $n;
            /// All bytes zero.
            pub const ZERO: Self = Self([0; $n]);

            /// Wraps bytes as they are; nothing is checked.
            pub const fn from_bytes(bytes: [u8; $n]) -> Self {
                Self(bytes)
            }

            /// The bytes.
            pub const fn as_bytes(&self) -> &[u8; $n] {
                &self.0
            }

            /// The bytes, by value.
            pub const fn to_bytes(self) -> [u8; $n] {
                self.0
            }

            /// The first eight hexadecimal digits, for logs and tables.
            pub fn short(&self) -> String {
                self.0[..4].iter().map(|byte| format!("{byte:02x}")).collect()
            }
        }

        impl AsRef<[u8]> for $name {
            fn as_ref(&self) -> &[u8] {
                &self.0
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                $crate::wire::bytes::write_hex(&self.0, f)
            }
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, "{}({self})", stringify!($name))
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::wire::ParseBytesError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                $crate::wire::bytes::parse_hex(text).map(Self)
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                if serializer.is_human_readable() {
                    serializer.collect_str(self)
                } else {
                    serializer.serialize_bytes(&self.0)
                }
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                if deserializer.is_human_readable() {
                    let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
                    text.parse().map_err(serde::de::Error::custom)
                } else {
                    deserializer
                        .deserialize_bytes($crate::wire::bytes::FixedVisitor::<{ $n }>)
                        .map(Self)
                }
            }
        }
    };
}
pub(crate) use fixed_bytes;
