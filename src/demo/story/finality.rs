//! What nodes that finalise are for: votes become final, with one finaliser missing too; with more missing than the
//! network bears blocks go on and nothing becomes final, which is said; and it ends by itself.

use std::collections::BTreeSet;

use super::everybody::blocks;
use super::seen::{all, one_tip};
use super::{Opened, Story};
use crate::demo::error::DemoError;
use crate::demo::orders::{Goal, NodeResult, Order, Report};
use crate::demo::watch::Pictures;
use crate::demo::workspace::node_name;

/// Voters who vote while finalisers are missing, each time.
const LATE: usize = 6;
/// What `waiting` ends with: the finalisers that are not heard.
const NOT_HEARD: &str = "not heard: ";

impl Story<'_> {
    /// How far transactions are followed.
    pub(super) fn goal(&self) -> Goal {
        match self.arguments.finalisers {
            0 => Goal::Included,
            _ => Goal::Final,
        }
    }

    /// Finalisers that may be missing: fewer than a third.
    pub(super) fn bears(&self) -> usize {
        (self.arguments.finalisers as usize).saturating_sub(1) / 3
    }

    /// Voters who vote while finalisers are missing, each time: the last of the last client.
    pub(super) fn late(&self) -> usize {
        match (self.bears(), self.clients.last()) {
            (1.., Some(client)) => LATE.min(client.voters / 4),
            _ => 0,
        }
    }

    /// Waits until the blocks are final on every node that runs. Says whether they are: not where nobody finalises.
    pub(super) async fn until_final(
        &mut self,
        heights: Option<(u64, u64)>,
        missing: &[usize],
    ) -> Result<bool, DemoError> {
        let (Goal::Final, Some((_, highest))) = (self.goal(), heights) else {
            return Ok(false);
        };
        let deadline = self.deadline();
        self.cluster
            .wait("that the blocks are final", deadline, |pictures| {
                without(pictures, missing).iter().all(|picture| {
                    picture
                        .as_ref()
                        .is_some_and(|p| p.final_height() >= highest)
                })
            })
            .await?;
        Ok(true)
    }

    /// Some voters vote while the finaliser that was killed is missing; the others decide without it.
    pub(super) async fn vote_without_one(&mut self, election: &Opened) -> Result<(), DemoError> {
        let votes = self.late();
        if votes == 0 {
            return Ok(());
        }
        let name = node_name(self.victim + 1);
        self.view
            .begin(&format!("{votes} voters vote while {name} is gone"));
        let heights = self.vote_late(election, Goal::Final).await?;
        self.until_final(heights, &[self.victim]).await?;
        self.final_votes += votes;
        self.view.done(&format!(
            "{votes} more votes without {name}: {}, final on every other node",
            blocks(heights)
        ));
        Ok(())
    }

    /// More finalisers are killed than may be missing. Blocks go on, nothing becomes final until they are back.
    pub(super) async fn outage(&mut self, election: &Opened) -> Result<(), DemoError> {
        let votes = self.late();
        if votes == 0 {
            return Ok(());
        }
        let finalisers = self.arguments.finalisers as usize;
        let missing: Vec<usize> = (finalisers - self.bears() - 1..finalisers).collect();
        let names = list(&missing);
        self.view.begin(&format!("{names} are killed"));
        self.meter().pause();
        for index in &missing {
            self.cluster.kill(*index)?;
        }
        self.view.done(&format!(
            "{names} are killed, {} of the {finalisers} that finalise (SIGKILL)",
            missing.len()
        ));

        self.view
            .begin(&format!("{names} are missing; {votes} voters vote"));
        let heights = self.vote_late(election, Goal::Included).await?;
        let lowest = heights.map_or(0, |(lowest, _)| lowest);
        let deadline = self.deadline();
        let pictures = self
            .cluster
            .wait("that a node says who is missing", deadline, |pictures| {
                says_who_is_missing(pictures, &missing).is_some()
            })
            .await?;
        if let Some(number) = final_at(&pictures, lowest) {
            return Err(DemoError::not_seen(format!(
                "{names} are missing, and block {lowest} is final for node {number}"
            )));
        }
        self.view.done(&format!(
            "Blocks go on: {votes} more votes are {}, and nothing becomes final",
            blocks(heights)
        ));
        if let Some(words) = says_who_is_missing(&pictures, &missing) {
            self.view.note(&format!("Node 1 says why: “{words}”"));
        }

        self.view.begin(&format!("{names} start again"));
        let first = self.cluster.place(0)?;
        for index in &missing {
            self.cluster.start(*index, std::slice::from_ref(&first))?;
        }
        let deadline = self.deadline();
        self.cluster
            .wait("that everything is final", deadline, |pictures| {
                one_tip(pictures)
                    && all(pictures, |picture| {
                        picture.tip.height == picture.final_height()
                    })
            })
            .await?;
        let height = self.height();
        let order = Order::Finish {
            timeout_ms: self.timeout_ms(),
        };
        self.ask_late(&order, votes).await?;
        self.final_votes += votes;
        self.meter().resume();
        self.view.done(&format!(
            "{names} are back: everything becomes final by itself, up to block {height}"
        ));
        Ok(())
    }

    /// The result that every node tells is final, by one checkpoint.
    pub(super) fn finalise(&mut self, result: &NodeResult) -> Result<(), DemoError> {
        let Some((block, height)) = &result.checkpoint else {
            return Err(DemoError::not_seen("the nodes know no checkpoint"));
        };
        self.result_is_final = true;
        self.view.done(&format!(
            "The result is final on every node, by the checkpoint at block {height}, {}…",
            block.get(..8).unwrap_or_default()
        ));
        Ok(())
    }

    /// Voters of the last client who have not voted do so.
    async fn vote_late(
        &mut self,
        election: &Opened,
        goal: Goal,
    ) -> Result<Option<(u64, u64)>, DemoError> {
        let voters = self.late();
        let order = Order::Vote {
            election: election.id.clone(),
            voters,
            goal,
            timeout_ms: self.timeout_ms(),
        };
        let (heights, choices) = self.ask_late(&order, voters).await?;
        for (sum, count) in self.chosen.iter_mut().zip(choices) {
            *sum += count;
        }
        Ok(heights)
    }

    /// Gives the last client an order after which so many votes have to be where they should be.
    async fn ask_late(
        &mut self,
        order: &Order,
        votes: usize,
    ) -> Result<(Option<(u64, u64)>, Vec<u64>), DemoError> {
        let patience = 2 * self.time();
        let Some(client) = self.clients.last_mut() else {
            return Err(DemoError::not_seen("there are no client processes"));
        };
        match client.ask(order, patience).await? {
            Report::Followed {
                included,
                heights,
                choices,
                ..
            } if included == votes => Ok((heights, choices)),
            Report::Followed { problems, .. } => Err(DemoError::not_seen(problems.join("; "))),
            other => Err(client.unfit(&other)),
        }
    }
}

