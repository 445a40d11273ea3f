//! A cache of elections that stand in the tables: every vote asks for one, and decoding it costs more than the rest.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use crate::chain::election::ElectionId;
use crate::chain::state::ElectionRecord;

/// Elections kept. Few are open at a time; when there are more the cache starts afresh.
const MAX_ELECTIONS: usize = 256;

/// Number and record of elections in the tables. Valid as long as the flushed part of the chain only grows.
#[derive(Debug, Default)]
pub(super) struct ElectionCache(RwLock<HashMap<ElectionId, (u64, Arc<ElectionRecord>)>>);

impl ElectionCache {
    pub fn get(&self, id: &ElectionId) -> Option<(u64, Arc<ElectionRecord>)> {
        let entries = self.0.read().unwrap_or_else(PoisonError::into_inner);
        entries.get(id).cloned()
    }

    pub fn insert(&self, id: ElectionId, number: u64, record: Arc<ElectionRecord>) {
        let mut entries = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if entries.len() >= MAX_ELECTIONS {
            entries.clear();
        }
        entries.insert(id, (number, record));
    }
}
