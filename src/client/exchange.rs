//! One exchange of a submission with one node: what does it hold, here is what it lacks, where are these.

use std::collections::BTreeMap;

use votenode_p2p::PeerId;

use crate::chain::block::BlockId;
use crate::chain::checkpoint::CommitCertificate;
use crate::chain::transaction::TxId;
use crate::client::finality::{self, AnchorError};
use crate::client::headers::headers_above;
use crate::client::link::{AskError, Link};
use crate::client::proof::check_inclusion;
use crate::client::submission::{
    Agreement, Batch, Fate, Goal, Included, Submission, Submitted, Word,
};
use crate::protocol::gossip::MAX_BATCH;
use crate::protocol::submit::{Inclusion, Reason, Reply, Request, TxStatus};
use crate::wire::List;

/// Most ids of one question about states.
const MAX_STATUS_IDS: usize = 64;
/// Most transactions asked about in one exchange, so that a node is not held for long.
const MAX_CHECKED: usize = 16 * MAX_BATCH;
/// Most transactions followed in one exchange.
pub const MAX_FOLLOWED: usize = 32 * MAX_STATUS_IDS;
/// Most transactions handed in in one exchange.
const MAX_SUBMITTED: usize = 4 * MAX_BATCH;

/// What to do at a node; indices of transactions.
#[derive(Clone, Debug, Default)]
pub struct Chore {
    /// Ask whether it holds them.
    pub check: Vec<usize>,
    /// Hand them in.
    pub submit: Vec<usize>,
    /// Ask where they are.
    pub follow: Vec<usize>,
}

impl Chore {
    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.check.is_empty() && self.submit.is_empty() && self.follow.is_empty()
    }
}

/// What a node said about a transaction.
#[derive(Clone, Debug)]
pub struct Heard {
    /// The transaction's index.
    pub index: usize,
    /// What it said.
    pub word: Word,
}

/// What came of an exchange.
#[derive(Clone, Debug)]
pub struct Report {
    /// The node.
    pub peer: PeerId,
    /// What it said before anything failed.
    pub heard: Vec<Heard>,
    /// Why the exchange ended early, in words.
    pub failure: Option<String>,
    /// Because the node claimed something that a proof refutes.
    pub lies: bool,
}

enum Failure {
    Ask(AskError),
    Lie(String),
}

impl From<AskError> for Failure {
    fn from(error: AskError) -> Self {
        Self::Ask(error)
    }
}

impl From<AnchorError> for Failure {
    fn from(error: AnchorError) -> Self {
        match error {
            AnchorError::Ask(error) => Self::Ask(error),
            AnchorError::Proof(error) => Self::Lie(error.to_string()),
        }
    }
}

/// An exchange, taken out of the submission so that it can run by itself.
pub fn prepare(
    link: &Link,
    submission: &Submission,
    peer: PeerId,
    chore: Chore,
) -> impl Future<Output = Report> + Send + 'static {
    let named = |indices: &[usize], most: usize| -> Vec<(usize, TxId)> {
        indices
            .iter()
            .take(most)
            .map(|index| (*index, submission.id(*index)))
            .collect()
    };
    let submit = &chore.submit[..chore.submit.len().min(MAX_SUBMITTED)];
    let exchange = Exchange {
        link: link.clone(),
        peer,
        goal: submission.goal(),
        heard: Vec::new(),
        settled: BTreeMap::new(),
    };
    let check = named(&chore.check, MAX_CHECKED);
    let batches = submission.batches(submit, false);
    let follow = named(&chore.follow, MAX_FOLLOWED);
    exchange.run(check, batches, follow)
}

struct Exchange {
    link: Link,
    peer: PeerId,
    goal: Goal,
    heard: Vec<Heard>,
    /// Blocks whose depth was looked at in this exchange, with what came of it.
    settled: BTreeMap<BlockId, bool>,
}

impl Exchange {
    async fn run(
        mut self,
        check: Vec<(usize, TxId)>,
        batches: Vec<Batch>,
        follow: Vec<(usize, TxId)>,
    ) -> Report {
        let result = self.steps(&check, batches, &follow).await;
        let (failure, lies) = match result {
            // A busy node is asked again after the usual pause.
            Ok(()) | Err(Failure::Ask(AskError::Busy)) => (None, false),
            Err(Failure::Ask(error)) => (Some(error.to_string()), false),
            Err(Failure::Lie(what)) => (Some(what), true),
        };
        Report {
            peer: self.peer,
            heard: self.heard,
            failure,
            lies,
        }
    }

