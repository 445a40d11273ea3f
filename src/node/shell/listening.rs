//! The addresses that a node listens on, as they come and go.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, timeout};
use votenode_p2p::{Event, Events, Multiaddr};

use crate::node::status::NodeStatus;

/// How long the first addresses are waited for after the listeners were bound.
const FIRST_ADDRESSES: Duration = Duration::from_secs(2);

/// The addresses that the listeners got, one for each at least, unless they take too long to come.
pub(super) async fn first_addresses(events: &mut Events, listeners: usize) -> Vec<Multiaddr> {
    let mut addresses = Vec::new();
    let deadline = Instant::now() + FIRST_ADDRESSES;
    while addresses.len() < listeners {
        let left = deadline.saturating_duration_since(Instant::now());
        match timeout(left, events.next()).await {
            Ok(Some(Event::Listening { addr })) => addresses.push(addr),
            Ok(Some(Event::ListenStopped { addr })) => addresses.retain(|known| *known != addr),
            // Nobody is connected yet; whatever else comes now is said again or of no matter.
            Ok(Some(_)) => {}
            Ok(None) | Err(_) => break,
        }
    }
    addresses
}

/// Keeps the published addresses what they are: some come after the first, and others as interfaces come and go. The
/// node thread may not publish for hours, and takes what stands here along when it does.
pub(super) fn relist(
    status: &watch::Sender<Arc<NodeStatus>>,
    change: impl FnOnce(&mut Vec<String>),
) {
    status.send_if_modified(|current| {
        let mut listening = current.listening.clone();
        change(&mut listening);
        if listening == current.listening {
            return false;
        }
        Arc::make_mut(current).listening = listening;
        true
    });
}

/// Adds an address, once.
pub(super) fn list(listening: &mut Vec<String>, addr: &Multiaddr) {
    let addr = addr.to_string();
    if !listening.contains(&addr) {
        listening.push(addr);
    }
}

/// Takes an address out.
pub(super) fn unlist(listening: &mut Vec<String>, addr: &Multiaddr) {
    let addr = addr.to_string();
    listening.retain(|known| *known != addr);
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::node::testing;

    #[test]
    fn the_picture_lists_the_addresses_that_came_later_and_not_those_that_went() {
        let made_up = testing::fabricate();
        let (status, receiver) = watch::channel(made_up.handle.status());
        let quic: Multiaddr = "/ip4/127.0.0.1/udp/7117/quic-v1".parse().unwrap();
        let tcp: Multiaddr = "/ip4/127.0.0.1/tcp/7117".parse().unwrap();
        for _ in 0..2 {
            relist(&status, |listening| list(listening, &quic));
        }
        assert_eq!(
            receiver.borrow().listening,
            [tcp.to_string(), quic.to_string()]
        );
        relist(&status, |listening| unlist(listening, &tcp));
        assert_eq!(receiver.borrow().listening, [quic.to_string()]);
        assert_eq!(receiver.borrow().warnings, ["mind the gap"]);
    }
}
