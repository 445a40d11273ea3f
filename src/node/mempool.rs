//! The mempool: transactions that are valid as of the tip and wait for a block.
//!
//! Pure bookkeeping: ids, conflict keys, order and bounds. Whether a transaction is valid is decided before it comes
//! here; that no two of its transactions use up the same thing is ensured here.

use std::collections::{BTreeMap, HashMap};
use std::hash::BuildHasherDefault;

use crate::chain::conflict::{ConflictKey, conflict_keys};
use crate::chain::invalid::Invalid;
use crate::chain::transaction::{Kind, Payload, Transaction, TxId};
use crate::chain::verify::Verified;
use crate::node::status::KindCounts;
use crate::planted::{self, Fault};

/// A map whose order, which nothing here depends on, is at least the same in every run.
type Map<K, V> = HashMap<K, V, BuildHasherDefault<std::collections::hash_map::DefaultHasher>>;

/// Why a transaction cannot be taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It is here already.
    Known,
    /// Another one that waits uses up the same thing: the reason that there will be once that one is in a block.
    Conflict(Invalid),
    /// No room.
    Full,
}

/// Bounds of the mempool.
#[derive(Clone, Copy, Debug)]
pub struct MempoolLimits {
    /// Most transactions.
    pub max_transactions: usize,
    /// Most encoded bytes.
    pub max_bytes: usize,
}

impl Default for MempoolLimits {
    /// Room for a hundred full blocks of votes; at most some 200 MiB of memory with all indexes.
    fn default() -> Self {
        Self {
            max_transactions: 200_000,
            max_bytes: 64 * 1024 * 1024,
        }
    }
}

struct Entry {
    transaction: Verified<Transaction>,
    order: (u8, u64),
}

/// The waiting transactions.
pub struct Mempool {
    limits: MempoolLimits,
    by_id: Map<TxId, Entry>,
    by_conflict: Map<ConflictKey, TxId>,
    /// By kind, then by arrival: what others may depend on comes first.
    order: BTreeMap<(u8, u64), TxId>,
    arrivals: u64,
    bytes: usize,
    bytes_of_organisers: usize,
    counts: KindCounts,
}

/// Invitations before those who use them, registrations and elections before votes.
fn precedence(kind: Kind) -> u8 {
    match kind {
        // Changes that expel a liar before what is told of it.
        Kind::FinaliserChange => 0,
        Kind::Equivocation => 1,
        Kind::InvitationBatch => 2,
        Kind::InvitationRevoke => 3,
        Kind::Election => 4,
        Kind::Reveal => 5,
        // Votes can come too late; registrations wait for nothing but the roll's close, which is never later.
        Kind::Registration => 6,
        Kind::Vote => 7,
    }
}

/// Kinds from this precedence on are written by voters.
const FIRST_OF_VOTERS: u8 = 6;
/// Transactions of organisers that go into a block before those of voters.
const FIRST_IN_BLOCK: usize = 64;

impl Mempool {
    /// An empty one.
    pub fn new(limits: MempoolLimits) -> Self {
        Self {
            limits,
            by_id: Map::default(),
            by_conflict: Map::default(),
            order: BTreeMap::new(),
            arrivals: 0,
            bytes: 0,
            bytes_of_organisers: 0,
            counts: KindCounts::default(),
        }
    }

    /// Takes a transaction. What organisers write may fill a quarter of the room, so that votes always find some.
    pub fn insert(&mut self, transaction: Verified<Transaction>) -> Result<(), Refusal> {
        if precedence(transaction.kind()) < FIRST_OF_VOTERS
            && self.bytes_of_organisers + transaction.encoded_len() > self.limits.max_bytes / 4
            && !self.by_id.contains_key(&transaction.id())
        {
            return Err(Refusal::Full);
        }
        self.insert_within(
            transaction,
            self.limits.max_transactions,
            self.limits.max_bytes,
        )
    }

    fn insert_within(
        &mut self,
        transaction: Verified<Transaction>,
        max_transactions: usize,
        max_bytes: usize,
    ) -> Result<(), Refusal> {
        let id = transaction.id();
        if self.by_id.contains_key(&id) {
            return Err(Refusal::Known);
        }
        let keys = conflict_keys(&transaction);
        if let Some(invalid) = self.conflict(&keys) {
            return Err(Refusal::Conflict(invalid));
        }
        let fits = self.by_id.len() < max_transactions
            && self.bytes.saturating_add(transaction.encoded_len()) <= max_bytes;
        if !fits && !planted::is(Fault::BoundlessPool) {
            return Err(Refusal::Full);
        }
        for key in keys {
            self.by_conflict.insert(key, id);
        }
        let order = (precedence(transaction.kind()), self.arrivals);
        self.arrivals += 1;
        self.bytes += transaction.encoded_len();
        if order.0 < FIRST_OF_VOTERS {
            self.bytes_of_organisers += transaction.encoded_len();
        }
        self.counts.add(transaction.kind());
        self.order.insert(order, id);
        self.by_id.insert(id, Entry { transaction, order });
        Ok(())
    }

