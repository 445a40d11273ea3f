//! One order to every client process at once, and what came of all of them together.

use super::{STEP_TIME, Story};
use crate::demo::error::DemoError;
use crate::demo::orders::{Order, Report};

impl Story<'_> {
    /// Gives every client its order at once and follows their transactions, `expected` altogether, to the goal. Returns
    /// the votes per option, and the lowest and highest block.
    pub(super) async fn everybody(
        &mut self,
        orders: &[Order],
        expected: usize,
    ) -> Result<(Vec<u64>, Option<(u64, u64)>), DemoError> {
        self.view.expect(expected);
        // Longer than the clients' own time, so that it is they who say what is missing.
        let deadline = self.deadline() + STEP_TIME;
        for (client, order) in self.clients.iter_mut().zip(orders) {
            client.order(order)?;
        }
        let view = self.view;
        let shown = std::cell::RefCell::new(vec![0; self.clients.len()]);
        let follow = |index: usize, included: usize| {
            let mut shown = shown.borrow_mut();
            shown[index] = included;
            view.position(shown.iter().sum());
        };
        let mut done = Vec::new();
        let followed = self.clients.iter_mut().enumerate().map(|(index, client)| {
            let follow = &follow;
            async move {
                loop {
                    match client.report(deadline).await? {
                        Report::Progress { included } => follow(index, included),
                        report => return Ok::<_, DemoError>((client, report)),
                    }
                }
            }
        });
        for ended in join_all(followed).await {
            done.push(ended?);
        }
        let mut chosen = Vec::new();
        let mut heights: Option<(u64, u64)> = None;
        let mut sum = 0;
        for (client, report) in done {
            let Report::Followed {
                included,
                heights: seen,
                choices,
                problems,
            } = report
            else {
                return Err(client.unfit(&report));
            };
            if !problems.is_empty() {
                return Err(DemoError::not_seen(problems.join("; ")));
            }
            sum += included;
            chosen.resize(chosen.len().max(choices.len()), 0);
            for (sum, count) in chosen.iter_mut().zip(choices) {
                *sum += count;
            }
            heights = match (heights, seen) {
                (Some((low, high)), Some((from, to))) => Some((low.min(from), high.max(to))),
                (known, seen) => known.or(seen),
            };
        }
        if sum != expected {
            return Err(DemoError::not_seen(format!(
                "{sum} of {expected} got where they should"
            )));
        }
        Ok((chosen, heights))
    }
}

/// Waits for all of a few futures.
async fn join_all<F: Future>(futures: impl Iterator<Item = F>) -> Vec<F::Output> {
    let mut waiting: Vec<_> = futures.map(|future| (Box::pin(future), None)).collect();
    std::future::poll_fn(|context| {
        let mut ready = true;
        for (future, output) in &mut waiting {
            if output.is_none() {
                match future.as_mut().poll(context) {
                    std::task::Poll::Ready(value) => *output = Some(value),
                    std::task::Poll::Pending => ready = false,
                }
            }
        }
        if ready {
            std::task::Poll::Ready(())
        } else {
            std::task::Poll::Pending
        }
    })
    .await;
    waiting
        .into_iter()
        .filter_map(|(_, output)| output)
        .collect()
}

/// The blocks from the lowest to the highest, in words.
pub(super) fn blocks(heights: Option<(u64, u64)>) -> String {
    match heights {
        None => "in no block".to_owned(),
        Some((low, high)) if low == high => format!("in block {low}"),
        Some((low, high)) => format!("in blocks {low} to {high}"),
    }
}
