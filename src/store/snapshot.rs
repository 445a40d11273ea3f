//! Snapshots: the chain and the pool as of one commit, readable from any thread without waiting for the writer.
//!
//! A snapshot is a read transaction of the database and the tail that belongs to it. While it lives the database cannot
//! reuse the pages that it sees: keep one for a request, not for minutes.

use std::sync::{Arc, PoisonError, RwLock};

use redb::{ReadOnlyDatabase, ReadTransaction};

use super::body::{BlockBody, BodyCache};
use super::elections::ElectionCache;
use super::error::StoreError;
use super::record::{self, Counts, StoredHeader, StoredPoint, Validity, decode};
use super::tables::{Tables, meta};
use super::tail::Tail;
use crate::chain::block::{BlockId, Header, Transactions};
use crate::chain::genesis::Genesis;
use crate::chain::merkle::InclusionProof;
use crate::chain::network::Network;
use crate::chain::state::{Position, Tip};
use crate::chain::transaction::TxId;
use crate::crypto::Hash;
use crate::wire;

/// What is known of a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownBlock {
    /// Its id.
    pub id: BlockId,
    /// Its header.
    pub header: Header,
    /// What is known of its validity.
    pub validity: Validity,
    /// Length of its encoded transactions in bytes, if they are here.
    pub body_len: Option<u64>,
}

/// A transaction of the main chain with the proof of its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inclusion {
    /// Its block.
    pub block: BlockId,
    /// The block's header.
    pub header: Header,
    /// The proof, against the header's transaction root.
    pub proof: InclusionProof,
    /// The transaction's canonical encoding.
    pub transaction: Vec<u8>,
}

/// What all snapshots of a store share.
pub(super) struct Common {
    pub network: Arc<Network>,
    pub bodies: BodyCache,
    /// Keeps a database that was opened for reading open.
    pub _read_only: Option<ReadOnlyDatabase>,
}

pub(super) struct Inner {
    pub tables: Arc<Tables>,
    pub tail: Tail,
    pub tip: Tip,
    pub common: Arc<Common>,
    /// Valid as long as the flushed part of the chain only grows.
    pub elections: Arc<ElectionCache>,
}

/// The chain and the pool as of one commit. Cheap to clone.
#[derive(Clone)]
pub struct Snapshot(pub(super) Arc<Inner>);

/// Gives the latest snapshot to any thread. Cheap to clone.
#[derive(Clone)]
pub struct Reader(pub(super) Arc<RwLock<Snapshot>>);

impl Reader {
    /// The state after the latest commit.
    pub fn snapshot(&self) -> Snapshot {
        // The lock is held for as long as it takes to swap or clone a pointer, never across a commit.
        self.0
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub(super) fn publish(&self, snapshot: Snapshot) {
        let mut current = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let old = std::mem::replace(&mut *current, snapshot);
        drop(current);
        // Ending a read transaction takes locks of the database: not while readers wait for ours.
        drop(old);
    }
}

impl Snapshot {
    pub(super) fn new(
        transaction: &ReadTransaction,
        tail: Tail,
        common: Arc<Common>,
        elections: Arc<ElectionCache>,
    ) -> Result<Self, StoreError> {
        let tables = Arc::new(Tables::open(transaction)?);
        Ok(Self::assemble(tables, tail, common, elections))
    }

    fn assemble(
        tables: Arc<Tables>,
        tail: Tail,
        common: Arc<Common>,
        elections: Arc<ElectionCache>,
    ) -> Self {
        let (id, header, _, _) = tail.tip();
        let tip = Tip {
            id: *id,
            height: header.height,
            timestamp_ms: header.timestamp_ms,
        };
        Self(Arc::new(Inner {
            tables,
            tail,
            tip,
            common,
            elections,
        }))
    }

    /// The same commit with a tail that reaches further, while it is read back.
    pub(super) fn with_tail(&self, tail: Tail) -> Self {
        let inner = &self.0;
        Self::assemble(
            inner.tables.clone(),
            tail,
            inner.common.clone(),
            inner.elections.clone(),
        )
    }

    pub(super) fn tables(&self) -> &Tables {
        &self.0.tables
    }

    pub(super) fn tail(&self) -> &Tail {
        &self.0.tail
    }

    // The chain.

    /// The last block of the main chain.
    pub fn tip(&self) -> Tip {
        self.0.tip
    }

    /// Header of the last block of the main chain.
    pub fn tip_header(&self) -> &Header {
        self.0.tail.tip().1
    }

    /// The network, with the parameters of its genesis.
    pub fn network(&self) -> &Arc<Network> {
        &self.0.common.network
    }

