//! Bounded building blocks: text, byte strings and lists that cannot be longer than they say.

use std::fmt;
use std::ops::Deref;

use serde::de::{Error as _, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use unicode_normalization::{UnicodeNormalization, is_nfc};

/// A collection with too few or too many elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{got} elements where {min} to {max} are allowed")]
pub struct LimitError {
    /// Elements given.
    pub got: usize,
    /// Fewest allowed.
    pub min: usize,
    /// Most allowed.
    pub max: usize,
}

fn within(got: usize, min: usize, max: usize) -> Result<(), LimitError> {
    if (min..=max).contains(&got) {
        Ok(())
    } else {
        Err(LimitError { got, min, max })
    }
}

/// Why a text cannot be a field of a message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TextError {
    /// Too short or too long, in UTF-8 bytes.
    #[error("text of {got} bytes where {min} to {max} are allowed")]
    Length {
        /// Bytes given.
        got: usize,
        /// Fewest allowed.
        min: usize,
        /// Most allowed.
        max: usize,
    },
    /// Contains a control character (Unicode category Cc), a line or paragraph separator, or a bidirectional override.
    #[error("text contains the control character U+{0:04X}")]
    Control(u32),
    /// Not in Unicode Normalization Form C.
    #[error("text is not in Unicode normalization form C")]
    NotNfc,
}

/// Characters that would let one text be displayed as another, or break a line.
fn is_control(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
}

/// Text of `MIN` to `MAX` UTF-8 bytes in NFC without control characters.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Text<const MIN: usize, const MAX: usize>(String);

impl<const MIN: usize, const MAX: usize> Text<MIN, MAX> {
    /// Normalises what a person wrote to NFC and checks it.
    pub fn new(text: &str) -> Result<Self, TextError> {
        Self::checked(text.nfc().collect())
    }

    fn checked(text: String) -> Result<Self, TextError> {
        if !(MIN..=MAX).contains(&text.len()) {
            return Err(TextError::Length {
                got: text.len(),
                min: MIN,
                max: MAX,
            });
        }
        if let Some(control) = text.chars().find(|c| is_control(*c)) {
            return Err(TextError::Control(control as u32));
        }
        if !is_nfc(&text) {
            return Err(TextError::NotNfc);
        }
        Ok(Self(text))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<const MIN: usize, const MAX: usize> Deref for Text<MIN, MAX> {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl<const MIN: usize, const MAX: usize> fmt::Display for Text<MIN, MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<const MIN: usize, const MAX: usize> fmt::Debug for Text<MIN, MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl<const MIN: usize, const MAX: usize> Serialize for Text<MIN, MAX> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de, const MIN: usize, const MAX: usize> Deserialize<'de> for Text<MIN, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor<const MIN: usize, const MAX: usize>;

        impl<const MIN: usize, const MAX: usize> Visitor<'_> for TextVisitor<MIN, MAX> {
            type Value = Text<MIN, MAX>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "text of {MIN} to {MAX} bytes")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Self::Value, E> {
                if text.len() > MAX {
                    return Err(E::invalid_length(text.len(), &self));
                }
                Text::checked(text.to_owned()).map_err(E::custom)
            }
        }

        deserializer.deserialize_str(TextVisitor)
    }
}

/// A byte string of `MIN` to `MAX` bytes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Blob<const MIN: usize, const MAX: usize>(Vec<u8>);

impl<const MIN: usize, const MAX: usize> Blob<MIN, MAX> {
    /// Wraps bytes of an admissible length.
    pub fn new(bytes: Vec<u8>) -> Result<Self, LimitError> {
        within(bytes.len(), MIN, MAX)?;
        Ok(Self(bytes))
    }

    /// Wraps an array whose length the compiler finds admissible.
    pub fn of<const N: usize>(bytes: [u8; N]) -> Self {
        const { assert!(MIN <= N && N <= MAX) };
        Self(bytes.into())
    }
}

impl<const MIN: usize, const MAX: usize> Deref for Blob<MIN, MAX> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl<const MIN: usize, const MAX: usize> fmt::Debug for Blob<MIN, MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        super::bytes::write_hex(&self.0, f)
    }
}

impl<const MIN: usize, const MAX: usize> Serialize for Blob<MIN, MAX> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de, const MIN: usize, const MAX: usize> Deserialize<'de> for Blob<MIN, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct BlobVisitor<const MIN: usize, const MAX: usize>;

        impl<const MIN: usize, const MAX: usize> Visitor<'_> for BlobVisitor<MIN, MAX> {
            type Value = Blob<MIN, MAX>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "a byte string of {MIN} to {MAX} bytes")
            }

            fn visit_bytes<E: serde::de::Error>(self, bytes: &[u8]) -> Result<Self::Value, E> {
                within(bytes.len(), MIN, MAX).map_err(E::custom)?;
                Ok(Blob(bytes.to_vec()))
            }
        }

        deserializer.deserialize_bytes(BlobVisitor)
    }
}

/// An array of `MIN` to `MAX` elements of one type.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct List<T, const MIN: usize, const MAX: usize>(Vec<T>);

impl<T, const MIN: usize, const MAX: usize> List<T, MIN, MAX> {
    /// Wraps elements of an admissible number.
    pub fn new(items: Vec<T>) -> Result<Self, LimitError> {
        within(items.len(), MIN, MAX)?;
        Ok(Self(items))
    }

    /// The elements, by value.
    pub fn into_vec(self) -> Vec<T> {
        self.0
    }
}

impl<T, const MIN: usize, const MAX: usize> Deref for List<T, MIN, MAX> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.0
    }
}

impl<T: fmt::Debug, const MIN: usize, const MAX: usize> fmt::Debug for List<T, MIN, MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<T: Serialize, const MIN: usize, const MAX: usize> Serialize for List<T, MIN, MAX> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de, T: Deserialize<'de>, const MIN: usize, const MAX: usize> Deserialize<'de>
    for List<T, MIN, MAX>
{
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ListVisitor<T, const MIN: usize, const MAX: usize>(std::marker::PhantomData<T>);

        impl<'de, T: Deserialize<'de>, const MIN: usize, const MAX: usize> Visitor<'de>
            for ListVisitor<T, MIN, MAX>
        {
            type Value = List<T, MIN, MAX>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "an array of {MIN} to {MAX} elements")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                // The announced length is checked before room is made for it.
                let announced = seq.size_hint().unwrap_or(0);
                if announced > MAX {
                    return Err(A::Error::invalid_length(announced, &self));
                }
                let mut items = Vec::with_capacity(announced);
                while let Some(item) = seq.next_element()? {
                    if items.len() == MAX {
                        return Err(A::Error::invalid_length(MAX + 1, &self));
                    }
                    items.push(item);
                }
                List::new(items).map_err(A::Error::custom)
            }
        }

        deserializer.deserialize_seq(ListVisitor(std::marker::PhantomData))
    }
}
