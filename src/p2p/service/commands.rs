//! What the handle asks for.

use std::time::{Duration, Instant};

use libp2p::gossipsub::{MessageAcceptance, PublishError as RawPublishError};
use libp2p::swarm::dial_opts::DialOpts;
use libp2p::{Multiaddr, PeerId};

use super::network::describe;
use super::{Flow, MAX_OUTSTANDING, Service};
use crate::error::{PublishError, RequestError};
use crate::event::{Event, MessageId, PeerInfo, RequestId, Snapshot, TopicInfo, Verdict};
use crate::gossip;
use crate::handle::{AnswerTo, Command, PublishTo};

impl Service {
    /// `None`: every handle is gone.
    pub(super) fn on_command(&mut self, command: Option<Command>) -> Flow {
        let Some(command) = command else {
            return Flow::Stop(None);
        };
        match command {
            Command::Publish { topic, data, to } => {
                let result = self.publish_or_keep(&topic, data);
                match to {
                    PublishTo::Event(tag) => self.events.notice(Event::Published { tag, result }),
                    PublishTo::Caller(caller) => {
                        // The caller may have stopped waiting.
                        let _ = caller.send(result);
                    }
                }
            }
            Command::Report { id, from, verdict } => {
                if verdict == Verdict::Accept {
                    self.is_active(&from);
                }
                let verdict = match verdict {
                    Verdict::Accept => MessageAcceptance::Accept,
                    Verdict::Reject => MessageAcceptance::Reject,
                    Verdict::Ignore => MessageAcceptance::Ignore,
                };
                let gossip = &mut self.swarm.behaviour_mut().gossip;
                gossip.report_message_validation_result(&gossip::raw_id(id), &from, verdict);
            }
            Command::Request {
                peer,
                protocol,
                data,
                to,
            } => self.request(peer, &protocol, data, to),
            Command::Respond { id, response } => self.respond(id, response),
            Command::Dial(addr) => self.dial(addr),
            Command::Disconnect(peer) => {
                // An error says that there was no connection.
                let _ = self.swarm.disconnect_peer_id(peer);
            }
            Command::Ban(peer) => {
                self.swarm.behaviour_mut().gate.ban(peer);
                self.drop_peer(peer);
            }
            Command::Unban(peer) => {
                self.swarm.behaviour_mut().gate.pardon(&peer);
                self.penalties.remove(&peer);
            }
            Command::Subscribe { topic, join } => self.subscribe(&topic, join),
            Command::Penalize {
                peer,
                points,
                reason,
            } => self.penalize(peer, points, reason),
            Command::Snapshot(caller) => {
                // The caller may have stopped waiting.
                let _ = caller.send(self.snapshot());
            }
            Command::Shutdown(done) => return Flow::Stop(Some(done)),
        }
        Flow::Continue
    }

    fn dial(&mut self, addr: Multiaddr) {
        let opts = DialOpts::from(addr.clone());
        let id = opts.connection_id();
        match self.swarm.dial(opts) {
            Ok(()) => {
                self.dialling.insert(id, addr);
            }
            Err(error) => self.events.notice(Event::DialFailed {
                addr,
                error: describe(&error),
            }),
        }
    }

    fn subscribe(&mut self, topic: &str, join: bool) {
        let gossip = &mut self.swarm.behaviour_mut().gossip;
        let topic = gossip::topic(topic);
        if !join {
            gossip.unsubscribe(&topic);
        } else if let Err(error) = gossip.subscribe(&topic) {
            let text = format!("cannot join {topic}: {error}");
            self.events.notice(Event::Warning { text });
        }
    }

    fn publish_or_keep(&mut self, topic: &str, data: Vec<u8>) -> Result<MessageId, PublishError> {
        let known = self.config.topics.iter().find(|t| t.name == topic);
        let (max, keep) = known
            .map(|t| (t.max_bytes, t.keep))
            .ok_or(PublishError::UnknownTopic)?;
        if data.len() > max {
            let len = data.len();
            return Err(PublishError::TooLarge { len, max });
        }
        self.publish(topic, data, keep)
    }

    /// Publishes a message that fits; without subscribers it waits for `keep`.
    fn publish(
        &mut self,
        topic: &str,
        data: Vec<u8>,
        keep: Duration,
    ) -> Result<MessageId, PublishError> {
        let id = gossip::message_id(topic, &data);
        let gossip = &mut self.swarm.behaviour_mut().gossip;
        match gossip.publish(gossip::topic_hash(topic), data.as_slice()) {
            Ok(_) => Ok(id),
            Err(RawPublishError::NoPeersSubscribedToTopic) => {
                let kept = self.outbox.keep(topic, data, keep, Instant::now());
                Err(PublishError::NoPeers { kept })
            }
            Err(RawPublishError::Duplicate) => Err(PublishError::Duplicate),
            Err(RawPublishError::AllQueuesFull(_)) => {
                self.outbox.stuck(id);
                Err(PublishError::QueueFull)
            }
            // Neither signing nor transforming happens here, so what remains is the size on the wire.
            Err(_) => Err(PublishError::TooLarge {
                len: data.len(),
                max: data.len().saturating_sub(1),
            }),
        }
    }

