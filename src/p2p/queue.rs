//! The way from the swarm task to its consumer: four lanes, each with its own answer to "what if it is full".
//!
//! The swarm task must never wait, or every peer waits with it. So it pushes, and is told whether that worked.
//!
//! | lane | holds | bound | when full |
//! |---|---|---|---|
//! | control | connects, disconnects, identities, responses, listeners | see below | cannot be |
//! | requests | inbound requests | what may be served at once | the peer is told "busy" |
//! | gossip | messages that want a verdict | `queue_len`, `queue_bytes` | the message is ignored |
//! | notices | round trips, warnings, failed bootstraps, subscriptions, results of publishing | [`NOTICES`] | the oldest is dropped |
//!
//! Control events are never lost, and yet bounded without a capacity. Per peer at most a handful wait: a disconnect
//! that meets its own unread connect removes it, and all that was said about the peer in between, instead of
//! queueing up behind. Unread responses count as outstanding requests, of which the service admits a fixed number.
//! Listener events follow the machine's interfaces.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use libp2p::PeerId;
use tokio::sync::Notify;

use crate::event::Event;

/// Length of the notices lane: enough for a round trip from every peer.
pub(crate) const NOTICES: usize = 256;

#[derive(Debug, Default)]
struct Lanes {
    control: VecDeque<Event>,
    requests: VecDeque<Event>,
    gossip: VecDeque<Event>,
    gossip_bytes: usize,
    notices: VecDeque<Event>,
    /// Responses in the control lane.
    responses: usize,
    /// Whether gossip goes before requests this time, so that neither starves the other.
    gossip_first: bool,
    stopped: Option<Event>,
    /// Nobody reads any more.
    abandoned: bool,
    finished: bool,
}

#[derive(Debug)]
struct Shared {
    lanes: Mutex<Lanes>,
    notify: Notify,
    gossip_len: usize,
    gossip_bytes: usize,
    requests_len: usize,
}

impl Shared {
    // Every change below leaves the lanes consistent at each step, so a panic elsewhere does not spoil them.
    fn lanes(&self) -> MutexGuard<'_, Lanes> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Capacities of the lanes that have one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Capacity {
    pub gossip_len: usize,
    pub gossip_bytes: usize,
    pub requests_len: usize,
}

pub(crate) fn channel(capacity: Capacity) -> (Sender, Events) {
    let shared = Arc::new(Shared {
        lanes: Mutex::default(),
        notify: Notify::new(),
        gossip_len: capacity.gossip_len,
        gossip_bytes: capacity.gossip_bytes,
        requests_len: capacity.requests_len,
    });
    (Sender(Arc::clone(&shared)), Events(shared))
}

/// The swarm task's end. No method ever waits.
#[derive(Debug, Clone)]
pub(crate) struct Sender(Arc<Shared>);

impl Sender {
    /// Something that must not be lost, see the module's documentation for why this is bounded.
    pub(crate) fn control(&self, event: Event) {
        let mut lanes = self.0.lanes();
        if lanes.abandoned {
            return;
        }
        match &event {
            Event::Disconnected { peer } if forget_connect(&mut lanes.control, *peer) => return,
            // A newer identity replaces an unread one.
            Event::Identified { peer, .. } => {
                let peer = *peer;
                lanes
                    .control
                    .retain(|e| !matches!(e, Event::Identified { peer: p, .. } if *p == peer));
            }
            Event::Response { .. } => lanes.responses += 1,
            _ => {}
        }
        lanes.control.push_back(event);
        drop(lanes);
        self.0.notify.notify_one();
    }

    /// Something that the next of its kind makes up for.
    pub(crate) fn notice(&self, event: Event) {
        let mut lanes = self.0.lanes();
        if lanes.abandoned {
            return;
        }
        if lanes.notices.len() >= NOTICES {
            lanes.notices.pop_front();
        }
        lanes.notices.push_back(event);
        drop(lanes);
        self.0.notify.notify_one();
    }

    /// A gossip message of `bytes`; false: no room.
    pub(crate) fn gossip(&self, bytes: usize, event: Event) -> bool {
        let mut lanes = self.0.lanes();
        if lanes.abandoned
            || lanes.gossip.len() >= self.0.gossip_len
            || lanes.gossip_bytes + bytes > self.0.gossip_bytes
        {
            return false;
        }
        lanes.gossip_bytes += bytes;
        lanes.gossip.push_back(event);
        drop(lanes);
        self.0.notify.notify_one();
        true
    }

    /// An inbound request; false: no room.
    pub(crate) fn request(&self, event: Event) -> bool {
        let mut lanes = self.0.lanes();
        if lanes.abandoned || lanes.requests.len() >= self.0.requests_len {
            return false;
        }
        lanes.requests.push_back(event);
        drop(lanes);
        self.0.notify.notify_one();
        true
    }

    /// Responses that wait to be read.
    pub(crate) fn unread_responses(&self) -> usize {
        self.0.lanes().responses
    }

    /// The end: what waits is still delivered, then [`Event::Stopped`], then nothing.
    pub(crate) fn stop(&self, error: Option<String>) {
        let mut lanes = self.0.lanes();
        if lanes.stopped.is_none() && !lanes.finished {
            lanes.stopped = Some(Event::Stopped { error });
        }
        drop(lanes);
        self.0.notify.notify_one();
    }
}

