//! Reading the chain back when a store is opened: the flushed part from the tables, the rest by replaying its bodies.

use std::sync::Arc;

use redb::ReadTransaction;

use super::apply::check_roll;
use super::elections::ElectionCache;
use super::error::StoreError;
use super::record::{Counts, StoredPoint, decode, decode_number};
use super::roll;
use super::snapshot::{Common, Snapshot, meta_value, stored_node, stored_tip};
use super::tables::{Tables, meta};
use super::tail::{Base, Tail, TailBlock};
use crate::chain::block::{BlockId, Header};
use crate::chain::rules::apply_block;
use crate::chain::state::RollEntry;
use crate::chain::transaction::Transaction;
use crate::chain::verify::Verified;

/// What opening finds besides the database itself.
pub(super) struct Loaded {
    pub snapshot: Snapshot,
    pub commits: u64,
    pub arrivals: u64,
    pub closed: bool,
}

/// Reads the chain back: the flushed part from the tables, the tail by replaying its bodies.
pub(super) fn load(
    transaction: &ReadTransaction,
    common: Arc<Common>,
) -> Result<Loaded, StoreError> {
    let tables = Tables::open(transaction)?;
    let number = |key| decode_number("meta", &meta_value(&tables, key)?);
    let elections = Arc::<ElectionCache>::default();
    let tail = Tail::new(load_base(&tables)?);
    let tip = stored_tip(&tables)?;
    let mut snapshot = Snapshot::new(transaction, tail, common.clone(), elections.clone())?;
    for height in snapshot.tip().height + 1..=tip.height {
        let block = replay(&snapshot, height)?;
        let mut tail = snapshot.tail().clone();
        tail.push(Arc::new(block));
        snapshot = snapshot.with_tail(tail);
    }
    if snapshot.tip().id != tip.id {
        return Err(StoreError::Corrupt("the chain has another tip".to_owned()));
    }
    Ok(Loaded {
        commits: number(meta::COMMITS)?,
        arrivals: number(meta::ARRIVALS)?,
        closed: number(meta::CLOSED)? == 1,
        snapshot,
    })
}

/// The flushed block.
fn load_base(tables: &Tables) -> Result<Base, StoreError> {
    let flushed: StoredPoint = decode("meta", &meta_value(tables, meta::FLUSHED)?)?;
    let counts: Counts = decode("meta", &meta_value(tables, meta::COUNTS)?)?;
    let header = load_header(tables, &flushed.id)?;
    let roll = roll::frontier(header.roll_size, &|level, index| {
        if level > 0 {
            return stored_node(tables, level as u8, index);
        }
        let entry = tables
            .roll
            .get(index)?
            .ok_or_else(|| StoreError::Corrupt("the roll lacks an entry".to_owned()))?;
        let entry: RollEntry = super::view::decode_leaf(entry.value())?;
        Ok(entry.leaf())
    })?;
    if header.height != flushed.height || roll.root() != header.roll_root {
        return Err(StoreError::Corrupt(
            "the roll is not that of the chain".to_owned(),
        ));
    }
    Ok(Base {
        id: flushed.id,
        header,
        roll,
        counts,
    })
}

fn load_header(tables: &Tables, id: &BlockId) -> Result<Header, StoreError> {
    let stored = tables
        .headers
        .get(id.as_bytes())?
        .ok_or_else(|| StoreError::Corrupt("a block lacks its header".to_owned()))?;
    Ok(decode::<super::record::StoredHeader>("headers", stored.value())?.header)
}

/// Applies the block of the main chain at `height`, the next above the snapshot's tip, by the same rules as when it
/// came, but without verifying signatures again.
fn replay(snapshot: &Snapshot, height: u64) -> Result<TailBlock, StoreError> {
    let corrupt = |what: &dyn std::fmt::Display| {
        StoreError::Corrupt(format!("block {height} of the main chain: {what}"))
    };
    let (id, header) = snapshot.expect_main(height)?;
    let body = snapshot
        .body(&id)?
        .ok_or_else(|| corrupt(&"its transactions are lacking"))?;
    let body = super::body::split(&body)?
        .map(Verified::<Transaction>::from_own_store)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| corrupt(&error))?;
    let network = snapshot.network();
    let delta = apply_block(
        &snapshot.state(),
        network,
        snapshot.tip_header(),
        &header,
        &body,
    )
    .map_err(|error| corrupt(&error))?;
    let (_, _, roll, counts) = snapshot.tail().tip();
    let ids = body.iter().map(Verified::id).collect();
    let block = TailBlock::new(id, header, ids, delta, roll.clone(), counts.clone());
    check_roll(&block)?;
    Ok(block)
}