    /// Publishes what waited for subscribers of a topic.
    pub(super) fn flush_outbox(&mut self, topic: &str) {
        for (data, keep) in self.outbox.take(topic, Instant::now()) {
            // Whatever still finds nobody waits again, for what is left of its time.
            let _ = self.publish(topic, data, keep);
        }
    }

    fn request(&mut self, peer: PeerId, protocol: &str, data: Vec<u8>, to: AnswerTo) {
        let id = self.fresh_id();
        let exchange = &mut self.swarm.behaviour_mut().exchange;
        let sent = if exchange.outstanding() + self.events.unread_responses() >= MAX_OUTSTANDING {
            Err(RequestError::TooManyOutstanding)
        } else {
            exchange.request(id, peer, protocol, data)
        };
        match (sent, to) {
            (Ok(()), to) => {
                self.asking.insert(id, to);
            }
            (Err(error), AnswerTo::Event(tag)) => self.events.control(Event::Response {
                tag,
                peer,
                result: Err(error),
            }),
            (Err(error), AnswerTo::Caller(caller)) => {
                // The caller may have stopped waiting.
                let _ = caller.send(Err(error));
            }
        }
    }

    fn respond(&mut self, id: RequestId, response: Option<Vec<u8>>) {
        let Some(waiting) = self.waiting.remove(&id.0) else {
            return;
        };
        let config = self.swarm.behaviour().exchange.protocol(waiting.protocol);
        let max = config.max_response_bytes;
        let response = response.filter(|data| {
            if data.len() > max {
                let text = format!(
                    "{}: response of {} bytes, {max} allowed",
                    config.name,
                    data.len()
                );
                self.events.notice(Event::Warning { text });
            }
            data.len() <= max
        });
        // The exchange may have timed out meanwhile.
        let _ = waiting.reply.send(response);
    }

    pub(super) fn penalize(&mut self, peer: PeerId, points: f64, reason: String) {
        if !points.is_finite() || points <= 0.0 {
            return;
        }
        let penalty = self.penalties.entry(peer).or_default();
        penalty.points += points;
        penalty.reason = Some(reason);
        self.apply_penalty(peer);
        self.judge(peer);
    }

    fn snapshot(&self) -> Snapshot {
        let behaviour = self.swarm.behaviour();
        let mut peers: Vec<PeerInfo> = self
            .peers
            .keys()
            .map(|peer| self.peer_info(*peer))
            .collect();
        peers.sort_unstable_by_key(|info| info.peer);
        let joined: Vec<_> = behaviour.gossip.topics().cloned().collect();
        let topics = self.config.topics.iter().map(|topic| {
            let hash = gossip::topic_hash(&topic.name);
            TopicInfo {
                name: topic.name.clone(),
                subscribed: joined.contains(&hash),
                peers: peers
                    .iter()
                    .filter(|p| p.topics.contains(&topic.name))
                    .count(),
                mesh_peers: behaviour.gossip.mesh_peers(&hash).count(),
            }
        });
        Snapshot {
            local_peer: *self.swarm.local_peer_id(),
            listening: self.swarm.listeners().cloned().collect(),
            external: self.swarm.external_addresses().cloned().collect(),
            topics: topics.collect(),
            banned: behaviour.gate.banned().collect(),
            peers,
        }
    }

    fn peer_info(&self, peer: PeerId) -> PeerInfo {
        let entry = &self.peers[&peer];
        let gossip = &self.swarm.behaviour().gossip;
        let joined = gossip.all_peers().find(|(p, _)| **p == peer);
        let topics = joined.map(|(_, topics)| topics.iter().map(|t| t.to_string()).collect());
        let dialled = entry.connections.values().filter(|c| c.outbound);
        let identity = entry.identity.as_ref();
        let mut addrs = identity.map(|i| i.addrs.clone()).unwrap_or_default();
        for addr in dialled.clone().map(|c| &c.addr) {
            if !addrs.contains(addr) {
                addrs.push(addr.clone());
            }
        }
        PeerInfo {
            peer,
            addrs,
            agent: identity.map(|i| i.agent.clone()),
            outbound: dialled.count() > 0,
            rtt_ms: entry.rtt_ms,
            score: gossip.peer_score(&peer).unwrap_or_default(),
            topics: topics.unwrap_or_default(),
            connected_since: entry.since,
        }
    }
}