    fn conflict(&self, keys: &[ConflictKey]) -> Option<Invalid> {
        let (key, rival) = keys
            .iter()
            .find_map(|key| Some((*key, self.by_conflict.get(key)?)))?;
        Some(match key {
            ConflictKey::Registration(_) => Invalid::AlreadyRegistered,
            ConflictKey::Issue(key) => Invalid::InvitationExists(key),
            ConflictKey::Use(key) => match self.get(rival).map(|rival| &rival.payload) {
                Some(Payload::InvitationRevoke { .. }) => Invalid::InvitationRevoked(key),
                _ => Invalid::InvitationSpent(key),
            },
            ConflictKey::Election(_) => Invalid::ElectionExists,
            ConflictKey::Vote(..) => Invalid::AlreadyVoted,
            ConflictKey::FinaliserSet(set) => Invalid::SetExists(set),
            ConflictKey::Conviction(_) => Invalid::AlreadyConvicted,
        })
    }

    /// Bytes that it would still take.
    pub fn room_bytes(&self) -> usize {
        self.limits.max_bytes.saturating_sub(self.bytes)
    }

    /// Takes a transaction back that was here before, whatever the bounds: it was acknowledged.
    pub fn restore(&mut self, transaction: Verified<Transaction>) -> Result<(), Refusal> {
        self.insert_within(transaction, usize::MAX, usize::MAX)
    }

    /// Takes a transaction out.
    pub fn remove(&mut self, id: &TxId) -> Option<Verified<Transaction>> {
        let Entry { transaction, order } = self.by_id.remove(id)?;
        self.order.remove(&order);
        self.bytes -= transaction.encoded_len();
        if order.0 < FIRST_OF_VOTERS {
            self.bytes_of_organisers -= transaction.encoded_len();
        }
        self.counts.remove(transaction.kind());
        for key in conflict_keys(&transaction) {
            if self.by_conflict.get(&key) == Some(id) {
                self.by_conflict.remove(&key);
            }
        }
        Some(transaction)
    }

    /// Takes out whatever cannot be mined any more once `transaction` is in a block; it itself comes out silently.
    pub fn remove_confirmed(
        &mut self,
        transaction: &Verified<Transaction>,
    ) -> Vec<Verified<Transaction>> {
        self.remove(&transaction.id());
        let rivals: Vec<TxId> = conflict_keys(transaction)
            .iter()
            .filter_map(|key| self.by_conflict.get(key).copied())
            .collect();
        rivals
            .into_iter()
            .filter_map(|rival| self.remove(&rival))
            .collect()
    }

    /// The transaction with this id.
    pub fn get(&self, id: &TxId) -> Option<&Verified<Transaction>> {
        self.by_id.get(id).map(|entry| &entry.transaction)
    }

    /// Whether a transaction that uses this up waits.
    pub fn uses_up(&self, key: &ConflictKey) -> bool {
        self.by_conflict.contains_key(key)
    }

    /// Whether a transaction with this id waits.
    pub fn contains(&self, id: &TxId) -> bool {
        self.by_id.contains_key(id)
    }

    /// All, in the order in which a block should hold them: some of what organisers write, since others depend on it,
    /// then what voters write, then the rest.
    pub fn iter(&self) -> impl Iterator<Item = &Verified<Transaction>> {
        let organisers = || self.order.range(..(FIRST_OF_VOTERS, 0));
        let voters = self.order.range((FIRST_OF_VOTERS, 0)..);
        organisers()
            .take(FIRST_IN_BLOCK)
            .chain(voters)
            .chain(organisers().skip(FIRST_IN_BLOCK))
            .filter_map(|(_, id)| self.get(id))
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    /// Whether a small transaction would still be taken.
    pub fn is_full(&self) -> bool {
        self.by_id.len() >= self.limits.max_transactions
            || self.bytes + 1024 > self.limits.max_bytes
    }

    /// Encoded bytes of all.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// How many of each kind.
    pub fn counts(&self) -> KindCounts {
        self.counts
    }
}
