//! From certificate to checkpoint.
//!
//! A certificate is checked against the set in force, then its block is looked for: on the best chain it becomes the
//! next checkpoint with the batch's commit; on a branch the tree is told to follow that branch; unknown, its ancestry is
//! asked for. Two certificates that no chain contains both are the proof that a third of the power broke the rules: the
//! node stops.

use tracing::{error, info, warn};
use votenode_p2p::PeerId;

use super::hearing::Pull;
use super::votes::Votes;
use super::{Coming, MAX_AHEAD};
use crate::chain::block::BlockId;
use crate::chain::checkpoint::{
    CertificateError, CommitCertificate, FinaliserSet, signers_of_both,
};
use crate::chain::genesis::Finaliser;
use crate::chain::state::View;
use crate::node::peers::Asked;
use crate::node::recall::Source;
use crate::node::sync::LIE_POINTS;
use crate::node::{Effect, Node};
use crate::protocol::sync::{MAX_CERTIFICATES, Request, Status};
use crate::store::{Snapshot, StoreError};

/// Score points for a certificate that proves nothing.
const FORGED_POINTS: u32 = 60;

/// Least time between two comparisons of all certificates with one peer's, in milliseconds.
const COMPARE_PAUSE_MS: u64 = 60_000;

/// A checkpoint of this node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Final {
    /// Its number, from 1.
    pub checkpoint: u64,
    /// Its block.
    pub block: BlockId,
    /// Height of that.
    pub height: u64,
}

/// Two certificates that no chain contains both.
#[derive(Clone, Debug, PartialEq)]
pub struct Conflict {
    /// The one that this node held.
    pub ours: CommitCertificate,
    /// The one that came.
    pub theirs: CommitCertificate,
    /// Finalisers who signed both: they broke the rules.
    pub signed_both: Vec<Finaliser>,
}

/// Where a certificate's block is.
enum Place {
    /// On the best chain, at this height.
    Main(u64),
    /// On another branch, at this height.
    Branch(u64),
    /// Not known, or set aside.
    Nowhere,
}

/// The set of finalisers as of a block of the best chain: in force for the checkpoint after that block.
pub(super) fn set_after(snapshot: &Snapshot, height: u64) -> Result<FinaliserSet, StoreError> {
    let state = snapshot
        .at(height)
        .ok_or_else(|| StoreError::Corrupt(format!("there is no state at height {height}")))?;
    state
        .latest_finaliser_set(snapshot.network())
        .map_err(|error| StoreError::Corrupt(error.to_string()))
}

impl Node {
    /// A certificate that this node put together, or decided.
    pub(super) fn put_together(&mut self, certificate: CommitCertificate) {
        let number = certificate.checkpoint;
        if number != self.finality.next() {
            return;
        }
        self.finality.again = true;
        if let Some(waiting) = self.finality.coming.get(&number)
            && waiting.checked
        {
            if waiting.certificate.block != certificate.block {
                let (set, ours) = (self.finality.set.clone(), waiting.certificate.clone());
                self.stop_for(&set, ours, certificate);
            }
            return;
        }
        let coming = Coming {
            certificate,
            from: None,
            checked: true,
        };
        self.finality.coming.insert(number, coming);
    }

    /// A peer gave certificates; those from a number on, if they were asked for.
    pub(in crate::node) fn certificates_came(
        &mut self,
        peer: PeerId,
        asked_from: Option<u64>,
        certificates: Vec<CommitCertificate>,
    ) {
        if !self.network.finalises() {
            return;
        }
        let full = certificates.len() == MAX_CERTIFICATES;
        let mut highest = 0;
        for certificate in certificates {
            let number = certificate.checkpoint;
            highest = highest.max(number);
            if number < self.finality.next() {
                match self.compare(peer, certificate) {
                    Ok(true) => continue,
                    // The rest of such a reply proves nothing more.
                    Ok(false) => return,
                    Err(failure) => return self.store_failed(&failure.to_string()),
                }
            }
            if number < self.finality.next() + MAX_AHEAD as u64
                && !self.keep_certificate(peer, certificate)
            {
                return;
            }
        }
        // Looking for where a peer's checkpoints part from ours, page by page. Ever higher, or a peer could send the same
        // page for ever.
        let rises = asked_from.is_some_and(|from| highest >= from);
        if full && rises && highest < self.finality.next() {
            self.ask_certificates_from(peer, highest + 1);
        }
    }

