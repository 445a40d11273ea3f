//! The node's hold on the network task, which may be started anew after a failure.

use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use votenode_p2p::{Handle, HandleError};

/// Attempts to hand over a command while the network task is behind, a millisecond apart: it takes thousands in that
/// time unless it hangs.
const ATTEMPTS: u32 = 500;

/// The current network task.
pub(super) struct Link(RwLock<Handle>);

impl Link {
    pub(super) fn new(handle: Handle) -> Self {
        Self(RwLock::new(handle))
    }

    /// The handle of the current task.
    pub(super) fn handle(&self) -> Handle {
        self.0
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// A new task took over.
    pub(super) fn replace(&self, handle: Handle) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = handle;
    }

    /// Hands a command over from the node thread, waiting for a moment if the task is behind: this is where peers feel
    /// that this node cannot keep up. Says whether it was taken.
    pub(super) fn insist(&self, command: impl Fn(&Handle) -> Result<(), HandleError>) -> bool {
        let handle = self.handle();
        for _ in 0..ATTEMPTS {
            match command(&handle) {
                Ok(()) => return true,
                Err(HandleError::Busy) => std::thread::sleep(Duration::from_millis(1)),
                Err(_) => return false,
            }
        }
        false
    }

    /// Ends the current task.
    pub(super) async fn shutdown(&self) {
        self.handle().shutdown().await;
    }
}
