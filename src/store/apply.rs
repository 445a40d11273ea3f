//! Writing the parts of a commit into the tables.

use std::collections::HashMap;
use std::sync::Arc;

use redb::{ReadableTable as _, WriteTransaction};

use super::commit::{Appended, Commit, NewBlock, Switch};
use super::elections::ElectionCache;
use super::error::StoreError;
use super::record::{StoredHeader, StoredPoint, Validity, decode};
use super::tables::{self, meta};
use super::tail::{Tail, TailBlock};
use super::writer::Store;
use super::{body, finality, undo};
use crate::chain::block::BlockId;
use crate::chain::transaction::Transaction;
use crate::wire;

/// What a commit changes besides the tables.
pub(super) struct Plan {
    pub tail: Tail,
    pub elections: Arc<ElectionCache>,
    /// Arrival number of the next pending transaction.
    pub arrivals: u64,
}

impl Store {
    /// Writes the parts of a commit and says what the store is after it.
    pub(super) fn apply(
        &self,
        transaction: &WriteTransaction,
        commit: &Commit,
    ) -> Result<Plan, StoreError> {
        write_blocks(transaction, commit)?;
        let (tail, elections) = match &commit.chain {
            Some(switch) => self.switch(transaction, switch, &commit.blocks)?,
            None => (self.tail.clone(), self.elections.clone()),
        };
        finality::write(transaction, commit)?;
        let arrivals = self.write_pool(transaction, commit)?;
        write_pairs(transaction, tables::PEERS, &commit.peers)?;
        write_pairs(transaction, tables::BANS, &commit.bans)?;
        if !commit.notes.is_empty() {
            let mut table = transaction.open_table(tables::NOTES)?;
            for (name, value) in &commit.notes {
                match value {
                    Some(value) => table.insert(name.as_str(), value.as_slice())?,
                    None => table.remove(name.as_str())?,
                };
            }
        }
        if self.closed_before {
            transaction
                .open_table(tables::META)?
                .insert(meta::CLOSED, wire::encode(&0u8).as_slice())?;
        }
        Ok(Plan {
            tail,
            elections,
            arrivals,
        })
    }

    fn write_pool(
        &self,
        transaction: &WriteTransaction,
        commit: &Commit,
    ) -> Result<u64, StoreError> {
        let mut arrivals = self.arrivals;
        if commit.pending_insert.is_empty() && commit.pending_remove.is_empty() {
            return Ok(arrivals);
        }
        let mut table = transaction.open_table(tables::PENDING)?;
        for (id, bytes) in &commit.pending_insert {
            if table.get(id.as_bytes())?.is_some() {
                continue;
            }
            let stored = [&arrivals.to_be_bytes()[..], bytes].concat();
            table.insert(id.as_bytes(), stored.as_slice())?;
            arrivals += 1;
        }
        for id in &commit.pending_remove {
            table.remove(id.as_bytes())?;
        }
        transaction
            .open_table(tables::META)?
            .insert(meta::ARRIVALS, wire::encode(&arrivals).as_slice())?;
        Ok(arrivals)
    }

    /// Changes the main chain.
    fn switch(
        &self,
        transaction: &WriteTransaction,
        switch: &Switch,
        new: &[NewBlock],
    ) -> Result<(Tail, Arc<ElectionCache>), StoreError> {
        let old_height = self.tail.height();
        if switch.rewind_to > old_height {
            return Err(StoreError::Inconsistent("a rewind to above the tip"));
        }
        finality::check_rewind(transaction, switch.rewind_to)?;
        let (mut tail, elections) = if switch.rewind_to < self.tail.base().header.height {
            let base = undo::undo(transaction, &self.snapshot, switch.rewind_to)?;
            (Tail::new(base), Arc::default())
        } else {
            (self.tail.rewound(switch.rewind_to), self.elections.clone())
        };
        let new: HashMap<_, _> = new.iter().map(|block| (block.id, block)).collect();
        for appended in &switch.append {
            let block = self.prepare(&tail, appended, &new)?;
            tail.push(Arc::new(block));
        }

        let mut main = transaction.open_table(tables::MAIN)?;
        let mut headers = transaction.open_table(tables::HEADERS)?;
        for height in switch.rewind_to + 1..=old_height {
            main.remove(height)?;
        }
        for (height, appended) in (switch.rewind_to + 1..).zip(&switch.append) {
            main.insert(height, appended.id.as_bytes())?;
            set_validity(&mut headers, &appended.id, Validity::Valid)?;
        }
        let (id, header, _, _) = tail.tip();
        write_point(transaction, meta::TIP, id, header.height)?;
        Ok((tail, elections))
    }

