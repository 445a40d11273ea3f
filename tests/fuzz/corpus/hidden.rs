//! Seeds for the decoders that the library keeps to itself, put together by hand as their formats say: what they write
//! themselves would show nothing if they wrote it wrong.

use votenode::chain::block::Header;
use votenode::chain::transaction::{Payload, Transaction};
use votenode::crypto::code;
use votenode::genesis;
use votenode::protocol::transaction_file::to_hex;
use votenode::wire;

use crate::targets::world::{World, finaliser, world};

/// By the names of the decoders of bytes.
pub fn binary() -> Vec<(&'static str, Vec<u8>)> {
    let world = world();
    let header = &world.branches[0][1].header;
    let block = header.id();
    let transaction = &world.pool[0];
    let key = finaliser(1).public_key();
    let position = [&2u64.to_be_bytes()[..], &[0, 0, 0, 5]].concat();
    let at_position = |kind: u8| [&[kind][..], &position].concat();
    let tagged = |kind: u8| [&7u64.to_be_bytes()[..], &[kind], key.as_bytes()].concat();
    let framed = |message: &[u8]| [&(message.len() as u32).to_be_bytes()[..], message].concat();
    let mut seeds = vec![
        (
            "dropped-reason",
            wire::encode(&(9u64, transaction.id(), (5u64, "too late"))),
        ),
        ("frame", framed(b"")),
        ("frame", framed(&wire::encode(transaction))),
        ("stored-header", stored_header(header, 0)),
        ("stored-header", stored_header(header, 100)),
        ("stored-point", wire::encode(&(2u64, block))),
        (
            "stored-counts",
            wire::encode(&(9u64, 8u64, 7u64, 6u64, 5u64, 4u64, 3u64)),
        ),
        (
            "stored-voter",
            wire::encode(&(3u64, "club", 1_000u64, 2u64, 1u64)),
        ),
        ("stored-invitation", wire::encode(&("club", 2u64, 1u64))),
        ("stored-number", wire::encode(&70_000u64)),
        ("stored-position", position.clone()),
        ("stored-use", at_position(0)),
        ("stored-use", at_position(1)),
        ("stored-vote", position.clone()),
        ("stored-vote", [&position[..], &[0, 2]].concat()),
        ("stored-vote-key", tagged(0)),
        ("stored-vote-key", tagged(1)),
        (
            "stored-conviction",
            [&key.as_bytes()[..], &[1], &[0; 16], &position].concat(),
        ),
        ("stored-body", wire::encode(&Vec::<Transaction>::new())),
        (
            "stored-pending",
            [&4u64.to_be_bytes()[..], &wire::encode(transaction)].concat(),
        ),
        (
            "stored-checkpoint",
            [
                &2u64.to_be_bytes()[..],
                &wire::encode(&world.certificates[0]),
            ]
            .concat(),
        ),
    ];
    seeds.extend(from_transactions(world));
    seeds
}

fn stored_header(header: &Header, body: u64) -> Vec<u8> {
    wire::encode(&(header, 1u64, body))
}

/// What the store makes of the transactions of the chain.
fn from_transactions(world: &World) -> Vec<(&'static str, Vec<u8>)> {
    let mut seeds = Vec::new();
    for block in &world.branches[0] {
        let body: Vec<&Transaction> = block.transactions.iter().map(|one| &**one).collect();
        seeds.push(("stored-body", wire::encode(&body)));
    }
    for transaction in &world.pool {
        match &transaction.payload {
            Payload::Registration { registration } => seeds.push((
                "stored-leaf",
                wire::encode(&(registration.voter, registration.ring_key, "open")),
            )),
            Payload::Election { election } => seeds.push((
                "stored-election",
                wire::encode(&(transaction.id(), 2u64, 1u64, 1_000u64, election)),
            )),
            Payload::FinaliserChange { change } => {
                seeds.push(("stored-set-change", wire::encode(&(2u64, 1u64, change))));
            }
            _ => {}
        }
    }
    seeds
}

/// By the names of the decoders of text.
pub fn texts() -> Vec<(&'static str, String)> {
    let hex: Vec<String> = world().pool[..3]
        .iter()
        .map(|transaction| to_hex(&wire::encode(transaction)))
        .collect();
    let codes: Vec<String> = (1..4)
        .map(|number| code::encode(code::Kind::Invitation, &[number; 32]).to_string())
        .collect();
    let state = |step: &str| {
        let network = genesis::lan().network_id();
        format!(
            "votenode finaliser state 2\nnetwork {network}\ncheckpoint 7\nround 1\nstep {step}\n"
        )
    };
    let json = serde_json::json!({ "transactions": hex }).to_string();
    vec![
        ("finaliser-state", state("proposal")),
        ("finaliser-state", state("precommit")),
        ("submission-json", json),
        ("submission-lines", hex.join("\n")),
        ("host", "localhost:7118".to_owned()),
        ("host", "[::1]:7118".to_owned()),
        ("invitation-codes", codes.join("\n\n")),
    ]
}

/// A seed that its decoder refuses is none.
#[test]
fn every_hidden_decoder_reads_its_seeds() {
    let texts = texts().into_iter();
    let texts = texts.map(|(name, text)| (name, text.into_bytes()));
    for (decoders, seeds) in [
        (votenode::fuzzing::binary(), binary()),
        (votenode::fuzzing::TEXTS.to_vec(), texts.collect()),
    ] {
        for (name, decode) in &decoders {
            let seeds = seeds.iter().filter(|(of, _)| of == name);
            let read: Vec<bool> = seeds.map(|(_, seed)| decode(seed)).collect();
            assert!(!read.is_empty() && read.iter().all(|read| *read), "{name}");
        }
        let names: Vec<_> = decoders.iter().map(|(name, _)| *name).collect();
        assert!(seeds.iter().all(|(name, _)| names.contains(name)));
    }
}