    /// How many of each thing the main chain holds.
    pub fn counts(&self) -> Counts {
        self.0.tail.tip().3.clone()
    }

    /// Height up to which the state is in the tables; what is above is in memory too.
    pub fn flushed_height(&self) -> u64 {
        self.0.tail.base().header.height
    }

    /// What is known of a block, on the main chain or not.
    pub fn block(&self, id: &BlockId) -> Result<Option<KnownBlock>, StoreError> {
        let Some(stored) = self.0.tables.headers.get(id.as_bytes())? else {
            return Ok(None);
        };
        let stored: StoredHeader = decode("headers", stored.value())?;
        Ok(Some(KnownBlock {
            id: *id,
            validity: stored.validity(),
            body_len: stored.body_len(),
            header: stored.header,
        }))
    }

    /// The header of a block, on the main chain or not.
    pub fn header(&self, id: &BlockId) -> Result<Option<Header>, StoreError> {
        Ok(self.block(id)?.map(|block| block.header))
    }

    /// The block of the main chain at a height.
    pub fn main_id(&self, height: u64) -> Result<Option<BlockId>, StoreError> {
        let id = self.0.tables.main.get(height)?;
        Ok(id.map(|id| BlockId::from_bytes(*id.value())))
    }

    /// Whether a block is on the main chain.
    pub fn is_main(&self, id: &BlockId) -> Result<bool, StoreError> {
        Ok(match self.header(id)? {
            Some(header) => self.main_id(header.height)? == Some(*id),
            None => false,
        })
    }

    /// Id and header of the block of the main chain at a height.
    pub fn main_block(&self, height: u64) -> Result<Option<(BlockId, Header)>, StoreError> {
        if let Some(block) = self.0.tail.block(height) {
            return Ok(Some((block.id, block.header.clone())));
        }
        let Some(id) = self.main_id(height)? else {
            return Ok(None);
        };
        let header = self
            .header(&id)?
            .ok_or_else(|| StoreError::Corrupt(format!("block {height} lacks its header")))?;
        Ok(Some((id, header)))
    }

    /// A block of the main chain that has to be there.
    pub(super) fn expect_main(&self, height: u64) -> Result<(BlockId, Header), StoreError> {
        self.main_block(height)?
            .ok_or_else(|| StoreError::Corrupt(format!("the chain lacks block {height}")))
    }

    /// Headers of the main chain that follow the first block of the locator that is on it, or the genesis block, at
    /// most `max`.
    pub fn headers_after(
        &self,
        locator: &[BlockId],
        max: usize,
    ) -> Result<Vec<Header>, StoreError> {
        let mut from = 0;
        for id in locator {
            if let Some(header) = self.header(id)?
                && self.main_id(header.height)? == Some(*id)
            {
                from = header.height;
                break;
            }
        }
        let until = self.0.tip.height.min(from.saturating_add(max as u64));
        (from + 1..=until)
            .map(|height| Ok(self.expect_main(height)?.1))
            .collect()
    }

