//! Drives a submission: publishes by gossip, asks nodes what they hold, hands in what does not arrive, follows it into
//! the chain.
//!
//! A few nodes, the witnesses, are asked; one that fails is replaced. Each has at most one exchange under way, so that a
//! slow node delays nothing. There is no event that says "your vote is in a block" (the client takes no part in the
//! block topic, which would be all traffic for one bit), therefore nodes are asked again after pauses.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use votenode_p2p::PeerId;

use crate::client::exchange::{self, Chore, Heard, Report};
use crate::client::link::{Link, Nodes};
use crate::client::submission::{Agreement, Fate, Goal, HOLDERS, Progress, Submission, Submitted};
use crate::protocol::gossip::TransactionBatch;
use crate::protocol::names::Topic;

/// How long gossip has before what did not arrive is handed in directly.
const GOSSIP_TIME: Duration = Duration::from_secs(2);
/// Pause between two looks at a node: at first, and at most. It grows by half each time.
const PAUSE_FIRST: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_millis(1_000);
/// How long a node that failed is passed over while there are others.
const PASS_OVER: Duration = Duration::from_secs(10);
/// Transactions up to which the other witnesses are asked as well before an outcome is reported.
const CONFIRM_MAX: usize = 64;
/// How long that may take.
const CONFIRM_TIME: Duration = Duration::from_secs(3);

/// A submission under way.
pub struct Driver {
    link: Link,
    submission: Submission,
    nodes: Nodes,
    witnesses: Vec<PeerId>,
    passed_over: BTreeMap<PeerId, Instant>,
    /// Nodes with an exchange under way.
    working: JoinSet<Report>,
    busy: Vec<PeerId>,
    published: bool,
    /// When gossip has had its time.
    fallback_at: Instant,
    /// Where among the witnesses the choice begins, so that many clients spread over the nodes.
    offset: usize,
    /// Exchanges begun so far.
    looks: usize,
    /// What was wrong with the last proof that did not hold.
    refuted: Option<String>,
}

impl Driver {
    /// Prepares to submit.
    pub fn new(link: Link, submission: Submission) -> Self {
        let nodes = link.nodes();
        // The first transaction's id is as good as a random number here.
        let offset = match submission.is_empty() {
            true => 0,
            false => usize::from(submission.id(0).as_bytes()[0]),
        };
        Self {
            link,
            submission,
            nodes,
            witnesses: Vec::new(),
            passed_over: BTreeMap::new(),
            working: JoinSet::new(),
            busy: Vec::new(),
            published: false,
            fallback_at: Instant::now() + GOSSIP_TIME,
            offset,
            looks: 0,
            refuted: None,
        }
    }

    /// Runs until everything is known or the time is up.
    pub async fn run(
        mut self,
        deadline: Instant,
        watch: &mut (dyn FnMut(&Progress) + Send),
    ) -> Vec<Submitted> {
        let mut pause = PAUSE_FIRST;
        let mut shown = None;
        let mut next = Instant::now();
        while !self.submission.is_done() && !self.nodes.stopped {
            let now = Instant::now();
            if now >= deadline {
                break;
            }
            if now >= next {
                self.round(now).await;
                next = now + pause;
                pause = PAUSE_MAX.min(pause * 3 / 2);
            }
            tokio::select! {
                Some(report) = self.working.join_next() => {
                    if let Ok(report) = report {
                        self.take(report);
                    }
                }
                () = self.link.changed() => next = Instant::now(),
                () = sleep_until(next.min(deadline)) => {}
            }
            self.nodes = self.link.nodes();
            self.submission
                .conclude(&self.nodes.serving, &self.witnesses);
            let progress = self.submission.progress(&self.nodes.serving);
            if shown != Some(progress) {
                watch(&progress);
                shown = Some(progress);
            }
        }
        self.finish().await
    }

