//! Finding out which network it is: the genesis, asked from peers that know it.
//!
//! A node or client that was given an address and no genesis asks whoever answers there over `/votenode/genesis/1`. What
//! comes is checked, and compared with the network id if one was pinned; a peer of another network is told apart from
//! one that cannot be reached. Nothing is stored here: who asked decides what to keep.

use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};
use votenode_p2p::{
    Config, Event, Events, Handle, KadMode, Keypair, Multiaddr, PeerId, ProtocolConfig,
    RequestError,
};

use crate::chain::genesis::{Genesis, GenesisError, NetworkId};
use crate::protocol::genesis::{MAX_REPLY_BYTES, MAX_REQUEST_BYTES};
use crate::protocol::names::{GENESIS_PROTOCOL, IDENTIFY_PROTOCOL, NEWCOMER_PROTOCOL};
use crate::wire::{self, DecodeError};

/// Most peers asked before giving up on those that have not answered.
const MAX_PEERS: usize = 32;

/// Where to look for a genesis.
#[derive(Clone, Debug)]
pub struct GenesisQuery {
    /// Addresses to ask; they may omit `/p2p/…`.
    pub bootstrap: Vec<Multiaddr>,
    /// The only network wanted.
    pub pin: Option<NetworkId>,
    /// Ask peers on the local network too. Sensible only with a pin: anyone may be there.
    pub mdns: bool,
    /// Give up after this.
    pub timeout: Duration,
}

/// Why no genesis was found.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    /// Neither an address nor the local network to ask.
    #[error("there is nobody to ask for the genesis: give --bootstrap with a node's address")]
    NobodyToAsk,
    /// The network part could not be started.
    #[error(transparent)]
    Start(#[from] votenode_p2p::Error),
    /// Nobody answered.
    #[error("no node answered within {} s{}", timeout.as_secs(), detail(last))]
    Unreachable {
        /// How long was waited.
        timeout: Duration,
        /// The last thing that went wrong, in words.
        last: Option<String>,
    },
    /// A peer answered with something that is no genesis.
    #[error("the peer {peer} answered with something that is no genesis: {source}")]
    Malformed {
        /// Who.
        peer: PeerId,
        /// What is wrong with it.
        source: DecodeError,
    },
    /// A peer answered with a genesis that no network can run with.
    #[error("the peer {peer} answered with an unusable genesis: {source}")]
    Unusable {
        /// Who.
        peer: PeerId,
        /// What is wrong with it.
        source: GenesisError,
    },
    /// Whoever answered belongs to another network than the one pinned.
    #[error("the peer {peer} belongs to network {}, and network {} is wanted", networks.got, networks.wanted)]
    OtherNetwork {
        /// Who.
        peer: PeerId,
        /// Which.
        networks: Box<Networks>,
    },
}

/// Two networks that should be one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Networks {
    /// The network that is wanted.
    pub wanted: NetworkId,
    /// The network that a peer belongs to.
    pub got: NetworkId,
}

fn detail(last: &Option<String>) -> String {
    last.as_ref()
        .map(|text| format!(" ({text})"))
        .unwrap_or_default()
}

/// Asks for the genesis until somebody gives one that is usable and, with a pin, the one that is wanted.
pub async fn fetch_genesis(query: GenesisQuery) -> Result<Genesis, JoinError> {
    if query.bootstrap.is_empty() && !query.mdns {
        return Err(JoinError::NobodyToAsk);
    }
    let config = Config {
        bootstrap: query.bootstrap.clone(),
        mdns: query.mdns,
        kad: KadMode::Off,
        identify_protocol: IDENTIFY_PROTOCOL.into(),
        agent: concat!("votenode-newcomer/", env!("CARGO_PKG_VERSION")).into(),
        required_protocols: vec![GENESIS_PROTOCOL.into()],
        protocols: vec![
            ProtocolConfig {
                serve: false,
                ..ProtocolConfig::new(GENESIS_PROTOCOL, MAX_REQUEST_BYTES, MAX_REPLY_BYTES)
            },
            // Nodes let go of whoever is not of their network; a newcomer cannot know it yet.
            ProtocolConfig::new(NEWCOMER_PROTOCOL, 0, 0),
        ],
        ..Config::default()
    };
    let (handle, events) = votenode_p2p::spawn(Keypair::generate(), config).await?;
    let mut search = Search {
        handle: handle.clone(),
        events,
        asked: Vec::new(),
        answers: JoinSet::new(),
        failure: None,
        last: None,
        query,
    };
    let result = search.run().await;
    search.answers.abort_all();
    handle.shutdown().await;
    result
}

