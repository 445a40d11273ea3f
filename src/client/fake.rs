//! A small node for tests: speaks `submit/1` and `sync/1` over loopback, takes gossip, and mines at once if told to.

#![allow(clippy::unwrap_used)]

mod chain;

use std::sync::{Arc, Mutex};

use votenode_p2p::{
    Config, Event, Handle, Keypair, Multiaddr, ProtocolConfig, TopicConfig, Verdict,
};

use crate::chain::checkpoint::CommitCertificate;
use crate::chain::network::Network;
use crate::chain::transaction::{Payload, Transaction, TxId};
use crate::client::link::LinkOptions;
use crate::client::session::{Session, SessionOptions};
use crate::crypto::Hash;
use crate::protocol::gossip::TransactionBatch;
use crate::protocol::names::{
    GENESIS_PROTOCOL, IDENTIFY_PROTOCOL, Topic, kademlia_protocol, submit_protocol, sync_protocol,
};
use crate::protocol::submit::{ElectionInfo, Outcome, Reason, TxStatus, VoterInfo};
use crate::protocol::{genesis, submit, sync};
use crate::wire::{self, List, Message as _, Text};
pub use chain::{FakeChain, network, network_of};

/// How a fake node behaves.
#[derive(Clone, Debug, Default)]
pub struct Manners {
    /// Ignores gossip.
    pub deaf: bool,
    /// Never mines what it takes.
    pub idle: bool,
    /// Refuses everything with this code.
    pub refuses: Option<u64>,
    /// Spoils its inclusion proofs.
    pub forges: bool,
    /// Leaves elections out.
    pub hides: bool,
    /// Spoils its certificates.
    pub forges_certificates: bool,
    /// Leaves out the changes of the finalisers.
    pub hides_changes: bool,
}

/// A running fake node.
pub struct FakeNode {
    pub addr: Multiaddr,
    pub submits: Arc<Mutex<usize>>,
    handle: Handle,
}

impl FakeNode {
    pub async fn start(chain: &Arc<Mutex<FakeChain>>, manners: Manners) -> Self {
        let network = Arc::clone(&chain.lock().unwrap().network);
        let id = network.id();
        let config = Config {
            listen: vec!["/ip4/127.0.0.1/tcp/0".parse().unwrap()],
            kad_protocol: kademlia_protocol(&id),
            identify_protocol: IDENTIFY_PROTOCOL.into(),
            topics: Topic::TRANSACTIONS
                .into_iter()
                .map(|topic| TopicConfig::new(topic.full_name(&id), TransactionBatch::MAX_BYTES))
                .collect(),
            protocols: vec![
                ProtocolConfig::new(
                    submit_protocol(&id),
                    submit::Request::MAX_BYTES,
                    submit::Reply::MAX_BYTES,
                ),
                ProtocolConfig::new(
                    sync_protocol(&id),
                    sync::Request::MAX_BYTES,
                    sync::Reply::MAX_BYTES,
                ),
                ProtocolConfig::new(
                    GENESIS_PROTOCOL,
                    genesis::MAX_REQUEST_BYTES,
                    genesis::MAX_REPLY_BYTES,
                ),
            ],
            ..Config::default()
        };
        let (handle, mut events) = votenode_p2p::spawn(Keypair::generate(), config)
            .await
            .unwrap();
        let addr = loop {
            if let Event::Listening { addr } = events.next().await.unwrap() {
                break addr;
            }
        };
        let submits = Arc::new(Mutex::new(0));
        let node = Server {
            chain: Arc::clone(chain),
            network,
            manners,
            submits: Arc::clone(&submits),
        };
        let commands = handle.clone();
        tokio::spawn(async move {
            while let Some(event) = events.next().await {
                node.event(&commands, event);
            }
        });
        Self {
            addr,
            submits,
            handle,
        }
    }

    pub async fn stop(&self) {
        self.handle.shutdown().await;
    }
}

/// Joins the network of these nodes.
pub async fn join(network: &Arc<Network>, nodes: &[&FakeNode]) -> Session {
    let session = Session::join(SessionOptions {
        network: Arc::clone(network),
        link: LinkOptions {
            bootstrap: nodes.iter().map(|node| node.addr.clone()).collect(),
            listen: vec![],
            mdns: false,
        },
        join_timeout: std::time::Duration::from_secs(60),
    })
    .await
    .unwrap();
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(60);
    session.wait_for_nodes(nodes.len(), deadline).await.unwrap();
    session
}

struct Server {
    chain: Arc<Mutex<FakeChain>>,
    network: Arc<Network>,
    manners: Manners,
    submits: Arc<Mutex<usize>>,
}

impl Server {
    fn event(&self, handle: &Handle, event: Event) {
        match event {
            Event::Gossip { id, from, data, .. } => {
                let batch: TransactionBatch = wire::decode(&data).unwrap();
                if !self.manners.deaf && self.manners.refuses.is_none() {
                    self.take(batch.transactions.into_vec());
                }
                let _ = handle.report(id, from, Verdict::Ignore);
            }
            Event::Request {
                protocol, id, data, ..
            } => {
                let reply = if protocol == submit_protocol(&self.network.id()) {
                    wire::encode(&self.submit(wire::decode(&data).unwrap()))
                } else if protocol == sync_protocol(&self.network.id()) {
                    wire::encode(&self.sync(wire::decode(&data).unwrap()))
                } else {
                    wire::encode(self.network.genesis())
                };
                let _ = handle.respond(id, reply);
            }
            _ => {}
        }
    }

