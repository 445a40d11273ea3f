//! Where fuzzing begins: the golden vectors of `proto/`, the example files of `config/`, and numbers for the targets that
//! put things together by themselves.

mod hidden;

use std::path::Path;

use serde_json::Value;
use votenode::genesis;
use votenode::protocol::names::Topic;
use votenode::protocol::transaction_file::from_hex;
use votenode::wire;

use crate::mutation::Dice;
use crate::targets::world::world;
use crate::targets::{FILES, message_names, text_names};

/// Seeds for targets that take a stream of choices.
const STREAMS: u64 = 12;
/// Longest vector, in bytes.
const MAX_BYTES: usize = 16 << 20;

fn vectors(name: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("proto/vectors")
        .join(name);
    let text = std::fs::read_to_string(&path)
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).unwrap()
}

fn bytes(hex: &Value) -> Vec<u8> {
    match hex.as_str().unwrap() {
        "" => Vec::new(),
        hex => from_hex(hex, MAX_BYTES).unwrap(),
    }
}

/// The vectors of messages, good ones and bad ones, by the name of the message.
fn messages() -> Vec<(String, Vec<u8>)> {
    let mut seeds = Vec::new();
    for name in ["messages.json", "encoding.json"] {
        for vector in vectors(name)["vectors"].as_array().unwrap() {
            let rule = vector["rule"].as_str().unwrap();
            let rule = if rule == "genesis-reply" {
                "genesis"
            } else {
                rule
            };
            seeds.push((rule.to_owned(), bytes(&vector["hex"])));
        }
    }
    for network in vectors("transactions.json")["networks"].as_array().unwrap() {
        let vectors = network["vectors"].as_array().unwrap().iter();
        // One is nothing but zeros, and has their number instead.
        for hex in vectors.filter_map(|vector| vector.get("hex")) {
            seeds.push(("transaction".to_owned(), bytes(hex)));
        }
    }
    seeds
}

/// Behind the number of its form, which is its place among `names`.
fn numbered(names: &[&str], form: &str, seed: &[u8]) -> Vec<u8> {
    let place = names.iter().position(|name| *name == form);
    let place = place.unwrap_or_else(|| panic!("nothing decodes a {form}"));
    [&[place as u8], seed].concat()
}

fn texts() -> Vec<Vec<u8>> {
    let keys = vectors("keys.json");
    let mut seeds: Vec<(&str, String)> = Vec::new();
    for list in ["codes", "bad_codes"] {
        for code in keys[list].as_array().unwrap() {
            let code = code["code"].as_str().unwrap();
            seeds.push(("code", code.to_owned()));
            seeds.push(("words", format!("cannot open {code}: no such file")));
        }
    }
    let file = |name: &str| {
        let path = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("config")
            .join(name);
        std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    };
    let network = genesis::lan().network_id();
    seeds.extend([
        ("id", network.to_string()),
        ("address", "/ip4/192.0.2.7/tcp/7117".to_owned()),
        (
            "address",
            "/dns/vote.example.org/udp/7117/quic-v1".to_owned(),
        ),
        ("duration", "2d 3h".to_owned()),
        ("duration", "90s".to_owned()),
        (
            "transactions",
            format!("votenode transactions 1\nnetwork: {network}\n\n00\n"),
        ),
        (
            "change",
            format!(
                "votenode finaliser change 1\nnetwork: {network}\nset: 1\n\nfinaliser: x 1 Ada\n"
            ),
        ),
        ("time", "2027-03-01T18:00:00+01:00".to_owned()),
        ("time", "2027-03-01T17:00:00.25Z".to_owned()),
        ("topic", Topic::Vote.full_name(&world().network.id())),
        ("control-request", r#"{"command":"status"}"#.to_owned()),
        (
            "control-request",
            r#"{"command":"ban","peer":"12D3"}"#.to_owned(),
        ),
        (
            "control-request",
            r#"{"command":"submit","transactions":["00",""]}"#.to_owned(),
        ),
        ("election", file("election-example.toml")),
        ("settings", file("votenode.toml")),
    ]);
    seeds.extend(hidden::texts());
    let names = text_names();
    seeds
        .iter()
        .map(|(form, seed)| numbered(&names, form, seed.as_bytes()))
        .collect()
}

fn files() -> Vec<Vec<u8>> {
    let mut seeds: Vec<(&str, Vec<u8>)> = Vec::new();
    for name in ["chain.votechain", "finality.votechain"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("proto/vectors")
            .join(name);
        seeds.push(("chain", std::fs::read(path).unwrap()));
    }
    for chain in vectors("chains.json")["vectors"].as_array().unwrap() {
        seeds.push(("chain", bytes(&chain["hex"])));
    }
    let lan = genesis::lan();
    seeds.push(("genesis", genesis::to_toml(&lan).into_bytes()));
    seeds.push(("genesis", wire::encode(&lan)));
    seeds.push((
        "secret",
        b"votenode secret file 1\nprotection: none\n\nvoter1abc\n".to_vec(),
    ));
    let receipts = messages().into_iter().filter(|(rule, _)| rule == "receipt");
    let mut all: Vec<_> = receipts
        .map(|(_, seed)| numbered(&FILES, "receipt", &seed))
        .collect();
    all.extend(
        seeds
            .iter()
            .map(|(form, seed)| numbered(&FILES, form, seed)),
    );
    all.push(numbered(&FILES, "receipt", &crate::targets::receipt()));
    all
}

/// Streams of choices of growing length.
fn streams(target: &str) -> Vec<Vec<u8>> {
    let mut dice = Dice::new(target);
    (1..=STREAMS)
        .map(|number| (0..number * 150).map(|_| dice.below(256) as u8).collect())
        .collect()
}

/// The seeds of a target.
pub fn seeds(target: &str) -> Vec<Vec<u8>> {
    let of = |rules: &[&str]| -> Vec<Vec<u8>> {
        let all = messages().into_iter();
        all.filter(|(rule, _)| rules.contains(&rule.as_str()))
            .map(|(_, seed)| seed)
            .collect()
    };
    match target {
        "messages" => {
            let hidden = hidden::binary().into_iter();
            let hidden = hidden.map(|(name, seed)| (name.to_owned(), seed));
            let sent = wire::encode(&(world().network.id(), 1_000u64, &world().pool[0]));
            let names = message_names();
            messages()
                .into_iter()
                .chain(hidden)
                .chain([("sent".to_owned(), sent)])
                .map(|(rule, seed)| numbered(&names, &rule, &seed))
                .collect()
        }
        "texts" => texts(),
        "files" => files(),
        "transactions" => [of(&["transaction"]), streams(target)].concat(),
        "requests" => [of(&["sync-request", "submit-request"]), streams(target)].concat(),
        _ => streams(target),
    }
}