    /// Makes a tail block of a block that joins the main chain.
    fn prepare(
        &self,
        tail: &Tail,
        appended: &Appended,
        new: &HashMap<BlockId, &NewBlock>,
    ) -> Result<TailBlock, StoreError> {
        let given = new.get(&appended.id);
        let header = match given {
            Some(block) => block.header.clone(),
            None => self
                .snapshot
                .header(&appended.id)?
                .ok_or(StoreError::Inconsistent(
                    "an unknown block on the main chain",
                ))?,
        };
        let transactions = match given.and_then(|block| block.body.as_ref()) {
            Some(body) => body::split(body)?.map(Transaction::id_of).collect(),
            None => {
                let body = self.snapshot.body(&appended.id)?;
                let body = body.ok_or(StoreError::Inconsistent(
                    "a block without its transactions on the main chain",
                ))?;
                body::split(&body)?.map(Transaction::id_of).collect()
            }
        };
        let (parent, parent_header, roll, counts) = tail.tip();
        if header.parent != *parent || header.height != parent_header.height + 1 {
            return Err(StoreError::Inconsistent(
                "a block that is not the tip's child",
            ));
        }
        let block = TailBlock::new(
            appended.id,
            header,
            transactions,
            appended.delta.clone(),
            roll.clone(),
            counts.clone(),
        );
        check_roll(&block)?;
        Ok(block)
    }
}

/// A delta that is not the block's would poison everything after it.
pub(super) fn check_roll(block: &TailBlock) -> Result<(), StoreError> {
    if block.roll.size() == block.header.roll_size && block.roll.root() == block.header.roll_root {
        Ok(())
    } else {
        Err(StoreError::Inconsistent("a delta that is not the block's"))
    }
}

/// Writes headers, bodies and what is known of blocks.
pub(super) fn write_blocks(
    transaction: &WriteTransaction,
    commit: &Commit,
) -> Result<(), StoreError> {
    if commit.blocks.is_empty() && commit.marks.is_empty() && commit.forget.is_empty() {
        return Ok(());
    }
    let mut headers = transaction.open_table(tables::HEADERS)?;
    let mut bodies = transaction.open_table(tables::BODIES)?;
    for block in &commit.blocks {
        let known = headers
            .get(block.id.as_bytes())?
            .map(|stored| decode::<StoredHeader>("headers", stored.value()))
            .transpose()?;
        let mut stored = known.unwrap_or_else(|| StoredHeader {
            header: block.header.clone(),
            validity: Validity::Unchecked as u8,
            body: 0,
        });
        if let Some(body) = &block.body {
            stored.body = body.len() as u64 + 1;
            bodies.insert(block.id.as_bytes(), &**body)?;
        }
        headers.insert(block.id.as_bytes(), wire::encode(&stored).as_slice())?;
    }
    for (id, validity) in &commit.marks {
        set_validity(&mut headers, id, *validity)?;
    }
    let main = transaction.open_table(tables::MAIN)?;
    for id in &commit.forget {
        let Some(stored) = headers.remove(id.as_bytes())? else {
            continue;
        };
        let height = decode::<StoredHeader>("headers", stored.value())?
            .header
            .height;
        if main
            .get(height)?
            .is_some_and(|main| main.value() == id.as_bytes())
        {
            return Err(StoreError::Inconsistent(
                "a block of the main chain to forget",
            ));
        }
        bodies.remove(id.as_bytes())?;
    }
    Ok(())
}

type HeaderTable<'a> = redb::Table<'a, &'static [u8; 32], &'static [u8]>;

fn set_validity(
    headers: &mut HeaderTable<'_>,
    id: &BlockId,
    validity: Validity,
) -> Result<(), StoreError> {
    let mut stored: StoredHeader = match headers.get(id.as_bytes())? {
        Some(stored) => decode("headers", stored.value())?,
        None => return Err(StoreError::Inconsistent("a mark on an unknown block")),
    };
    if stored.validity != validity as u8 {
        stored.validity = validity as u8;
        headers.insert(id.as_bytes(), wire::encode(&stored).as_slice())?;
    }
    Ok(())
}

fn write_pairs(
    transaction: &WriteTransaction,
    table: tables::ByBytes,
    entries: &[(Vec<u8>, Option<Vec<u8>>)],
) -> Result<(), StoreError> {
    if entries.is_empty() {
        return Ok(());
    }
    let mut table = transaction.open_table(table)?;
    for (key, value) in entries {
        match value {
            Some(value) => table.insert(key.as_slice(), value.as_slice())?,
            None => table.remove(key.as_slice())?,
        };
    }
    Ok(())
}

/// Writes a block of the main chain into table `meta`.
pub(super) fn write_point(
    transaction: &WriteTransaction,
    key: &'static str,
    id: &BlockId,
    height: u64,
) -> Result<(), StoreError> {
    let point = wire::encode(&StoredPoint { height, id: *id });
    transaction
        .open_table(tables::META)?
        .insert(key, point.as_slice())?;
    Ok(())
}
