//! `hashes.json` and `keys.json`: contexts, Merkle trees, stamps; voter_ids, keys and codes.

use std::sync::atomic::AtomicBool;

use bech32::{Bech32, Hrp};
use serde_json::json;
use votenode::chain::merkle::{PerfectNodes, Tree};
use votenode::crypto::code::{self, Kind};
use votenode::crypto::{Context, VoterId, hash, stamp, xof};

use crate::samples;
use crate::vectors::{hex, settle};

#[test]
fn hashes_are_what_they_were() {
    let contexts: Vec<_> = Context::ALL
        .iter()
        // Coefficients of batch verification never leave a process.
        .filter(|context| **context != Context::BatchCoefficients)
        .map(|context| {
            let mut long = [0; 64];
            xof(*context, b"votenode", &mut long);
            assert_eq!(long[..32], hash(*context, b"votenode").to_bytes());
            json!({ "context": context.name(), "input": hex(b"votenode"), "xof64": hex(long) })
        })
        .collect();
    let trees: Vec<_> = (0u8..=9)
        .map(|count| {
            let leaves: Vec<Vec<u8>> = (0..count)
                .map(|index| vec![index; 1 + usize::from(index)])
                .collect();
            let hashes: Vec<_> = leaves.iter().map(|leaf| Tree::Roll.leaf(leaf)).collect();
            let root = Tree::Roll.root(hashes.iter().copied());
            let nodes = PerfectNodes::new(Tree::Roll, hashes.clone());
            let paths: Vec<Vec<_>> = (0..u64::from(count))
                .map(|index| {
                    let proof = nodes.inclusion(Tree::Roll, index).unwrap();
                    assert!(proof.verify(Tree::Roll, hashes[index as usize], &root));
                    proof.path.iter().map(hex).collect()
                })
                .collect();
            json!({
                "context": Context::RollTree.name(),
                "leaves": leaves.iter().map(hex).collect::<Vec<_>>(),
                "root": hex(root),
                "paths": paths,
            })
        })
        .collect();
    let stamps: Vec<_> = [0, 1, 8, 12]
        .into_iter()
        .flat_map(|bits| {
            let never = AtomicBool::new(false);
            let context = Context::RegistrationStamp;
            let found = stamp::find_stamp(context, b"stamped", bits, &never).unwrap();
            [found, found + 1].map(|nonce| {
                json!({
                    "context": context.name(),
                    "payload": hex(b"stamped"),
                    "bits": bits,
                    "stamp": nonce,
                    "valid": stamp::check_stamp(context, b"stamped", nonce, bits),
                })
            })
        })
        .collect();
    assert!(stamps.iter().any(|stamp| stamp["valid"] == false));
    settle(
        "hashes.json",
        &json!({
            "about": "Hash contexts, Merkle trees with the audit path of every leaf (from the leaf up), and stamps.",
            "contexts": contexts,
            "trees": trees,
            "stamps": stamps,
        }),
    );
}

#[test]
fn keys_follow_from_the_voter_id() {
    let voters: Vec<_> = [[0; 32], [1; 32], [0xff; 32], *samples::filler(1).as_bytes()]
        .into_iter()
        .map(|bytes| {
            let id = VoterId::from_bytes(bytes);
            let (key, ring) = (id.signing_key(), id.ring_secret());
            json!({
                "voter_id": hex(bytes),
                "code": id.to_text().as_str(),
                "voter_seed": hex(key.seed().as_slice()),
                "voter_key": hex(key.public_key()),
                "ring_secret": hex(ring.scalar_bytes().as_slice()),
                "ring_key": hex(ring.ring_key()),
            })
        })
        .collect();
    let codes: Vec<_> = Kind::ALL
        .into_iter()
        .map(|kind| {
            let bytes = samples::key(7).public_key().to_bytes();
            json!({ "prefix": kind.prefix(), "hex": hex(bytes), "code": code::encode(kind, &bytes).as_str() })
        })
        .collect();

    let good = VoterId::from_bytes([1; 32]).to_text();
    let swapped = {
        let (head, tail) = good.split_at(good.len() - 2);
        let mut tail = tail.chars();
        let (first, second) = (tail.next().unwrap(), tail.next().unwrap());
        assert_ne!(first, second);
        format!("{head}{second}{first}")
    };
    let mixed: String = good
        .char_indices()
        .map(|(index, c)| {
            if index % 2 == 0 {
                c.to_ascii_uppercase()
            } else {
                c
            }
        })
        .collect();
    let bad = [
        ("two characters swapped", swapped),
        ("upper and lower case mixed", mixed),
        ("a character missing", good[..good.len() - 1].to_owned()),
        (
            "bech32 in place of bech32m",
            bech32::encode::<Bech32>(Hrp::parse("voter").unwrap(), &[1; 32]).unwrap(),
        ),
        (
            "a prefix that nobody knows",
            good.replacen("voter", "noter", 1),
        ),
        ("no separator", good.replace('1', "")),
    ];
    for (name, code) in &bad {
        assert!(code::decode(code).is_err(), "{name}");
    }
    settle(
        "keys.json",
        &json!({
            "about": "What follows from a voter_id, the code of 32 bytes under every prefix, and texts that are no code.",
            "voters": voters,
            "codes": codes,
            "bad_codes": bad.iter().map(|(name, code)| json!({ "name": name, "code": code })).collect::<Vec<_>>(),
        }),
    );
}
