//! Gossipsub, set up so that it stays up: content-addressed, anonymous, validated before forwarding, scored.
//!
//! **Message ids** are BLAKE3-256 over `u32 length ‖ topic ‖ u32 length ‖ data` (lengths big-endian), so the same
//! content is one message whoever sends it. Messages carry neither author nor sequence number nor signature.
//!
//! **Limits that must fit each other.** libp2p-gossipsub 0.50 checks, on the receiving side, the bytes of control
//! messages per RPC (16 KiB by default) and the bytes buffered on the stream; whoever exceeds either loses the
//! stream, and after five streams gossip between the two is dead without a word although the connection lives on.
//! The sending side does not know these limits: an IHAVE names up to 5,000 ids, 170 KB, as soon as a topic carries
//! some 160 messages a second. So here
//!
//! - an IHAVE or IWANT names at most [`MAX_IDS`] ids,
//! - [`MAX_CONTROL_BYTES`] holds that many ids, and the announcement of all topics, with room to spare,
//! - the stream limit holds the largest message and a full control part, plus what one read may bring beyond the
//!   frame, because the check counts buffered bytes, the beginning of the next frame included.

mod filter;
mod watch;

use std::collections::HashSet;
use std::time::Duration;

use libp2p::gossipsub::{
    Behaviour, Config as Gossipsub, ConfigBuilder, IdentTopic, MessageAuthenticity,
    MessageId as RawId, PeerScoreParams, PeerScoreThresholds, TopicHash, TopicScoreParams,
    ValidationMode,
};

use self::filter::{Came, Filter};
pub(crate) use self::watch::{Event, Gossip};

use crate::config::{Config, MAX_NAME_BYTES, MAX_TOPICS};
use crate::error::Error;
use crate::event::MessageId;

/// Most message ids in one IHAVE or IWANT.
pub(crate) const MAX_IDS: usize = 2048;
/// Bytes of one id in an IHAVE: tag, length, hash.
const ID_BYTES: usize = 2 + 32;
/// Most bytes of control messages and subscriptions per RPC.
pub(crate) const MAX_CONTROL_BYTES: usize = 128 * 1024;
const _: () = assert!(MAX_IDS * ID_BYTES + MAX_NAME_BYTES + 64 < MAX_CONTROL_BYTES);
const _: () = assert!(MAX_TOPICS * (MAX_NAME_BYTES + 32) < MAX_CONTROL_BYTES);
/// Bytes around a message in its RPC, the topic's name aside.
const ENVELOPE_BYTES: usize = 64;
/// What one read from the stream may bring beyond the current frame (8 KiB), twice.
const READ_AHEAD_BYTES: usize = 16 * 1024;
/// Messages that may wait for one peer. Each is a copy, so a stalled peer costs at most this times the largest.
const PEER_QUEUE: usize = 2048;
/// Heartbeats whose messages are advertised to peers outside the mesh.
const HISTORY_GOSSIP: usize = 3;

/// The id of a message: BLAKE3-256 over `u32 length ‖ topic ‖ u32 length ‖ data`, lengths big-endian.
pub fn message_id(topic: &str, data: &[u8]) -> MessageId {
    let mut hasher = blake3::Hasher::new();
    for part in [topic.as_bytes(), data] {
        // Both are bounded far below 4 GiB by the configuration and gossipsub's own limits.
        let len = u32::try_from(part.len()).unwrap_or(u32::MAX);
        hasher.update(&len.to_be_bytes());
        hasher.update(part);
    }
    MessageId(hasher.finalize().into())
}

pub(crate) fn raw_id(id: MessageId) -> RawId {
    RawId::new(&id.0)
}

/// `None` for ids that are not ours; there are none, since every id comes from [`message_id`].
pub(crate) fn parse_id(id: &RawId) -> Option<MessageId> {
    id.0.as_slice().try_into().ok().map(MessageId)
}

pub(crate) fn topic(name: &str) -> IdentTopic {
    IdentTopic::new(name)
}

pub(crate) fn topic_hash(name: &str) -> TopicHash {
    topic(name).hash()
}

/// Builds the behaviour; topics are not joined yet.
pub(crate) fn build(config: &Config) -> Result<Gossip, Error> {
    let invalid = |text: String| Error::Config(format!("gossip: {text}"));
    let topics: HashSet<TopicHash> = config.topics.iter().map(|t| topic_hash(&t.name)).collect();
    // Topics outside the configuration are neither joined nor remembered for others.
    let came = Came::default();
    let filter = Filter::new(topics, came.clone());
    let settings = settings(config).map_err(|e| invalid(e.to_string()))?;
    let mut gossip =
        Behaviour::new_with_subscription_filter(MessageAuthenticity::Anonymous, settings, filter)
            .map_err(|e| invalid(e.into()))?;
    gossip
        .with_peer_score(
            score_params(config),
            thresholds(config.gossip.disconnect_score),
        )
        .map_err(invalid)?;
    Ok(Gossip::new(gossip, came))
}

