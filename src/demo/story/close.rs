//! Polls close: all nodes rest on one tip, and their one result is what the voters chose.

use std::time::Duration;

use super::seen::{all, one_tip, seconds_until};
use super::{Opened, Story};
use crate::client::time::now_ms;
use crate::demo::error::DemoError;
use crate::demo::orders::{Goal, NodeResult, Order, Report};

impl Story<'_> {
    pub(super) async fn close(&mut self, election: &Opened) -> Result<NodeResult, DemoError> {
        self.view.begin("Polls close");
        let closed_from = election.closes_at_ms + self.genesis.close_grace_ms;
        let left = Duration::from_millis(closed_from.saturating_sub(now_ms()));
        let deadline = self.deadline() + left;
        let (view, goal) = (self.view, self.goal());
        self.cluster
            .wait(
                "that all nodes rest on one tip after the polls",
                deadline,
                |pictures| {
                    view.status(match seconds_until(election.closes_at_ms) {
                        0 => "Polls are closed; the closing block is due".to_owned(),
                        seconds => format!("Polls close in {seconds} s"),
                    });
                    one_tip(pictures)
                        && all(pictures, |picture| {
                            picture.tip.timestamp_ms >= closed_from
                                && (goal == Goal::Included
                                    || picture.final_height() == picture.tip.height)
                                && picture.waiting() == 0
                                && picture.rests()
                        })
                },
            )
            .await?;
        let order = Order::Results {
            election: election.id.clone(),
            nodes: self.cluster.places_without(None)?,
        };
        let patience = self.time();
        let results = match self.clients[0].ask(&order, patience).await? {
            Report::Results { results } => results,
            other => return Err(self.clients[0].unfit(&other)),
        };
        let Some(result) = results.first().cloned() else {
            return Err(DemoError::not_seen("no node tells a result"));
        };
        if results.len() != self.cluster.len() || results.iter().any(|other| *other != result) {
            return Err(DemoError::not_seen(format!(
                "the nodes tell different results: {results:?}"
            )));
        }
        if result.closing_block.is_none() {
            return Err(DemoError::not_seen("the nodes know no closing block"));
        }
        if result.totals != self.chosen || result.votes != u64::from(self.arguments.voters) {
            return Err(DemoError::not_seen(format!(
                "the nodes count {:?}, and the voters chose {:?}",
                result.totals, self.chosen
            )));
        }
        self.view.done(&format!(
            "Polls closed: {} nodes on one tip, block {}, and one result, the voters' own",
            self.cluster.len(),
            self.height(),
        ));
        if goal == Goal::Final {
            self.view.begin("The result is final");
            self.finalise(&result)?;
        }
        Ok(result)
    }
}
