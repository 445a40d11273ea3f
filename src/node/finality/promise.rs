//! What a finaliser's node knows of its own past beyond its store.
//!
//! A store that was restored from a backup does not know what its node signed since. So before a node signs anything for
//! a checkpoint it notes the checkpoint's number in its store, and then beside the key. If at start the number beside
//! the key is higher than the one in the store, the store is older than what was signed, and the node signs nothing up
//! to that number: others decide those checkpoints, and it goes on with the next.

use std::sync::{Arc, Mutex, PoisonError};

/// Where the number beside the key is kept.
pub trait Promise: Send {
    /// The highest checkpoint for which the key may have signed something; none if nothing is known.
    fn read(&mut self) -> std::io::Result<Option<u64>>;
    /// Notes that the key may sign for this checkpoint, durably.
    fn write(&mut self, checkpoint: u64) -> std::io::Result<()>;
}

/// A promise in memory, for simulations: it survives the node that writes it.
#[derive(Clone, Debug, Default)]
pub struct MemoryPromise(Arc<Mutex<Option<u64>>>);

impl Promise for MemoryPromise {
    fn read(&mut self) -> std::io::Result<Option<u64>> {
        Ok(*self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn write(&mut self, checkpoint: u64) -> std::io::Result<()> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(checkpoint);
        Ok(())
    }
}