    /// Keeps a certificate that a peer gave of the next checkpoint or one after, unless another waits already: then both
    /// have to be for the same block. Whether it can be true.
    fn keep_certificate(&mut self, peer: PeerId, certificate: CommitCertificate) -> bool {
        let number = certificate.checkpoint;
        let is_next = number == self.finality.next();
        let mut waits = false;
        if let Some(waiting) = self.finality.coming.get_mut(&number) {
            // Without a check the two cannot be compared. The first stays while its giver can answer for it.
            let giver = waiting.from.filter(|from| self.peers.is_here(from));
            if waiting.certificate == certificate
                || waiting.checked && waiting.certificate.block == certificate.block
            {
                waiting.from = giver.or(Some(peer));
                return true;
            }
            waits = waiting.checked || giver.is_some();
        }
        if is_next {
            let set = &self.finality.set;
            if let Err(why) = set.check(&self.network.id(), &certificate) {
                self.penalize(peer, FORGED_POINTS, &why.to_string());
                return false;
            }
            if let Some(waiting) = self.finality.coming.get(&number)
                && waiting.checked
            {
                let (set, ours) = (set.clone(), waiting.certificate.clone());
                self.stop_for(&set, ours, certificate);
                return false;
            }
        }
        if is_next || !waits {
            self.finality.again = true;
            let coming = Coming {
                certificate,
                from: Some(peer),
                checked: is_next,
            };
            self.finality.coming.insert(number, coming);
        }
        true
    }

    /// Holds a certificate against the one that this node has of the same checkpoint. Whether it is the same.
    fn compare(
        &mut self,
        peer: PeerId,
        certificate: CommitCertificate,
    ) -> Result<bool, StoreError> {
        let snapshot = self.store.snapshot();
        let Some(ours) = snapshot.certificate(certificate.checkpoint)? else {
            return Ok(true);
        };
        let ours = ours.certificate;
        if ours.block == certificate.block {
            return Ok(true);
        }
        let set = snapshot.state().finaliser_set(&self.network, ours.set);
        let set = set.map_err(|error| StoreError::Corrupt(error.to_string()))?;
        let Some(set) = set else {
            return Ok(true);
        };
        match set.check(&self.network.id(), &certificate) {
            Ok(()) => self.stop_for(&set, ours, certificate),
            // The sets may have parted too: the first that differs tells.
            Err(CertificateError::OtherSet { .. }) if ours.checkpoint > 1 => {
                if !self.compare_certificates(peer) {
                    self.penalize(
                        peer,
                        LIE_POINTS,
                        "certificates of another set, and none that shows where it comes from",
                    );
                }
            }
            Err(why) => self.penalize(peer, FORGED_POINTS, &why.to_string()),
        }
        Ok(false)
    }

    /// Looks for the first certificate of a peer that differs from ours. Not again and again: the way there is long, and
    /// anybody can say that there is one. Not, if it was done a moment ago.
    fn compare_certificates(&mut self, peer: PeerId) -> bool {
        let now_ms = self.now.mono_ms;
        let Some(entry) = self.peers.get_mut(&peer) else {
            return true;
        };
        let last_ms = entry.certificates_compared_ms;
        if last_ms.is_some_and(|at_ms| now_ms < at_ms + COMPARE_PAUSE_MS) {
            return false;
        }
        if self.ask_certificates_from(peer, 1)
            && let Some(entry) = self.peers.get_mut(&peer)
        {
            entry.certificates_compared_ms = Some(now_ms);
        }
        true
    }

