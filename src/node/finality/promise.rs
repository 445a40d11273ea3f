//! What a finaliser's node knows of its own past beyond its store.
//!
//! A store that was restored from a backup does not know what its node signed since. So the last position signed also
//! stands beside the key, and no message leaves the node before both the store and that place hold its position, in this
//! order. A node that starts and finds its store's guard below what stands beside the key has an older store than its
//! signatures. What it was locked on is lost with the rest of the guard, so that it signs nothing more for that whole
//! checkpoint: others decide it, and this node goes on with the next. A node that was killed between the two writes finds
//! the store ahead, and goes on.
//!
//! This holds for every copy of the store, also of a running node. It does not hold if what stands beside the key is
//! restored with it: then only peers can tell.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::chain::transaction::FinalityMessage;
use crate::finality::GuardState;

/// A position in the consensus, ordered: what stands beside the key is the last one signed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Promised {
    /// The checkpoint; 0 if nothing was signed.
    pub checkpoint: u64,
    /// Its round.
    pub round: u64,
    /// Its step, as the kind of a [`FinalityMessage`].
    pub step: u8,
}

impl Promised {
    /// The position of a message.
    pub fn of(message: &FinalityMessage) -> Self {
        Self {
            checkpoint: message.height,
            round: message.round,
            step: message.kind,
        }
    }

    /// The highest position that a guard remembers.
    pub fn remembered_by(guard: &GuardState) -> Self {
        Self {
            checkpoint: guard.checkpoint,
            round: guard.round,
            step: guard.kind,
        }
    }
}

/// Where that is kept.
pub trait Promise: Send {
    /// What stands there; none if nothing is known.
    fn read(&mut self) -> std::io::Result<Option<Promised>>;
    /// Notes how far the key has signed, durably.
    fn write(&mut self, promised: Promised) -> std::io::Result<()>;
}

/// A promise in memory, for simulations: it survives the node that writes it.
#[derive(Clone, Debug, Default)]
pub struct MemoryPromise(Arc<Mutex<Memory>>);

#[derive(Debug, Default)]
struct Memory {
    promised: Option<Promised>,
    fails: bool,
}

impl MemoryPromise {
    /// Whether every write fails from now on, as on a disk that is full.
    pub fn fail(&self, fails: bool) {
        self.lock().fails = fails;
    }

    fn lock(&self) -> MutexGuard<'_, Memory> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Promise for MemoryPromise {
    fn read(&mut self) -> std::io::Result<Option<Promised>> {
        Ok(self.lock().promised)
    }

    fn write(&mut self, promised: Promised) -> std::io::Result<()> {
        let mut memory = self.lock();
        if memory.fails {
            return Err(std::io::ErrorKind::StorageFull.into());
        }
        memory.promised = Some(promised);
        Ok(())
    }
}
