//! Coalesces accepted transactions into gossip messages: a message costs more than a signature, so what arrives within
//! a few milliseconds travels together.

use std::collections::BTreeMap;

use crate::chain::transaction::Transaction;
use crate::chain::verify::Verified;
use crate::protocol::finality::{FinalityGossip, MAX_TRANSACTIONS};
use crate::protocol::gossip::{MAX_BATCH, TransactionBatch};
use crate::protocol::names::Topic;
use crate::wire::{self, List, Message};

/// How long the first transaction of a message waits for company, in milliseconds.
const COALESCE_MS: u64 = 5;
/// Room for the array's head.
const HEAD_BYTES: usize = 8;

#[derive(Default)]
struct Queue {
    transactions: Vec<Transaction>,
    bytes: usize,
    due_ms: u64,
}

/// Transactions on their way out, by topic.
#[derive(Default)]
pub(super) struct Outbox {
    queues: BTreeMap<Topic, Queue>,
    ready: Vec<(Topic, Vec<u8>)>,
}

impl Outbox {
    /// Queues a transaction.
    pub(super) fn push(&mut self, transaction: &Verified<Transaction>, now_ms: u64) {
        let topic = Topic::of(transaction.kind());
        let queue = self.queues.entry(topic).or_default();
        let most = if topic == Topic::Finality {
            MAX_TRANSACTIONS
        } else {
            MAX_BATCH
        };
        let full = queue.transactions.len() == most
            || queue.bytes + transaction.encoded_len() + HEAD_BYTES > TransactionBatch::MAX_BYTES;
        if full {
            let queue = std::mem::take(queue);
            self.ready.push((topic, queue.encode(topic)));
        }
        let queue = self.queues.entry(topic).or_default();
        if queue.transactions.is_empty() {
            queue.due_ms = now_ms + COALESCE_MS;
        }
        queue.bytes += transaction.encoded_len();
        queue.transactions.push(Transaction::clone(transaction));
    }

    /// Messages that are full or have waited long enough.
    pub(super) fn take_due(&mut self, now_ms: u64) -> Vec<(Topic, Vec<u8>)> {
        let mut due = std::mem::take(&mut self.ready);
        for (topic, queue) in &mut self.queues {
            if !queue.transactions.is_empty() && queue.due_ms <= now_ms {
                due.push((*topic, std::mem::take(queue).encode(*topic)));
            }
        }
        due
    }

    /// When the next message is due.
    pub(super) fn next_due_ms(&self) -> Option<u64> {
        self.queues
            .values()
            .filter(|queue| !queue.transactions.is_empty())
            .map(|queue| queue.due_ms)
            .min()
    }
}

impl Queue {
    fn encode(self, topic: Topic) -> Vec<u8> {
        if topic == Topic::Finality {
            return wire::encode(&FinalityGossip::Transactions {
                transactions: List::new(self.transactions).expect("at most as many are queued"),
            });
        }
        wire::encode(&TransactionBatch {
            transactions: List::new(self.transactions).expect("at most MAX_BATCH are queued"),
        })
    }
}