fn settings(config: &Config) -> Result<Gossipsub, libp2p::gossipsub::ConfigBuilderError> {
    let gossip = &config.gossip;
    let frame = |name: &str, bytes: usize| bytes + name.len() + ENVELOPE_BYTES;
    let largest = config
        .topics
        .iter()
        .map(|t| frame(&t.name, t.max_bytes))
        .max();
    let beats = gossip
        .validation_timeout
        .as_millis()
        .div_ceil(gossip.heartbeat.as_millis());
    let history = usize::try_from(beats)
        .unwrap_or(usize::MAX)
        .saturating_add(2);

    let mut builder = ConfigBuilder::default();
    builder
        .validation_mode(ValidationMode::Anonymous)
        .validate_messages()
        .message_id_fn(|message| raw_id(message_id(message.topic.as_str(), &message.data)))
        .mesh_n(gossip.mesh_n)
        .mesh_n_low(gossip.mesh_n_low)
        .mesh_n_high(gossip.mesh_n_high)
        .mesh_outbound_min(gossip.mesh_outbound_min)
        .heartbeat_interval(gossip.heartbeat)
        .heartbeat_initial_delay(Duration::ZERO)
        // A verdict is heard while the message is in this history, so it spans the time a verdict may take.
        .history_length(history.max(HISTORY_GOSSIP + 2))
        .history_gossip(HISTORY_GOSSIP)
        .duplicate_cache_time(gossip.duplicate_cache)
        // Own messages go to every subscriber at once: they matter more than the bandwidth.
        .flood_publish(true)
        .max_transmit_size(largest.unwrap_or(0) + MAX_CONTROL_BYTES + READ_AHEAD_BYTES)
        .max_control_message_size(MAX_CONTROL_BYTES)
        .max_control_messages_sent(MAX_IDS)
        // One IHAVE per topic and heartbeat is what an honest peer sends.
        .max_ihave_messages_heartbeat(2 * MAX_TOPICS)
        .connection_handler_queue_len(PEER_QUEUE)
        .publish_queue_duration(Duration::from_secs(10))
        .forward_queue_duration(Duration::from_secs(5))
        // Worth it only where the message is much larger than the notice.
        .idontwant_message_size_threshold(4096)
        .prune_backoff(Duration::from_secs(30))
        .unsubscribe_backoff(Duration::from_secs(2));
    for topic in &config.topics {
        builder.max_transmit_size_for_topic(
            frame(&topic.name, topic.max_bytes),
            topic_hash(&topic.name),
        );
    }
    builder.build()
}

/// Scores reward little and punish what an honest peer never does. Deliveries that a mesh peer owes (P3) and many
/// peers on one address (P6) weigh nothing: quiet topics and clubs behind one router are normal.
fn score_params(config: &Config) -> PeerScoreParams {
    let second = Duration::from_secs(1);
    let topic_params = TopicScoreParams {
        topic_weight: 1.0,
        time_in_mesh_weight: 0.01,
        time_in_mesh_quantum: second,
        time_in_mesh_cap: 100.0,
        first_message_deliveries_weight: 0.02,
        first_message_deliveries_decay: 0.9,
        first_message_deliveries_cap: 50.0,
        mesh_message_deliveries_weight: 0.0,
        mesh_failure_penalty_weight: 0.0,
        // With the default threshold, eight invalid messages in short order end the connection.
        invalid_message_deliveries_weight: -2.0,
        invalid_message_deliveries_decay: 0.97,
        ..TopicScoreParams::default()
    };
    PeerScoreParams {
        topics: config
            .topics
            .iter()
            .map(|t| (topic_hash(&t.name), topic_params.clone()))
            .collect(),
        topic_score_cap: 10.0,
        app_specific_weight: 1.0,
        ip_colocation_factor_weight: 0.0,
        // Promises are broken by load as well as by malice: only a flood of them counts.
        behaviour_penalty_weight: -0.1,
        behaviour_penalty_threshold: 50.0,
        behaviour_penalty_decay: 0.8,
        slow_peer_weight: 0.0,
        decay_interval: second,
        retain_score: Duration::from_secs(600),
        ..PeerScoreParams::default()
    }
}

/// Between a good name and the end of the connection: no advertisements, then no own messages. Messages are heard
/// until the very end, or a peer that sends rubbish would be deaf-eared for ever rather than let go.
fn thresholds(disconnect_score: f64) -> PeerScoreThresholds {
    PeerScoreThresholds {
        gossip_threshold: disconnect_score / 10.0,
        publish_threshold: disconnect_score / 5.0,
        graylist_threshold: disconnect_score,
        accept_px_threshold: 10.0,
        opportunistic_graft_threshold: 0.5,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::config::TopicConfig;

    #[test]
    fn ids_depend_on_where_topic_and_data_meet() {
        assert_ne!(message_id("ab", b"c"), message_id("a", b"bc"));
        assert_eq!(message_id("a", b"bc"), message_id("a", b"bc"));
        assert_eq!(
            parse_id(&raw_id(message_id("a", b"b"))),
            Some(message_id("a", b"b"))
        );
    }

    #[test]
    fn limits_fit_each_other() {
        let config = Config {
            topics: vec![
                TopicConfig::new("small", 100),
                TopicConfig::new("large", 200_000),
            ],
            ..Config::default()
        };
        let settings = settings(&config).unwrap();
        assert!(settings.max_transmit_size() > 200_000 + MAX_CONTROL_BYTES);
        assert!(
            settings.max_control_messages_sent() * ID_BYTES < settings.max_control_message_size()
        );
        assert!(settings.max_transmit_size_for_topic(&topic_hash("small")) < 300);
        assert!(settings.history_length() >= 10);
        assert!(build(&config).is_ok());
    }
}
