//! What people type, paste and configure: codes, ids, addresses, times, and the text files.

use std::fmt::{Debug, Display};
use std::path::Path;
use std::str::FromStr;

use votenode::chain::block::BlockId;
use votenode::chain::genesis::NetworkId;
use votenode::client::election_file::{ElectionFile, Timing};
use votenode::client::time::{parse_duration, parse_time_ms, rfc3339};
use votenode::config::{Address, parse_file};
use votenode::control;
use votenode::crypto::{Invitation, Role, RoleKey, RolePublicKey, VoterId, code};
use votenode::fuzzing;
use votenode::protocol::change_file::ProposedChange;
use votenode::protocol::names::Topic;
use votenode::protocol::{change_file, transaction_file};

use super::world::world;

const NAMES: [&str; 12] = [
    "code",
    "id",
    "address",
    "duration",
    "transactions",
    "change",
    "election",
    "settings",
    "words",
    "time",
    "topic",
    "control-request",
];

/// By the number in the first byte: what the library names, then what it keeps to itself.
pub fn names() -> Vec<&'static str> {
    let hidden = fuzzing::TEXTS.into_iter().map(|(name, _)| name);
    NAMES.into_iter().chain(hidden).collect()
}

pub fn run(data: &[u8]) {
    let Some((kind, bytes)) = data.split_first() else {
        return;
    };
    let kind = usize::from(*kind) % (NAMES.len() + fuzzing::TEXTS.len());
    let Some(name) = NAMES.get(kind) else {
        (fuzzing::TEXTS[kind - NAMES.len()].1)(bytes);
        return;
    };
    let text = String::from_utf8_lossy(bytes);
    match *name {
        "code" => codes(&text),
        "id" => {
            same::<BlockId>(&text);
            same::<NetworkId>(&text);
        }
        "address" => drop(text.parse::<Address>()),
        "duration" => drop(parse_duration(&text)),
        "transactions" => {
            if let Ok((network, transactions)) = transaction_file::parse(&text) {
                let written = transaction_file::write(&network, &transactions);
                let again = transaction_file::parse(&written).unwrap();
                assert_eq!(again, (network, transactions));
            }
        }
        "change" => change(&text),
        "election" => {
            if let Ok(file) = ElectionFile::parse(&text) {
                let timing = Timing::default();
                // What the file gives is what the rules take, or an error that says where.
                if let Err(error) = file.terms(world().network.genesis(), timing, 1_000_000) {
                    assert!(!error.to_string().is_empty());
                }
            }
        }
        "settings" => match parse_file(Path::new("votenode.toml"), &text) {
            Ok(layer) => drop(format!("{layer:?}")),
            Err(error) => assert!(error.to_string().contains("votenode.toml")),
        },
        "time" => {
            if let Ok(ms) = parse_time_ms(&text) {
                assert_eq!(parse_time_ms(&rfc3339(ms)), Ok(ms), "{text}");
            }
        }
        "topic" => {
            let network = world().network.id();
            if let Some(topic) = Topic::parse(&text, &network) {
                assert_eq!(topic.full_name(&network), text);
            }
        }
        "control-request" => {
            if let Ok(request) = serde_json::from_slice::<control::Request>(bytes) {
                let written = serde_json::to_vec(&request).unwrap();
                assert_eq!(
                    serde_json::from_slice::<control::Request>(&written).unwrap(),
                    request
                );
            }
        }
        _ => {
            // Secrets in any text are cut, and cutting is done at once.
            let cut = code::redact(&text);
            assert_eq!(code::redact(&cut), cut);
        }
    }
}

fn same<T: FromStr + Display + PartialEq + Debug>(text: &str)
where
    T::Err: Debug,
{
    if let Ok(id) = text.parse::<T>() {
        assert_eq!(id.to_string(), text.trim().to_lowercase());
    }
}

fn codes(text: &str) {
    if let Ok((kind, bytes)) = code::decode(text) {
        assert_eq!(code::decode(&code::encode(kind, &bytes)), Ok((kind, bytes)));
    }
    if let Ok(voter) = text.parse::<VoterId>() {
        assert!(voter.to_text().eq_ignore_ascii_case(text.trim_ascii()));
    }
    if let Ok(invitation) = text.parse::<Invitation>() {
        assert!(invitation.to_text().parse::<Invitation>().is_ok());
    }
    for role in [Role::Organiser, Role::Finaliser, Role::Trustee, Role::Miner] {
        drop(RoleKey::parse(role, text));
        if let Ok(key) = RolePublicKey::parse(role, text) {
            assert_eq!(RolePublicKey::parse(role, &key.to_string()).unwrap(), key);
        }
    }
}

fn change(text: &str) {
    if let Ok(proposed) = ProposedChange::parse(text) {
        let again = ProposedChange::parse(&proposed.write()).unwrap();
        assert!(again.is_same(&proposed));
        for finaliser in proposed.finalisers.iter() {
            assert!(!change_file::key_code(&finaliser.key).is_empty());
        }
    }
}
