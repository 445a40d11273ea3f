//! The client processes from outside: orders go in, reports come out, a line each.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{ChildStdin, Stdio};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

use super::child::Process;
use super::error::DemoError;
use super::orders::{Order, Place, Report};
use super::tools::last_line;
use super::workspace::Workspace;

/// Reports that may wait. They come far slower than they are read.
const QUEUE: usize = 64;

/// Longest report, in bytes.
const MAX_REPORT_BYTES: usize = 1 << 20;

/// A client process with its voters.
#[derive(Debug)]
pub struct Client {
    /// Voters that it holds.
    pub voters: usize,
    log: std::path::PathBuf,
    input: ChildStdin,
    reports: mpsc::Receiver<Report>,
    process: Process,
}

impl Client {
    /// Starts the process with this number.
    pub fn start(
        workspace: &Workspace,
        number: usize,
        voters: usize,
        bootstrap: &[Place],
    ) -> Result<Self, DemoError> {
        let name = format!("client {number}");
        let log = workspace.log(&format!("client-{number}"));
        let arguments = |command: &mut std::process::Command| {
            command.args(["demo-voters", "--voters", &voters.to_string(), "--genesis"]);
            command.arg(workspace.genesis());
            for place in bootstrap {
                command.args(["--through", &place.address]);
            }
        };
        let mut process =
            Process::start(&name, arguments, Stdio::piped(), workspace.create(&log)?)?;
        let missing = || DemoError::not_seen(format!("{name} has no pipes"));
        let output = process.take_output().ok_or_else(missing)?;
        let input = process.take_input().ok_or_else(missing)?;
        let (sender, reports) = mpsc::channel(QUEUE);
        std::thread::spawn(move || {
            let mut output = BufReader::new(output);
            let mut line = Vec::new();
            loop {
                line.clear();
                let mut bounded = std::io::Read::take(&mut output, MAX_REPORT_BYTES as u64);
                if !matches!(bounded.read_until(b'\n', &mut line), Ok(1..)) {
                    break;
                }
                let report = serde_json::from_slice(&line).unwrap_or_else(|error| Report::Failed {
                    message: format!("a report makes no sense: {error}"),
                });
                if sender.blocking_send(report).is_err() {
                    break;
                }
            }
        });
        Ok(Self {
            voters,
            log,
            input,
            reports,
            process,
        })
    }

    /// Gives an order.
    pub fn order(&mut self, order: &Order) -> Result<(), DemoError> {
        let mut line = serde_json::to_vec(order).map_err(DemoError::not_seen)?;
        line.push(b'\n');
        let written = self
            .input
            .write_all(&line)
            .and_then(|()| self.input.flush());
        written.map_err(|_| self.gone())
    }

    /// The next report.
    pub async fn report(&mut self, deadline: Instant) -> Result<Report, DemoError> {
        match timeout_at(deadline, self.reports.recv()).await {
            Ok(Some(Report::Failed { message })) => Err(DemoError::not_seen(format!(
                "{}: {message}",
                self.process.name
            ))),
            Ok(Some(report)) => Ok(report),
            Ok(None) => Err(self.gone()),
            Err(_) => Err(DemoError::not_seen(format!(
                "{} does not report in time",
                self.process.name
            ))),
        }
    }

    /// Gives an order and waits for what comes of it.
    pub async fn ask(&mut self, order: &Order, patience: Duration) -> Result<Report, DemoError> {
        let deadline = Instant::now() + patience;
        self.order(order)?;
        loop {
            match self.report(deadline).await? {
                Report::Progress { .. } => {}
                report => return Ok(report),
            }
        }
    }

    /// An answer that does not fit the order.
    pub fn unfit(&self, report: &Report) -> DemoError {
        DemoError::not_seen(format!(
            "{} reports what was not asked: {report:?}",
            self.process.name
        ))
    }

    fn gone(&self) -> DemoError {
        let words = last_line(&self.log).unwrap_or_default();
        DemoError::not_seen(format!("{} ended by itself: {words}", self.process.name))
    }
}

/// Shares voters among client processes as evenly as can be.
pub fn shares(voters: usize, clients: usize) -> Vec<usize> {
    (0..clients)
        .map(|index| voters / clients + usize::from(index < voters % clients))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_voter_is_held_by_one_client() {
        for (voters, clients) in [(6, 2), (100, 4), (5_000, 8), (7, 7)] {
            let shares = shares(voters, clients);
            assert_eq!(shares.iter().sum::<usize>(), voters);
            assert_eq!(shares.len(), clients);
            assert!(
                shares
                    .iter()
                    .all(|share| share.abs_diff(voters / clients) <= 1)
            );
        }
    }
}
