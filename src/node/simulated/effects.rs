//! What the shell would do with effects: gossip with validation, requests, verification, nonces.

use votenode_p2p::{MessageId, PeerId, Verdict, message_id};

use super::forge::seal;
use super::host::Seen;
use super::net::{DELAY_MS, Delivery, Net, Penalty, Published};
use crate::chain::invalid::Invalid;
use crate::chain::transaction::{Transaction, TxId};
use crate::chain::verify::Verified;
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
        let usual_ms = LATENCY_MS.0 + self.draw(LATENCY_MS.1);
        if self.happens(self.weather.delay_percent) {
            self.happened.delayed += 1;
            return usual_ms + self.draw(DELAY_MS);
        }
        usual_ms
    }

    /// What happens in so many cases of a hundred. Draws nothing for what never happens.
    fn happens(&mut self, percent: u64) -> bool {
        percent > 0 && self.draw(100) < percent
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
                self.trace(host, b'p', &data);
                if self.hosts[host].seen.insert(id, seen).is_none() {
                    self.published.push(Published {
                        by: host,
                        topic,
                        at_ms: self.now_ms,
                        operations: self.hosts[host].disk.operations(),
                        data: data.clone(),
                    });
                    self.spread(host, topic, id, &data);
                }
            }
            Effect::Report { id, verdict, .. } => {
                self.trace(host, b'r', &id.0);
                if verdict == Verdict::Reject {
                    self.happened.rejected += 1;
                }
                let Some(seen) = self.hosts[host].seen.get_mut(&id) else {
                    return;
                };
                if seen.verdict.replace(verdict).is_none() && verdict == Verdict::Accept {
                    let (topic, data) = (seen.topic, seen.data.clone());
                    self.spread(host, topic, id, &data);
                }
            }
            Effect::Request { tag, peer, data } => {
                self.trace(host, b'q', &data);
                self.ask(host, tag, peer, data);
            }
            Effect::Verify { job, transactions } => {
                let verdicts = self.verify(transactions);
                let delay_ms = 1 + self.draw(3);
                let input = Input::Verified { job, verdicts };
                self.send(host, delay_ms, Delivery::Input(input));
            }
            Effect::Answer {
                submitter,
                outcomes,
            } => {
                self.trace(host, b'a', &wire::encode(&outcomes));
                if let Submitter::Local(number) = submitter {
                    let host = &mut self.hosts[host];
                    host.answered_at.insert(number, host.disk.operations());
                    host.answers.insert(number, outcomes);
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
            Effect::Penalize {
                peer,
                points,
                reason,
            } => {
                self.penalties.push(Penalty {
                    peer,
                    points,
                    reason,
                });
            }
            Effect::Halt(conflict) => self.hosts[host].conflict = Some(conflict),
            // A nonce that comes all the same is for the node to ignore.
            Effect::StopMining => {}
            Effect::NewTip { id, .. } => self.trace(host, b't', id.as_bytes()),
        }
    }

    /// A verdict depends on nothing but the transaction: nodes need not each find it.
    fn verify(
        &mut self,
        transactions: Vec<Transaction>,
    ) -> Vec<Result<Verified<Transaction>, Invalid>> {
        let ids: Vec<TxId> = transactions.iter().map(Transaction::id).collect();
        let mut fresh = transactions;
        fresh.retain(|transaction| !self.verdicts.contains_key(&transaction.id()));
        let names: Vec<TxId> = fresh.iter().map(Transaction::id).collect();
        self.verdicts
            .extend(names.into_iter().zip(self.verifier.verify(fresh)));
        ids.iter().map(|id| self.verdicts[id].clone()).collect()
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
                self.happened.lost += 1;
                continue;
            }
            let delay_ms = self.latency();
            let message = || Input::Gossip {
                topic,
                id,
                from,
                data: data.to_vec(),
            };
            self.send(other, delay_ms, Delivery::Input(message()));
            if self.happens(self.weather.repeat_percent) {
                self.happened.repeated += 1;
                let delay_ms = delay_ms + 1 + self.draw(10 * DELAY_MS);
                self.send(other, delay_ms, Delivery::Again(message()));
            }
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
            Some(_) if self.happens(self.weather.request_loss_percent) => {
                self.happened.requests_lost += 1;
                self.unanswered(host, tag, peer);
            }
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
