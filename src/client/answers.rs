//! Single answers of single nodes, held against the question; and what several answers amount to together.

use std::collections::BTreeMap;
use std::time::Duration;

use votenode_p2p::PeerId;

use crate::chain::election::{Election, ElectionId};
use crate::chain::transaction::TxId;
use crate::client::exchange::ask_statuses;
use crate::client::finality::{self, AnchorError};
use crate::client::link::{AskError, Link};
use crate::client::proof::check_inclusion;
use crate::client::submission::Agreement;
use crate::protocol::submit::{
    ElectionInfo, ElectionPhase, ElectionResult, Reply, Request, TxStatus,
};
use crate::wire::List;

/// Most elections fetched from a node.
const MAX_ELECTIONS: usize = 2_000;
/// How often a busy node is asked again, and the pause before it.
const BUSY_TRIES: u32 = 6;
const BUSY_PAUSE: Duration = Duration::from_millis(150);

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

/// Asks a node, and again if it is busy.
pub(super) async fn ask(link: &Link, peer: PeerId, request: &Request) -> Result<Reply, AskError> {
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
pub(super) async fn statuses(
    link: &Link,
    peer: PeerId,
    ids: Vec<TxId>,
) -> Result<Vec<TxStatus>, AskError> {
    let found = ask_statuses(link, peer, ids.iter().copied()).await?;
    for (id, status) in ids.iter().zip(&found) {
        if let TxStatus::Included { inclusion, .. } | TxStatus::Final { inclusion, .. } = status
            && let Err(error) = check_inclusion(link.network(), id, inclusion)
        {
            link.distrust(peer, &error.to_string());
            return Err(AskError::Refuted(error));
        }
    }
    Ok(found)
}

/// The state of a transaction, its proof checked; of a final one also the certificate and the way to the checkpoint.
pub(super) async fn proven_status(
    link: Link,
    peer: PeerId,
    id: TxId,
) -> Result<TxStatus, AskError> {
    let status = statuses(&link, peer, vec![id]).await?.pop();
    let status = status.ok_or(AskError::Unfit)?;
    let TxStatus::Final {
        inclusion,
        certificate,
    } = &status
    else {
        return Ok(status);
    };
    match finality::anchor(&link, peer, &inclusion.header, certificate).await {
        Ok(_) => Ok(status),
        Err(AnchorError::Ask(error)) => Err(error),
        Err(AnchorError::Proof(error)) => {
            link.distrust(peer, &error.to_string());
            Err(AskError::Refuted(error))
        }
    }
}

fn view(info: ElectionInfo) -> Result<ElectionView, AskError> {
    Ok(ElectionView {
        id: Election::id(&info.election),
        phase: ElectionPhase::from_number(info.phase).ok_or(AskError::Unfit)?,
        info,
    })
}

pub(super) async fn all_elections(link: Link, peer: PeerId) -> Result<Vec<ElectionView>, AskError> {
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

pub(super) async fn one_election(
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

pub(super) async fn one_result(
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
pub(super) fn majority<T: PartialEq + Clone>(
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

/// The result that most gave. Nodes that count the same and do not know of the checkpoint yet, or of another one, do not
/// disagree; who knows of one is believed as far as it can prove it.
pub(super) fn agreed_result(
    answers: Vec<(PeerId, Option<ElectionResult>)>,
) -> Answer<Option<ElectionResult>> {
    let counted = |result: &Option<ElectionResult>| {
        result.clone().map(|mut result| {
            if result.phase == ElectionPhase::Final as u8 {
                result.phase = ElectionPhase::Provisional as u8;
            }
            result.checkpoint = List::new(Vec::new()).expect("none is allowed");
            result
        })
    };
    let bare = answers
        .iter()
        .map(|(peer, result)| (*peer, counted(result)))
        .collect();
    let mut answer = majority(bare, Option::is_some, describe_result);
    let value = answers
        .into_iter()
        .map(|(_, result)| result)
        .filter(|result| counted(result) == answer.value)
        .max_by_key(|result| result.as_ref().map(|result| result.phase));
    if let Some(value) = value {
        answer.value = value;
    }
    answer
}

pub(super) fn describe_election(view: &Option<ElectionView>) -> String {
    match view {
        None => "does not know the election".to_owned(),
        Some(view) => format!("{} votes, {:?}", view.info.votes, view.phase),
    }
}

pub(super) fn describe_result(result: &Option<ElectionResult>) -> String {
    match result {
        None => "does not know the election".to_owned(),
        Some(result) => format!(
            "{}, {} votes, totals {:?}, closing block {}",
            ElectionPhase::from_number(result.phase)
                .map_or_else(|| "no phase".to_owned(), |phase| format!("{phase:?}")),
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