    /// Takes one certificate after the other, as far as the best chain holds their blocks.
    pub(super) fn take_certificates(&mut self) {
        while self.finality.conflict.is_none() {
            let number = self.finality.next();
            let Some(coming) = self.finality.coming.get_mut(&number) else {
                return self.finality.ancestry.stop();
            };
            if !coming.checked {
                if let Err(why) = self
                    .finality
                    .set
                    .check(&self.network.id(), &coming.certificate)
                {
                    let from = coming.from;
                    self.finality.coming.remove(&number);
                    if let Some(peer) = from {
                        self.penalize(peer, FORGED_POINTS, &why.to_string());
                    }
                    return;
                }
                coming.checked = true;
            }
            let (block, from) = (coming.certificate.block, coming.from);
            let place = match self.place_of(&block) {
                Ok(place) => place,
                Err(failure) => {
                    self.finality.ancestry.put_off(self.now.mono_ms);
                    return self.store_failed(&failure.to_string());
                }
            };
            let height = match place {
                Place::Main(height) | Place::Branch(height) => {
                    self.finality.ancestry.stop();
                    height
                }
                Place::Nowhere => match self.seek_ancestry(block, from) {
                    Ok(true) => continue,
                    Ok(false) => return,
                    Err(failure) => {
                        self.finality.ancestry.put_off(self.now.mono_ms);
                        return self.store_failed(&failure.to_string());
                    }
                },
            };
            if height <= self.finality.last_height() {
                return self.conflict_with_last(number);
            }
            let source = Source(self.store.snapshot());
            match self.tree.set_checkpoint(block, height, &source) {
                Ok(Ok(())) => {}
                Ok(Err(conflict)) => {
                    error!(%conflict, "a certificate is for a block beside the last checkpoint");
                    // Who signed the two that conflict is known of no others.
                    let last = self.finality.last.map(|last| last.block);
                    if last == Some(conflict.old) {
                        self.conflict_with_last(number);
                    }
                    return;
                }
                Err(failure) => return self.store_failed(&failure.to_string()),
            }
            if let Place::Branch(_) = place {
                // The tree follows that branch now; the rest comes when the best chain holds the block.
                return;
            }
            if let Err(failure) = self.make_final(number, block, height) {
                return self.store_failed(&failure.to_string());
            }
        }
    }

    fn place_of(&mut self, block: &BlockId) -> Result<Place, StoreError> {
        let snapshot = self.store.snapshot();
        if snapshot.is_main(block)?
            && let Some(header) = snapshot.header(block)?
        {
            return Ok(Place::Main(header.height));
        }
        self.recall_branch(block)?;
        Ok(match self.tree.get(block) {
            Some(header) => Place::Branch(header.height),
            None => Place::Nowhere,
        })
    }

    /// The block of a certificate is on the best chain: it is final with the batch's commit.
    fn make_final(&mut self, number: u64, block: BlockId, height: u64) -> Result<(), StoreError> {
        let set = set_after(&self.store.snapshot(), height)?;
        let Some(coming) = self.finality.coming.remove(&number) else {
            return Ok(());
        };
        info!(checkpoint = number, height, block = %block.short(), "a block is final");
        if set.number() != self.finality.set.number() {
            info!(
                set = set.number(),
                finalisers = set.members().len(),
                "another set of finalisers is in force"
            );
        }
        self.stage.finality.clear_log = true;
        self.stage.finality.log.clear();
        self.counters.checkpoints += 1;
        let finality = &mut self.finality;
        finality.last = Some(Final {
            checkpoint: number,
            block,
            height,
        });
        let joined_ms = finality.joined.get(&height);
        finality.took_ms = joined_ms.map(|joined_ms| self.now.mono_ms.saturating_sub(*joined_ms));
        finality.joined = finality.joined.split_off(&(height + 1));
        let decided_by = std::mem::replace(&mut finality.set, set);
        let decided = std::mem::replace(&mut finality.votes, Votes::new(number + 1));
        let early = std::mem::replace(&mut finality.early, Votes::new(number + 2));
        let proofs = finality.past.add(decided_by, decided, &coming.certificate);
        finality.coming = finality.coming.split_off(&(number + 1));
        finality.pull = Pull::default();
        finality.pull.reset(self.now.mono_ms);
        if let Some(duty) = &mut finality.duty {
            duty.rest();
        }
        self.stage.finality.certificates.push(coming.certificate);
        for proof in proofs {
            self.convict(proof);
        }
        // Whoever was ahead may have said enough already.
        for message in early.into_messages() {
            if self.finality.set.member(&message.finaliser).is_some() {
                self.heard(message);
            }
        }
        Ok(())
    }

