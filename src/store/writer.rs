//! The one writer.

use std::collections::HashMap;
use std::sync::Arc;

use redb::{Database, Durability, ReadableDatabase as _, ReadableTable as _, WriteTransaction};

use super::commit::{Appended, Commit, NewBlock, Switch};
use super::disk::Disk;
use super::elections::ElectionCache;
use super::error::StoreError;
use super::record::{StoredHeader, StoredPoint, Validity, decode, decode_number};
use super::snapshot::{Common, Reader, Snapshot};
use super::tables::{self, meta};
use super::tail::{Tail, TailBlock};
use super::{StoreConfig, body, open, undo};
use crate::chain::block::BlockId;
use crate::chain::transaction::Transaction;
use crate::wire;

/// Commits that pass before a flush that failed is tried again, so that a full disk does not make every commit dear.
const FLUSH_RETRY_COMMITS: u64 = 64;

/// The database, and the one who may write to it.
pub struct Store {
    pub(super) disk: Disk,
    pub(super) config: StoreConfig,
    /// Gone between an I/O error and the next successful reopening.
    pub(super) database: Option<Database>,
    pub(super) common: Arc<Common>,
    pub(super) elections: Arc<ElectionCache>,
    pub(super) tail: Tail,
    pub(super) snapshot: Snapshot,
    pub(super) reader: Reader,
    /// Commits so far, which the database counts too: tells whether a commit that failed was durable after all.
    pub(super) commits: u64,
    /// Arrival number of the next pending transaction.
    pub(super) arrivals: u64,
    /// Whether a commit failed and the database couldn't be asked yet whether it happened all the same.
    pub(super) in_doubt: bool,
    pub(super) closed_before: bool,
    pub(super) retry_flush_at: u64,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store")
            .field("disk", &self.disk)
            .field("height", &self.tail.height())
            .field("flushed", &self.tail.base().header.height)
            .finish_non_exhaustive()
    }
}

/// What a commit changes besides the tables.
struct Plan {
    tail: Tail,
    elections: Arc<ElectionCache>,
}

impl Store {
    /// The state after the latest commit.
    pub fn snapshot(&self) -> Snapshot {
        self.snapshot.clone()
    }

    /// Gives snapshots to other threads.
    pub fn reader(&self) -> Reader {
        self.reader.clone()
    }

    /// Whether the store was closed in order before it was opened this time.
    pub fn was_closed(&self) -> bool {
        self.closed_before
    }

    /// Makes all of `commit` durable, or nothing.
    ///
    /// An error leaves the store as it was, readable, and open to later commits: [`StoreError::Full`] passes when there
    /// is room again.
    pub fn commit(&mut self, commit: Commit) -> Result<(), StoreError> {
        if commit.is_empty() {
            return Ok(());
        }
        self.reopen()?;
        let (plan, arrivals) =
            self.write(|store, transaction| store.apply(transaction, &commit))?;
        self.arrivals = arrivals;
        self.install(plan.tail, plan.elections);
        self.flush_if_due();
        Ok(())
    }

    /// Ends in order, which spares the next opening a repair. Dropping the store instead loses nothing.
    pub fn close(mut self) -> Result<(), StoreError> {
        self.settle()?;
        self.write(|_, transaction| {
            transaction
                .open_table(tables::META)?
                .insert(meta::CLOSED, wire::encode(&1u8).as_slice())?;
            Ok(())
        })?;
        match self.database.take() {
            Some(database) => Ok(database.close()?),
            None => Ok(()),
        }
    }

    /// Publishes the state after a commit. It is durable already: if it cannot be read, that is no failure of the
    /// commit, and the database is opened again.
    pub(super) fn install(&mut self, tail: Tail, elections: Arc<ElectionCache>) {
        self.tail = tail;
        self.elections = elections;
        let Err(error) = self.refresh() else {
            return;
        };
        tracing::warn!(%error, "the database cannot be read after a commit; it is opened again");
        self.database = None;
        if let Err(error) = self.recover() {
            tracing::warn!(%error, "the database cannot be opened again yet");
        }
    }