    /// The first block of the main chain with a timestamp at or after `timestamp_ms`.
    pub fn first_block_from(&self, timestamp_ms: u64) -> Result<Option<Tip>, StoreError> {
        if self.0.tip.timestamp_ms < timestamp_ms {
            return Ok(None);
        }
        // Timestamps grow along the chain.
        let (mut low, mut high) = (0, self.0.tip.height);
        while low < high {
            let middle = low + (high - low) / 2;
            if self.expect_main(middle)?.1.timestamp_ms < timestamp_ms {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        let (id, header) = self.expect_main(low)?;
        Ok(Some(Tip {
            id,
            height: low,
            timestamp_ms: header.timestamp_ms,
        }))
    }

    // Transactions.

    /// The encoded transactions of a block.
    pub fn body(&self, id: &BlockId) -> Result<Option<Arc<[u8]>>, StoreError> {
        let body = self.0.tables.bodies.get(id.as_bytes())?;
        Ok(body.map(|body| body.value().into()))
    }

    /// The encoded transactions of these blocks, up to the first that is unknown or does not fit into `max_bytes`
    /// together with those before it. The first block's come whatever their length.
    pub fn bodies(
        &self,
        blocks: &[BlockId],
        max_bytes: usize,
    ) -> Result<Vec<Arc<[u8]>>, StoreError> {
        let mut bodies: Vec<Arc<[u8]>> = Vec::new();
        let mut room = max_bytes;
        for id in blocks {
            let Some(body) = self.0.tables.bodies.get(id.as_bytes())? else {
                break;
            };
            let body = body.value();
            if body.len() > room && !bodies.is_empty() {
                break;
            }
            room = room.saturating_sub(body.len());
            bodies.push(body.into());
        }
        Ok(bodies)
    }

    /// The transactions of a block.
    pub fn transactions(&self, id: &BlockId) -> Result<Option<Transactions>, StoreError> {
        let Some(body) = self.0.tables.bodies.get(id.as_bytes())? else {
            return Ok(None);
        };
        decode_transactions(body.value()).map(Some)
    }

    /// The transactions of a block with their ids and Merkle tree.
    pub fn block_body(&self, id: &BlockId) -> Result<Option<Arc<BlockBody>>, StoreError> {
        if let Some(body) = self.0.common.bodies.get(id) {
            return Ok(Some(body));
        }
        let Some(bytes) = self.body(id)? else {
            return Ok(None);
        };
        let body = Arc::new(BlockBody::new(bytes)?);
        self.0.common.bodies.insert(*id, body.clone());
        Ok(Some(body))
    }

    /// Where a transaction stands on the main chain.
    pub fn position(&self, id: &TxId) -> Result<Option<Position>, StoreError> {
        if let Some(position) = self.0.tail.transaction(id) {
            return Ok(Some(position));
        }
        let position = self.0.tables.transactions.get(id.as_bytes())?;
        Ok(position.map(|position| record::read_position(position.value())))
    }

    /// A transaction of the main chain with the proof of its place.
    pub fn inclusion(&self, id: &TxId) -> Result<Option<Inclusion>, StoreError> {
        let Some(position) = self.position(id)? else {
            return Ok(None);
        };
        let (block, header) = self.expect_main(position.height)?;
        let body = self.expect_body(&block)?;
        let lacking = || StoreError::Corrupt(format!("block {block} lacks a transaction"));
        Ok(Some(Inclusion {
            block,
            header,
            proof: body.inclusion(position.index).ok_or_else(lacking)?,
            transaction: body
                .transaction(position.index)
                .ok_or_else(lacking)?
                .to_vec(),
        }))
    }

    /// The canonical encoding of a transaction, of the main chain or waiting.
    pub fn transaction(&self, id: &TxId) -> Result<Option<Vec<u8>>, StoreError> {
        if let Some(waiting) = self.pending(id)? {
            return Ok(Some(waiting));
        }
        let Some(position) = self.position(id)? else {
            return Ok(None);
        };
        let block = self.expect_main(position.height)?.0;
        let body = self.expect_body(&block)?;
        Ok(body.transaction(position.index).map(<[u8]>::to_vec))
    }

    pub(super) fn expect_body(&self, id: &BlockId) -> Result<Arc<BlockBody>, StoreError> {
        self.block_body(id)?
            .ok_or_else(|| StoreError::Corrupt(format!("block {id} lacks its transactions")))
    }

    /// A kept root of the roll log, or the hash of a leaf.
    pub(super) fn kept_node(&self, level: u32, index: u64) -> Result<Hash, StoreError> {
        if level == 0 {
            return Ok(self.roll_entry(index)?.leaf());
        }
        let level = level as u8;
        if let Some(root) = self.0.tail.node(level, index) {
            return Ok(root);
        }
        stored_node(&self.0.tables, level, index)
    }
}

/// Reads a value of table `meta` that has to be there.
pub(super) fn meta_value(tables: &Tables, key: &'static str) -> Result<Vec<u8>, StoreError> {
    let value = tables
        .meta
        .get(key)?
        .ok_or_else(|| StoreError::Corrupt(format!("table meta lacks {key}")))?;
    Ok(value.value().to_vec())
}

/// The tip that the tables name.
pub(super) fn stored_tip(tables: &Tables) -> Result<StoredPoint, StoreError> {
    decode("meta", &meta_value(tables, meta::TIP)?)
}

/// A root of the roll log that has to be in the tables.
pub(super) fn stored_node(tables: &Tables, level: u8, index: u64) -> Result<Hash, StoreError> {
    let root = tables
        .nodes
        .get(&super::tables::node_key(level, index))?
        .ok_or_else(|| StoreError::Corrupt("the roll log lacks a root".to_owned()))?;
    Ok(Hash::from_bytes(*root.value()))
}

/// Decodes the transactions of a block.
pub(super) fn decode_transactions(body: &[u8]) -> Result<Transactions, StoreError> {
    wire::decode_bounded(body, Genesis::MAX_BLOCK_BYTES as usize)
        .map_err(|error| StoreError::Corrupt(format!("table bodies: {error}")))
}