struct Search {
    query: GenesisQuery,
    handle: Handle,
    events: Events,
    asked: Vec<PeerId>,
    answers: JoinSet<(PeerId, Result<Vec<u8>, RequestError>)>,
    /// Why an answer would not do: better to say at the end than that nobody answered.
    failure: Option<JoinError>,
    /// The last thing that went wrong on the way.
    last: Option<String>,
}

impl Search {
    async fn run(&mut self) -> Result<Genesis, JoinError> {
        let deadline = Instant::now() + self.query.timeout;
        loop {
            let step = timeout_at(deadline, async {
                tokio::select! {
                    event = self.events.next() => Step::Event(event),
                    Some(answer) = self.answers.join_next() => Step::Answer(answer.ok()),
                }
            });
            let found = match step.await {
                Err(_) | Ok(Step::Event(None)) => return Err(self.give_up()),
                Ok(Step::Event(Some(event))) => {
                    self.event(event);
                    None
                }
                Ok(Step::Answer(answer)) => {
                    answer.and_then(|(peer, answer)| self.answer(peer, answer))
                }
            };
            if let Some(genesis) = found {
                return Ok(genesis);
            }
            if self.hopeless() {
                return Err(self.give_up());
            }
        }
    }

    fn event(&mut self, event: Event) {
        match event {
            Event::Identified {
                peer, protocols, ..
            } if protocols.iter().any(|name| name == GENESIS_PROTOCOL) => self.ask(peer),
            Event::Request { id, .. } => {
                // Another newcomer asks; it will find somebody who knows. A busy task lets the request time out.
                let _ = self.handle.refuse(id);
            }
            Event::Foreign { peer, agent, .. } => {
                self.last = Some(format!("the peer {peer} ({agent:?}) is no votenode"));
            }
            Event::BootstrapFailed { addr, error, .. } => {
                let text = format!("{addr}: {error}");
                // Each attempt's reason once: they come every few seconds.
                if self.last.as_ref() != Some(&text) {
                    tracing::warn!(%addr, %error, "no answer yet; trying again");
                }
                self.last = Some(text);
            }
            _ => {}
        }
    }

    fn ask(&mut self, peer: PeerId) {
        if self.asked.contains(&peer) || self.asked.len() >= MAX_PEERS {
            return;
        }
        self.asked.push(peer);
        let handle = self.handle.clone();
        self.answers.spawn(async move {
            let answer = handle.request(peer, GENESIS_PROTOCOL, Vec::new()).await;
            (peer, answer)
        });
    }

    fn answer(&mut self, peer: PeerId, answer: Result<Vec<u8>, RequestError>) -> Option<Genesis> {
        let failure = match answer {
            Err(error) => {
                self.last = Some(format!("the peer {peer}: {error}"));
                // It may be a newcomer itself that knows more when it comes back.
                self.asked.retain(|asked| *asked != peer);
                return None;
            }
            Ok(bytes) => match self.check(peer, &bytes) {
                Ok(genesis) => return Some(genesis),
                Err(failure) => failure,
            },
        };
        tracing::debug!(%peer, %failure, "no use for the genesis of a peer");
        self.failure = Some(failure);
        None
    }

    fn check(&self, peer: PeerId, bytes: &[u8]) -> Result<Genesis, JoinError> {
        let genesis: Genesis =
            wire::decode(bytes).map_err(|source| JoinError::Malformed { peer, source })?;
        let got = genesis.network_id();
        if let Some(wanted) = self.query.pin.filter(|wanted| *wanted != got) {
            let networks = Box::new(Networks { wanted, got });
            return Err(JoinError::OtherNetwork { peer, networks });
        }
        genesis
            .check()
            .map_err(|source| JoinError::Unusable { peer, source })?;
        Ok(genesis)
    }

    /// Whoever could be asked has given an answer of no use, and nobody else will turn up.
    fn hopeless(&self) -> bool {
        self.failure.is_some()
            && !self.query.mdns
            && self.answers.is_empty()
            && self.asked.len() >= self.query.bootstrap.len()
    }

    fn give_up(&mut self) -> JoinError {
        self.failure.take().unwrap_or(JoinError::Unreachable {
            timeout: self.query.timeout,
            last: self.last.take(),
        })
    }
}

enum Step {
    Event(Option<Event>),
    Answer(Option<(PeerId, Result<Vec<u8>, RequestError>)>),
}

#[cfg(test)]
mod tests;