    /// Publishes a snapshot of the database as it is now.
    fn refresh(&mut self) -> Result<(), StoreError> {
        let Some(database) = &self.database else {
            return Err(StoreError::Stale);
        };
        self.snapshot = Snapshot::new(
            &database.begin_read()?,
            self.tail.clone(),
            self.common.clone(),
            self.elections.clone(),
        )?;
        self.reader.publish(self.snapshot.clone());
        Ok(())
    }

    /// Runs `change` in a transaction of its own and makes it durable. On an I/O error the database is reopened, as redb
    /// requires, and what it then holds decides whether the transaction happened.
    pub(super) fn write<T>(
        &mut self,
        change: impl Fn(&Self, &WriteTransaction) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let mut done = None;
        let mut error = match self.try_write(&change, &mut done) {
            Ok(()) => None,
            Err(error) => Some(error),
        };
        if matches!(error, Some(StoreError::Stale)) && done.is_none() {
            // A read failed earlier, on any thread, and redb refuses everything since.
            self.database = None;
            if !self.recover()? {
                error = self.try_write(&change, &mut done).err();
            }
        }
        match error {
            None => {
                self.commits += 1;
                done.ok_or(StoreError::Inconsistent("a commit without an outcome"))
            }
            Some(error @ (StoreError::Inconsistent(_) | StoreError::Corrupt(_))) => Err(error),
            Some(error) => {
                self.database = None;
                match (self.recover(), done) {
                    // Only the last step, which confirms that the transaction is on disk, can fail after the fact.
                    (Ok(true), Some(done)) => Ok(done),
                    _ => Err(error),
                }
            }
        }
    }

    fn try_write<T>(
        &self,
        change: &impl Fn(&Self, &WriteTransaction) -> Result<T, StoreError>,
        done: &mut Option<T>,
    ) -> Result<(), StoreError> {
        let Some(database) = &self.database else {
            return Err(StoreError::Stale);
        };
        let mut transaction = database.begin_write()?;
        transaction.set_durability(Durability::Immediate)?;
        transaction.set_quick_repair(true);
        let value = change(self, &transaction)?;
        {
            let mut table = transaction.open_table(tables::META)?;
            let commits = wire::encode(&(self.commits + 1));
            table.insert(meta::COMMITS, commits.as_slice())?;
        }
        *done = Some(value);
        Ok(transaction.commit()?)
    }

    /// Makes the store readable again after an I/O error: snapshots answer [`StoreError::Stale`] from a failed read on,
    /// or while the database could not be reopened after a failed commit. A commit does this by itself.
    ///
    /// [`StoreError::Stale`] says that a commit that was reported as failed is on disk after all. The store has read it
    /// back; whoever relied on the failure has to look again.
    pub fn reopen(&mut self) -> Result<(), StoreError> {
        let healthy = match &self.database {
            // Beginning a write is what finds out; nothing is written.
            Some(database) => database.begin_write().map(|write| write.abort()).is_ok(),
            None => false,
        };
        if !healthy {
            self.database = None;
        }
        self.settle()
    }

    /// Opens the database again if it is closed, and finds out about a commit that is in doubt.
    fn settle(&mut self) -> Result<(), StoreError> {
        if self.recover()? {
            let loaded = match &self.database {
                Some(database) => open::load(&database.begin_read()?, self.common.clone())?,
                None => return Err(StoreError::Stale),
            };
            self.arrivals = loaded.arrivals;
            let elections = loaded.snapshot.0.elections.clone();
            self.install(loaded.snapshot.tail().clone(), elections);
            if std::mem::take(&mut self.in_doubt) {
                return Err(StoreError::Stale);
            }
        }
        self.in_doubt = false;
        Ok(())
    }

