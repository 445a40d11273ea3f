//! Which subscriptions of others are heard: to the network's topics. All that come are counted.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use libp2p::gossipsub::{TopicHash, TopicSubscriptionFilter};

/// Subscriptions that came, of all peers together. To the same topic in one message they are one.
#[derive(Debug, Clone, Default)]
pub(super) struct Came(Arc<AtomicU64>);

impl Came {
    /// How many since the last call.
    pub(super) fn take(&self) -> u64 {
        self.0.swap(0, Ordering::Relaxed)
    }
}

/// Hears of the network's topics alone, so that no more of them are remembered of a peer than there are. It never
/// fails: gossipsub would log an error each time.
pub(crate) struct Filter {
    topics: HashSet<TopicHash>,
    came: Came,
}

impl Filter {
    pub(super) fn new(topics: HashSet<TopicHash>, came: Came) -> Self {
        Self { topics, came }
    }
}

impl TopicSubscriptionFilter for Filter {
    fn can_subscribe(&mut self, topic: &TopicHash) -> bool {
        self.came.0.fetch_add(1, Ordering::Relaxed);
        self.topics.contains(topic)
    }
}
