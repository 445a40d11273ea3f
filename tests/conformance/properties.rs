//! Encoding and decoding as properties, of every type: the golden messages with their contents replaced at random.

use std::sync::LazyLock;

use proptest::prelude::*;
use proptest::sample::Index;
use serde_cbor::Value;
use votenode::protocol::transaction_file::from_hex;

use crate::schema::{MESSAGES, message_type, validate};
use crate::vectors::path;

/// Every golden message: its rule and its contents.
static GOLDEN: LazyLock<Vec<(String, Value)>> = LazyLock::new(|| {
    let text = std::fs::read_to_string(path("messages.json")).unwrap();
    let file: serde_json::Value = serde_json::from_str(&text).unwrap();
    let vectors = file["vectors"].as_array().unwrap().iter();
    vectors
        .map(|vector| {
            let bytes = from_hex(vector["hex"].as_str().unwrap(), usize::MAX).unwrap();
            let rule = vector["rule"].as_str().unwrap().to_owned();
            (rule, serde_cbor::from_slice(&bytes).unwrap())
        })
        .collect()
});

/// Numbers from a list that never ends.
struct Choices<'a>(std::iter::Cycle<std::slice::Iter<'a, u64>>);

impl Choices<'_> {
    fn next(&mut self) -> u64 {
        *self.0.next().unwrap()
    }
}

/// Replaces some of the numbers, bytes and texts, and now and then an item of a list. Most of what comes out is a message
/// again: a key is a key whatever its bytes.
fn replace(value: &mut Value, choices: &mut Choices<'_>) {
    match value {
        Value::Integer(number) if choices.next().is_multiple_of(4) => {
            *number = i128::from((choices.next() & ((1 << 53) - 1)) >> (choices.next() % 54));
        }
        Value::Bytes(bytes) if choices.next().is_multiple_of(2) => {
            for byte in bytes {
                *byte = choices.next() as u8;
            }
        }
        Value::Text(text) if choices.next().is_multiple_of(2) => {
            let alphabet = ['a', 'Z', '7', ' ', 'é', '\u{301}', '語', '\n'];
            let length = choices.next() % 40;
            let letter = |_| alphabet[(choices.next() % 64).trailing_zeros() as usize % 8];
            *text = (0..length).map(letter).collect();
        }
        Value::Array(items) => {
            for item in items.iter_mut() {
                replace(item, choices);
            }
            if choices.next().is_multiple_of(32) && !items.is_empty() {
                let item = items[choices.next() as usize % items.len()].clone();
                items.push(item);
            }
        }
        _ => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever decodes has this encoding and no other, and is what the schema says.
    #[test]
    fn what_decodes_has_one_encoding_and_satisfies_the_schema(
        which in any::<Index>(),
        choices in prop::collection::vec(any::<u64>(), 8..80),
    ) {
        let (rule, value) = which.get(&GOLDEN);
        let mut value = value.clone();
        replace(&mut value, &mut Choices(choices.iter().cycle()));
        let bytes = serde_cbor::to_vec(&value).unwrap();
        if let Ok(again) = (message_type(rule).decode)(&bytes) {
            prop_assert_eq!(&again, &bytes);
            prop_assert_eq!(validate(rule, &bytes), Ok(()));
        }
    }
}

/// The property above is about something: of every type, some messages with other contents decode.
#[test]
fn other_contents_of_every_message_decode() {
    for message in &MESSAGES {
        let golden = GOLDEN.iter().filter(|(rule, _)| rule == message.rule);
        let decoded = golden
            .flat_map(|(_, value)| (0..60u64).map(move |seed| (value, seed)))
            .filter(|(value, seed)| {
                let numbers: Vec<u64> = (0..97)
                    .map(|place| (seed * 97 + place + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 7)
                    .collect();
                let mut other = (*value).clone();
                replace(&mut other, &mut Choices(numbers.iter().cycle()));
                let bytes = serde_cbor::to_vec(&other).unwrap();
                other != **value && (message.decode)(&bytes).is_ok()
            })
            .count();
        assert!(decoded > 0, "no other {} decodes", message.rule);
    }
}