    /// Publishes what was not, and gives every idle witness something to do.
    async fn round(&mut self, now: Instant) {
        self.choose_witnesses(now);
        if !self.published && !self.nodes.serving.is_empty() {
            self.publish().await;
            self.published = true;
            self.fallback_at = Instant::now() + GOSSIP_TIME;
        }
        let wanted = HOLDERS.min(self.nodes.serving.len());
        let direct = self.published && now >= self.fallback_at;
        for witness in self.witnesses.clone() {
            if self.busy.contains(&witness) {
                continue;
            }
            let mut follow = self.submission.to_follow(&witness);
            // Each look begins where the last one ended, so that none of very many is passed over for ever.
            let begin = self.looks.wrapping_mul(exchange::MAX_FOLLOWED) % follow.len().max(1);
            follow.rotate_left(begin);
            self.looks = self.looks.wrapping_add(1);
            let chore = Chore {
                check: self.submission.to_check(&witness),
                submit: match direct {
                    true => self
                        .submission
                        .to_submit(&witness, &self.nodes.serving, wanted),
                    false => Vec::new(),
                },
                follow,
            };
            if !chore.is_empty() {
                self.busy.push(witness);
                let task = exchange::prepare(&self.link, &self.submission, witness, chore);
                self.working.spawn(task);
            }
        }
    }

    fn choose_witnesses(&mut self, now: Instant) {
        self.passed_over.retain(|_, until| *until > now);
        let serving = &self.nodes.serving;
        let usable = |peer: &PeerId, passed_over: &BTreeMap<PeerId, Instant>| {
            serving.contains(peer) && !passed_over.contains_key(peer)
        };
        self.witnesses
            .retain(|peer| usable(peer, &self.passed_over));
        let candidates: Vec<PeerId> = serving
            .iter()
            .filter(|peer| !self.passed_over.contains_key(*peer))
            .copied()
            .collect();
        let begin = self.offset % candidates.len().max(1);
        for peer in candidates.iter().cycle().skip(begin).take(candidates.len()) {
            if self.witnesses.len() >= HOLDERS {
                break;
            }
            if !self.witnesses.contains(peer) {
                self.witnesses.push(*peer);
            }
        }
        if self.witnesses.is_empty() {
            // Better one that failed a moment ago than none.
            self.witnesses.extend(serving.iter().take(1));
        }
    }

    async fn publish(&self) {
        let all: Vec<usize> = (0..self.submission.len()).collect();
        for batch in self.submission.batches(&all, true) {
            let topic = Topic::of(batch.kind);
            let batch = TransactionBatch {
                transactions: batch.transactions,
            };
            if let Err(error) = self.link.publish(topic, &batch).await {
                // Handing in directly makes up for it.
                tracing::debug!(%error, topic = topic.name(), "not published");
            }
        }
    }

    fn take(&mut self, report: Report) {
        self.busy.retain(|peer| *peer != report.peer);
        for Heard { index, word } in report.heard {
            self.submission.hear(index, report.peer, word);
        }
        if let Some(error) = report.failure {
            tracing::debug!(peer = %report.peer, %error, "a node failed to answer");
            if report.lies {
                self.link.distrust(report.peer, &error);
                self.refuted = Some(format!("{}: {error}", report.peer));
            }
            self.passed_over
                .insert(report.peer, Instant::now() + PASS_OVER);
        }
    }

    async fn finish(mut self) -> Vec<Submitted> {
        self.working.abort_all();
        let goal = self.submission.goal();
        let mut outcomes = self.submission.finish(&self.nodes.serving);
        for outcome in outcomes.iter_mut().filter(|outcome| !outcome.is_reached()) {
            outcome.refuted = self.refuted.clone();
        }
        if goal != Goal::Held && outcomes.len() <= CONFIRM_MAX {
            let witnesses: Vec<PeerId> = self.nodes.serving.iter().copied().take(HOLDERS).collect();
            let confirm = exchange::confirm(&self.link, &witnesses, &outcomes);
            let limit = Instant::now() + CONFIRM_TIME;
            if let Ok(agreements) = tokio::time::timeout_at(limit, confirm).await {
                for (outcome, agreement) in outcomes.iter_mut().zip(agreements) {
                    outcome.agreement = agreement;
                }
            }
        }
        outcomes
    }
}

impl Submitted {
    /// Whether it is in the chain.
    pub fn is_included(&self) -> bool {
        matches!(self.fate, Fate::Included(_))
    }

    /// Whether it got as far as it was to be followed.
    pub fn is_reached(&self) -> bool {
        match &self.fate {
            Fate::Held { .. } => true,
            Fate::Included(included) => self.goal != Goal::Final || included.settled,
            Fate::Rejected { .. } | Fate::Unknown { .. } => false,
        }
    }
}

impl Agreement {
    /// Whether everybody who was asked says the same.
    pub fn is_unanimous(&self) -> bool {
        self.others.is_empty()
    }
}
