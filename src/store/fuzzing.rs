//! What is read from the tables, for fuzzing: whatever a damaged disk holds is an error, or is written as the same bytes.

use std::sync::Arc;

use super::body::{BlockBody, split};
use super::finality::Checkpoint;
use super::pool::split_pending;
use super::record::{
    self, Counts, StoredElection, StoredHeader, StoredInvitation, StoredPoint, StoredSetChange,
    StoredVoter,
};
use super::snapshot::decode_transactions;
use super::tables::vote_key;
use super::view::decode_leaf;
use crate::chain::state::{ElectionRecord, InvitationUse, SetChange, Voter, VoterTag};
use crate::fuzzing::{Decoder, same_bytes};
use crate::wire::{self, Message};

/// The decoders of the tables.
pub(crate) const DECODERS: [Decoder; 17] = [
    ("stored-header", header),
    ("stored-point", same_bytes::<StoredPoint>),
    ("stored-counts", same_bytes::<Counts>),
    ("stored-voter", becomes::<StoredVoter, Voter>),
    ("stored-invitation", invitation),
    (
        "stored-election",
        becomes::<StoredElection, Arc<ElectionRecord>>,
    ),
    (
        "stored-set-change",
        becomes::<StoredSetChange, Arc<SetChange>>,
    ),
    ("stored-number", number),
    ("stored-position", position),
    ("stored-use", invitation_use),
    ("stored-vote", vote),
    ("stored-vote-key", vote_tag),
    ("stored-conviction", conviction),
    ("stored-leaf", leaf),
    ("stored-body", body),
    ("stored-checkpoint", checkpoint),
    ("stored-pending", pending),
];

/// The record becomes what the rules of the chain know, whatever is in it.
fn becomes<T: Message, U: From<T>>(bytes: &[u8]) -> bool {
    if let Ok(record) = record::decode::<T>("fuzzed", bytes) {
        drop(U::from(record));
    }
    same_bytes::<T>(bytes)
}

fn header(bytes: &[u8]) -> bool {
    if let Ok(record) = record::decode::<StoredHeader>("headers", bytes) {
        let body = record.body_len().map_or(0, |len| len + 1);
        assert_eq!(body, record.body);
        let _ = record.validity();
    }
    same_bytes::<StoredHeader>(bytes)
}

fn invitation(bytes: &[u8]) -> bool {
    if let Ok(record) = record::decode::<StoredInvitation>("invitations", bytes) {
        drop(record.with_use(None));
    }
    same_bytes::<StoredInvitation>(bytes)
}

/// What was read is written as the same bytes. Whether it was read.
fn rewritten<T, E>(bytes: &[u8], read: Result<T, E>, write: impl Fn(&T) -> Vec<u8>) -> bool {
    if let Ok(value) = &read {
        assert_eq!(write(value), bytes);
    }
    read.is_ok()
}

fn number(bytes: &[u8]) -> bool {
    rewritten(bytes, record::decode_number("meta", bytes), wire::encode)
}

fn position(bytes: &[u8]) -> bool {
    let read = bytes.try_into().map(record::read_position);
    rewritten(bytes, read, |at| record::position_bytes(*at).to_vec())
}

fn invitation_use(bytes: &[u8]) -> bool {
    let Ok(fixed) = bytes.try_into() else {
        return false;
    };
    let write = |used: &InvitationUse| record::use_bytes(*used).to_vec();
    rewritten(bytes, record::read_use(fixed), write)
}

fn vote(bytes: &[u8]) -> bool {
    rewritten(bytes, record::read_vote(bytes), record::vote_bytes)
}

fn vote_tag(bytes: &[u8]) -> bool {
    let Ok(fixed) = bytes.try_into() else {
        return false;
    };
    let election = record::big_endian(&bytes[..8]);
    let write = |tag: &VoterTag| vote_key(election, tag).to_vec();
    rewritten(bytes, record::read_vote_tag(fixed), write)
}

fn conviction(bytes: &[u8]) -> bool {
    let read = bytes.try_into().map(record::read_conviction);
    rewritten(bytes, read, |one| record::conviction_bytes(one).to_vec())
}

fn leaf(bytes: &[u8]) -> bool {
    rewritten(bytes, decode_leaf(bytes), wire::encode)
}

/// Both ways to read a body: all of its transactions, and the bytes of each.
fn body(bytes: &[u8]) -> bool {
    let parts = split(bytes).map(|parts| parts.map(<[u8]>::to_vec).collect::<Vec<_>>());
    if let Ok(parts) = &parts {
        let body = BlockBody::new(bytes.into()).expect("a body that can be split");
        assert_eq!(body.ids().len(), parts.len());
        for (index, part) in (0..).zip(parts) {
            assert_eq!(body.transaction(index), Some(part.as_slice()));
        }
        assert_eq!(body.transaction(parts.len() as u32), None);
    }
    let whole = decode_transactions(bytes);
    if let Ok(transactions) = &whole {
        let encoded: Vec<Vec<u8>> = transactions.iter().map(wire::encode).collect();
        assert_eq!(parts.ok(), Some(encoded));
    }
    rewritten(bytes, whole, wire::encode)
}

fn checkpoint(bytes: &[u8]) -> bool {
    rewritten(bytes, Checkpoint::from_bytes(bytes), Checkpoint::to_bytes)
}

fn pending(bytes: &[u8]) -> bool {
    rewritten(bytes, split_pending(bytes), |(arrival, transaction)| {
        [&arrival.to_be_bytes()[..], transaction].concat()
    })
}