    /// A valid certificate is for a block that does not descend from the last checkpoint's.
    fn conflict_with_last(&mut self, number: u64) {
        let (Some(last), Some(coming)) = (self.finality.last, self.finality.coming.remove(&number))
        else {
            return;
        };
        match self.store.snapshot().certificate(last.checkpoint) {
            Ok(Some(ours)) => {
                let set = self.finality.set.clone();
                self.stop_for(&set, ours.certificate, coming.certificate);
            }
            Ok(None) => {}
            Err(failure) => self.store_failed(&failure.to_string()),
        }
    }

    /// Stops for good: whoever runs the network has to find out what happened.
    fn stop_for(&mut self, set: &FinaliserSet, ours: CommitCertificate, theirs: CommitCertificate) {
        if self.finality.has_stopped() {
            return;
        }
        let signed_both: Vec<Finaliser> = signers_of_both(&ours, &theirs)
            .iter()
            .filter_map(|key| set.member(key))
            .cloned()
            .collect();
        error!(
            checkpoint = theirs.checkpoint,
            ours = %ours.block,
            theirs = %theirs.block,
            signed_both = ?signed_both.iter().map(|finaliser| finaliser.name.to_string()).collect::<Vec<_>>(),
            "two certificates that no chain contains both: more than a third of the finalisers' power broke the rules. \
             This node stops"
        );
        let conflict = Conflict {
            ours,
            theirs,
            signed_both,
        };
        self.finality.conflict = Some(conflict.clone());
        self.out.push(Effect::Halt(Box::new(conflict)));
    }

    /// A branch that finalisers decided on is invalid: then they decided what no correct node could.
    pub(in crate::node) fn warn_of_invalid_checkpoint(&self, block: &BlockId) {
        if let Some(coming) = self.finality.coming.get(&self.finality.next())
            && coming.checked
            && coming.certificate.block == *block
        {
            warn!(
                block = %block,
                "the finalisers decided on a block that is invalid for this release. Compare its version with theirs"
            );
        }
    }

    /// A peer said where it stands: ask for certificates that it has and this node has not, and for those that cannot be
    /// on this node's chain.
    pub(in crate::node) fn compare_checkpoints(&mut self, peer: PeerId, status: &Status) {
        if !self.network.finalises() || status.checkpoint_height == 0 {
            return;
        }
        if status.checkpoint_height > self.finality.last_height() {
            let next = self.finality.next();
            let is_last = |coming: &Coming| coming.certificate.block == status.checkpoint;
            if next > 1 && self.finality.coming.values().any(is_last) {
                // All that it has is here and finds no place: perhaps its checkpoints part from ours below.
                self.ask_certificates_from(peer, next - 1);
                return;
            }
            return self.ask_certificates(peer);
        }
        match self.store.snapshot().main_id(status.checkpoint_height) {
            Ok(Some(ours)) if ours != status.checkpoint => {
                self.compare_certificates(peer);
            }
            Ok(_) => {}
            Err(failure) => self.store_failed(&failure.to_string()),
        }
    }

    /// Asks a peer for the certificates after those that are here.
    pub(super) fn ask_certificates(&mut self, peer: PeerId) {
        // What is here but waits for its block need not come again.
        let next = self.finality.next();
        let from = (next..next + MAX_AHEAD as u64)
            .find(|number| !self.finality.coming.contains_key(number));
        // The last that is here comes along, so that a peer whose checkpoints part from ours before is noticed.
        if let Some(from) = from {
            let overlap = u64::from(from == next && next > 1);
            self.ask_certificates_from(peer, from - overlap);
        }
    }

    /// Whether the peer is asked now.
    fn ask_certificates_from(&mut self, peer: PeerId, from: u64) -> bool {
        let certificates = |asked: &Asked| matches!(asked, Asked::Certificates { .. });
        if self.peers.is_asking(&peer, certificates) {
            return false;
        }
        self.request(
            peer,
            Asked::Certificates { from },
            &Request::Certificates {
                from,
                max: MAX_CERTIFICATES as u64,
            },
        )
    }
}
