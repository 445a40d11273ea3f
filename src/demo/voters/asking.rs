//! Questions to one particular node, where an order names it.

use std::time::Duration;

use tokio::time::{Instant, sleep};
use votenode_p2p::{Multiaddr, PeerId};

use super::{Crowd, PATIENCE};
use crate::chain::transaction::{Transaction, TxId};
use crate::demo::orders::Place;
use crate::protocol::submit::{self, Outcome, TxStatus};
use crate::wire::List;

/// Pause before something is asked again.
const PAUSE: Duration = Duration::from_millis(100);
/// Ids of one question, as in the protocol.
const MAX_STATUS_IDS: usize = 64;

impl Crowd {
    /// Hands transactions to one node, again as long as it has too much to do.
    pub(super) async fn hand(
        &self,
        node: &Place,
        transactions: Vec<Transaction>,
    ) -> Result<Vec<Outcome>, String> {
        let peer = self.reach(node).await?;
        let transactions = List::new(transactions).map_err(|error| error.to_string())?;
        let request = submit::Request::Submit { transactions };
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.ask(peer, &request).await? {
                submit::Reply::Submit { outcomes } => {
                    let busy = outcomes
                        .iter()
                        .any(|outcome| matches!(outcome, Outcome::Busy {}));
                    if !busy || Instant::now() >= deadline {
                        return Ok(outcomes.to_vec());
                    }
                }
                _ => return Err(format!("{} does not answer what was asked", node.address)),
            }
            sleep(PAUSE).await;
        }
    }

    pub(super) async fn statuses(
        &self,
        peer: PeerId,
        ids: &[TxId],
    ) -> Result<Vec<TxStatus>, String> {
        let mut all = Vec::with_capacity(ids.len());
        for part in ids.chunks(MAX_STATUS_IDS) {
            let ids = List::new(part.to_vec()).map_err(|error| error.to_string())?;
            match self.ask(peer, &submit::Request::Status { ids }).await? {
                submit::Reply::Status { statuses } if statuses.len() == part.len() => {
                    all.extend(statuses.to_vec())
                }
                _ => return Err(format!("{peer} does not answer what was asked")),
            }
        }
        Ok(all)
    }

    /// Asks one node, again as long as it is busy.
    pub(super) async fn ask(
        &self,
        peer: PeerId,
        request: &submit::Request,
    ) -> Result<submit::Reply, String> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.session.link().ask(peer, request).await {
                Ok(reply) => return Ok(reply),
                Err(error) if Instant::now() >= deadline => return Err(format!("{peer}: {error}")),
                Err(error) => tracing::debug!(%peer, %error, "asking again"),
            }
            sleep(PAUSE).await;
        }
    }

    /// Sees to a connection with a node.
    pub(super) async fn reach(&self, node: &Place) -> Result<PeerId, String> {
        let peer: PeerId = node
            .peer
            .parse()
            .map_err(|_| format!("{} is no peer id", node.peer))?;
        let address = format!("{}/p2p/{peer}", node.address);
        let address: Multiaddr = address
            .parse()
            .map_err(|_| format!("{address} is no address"))?;
        let deadline = Instant::now() + PATIENCE;
        let mut link = self.session.link().clone();
        while !link.nodes().serving.contains(&peer) {
            if Instant::now() >= deadline {
                return Err(format!("no connection to {}", node.address));
            }
            // Dialling a peer that is being dialled does no harm.
            let _ = link.dial(&address);
            let again = Instant::now() + Duration::from_secs(2);
            let _ = tokio::time::timeout_at(again, link.changed()).await;
        }
        Ok(peer)
    }
}
