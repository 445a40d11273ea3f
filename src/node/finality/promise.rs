//! What a finaliser's node knows of its own past beyond its store.
//!
//! A store that was restored from a backup does not know what its node signed since. So before a node signs anything for
//! a checkpoint, and anything after a start, it notes the checkpoint's number and the number of its start in its store,
//! and then beside the key. If at start one of the numbers beside the key is higher than that in the store, the store is
//! older than what was signed, and the node signs nothing up to that checkpoint: others decide it, and this node goes on
//! with the next. What this cannot see is a copy of the data that was made while the node ran, put back while the same
//! checkpoint is still open.

use std::sync::{Arc, Mutex, PoisonError};

/// What stands beside the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Promised {
    /// The highest checkpoint for which the key may have signed something.
    pub checkpoint: u64,
    /// How often a node that signs with it was started.
    pub starts: u64,
}

/// Where that is kept.
pub trait Promise: Send {
    /// What stands there; none if nothing is known.
    fn read(&mut self) -> std::io::Result<Option<Promised>>;
    /// Notes what the key may sign from now on, durably.
    fn write(&mut self, promised: Promised) -> std::io::Result<()>;
}

/// A promise in memory, for simulations: it survives the node that writes it.
#[derive(Clone, Debug, Default)]
pub struct MemoryPromise(Arc<Mutex<Option<Promised>>>);

impl Promise for MemoryPromise {
    fn read(&mut self) -> std::io::Result<Option<Promised>> {
        Ok(*self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn write(&mut self, promised: Promised) -> std::io::Result<()> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(promised);
        Ok(())
    }
}
