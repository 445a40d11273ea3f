//! `encoding.json`: bytes that are almost a message, and must be refused before anything is made of them.

use serde_json::json;
use votenode::wire;

use crate::samples::{self, filler};
use crate::schema;
use crate::vectors::{hex, settle};

/// An array of these encoded items.
fn array(items: &[Vec<u8>]) -> Vec<u8> {
    assert!(items.len() < 24);
    let mut bytes = vec![0x80 + items.len() as u8];
    items.iter().for_each(|item| bytes.extend(item));
    bytes
}

fn text(text: &str) -> Vec<u8> {
    wire::encode(&text)
}

/// The encoded fields of the sample genesis, with one of them replaced.
fn genesis_with(field: usize, item: Vec<u8>) -> Vec<u8> {
    let genesis = samples::genesis();
    let mut items = vec![
        wire::encode(&genesis.version),
        wire::encode(&genesis.name),
        wire::encode(&genesis.timestamp_ms),
        wire::encode(&genesis.block_time_ms),
        wire::encode(&genesis.target),
        wire::encode(&genesis.close_grace_ms),
        wire::encode(&genesis.confirmations),
        wire::encode(&genesis.max_block_bytes),
        wire::encode(&genesis.max_block_transactions),
        wire::encode(&genesis.open_admission),
        wire::encode(&genesis.vote_stamp_bits),
        wire::encode(&genesis.elections_by),
        wire::encode(&genesis.organisers),
        wire::encode(&genesis.finalisers),
    ];
    assert_eq!(array(&items), wire::encode(&genesis));
    items[field] = item;
    array(&items)
}

