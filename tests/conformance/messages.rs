//! `messages.json`: a golden example of every message and of every variant in it.

mod parts;

use serde_json::{Map, Value, json};
use votenode::chain::block::{Block, CompactBlock};
use votenode::chain::state::RollEntry;
use votenode::chain::transaction::{Payload, Transaction};
use votenode::protocol::export;
use votenode::protocol::finality::FinalityGossip;
use votenode::protocol::gossip::TransactionBatch;
use votenode::protocol::receipt::Receipt;
use votenode::protocol::submit::{
    self, BlockAt, ElectionInfo, ElectionPhase, ElectionResult, Outcome, TxStatus, VoterInfo,
};
use votenode::protocol::sync;
use votenode::wire::{self, Message};

use crate::samples::{self, filler, list, text};
use crate::schema;
use crate::vectors::{diagnostic, hex, settle};

pub use parts::certificate;
use parts::{
    finalising_genesis, finality_messages, inclusion, mining_state, reason, status, tally,
};

/// A golden example.
struct Golden {
    name: String,
    rule: &'static str,
    bytes: Vec<u8>,
    hashes: Map<String, Value>,
}

fn golden<T: Message>(rule: &'static str, name: impl Into<String>, value: &T) -> Golden {
    Golden {
        name: name.into(),
        rule,
        bytes: wire::encode(value),
        hashes: Map::new(),
    }
}

impl Golden {
    fn with(mut self, hash: &str, value: impl AsRef<[u8]>) -> Self {
        self.hashes.insert(hash.to_owned(), hex(value).into());
        self
    }
}

fn transaction(name: &str, transaction: &Transaction) -> Golden {
    let golden = golden("transaction", name, transaction).with("transaction id", transaction.id());
    match &transaction.payload {
        Payload::Election { election } => golden.with("election id", election.id()),
        _ => golden,
    }
}

