//! Questions to the nodes. Several are asked where it can be done, and what they say differently is kept.
//!
//! An answer about an election, a result or a voter is a node's word: only inclusion proofs are checked without trust.
//! Asking several nodes makes a lie stand out; who wants certainty runs a node or an audit.

use std::collections::BTreeMap;

use tokio::task::JoinSet;
use tokio::time::{Duration, Instant, sleep_until};
use votenode_p2p::PeerId;

use crate::chain::election::{Election, ElectionId};
use crate::chain::transaction::{Transaction, TxId};
use crate::client::error::SessionError;
use crate::client::exchange::{ask_statuses, dissent_between};
use crate::client::link::{AskError, Link};
use crate::client::proof::check_inclusion;
use crate::client::session::Session;
use crate::client::submission::{Agreement, HOLDERS};
use crate::client::time::now_ms;
use crate::crypto::PublicKey;
use crate::protocol::submit::{
    ElectionInfo, ElectionPhase, ElectionResult, Reply, Request, TxStatus, VoterInfo,
};
use crate::protocol::sync;

/// Most elections fetched from a node.
const MAX_ELECTIONS: usize = 2_000;
/// Most ids of one question about states.
const MAX_STATUS_IDS: usize = 64;
/// How often a busy node is asked again, and the pause before it.
const BUSY_TRIES: u32 = 6;
const BUSY_PAUSE: Duration = Duration::from_millis(150);
/// Pause between two looks at transactions of others.
const LOOK_PAUSE: Duration = Duration::from_millis(300);

/// An election as nodes told it, with its identity computed here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ElectionView {
    /// Hash of the election.
    pub id: ElectionId,
    /// What a node said of it.
    pub info: ElectionInfo,
    /// Its phase, as that node said.
    pub phase: ElectionPhase,
}

/// An answer, and how many nodes gave the same.
#[derive(Clone, Debug)]
pub struct Answer<T> {
    /// What most of them say.
    pub value: T,
    /// Who agrees.
    pub agreement: Agreement,
}

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
                    // Whoever counts more votes has seen more of the chain.
                    Some(known) if known.info.votes < view.info.votes => *known = view.clone(),
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
        Ok(majority(answers, |known| known.is_some(), describe_result))
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
            .ask_several(move |link, peer| async move {
                let status = statuses(&link, peer, vec![id]).await?.pop();
                status.ok_or(AskError::Unfit)
            })
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

/// Asks a node, and again if it is busy.
async fn ask(link: &Link, peer: PeerId, request: &Request) -> Result<Reply, AskError> {
    let mut tries = 0;
    loop {
        match link.ask(peer, request).await {
            Err(AskError::Busy) if tries < BUSY_TRIES => {
                tries += 1;
                tokio::time::sleep(BUSY_PAUSE * tries).await;
            }
            answer => return answer,
        }
    }
}

/// States of at most 64 transactions, with their proofs checked.
async fn statuses(link: &Link, peer: PeerId, ids: Vec<TxId>) -> Result<Vec<TxStatus>, AskError> {
    let found = ask_statuses(link, peer, ids.iter().copied()).await?;
    for (id, status) in ids.iter().zip(&found) {
        if let TxStatus::Included { inclusion, .. } | TxStatus::Final { inclusion, .. } = status
            && let Err(error) = check_inclusion(link.network(), id, inclusion)
        {
            link.distrust(peer, &error.to_string());
            return Err(AskError::Unfit);
        }
    }
    Ok(found)
}

fn view(info: ElectionInfo) -> Result<ElectionView, AskError> {
    Ok(ElectionView {
        id: Election::id(&info.election),
        phase: ElectionPhase::from_number(info.phase).ok_or(AskError::Unfit)?,
        info,
    })
}

async fn all_elections(link: Link, peer: PeerId) -> Result<Vec<ElectionView>, AskError> {
    let mut views: Vec<ElectionView> = Vec::new();
    let mut skip = 0u64;
    loop {
        let request = Request::Elections { skip };
        let Reply::Elections { elections, total } = ask(&link, peer, &request).await? else {
            return Err(AskError::Unfit);
        };
        let page = elections.len();
        skip += page as u64;
        for info in elections.into_vec() {
            let view = view(info)?;
            // A new election between two pages pushes one over to the next page.
            if views.iter().all(|known| known.id != view.id) {
                views.push(view);
            }
        }
        if page == 0 || skip >= total || views.len() >= MAX_ELECTIONS {
            return Ok(views);
        }
    }
}

