//! The way into the node thread: one queue, two kinds of inputs.
//!
//! What a peer can send at will is refused when the queue is full. What must not be lost (ends of requests, verdicts,
//! found nonces, peers that come and go) is always taken; its number is bounded by what the node itself has under way
//! and by the connection limits.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::Input;

/// Inputs of peers that may wait: a few batches. Each holds at most one message of 64 KiB or one compact block, so that
/// a full queue is some 64 MiB at the very worst.
const REFUSABLE: usize = 1_024;
/// Inputs handled in one batch, and so in one commit.
const BATCH: usize = 512;

/// An input was not queued.
#[derive(Debug)]
pub(super) struct Refused;

#[derive(Default)]
struct Waiting {
    inputs: VecDeque<Input>,
    refusable: usize,
    closed: bool,
}

/// The queue. Shared by everything that feeds the node thread.
#[derive(Default)]
pub(super) struct InputQueue {
    waiting: Mutex<Waiting>,
    arrived: Condvar,
}

/// Whether an input may be refused.
fn is_refusable(input: &Input) -> bool {
    matches!(
        input,
        Input::Gossip { .. } | Input::Submit { .. } | Input::PeerStatus { .. }
    )
}

impl InputQueue {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        // A panic while the lock is held leaves the queue whole: every change to it is a single call.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues an input, unless it may be refused and the queue is full, or the node has ended.
    pub(super) fn push(&self, input: Input) -> Result<(), Refused> {
        let mut waiting = self.lock();
        let refusable = is_refusable(&input);
        if waiting.closed || refusable && waiting.refusable >= REFUSABLE {
            return Err(Refused);
        }
        waiting.refusable += usize::from(refusable);
        waiting.inputs.push_back(input);
        drop(waiting);
        self.arrived.notify_one();
        Ok(())
    }

    /// Waits for inputs, at most until `deadline`, and takes a batch. `None` once the queue is closed.
    pub(super) fn take(&self, deadline: Option<Instant>) -> Option<Vec<Input>> {
        let mut waiting = self.lock();
        while waiting.inputs.is_empty() && !waiting.closed {
            let left = match deadline {
                None => Duration::from_secs(3600),
                Some(deadline) => deadline.saturating_duration_since(Instant::now()),
            };
            if left.is_zero() {
                break;
            }
            waiting = self
                .arrived
                .wait_timeout(waiting, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        if waiting.closed {
            return None;
        }
        let count = waiting.inputs.len().min(BATCH);
        let batch: Vec<Input> = waiting.inputs.drain(..count).collect();
        waiting.refusable -= batch.iter().filter(|input| is_refusable(input)).count();
        Some(batch)
    }

    /// Lets the node thread end after its current batch; later inputs are refused.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.arrived.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use votenode_p2p::{PeerId, RequestId};

    use super::*;
    use crate::node::Submitter;

    fn submit(number: u64) -> Input {
        Input::Submit {
            submitter: Submitter::Peer {
                peer: PeerId::random(),
                request: RequestId(number),
            },
            transactions: Vec::new(),
        }
    }

    #[test]
    fn a_full_queue_refuses_peers_and_nothing_else() {
        let queue = InputQueue::default();
        let taken = (0..REFUSABLE as u64 + 10)
            .filter(|number| queue.push(submit(*number)).is_ok())
            .count();
        assert_eq!(taken, REFUSABLE);
        let peer = PeerId::random();
        assert!(queue.push(Input::PeerGone { peer }).is_ok());
        let mut drained = 0;
        while drained < REFUSABLE + 1 {
            drained += queue.take(None).map_or(0, |batch| batch.len());
        }
        assert!(queue.push(submit(0)).is_ok());
    }

    #[test]
    fn a_closed_queue_ends_the_reader_and_takes_nothing() {
        let queue = InputQueue::default();
        queue.close();
        assert!(queue.take(None).is_none());
        assert!(queue.push(Input::Tick).is_err());
    }

    #[test]
    fn a_deadline_ends_the_wait_with_an_empty_batch() {
        let queue = InputQueue::default();
        let batch = queue.take(Some(Instant::now()));
        assert!(batch.is_some_and(|batch| batch.is_empty()));
    }
}
