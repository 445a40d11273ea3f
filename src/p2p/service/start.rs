//! Building the swarm, binding the listeners, and watching over the task.

use std::any::Any;
use std::collections::HashMap;
use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::StreamExt;
use libp2p::core::transport::ListenerId;
use libp2p::swarm::{Swarm, SwarmEvent};
use libp2p::{SwarmBuilder, dns, noise, tcp, yamux};
use tokio::task::JoinHandle;

use super::{Service, tick};
use crate::behaviour::{self, Behaviour};
use crate::config::Config;
use crate::dialer::Dialer;
use crate::error::Error;
use crate::event::Event;
use crate::handle::Handle;
use crate::identity::Keypair;
use crate::outbox::Outbox;
use crate::queue::{self, Capacity, Events};
use crate::{gossip, listen};

/// How long a listener may take to tell its first address. It is bound by then; a machine without any network
/// interface has no address to tell yet, and gets one when the interface comes.
const LISTEN_TIMEOUT: Duration = Duration::from_secs(2);

/// Starts a node on the current tokio runtime: binds all listeners, then runs the swarm in a task of its own.
///
/// A port in use, or any other address that cannot be listened on, is [`Error::Listen`] naming the address; nothing
/// is left running then. Everything later comes as an [`Event`], the end as [`Event::Stopped`].
pub async fn spawn(keypair: Keypair, config: Config) -> Result<(Handle, Events), Error> {
    config.validate()?;
    listen::probe(&config.listen).await?;
    let (events, consumer) = queue::channel(Capacity {
        gossip_len: config.gossip.queue_len,
        gossip_bytes: config.gossip.queue_bytes,
        requests_len: config.requests_at_once(),
    });
    let (behaviour, warning) = behaviour::build(&keypair, &config)?;
    if let Some(text) = warning {
        events.notice(Event::Warning { text });
    }
    let swarm = swarm(&keypair, &config, behaviour)?;
    let local = keypair.peer_id();
    let topics: Arc<[String]> = config.topics.iter().map(|t| t.name.clone()).collect();
    let (handle, commands) = Handle::new(local, topics);
    let now = Instant::now();
    let mut dialer = Dialer::new(local, &config.bootstrap, config.target_outbound, now);
    for (peer, addrs) in &config.known_peers {
        dialer.add(*peer, addrs.iter().cloned(), now);
    }
    let mut service = Service {
        swarm,
        commands,
        events: events.clone(),
        peers: HashMap::new(),
        dialer,
        bootstrapping: HashMap::new(),
        dialling: HashMap::new(),
        outbox: Outbox::default(),
        penalties: HashMap::new(),
        waiting: HashMap::new(),
        asking: HashMap::new(),
        next_id: 0,
        walk: tick::Walk::new(now),
        mute: HashMap::new(),
        stillborn: Default::default(),
        config,
    };
    service.join_topics()?;
    service.listen().await?;
    supervise(tokio::spawn(service.run()), events);
    Ok((handle, consumer))
}

/// TCP (noise, yamux) and QUIC, both behind DNS.
fn swarm(
    keypair: &Keypair,
    config: &Config,
    behaviour: Behaviour,
) -> Result<Swarm<Behaviour>, Error> {
    let transport = |e: &dyn std::fmt::Display| Error::Transport(e.to_string());
    let idle = config.idle_timeout;
    // Without a readable resolver configuration (a bare container, an isolated namespace) names do not resolve, but
    // addresses still work.
    let (resolver, options) = match dns::tokio::Transport::system(tcp::tokio::Transport::default())
    {
        Ok(_) => (None, None),
        Err(error) => {
            tracing::warn!(%error, "no resolver configuration: names in addresses will not resolve");
            (
                Some(dns::ResolverConfig::default()),
                Some(dns::ResolverOpts::default()),
            )
        }
    };
    let base = SwarmBuilder::with_existing_identity(keypair.inner().clone())
        .with_tokio()
        .with_tcp(
            tcp::Config::new().nodelay(true),
            noise::Config::new,
            yamux::Config::default,
        )
        .map_err(|e| transport(&e))?
        .with_quic();
    match (resolver, options) {
        (Some(resolver), Some(options)) => Ok(base
            .with_dns_config(resolver, options)
            .with_behaviour(|_| behaviour)
            .map_err(|e| transport(&e))?
            .with_swarm_config(|c| c.with_idle_connection_timeout(idle))
            .build()),
        _ => Ok(base
            .with_dns()
            .map_err(|e| transport(&e))?
            .with_behaviour(|_| behaviour)
            .map_err(|e| transport(&e))?
            .with_swarm_config(|c| c.with_idle_connection_timeout(idle))
            .build()),
    }
}

impl Service {
    fn join_topics(&mut self) -> Result<(), Error> {
        let topics = self.config.topics.iter().filter(|t| t.subscribe);
        for topic in topics {
            let joined = self
                .swarm
                .behaviour_mut()
                .gossip
                .subscribe(&gossip::topic(&topic.name));
            joined.map_err(|e| Error::Config(format!("topic {}: {e}", topic.name)))?;
        }
        Ok(())
    }

    /// Binds every listener and waits until each has told an address, for a moment.
    async fn listen(&mut self) -> Result<(), Error> {
        let mut waiting: HashSet<ListenerId> = HashSet::new();
        let mut listeners = HashMap::new();
        for addr in self.config.listen.clone() {
            let id = self.swarm.listen_on(addr.clone());
            let id = id.map_err(|e| listen::transport_failed(&addr, e))?;
            waiting.insert(id);
            listeners.insert(id, addr);
        }
        for addr in self.config.external.clone() {
            self.swarm.add_external_address(addr);
        }
        let deadline = tokio::time::Instant::now() + LISTEN_TIMEOUT;
        while !waiting.is_empty() {
            let event = tokio::time::timeout_at(deadline, self.swarm.select_next_some()).await;
            let Ok(event) = event else {
                for addr in waiting.iter().filter_map(|id| listeners.get(id)) {
                    let text = format!("no address yet for {addr}: is there a network interface?");
                    self.events.notice(Event::Warning { text });
                }
                break;
            };
            match event {
                SwarmEvent::ListenerError { listener_id, error }
                | SwarmEvent::ListenerClosed {
                    listener_id,
                    reason: Err(error),
                    ..
                } if waiting.contains(&listener_id) => {
                    return Err(listen::failed(&listeners[&listener_id], error));
                }
                event => {
                    if let SwarmEvent::NewListenAddr { listener_id, .. } = &event {
                        waiting.remove(listener_id);
                    }
                    self.on_swarm_event(event);
                }
            }
        }
        Ok(())
    }
}

/// Turns the end of the task, a panic included, into the last event.
fn supervise(task: JoinHandle<()>, events: queue::Sender) {
    tokio::spawn(async move {
        let error = match task.await {
            Ok(()) => None,
            Err(error) => Some(match error.try_into_panic() {
                Ok(panic) => format!("the network task panicked: {}", panic_text(&*panic)),
                Err(error) => format!("the network task was ended: {error}"),
            }),
        };
        events.stop(error);
    });
}

fn panic_text(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_becomes_the_last_event() {
        let capacity = Capacity {
            gossip_len: 1,
            gossip_bytes: 1,
            requests_len: 1,
        };
        let (events, mut consumer) = queue::channel(capacity);
        supervise(tokio::spawn(async { panic!("a bug") }), events);
        let error = Some("the network task panicked: a bug".into());
        assert_eq!(consumer.next().await, Some(Event::Stopped { error }));
        assert_eq!(consumer.next().await, None);
    }
}
