//! Questions to the nodes. Several are asked where it can be done, and what they say differently is kept.
//!
//! An answer about an election, a result or a voter is a node's word: only inclusion proofs are checked without trust.
//! Asking several nodes makes a lie stand out; who wants certainty runs a node or an audit.

use tokio::task::JoinSet;
use tokio::time::{Duration, Instant, sleep_until};
use votenode_p2p::PeerId;

use crate::chain::election::ElectionId;
use crate::chain::transaction::{Transaction, TxId};
pub use crate::client::answers::{Answer, ElectionView};
use crate::client::answers::{
    agreed_result, all_elections, ask, describe_election, majority, one_election, one_result,
    proven_status, statuses,
};
use crate::client::error::SessionError;
use crate::client::exchange::dissent_between;
use crate::client::link::{AskError, Link};
use crate::client::session::Session;
use crate::client::submission::{Agreement, HOLDERS};
use crate::client::time::now_ms;
use crate::crypto::PublicKey;
use crate::protocol::submit::{ElectionResult, Reply, Request, TxStatus, VoterInfo};
use crate::protocol::sync;

/// Most ids of one question about states.
const MAX_STATUS_IDS: usize = 64;
/// Pause between two looks at transactions of others.
const LOOK_PAUSE: Duration = Duration::from_millis(300);

/// A node's clock and place.
#[derive(Clone, Debug)]
pub struct NodeStatus {
    /// Which node.
    pub peer: PeerId,
    /// Where it stands.
    pub status: sync::Status,
    /// Its clock ahead of this machine's, in milliseconds, as far as the question's way there and back tells.
    pub clock_ahead_ms: i64,
    /// Half of the way there and back: how uncertain that is.
    pub uncertainty_ms: u64,
}

impl Session {
    /// All elections, newest first, from several nodes together: an election that one of them left out is not missing.
    pub async fn elections(&self) -> Result<Answer<Vec<ElectionView>>, SessionError> {
        let answers = self.ask_several(all_elections).await?;
        let mut agreement = Agreement::default();
        let mut all: Vec<ElectionView> = Vec::new();
        let ids = |views: &[ElectionView]| {
            let mut ids: Vec<ElectionId> = views.iter().map(|view| view.id).collect();
            ids.sort_unstable();
            ids
        };
        for (_, views) in &answers {
            for view in views {
                match all.iter_mut().find(|known| known.id == view.id) {
                    None => all.push(view.clone()),
                    // Whoever counts more votes, or knows of the close or the checkpoint, has seen more of the chain.
                    Some(known)
                        if (known.info.votes, known.info.phase)
                            < (view.info.votes, view.info.phase) =>
                    {
                        *known = view.clone();
                    }
                    Some(_) => {}
                }
            }
        }
        let everything = ids(&all);
        for (peer, views) in &answers {
            agreement.asked += 1;
            let missing = everything.len() - views.len().min(everything.len());
            if ids(views) == everything {
                agreement.agree += 1;
            } else {
                agreement.others.push(format!(
                    "{peer}: does not list {missing} of these elections"
                ));
            }
        }
        all.sort_by_key(|view| std::cmp::Reverse((view.info.height, view.id)));
        Ok(Answer {
            value: all,
            agreement,
        })
    }

    /// One election; `None` if no node knows it.
    pub async fn election(
        &self,
        id: ElectionId,
    ) -> Result<Answer<Option<ElectionView>>, SessionError> {
        let answers = self
            .ask_several(move |link, peer| one_election(link, peer, id))
            .await?;
        Ok(majority(
            answers,
            |known| known.is_some(),
            describe_election,
        ))
    }

    /// The result of an election; `None` if no node knows it.
    pub async fn result(
        &self,
        id: ElectionId,
    ) -> Result<Answer<Option<ElectionResult>>, SessionError> {
        let answers = self
            .ask_several(move |link, peer| one_result(link, peer, id))
            .await?;
        Ok(agreed_result(answers))
    }

    /// The results of all elections.
    pub async fn results(
        &self,
    ) -> Result<Vec<(ElectionView, Answer<Option<ElectionResult>>)>, SessionError> {
        let mut results = Vec::new();
        for view in self.elections().await?.value {
            let result = self.result(view.id).await?;
            results.push((view, result));
        }
        Ok(results)
    }

    /// The registration of a voter key; `None` if no node has it in its chain.
    pub async fn voter(&self, key: PublicKey) -> Result<Answer<Option<VoterInfo>>, SessionError> {
        let answers = self
            .ask_several(move |link, peer| async move {
                match ask(&link, peer, &Request::Voter { voter: key }).await? {
                    Reply::Voter { voter } => Ok(voter.into_vec().pop()),
                    _ => Err(AskError::Unfit),
                }
            })
            .await?;
        Ok(majority(
            answers,
            |known| known.is_some(),
            |voter| match voter {
                Some(voter) => format!("registered at height {}", voter.height),
                None => "not registered".to_owned(),
            },
        ))
    }

    /// The transaction that holds a voter's vote in an election; `None` if no node has one in its chain.
    pub async fn vote_of(
        &self,
        election: ElectionId,
        voter: PublicKey,
    ) -> Result<Answer<Option<TxId>>, SessionError> {
        let answers = self
            .ask_several(move |link, peer| async move {
                match ask(&link, peer, &Request::VoteOf { election, voter }).await? {
                    Reply::VoteOf { transaction } => Ok(transaction.into_vec().pop()),
                    _ => Err(AskError::Unfit),
                }
            })
            .await?;
        Ok(majority(
            answers,
            |known| known.is_some(),
            |vote| match vote {
                Some(id) => format!("voted with {id}"),
                None => "has not voted".to_owned(),
            },
        ))
    }

