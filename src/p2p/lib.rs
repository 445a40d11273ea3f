//! A small peer-to-peer service on libp2p: discovery, validated gossip, bounded request-response, limits.
//!
//! It moves opaque bytes between peers and knows nothing of what they mean. The public surface is a [`Config`], a
//! [`Handle`] to give commands, a stream of [`Events`], and libp2p's [`PeerId`] and [`Multiaddr`]; no other type of
//! libp2p shows.
//!
//! ```no_run
//! use votenode_p2p::{Config, Event, Keypair, TopicConfig, Verdict, spawn};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let config = Config {
//!     listen: vec!["/ip4/0.0.0.0/tcp/0".parse()?, "/ip4/0.0.0.0/udp/0/quic-v1".parse()?],
//!     topics: vec![TopicConfig::new("/weather/1", 1024)],
//!     mdns: true,
//!     ..Config::default()
//! };
//! let (handle, mut events) = spawn(Keypair::generate(), config).await?;
//! // Nobody is there yet: the message waits for the first subscriber.
//! let _ = handle.publish("/weather/1", b"Bergen: rain".to_vec()).await;
//! while let Some(event) = events.next().await {
//!     if let Event::Gossip { id, from, data, .. } = event {
//!         // Nothing is forwarded before the verdict.
//!         let verdict = if data.is_ascii() { Verdict::Accept } else { Verdict::Reject };
//!         handle.report(id, from, verdict)?;
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! `examples/shopping_list.rs` is a whole program: a list that several processes share.
//!
//! # How it holds together
//!
//! One task drives the swarm and never waits for anything but the network, commands and a slow tick. Commands come
//! over a bounded channel, and a full one is an error at the caller ([`HandleError::Busy`]). Events leave through
//! lanes with a bound each: gossip that finds its lane full is ignored, requests are told "busy", connections and
//! responses are never lost (see [`Events`]). If the task panics, the stream ends with [`Event::Stopped`] and the
//! reason.
//!
//! # On the wire
//!
//! - **Transports**: TCP with Noise and Yamux, and QUIC; both behind DNS.
//! - **Gossip**: gossipsub up to 1.2, anonymous messages, ids as in [`message_id`]. A receiver accepts, per RPC, 128 KiB of
//!   control messages; an IHAVE or IWANT names at most 2,048 ids. A peer uses one stream a connection; whoever opens a
//!   fifth, or subscribes to more than 1,000 topics at once and ten a second, is scored down.
//! - **Request-response**: one exchange per stream. The dialler sends a `u32` big-endian length and that many bytes
//!   and closes its half; the listener answers alike. A listener that refuses closes without a length. Anything
//!   over-long, truncated or trailing is an error.
//! - **Discovery**: multicast DNS on the local network, Kademlia beyond it (an address book, it stores no records),
//!   bootstrap addresses, and the caller's peer book. A node alone is normal; it keeps trying.
//! - **Identify** tells the listen addresses, the protocols and the agent string. Addresses heard from peers are
//!   believed only as far as the connection reaches: a loopback address from another machine is never dialled.

mod addr;
mod allowance;
mod behaviour;
mod config;
mod dialer;
mod error;
mod event;
mod exchange;
mod frame;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod gate;
mod gossip;
mod handle;
mod identity;
mod listen;
mod outbox;
mod queue;
mod service;
mod sources;

pub use config::{
    Config, GossipConfig, KadMode, Limits, MAX_EXCHANGE_BYTES, MAX_GOSSIP_BYTES, MAX_NAME_BYTES,
    MAX_PROTOCOLS, MAX_TOPICS, ProtocolConfig, TopicConfig,
};
pub use error::{Error, HandleError, PublishError, RequestError};
pub use event::{Event, MessageId, PeerInfo, RequestId, Snapshot, TopicInfo, Verdict};
pub use gossip::message_id;
pub use handle::Handle;
pub use identity::{InvalidKeypair, Keypair};
pub use libp2p::{Multiaddr, PeerId};
pub use listen::probe;
pub use queue::Events;
pub use service::spawn;