    /// Opens the database again if an I/O error closed it. True if a commit that failed turns out to be durable.
    fn recover(&mut self) -> Result<bool, StoreError> {
        if self.database.is_some() {
            return Ok(false);
        }
        let database = self.disk.open(&open::builder(&self.config, false))?;
        let commits = {
            let table = database.begin_read()?.open_table(tables::META)?;
            let stored = table
                .get(meta::COMMITS)?
                .ok_or_else(|| StoreError::Corrupt("table meta lacks commits".to_owned()))?;
            decode_number("meta", stored.value())?
        };
        self.database = Some(database);
        let happened = commits > self.commits;
        if !happened && let Err(error) = self.refresh() {
            self.database = None;
            return Err(error);
        }
        self.commits = commits;
        Ok(happened)
    }

    /// Writes the parts of a commit and says what the store is after it.
    fn apply(
        &self,
        transaction: &WriteTransaction,
        commit: &Commit,
    ) -> Result<(Plan, u64), StoreError> {
        write_blocks(transaction, commit)?;
        let plan = match &commit.chain {
            Some(switch) => self.switch(transaction, switch, &commit.blocks)?,
            None => Plan {
                tail: self.tail.clone(),
                elections: self.elections.clone(),
            },
        };
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
        Ok((plan, arrivals))
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
    ) -> Result<Plan, StoreError> {
        let old_height = self.tail.height();
        if switch.rewind_to > old_height {
            return Err(StoreError::Inconsistent("a rewind to above the tip"));
        }
        let mut plan = if switch.rewind_to < self.tail.base().header.height {
            let base = undo::undo(transaction, &self.snapshot, switch.rewind_to)?;
            Plan {
                tail: Tail::new(base),
                elections: Arc::default(),
            }
        } else {
            Plan {
                tail: self.tail.rewound(switch.rewind_to),
                elections: self.elections.clone(),
            }
        };
        let new: HashMap<_, _> = new.iter().map(|block| (block.id, block)).collect();
        for appended in &switch.append {
            let block = self.prepare(&plan.tail, appended, &new)?;
            plan.tail.push(Arc::new(block));
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
        let (id, header, _, _) = plan.tail.tip();
        write_point(transaction, meta::TIP, id, header.height)?;
        Ok(plan)
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
    let mut heights = transaction.open_table(tables::HEIGHTS)?;
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
        heights.insert(&tables::height_key(block.header.height, &block.id), ())?;
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
        heights.remove(&tables::height_key(height, id))?;
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

impl Store {
    /// Writes a run if enough of the tail lies deep enough. A failure is no failure of the commit that went before: the
    /// tail just stays longer.
    fn flush_if_due(&mut self) {
        if self.commits < self.retry_flush_at {
            return;
        }
        let Some(height) = self.due() else {
            return;
        };
        if let Err(error) = self.flush(height) {
            tracing::warn!(%error, height, "the indexes cannot be written to disk; they stay in memory");
            self.retry_flush_at = self.commits + FLUSH_RETRY_COMMITS;
        }
    }

    /// Height up to which the tail should be flushed now.
    fn due(&self) -> Option<u64> {
        let base = self.tail.base();
        let tip = self.tail.height();
        let deep = tip.saturating_sub(self.config.flush_depth);
        if deep > base.header.height {
            let transactions =
                self.tail.block(deep)?.counts.transactions - base.counts.transactions;
            let blocks = deep - base.header.height;
            if transactions >= self.config.flush_transactions || blocks >= self.config.flush_blocks
            {
                return Some(deep);
            }
        }
        if self.tail.transactions() > self.config.tail_transactions {
            // Half of it, so that it takes as many again until this is due the next time.
            let keep_from = base.counts.transactions + self.tail.transactions() / 2;
            return self
                .tail
                .blocks()
                .find(|block| block.counts.transactions >= keep_from)
                .map(|block| block.header.height);
        }
        None
    }
}
