//! The exported chain is audited, by the commands that anybody would use, and has to tell what the nodes told.

use serde::Deserialize;

use super::{Opened, Story};
use crate::demo::error::DemoError;
use crate::demo::orders::NodeResult;
use crate::demo::tools;

/// The part of an audit's report that the demo compares.
#[derive(Debug, Deserialize)]
pub(super) struct Audited {
    pub(super) ok: bool,
    pub(super) registrations: Vec<AuditedRegistrations>,
    pub(super) elections: Vec<AuditedElection>,
}

#[derive(Debug, Deserialize)]
pub(super) struct AuditedRegistrations {
    pub(super) voters: u64,
}

#[derive(Debug, Deserialize)]
pub(super) struct AuditedElection {
    pub(super) election: String,
    pub(super) question: String,
    pub(super) votes: u64,
    pub(super) by_lot: bool,
    pub(super) options: Vec<AuditedOption>,
}

#[derive(Debug, Deserialize)]
pub(super) struct AuditedOption {
    pub(super) name: String,
    pub(super) total: u64,
    pub(super) seat: Option<u64>,
}

impl Story<'_> {
    /// Exports the chain from the node that was killed and audits the file.
    pub(super) async fn audit(
        &mut self,
        election: &Opened,
        result: &NodeResult,
    ) -> Result<Audited, DemoError> {
        self.view.begin("The chain is exported and audited");
        let (directory, file) = (
            self.workspace.node_dir(self.victim + 1),
            self.workspace.export(),
        );
        let (code, line) = tools::run(self.workspace, "export", |command| {
            command
                .arg("export")
                .arg("--json")
                .arg("--data-dir")
                .arg(&directory)
                .arg(&file);
        })
        .await?;
        if code != Some(0) {
            return Err(self.tool_failed("export", code, &line));
        }
        let genesis = self.workspace.genesis();
        let (code, line) = tools::run(self.workspace, "audit", |command| {
            command
                .arg("audit")
                .arg("--json")
                .arg("--network")
                .arg(&genesis)
                .arg(&file);
        })
        .await?;
        if code != Some(0) {
            return Err(self.tool_failed("audit", code, &line));
        }
        let audited: Audited = serde_json::from_str(&line).map_err(|error| {
            DemoError::not_seen(format!("the audit's report makes no sense: {error}"))
        })?;
        let voters = u64::from(self.arguments.voters);
        let registered: u64 = audited.registrations.iter().map(|group| group.voters).sum();
        let counted = audited.elections.first().filter(|counted| {
            let totals: Vec<u64> = counted.options.iter().map(|option| option.total).collect();
            counted.election == election.id
                && counted.votes == result.votes
                && totals == result.totals
        });
        if !audited.ok || registered != voters || counted.is_none() || audited.elections.len() != 1
        {
            return Err(DemoError::not_seen(format!(
                "the audit finds another election than the nodes tell: {audited:?}"
            )));
        }
        self.view.done(&format!(
            "The chain, exported from node {}, passes the audit with this result",
            self.victim + 1
        ));
        Ok(audited)
    }

    fn tool_failed(&self, name: &str, code: Option<i32>, line: &str) -> DemoError {
        let words = tools::last_line(&self.workspace.log(name)).unwrap_or_else(|| line.to_owned());
        let code = code.map_or("a signal".to_owned(), |code| format!("code {code}"));
        DemoError::not_seen(format!("`votenode {name}` ended with {code}: {words}"))
    }
}
