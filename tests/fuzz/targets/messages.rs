//! Every message of the protocols: what decodes has one encoding only, is shown without a panic, and is no longer than
//! it may be.

use std::fmt::Debug;

use votenode::chain::block::{Block, CompactBlock, Header};
use votenode::chain::checkpoint::CommitCertificate;
use votenode::chain::genesis::Genesis;
use votenode::chain::transaction::Transaction;
use votenode::client::home::Sent;
use votenode::finality::{GuardState, LogEntry};
use votenode::fuzzing;
use votenode::protocol::export::Record;
use votenode::protocol::finality::FinalityGossip;
use votenode::protocol::gossip::{MiningState, TransactionBatch};
use votenode::protocol::receipt::Receipt;
use votenode::protocol::{submit, sync};
use votenode::wire::{self, Message};

/// Those of `proto/vectors/messages.json` have its names.
const NAMES: [&str; 17] = [
    "genesis",
    "header",
    "block",
    "compact-block",
    "transaction",
    "transaction-batch",
    "mining-state",
    "finality-gossip",
    "sync-request",
    "sync-reply",
    "submit-request",
    "submit-reply",
    "receipt",
    "export-record",
    "commit-certificate",
    "finality-log",
    "sent",
];

/// By the number in the first byte: what the library names, then what it keeps to itself.
pub fn names() -> Vec<&'static str> {
    let hidden = fuzzing::binary().into_iter().map(|(name, _)| name);
    NAMES.into_iter().chain(hidden).collect()
}

pub fn run(data: &[u8]) {
    let Some((kind, bytes)) = data.split_first() else {
        return;
    };
    let hidden = fuzzing::binary();
    let kind = usize::from(*kind) % (NAMES.len() + hidden.len());
    let Some(name) = NAMES.get(kind) else {
        (hidden[kind - NAMES.len()].1)(bytes);
        return;
    };
    match *name {
        "genesis" => decode::<Genesis>(bytes),
        "header" => decode::<Header>(bytes),
        "block" => decode::<Block>(bytes),
        "compact-block" => decode::<CompactBlock>(bytes),
        "transaction" => decode::<Transaction>(bytes),
        "transaction-batch" => decode::<TransactionBatch>(bytes),
        "mining-state" => decode::<MiningState>(bytes),
        "finality-gossip" => decode::<FinalityGossip>(bytes),
        "sync-request" => decode::<sync::Request>(bytes),
        "sync-reply" => decode::<sync::Reply>(bytes),
        "submit-request" => decode::<submit::Request>(bytes),
        "submit-reply" => decode::<submit::Reply>(bytes),
        "receipt" => decode::<Receipt>(bytes),
        "export-record" => decode::<Record>(bytes),
        "commit-certificate" => decode::<CommitCertificate>(bytes),
        "sent" => decode::<Sent>(bytes),
        _ => {
            decode::<GuardState>(bytes);
            if let Some(entry) = LogEntry::from_bytes(bytes) {
                assert_eq!(entry.as_bytes(), bytes);
                assert!(entry.checkpoint().is_some(), "{entry:?}");
            }
        }
    }
}

fn decode<T: Message + Debug + PartialEq>(bytes: &[u8]) {
    match wire::decode::<T>(bytes) {
        Ok(message) => {
            assert!(bytes.len() <= T::MAX_BYTES);
            let again = wire::encode(&message);
            assert_eq!(again, bytes, "{message:?}");
            assert_eq!(wire::decode::<T>(&again).as_ref(), Ok(&message));
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}