fn all() -> Vec<Golden> {
    let transactions = samples::transactions();
    let first = transactions[0].1.clone();
    let id = first.id();
    let block_id = samples::header().id();
    let election = samples::plurality().id();
    let voter = samples::voter(1).signing_key().public_key();
    let block_at = BlockAt {
        id: samples::header().id(),
        height: 3,
    };

    let mut all = vec![
        golden(
            "genesis",
            "open admission, no finalisers",
            &samples::genesis(),
        )
        .with("network id", samples::network())
        .with("network tag", samples::network().tag()),
        golden(
            "genesis",
            "invitations only, finalisers",
            &finalising_genesis(),
        )
        .with("network id", finalising_genesis().network_id())
        .with("network tag", finalising_genesis().network_id().tag()),
        golden("genesis-reply", "genesis", &samples::genesis()),
    ];
    all.extend(
        transactions
            .iter()
            .map(|(name, item)| transaction(name, item)),
    );
    all.extend([
        golden("header", "header", &samples::header()).with("block id", samples::header().id()),
        golden(
            "block",
            "block",
            &Block {
                header: samples::header(),
                transactions: list([first.clone(), transactions[1].1.clone()]),
            },
        ),
        golden(
            "compact-block",
            "compact block",
            &CompactBlock {
                header: samples::header(),
                transactions: list([id]),
            },
        ),
        golden(
            "transaction-batch",
            "batch",
            &TransactionBatch {
                transactions: list([first.clone(), transactions[1].1.clone()]),
            },
        ),
        golden("mining-state", "mining", &mining_state()),
        golden(
            "finality-gossip",
            "messages",
            &FinalityGossip::Messages {
                messages: list(finality_messages()),
            },
        ),
        golden(
            "finality-gossip",
            "transactions",
            &FinalityGossip::Transactions {
                transactions: list([samples::transaction(Payload::Equivocation {
                    equivocation: samples::equivocation(),
                })]),
            },
        ),
    ]);
    for (name, request) in [
        ("status", sync::Request::Status { status: status() }),
        (
            "headers",
            sync::Request::Headers {
                locator: list([block_id]),
                max: 2_000,
            },
        ),
        (
            "bodies",
            sync::Request::Bodies {
                blocks: list([block_id]),
                max_bytes: 1 << 20,
            },
        ),
        (
            "certificates",
            sync::Request::Certificates { from: 1, max: 64 },
        ),
        (
            "roll",
            sync::Request::Roll {
                block: samples::header().id(),
                start: 256,
                max: 1_024,
            },
        ),
        (
            "pending ids",
            sync::Request::PendingIds { after: first.id() },
        ),
        (
            "transactions",
            sync::Request::Transactions {
                ids: list([id]),
                max_bytes: 65_536,
            },
        ),
        (
            "finality messages",
            sync::Request::FinalityMessages { checkpoint: 1 },
        ),
    ] {
        all.push(golden("sync-request", name, &request));
    }
    for (name, reply) in [
        ("status", sync::Reply::Status { status: status() }),
        (
            "headers",
            sync::Reply::Headers {
                headers: list([samples::header()]),
            },
        ),
        (
            "bodies",
            sync::Reply::Bodies {
                bodies: list([list([first.clone()]), list([])]),
            },
        ),
        (
            "certificates",
            sync::Reply::Certificates {
                certificates: list([certificate()]),
                changes: list([samples::finaliser_change()]),
            },
        ),
        (
            "roll",
            sync::Reply::Roll {
                entries: list([RollEntry {
                    voter,
                    ring_key: samples::ring(&samples::voter(1)).0,
                    group: text("members"),
                }]),
                proof: list([filler(5), filler(6)]),
            },
        ),
        ("pending ids", sync::Reply::PendingIds { ids: list([id]) }),
        (
            "transactions",
            sync::Reply::Transactions {
                transactions: list([first.clone()]),
            },
        ),
        ("busy", sync::Reply::Busy {}),
        ("unknown", sync::Reply::Unknown {}),
        (
            "finality messages",
            sync::Reply::FinalityMessages {
                messages: list(finality_messages()),
            },
        ),
    ] {
        all.push(golden("sync-reply", name, &reply));
    }
    for (name, request) in [
        (
            "submit",
            submit::Request::Submit {
                transactions: list([first.clone()]),
            },
        ),
        ("status", submit::Request::Status { ids: list([id]) }),
        ("elections", submit::Request::Elections { skip: 8 }),
        ("election", submit::Request::Election { election }),
        ("result", submit::Request::Result { election }),
        ("voter", submit::Request::Voter { voter }),
        ("vote of", submit::Request::VoteOf { election, voter }),
        ("have", submit::Request::Have { ids: list([id]) }),
    ] {
        all.push(golden("submit-request", name, &request));
    }
    for (name, reply) in [
        (
            "outcomes",
            submit::Reply::Submit {
                outcomes: list([
                    Outcome::Accepted {},
                    Outcome::Duplicate {},
                    Outcome::Rejected { reason: reason() },
                    Outcome::Busy {},
                ]),
            },
        ),
        (
            "statuses",
            submit::Reply::Status {
                statuses: list([
                    TxStatus::Unknown {},
                    TxStatus::Pending {},
                    TxStatus::Included {
                        inclusion: inclusion(),
                        depth: 2,
                    },
                    TxStatus::Final {
                        inclusion: inclusion(),
                        certificate: certificate(),
                    },
                    TxStatus::Dropped { reason: reason() },
                ]),
            },
        ),
        (
            "elections",
            submit::Reply::Elections {
                elections: list([ElectionInfo {
                    election: samples::plurality(),
                    transaction: first.id(),
                    height: 3,
                    votes: 10,
                    phase: ElectionPhase::Open as u8,
                }]),
                total: 1,
            },
        ),
        (
            "result",
            submit::Reply::Result {
                result: list([ElectionResult {
                    election,
                    phase: ElectionPhase::Final as u8,
                    closing_block: list([block_at.clone()]),
                    checkpoint: list([block_at]),
                    eligible: 12,
                    tally: tally(),
                }]),
            },
        ),
        ("no result", submit::Reply::Result { result: list([]) }),
        (
            "voter",
            submit::Reply::Voter {
                voter: list([VoterInfo {
                    transaction: first.id(),
                    roll_index: 0,
                    group: text("open"),
                    height: 1,
                }]),
            },
        ),
        (
            "vote of",
            submit::Reply::VoteOf {
                transaction: list([id]),
            },
        ),
        ("have", submit::Reply::Have { held: list([1, 0]) }),
        ("busy", submit::Reply::Busy {}),
    ] {
        all.push(golden("submit-reply", name, &reply));
    }
    for (name, certificate, changes) in [
        ("unanchored receipt", list([]), list([])),
        (
            "receipt",
            list([certificate()]),
            list([samples::finaliser_change()]),
        ),
    ] {
        let receipt = Receipt {
            version: 1,
            network: samples::network(),
            transaction: first.clone(),
            inclusion: inclusion(),
            headers: list([samples::header()]),
            certificate,
            changes,
        };
        all.push(golden("receipt", name, &receipt));
    }
    let block = Block {
        header: samples::header(),
        transactions: list([first]),
    };
    for (name, record) in [
        (
            "genesis",
            export::Record::Genesis {
                genesis: samples::genesis(),
            },
        ),
        ("block", export::Record::Block { block }),
        (
            "certificate",
            export::Record::Certificate {
                certificate: certificate(),
            },
        ),
        (
            "end",
            export::Record::End {
                tip: block_id,
                height: 3,
            },
        ),
    ] {
        all.push(golden("export-record", name, &record));
    }
    all
}

