//! The CDDL files of `proto/` and the Rust types that decode each of their messages.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use votenode::chain::block::{Block, CompactBlock, Header};
use votenode::chain::genesis::Genesis;
use votenode::chain::transaction::Transaction;
use votenode::protocol::{export, finality, gossip, receipt, submit, sync};
use votenode::wire::{self, DecodeError, Message};

/// The directory `proto`.
pub fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("proto")
}

/// All CDDL files, one after the other.
static SCHEMA: LazyLock<String> = LazyLock::new(|| {
    let mut files: Vec<_> = std::fs::read_dir(directory())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "cddl")
        })
        .collect();
    files.sort();
    assert!(files.len() > 10, "only {files:?}");
    files
        .iter()
        .map(|path| std::fs::read_to_string(path).unwrap())
        .collect()
});

/// A message of the schema: its rule, its bound, and its decoder, which gives back the canonical encoding.
pub struct MessageType {
    pub rule: &'static str,
    pub max_bytes: usize,
    pub decode: fn(&[u8]) -> Result<Vec<u8>, DecodeError>,
}

const fn message<T: Message>(rule: &'static str) -> MessageType {
    MessageType {
        rule,
        max_bytes: T::MAX_BYTES,
        decode: |bytes| wire::decode::<T>(bytes).map(|value| wire::encode(&value)),
    }
}

/// Every message that travels or is stored by itself.
pub const MESSAGES: [MessageType; 15] = [
    message::<Genesis>("genesis"),
    message::<Transaction>("transaction"),
    message::<Header>("header"),
    message::<Block>("block"),
    message::<gossip::TransactionBatch>("transaction-batch"),
    message::<CompactBlock>("compact-block"),
    message::<gossip::MiningState>("mining-state"),
    message::<finality::FinalityGossip>("finality-gossip"),
    message::<sync::Request>("sync-request"),
    message::<sync::Reply>("sync-reply"),
    message::<submit::Request>("submit-request"),
    message::<submit::Reply>("submit-reply"),
    message::<Genesis>("genesis-reply"),
    message::<receipt::Receipt>("receipt"),
    message::<export::Record>("export-record"),
];

/// The message with this rule.
pub fn message_type(rule: &str) -> &'static MessageType {
    MESSAGES
        .iter()
        .find(|message| message.rule == rule)
        .unwrap_or_else(|| panic!("no message has the rule {rule}"))
}

/// Whether `bytes` satisfy a rule of the schema; if not, why.
pub fn validate(rule: &str, bytes: &[u8]) -> Result<(), String> {
    cddl_cat::validate_cbor_bytes(rule, &SCHEMA, bytes).map_err(|error| error.to_string())
}
