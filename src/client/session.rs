//! A session: joined to a network, for any number of voters and for as long as there is something to do.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use votenode_p2p::PeerId;

use crate::chain::election::{Election, ElectionId, Terms};
use crate::chain::network::Network;
use crate::chain::transaction::{Transaction, TxId};
use crate::client::driver::Driver;
use crate::client::error::{MakeError, SessionError};
use crate::client::link::{Link, LinkOptions};
use crate::client::make::{self, Admission};
use crate::client::submission::{Fate, Goal, HOLDERS, Progress, Submission, Submitted};
use crate::crypto::VoterId;

/// How long a session that found one node looks for two more before it begins.
const SETTLE: Duration = Duration::from_millis(1_000);

/// How to join.
#[derive(Clone, Debug)]
pub struct SessionOptions {
    /// The network.
    pub network: Arc<Network>,
    /// How to reach it.
    pub link: LinkOptions,
    /// Give up looking for a first node after this.
    pub join_timeout: Duration,
}

/// A connection to a network's nodes.
#[derive(Clone, Debug)]
pub struct Session {
    link: Link,
}

impl Session {
    /// Joins: returns when at least one node is there, and three if they come soon.
    pub async fn join(options: SessionOptions) -> Result<Self, SessionError> {
        let deadline = Instant::now() + options.join_timeout;
        let link = Link::open(options.network, options.link).await?;
        let session = Self { link };
        session.wait_for_nodes(1, deadline).await?;
        let settled = deadline.min(Instant::now() + SETTLE);
        session.link.wait_for_nodes(HOLDERS, settled).await;
        Ok(session)
    }

    /// The network.
    pub fn network(&self) -> &Arc<Network> {
        self.link.network()
    }

    /// The connected nodes, in the order of their ids.
    pub fn nodes(&self) -> Vec<PeerId> {
        self.link.nodes().serving.into_iter().collect()
    }

    /// Waits until so many nodes are connected.
    pub async fn wait_for_nodes(
        &self,
        wanted: usize,
        deadline: Instant,
    ) -> Result<(), SessionError> {
        if self.link.wait_for_nodes(wanted, deadline).await {
            Ok(())
        } else {
            Err(SessionError::NoNodes {
                trouble: self.link.nodes().trouble,
            })
        }
    }

    /// The way to the nodes, for questions of one's own.
    pub fn link(&self) -> &Link {
        &self.link
    }

    /// Registers a voter and follows the registration into the chain. Each call makes a registration of its own; to
    /// try again with the same bytes, keep the transaction and use [`Self::submit`].
    pub async fn register(
        &self,
        voter: &VoterId,
        admission: Admission,
        timeout: Duration,
    ) -> Result<Submitted, SessionError> {
        let deadline = Instant::now() + timeout;
        let mut made = self
            .make_registrations(vec![(voter.clone(), admission)])
            .await?;
        let transaction = made.pop().ok_or(MakeError::Cancelled)?;
        Ok(self.submit_one(transaction, Goal::Included, deadline).await)
    }

    /// Makes registrations for many voters on all cores, in their order. Nothing is sent.
    pub async fn make_registrations(
        &self,
        voters: Vec<(VoterId, Admission)>,
    ) -> Result<Vec<Transaction>, MakeError> {
        make::registrations(Arc::clone(self.network()), voters).await
    }

    /// Publishes transactions and follows them as far as the goal says. `watch` is called whenever something changed.
    ///
    /// The outcomes are in the order given, each transaction once. The same bytes may be submitted any number of times.
    pub async fn submit(
        &self,
        transactions: Vec<Transaction>,
        goal: Goal,
        deadline: Instant,
        watch: &mut (dyn FnMut(&Progress) + Send),
    ) -> Vec<Submitted> {
        let submission = Submission::new(transactions, goal);
        Driver::new(self.link.clone(), submission)
            .run(deadline, watch)
            .await
    }

    async fn submit_one(
        &self,
        transaction: Transaction,
        goal: Goal,
        deadline: Instant,
    ) -> Submitted {
        let id = transaction.id();
        let mut outcomes = self
            .submit(vec![transaction], goal, deadline, &mut |_| {})
            .await;
        outcomes.pop().unwrap_or(Submitted {
            id,
            fate: Fate::Unknown { nodes: 0 },
            agreement: Default::default(),
            goal,
            refuted: None,
        })
    }

    /// Waits until transactions that somebody else may have handed in are in the chain. Returns those that are not by
    /// the deadline.
    pub async fn wait_included(&self, ids: Vec<TxId>, deadline: Instant) -> Vec<TxId> {
        self.await_inclusion(ids, deadline).await
    }

    /// Makes an election with these terms, and its transaction. Nothing is sent.
    pub fn make_election(
        &self,
        organiser: &crate::crypto::SigningKey,
        terms: Terms,
    ) -> Result<(ElectionId, Transaction), crate::chain::invalid::Invalid> {
        let transaction = crate::chain::sign::open_election(self.network(), organiser, terms)?;
        let id = match &transaction.payload {
            crate::chain::transaction::Payload::Election { election } => Election::id(election),
            _ => unreachable!("an election was made"),
        };
        Ok((id, transaction))
    }

    /// Leaves the network.
    pub async fn close(self) {
        self.link.close().await;
    }
}

#[cfg(test)]
mod tests;