#[test]
fn every_message_has_a_golden_example() {
    let all = all();
    for message in &schema::MESSAGES {
        assert!(
            all.iter().any(|golden| golden.rule == message.rule),
            "no example of {}",
            message.rule
        );
    }
    let mut entries = Vec::new();
    for golden in &all {
        let message = schema::message_type(golden.rule);
        let name = format!("{}: {}", golden.rule, golden.name);
        let decoded = (message.decode)(&golden.bytes);
        assert_eq!(decoded.as_ref(), Ok(&golden.bytes), "{name}");
        assert_eq!(
            schema::validate(golden.rule, &golden.bytes),
            Ok(()),
            "{name}"
        );
        entries.push(json!({
            "name": golden.name,
            "rule": golden.rule,
            "max_bytes": message.max_bytes,
            "hex": hex(&golden.bytes),
            "diagnostic": diagnostic(&golden.bytes),
            "hashes": golden.hashes,
        }));
    }
    settle(
        "messages.json",
        &json!({
            "about": "One example of every message and variant. hex: canonical bytes; rule: the CDDL rule they satisfy; \
                      diagnostic: the same in the notation of RFC 8949 §8; hashes: by the names of README §2.",
            "vectors": entries,
        }),
    );
}

/// The first bytes of every array decide its shape, so one changed byte, one missing and one too many reach every rule.
#[test]
fn damaged_messages_are_refused_or_are_other_canonical_messages() {
    for golden in all() {
        let message = schema::message_type(golden.rule);
        for end in 0..golden.bytes.len().min(400) {
            assert!((message.decode)(&golden.bytes[..end]).is_err());
        }
        assert!((message.decode)(&[golden.bytes.as_slice(), &[0]].concat()).is_err());
        let mut bytes = golden.bytes.clone();
        for at in 0..bytes.len().min(400) {
            bytes[at] ^= 0x21;
            if let Ok(encoded) = (message.decode)(&bytes) {
                assert_eq!(encoded, bytes);
            }
            bytes[at] ^= 0x21;
        }
    }
}
