//! What this node signed leaves it: once the store holds it, and its position stands beside the key.

use tracing::{error, info};

use super::promise::{Promise, Promised};
use crate::chain::checkpoint::{CommitCertificate, SignedFinalityMessage};
use crate::chain::transaction::FinalityMessage;
use crate::crypto::PublicKey;
use crate::node::{Effect, Node};
use crate::protocol::finality::{FinalityGossip, MAX_MESSAGES};
use crate::protocol::names::Topic;
use crate::wire::{self, List};

/// Time between two attempts to write beside the key, in milliseconds.
const RETRY_MS: u64 = 2_000;

/// The way out of a finaliser's node.
pub(super) struct Release {
    promise: Box<dyn Promise>,
    /// What stands beside the key.
    promised: Option<Promised>,
    /// Signed and in the store, and not yet said.
    unsaid: Vec<SignedFinalityMessage>,
    /// Decided with the help of what is not yet said.
    decided: Option<CommitCertificate>,
    /// When the next attempt to write is due (monotonic), after one failed.
    retry_ms: Option<u64>,
}

impl Release {
    /// Reads what stands beside the key.
    pub(super) fn load(mut promise: Box<dyn Promise>) -> std::io::Result<Self> {
        let promised = promise.read()?;
        Ok(Self {
            promise,
            promised,
            unsaid: Vec::new(),
            decided: None,
            retry_ms: None,
        })
    }

    pub(super) fn promised(&self) -> Option<Promised> {
        self.promised
    }

    /// When the next attempt to write is due; none if the last one succeeded.
    pub(super) fn retry_ms(&self) -> Option<u64> {
        self.retry_ms
    }

    /// Lets go of what was to be said about a checkpoint that is decided.
    pub(super) fn forget(&mut self) {
        self.unsaid.clear();
        self.decided = None;
        self.retry_ms = None;
    }

    /// Gives a certificate back if it may be stored, else when what it rests on is said. Peers read certificates as soon
    /// as they are in the store, and this one may hold a signature whose position does not stand beside the key.
    pub(super) fn show(
        &mut self,
        own: &PublicKey,
        certificate: CommitCertificate,
    ) -> Option<CommitCertificate> {
        let mut signers = certificate.precommits.iter().map(|precommit| precommit.key);
        if signers.any(|key| key == *own) && self.promised < Some(precommit_in(&certificate)) {
            self.decided = Some(certificate);
            return None;
        }
        Some(certificate)
    }

    /// Writes the highest position of what waits beside the key. Nothing may be said if it cannot be; after a failed
    /// attempt the next has to be due.
    fn promise(&mut self, now_ms: u64) -> bool {
        let unsaid = self.unsaid.iter().map(|said| Promised::of(&said.message));
        let Some(highest) = unsaid.chain(self.decided.iter().map(precommit_in)).max() else {
            return false;
        };
        if self.promised < Some(highest) {
            if self.retry_ms.is_some_and(|due_ms| now_ms < due_ms) {
                return false;
            }
            if let Err(failure) = self.promise.write(highest) {
                if self.retry_ms.is_none() {
                    error!(%failure, "the finaliser's state cannot be written; this node says nothing until it can");
                }
                self.retry_ms = Some(now_ms.saturating_add(RETRY_MS));
                return false;
            }
            self.promised = Some(highest);
        }
        if self.retry_ms.take().is_some() {
            info!("the finaliser's state can be written again");
        }
        true
    }
}

/// The position of the precommits of a certificate.
fn precommit_in(certificate: &CommitCertificate) -> Promised {
    Promised {
        checkpoint: certificate.checkpoint,
        round: certificate.round,
        step: FinalityMessage::PRECOMMIT,
    }
}

impl Node {
    /// The commit succeeded: what this node signed may leave it, if its position can be written beside the key.
    pub(in crate::node) fn release_finality(&mut self) {
        let stage = std::mem::take(&mut self.stage.finality);
        self.finality.again |= !stage.certificates.is_empty();
        let Some(duty) = &mut self.finality.duty else {
            return;
        };
        let release = &mut duty.release;
        release.unsaid.extend(stage.says);
        if !release.promise(self.now.mono_ms) {
            return;
        }
        let says = std::mem::take(&mut release.unsaid);
        let decided = release.decided.take();
        for messages in says.chunks(MAX_MESSAGES) {
            let messages = List::new(messages.to_vec()).expect("a chunk is not empty");
            self.out.push(Effect::Publish {
                topic: Topic::Finality,
                data: wire::encode(&FinalityGossip::Messages { messages }),
            });
        }
        for message in says {
            self.heard(message);
        }
        if let Some(certificate) = decided {
            self.put_together(certificate);
        }
        self.finality.again = true;
    }
}
