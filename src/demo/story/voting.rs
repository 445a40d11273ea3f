//! The crowd's steps: voters register, an election is opened, they vote, and some try to vote twice.

use std::time::{Duration, Instant};

use super::everybody::blocks;
use super::seen::{all, seconds_until};
use super::{Opened, Story};
use crate::demo::error::DemoError;
use crate::demo::orders::{Order, Report};

/// Voters who try a second time.
const SECOND_TRIES: usize = 12;
/// Voters whose votes only the node that is killed holds.
const RESERVE: usize = 12;

impl Story<'_> {
    pub(super) async fn register(&mut self) -> Result<Duration, DemoError> {
        let voters = self.arguments.voters as usize;
        self.view
            .begin(&format!("{voters} voters register at the same moment"));
        let begun = Instant::now();
        let timeout_ms = self.timeout_ms();
        let goal = self.goal();
        let orders = vec![Order::Register { goal, timeout_ms }; self.clients.len()];
        let (_, heights) = self.everybody(&orders, voters).await?;
        let roll = voters as u64;
        let deadline = self.deadline();
        self.cluster
            .wait(
                "that every node has all registrations",
                deadline,
                |pictures| all(pictures, |picture| picture.tip.roll_size == roll),
            )
            .await?;
        let place = match self.until_final(heights, &[]).await? {
            true => "final on every node",
            false => "all are on every node",
        };
        self.view.done(&format!(
            "{voters} registrations at the same moment: {place}, {}",
            blocks(heights)
        ));
        Ok(begun.elapsed())
    }

    pub(super) async fn open(&mut self, open_for: Duration) -> Result<Opened, DemoError> {
        self.view.begin("An election is opened");
        let order = Order::Open {
            open_for_ms: u64::try_from(open_for.as_millis()).unwrap_or(u64::MAX),
            goal: self.goal(),
            timeout_ms: self.timeout_ms(),
        };
        let patience = self.time();
        let opened = match self.clients[0].ask(&order, patience).await? {
            Report::Opened {
                election,
                height,
                closes_at_ms,
            } => {
                let deadline = self.deadline();
                self.cluster
                    .wait("that every node has the election", deadline, |pictures| {
                        all(pictures, |picture| picture.tip.height >= height)
                    })
                    .await?;
                self.view.done(&format!(
                    "An election is open, in block {height}; polls close in {} seconds",
                    seconds_until(closes_at_ms)
                ));
                Opened {
                    id: election,
                    closes_at_ms,
                }
            }
            other => return Err(self.clients[0].unfit(&other)),
        };
        Ok(opened)
    }

    /// Voters who do not vote by gossip: the last ones of the first client.
    pub(super) fn reserve(&self) -> usize {
        RESERVE.min(self.clients[0].voters / 2)
    }

    /// Voters of each client who vote at once.
    fn voting(&self) -> Vec<usize> {
        let mut voting: Vec<usize> = self.clients.iter().map(|client| client.voters).collect();
        if let Some(first) = voting.first_mut() {
            *first -= self.reserve();
        }
        if let Some(last) = voting.last_mut() {
            // Once with one finaliser missing, once with too many.
            *last -= 2 * self.late();
        }
        voting
    }

    pub(super) async fn vote(&mut self, election: &Opened) -> Result<(), DemoError> {
        let shares = self.voting();
        let voting: usize = shares.iter().sum();
        self.view.begin(&format!("{voting} voters vote by gossip"));
        let timeout_ms = self.timeout_ms();
        let goal = self.goal();
        let orders: Vec<Order> = shares
            .into_iter()
            .map(|voters| Order::Vote {
                election: election.id.clone(),
                voters,
                goal,
                timeout_ms,
            })
            .collect();
        let (chosen, heights) = self.everybody(&orders, voting).await?;
        self.chosen = chosen;
        let mut seen = format!("{voting} votes by gossip, {}", blocks(heights));
        if self.until_final(heights, &[]).await? {
            self.final_votes += voting;
            seen += ", final on every node";
        }
        self.view.done(&seen);
        Ok(())
    }

    pub(super) async fn vote_again(&mut self, election: &Opened) -> Result<usize, DemoError> {
        let voted = self.voting();
        let wanted = SECOND_TRIES.min(voted.iter().sum());
        self.view.begin(&format!(
            "{wanted} voters try a second time, with another choice at another node"
        ));
        // The nodes have the first votes in their chains when all have the tip that is highest now.
        let highest = self
            .cluster
            .pictures()
            .iter()
            .flatten()
            .map(|picture| picture.tip.height)
            .max();
        let deadline = self.deadline();
        self.cluster
            .wait("that all nodes have the votes", deadline, |pictures| {
                all(pictures, |picture| {
                    Some(picture.tip.height) >= highest && picture.mempool_is_without("vote")
                })
            })
            .await?;
        let nodes = self.cluster.places_without(None)?;
        let patience = self.time();
        let mut refused = 0;
        let mut left = wanted;
        for index in (0..self.clients.len()).rev() {
            let voters = left.min(voted[index]);
            if voters == 0 {
                continue;
            }
            left -= voters;
            let order = Order::VoteAgain {
                election: election.id.clone(),
                voters,
                nodes: nodes.clone(),
            };
            match self.clients[index].ask(&order, patience).await? {
                Report::TriedAgain {
                    refused: count,
                    others,
                } if others.is_empty() => refused += count,
                Report::TriedAgain { others, .. } => {
                    return Err(DemoError::not_seen(format!(
                        "a second vote was not refused for being one: {}",
                        others.join("; ")
                    )));
                }
                other => return Err(self.clients[index].unfit(&other)),
            }
        }
        if refused != wanted {
            return Err(DemoError::not_seen(format!(
                "{refused} of {wanted} second votes were refused"
            )));
        }
        self.view.done(&format!(
            "{refused} second votes, with another choice at another node: all refused"
        ));
        Ok(refused)
    }
}
