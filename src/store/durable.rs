//! Durable transactions, and what happens when one fails: redb refuses everything after an I/O error until the database
//! is opened again, and what it then holds decides whether the transaction happened.

use std::sync::Arc;

use redb::{Durability, ReadableDatabase as _, WriteTransaction};

use super::elections::ElectionCache;
use super::error::StoreError;
use super::load::load;
use super::open;
use super::record::decode_number;
use super::snapshot::Snapshot;
use super::tables::{self, meta};
use super::tail::Tail;
use super::writer::Store;
use crate::planted::{self, Fault};
use crate::wire;

impl Store {
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
        let mut error = self.try_write(&change, &mut done).err();
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
        if planted::is(Fault::EffectsBeforeSync) {
            transaction.set_durability(Durability::None)?;
        } else {
            transaction.set_durability(Durability::Immediate)?;
            transaction.set_quick_repair(true);
        }
        let value = change(self, &transaction)?;
        {
            let mut table = transaction.open_table(tables::META)?;
            let commits = wire::encode(&(self.commits + 1));
            table.insert(meta::COMMITS, commits.as_slice())?;
        }
        *done = Some(value);
        Ok(transaction.commit()?)
    }

    /// Opens the database again if it is closed, and finds out about a commit that is in doubt.
    pub(super) fn settle(&mut self) -> Result<(), StoreError> {
        if self.recover()? {
            let loaded = match &self.database {
                Some(database) => load(&database.begin_read()?, self.common.clone())?,
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
}
