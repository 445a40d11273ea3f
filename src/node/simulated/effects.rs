//! What the shell would do with effects: gossip with validation, requests, verification, nonces.

use votenode_p2p::{MessageId, PeerId, Verdict, message_id};

use super::forge::seal;
use super::host::Seen;
use super::net::{Delivery, Net, Penalty, Published};
use crate::node::{Effect, Input, Submitter};
use crate::protocol::names::Topic;
use crate::protocol::sync::{Reply, Request};
use crate::wire;

/// Shortest way between two hosts, and how much longer it may be, in milliseconds.
const LATENCY_MS: (u64, u64) = (2, 20);
/// How long a nonce is looked for, in milliseconds.
const MINING_MS: (u64, u64) = (5, 60);

impl Net {
    fn latency(&mut self) -> u64 {
        LATENCY_MS.0 + self.draw(LATENCY_MS.1)
    }

    pub(super) fn carry_out(&mut self, host: usize, effect: Effect) {
        match effect {
            Effect::Publish { topic, data } => {
                let id = message_id(&topic.full_name(&self.network.id()), &data);
                let seen = Seen {
                    topic,
                    data: data.clone(),
                    verdict: Some(Verdict::Accept),
                };
                if self.hosts[host].seen.insert(id, seen).is_none() {
                    self.published.push(Published {
                        by: host,
                        topic,
                        at_ms: self.now_ms,
                        data: data.clone(),
                    });
                    self.spread(host, topic, id, &data);
                }
            }
            Effect::Report { id, verdict, .. } => {
                let Some(seen) = self.hosts[host].seen.get_mut(&id) else {
                    return;
                };
                if seen.verdict.replace(verdict).is_none() && verdict == Verdict::Accept {
                    let (topic, data) = (seen.topic, seen.data.clone());
                    self.spread(host, topic, id, &data);
                }
            }
            Effect::Request { tag, peer, data } => self.ask(host, tag, peer, data),
            Effect::Verify { job, transactions } => {
                let verdicts = self.verifier.verify(transactions);
                let delay_ms = 1 + self.draw(3);
                let input = Input::Verified { job, verdicts };
                self.send(host, delay_ms, Delivery::Input(input));
            }
            Effect::Answer {
                submitter,
                outcomes,
            } => {
                if let Submitter::Local(number) = submitter {
                    self.hosts[host].answers.insert(number, outcomes);
                }
            }
            Effect::Mine { epoch, header } => {
                let delay_ms = MINING_MS.0 + self.draw(MINING_MS.1);
                let nonce = seal(&self.network, header).nonce;
                let input = Input::Mined {
                    epoch,
                    nonce,
                    hash_rate: 1_000,
                };
                self.send(host, delay_ms, Delivery::Input(input));
            }
            Effect::Follow { transactions } => self.hosts[host].following = transactions,
            Effect::Penalize { peer, points, .. } => {
                self.penalties.push(Penalty { peer, points });
            }
            Effect::Halt(conflict) => self.hosts[host].conflict = Some(conflict),
            // A nonce that comes all the same is for the node to ignore.
            Effect::StopMining | Effect::NewTip { .. } => {}
        }
    }

    /// Passes a gossip message on to whoever is linked and has joined the topic.
    fn spread(&mut self, host: usize, topic: Topic, id: MessageId, data: &[u8]) {
        let from = self.hosts[host].peer;
        for other in 0..self.hosts.len() {
            let joined = self.hosts[other].following || !Topic::TRANSACTIONS.contains(&topic);
            if other == host || !joined || !self.linked(host, other) {
                continue;
            }
            if self.draw(100) < self.loss_percent {
                continue;
            }
            let delay_ms = self.latency();
            let input = Input::Gossip {
                topic,
                id,
                from,
                data: data.to_vec(),
            };
            self.send(other, delay_ms, Delivery::Input(input));
        }
    }

    /// Whether the gossip layer has not seen this message before.
    pub(super) fn first_sight(
        &mut self,
        host: usize,
        topic: Topic,
        id: MessageId,
        data: &[u8],
    ) -> bool {
        let seen = Seen {
            topic,
            data: data.to_vec(),
            verdict: None,
        };
        match self.hosts[host].seen.entry(id) {
            std::collections::btree_map::Entry::Occupied(_) => false,
            std::collections::btree_map::Entry::Vacant(place) => {
                place.insert(seen);
                true
            }
        }
    }

    fn ask(&mut self, host: usize, tag: u64, peer: PeerId, data: Vec<u8>) {
        let request: Request = wire::decode(&data).unwrap();
        self.requests.push((host, request.clone()));
        let delay_ms = self.latency();
        let wall_ms = self.wall_ms();
        if let Some(puppet) = self.puppets.get_mut(&peer) {
            match puppet.answer(&request, wall_ms) {
                Some(reply) => {
                    let reply = Some(wire::encode(&reply));
                    let input = Input::Response { tag, peer, reply };
                    self.send(host, 2 * delay_ms, Delivery::Input(input));
                }
                None => self.unanswered(host, tag, peer),
            }
            return;
        }
        match self.index_of(&peer) {
            Some(other) if self.linked(host, other) => {
                let from = self.hosts[host].peer;
                self.send(other, delay_ms, Delivery::Request { from, tag, data });
            }
            _ => self.unanswered(host, tag, peer),
        }
    }

    /// Answers a request from this host's store, as its other threads would. What the node itself hears of it comes
    /// back.
    pub(super) fn serve(
        &mut self,
        host: usize,
        from: PeerId,
        tag: u64,
        data: &[u8],
    ) -> Option<Input> {
        let request: Request = wire::decode(data).unwrap();
        let running = self.hosts[host].running.as_ref()?;
        let own = running.node.own_status();
        let reply: Reply = running.server.sync(&request, &own);
        let peer = self.hosts[host].peer;
        let asker = self.index_of(&from)?;
        if self.linked(host, asker) {
            let delay_ms = self.latency();
            let reply = Some(wire::encode(&reply));
            let input = Input::Response { tag, peer, reply };
            self.send(asker, delay_ms, Delivery::Input(input));
        } else {
            self.unanswered(asker, tag, peer);
        }
        match request {
            Request::Status { status } => Some(Input::PeerStatus { peer: from, status }),
            _ => None,
        }
    }
}