    async fn steps(
        &mut self,
        check: &[(usize, TxId)],
        batches: Vec<Batch>,
        follow: &[(usize, TxId)],
    ) -> Result<(), Failure> {
        for part in check.chunks(MAX_BATCH) {
            self.check(part).await?;
        }
        for batch in batches {
            self.submit(batch).await?;
        }
        for part in follow.chunks(MAX_STATUS_IDS) {
            self.follow(part).await?;
        }
        Ok(())
    }

    async fn check(&mut self, part: &[(usize, TxId)]) -> Result<(), Failure> {
        let ids = part.iter().map(|(_, id)| *id).collect();
        let request = Request::Have {
            ids: List::new(ids).map_err(|_| AskError::Unfit)?,
        };
        let held = match self.link.ask(self.peer, &request).await? {
            Reply::Have { held } if held.len() == part.len() => held,
            _ => return Err(AskError::Unfit.into()),
        };
        for ((index, _), held) in part.iter().zip(held.iter()) {
            self.hear(
                *index,
                match held {
                    0 => Word::Lacks,
                    _ => Word::Holds,
                },
            );
        }
        Ok(())
    }

    async fn submit(&mut self, batch: Batch) -> Result<(), Failure> {
        let request = Request::Submit {
            transactions: batch.transactions,
        };
        let outcomes = match self.link.ask(self.peer, &request).await? {
            Reply::Submit { outcomes } if outcomes.len() == batch.indices.len() => outcomes,
            _ => return Err(AskError::Unfit.into()),
        };
        for (index, outcome) in batch.indices.iter().zip(outcomes.iter()) {
            self.hear(*index, outcome.into());
        }
        Ok(())
    }

    async fn follow(&mut self, part: &[(usize, TxId)]) -> Result<(), Failure> {
        let statuses = ask_statuses(&self.link, self.peer, part.iter().map(|(_, id)| *id)).await?;
        for ((index, id), status) in part.iter().zip(statuses) {
            let word = match status {
                TxStatus::Unknown {} => Word::Lacks,
                TxStatus::Pending {} => Word::Holds,
                TxStatus::Dropped { reason } => Word::Refuses(reason),
                TxStatus::Included { inclusion, depth } => {
                    self.included(id, inclusion, Some(depth), None).await?
                }
                TxStatus::Final {
                    inclusion,
                    certificate,
                } => {
                    self.included(id, inclusion, None, Some(certificate))
                        .await?
                }
            };
            self.hear(*index, word);
        }
        Ok(())
    }

    async fn included(
        &mut self,
        id: &TxId,
        inclusion: Inclusion,
        depth: Option<u64>,
        certificate: Option<CommitCertificate>,
    ) -> Result<Word, Failure> {
        let block = check_inclusion(self.link.network(), id, &inclusion)
            .map_err(|error| Failure::Lie(error.to_string()))?;
        let settled = self.goal == Goal::Final
            && match &certificate {
                Some(certificate) => self.is_final(block, &inclusion, certificate).await?,
                None => self.is_deep(block, &inclusion, depth.unwrap_or(0)).await?,
            };
        Ok(Word::Includes(Box::new(Included {
            inclusion,
            block,
            depth: depth.unwrap_or(0),
            certificate: certificate.filter(|_| settled),
            settled,
        })))
    }

    /// Whether the block is as deep as stands in for finality where nobody finalises.
    async fn is_deep(
        &mut self,
        block: BlockId,
        inclusion: &Inclusion,
        depth: u64,
    ) -> Result<bool, Failure> {
        let network = self.link.network();
        let wanted = network.confirmations;
        if network.finalises() || depth < wanted {
            return Ok(false);
        }
        if let Some(settled) = self.settled.get(&block) {
            return Ok(*settled);
        }
        let wanted = usize::try_from(wanted).unwrap_or(usize::MAX);
        let headers = headers_above(&self.link, self.peer, &inclusion.header, wanted).await?;
        let settled = headers.len() >= wanted;
        self.settled.insert(block, settled);
        Ok(settled)
    }