/// The pictures of the nodes that are not missing.
fn without(pictures: &Pictures, missing: &[usize]) -> Pictures {
    let running = pictures.iter().enumerate();
    running
        .filter(|(index, _)| !missing.contains(index))
        .map(|(_, picture)| picture.clone())
        .collect()
}

/// What the first node says if it says that exactly these are missing.
fn says_who_is_missing(pictures: &Pictures, missing: &[usize]) -> Option<String> {
    let words = pictures.first()?.as_ref()?.finality.as_ref()?;
    let words = words.waiting.clone()?;
    let wanted: BTreeSet<String> = missing.iter().map(|index| node_name(index + 1)).collect();
    let (_, told) = words.split_once(NOT_HEARD)?;
    let told: BTreeSet<String> = told.split(", ").map(str::to_owned).collect();
    (told == wanted).then_some(words)
}

/// The number of a node for which the block is final.
fn final_at(pictures: &Pictures, height: u64) -> Option<usize> {
    pictures
        .iter()
        .position(|picture| {
            picture
                .as_ref()
                .is_some_and(|picture| picture.final_height() >= height)
        })
        .map(|index| index + 1)
}

/// Nodes in words, as a sentence begins.
fn list(indices: &[usize]) -> String {
    let numbers: Vec<String> = indices
        .iter()
        .map(|index| (index + 1).to_string())
        .collect();
    match numbers.split_last() {
        Some((last, [])) => format!("Node {last}"),
        Some((last, others)) => format!("Nodes {} and {last}", others.join(", ")),
        None => String::new(),
    }
}
