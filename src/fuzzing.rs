//! Decoders that nobody outside has a name for, for the fuzz targets of `tests/fuzz`: what stands on a disk, in requests
//! and in files. Nothing of it is in a node that runs.
//!
//! Each takes any bytes and panics if its rule does not hold: what can be read is written as the same bytes, or, where
//! there are several ways to write it, reads the same again. Whatever else happens, nothing panics.

use std::path::{Path, PathBuf};

use crate::chain::transaction::Transaction;
use crate::cli::parse_codes;
use crate::genesis;
use crate::http::{host_of, read_submission};
use crate::node::Kept;
use crate::node::shell::PromiseFile;
use crate::protocol::transaction_file::to_hex;
use crate::store;
use crate::wire::{self, Message};

/// A decoder by name. It says whether the bytes can be read.
pub type Decoder = (&'static str, fn(&[u8]) -> bool);

/// Those of bytes.
pub fn binary() -> Vec<Decoder> {
    let mut all: Vec<Decoder> = vec![
        ("dropped-reason", same_bytes::<Kept>),
        ("frame", votenode_p2p::fuzzing::frame),
    ];
    all.extend(store::fuzzing::DECODERS);
    all
}

/// Those of text, which need not be text.
pub const TEXTS: [Decoder; 5] = [
    ("finaliser-state", finaliser_state),
    ("submission-json", |body| submission(true, body)),
    ("submission-lines", |body| submission(false, body)),
    ("host", host),
    ("invitation-codes", invitation_codes),
];

/// A message that can be read is written as the same bytes.
pub(crate) fn same_bytes<T: Message>(bytes: &[u8]) -> bool {
    let read = wire::decode::<T>(bytes);
    match &read {
        Ok(message) => assert_eq!(wire::encode(message), bytes),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
    read.is_ok()
}

fn finaliser_state(bytes: &[u8]) -> bool {
    let file = PromiseFile::new(PathBuf::from("key.state"), genesis::lan().network_id());
    let read = file.parse(&String::from_utf8_lossy(bytes));
    if let Ok(promised) = &read {
        let text = file.text(*promised).expect("a step that was read");
        assert_eq!(file.parse(&text).as_ref().ok(), Some(promised), "{text}");
    }
    read.is_ok()
}

fn submission(is_json: bool, body: &[u8]) -> bool {
    let read = read_submission(is_json, body);
    if let Ok(transactions) = &read {
        let again = read_submission(is_json, &written(is_json, transactions));
        assert_eq!(again.as_ref(), Ok(transactions));
    }
    read.is_ok()
}

fn written(is_json: bool, transactions: &[Transaction]) -> Vec<u8> {
    let encoded = transactions.iter().map(|one| to_hex(&wire::encode(one)));
    let encoded: Vec<String> = encoded.collect();
    match is_json {
        true => serde_json::json!({ "transactions": encoded })
            .to_string()
            .into_bytes(),
        false => encoded.join("\n").into_bytes(),
    }
}

fn host(bytes: &[u8]) -> bool {
    let authority = String::from_utf8_lossy(bytes);
    let host = host_of(&authority);
    let rest = authority.strip_prefix(host).expect("the host comes first");
    let port = rest.strip_prefix(':').unwrap_or(rest);
    assert!(port.bytes().all(|byte| byte.is_ascii_digit()), "{rest}");
    true
}

fn invitation_codes(bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes);
    let read = parse_codes(Path::new("codes.txt"), &text);
    if let Ok(keys) = &read {
        let lines = text.lines().filter(|line| !line.trim().is_empty());
        assert_eq!(keys.len(), lines.count());
    }
    read.is_ok()
}
