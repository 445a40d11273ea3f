//! The chain that fake nodes show, and who finalises it.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use crate::chain::block::{Header, Nonce};
use crate::chain::checkpoint::CommitCertificate;
use crate::chain::genesis::{Finaliser, Genesis, OpenAdmission};
use crate::chain::merkle::{PerfectNodes, Tree};
use crate::chain::network::Network;
use crate::chain::sign;
use crate::chain::transaction::{
    Approval, FinaliserChange, FinalityMessage, Payload, Transaction, TxId,
};
use crate::crypto::{Hash, PublicKey, SigningKey};
use crate::protocol::submit::Inclusion;
use crate::wire::{List, Text};

/// A network in which every hash is work enough.
pub fn network() -> Arc<Network> {
    network_of(&[])
}

/// The key of a finaliser of tests.
fn finaliser_key(number: u8) -> SigningKey {
    SigningKey::from_seed(&[number; 32])
}

fn members(numbers: &[u8]) -> Vec<Finaliser> {
    let member = |number: &u8| Finaliser {
        key: finaliser_key(*number).public_key(),
        power: 1,
        name: Text::new(&format!("f{number}")).unwrap(),
    };
    numbers.iter().map(member).collect()
}

/// The same with finalisers of one vote each.
pub fn network_of(finalisers: &[u8]) -> Arc<Network> {
    let genesis = Genesis {
        version: 1,
        name: Text::new("fake").unwrap(),
        timestamp_ms: 1_000,
        block_time_ms: 500,
        target: Hash::from_bytes([0xff; 32]),
        close_grace_ms: 1_000,
        confirmations: 2,
        max_block_bytes: 1 << 20,
        max_block_transactions: 8_000,
        open_admission: OpenAdmission::Stamped { bits: 2 },
        vote_stamp_bits: 0,
        elections_by: 0,
        organisers: List::new(vec![]).unwrap(),
        finalisers: List::new(members(finalisers)).unwrap(),
    };
    Arc::new(Network::new(genesis).unwrap())
}

/// A chain that fake nodes share: whatever one of them mines, all of them have.
#[derive(Debug)]
pub struct FakeChain {
    pub(super) network: Arc<Network>,
    pub blocks: Vec<(Header, Vec<TxId>)>,
    pub held: BTreeMap<TxId, Transaction>,
    places: BTreeMap<TxId, (usize, usize)>,
    /// With the index of the block that each is for.
    pub certificates: Vec<(usize, CommitCertificate)>,
    pub changes: Vec<FinaliserChange>,
    /// Those who sign now.
    finalisers: Vec<u8>,
}

impl FakeChain {
    pub fn new(network: &Arc<Network>) -> Arc<Mutex<Self>> {
        Arc::new(Mutex::new(Self {
            network: Arc::clone(network),
            blocks: Vec::new(),
            held: BTreeMap::new(),
            places: BTreeMap::new(),
            certificates: Vec::new(),
            changes: Vec::new(),
            finalisers: (1..=network.finalisers.len() as u8).collect(),
        }))
    }

    /// The finalisers of now make others their successors.
    pub fn change_finalisers(&mut self, finalisers: &[u8]) {
        let (network, set) = (self.network.id(), self.changes.len() as u64 + 1);
        let wanted = List::new(members(finalisers)).unwrap();
        let approvals = self
            .finalisers
            .iter()
            .map(|number| sign::approve_change(&network, &finaliser_key(*number), set, &wanted))
            .collect();
        let approvals = List::new(approvals).unwrap();
        let made = sign::change_finalisers(&network, set, wanted, approvals).unwrap();
        let Payload::FinaliserChange { change } = made.payload else {
            unreachable!("a change was made");
        };
        self.changes.push(change);
        self.finalisers = finalisers.to_vec();
    }

    /// The finalisers of now decide the tip.
    pub fn finalise(&mut self) {
        let tip = self.blocks.len() - 1;
        let block = self.blocks[tip].0.id();
        let checkpoint = self.certificates.len() as u64 + 1;
        let message = FinalityMessage::precommit(checkpoint, 0, &block);
        let mut precommits: Vec<Approval> = self
            .finalisers
            .iter()
            .map(|number| {
                let key = finaliser_key(*number);
                let network = self.network.id();
                Approval {
                    key: key.public_key(),
                    signature: key.sign(message.context(), network.as_bytes(), &message.payload()),
                }
            })
            .collect();
        precommits.sort_by_key(|precommit| precommit.key);
        self.certificates.push((
            tip,
            CommitCertificate {
                set: self.changes.len() as u64,
                checkpoint,
                round: 0,
                block,
                precommits: List::new(precommits).unwrap(),
            },
        ));
    }

    /// Puts what is held and in no block into a new one, even an empty one.
    pub fn mine(&mut self) {
        let ids: Vec<TxId> = self
            .held
            .keys()
            .filter(|id| !self.places.contains_key(id))
            .copied()
            .collect();
        let parent = self.blocks.last().map(|(header, _)| header.clone());
        let parent = parent.unwrap_or_else(|| self.network.genesis_header().clone());
        let leaves = ids.iter().map(|id| Tree::Transactions.leaf(id.as_bytes()));
        let header = Header {
            version: 1,
            network: self.network.id(),
            height: parent.height + 1,
            parent: parent.id(),
            transaction_root: Tree::Transactions.root(leaves),
            roll_size: 0,
            roll_root: Tree::Roll.empty(),
            timestamp_ms: parent.timestamp_ms + 500,
            miner: PublicKey::ZERO,
            nonce: Nonce::default(),
        };
        for (index, id) in ids.iter().enumerate() {
            self.places.insert(*id, (self.blocks.len(), index));
        }
        self.blocks.push((header, ids));
    }

    pub fn inclusion(&self, id: &TxId) -> Option<(Inclusion, u64)> {
        let (block, index) = self.places.get(id)?;
        let (header, ids) = &self.blocks[*block];
        let leaves = ids
            .iter()
            .map(|id| Tree::Transactions.leaf(id.as_bytes()))
            .collect();
        let proof = PerfectNodes::new(Tree::Transactions, leaves)
            .inclusion(Tree::Transactions, *index as u64)
            .unwrap();
        let inclusion = Inclusion {
            header: header.clone(),
            index: proof.index,
            count: proof.count,
            path: List::new(proof.path).unwrap(),
        };
        Some((inclusion, (self.blocks.len() - 1 - block) as u64))
    }

    pub(super) fn headers_after(
        &self,
        locator: &[crate::chain::block::BlockId],
        max: u64,
    ) -> Vec<Header> {
        let known = self
            .blocks
            .iter()
            .rposition(|(header, _)| locator.contains(&header.id()));
        let from = known.map_or(0, |at| at + 1);
        let headers = self.blocks[from..].iter().take(max as usize);
        headers.map(|(header, _)| header.clone()).collect()
    }
}
