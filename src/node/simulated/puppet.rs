//! Peers that answer from a forged chain.

use std::collections::BTreeMap;

use votenode_p2p::PeerId;

use super::forge::{Forge, ForgedBlock};
use super::host::peer_id;
use crate::chain::block::{BlockId, Header};
use crate::chain::checkpoint::CommitCertificate;
use crate::chain::transaction::{Transaction, TxId};
use crate::protocol::sync::{MAX_HEADERS, Reply, Request, Status};
use crate::wire::List;

/// How a puppet answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// As a correct node.
    Honest,
    /// Bodies of other blocks.
    WrongBodies,
    /// No bodies at all.
    NoBodies,
    /// Bodies, but only after the request has timed out.
    Silent,
}

/// A peer that is no node.
pub struct Puppet {
    /// By this it is known to others.
    pub peer: PeerId,
    /// How it answers.
    pub manner: Manner,
    /// The whole chain, from height 1 on.
    blocks: Vec<ForgedBlock>,
    indexes: BTreeMap<BlockId, usize>,
    /// What waits at it.
    pub pool: Vec<Transaction>,
    /// Certificates that it gives, whatever they are worth.
    pub certificates: Vec<CommitCertificate>,
    /// Headers that it gives whatever it is asked; with none in it, it says nothing until the request times out.
    pub headers: Option<Vec<Header>>,
    /// Milliseconds that its clock is ahead of everybody's.
    pub ahead_ms: u64,
    /// Requests for bodies that it answered.
    pub bodies_served: usize,
}

impl Puppet {
    /// A peer with this chain and nothing waiting.
    pub fn new(number: u8, chain: &Forge, manner: Manner) -> Self {
        Self {
            peer: peer_id(number),
            manner,
            blocks: chain.blocks.clone(),
            indexes: indexes(&chain.blocks),
            pool: Vec::new(),
            certificates: Vec::new(),
            headers: None,
            ahead_ms: 0,
            bodies_served: 0,
        }
    }

    /// Lets it stand on another chain from now on.
    pub fn follow(&mut self, chain: &Forge) {
        self.blocks.clone_from(&chain.blocks);
        self.indexes = indexes(&chain.blocks);
    }

    /// Where it says that it stands.
    pub fn status(&self, wall_ms: u64) -> Status {
        let (tip, height) = self
            .blocks
            .last()
            .map_or((BlockId::ZERO, 0), |block| (block.0.id(), block.0.height));
        let checkpoint = self.certificates.last().map(|last| last.block);
        Status {
            tip,
            height,
            checkpoint: checkpoint.unwrap_or(BlockId::ZERO),
            checkpoint_height: checkpoint.map_or(0, |_| height),
            pending: self.pool.len() as u64,
            clock_ms: wall_ms + self.ahead_ms,
        }
    }

    fn find(&self, id: &BlockId) -> Option<usize> {
        self.indexes.get(id).copied()
    }

    /// The reply, or silence until the request times out.
    pub fn answer(&mut self, request: &Request, wall_ms: u64) -> Option<Reply> {
        Some(match request {
            Request::Status { .. } => Reply::Status {
                status: self.status(wall_ms),
            },
            Request::Headers { .. } if let Some(headers) = &self.headers => {
                if headers.is_empty() {
                    return None;
                }
                Reply::Headers {
                    headers: List::new(headers.clone()).unwrap(),
                }
            }
            Request::Headers { locator, max } => {
                let from = locator.iter().find_map(|id| self.find(id));
                let headers = self.blocks[from.map_or(0, |index| index + 1)..]
                    .iter()
                    .map(|block| block.0.clone())
                    .take(MAX_HEADERS.min(*max as usize))
                    .collect();
                Reply::Headers {
                    headers: List::new(headers).unwrap(),
                }
            }
            Request::Bodies { blocks, .. } => return self.bodies(blocks),
            Request::PendingIds { after } => {
                let mut ids: Vec<TxId> = self.pool.iter().map(Transaction::id).collect();
                ids.sort();
                ids.retain(|id| id > after);
                Reply::PendingIds {
                    ids: List::new(ids).unwrap(),
                }
            }
            Request::Transactions { ids, .. } => {
                let known = self.blocks.iter().flat_map(|block| &block.1);
                let found: Vec<Transaction> = known
                    .chain(&self.pool)
                    .filter(|transaction| ids.contains(&transaction.id()))
                    .cloned()
                    .collect();
                let found = match self.manner {
                    Manner::Silent => return None,
                    Manner::WrongBodies | Manner::NoBodies => Vec::new(),
                    Manner::Honest => found,
                };
                Reply::Transactions {
                    transactions: List::new(found).unwrap(),
                }
            }
            Request::Certificates { .. } => Reply::Certificates {
                certificates: List::new(self.certificates.clone()).unwrap(),
                changes: List::new(Vec::new()).unwrap(),
            },
            Request::FinalityMessages { .. } => Reply::FinalityMessages {
                messages: List::new(Vec::new()).unwrap(),
            },
            _ => Reply::Unknown {},
        })
    }

    fn bodies(&mut self, blocks: &[BlockId]) -> Option<Reply> {
        self.bodies_served += 1;
        let known: Vec<Vec<Transaction>> = blocks
            .iter()
            .map_while(|id| Some(self.blocks[self.find(id)?].1.clone()))
            .collect();
        let bodies = match self.manner {
            Manner::Silent => return None,
            Manner::NoBodies => Vec::new(),
            Manner::Honest => known,
            Manner::WrongBodies => {
                let other = self.blocks.iter().map(|block| &block.1);
                let longest = other.max_by_key(|body| body.len()).cloned();
                vec![longest.unwrap_or_default(); known.len()]
            }
        };
        let bodies = bodies
            .into_iter()
            .map(|body| List::new(body).unwrap())
            .collect();
        Some(Reply::Bodies {
            bodies: List::new(bodies).unwrap(),
        })
    }
}

fn indexes(blocks: &[ForgedBlock]) -> BTreeMap<BlockId, usize> {
    let ids = blocks.iter().map(|block| block.0.id());
    ids.zip(0..).collect()
}