    fn take(&self, transactions: Vec<Transaction>) {
        let mut chain = self.chain.lock().unwrap();
        for transaction in transactions {
            chain.held.insert(transaction.id(), transaction);
        }
        if !self.manners.idle {
            chain.mine();
        }
    }

    fn status(&self, chain: &FakeChain, id: &TxId) -> TxStatus {
        match chain.inclusion(id) {
            Some((mut inclusion, depth)) => {
                if self.manners.forges {
                    inclusion.header.transaction_root = Hash::ZERO;
                }
                let place = chain.blocks.len() - 1 - depth as usize;
                let mut certificates = chain.certificates.iter();
                match certificates.find(|(decided, _)| *decided >= place) {
                    None => TxStatus::Included { inclusion, depth },
                    Some((_, certificate)) => TxStatus::Final {
                        inclusion,
                        certificate: self.shown(certificate),
                    },
                }
            }
            None if chain.held.contains_key(id) => TxStatus::Pending {},
            None => TxStatus::Unknown {},
        }
    }

    fn shown(&self, certificate: &CommitCertificate) -> CommitCertificate {
        let mut certificate = certificate.clone();
        if self.manners.forges_certificates {
            certificate.round += 1;
        }
        certificate
    }

    fn submit(&self, request: submit::Request) -> submit::Reply {
        if let submit::Request::Submit { transactions } = request {
            *self.submits.lock().unwrap() += 1;
            let outcome = match self.manners.refuses {
                None => Outcome::Accepted {},
                Some(code) => Outcome::Rejected {
                    reason: Reason {
                        code,
                        text: Text::new("not this one").unwrap(),
                    },
                },
            };
            let outcomes = vec![outcome; transactions.len()];
            if self.manners.refuses.is_none() {
                self.take(transactions.into_vec());
            }
            return submit::Reply::Submit {
                outcomes: List::new(outcomes).unwrap(),
            };
        }
        let chain = self.chain.lock().unwrap();
        match request {
            submit::Request::Have { ids } => submit::Reply::Have {
                held: List::new(
                    ids.iter()
                        .map(|id| u8::from(chain.held.contains_key(id)))
                        .collect(),
                )
                .unwrap(),
            },
            submit::Request::Status { ids } => submit::Reply::Status {
                statuses: List::new(ids.iter().map(|id| self.status(&chain, id)).collect())
                    .unwrap(),
            },
            submit::Request::Elections { .. } | submit::Request::Election { .. } => {
                let elections: Vec<ElectionInfo> = chain
                    .held
                    .values()
                    .filter_map(|transaction| match &transaction.payload {
                        Payload::Election { election } if !self.manners.hides => {
                            Some(ElectionInfo {
                                election: election.clone(),
                                transaction: transaction.id(),
                                height: 1,
                                votes: 0,
                                phase: 1,
                            })
                        }
                        _ => None,
                    })
                    .collect();
                submit::Reply::Elections {
                    total: elections.len() as u64,
                    elections: List::new(elections).unwrap(),
                }
            }
            submit::Request::Voter { voter } => {
                let found = chain.held.values().find(|transaction| {
                    matches!(&transaction.payload, Payload::Registration { registration } if registration.voter == voter)
                });
                submit::Reply::Voter {
                    voter: List::new(
                        found
                            .map(|transaction| VoterInfo {
                                transaction: transaction.id(),
                                roll_index: 0,
                                group: Text::new("open").unwrap(),
                                height: 1,
                            })
                            .into_iter()
                            .collect(),
                    )
                    .unwrap(),
                }
            }
            submit::Request::VoteOf { .. } => submit::Reply::VoteOf {
                transaction: List::new(vec![]).unwrap(),
            },
            submit::Request::Result { .. } => submit::Reply::Result {
                result: List::new(vec![]).unwrap(),
            },
            submit::Request::Submit { .. } => unreachable!("answered above"),
        }
    }

    fn sync(&self, request: sync::Request) -> sync::Reply {
        let chain = self.chain.lock().unwrap();
        match request {
            sync::Request::Status { status } => sync::Reply::Status { status },
            sync::Request::Headers { locator, max } => sync::Reply::Headers {
                headers: List::new(chain.headers_after(&locator, max)).unwrap(),
            },
            sync::Request::Transactions { ids, .. } => sync::Reply::Transactions {
                transactions: List::new(
                    ids.iter()
                        .filter_map(|id| chain.held.get(id).cloned())
                        .collect(),
                )
                .unwrap(),
            },
            sync::Request::Certificates { from, max } => {
                let certificates: Vec<CommitCertificate> = chain
                    .certificates
                    .iter()
                    .map(|(_, certificate)| self.shown(certificate))
                    .filter(|certificate| certificate.checkpoint >= from)
                    .take(max as usize)
                    .collect();
                let set = match self.manners.hides_changes {
                    true => 0,
                    false => certificates.last().map_or(0, |last| last.set),
                };
                sync::Reply::Certificates {
                    certificates: List::new(certificates).unwrap(),
                    changes: List::new(chain.changes[..set as usize].to_vec()).unwrap(),
                }
            }
            _ => sync::Reply::Unknown {},
        }
    }
}
