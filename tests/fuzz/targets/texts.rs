//! What people type, paste and configure: codes, ids, addresses, times, and the text files.

use std::fmt::{Debug, Display};
use std::path::Path;
use std::str::FromStr;

use votenode::chain::block::BlockId;
use votenode::chain::genesis::NetworkId;
use votenode::client::election_file::{ElectionFile, Timing};
use votenode::client::time::parse_duration;
use votenode::config::{Address, parse_file};
use votenode::crypto::{Invitation, Role, RoleKey, RolePublicKey, VoterId, code};
use votenode::protocol::change_file::ProposedChange;
use votenode::protocol::{change_file, transaction_file};

use super::world::world;

/// By the number in the first byte.
pub const NAMES: [&str; 9] = [
    "code",
    "id",
    "address",
    "duration",
    "transactions",
    "change",
    "election",
    "settings",
    "words",
];

pub fn run(data: &[u8]) {
    let Some((kind, bytes)) = data.split_first() else {
        return;
    };
    let text = String::from_utf8_lossy(bytes);
    match NAMES[usize::from(*kind) % NAMES.len()] {
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