/// Name, rule and bytes.
fn all() -> Vec<(&'static str, &'static str, Vec<u8>)> {
    const NAME: usize = 1;
    const BLOCK_TIME: usize = 3;
    const TARGET: usize = 4;
    const FINALISERS: usize = 13;
    let head = |first: u8, rest: &[u8]| [&[first], rest].concat();
    let genesis = wire::encode(&samples::genesis());
    let id = || wire::encode(&filler(1));

    let mut indefinite = genesis.clone();
    indefinite[0] = 0x9f;
    indefinite.push(0xff);
    let mut trailing = genesis.clone();
    trailing.push(0);
    let organiser = array(&[
        wire::encode(&samples::organiser().public_key()),
        wire::encode(&1u8),
        text("x"),
    ]);
    let too_many = |count: u8| [vec![0x98, count], organiser.repeat(usize::from(count))].concat();

    vec![
        ("no bytes", "genesis", Vec::new()),
        ("a byte after the end", "genesis", trailing),
        (
            "the last byte missing",
            "genesis",
            genesis[..genesis.len() - 1].to_vec(),
        ),
        ("array of indefinite length", "genesis", indefinite),
        (
            "array length in two bytes",
            "genesis",
            [&[0x98, 14], &genesis[1..]].concat(),
        ),
        (
            "a field too many",
            "genesis",
            [&[0x8f], &genesis[1..], &[0]].concat(),
        ),
        (
            "a field too few",
            "genesis",
            [&[0x8d], &genesis[1..genesis.len() - 1]].concat(),
        ),
        ("a map", "genesis", vec![0xa0]),
        (
            "integer 1000 in four bytes",
            "genesis",
            genesis_with(BLOCK_TIME, head(0x1a, &[0, 0, 3, 0xe8])),
        ),
        (
            "integer 1 in one byte more",
            "genesis",
            genesis_with(6, head(0x18, &[1])),
        ),
        (
            "integer 2^53",
            "genesis",
            genesis_with(2, head(0x1b, &[0, 0x20, 0, 0, 0, 0, 0, 0])),
        ),
        (
            "negative integer",
            "genesis",
            genesis_with(BLOCK_TIME, vec![0x20]),
        ),
        (
            "float",
            "genesis",
            genesis_with(BLOCK_TIME, head(0xf9, &[0x3c, 0])),
        ),
        ("boolean", "genesis", genesis_with(11, vec![0xf5])),
        ("null", "genesis", genesis_with(BLOCK_TIME, vec![0xf6])),
        (
            "tagged bignum",
            "genesis",
            genesis_with(BLOCK_TIME, head(0xc2, &[0x41, 1])),
        ),
        (
            "reserved head",
            "genesis",
            genesis_with(BLOCK_TIME, vec![0x1c]),
        ),
        (
            "byte string in chunks",
            "genesis",
            genesis_with(TARGET, [vec![0x5f], id(), vec![0xff]].concat()),
        ),
        (
            "byte string longer than the input",
            "genesis",
            genesis_with(FINALISERS, vec![0x5b, 0, 0, 0, 1, 0, 0, 0, 0]),
        ),
        (
            "array longer than the input",
            "genesis",
            genesis_with(FINALISERS, vec![0x9a, 0xff, 0xff, 0xff, 0xff]),
        ),
        (
            "31 bytes for 32",
            "genesis",
            genesis_with(TARGET, head(0x58, &[[31].as_slice(), &[1; 31]].concat())),
        ),
        (
            "33 bytes for 32",
            "genesis",
            genesis_with(TARGET, head(0x58, &[[33].as_slice(), &[1; 33]].concat())),
        ),
        (
            "array of integers for bytes",
            "genesis",
            genesis_with(TARGET, head(0x98, &[[32].as_slice(), &[1; 32]].concat())),
        ),
        (
            "text for bytes",
            "genesis",
            genesis_with(TARGET, text(&"x".repeat(32))),
        ),
        (
            "bytes for text",
            "genesis",
            genesis_with(NAME, head(0x41, b"x")),
        ),
        ("empty text", "genesis", genesis_with(NAME, vec![0x60])),
        (
            "text of 65 bytes for 64",
            "genesis",
            genesis_with(NAME, text(&"x".repeat(65))),
        ),
        (
            "text that is not UTF-8",
            "genesis",
            genesis_with(NAME, head(0x61, &[0xff])),
        ),
        (
            "text in a surrogate",
            "genesis",
            genesis_with(NAME, head(0x63, &[0xed, 0xa0, 0x80])),
        ),
        (
            "text in normalisation form D",
            "genesis",
            genesis_with(NAME, text("e\u{301}")),
        ),
        (
            "text with a line break",
            "genesis",
            genesis_with(NAME, text("a\nb")),
        ),
        (
            "text with U+0085",
            "genesis",
            genesis_with(NAME, text("a\u{85}b")),
        ),
        (
            "text with a line separator",
            "genesis",
            genesis_with(NAME, text("a\u{2028}b")),
        ),
        (
            "text that turns right to left",
            "genesis",
            genesis_with(NAME, text("a\u{202e}b")),
        ),
        (
            "text with an isolate",
            "genesis",
            genesis_with(NAME, text("a\u{2066}b")),
        ),
        (
            "variant that does not exist",
            "genesis",
            genesis_with(9, array(&[vec![2]])),
        ),
        (
            "variant without its field",
            "genesis",
            genesis_with(9, array(&[vec![1]])),
        ),
        (
            "variant with a field too many",
            "genesis",
            genesis_with(9, array(&[vec![0], vec![0]])),
        ),
        (
            "variant without a number",
            "genesis",
            genesis_with(9, vec![0x80]),
        ),
        (
            "65 organisers for 64",
            "genesis",
            genesis_with(12, too_many(65)),
        ),
        (
            "17 arrays deep",
            "genesis",
            [vec![0x81; 17], vec![0]].concat(),
        ),
        (
            "longer than a genesis may be",
            "genesis",
            genesis_with(NAME, text(&"x".repeat(40_000))),
        ),
        (
            "header longer than a header may be",
            "header",
            wire::encode(&vec![0u8; 300]),
        ),
        (
            "a kind of transaction that does not exist",
            "transaction",
            array(&[head(0x44, &[0; 4]), array(&[vec![8], vec![0x80]])]),
        ),
        (
            "no transactions in a batch",
            "transaction-batch",
            vec![0x81, 0x80],
        ),
        ("an optional result that is there twice", "submit-reply", {
            let result = array(&[id(), vec![0x01]]);
            array(&[vec![3], array(&[result.clone(), result])])
        }),
        (
            "seven counts for eight",
            "mining-state",
            array(&[
                id(),
                vec![1],
                vec![1],
                array(&vec![vec![0]; 7]),
                vec![1],
                vec![1],
                vec![1],
                id(),
                head(0x58, &[[64].as_slice(), &[0; 64]].concat()),
            ]),
        ),
    ]
}

#[test]
fn what_is_not_canonical_is_refused() {
    let mut entries = Vec::new();
    for (name, rule, bytes) in all() {
        let verdict = (schema::message_type(rule).decode)(&bytes);
        assert!(verdict.is_err(), "{name} was taken");
        entries.push(json!({ "name": name, "rule": rule, "hex": hex(&bytes) }));
    }
    settle(
        "encoding.json",
        &json!({
            "about": "Bytes that must be refused as the message that the rule names: outside the canonical profile of \
                      README §1, of another shape, or above a bound.",
            "vectors": entries,
        }),
    );
}
