//! `sync/1` from a snapshot.

use std::time::{Duration, Instant};

use tracing::error;

use super::Server;
use crate::chain::block::{BlockId, Transactions};
use crate::chain::checkpoint::MAX_CHANGES;
use crate::chain::genesis::Genesis;
use crate::chain::transaction::{Transaction, TxId};
use crate::protocol::sync::{
    MAX_CERTIFICATES, MAX_HEADERS, MAX_IDS, MAX_ROLL_ENTRIES, Reply, Request, Status,
};
use crate::store::{Snapshot, StoreError};
use crate::wire::{self, List, Message};

/// Most bytes of transactions in a reply, whatever was asked.
const MAX_REPLY_BYTES: u64 = Genesis::MAX_BLOCK_BYTES;
/// Longest time spent on looking transactions up for one request.
const MAX_SEARCH: Duration = Duration::from_millis(250);

impl Server {
    /// The reply to a request. `own` is what this node says of itself.
    pub fn sync(&self, request: &Request, own: &Status) -> Reply {
        let snapshot = self.reader.snapshot();
        self.answer_sync(&snapshot, request, own)
            .unwrap_or_else(|error| {
                error!(%error, "a request of a peer could not be answered");
                Reply::Busy {}
            })
    }

    fn answer_sync(
        &self,
        snapshot: &Snapshot,
        request: &Request,
        own: &Status,
    ) -> Result<Reply, StoreError> {
        Ok(match request {
            Request::Status { .. } => Reply::Status {
                status: own.clone(),
            },
            Request::Headers { locator, max } => {
                let max = usize::try_from(*max)
                    .unwrap_or(MAX_HEADERS)
                    .min(MAX_HEADERS);
                Reply::Headers {
                    headers: bounded(snapshot.headers_after(locator, max)?),
                }
            }
            Request::Bodies { blocks, max_bytes } => bodies(snapshot, blocks, *max_bytes)?,
            Request::Certificates { from, max } => certificates(snapshot, *from, *max)?,
            Request::Roll { block, start, max } => {
                let max = (*max).min(MAX_ROLL_ENTRIES as u64);
                match snapshot.roll_range(block, *start, max)? {
                    None => Reply::Unknown {},
                    Some(range) => Reply::Roll {
                        entries: bounded(range.entries),
                        proof: bounded(range.proof),
                    },
                }
            }
            Request::PendingIds { after } => Reply::PendingIds {
                ids: bounded(snapshot.pending_ids(after, MAX_IDS)?),
            },
            Request::Transactions { ids, max_bytes } => {
                transactions(snapshot, ids, (*max_bytes).min(MAX_REPLY_BYTES))?
            }
            Request::FinalityMessages { checkpoint } => {
                let last = snapshot.last_certificate()?;
                // Whoever asks for what is decided is told how.
                if last.is_some_and(|last| last.certificate.checkpoint >= *checkpoint) {
                    return certificates(snapshot, *checkpoint, MAX_CERTIFICATES as u64);
                }
                Reply::FinalityMessages {
                    messages: bounded(self.board.messages(*checkpoint)),
                }
            }
        })
    }
}

/// A list that its maker already kept within bounds.
fn bounded<T, const MIN: usize, const MAX: usize>(items: Vec<T>) -> List<T, MIN, MAX> {
    List::new(items).expect("asked for no more than fits")
}

fn bodies(snapshot: &Snapshot, blocks: &[BlockId], max_bytes: u64) -> Result<Reply, StoreError> {
    let max_bytes = usize::try_from(max_bytes.min(MAX_REPLY_BYTES)).unwrap_or(usize::MAX);
    let mut bodies: Vec<Transactions> = Vec::new();
    for encoded in snapshot.bodies(blocks, max_bytes)? {
        let transactions = wire::decode_bounded(&encoded, Genesis::MAX_BLOCK_BYTES as usize)
            .map_err(|error| StoreError::Corrupt(format!("a body: {error}")))?;
        bodies.push(transactions);
    }
    Ok(Reply::Bodies {
        bodies: bounded(bodies),
    })
}

fn certificates(snapshot: &Snapshot, from: u64, max: u64) -> Result<Reply, StoreError> {
    let max = usize::try_from(max).unwrap_or(usize::MAX);
    let certificates: Vec<_> = snapshot
        .certificates(from, max.min(MAX_CERTIFICATES))?
        .into_iter()
        .map(|checkpoint| checkpoint.certificate)
        .collect();
    let set = certificates.last().map_or(0, |last| last.set);
    Ok(Reply::Certificates {
        certificates: bounded(certificates),
        changes: bounded(snapshot.finaliser_changes(set.min(MAX_CHANGES))?),
    })
}

fn transactions(snapshot: &Snapshot, ids: &[TxId], max_bytes: u64) -> Result<Reply, StoreError> {
    let mut found: Vec<Transaction> = Vec::new();
    let mut bytes = 0;
    let start = Instant::now();
    for id in ids {
        let Some(encoded) = snapshot.transaction(id)? else {
            continue;
        };
        bytes += encoded.len() as u64;
        // Ids from all over the chain cost a block each; whoever wants many asks again for the rest.
        let full = bytes > max_bytes || start.elapsed() > MAX_SEARCH;
        if full && !found.is_empty() {
            break;
        }
        let transaction = wire::decode_bounded(&encoded, Transaction::MAX_BYTES)
            .map_err(|error| StoreError::Corrupt(format!("a transaction: {error}")))?;
        found.push(transaction);
    }
    Ok(Reply::Transactions {
        transactions: bounded(found),
    })
}