    /// Where a transaction is. Proofs are checked; a node whose proof does not hold is not believed.
    pub async fn status(&self, id: TxId) -> Result<Answer<TxStatus>, SessionError> {
        let answers = self
            .ask_several(move |link, peer| proven_status(link, peer, id))
            .await?;
        // Whoever knows most: a proof goes before a promise.
        let rank = |status: &TxStatus| match status {
            TxStatus::Final { .. } => 4,
            TxStatus::Included { .. } => 3,
            TxStatus::Pending {} => 2,
            TxStatus::Dropped { .. } => 1,
            TxStatus::Unknown {} => 0,
        };
        let mut agreement = Agreement::default();
        let best = answers
            .iter()
            .map(|(_, status)| status)
            .max_by_key(|status| rank(status))
            .cloned()
            .unwrap_or(TxStatus::Unknown {});
        for (peer, status) in &answers {
            agreement.asked += 1;
            match dissent_between(&best, status) {
                None => agreement.agree += 1,
                Some(other) => agreement.others.push(format!("{peer}: {other}")),
            }
        }
        Ok(Answer {
            value: best,
            agreement,
        })
    }

    /// The transaction with this id, from whoever has it; checked to be the one.
    pub async fn transaction(&self, id: TxId) -> Result<Option<Transaction>, SessionError> {
        let answers = self
            .ask_several(move |link, peer| async move {
                let request = sync::Request::Transactions {
                    ids: crate::wire::List::new(vec![id]).map_err(|_| AskError::Unfit)?,
                    max_bytes: 64 * 1024,
                };
                match link.ask_sync(peer, &request).await? {
                    sync::Reply::Transactions { transactions } => Ok(transactions
                        .into_vec()
                        .into_iter()
                        .find(|transaction| transaction.id() == id)),
                    _ => Err(AskError::Unfit),
                }
            })
            .await?;
        Ok(answers.into_iter().find_map(|(_, found)| found))
    }

    /// Where the nodes stand, and how far their clocks are from this machine's.
    pub async fn node_statuses(&self) -> Result<Vec<NodeStatus>, SessionError> {
        let genesis = self.network().genesis_block();
        let answers = self
            .ask_several(move |link, peer| async move {
                let asked_ms = now_ms();
                let request = sync::Request::Status {
                    status: sync::Status {
                        tip: genesis,
                        height: 0,
                        checkpoint: genesis,
                        checkpoint_height: 0,
                        pending: 0,
                        clock_ms: asked_ms,
                    },
                };
                let reply = link.ask_sync(peer, &request).await?;
                let uncertainty_ms = now_ms().saturating_sub(asked_ms) / 2;
                let sync::Reply::Status { status } = reply else {
                    return Err(AskError::Unfit);
                };
                let here = i64::try_from(asked_ms + uncertainty_ms).map_err(|_| AskError::Unfit)?;
                let there = i64::try_from(status.clock_ms).map_err(|_| AskError::Unfit)?;
                Ok(NodeStatus {
                    peer,
                    status,
                    clock_ahead_ms: there - here,
                    uncertainty_ms,
                })
            })
            .await?;
        Ok(answers.into_iter().map(|(_, status)| status).collect())
    }

    pub(super) async fn await_inclusion(&self, ids: Vec<TxId>, deadline: Instant) -> Vec<TxId> {
        let mut open = ids;
        let mut turn = 0usize;
        while !open.is_empty() && Instant::now() < deadline {
            let nodes = self.nodes();
            if let Some(peer) = nodes.get(turn % nodes.len().max(1)) {
                let mut left = Vec::with_capacity(open.len());
                for part in open.chunks(MAX_STATUS_IDS) {
                    let found = statuses(self.link(), *peer, part.to_vec()).await;
                    match found {
                        Ok(found) => {
                            left.extend(part.iter().zip(found).filter_map(|(id, status)| {
                                match status {
                                    TxStatus::Included { .. } | TxStatus::Final { .. } => None,
                                    _ => Some(*id),
                                }
                            }))
                        }
                        Err(_) => left.extend_from_slice(part),
                    }
                }
                open = left;
            }
            turn += 1;
            if !open.is_empty() {
                sleep_until(deadline.min(Instant::now() + LOOK_PAUSE)).await;
            }
        }
        open
    }

    /// Asks up to three nodes at once, and further ones for those that fail, until three answered or none is left.
    async fn ask_several<T, F, A>(&self, question: F) -> Result<Vec<(PeerId, T)>, SessionError>
    where
        T: Send + 'static,
        F: Fn(Link, PeerId) -> A,
        A: Future<Output = Result<T, AskError>> + Send + 'static,
    {
        let mut waiting = self.nodes();
        let mut asked = JoinSet::new();
        let mut answers = Vec::new();
        let mut failure = None;
        loop {
            while answers.len() + asked.len() < HOLDERS {
                let Some(peer) = waiting.pop() else { break };
                let answer = question(self.link().clone(), peer);
                asked.spawn(async move { (peer, answer.await) });
            }
            match asked.join_next().await {
                None => break,
                Some(Ok((peer, Ok(answer)))) => answers.push((peer, answer)),
                Some(Ok((peer, Err(error)))) => {
                    tracing::debug!(%peer, %error, "a node did not answer");
                    failure = Some(error);
                }
                Some(Err(_)) => {}
            }
        }
        if answers.is_empty() {
            return Err(match failure {
                Some(error) => SessionError::NoAnswer(error),
                None => SessionError::NoNodes {
                    trouble: self.link().nodes().trouble,
                },
            });
        }
        answers.sort_by_key(|(peer, _)| *peer);
        Ok(answers)
    }
}