/// Removes an unread connect of `peer` and what followed about it; false if the connect was read already.
fn forget_connect(control: &mut VecDeque<Event>, peer: PeerId) -> bool {
    let connect = control
        .iter()
        .rposition(|event| matches!(event, Event::Connected { peer: p, .. } if *p == peer));
    let Some(connect) = connect else {
        return false;
    };
    let mut index = 0;
    control.retain(|event| {
        let keep = index < connect
            || !matches!(event, Event::Connected { peer: p, .. } | Event::Identified { peer: p, .. } if *p == peer);
        index += 1;
        keep
    });
    true
}

/// The consumer's end: an ordered stream of [`Event`]s, ending after [`Event::Stopped`].
///
/// What must not be lost (connections, identities, responses) is delivered first and never dropped; requests and
/// gossip take turns; notices (round trips, warnings, subscriptions, publishing results) come last, and their oldest
/// are dropped when 256 wait. A peer that connects and goes before either was read is not mentioned at all.
/// Dropping this end refuses all requests and ignores all gossip from then on.
#[derive(Debug)]
pub struct Events(Arc<Shared>);

impl Events {
    /// Waits for the next event; `None` after [`Event::Stopped`]. Cancel safe.
    pub async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.try_next() {
                return Some(event);
            }
            if self.0.lanes().finished {
                return None;
            }
            // What came in between left a permit, so this returns at once.
            self.0.notify.notified().await;
        }
    }

    /// The next event if one waits: to take a batch after [`Events::next`].
    pub fn try_next(&mut self) -> Option<Event> {
        let mut lanes = self.0.lanes();
        if let Some(event) = lanes.control.pop_front() {
            if matches!(event, Event::Response { .. }) {
                lanes.responses -= 1;
            }
            return Some(event);
        }
        lanes.gossip_first = !lanes.gossip_first;
        let request = (!lanes.gossip_first || lanes.gossip.is_empty())
            .then(|| lanes.requests.pop_front())
            .flatten();
        if request.is_some() {
            return request;
        }
        if let Some(event) = lanes.gossip.pop_front() {
            if let Event::Gossip { data, .. } = &event {
                lanes.gossip_bytes -= data.len();
            }
            return Some(event);
        }
        if let Some(event) = lanes.notices.pop_front() {
            return Some(event);
        }
        let stopped = lanes.stopped.take();
        lanes.finished |= stopped.is_some();
        stopped
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        let mut lanes = self.0.lanes();
        *lanes = Lanes {
            abandoned: true,
            ..Lanes::default()
        };
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::event::{MessageId, RequestId};

    fn pair() -> (Sender, Events) {
        channel(Capacity {
            gossip_len: 2,
            gossip_bytes: 10,
            requests_len: 1,
        })
    }

    fn connected(peer: PeerId) -> Event {
        Event::Connected {
            peer,
            addr: "/ip4/127.0.0.1/tcp/1".parse().unwrap(),
            outbound: true,
        }
    }

    fn gossip(len: usize) -> Event {
        Event::Gossip {
            topic: "t".into(),
            id: MessageId([0; 32]),
            from: PeerId::random(),
            data: vec![0; len],
        }
    }

    fn request() -> Event {
        Event::Request {
            peer: PeerId::random(),
            protocol: "/p".into(),
            id: RequestId(1),
            data: vec![],
        }
    }

    #[test]
    fn flapping_peers_do_not_pile_up() {
        let (sender, mut events) = pair();
        let peer = PeerId::random();
        for _ in 0..1000 {
            sender.control(connected(peer));
            sender.control(Event::Disconnected { peer });
        }
        assert_eq!(events.try_next(), None);
        // Once the connect was read, its disconnect is owed; a later pair is not.
        sender.control(connected(peer));
        assert_eq!(events.try_next(), Some(connected(peer)));
        for _ in 0..1000 {
            sender.control(Event::Disconnected { peer });
            sender.control(connected(peer));
        }
        sender.control(Event::Disconnected { peer });
        assert_eq!(events.try_next(), Some(Event::Disconnected { peer }));
        assert_eq!(events.try_next(), None);
    }

    #[test]
    fn full_lanes_say_so() {
        let (sender, mut events) = pair();
        assert!(sender.gossip(6, gossip(6)));
        assert!(!sender.gossip(6, gossip(6)), "over the bytes");
        assert!(sender.gossip(4, gossip(4)));
        assert!(!sender.gossip(0, gossip(0)), "over the count");
        assert!(sender.request(request()));
        assert!(!sender.request(request()));
        while events.try_next().is_some() {}
        assert!(sender.gossip(10, gossip(10)), "reading makes room");
        assert!(sender.request(request()));
    }

    #[tokio::test]
    async fn the_end_comes_last_and_once() {
        let (sender, mut events) = pair();
        sender.stop(Some("boom".into()));
        sender.stop(None);
        assert!(sender.gossip(1, gossip(1)));
        assert!(matches!(events.next().await, Some(Event::Gossip { .. })));
        assert_eq!(
            events.next().await,
            Some(Event::Stopped {
                error: Some("boom".into())
            })
        );
        assert_eq!(events.next().await, None);
    }
}
