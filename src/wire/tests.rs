#![allow(clippy::unwrap_used)]
// The macros make more than these tests use.
#![allow(dead_code)]

use super::*;

fixed_bytes! {
    /// A test key.
    pub struct Key([u8; 4]);
}

array_struct! {
    /// A test struct.
    pub struct Pair {
        /// Number.
        pub number: u64,
        /// Name.
        pub name: Text<1, 8>,
        /// Keys.
        pub keys: List<Key, 0, 2>,
        /// Kind.
        pub kind: Kind,
    }
}

tagged_enum! {
    /// A test enum.
    pub enum Kind {
        /// Nothing.
        0 => Empty {},
        /// Bytes.
        3 => Bytes {
            /// The bytes.
            bytes: Blob<1, 3>,
        },
    }
}

impl Message for Pair {
    const MAX_BYTES: usize = 64;
}

fn pair() -> Pair {
    Pair {
        number: 300,
        name: Text::new("Zoë").unwrap(),
        keys: List::new(vec![Key([1, 2, 3, 4])]).unwrap(),
        kind: Kind::Bytes {
            bytes: Blob::new(vec![9]).unwrap(),
        },
    }
}

const ENCODED: &[u8] = b"\x84\x19\x01\x2c\x64Zo\xc3\xab\x81\x44\x01\x02\x03\x04\x82\x03\x41\x09";

#[test]
fn structs_are_fixed_arrays_and_variants_begin_with_their_discriminant() {
    assert_eq!(encode(&pair()), ENCODED);
    assert_eq!(decode::<Pair>(ENCODED), Ok(pair()));
    assert_eq!(encode(&Kind::Empty {}), b"\x81\x00");
}

#[test]
fn every_single_byte_change_decodes_to_something_else_or_not_at_all() {
    for at in 0..ENCODED.len() {
        for value in 0..=255u8 {
            let mut bytes = ENCODED.to_vec();
            bytes[at] = value;
            if let Ok(decoded) = decode::<Pair>(&bytes) {
                assert_eq!(encode(&decoded), bytes);
            }
        }
    }
}

#[test]
fn every_truncation_and_extension_is_refused() {
    for end in 0..ENCODED.len() {
        assert!(decode::<Pair>(&ENCODED[..end]).is_err());
    }
    let mut longer = ENCODED.to_vec();
    longer.push(0);
    assert!(decode::<Pair>(&longer).is_err());
}

/// Decodes a lone list of integers.
fn ints(bytes: &[u8]) -> Result<Vec<u64>, DecodeError> {
    decode_bounded::<List<u64, 0, 4>>(bytes, 64).map(List::into_vec)
}

#[test]
fn the_profile_is_enforced() {
    assert_eq!(ints(b"\x82\x01\x18\x18"), Ok(vec![1, 24]));
    for (bytes, why) in [
        (&b"\x82\x01\x18\x17"[..], "shortest"),
        (b"\x9f\x01\xff", "indefinite"),
        (b"\x81\x20", "negative"),
        (b"\xa0", "map"),
        (b"\x81\xc1\x01", "tag"),
        (b"\x81\xf6", "simple"),
        (b"\x81\xf9\x00\x00", "float"),
        (b"\x81\x1b\x00\x20\x00\x00\x00\x00\x00\x00", "2^53"),
        (b"\x9a\xff\xff\xff\xff", "past the end"),
        (b"\x5b\xff\xff\xff\xff\xff\xff\xff\xff", "past the end"),
        (b"\x81\x1c", "reserved"),
        (b"", "early"),
        (b"\x80\x80", "after the end"),
        (b"\x61\xff", "UTF-8"),
        (&[0x81; 40], "deep"),
    ] {
        let error = ints(bytes).unwrap_err().to_string();
        assert!(error.contains(why), "{bytes:02x?}: {error}");
    }
    assert!(ints(b"\x85\x00\x00\x00\x00\x00").is_err(), "too many");
    assert_eq!(
        decode_bounded::<List<u64, 0, 4>>(&[0; 65], 64),
        Err(DecodeError::TooLong { len: 65, max: 64 })
    );
}

#[test]
fn text_is_normalised_bounded_and_free_of_controls() {
    assert_eq!(Text::<1, 8>::new("e\u{301}").unwrap().as_str(), "é");
    assert!(matches!(
        Text::<1, 4>::new(""),
        Err(TextError::Length { .. })
    ));
    assert!(matches!(
        Text::<1, 4>::new("12345"),
        Err(TextError::Length { .. })
    ));
    assert!(matches!(
        Text::<1, 4>::new("a\nb"),
        Err(TextError::Control(10))
    ));
    assert!(matches!(
        Text::<1, 9>::new("a\u{202e}b"),
        Err(TextError::Control(_))
    ));
    // On the wire nothing is repaired.
    assert!(decode_bounded::<Text<1, 8>>(b"\x63e\xcc\x81", 64).is_err());
}

#[test]
fn hexadecimal_round_trips_and_refuses_the_rest() {
    let key: Key = "01fF0a0B".parse().unwrap();
    assert_eq!(key.to_string(), "01ff0a0b");
    assert_eq!(serde_json::to_string(&key).unwrap(), "\"01ff0a0b\"");
    assert_eq!(serde_json::from_str::<Key>("\"01ff0a0b\"").unwrap(), key);
    assert!("01ff0a".parse::<Key>().is_err());
    assert!("01ff0a0g".parse::<Key>().is_err());
    assert!("é1ff0a0".parse::<Key>().is_err());
}