async fn one_election(
    link: Link,
    peer: PeerId,
    id: ElectionId,
) -> Result<Option<ElectionView>, AskError> {
    let reply = ask(&link, peer, &Request::Election { election: id }).await?;
    let Reply::Elections { elections, .. } = reply else {
        return Err(AskError::Unfit);
    };
    let found = elections.into_vec().pop().map(view).transpose()?;
    if found.as_ref().is_some_and(|view| view.id != id) {
        link.distrust(
            peer,
            "it answered with another election than the one asked for",
        );
        return Err(AskError::Unfit);
    }
    Ok(found)
}

async fn one_result(
    link: Link,
    peer: PeerId,
    id: ElectionId,
) -> Result<Option<ElectionResult>, AskError> {
    match ask(&link, peer, &Request::Result { election: id }).await? {
        Reply::Result { result } => {
            let result = result.into_vec().pop();
            match &result {
                Some(result)
                    if result.election != id
                        || ElectionPhase::from_number(result.phase).is_none() =>
                {
                    Err(AskError::Unfit)
                }
                _ => Ok(result),
            }
        }
        _ => Err(AskError::Unfit),
    }
}

/// The answer that most gave, among those that know something if any do; of equally many, the one given first.
fn majority<T: PartialEq + Clone>(
    answers: Vec<(PeerId, T)>,
    knows: impl Fn(&T) -> bool,
    describe: impl Fn(&T) -> String,
) -> Answer<T> {
    let mut counts: BTreeMap<usize, usize> = BTreeMap::new();
    for (_, answer) in &answers {
        let first = answers.iter().position(|(_, other)| other == answer);
        *counts.entry(first.unwrap_or(0)).or_default() += 1;
    }
    let best = counts
        .iter()
        .max_by_key(|(first, count)| {
            (
                knows(&answers[**first].1),
                **count,
                std::cmp::Reverse(**first),
            )
        })
        .map_or(0, |(first, _)| *first);
    let value = answers[best].1.clone();
    let mut agreement = Agreement {
        asked: answers.len(),
        ..Agreement::default()
    };
    for (peer, answer) in &answers {
        if *answer == value {
            agreement.agree += 1;
        } else {
            agreement
                .others
                .push(format!("{peer}: {}", describe(answer)));
        }
    }
    Answer { value, agreement }
}

fn describe_election(view: &Option<ElectionView>) -> String {
    match view {
        None => "does not know the election".to_owned(),
        Some(view) => format!("{} votes, {:?}", view.info.votes, view.phase),
    }
}

fn describe_result(result: &Option<ElectionResult>) -> String {
    match result {
        None => "does not know the election".to_owned(),
        Some(result) => format!(
            "{} votes, totals {:?}, closing block {}",
            result.tally.votes,
            result.tally.totals,
            result
                .closing_block
                .first()
                .map_or("not there yet".to_owned(), |block| format!(
                    "{} at height {}",
                    block.id.short(),
                    block.height
                ))
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_most_say_counts_and_knowing_goes_before_not_knowing() {
        let answer = |values: &[Option<u8>]| {
            let answers = values
                .iter()
                .map(|value| (PeerId::random(), *value))
                .collect();
            majority(answers, Option::is_some, |value| format!("{value:?}"))
        };
        let found = answer(&[Some(1), Some(2), Some(2)]);
        assert_eq!((found.value, found.agreement.agree), (Some(2), 2));
        assert_eq!(found.agreement.others.len(), 1);
        assert!(found.agreement.others[0].ends_with("Some(1)"));
        assert_eq!(answer(&[None, None, Some(3)]).value, Some(3));
        let alone = answer(&[None]);
        assert_eq!((alone.value, alone.agreement.is_unanimous()), (None, true));
    }
}
