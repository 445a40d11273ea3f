//! Messages that found nobody to go to, waiting for a subscriber; and those that found every queue full.
//!
//! Gossipsub forgets both: a message without subscribers is refused, and one that met full queues counts as
//! published although nothing left. Here the former waits, per topic, for as long as the topic's `keep` says, and the
//! latter is remembered by id to be forwarded again. Bounded by [`MAX_MESSAGES`] and [`MAX_BYTES`]; when full, the
//! oldest goes.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::event::MessageId;

/// Most messages kept.
const MAX_MESSAGES: usize = 256;
/// Most bytes kept.
const MAX_BYTES: usize = 8 * 1024 * 1024;
/// How often a message that met full queues is forwarded again, once per tick.
const RETRIES: u8 = 5;

#[derive(Debug)]
struct Kept {
    topic: String,
    data: Vec<u8>,
    until: Instant,
}

#[derive(Debug, Default)]
pub(crate) struct Outbox {
    kept: VecDeque<Kept>,
    bytes: usize,
    stuck: VecDeque<(MessageId, u8)>,
}

impl Outbox {
    /// Keeps a message that had no subscriber; false if it may not wait or is larger than everything.
    pub(crate) fn keep(
        &mut self,
        topic: &str,
        data: Vec<u8>,
        keep: Duration,
        now: Instant,
    ) -> bool {
        if keep.is_zero() || data.len() > MAX_BYTES {
            return false;
        }
        // The same content again only extends the wait.
        self.drop_where(|k| k.topic == topic && k.data == data);
        while self.kept.len() >= MAX_MESSAGES || self.bytes + data.len() > MAX_BYTES {
            let Some(oldest) = self.kept.pop_front() else {
                break;
            };
            self.bytes -= oldest.data.len();
        }
        self.bytes += data.len();
        self.kept.push_back(Kept {
            topic: topic.into(),
            data,
            until: now + keep,
        });
        true
    }

    /// Takes all messages of a topic, oldest first, with the time each may still wait.
    pub(crate) fn take(&mut self, topic: &str, now: Instant) -> Vec<(Vec<u8>, Duration)> {
        self.expire(now);
        let all = std::mem::take(&mut self.kept);
        let (taken, rest): (VecDeque<_>, _) = all.into_iter().partition(|k| k.topic == topic);
        self.kept = rest;
        self.bytes = self.kept.iter().map(|k| k.data.len()).sum();
        taken
            .into_iter()
            .map(|k| (k.data, k.until.duration_since(now)))
            .collect()
    }

    /// Topics with messages waiting.
    pub(crate) fn topics(&self) -> Vec<String> {
        let mut topics: Vec<String> = self.kept.iter().map(|k| k.topic.clone()).collect();
        topics.sort_unstable();
        topics.dedup();
        topics
    }

    pub(crate) fn expire(&mut self, now: Instant) {
        self.drop_where(|k| k.until <= now);
    }

    /// Remembers a message that every queue was too full for.
    pub(crate) fn stuck(&mut self, id: MessageId) {
        if self.stuck.len() >= MAX_MESSAGES {
            self.stuck.pop_front();
        }
        self.stuck.push_back((id, RETRIES));
    }

    /// The messages to forward again this time.
    pub(crate) fn retry(&mut self) -> Vec<MessageId> {
        let now: Vec<MessageId> = self.stuck.iter().map(|(id, _)| *id).collect();
        self.stuck.retain_mut(|(_, left)| {
            *left -= 1;
            *left > 0
        });
        now
    }

    fn drop_where(&mut self, goes: impl Fn(&Kept) -> bool) {
        self.kept.retain(|k| !goes(k));
        self.bytes = self.kept.iter().map(|k| k.data.len()).sum();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn messages_wait_for_their_topic_and_expire() {
        let now = Instant::now();
        let mut outbox = Outbox::default();
        assert!(outbox.keep("a", b"1".to_vec(), MINUTE, now));
        assert!(outbox.keep("b", b"2".to_vec(), MINUTE, now));
        assert!(outbox.keep("a", b"3".to_vec(), MINUTE * 2, now));
        assert!(outbox.keep("a", b"3".to_vec(), MINUTE * 2, now), "again");
        assert!(!outbox.keep("a", b"4".to_vec(), Duration::ZERO, now));
        assert_eq!(outbox.topics(), ["a", "b"]);
        let taken = outbox.take("a", now + MINUTE);
        assert_eq!(taken, [(b"3".to_vec(), MINUTE)]);
        assert!(outbox.take("b", now + MINUTE).is_empty());
        assert_eq!(outbox.bytes, 0);
    }

    #[test]
    fn the_oldest_makes_room() {
        let now = Instant::now();
        let mut outbox = Outbox::default();
        for i in 0..10 {
            assert!(outbox.keep("a", vec![i; 1024 * 1024], MINUTE, now));
        }
        let taken = outbox.take("a", now);
        assert_eq!(taken.len(), 8);
        assert_eq!(taken.first().map(|(data, _)| data[0]), Some(2));
    }

    #[test]
    fn retries_end() {
        let mut outbox = Outbox::default();
        outbox.stuck(MessageId([1; 32]));
        let tries = (0..100).filter(|_| !outbox.retry().is_empty()).count();
        assert_eq!(tries, usize::from(RETRIES));
    }
}