    /// Whether the certificate makes the block final.
    async fn is_final(
        &mut self,
        block: BlockId,
        inclusion: &Inclusion,
        certificate: &CommitCertificate,
    ) -> Result<bool, Failure> {
        if let Some(settled) = self.settled.get(&block) {
            return Ok(*settled);
        }
        let anchor = finality::anchor(&self.link, self.peer, &inclusion.header, certificate);
        let settled = anchor.await?.is_some();
        self.settled.insert(block, settled);
        Ok(settled)
    }

    fn hear(&mut self, index: usize, word: Word) {
        self.heard.push(Heard { index, word });
    }
}

/// Asks a node where transactions are, at most 64 of them.
pub async fn ask_statuses(
    link: &Link,
    peer: PeerId,
    ids: impl Iterator<Item = TxId>,
) -> Result<Vec<TxStatus>, AskError> {
    let ids: Vec<TxId> = ids.collect();
    let count = ids.len();
    let request = Request::Status {
        ids: List::new(ids).map_err(|_| AskError::Unfit)?,
    };
    match link.ask(peer, &request).await? {
        Reply::Status { statuses } if statuses.len() == count => Ok(statuses.into_vec()),
        _ => Err(AskError::Unfit),
    }
}

/// Asks nodes about outcomes (at most 64) before they are reported, and says who agrees.
pub async fn confirm(link: &Link, peers: &[PeerId], outcomes: &[Submitted]) -> Vec<Agreement> {
    let mut agreements = vec![Agreement::default(); outcomes.len()];
    for peer in peers {
        let ids = outcomes.iter().map(|outcome| outcome.id);
        let Ok(statuses) = ask_statuses(link, *peer, ids).await else {
            continue;
        };
        for ((agreement, outcome), status) in agreements.iter_mut().zip(outcomes).zip(&statuses) {
            agreement.asked += 1;
            match dissent(&outcome.fate, status) {
                None => agreement.agree += 1,
                Some(other) => agreement.others.push(format!("{peer}: {other}")),
            }
        }
    }
    agreements
}

/// What a node says otherwise than the fate, in words.
fn dissent(fate: &Fate, status: &TxStatus) -> Option<String> {
    match (fate, status) {
        (
            Fate::Included(included),
            TxStatus::Included { inclusion, .. } | TxStatus::Final { inclusion, .. },
        ) if inclusion.header.id() == included.block => None,
        (Fate::Rejected { .. }, TxStatus::Unknown {} | TxStatus::Dropped { .. }) => None,
        (Fate::Held { .. } | Fate::Unknown { .. }, _) => None,
        (_, other) => Some(describe(other)),
    }
}

/// What a node says otherwise than another, in words.
pub fn dissent_between(status: &TxStatus, other: &TxStatus) -> Option<String> {
    let block = |status: &TxStatus| match status {
        TxStatus::Included { inclusion, .. } | TxStatus::Final { inclusion, .. } => {
            Some(inclusion.header.id())
        }
        _ => None,
    };
    let same = match (block(status), block(other)) {
        (None, None) => status.discriminant() == other.discriminant(),
        (one, other) => one == other,
    };
    (!same).then(|| describe(other))
}

fn describe(status: &TxStatus) -> String {
    match status {
        TxStatus::Unknown {} => "never heard of it".to_owned(),
        TxStatus::Pending {} => "waits for a block".to_owned(),
        TxStatus::Included { inclusion, .. } | TxStatus::Final { inclusion, .. } => format!(
            "in block {} at height {}",
            inclusion.header.id().short(),
            inclusion.header.height
        ),
        TxStatus::Dropped { reason } => format!("refused: {}", words(reason)),
    }
}

/// A reason as people read it: the rule's name and the node's words.
pub fn words(reason: &Reason) -> String {
    format!("{} ({})", reason.text, reason_name(reason.code))
}

/// The name of the rule with this number.
pub fn reason_name(code: u64) -> String {
    crate::chain::invalid::RULES
        .iter()
        .find(|rule| rule.0 == code)
        .map_or_else(|| format!("rule {code}"), |rule| rule.1.to_owned())
}
