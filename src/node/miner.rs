//! The miner thread: looks for nonces, one job at a time, until a newer job or a stop makes its own stale.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Instant;

use crate::chain::block::{Header, Nonce};
use crate::crypto::{Context, Hash, PrefixHasher};
use crate::wire;

/// Hashes between two looks at the clock and the epoch: under ten milliseconds of one core.
const HASHES_PER_LOOK: u64 = 4_096;
/// Jobs that may wait: the running one and its successor. Whatever is older is stale anyway.
const QUEUED_JOBS: usize = 4;

/// A nonce that was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// The job's number.
    pub epoch: u64,
    /// The nonce.
    pub nonce: Nonce,
    /// Hashes a second during the job.
    pub hash_rate: u64,
}

struct Job {
    epoch: u64,
    header: Header,
}

/// Handle of the miner thread. Dropping it ends the thread.
pub struct Miner {
    jobs: Option<SyncSender<Job>>,
    current: Arc<AtomicU64>,
    thread: Option<JoinHandle<()>>,
}

impl Miner {
    /// Starts the thread. `found` is called on it for each nonce.
    pub fn start(
        target: Hash,
        found: impl Fn(Found) + Send + 'static,
    ) -> Result<Self, std::io::Error> {
        let (jobs, queue) = sync_channel::<Job>(QUEUED_JOBS);
        let current = Arc::new(AtomicU64::new(0));
        let epoch = Arc::clone(&current);
        let thread = std::thread::Builder::new()
            .name("miner".into())
            .spawn(move || {
                while let Ok(job) = queue.recv() {
                    let live = || epoch.load(Ordering::Relaxed) == job.epoch;
                    if let Some((nonce, hash_rate)) = search(&job.header, &target, live) {
                        found(Found {
                            epoch: job.epoch,
                            nonce,
                            hash_rate,
                        });
                    }
                }
            })?;
        Ok(Self {
            jobs: Some(jobs),
            current,
            thread: Some(thread),
        })
    }

    /// Gives up the current job and begins this one. Epochs are above zero and never repeat.
    pub fn mine(&self, epoch: u64, header: Header) {
        self.current.store(epoch, Ordering::Relaxed);
        if let Some(jobs) = &self.jobs {
            // A full queue holds only stale jobs, which the thread skips at once: waiting is a matter of microseconds.
            let _ = jobs.send(Job { epoch, header });
        }
    }

    /// Gives up the current job.
    pub fn stop(&self) {
        self.current.store(0, Ordering::Relaxed);
    }
}

impl Drop for Miner {
    fn drop(&mut self) {
        self.stop();
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Tries nonces while `live` says so. Gives the nonce and the hashes a second.
fn search(header: &Header, target: &Hash, live: impl Fn() -> bool) -> Option<(Nonce, u64)> {
    // The nonce is a byte string at the very end of the encoding, so everything before it is hashed from one prefix.
    let encoded = wire::encode(header);
    let prefix = &encoded[..encoded.len() - Nonce::LEN];
    let hasher = PrefixHasher::new(Context::BlockId, prefix);
    let start = Instant::now();
    let mut nonce = 0u64;
    while live() {
        for _ in 0..HASHES_PER_LOOK {
            let bytes = nonce.to_be_bytes();
            if hasher.finish(&bytes).as_bytes() <= target.as_bytes() {
                let seconds = start.elapsed().as_secs_f64().max(1e-6);
                return Some((
                    Nonce::from_bytes(bytes),
                    ((nonce + 1) as f64 / seconds) as u64,
                ));
            }
            nonce += 1;
        }
    }
    None
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::sync::mpsc::channel;
    use std::time::Duration;

    use super::*;
    use crate::chain::block::BlockId;
    use crate::chain::genesis::NetworkId;
    use crate::crypto::PublicKey;

    fn header(height: u64) -> Header {
        Header {
            version: 1,
            network: NetworkId::ZERO,
            height,
            parent: BlockId::ZERO,
            transaction_root: Hash::ZERO,
            roll_size: 0,
            roll_root: Hash::ZERO,
            timestamp_ms: 1,
            miner: PublicKey::ZERO,
            nonce: Nonce::ZERO,
        }
    }

    #[test]
    fn what_is_found_meets_the_target_and_newer_jobs_replace_older_ones() {
        let (sender, receiver) = channel();
        let mut target = [0xff; 32];
        target[0] = 0;
        let target = Hash::from_bytes(target);
        let miner = Miner::start(target, move |found| sender.send(found).unwrap()).unwrap();
        miner.mine(1, header(1));
        let found = receiver.recv_timeout(Duration::from_secs(60)).unwrap();
        assert_eq!(found.epoch, 1);
        let mut mined = header(1);
        mined.nonce = found.nonce;
        assert!(mined.id().as_bytes() <= target.as_bytes());
    }

    #[test]
    fn a_hopeless_job_ends_when_the_next_one_comes() {
        let (sender, receiver) = channel();
        // Nothing but zero meets this, until the job is replaced.
        let miner = Miner::start(Hash::ZERO, move |found| sender.send(found).unwrap()).unwrap();
        for epoch in 1..20 {
            miner.mine(epoch, header(epoch));
        }
        miner.stop();
        drop(miner);
        assert!(receiver.try_recv().is_err());
    }
}
